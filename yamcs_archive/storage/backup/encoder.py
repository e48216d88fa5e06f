"""The stream of one backup, made as it is read.

The order is that in which a restore wants it: what the events need comes first (the facts, the commits), then
the events in key order, then the manifest with what all of it must add up to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

import msgpack

from yamcs_archive.event import EventKey
from yamcs_archive.limits import BACKUP_CHUNK_BYTES
from yamcs_archive.options import Options
from yamcs_archive.results import BackupManifest
from yamcs_archive.storage.backup.digests import CommitDigest
from yamcs_archive.storage.backup.snapshot import (
    Facts,
    Part,
    commit_of_base,
    commit_payloads,
    event_parts,
    take_facts,
)
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.backup_frames import BackupHead, FrameWriter, encode_block, encode_head
from yamcs_archive.storage.format.commits import encode_cursor
from yamcs_archive.storage.format.content_hash import ContentHash
from yamcs_archive.storage.format.source_states import SourceState


class BackupScope(NamedTuple):
    """What is backed up, and how."""

    environment: Environment
    instance: str
    options: Options
    unsaved: Callable[[], Mapping[str, SourceState]]
    """Returns the states of sources whose counts of refused events are not written yet."""
    go_on: Callable[[], None]
    """Called now and then; raises when the backup is to end."""
    progress: Callable[[int, int], None]
    """Called with the number of events read so far, and with the greatest number that there can be."""


def backup_stream(scope: BackupScope, after: str | None) -> Iterator[bytes]:
    """Yield the bytes of a backup, all of the instance, or what came after the cursor of another backup.

    Raises at once BadCursorError and OtherHistoryError for that cursor, DamagedError; while it is read also
    :class:`~yamcs_archive.storage.backup.snapshot.PrunedMeanwhileError`, and what ``go_on`` raises.
    """
    facts = take_facts(scope.environment, scope.unsaved())
    base = 0 if after is None else commit_of_base(scope.environment, facts.meta, after)
    failpoint("backup-begun")
    head = BackupHead(
        scope.instance,
        facts.meta.lineage.hex(),
        facts.cursor.commit,
        encode_cursor(facts.cursor),
        after,
        base,
        scope.options.clock(),
    )
    return gathered(_frames(scope, facts, head))


def _frames(scope: BackupScope, facts: Facts, head: BackupHead) -> Iterator[bytes]:
    writer = FrameWriter()
    yield writer.frame("head", encode_head(head))
    yield writer.frame("meta", msgpack.packb(facts.pairs))
    for kind, payloads in (("srcs", facts.sources), ("reqs", facts.requests)):
        for payload in payloads:
            yield writer.frame(kind, payload)
    commits = CommitDigest()
    span = head.after_commit, head.commit
    for payload in commit_payloads(scope.environment, facts.meta, *span, commits):
        scope.go_on()
        yield writer.frame("cmts", payload)
    failpoint("backup-commits-read")
    content = ContentHash()
    first: EventKey | None = None
    last: EventKey | None = None
    for part in event_parts(scope.environment, facts, *span, scope.options):
        if part is None:
            scope.go_on()
            scope.progress(content.events, facts.events)
            failpoint("backup-slice-read")
            continue
        content.add(part.events)
        first, last = _span_of(part, first, last)
        yield writer.frame("evts" if part.were_young else "blks", encode_block(part.key, part.value))
    failpoint("backup-events-read")
    frames = writer.frames
    yield writer.manifest(
        BackupManifest(
            **head._asdict(),
            horizon=facts.meta.horizon,
            events=content.events,
            first=first,
            last=last,
            content=content.hex(),
            commits=commits.count,
            commits_digest=commits.hex(),
            sources=facts.sources_digest.count,
            sources_digest=facts.sources_digest.hex(),
            requests=facts.requests_digest.count,
            requests_digest=facts.requests_digest.hex(),
            frames=frames,
        )
    )


def _span_of(part: Part, first: EventKey | None, last: EventKey | None) -> tuple[EventKey, EventKey]:
    """Return the first and the last key of a part and those before it; young events may lie within a
    block."""
    low, high = EventKey(*part.events.key(0)), EventKey(*part.events.key(-1))
    return low if first is None else min(first, low), high if last is None else max(last, high)


def gathered(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield bytes in pieces that are not small.

    >>> [len(piece) for piece in gathered([b"a", b"b" * BACKUP_CHUNK_BYTES, b"c"])]
    [262145, 1]
    """
    together: list[bytes] = []
    size_bytes = 0
    for part in chain(parts, [None]):
        if part is not None:
            together.append(part)
            size_bytes += len(part)
        if together and (part is None or size_bytes >= BACKUP_CHUNK_BYTES):
            yield b"".join(together)
            together, size_bytes = [], 0

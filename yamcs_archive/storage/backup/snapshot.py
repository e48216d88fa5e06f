"""What an instance held at one commit, read in many short transactions while it changes.

1. Events are never changed, so what there was at commit C is the events with numbers up to C, whatever was
   appended since. A first transaction takes C and what has no number of a commit: the facts, the states of
   sources, the request ids. All else is read afterwards, slice by slice.
2. A block whose events are all wanted is taken as it is stored. Of other blocks, and of young events, the
   wanted events are encoded anew. So checkpoints, late events and compaction may go on meanwhile: a slice has
   each of its events in one form, and slices do not overlap.
3. Only pruning takes events, and records of commits, away. It moves the horizon first, so if that is the same
   at the end, nothing is missing; else the snapshot cannot be completed.
4. Whatever is damaged ends the snapshot: a backup never has less than it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np

from yamcs_archive.errors import BadCursorError, DamagedError, OtherHistoryError, UnavailableError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.limits import BACKUP_PAIRS_BYTES_MAX, BACKUP_PAIRS_MAX
from yamcs_archive.options import Options
from yamcs_archive.storage.backup.digests import CommitDigest, PairDigest
from yamcs_archive.storage.disk.environment import Environment, Snapshot
from yamcs_archive.storage.format.backup_frames import encode_pairs
from yamcs_archive.storage.format.block import Block, encode_blocks, read_back
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.commits import (
    CommitRecord,
    Cursor,
    commit_key,
    decode_commit,
    decode_cursor,
    encode_commit,
)
from yamcs_archive.storage.format.keys import BEFORE_ALL, BEYOND_ALL, time_bound
from yamcs_archive.storage.format.meta import NO_CHECKPOINT, Meta, encode_checkpoint
from yamcs_archive.storage.format.requests import decode_record
from yamcs_archive.storage.format.source_states import SourceState, decode_source, encode_source
from yamcs_archive.storage.format.zone_maps import commit_filter
from yamcs_archive.storage.read.block_index import BlockIndex, stored_block
from yamcs_archive.storage.read.changes import commit_of, cursor_after
from yamcs_archive.storage.read.metadata import (
    commit_pairs,
    decode_facts,
    head_commit,
    read_meta,
    seek_commit,
)
from yamcs_archive.storage.read.range_reader import RangeReader, Slice
from yamcs_archive.storage.write.placement import split_into_blocks

_TRIES = 10_000
"""Looks for a moment between two commits; one takes some microseconds."""
_REFUSED = ("duplicates", "conflicts", "expired")


class PrunedMeanwhileError(UnavailableError):
    """Events were pruned while they were copied, so the copy cannot be completed; begin another one."""

    def __init__(self) -> None:
        super().__init__(
            "events were pruned while they were copied: the copy is not complete; begin it again"
        )


class Part(NamedTuple):
    """Some events: a block as it is stored or was encoded anew, or events that were young."""

    key: bytes
    value: bytes
    events: StoredVectors
    were_young: bool


class Facts(NamedTuple):
    """What the first transaction of a snapshot took."""

    meta: Meta
    pairs: list[Pair]
    """Those of ``meta``."""
    cursor: Cursor
    """The cursor after the newest commit."""
    end: bytes
    """A bound above the keys of all events, so that what is appended meanwhile is not waded through."""
    sources: list[bytes]
    """Payloads of pairs."""
    sources_digest: PairDigest
    requests: list[bytes]
    requests_digest: PairDigest
    events: int
    """The number of events held, pruned ones that are not deleted yet too."""


def take_facts(environment: Environment, unsaved: Mapping[str, SourceState]) -> Facts:
    """Read the head, and what is of this moment alone, in one transaction.

    ``unsaved`` has the states of sources whose counts of refused events are not written yet.
    """
    sources_digest, requests_digest = PairDigest(), PairDigest()
    for _ in range(_TRIES):
        with environment.snapshot() as snapshot:
            transaction, young = snapshot
            changed, asked, mirrored = young.sources(), young.requests(), young.fact(b"mirrored")
            if not young.is_newest:  # a commit came meanwhile: these may have it, and the head does not
                continue
            databases = environment.databases
            facts = dict(transaction.cursor(databases["meta"]))
            newest = head_commit(environment, snapshot)
            end = _end(environment, snapshot)
            sources = list(transaction.cursor(databases["sources"]))
            # Of a million ids only one frame at a time is uncompressed. Expired ones may be in use again.
            stored = (pair for pair in transaction.cursor(databases["requests"]) if pair[0] not in asked)
            requests = list(_payloads(chain(_sound(stored), asked.items()), requests_digest))
            break
    else:
        raise UnavailableError(f"{environment.path}: commits came at each moment; try again")
    if mirrored is not None:
        facts[b"mirrored"] = mirrored
    meta = decode_facts(facts, str(environment.path))
    pairs = sorted({**facts, **dict([encode_checkpoint(NO_CHECKPOINT)])}.items())
    states = sorted({**dict(decode_source(key, value) for key, value in sources), **changed}.items())
    sources = [encode_source(name, _with_counts(state, unsaved.get(name))) for name, state in states]
    return Facts(
        meta,
        pairs,
        cursor_after(meta, newest),
        end,
        list(_payloads(sources, sources_digest)),
        sources_digest,
        requests,
        requests_digest,
        sum(state.events for _, state in states),
    )


def _end(environment: Environment, snapshot: Snapshot) -> bytes:
    transaction, young = snapshot
    databases = environment.databases
    index = BlockIndex(
        transaction.cursor(databases["summaries"]),
        lambda first: Block(first, stored_block(transaction, databases["blocks"], first)),
    )
    block = index.before(BEYOND_ALL)
    newest, _ = young.find(BEFORE_ALL, BEYOND_ALL, descending=True, events_max=1)
    return max([*newest.keys, *([] if block is None else [block.last])], default=BEFORE_ALL) + b"\0"


def _with_counts(state: SourceState, ahead: SourceState | None) -> SourceState:
    """Return a state with the greater counts of refused events: both only grow."""
    if ahead is None:
        return state
    counts = {name: max(getattr(state, name), getattr(ahead, name)) for name in _REFUSED}
    return msgspec.structs.replace(state, **counts)


def _sound(requests: Iterable[Pair]) -> Iterator[Pair]:
    for pair in requests:
        decode_record(*pair)  # raises where it is damaged
        yield pair


def _payloads(pairs: Iterable[Pair], digest: PairDigest) -> Iterator[bytes]:
    """Yield pairs as payloads of bounded size."""
    together: list[Pair] = []
    size_bytes = 0
    for pair in pairs:
        together.append(pair)
        size_bytes += len(pair[0]) + len(pair[1])
        if len(together) >= BACKUP_PAIRS_MAX or size_bytes >= BACKUP_PAIRS_BYTES_MAX:
            digest.add(together)
            yield encode_pairs(together)
            together, size_bytes = [], 0
    if together:
        digest.add(together)
        yield encode_pairs(together)


def commit_of_base(environment: Environment, meta: Meta, after: str) -> int:
    """Return the commit of the cursor after which an incremental backup begins.

    Raises BadCursorError, and OtherHistoryError if its commit is not one of this history.
    """
    cursor = decode_cursor(after)
    if cursor.lineage != meta.lineage:
        raise OtherHistoryError
    if cursor.fingerprint is None:
        raise BadCursorError("after", after, "has no fingerprint: give the cursor of a backup")
    record = commit_of(environment, cursor)
    events = 0 if record is None else record.events[cursor.commit - record.first]
    if record is not None and cursor.position != events:
        raise BadCursorError("after", after, "lies within a commit: give the cursor of a backup")
    return cursor.commit


def commit_payloads(
    environment: Environment, meta: Meta, after: int, upto: int, digest: CommitDigest
) -> Iterator[bytes]:
    """Yield the records of the commits after ``after`` and up to ``upto`` as payloads."""
    for records in _records(environment, meta, after, upto):
        for record in records:
            digest.add(record)
        yield from _payloads(map(encode_commit, records), PairDigest())


def _records(environment: Environment, meta: Meta, after: int, upto: int) -> Iterator[list[CommitRecord]]:
    """Yield the records of the commits, some at a time; one that reaches beyond them is cut.

    Its runs are kept: of a run, only the events with the numbers of its commits count. Records may be missing
    before that of the horizon's commit, between others too: they had only events that were pruned.
    """
    number = after + 1
    while number <= upto:
        with environment.snapshot() as snapshot:
            cursor = snapshot.transaction.cursor(environment.databases["commits"])
            begin = commit_key(number)
            if seek_commit(cursor, number) and decode_commit(*cursor.item()).last >= number:
                begin = cursor.key()
            pairs, _ = commit_pairs(environment, snapshot, begin, commit_key(upto + 1), BACKUP_PAIRS_MAX)
        found: list[CommitRecord] = []
        for key, value in pairs:
            record = decode_commit(key, value)
            if record.first > max(number, meta.horizon_commit):
                break
            low, high = max(record.first, number), min(record.last, upto)
            kept = slice(low - record.first, high - record.first + 1)
            found.append(record._replace(first=low, times=record.times[kept], events=record.events[kept]))
            number = high + 1
        if not found:
            _refuse_other(environment, meta)
            raise DamagedError(f"commits {number}", "its record is missing")
        yield found


def _refuse_other(environment: Environment, meta: Meta) -> None:
    """Raise OtherHistoryError or PrunedMeanwhileError if the facts have changed."""
    now = read_meta(environment)
    if now.lineage != meta.lineage:
        raise OtherHistoryError
    if now.horizon != meta.horizon:
        raise PrunedMeanwhileError


def event_parts(
    environment: Environment, facts: Facts, after: int, upto: int, options: Options
) -> Iterator[Part | None]:
    """Yield the events that the commits after ``after`` and up to ``upto`` stored; None between two slices.

    Raises PrunedMeanwhileError at the end if events were pruned since the facts were taken.
    """
    meta = facts.meta
    reader = RangeReader(environment, options.read_events_max, cache=_Opener())
    lower = BEFORE_ALL if meta.horizon is None else time_bound(meta.horizon)
    for slice_ in reader.slices(lower, facts.end, wanted=commit_filter(after + 1, upto)):
        yield from _parts_of(slice_, after, upto, options)
        yield None
    _refuse_other(environment, meta)


def _parts_of(slice_: Slice, after: int, upto: int, options: Options) -> Iterator[Part]:
    if slice_.young:
        yield from _encoded(_between(slice_.young.vectors(), after, upto), options, were_young=True)
    block, indexes = slice_.block, slice_.block_indexes
    if not isinstance(block, _StoredBlock) or not indexes:
        return
    events = block.events
    whole = len(indexes) == block.count
    part = events if whole else events.cut(indexes.start, indexes.stop)
    taken = _between(part, after, upto)
    if whole and taken is events:
        block.check_body()
        yield Part(block.key, block.value, events, were_young=False)
    else:
        yield from _encoded(taken, options, were_young=False)


def _between(events: StoredVectors, after: int, upto: int) -> StoredVectors:
    """Return the events of the commits after ``after`` and up to ``upto``."""
    wanted = (after < events.commits) & (events.commits <= upto)
    return events if wanted.all() else events.take(np.flatnonzero(wanted))


def _encoded(events: StoredVectors, options: Options, *, were_young: bool) -> Iterator[Part]:
    for run in map(StoredVectors.trimmed, split_into_blocks(events, options)):
        [block] = encode_blocks([run])
        read_back(block, run)
        yield Part(block.key, block.value, run, were_young)


class _StoredBlock(Block):
    """A block with the bytes that it was read from."""

    def __init__(self, key: bytes, value: bytes) -> None:
        super().__init__(key, value)
        self.value = value


class _Opener:
    """Opens blocks for a reader, with their bytes."""

    def open(self, key: bytes, value: bytes) -> Block:
        """Return the block."""
        return _StoredBlock(key, value)

"""The library's results: plain frozen values. Imports events, and no storage."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import accumulate
from operator import attrgetter
from pathlib import Path

from yamcs_archive.event import Event, EventKey, event_bytes
from yamcs_archive.limits import CONFLICTS_KEPT_BYTES_MAX, CONFLICTS_KEPT_MAX


@dataclass(frozen=True)
class Appended:
    """The result of appending one event."""

    event: Event
    """The stored event, with its number and times filled in."""
    duplicate: bool
    """True if the same event was stored already, so that nothing was added."""


@dataclass(frozen=True)
class Conflict:
    """An event that was refused because another one has its key."""

    position: int
    """Its index among the appended events, from 0."""
    stored: Event
    offered: Event


def first_conflicts(conflicts: Iterable[Conflict]) -> list[Conflict]:
    """Return the first conflicts by position, as many as an answer shows.

    >>> large = [Conflict(n, Event("m" * (1 << 20)), Event("n" * (1 << 20))) for n in (2, 1)]
    >>> [conflict.position for conflict in first_conflicts(large * 30)]
    [1, 1, 1]
    """
    first = nsmallest(CONFLICTS_KEPT_MAX, conflicts, key=attrgetter("position"))
    reached = accumulate(map(conflict_bytes, first))
    return first[: max(1, bisect_right(list(reached), CONFLICTS_KEPT_BYTES_MAX))]


def conflict_bytes(conflict: Conflict) -> int:
    """Return the approximate bytes of both events."""
    return event_bytes(conflict.stored) + event_bytes(conflict.offered)


@dataclass(frozen=True)
class AppendCounts:
    """The result of appending many events; the four counts add up to their number."""

    stored: int = 0
    duplicates: int = 0
    expired: int = 0
    """Events older than the prune horizon, which are not stored."""
    conflict_count: int = 0
    conflicts: tuple[Conflict, ...] = ()
    """The first 1,000 conflicts, by position; fewer, but at least one, if their text exceeds 8 MiB."""


@dataclass(frozen=True)
class Change:
    """One stored event in arrival order; continue after it with ``changes(after=change.cursor)``."""

    event: Event
    cursor: str


@dataclass(frozen=True)
class Commit:
    """Events that were stored together; continue after them with ``commits(after=commit.cursor)``."""

    time: int
    """When the commit was made, in microseconds since 1970."""
    events: tuple[Event, ...]
    """In key order."""
    cursor: str


@dataclass(frozen=True)
class MirrorState:
    """The served instance of which an instance is a copy, and the progress of the copy."""

    url: str
    """The URL of the served archive."""
    instance: str
    cursor: str | None
    """The source's cursor after the last commit that is stored here; None before the first."""


@dataclass(frozen=True)
class CompactionResult:
    """The result of a compaction. Sizes are bytes that the files take on the medium."""

    before_bytes: int
    after_bytes: int
    seconds: float
    """How long it took, sealing included."""


@dataclass(frozen=True)
class Fault:
    """Something stored that a verification found wrong."""

    where: str
    """The sub-database, and the key in hexadecimal, the name of a source, or the number of a commit."""
    reason: str
    first: EventKey | None = None
    """The keys of the first and the last event concerned, as far as they are known."""
    last: EventKey | None = None
    events: int | None = None
    """The number of events concerned, if it is known."""


@dataclass(frozen=True)
class Verification:
    """What a verification read, and what it found."""

    events: int
    rows: int
    """Events that are not in blocks yet."""
    blocks: int
    commits: int
    sources: int
    seconds: float
    fault_count: int
    faults: tuple[Fault, ...]
    """The first 1,000 faults."""


@dataclass(frozen=True)
class BackupManifest:
    """What a backup says of itself. Times are microseconds since 1970."""

    instance: str
    lineage: str
    """That of the archive, in hexadecimal: equal for all backups of one history."""
    commit: int
    """The greatest number of a commit that is in it: it has the events of all commits up to this one."""
    cursor: str
    """The archive's cursor after that commit; an incremental backup continues after it."""
    after: str | None
    """The cursor of the backup that it continues; None for a full backup."""
    after_commit: int
    """The commit of that cursor, 0 for a full backup."""
    created: int
    """When it was begun."""
    horizon: int | None
    """Events before this time were pruned; None: none were."""
    events: int
    first: EventKey | None
    last: EventKey | None
    """The keys of its first and its last event."""
    content: str
    """The hash of its events, equal for equal events in any form (docs/format.md)."""
    commits: int
    commits_digest: str
    sources: int
    sources_digest: str
    requests: int
    """The number of request ids."""
    requests_digest: str
    frames: int
    """The number of frames before the manifest."""

    @property
    def full(self) -> bool:
        """Whether it needs no other backup."""
        return self.after is None


@dataclass(frozen=True)
class Backup:
    """A backup in a file."""

    path: Path
    bytes: int
    manifest: BackupManifest
    seconds: float = 0.0
    """How long it took to write it; 0 where it was found."""
    deleted: tuple[Path, ...] = ()
    """The older backups that were deleted after it was written."""


@dataclass(frozen=True)
class BackupCheck:
    """What the verification of a backup found."""

    where: str
    """The file, or ``-``."""
    manifest: BackupManifest | None
    """None if it could not be read."""
    fault: str | None
    """What is wrong; None for a sound backup."""


@dataclass(frozen=True)
class Restored:
    """An instance that was made from a backup and the ones that continue it."""

    instance: str
    events: int
    commits: int
    content: str
    """The hash of its events."""
    backups: int
    seconds: float


@dataclass(frozen=True)
class SourceStats:
    """The numbers of stored and refused events of one source."""

    events: int
    greatest_number: int
    greatest_time: int
    """The newest generation time, in microseconds since 1970."""
    duplicates: int
    conflicts: int
    expired: int


@dataclass(frozen=True)
class InstanceStats:
    """The contents of an instance in numbers. Times are int microseconds since 1970; sizes are bytes."""

    name: str
    events: int
    duplicates: int
    conflicts: int
    expired: int
    created: int
    first_time: int | None
    last_time: int | None
    allocated_bytes: int
    """Bytes that the files take on the medium, not their apparent size."""
    sources: dict[str, SourceStats] = field(default_factory=dict)

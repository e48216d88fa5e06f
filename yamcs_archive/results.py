"""The library's results: plain frozen values. Imports events, and no storage."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import nlargest, nsmallest
from itertools import accumulate
from operator import attrgetter
from pathlib import Path

from yamcs_archive.event import Event, EventKey, StoredEvent, event_bytes
from yamcs_archive.limits import CONFLICTS_KEPT_BYTES_MAX, CONFLICTS_KEPT_MAX
from yamcs_archive.times import format_rfc3339

_ODD_SHOWN_MAX = 5
"""Largest number of sources with improbable times that a line names."""


@dataclass(frozen=True)
class Appended:
    """The result of appending one event."""

    event: StoredEvent
    """The stored event, with its number and times filled in."""
    duplicate: bool
    """True if the same event was stored already, so that nothing was added."""


@dataclass(frozen=True)
class Conflict:
    """An event that was refused because another one has its key."""

    position: int
    """Its index among the appended events, from 0."""
    stored: StoredEvent
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

    event: StoredEvent
    cursor: str


@dataclass(frozen=True)
class Commit:
    """Events that were stored together; continue after them with ``commits(after=commit.cursor)``."""

    time: int
    """When the commit was made, in microseconds since 1970."""
    events: tuple[StoredEvent, ...]
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
    """How long it took, with the checkpoint before it."""


@dataclass(frozen=True)
class OddTimes:
    """Events of one source whose clock was probably wrong: in the future, or before the year 2001.

    Times are generation times, in microseconds since 1970.
    """

    source: str
    events: int
    first_time: int
    last_time: int
    pruned: bool
    """True for events before 2001 that pruning takes; False for events more than a day in the future, which
    it keeps and does not count."""

    def described(self) -> str:
        """Return these facts in words.

        >>> OddTimes("AOCS", 1, 4_000_000_000_000_000, 4_000_000_000_000_000, False).described()
        '1 of AOCS, from 2096-10-02T07:06:40Z to 2096-10-02T07:06:40Z, stay'
        """
        span = f"from {format_rfc3339(self.first_time)} to {format_rfc3339(self.last_time)}"
        return f"{self.events} of {self.source}, {span}, {'go' if self.pruned else 'stay'}"


@dataclass(frozen=True)
class PruningResult:
    """The result of pruning, or with ``dry_run`` what it would be."""

    horizon: int | None
    """Events generated before it are pruned, in microseconds since 1970; None: nothing was ever pruned."""
    events: int
    """Events that went."""
    size_bytes: int
    """About the bytes that they took; the file keeps them for later events until it is compacted."""
    odd_times: tuple[OddTimes, ...]
    """The first 1,000 sources with events of improbable times, by name."""
    odd_sources: int
    """Number of these sources, those with both kinds twice."""
    damaged: int
    """Blocks before the horizon that cannot be read; their events are counted as far as is known."""
    seconds: float

    def described(self, name: str) -> str:
        """Return one line about the pruning of an instance.

        >>> print(PruningResult(2_000_000, 2, 100, (), 0, 0, 0.1).described("sim"))
        sim: pruned before 1970-01-01T00:00:02Z: 2 events, about 100 bytes, 0.1 s
        """
        horizon = "nothing" if self.horizon is None else f"before {format_rfc3339(self.horizon)}"
        line = f"{name}: pruned {horizon}: {self.events} events, about {self.size_bytes} bytes"
        line += f", {self.seconds:.1f} s"
        if self.odd_sources:
            shown = [odd.described() for odd in self.odd_times[:_ODD_SHOWN_MAX]]
            more = self.odd_sources - len(shown)
            line += f"; improbable times: {'; '.join(shown)}" + (f"; and {more} more" if more else "")
        if self.damaged:
            line += f"; {self.damaged} could not be read"
        return line


@dataclass(frozen=True)
class Fault:
    """Something stored that a verification found wrong."""

    where: str
    """The sub-database, and the key in hexadecimal, the name of a source, or the number of a commit. Of the
    commit log, the segment's file and the place in it in bytes, or the numbers of records."""
    reason: str
    first: EventKey | None = None
    """The keys of the first and the last event concerned, as far as they are known."""
    last: EventKey | None = None
    events: int | None = None
    """The number of events concerned, if it is known."""
    keys: tuple[EventKey, ...] = ()
    """The keys of all events concerned, where each is known: of the events that a salvage lost."""


@dataclass(frozen=True)
class Verification:
    """What a verification read, and what it found."""

    events: int
    young_events: int
    """Events that are not in blocks yet."""
    blocks: int
    commits: int
    sources: int
    seconds: float
    fault_count: int
    faults: tuple[Fault, ...]
    """The first 1,000 faults."""


@dataclass(frozen=True)
class Salvage:
    """What a salvage saved of one instance, and what it could not save."""

    events: int
    """Events that are in the new instance."""
    lost_events: int | None
    """Events that are not; None if nobody knows how many there were."""
    losses: tuple[Fault, ...]
    """What is lost: events, with their range of keys and their number as far as they are known, the times of
    commits, the state of a source, a request's id, a fact of the instance. Empty if everything was saved."""
    seconds: float


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
    """Bytes that the files take on the medium, the commit log too; not their apparent size."""
    sources: dict[str, SourceStats] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        """What a notebook shows: the numbers, and the sources with most events."""
        from yamcs_archive import notebook  # noqa: PLC0415  # only notebooks need it

        most = nlargest(notebook.ROWS_MAX, self.sources.items(), key=lambda item: item[1].events)
        first, last = notebook.time_text(self.first_time), notebook.time_text(self.last_time)
        title = f"{self.name}: {self.events} events from {first} to {last}" if self.events else self.name
        head = ["source", "events", "greatest number", "newest", "duplicates", "conflicts", "expired"]
        rows = [
            (name, of.events, of.greatest_number, newest, of.duplicates, of.conflicts, of.expired)
            for name, of in most
            for newest in [notebook.time_text(of.greatest_time)]
        ]
        more = f"and {len(self.sources) - len(most)} more" if len(self.sources) > len(most) else ""
        return notebook.table(title, head, rows, more)


@dataclass(frozen=True)
class StoredForms:
    """In which forms an instance is stored. Earlier ones are read, and rewritten by a writer."""

    format: int
    """The version of the format; see ``docs/format.md``."""
    newest_format: int
    """The version that this program writes: a writer makes it of an earlier one when it opens the instance.
    Programs that know only the earlier one do not read it any more then."""
    rows: int
    """Events that version 1 stored one by one: the same writer puts them into blocks."""
    zone_maps: int
    uncounted_zone_maps: int
    """Those without numbers of events by severity: counting by severity reads their blocks."""
    blocks: int
    large_blocks: int
    """Blocks with a frame that is larger than later versions write: reading one event takes more memory."""
    damaged: int
    """Blocks and zone maps whose form cannot be told; see :meth:`Instance.verify`."""

    @property
    def is_current(self) -> bool:
        """True if nothing is of an earlier form.

        >>> StoredForms(2, 2, 0, 2, 1, 2, 0, 0).is_current, StoredForms(1, 2, 0, 2, 0, 2, 0, 0).is_current
        (False, False)
        """
        whole = not self.uncounted_zone_maps and not self.large_blocks
        return whole and self.format == self.newest_format

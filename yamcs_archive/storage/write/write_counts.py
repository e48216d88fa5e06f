"""The writer's counters: plain integers that change once for each group, and are read by other threads.

1. Only the thread that commits changes them, so they need no lock. A reader may see one of them a moment
   before another.
2. Nothing is counted for each event: a group knows how many events it stored, its events are in order of
   time, and the outcomes of refused events are looked at only if there are some.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from yamcs_archive.activity import (
    COMMIT_EVENTS,
    COMMIT_SECONDS,
    Distribution,
    InstanceActivity,
)
from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.storage.write.outcomes import Group

LATE_US = 60_000_000
"""Age at its commit from which on an event is late, in microseconds: that at which an archive
rests, so that a later event may have to be merged into a block."""


class WriteCounts:
    """The counters of one writer."""

    __slots__ = (
        *("commits_failed", "conflicts", "duplicates", "expired", "late", "stored"),
        *("_by_events", "_by_seconds", "_seconds"),
    )

    def __init__(self) -> None:
        self.stored = self.duplicates = self.conflicts = self.expired = self.late = 0
        self.commits_failed = 0
        self._by_seconds = [0] * (len(COMMIT_SECONDS) + 1)
        self._by_events = [0] * (len(COMMIT_EVENTS) + 1)
        self._seconds = 0.0

    def committed(self, groups: Sequence[Group], late: int, seconds: float) -> None:
        """Count the events that a commit stored, and its time."""
        stored = groups[0].events.size if len(groups) == 1 else sum([group.events.size for group in groups])
        if stored:
            self.stored += stored
            self.late += late
            self._seconds += seconds
            self._by_seconds[bisect_left(COMMIT_SECONDS, seconds)] += 1
            self._by_events[bisect_left(COMMIT_EVENTS, stored)] += 1

    def refused(self, groups: Sequence[Group]) -> None:
        """Count the events of groups that were not stored."""
        for group in groups:
            for outcome in group.outcomes:
                self.duplicates += len(outcome.duplicates)
                self.conflicts += len(outcome.conflicts.positions)
                self.expired += len(outcome.expired)

    def activity(self, stale_readers_cleared: int) -> InstanceActivity:
        """Return the counters as they are now; for any thread."""
        return InstanceActivity(
            self.stored,
            self.duplicates,
            self.conflicts,
            self.expired,
            self.late,
            self.commits_failed,
            Distribution(COMMIT_SECONDS, tuple(self._by_seconds), self._seconds),
            Distribution(COMMIT_EVENTS, tuple(self._by_events), float(self.stored)),
            stale_readers_cleared,
        )


def late_in(events: Columns[int] | StoredVectors, commit_time: int) -> int:
    """Return how many events are late at that time; they are in order of their own times."""
    before = commit_time - LATE_US
    if isinstance(events, StoredVectors):
        return int(events.times.searchsorted(before))
    times = events.generation_time
    if times[-1] < before:
        return len(times)
    return bisect_left(times, before) if times[0] < before else 0

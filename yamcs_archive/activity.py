"""What an instance did since it was opened, and what it holds now, in numbers that are cheap to read.

Plain frozen values. Nothing here depends on the number of events or sources, so that a monitor may ask every
few seconds. Imports events' results, and no storage.
"""

from __future__ import annotations

from dataclasses import dataclass

COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes of commits by their time, in seconds: a fast disk syncs in less than the first,
and a stalled one takes more than the last."""
COMMIT_EVENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
"""Upper bounds of the classes of commits by their number of events; a commit has 20,000 at most."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Numbers of values by class, and the sum of all values.

    >>> Distribution((1.0, 5.0), (2, 0, 1), 9.5).count
    3
    """

    bounds: tuple[float, ...]
    """The greatest value of each class but the last, which has no bound."""
    counts: tuple[int, ...]
    """The number of values in each class: one more than there are bounds."""
    total: float
    """The sum of the values."""

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.counts)

    def __add__(self, other: Distribution) -> Distribution:
        """Return the distribution of the values of both; they must have the same bounds."""
        counts = tuple(one + more for one, more in zip(self.counts, other.counts, strict=True))
        return Distribution(self.bounds, counts, self.total + other.total)


NO_COMMIT_SECONDS = Distribution(COMMIT_SECONDS, (0,) * (len(COMMIT_SECONDS) + 1), 0.0)
NO_COMMIT_EVENTS = Distribution(COMMIT_EVENTS, (0,) * (len(COMMIT_EVENTS) + 1), 0.0)


@dataclass(frozen=True, slots=True)
class InstanceActivity:
    """What was appended to an instance since this process opened it. Each number only grows."""

    stored: int = 0
    """Events that were stored."""
    duplicates: int = 0
    conflicts: int = 0
    expired: int = 0
    """Events that were refused, by the reason."""
    late: int = 0
    """Stored events that were generated more than a minute before their commit."""
    commits_failed: int = 0
    """Groups of appends that were not committed, for lack of space or after another failure."""
    commit_seconds: Distribution = NO_COMMIT_SECONDS
    """How long each commit that stored events took, fsync included."""
    commit_events: Distribution = NO_COMMIT_EVENTS
    """How many events each of these commits stored."""
    stale_readers_cleared: int = 0
    """Readers in LMDB's table whose process had ended, and which were removed."""

    def __add__(self, other: InstanceActivity) -> InstanceActivity:
        """Return the numbers of both together."""
        return InstanceActivity(
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.conflicts + other.conflicts,
            self.expired + other.expired,
            self.late + other.late,
            self.commits_failed + other.commits_failed,
            self.commit_seconds + other.commit_seconds,
            self.commit_events + other.commit_events,
            self.stale_readers_cleared + other.stale_readers_cleared,
        )


@dataclass(frozen=True, slots=True)
class InstanceUsage:
    """What an instance holds and uses at this moment. Sizes are bytes."""

    young_events: int
    """Events that are not in blocks yet."""
    blocks: int
    map_bytes: int
    """Address space that is reserved for its file; it grows when it is full."""
    map_used_bytes: int
    """How much of that the file has come to use; pages that later events may reuse count too."""
    file_bytes: int
    """Bytes that its files take on the medium: LMDB's, and the commit log with its space for what comes."""
    readers: int
    """Places in use in LMDB's table of readers, of all processes: threads that read, or have read."""
    oldest_reader_seconds: float
    """For how long the oldest read transaction has kept pages from being reused; 0 if none does."""
    checkpoint_backlog_seconds: float
    """For how long a full memory table has waited to be put into blocks; 0 if none does, and where nobody
    would do that because the archive is open for reading."""


@dataclass(frozen=True, slots=True)
class MirrorLag:
    """How far a copy that follows a served instance is behind it."""

    instance: str
    seconds: float
    """Time since the copy last had everything that its source has; 0 if it has now."""
    following: bool
    """False once it has stopped to follow its source."""

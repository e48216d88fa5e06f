"""Retention: the horizon that a rule asks for, and what is before it. Reads only.

1. All rules go by generation time, and none puts the horizon after the archive's clock: every event that
   comes later would be expired. The horizon never goes back.
2. Days are counted from the archive's clock, not from the newest event. Events and bytes are counted from the
   newest end of the ordinary range, which ends a day after the clock. So an event of a clock in 2099 neither
   takes all others with it nor counts as one of those that are kept; it is named in the report.
3. If the clock is more than a year later than the newest commit, days cannot be counted from it.
4. Blocks are read by their key columns, or not at all where their number of events is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from yamcs_archive.errors import DamagedError, InvalidInputError
from yamcs_archive.event_vectors import DictColumn, Int64s, StoredVectors
from yamcs_archive.limits import DAY_US, ODD_AFTER_US, ODD_BEFORE_US, ODD_SOURCES_MAX, TIME_MIN_US, YEAR_US
from yamcs_archive.results import OddTimes
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.commits import Run, decode_commit
from yamcs_archive.storage.format.keys import (
    BEFORE_ALL,
    BEYOND_ALL,
    TIME_BYTES,
    decode_times,
    time_bound,
)
from yamcs_archive.storage.format.zone_maps import ZoneMap, commit_filter
from yamcs_archive.storage.read.metadata import head_commit, seek_commit
from yamcs_archive.storage.read.range_reader import RangeReader, Slice
from yamcs_archive.times import format_rfc3339

_YOUNG_BYTES = 100
"""About the bytes that a young event takes in the log."""
_PAGE_BYTES = 4096


class Rule(NamedTuple):
    """What is to be kept; None: no bound. With several the latest horizon counts."""

    before: int | None = None
    """Events generated before that time go; microseconds since 1970."""
    keep_days: int | None = None
    max_bytes: int | None = None
    max_events: int | None = None


class Reading(NamedTuple):
    """What is read, and how."""

    environment: Environment
    events_max: int
    """Largest number of young events that are read in one transaction."""
    go_on: Callable[[], None]
    """Called now and then; raises when reading is to end."""

    def slices(self, lower: bytes, upper: bytes, opener: _Opener) -> Iterator[Slice]:
        """Yield the slices of a range in key order."""
        for slice_ in RangeReader(self.environment, self.events_max, cache=opener).slices(lower, upper):
            self.go_on()
            yield slice_


def horizon_of(rule: Rule, reading: Reading, old: int | None, now: int) -> int | None:
    """Return the horizon that a rule asks for at a time, never before the ``old`` one.

    Raises InvalidInputError for a time after ``now``, and for ``keep_days`` if the clock cannot be right.
    """
    found = old
    if rule.before is not None:
        if rule.before > now:
            why = (
                f"must not be later than the archive's clock, {format_rfc3339(now)}: all events until then"
                " would be refused"
            )
            raise InvalidInputError("before", format_rfc3339(rule.before), why)
        found = _later(found, rule.before)
    if rule.keep_days is not None:
        refuse_clock(rule.keep_days, newest_commit_time(reading.environment), now)
        found = _later(found, max(TIME_MIN_US, now - rule.keep_days * DAY_US))
    if rule.max_events is not None:
        found = _later(found, _counted(reading, found, now, rule.max_events, lambda _, events: events))
    if rule.max_bytes is not None:
        found = _later(found, _counted(reading, found, now, rule.max_bytes, _bytes_of))
    return found


def _later(one: int | None, other: int | None) -> int | None:
    return max((time for time in (one, other) if time is not None), default=None)


def refuse_clock(keep_days: int, newest_commit: int | None, now: int) -> None:
    """Raise InvalidInputError if the clock is so late that it is probably wrong: all events would go."""
    if newest_commit is not None and now - newest_commit > YEAR_US:
        why = (
            "cannot be counted: the archive's clock is more than a year later than the newest commit; set the"
            " clock, or give the time itself"
        )
        raise InvalidInputError("keep_days", keep_days, why)


def newest_commit_time(environment: Environment) -> int | None:
    """Return the time of the newest commit; None if there is none, or if its record is damaged."""
    with environment.snapshot() as snapshot, suppress(DamagedError):
        if (newest := head_commit(environment, snapshot)) is not None:
            return newest.times[-1]
    return None


def _counted(
    reading: Reading, old: int | None, now: int, most: int, weigh: Callable[[Slice, int], float]
) -> int | None:
    """Return the least horizon after which the events of the ordinary range weigh ``most`` at most.

    None if all of them do. ``weigh`` returns the weight of a slice with that many events.
    """
    lower = BEFORE_ALL if old is None else time_bound(old)
    upper = time_bound(now + ODD_AFTER_US + 1)
    reader = RangeReader(reading.environment, reading.events_max, cache=_Opener(columns=False))
    left = float(most)
    for slice_ in reader.slices(lower, upper, descending=True):
        reading.go_on()
        events = len(slice_.young) + len(slice_.block_indexes)
        if not events:
            continue
        weight = weigh(slice_, events)
        if weight <= left:
            left -= weight
            continue
        kept = int(left * events / weight)
        times = np.sort(_times_of(slice_))[::-1]
        # The first one that is too many goes, and with it all others of its time.
        return min(int(times[min(kept, len(times) - 1)]) + 1, now)
    return None


def _bytes_of(slice_: Slice, _: int) -> float:
    """Return about the bytes that the events of a slice take: a block takes whole pages."""
    found = float(_YOUNG_BYTES * len(slice_.young))
    block = slice_.block
    if block is not None:
        pages = -(-block.size_bytes // _PAGE_BYTES)
        found += pages * _PAGE_BYTES * len(slice_.block_indexes) / block.count
    return found


def _times_of(slice_: Slice) -> Int64s:
    within = slice_.block_indexes
    young = decode_times(b"".join([key[:TIME_BYTES] for key in slice_.young.keys]))
    return (
        young
        if slice_.block is None
        else np.concatenate((young, slice_.block.times[within.start : within.stop]))
    )


class Survey:
    """What the events of a part of the archive are: their number by source, size, commits and odd times."""

    def __init__(self) -> None:
        self.events: dict[str, int] = {}
        self.size_bytes = 0.0
        self.greatest_commit = 0
        self.damaged = 0
        """Blocks that cannot be read."""
        self._odd: dict[tuple[str, bool], tuple[int, int, int]] = {}

    @property
    def total(self) -> int:
        """The number of all events."""
        return sum(self.events.values())

    @property
    def odd_sources(self) -> int:
        """The number of sources with odd times, for each kind."""
        return len(self._odd)

    def odd_times(self) -> tuple[OddTimes, ...]:
        """Return the odd times of the first sources."""
        first = sorted(self._odd)[:ODD_SOURCES_MAX]
        return tuple(OddTimes(source, *self._odd[source, pruned], pruned) for source, pruned in first)

    def take_all(self, reading: Reading, lower: bytes, upper: bytes, upto: int) -> None:
        """Add the events of a range that the commits up to ``upto`` stored."""
        opener = _Opener()
        for slice_ in reading.slices(lower, upper, opener):
            self.size_bytes += _bytes_of(slice_, 0)
            error, opener.error = opener.error, None
            self._take(slice_, 0, upto, error)

    def take_newer(self, reading: Reading, lower: bytes, upper: bytes, commits: range) -> None:
        """Add the events of a range that these commits stored."""
        if not commits:
            return
        for lowest, greatest, run in _runs_of(reading.environment, commits):
            reader = RangeReader(reading.environment, reading.events_max, cache=_Opener())
            wanted = commit_filter(lowest, greatest)
            for slice_ in reader.slices(max(lower, run.first), min(upper, run.last + b"\0"), wanted=wanted):
                self._take(slice_, lowest, greatest, None)

    def take_future(self, reading: Reading, lower: bytes, now: int) -> None:
        """Note the events from a bound on that are more than a day later than ``now``."""
        for slice_ in reading.slices(max(lower, time_bound(now + ODD_AFTER_US + 1)), BEYOND_ALL, _Opener()):
            for times, sources, _ in _parts(slice_):
                self._note_odd(times, sources, pruned=False)

    def _take(self, slice_: Slice, lowest: int, greatest: int, error: DamagedError | None) -> None:
        zone_map = slice_.zone_map
        if error is not None and zone_map is not None:
            self._take_damaged(zone_map)
        for times, sources, commits in _parts(slice_):
            wanted = (lowest <= commits) & (commits <= greatest)
            if not wanted.any():
                continue
            codes = sources.codes[wanted]
            self.greatest_commit = max(self.greatest_commit, int(commits[wanted].max()))
            counts = np.bincount(codes, minlength=len(sources.values))
            for code in np.flatnonzero(counts).tolist():
                name = sources.values[code]
                self.events[name] = self.events.get(name, 0) + int(counts[code])
            old = times[wanted] < ODD_BEFORE_US
            if old.any():
                self._note_odd(times[wanted][old], sources._replace(codes=codes[old]), pruned=True)

    def _take_damaged(self, zone_map: ZoneMap) -> None:
        """Note a block that cannot be read: the source of its events is known if there is only one."""
        self.damaged += 1
        self.greatest_commit = max(self.greatest_commit, zone_map.greatest_commit)
        names = zone_map.sources[1:-1].decode(errors="replace").split("\0")
        if zone_map.sources[:1] == b"\0" and len(names) == 1:
            self.events[names[0]] = self.events.get(names[0], 0) + zone_map.events

    def _note_odd(self, times: Int64s, sources: DictColumn, *, pruned: bool) -> None:
        for code in np.flatnonzero(np.bincount(sources.codes)).tolist():
            own = times[sources.codes == code]
            key = (sources.values[code], pruned)
            count, first, last = self._odd.get(key, (0, int(own[0]), int(own[0])))
            self._odd[key] = count + len(own), min(first, int(own.min())), max(last, int(own.max()))


def _parts(slice_: Slice) -> Iterator[tuple[Int64s, DictColumn, Int64s]]:
    """Yield times, sources and commits of the young events of a slice, and of its block."""
    if slice_.young:
        yield _columns_of(slice_.young.vectors())
    block = slice_.block
    if block is not None:
        within = slice_.block_indexes
        cut = slice(within.start, within.stop)
        sources = block.sources
        yield block.times[cut], sources._replace(codes=sources.codes[cut]), block.commits[cut]


def _columns_of(events: StoredVectors) -> tuple[Int64s, DictColumn, Int64s]:
    return events.times, events.sources, events.commits


def _runs_of(environment: Environment, commits: range) -> Iterator[tuple[int, int, Run]]:
    """Yield the runs of new commits, each with the first and the last of its commits that are new."""
    with environment.snapshot() as (transaction, young):
        cursor = transaction.cursor(environment.databases["commits"])
        pairs = list(cursor.iternext()) if seek_commit(cursor, commits.start) else []
        records = list(young.commits(commits.start))
    for record in (*(decode_commit(*pair) for pair in pairs), *records):
        lowest, greatest = max(record.first, commits.start), min(record.last, commits.stop - 1)
        if lowest <= greatest:
            yield from ((lowest, greatest, run) for run in record.runs)


class _Opener:
    """Opens blocks for a reader; one whose key columns cannot be read is left out."""

    def __init__(self, *, columns: bool = True) -> None:
        self._columns = columns  # False: only the number of events is asked for, of nearly all blocks
        self.error: DamagedError | None = None

    def open(self, key: bytes, value: bytes) -> Block | None:
        """Return the block, None if its key columns cannot be read."""
        try:
            block = Block(key, value)
            if self._columns:
                _ = block.commits, block.times, block.sources
        except DamagedError as error:
            self.error = error
            return None
        return block

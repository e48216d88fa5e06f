"""What the sequence numbers show: gaps, restarts, repeated numbers, steps of clocks; for all sources; pure.

1. Gaps go by numbers, not by times: an event that is late, or whose time is wrong, leaves none.
2. A source restarts where, in the order of times, its number falls from above 1 to 0, 1 or the least int32.
   But not if the numbering has such a start already, and not this number: 0 and 1 may change places. And not
   if all of its numbers so far were received later: they are of late events, numbered as they came.
3. Memory is bounded: a source whose numbers do not count, and the one with most gaps when there are too many,
   is followed no longer, and its report says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from yamcs_archive.event_vectors import Int64s
from yamcs_archive.limits import SEQ_NUMBER_MIN, TIME_MAX_US
from yamcs_archive.pass_report.analysis.grouping import Grouped
from yamcs_archive.pass_report.analysis.number_runs import Numbered, NumberRuns, smooth_groups
from yamcs_archive.pass_report.findings import Gap, Jump, Numbers, Restart
from yamcs_archive.pass_report.limits import (
    RESTARTS_MAX,
    RUNS_MAX,
    SCATTERED_EARLY_RUNS,
    SCATTERED_RUNS,
)

COUNTING, SCATTERED = "counting", "scattered"
MANY_GAPS, MANY_RESTARTS = "too many gaps", "too many restarts"
_FIRST_NUMBERS = (0, 1, SEQ_NUMBER_MIN)
_NEVER = TIME_MAX_US + 1


class _Bounds(NamedTuple):
    """Bounds of some events of one source. They are found for all sources at once, not for each."""

    least: int
    greatest: int
    earliest: int
    """The reception time of the one that was received first."""
    smooth: bool
    """Numbers are neighbours, with no step of times between them."""

    @classmethod
    def of(cls, events: Grouped, late_after_us: int) -> Iterator[_Bounds]:
        """Yield those of each group."""
        least, greatest, earliest = (
            extreme.reduceat(column, events.starts).tolist()
            for extreme, column in (
                (np.minimum, events.numbers),
                (np.maximum, events.numbers),
                (np.minimum, events.received),
            )
        )
        return map(cls, least, greatest, earliest, smooth_groups(events, late_after_us))


class _Source:
    """The numbers of one source."""

    def __init__(self, name: str, late_after_us: int, top: int) -> None:
        self.name = name
        self.kind = COUNTING
        self.runs = NumberRuns(late_after_us)
        self.least, self.greatest = 2**31, -(2**31) - 1
        self.gap_count = self.missing = self.outside = self.repeated = self.restart_count = 0
        self.back = self.forth = 0
        self.gaps: list[Gap] = []
        self.restarts: list[Restart] = []
        self.jumps: list[Jump] = []
        self._late_after_us, self._top = late_after_us, top
        self._earlier_numbers = self._earlier_runs = 0
        self._earliest = _NEVER
        """The reception time of the first received event of this numbering."""
        self._previous = 0
        """The number of the last event, in the order of times; at first one from which none falls."""

    def add(self, events: Numbered, bounds: _Bounds) -> None:
        """Add events in the order of times."""
        numbers, times, received = events
        self.least = min(self.least, bounds.least)
        self.greatest = max(self.greatest, bounds.greatest)
        if self.kind != COUNTING:
            return
        if bounds.smooth and self.runs.add_run(events):
            self._earliest = min(self._earliest, bounds.earliest)
            self._previous = bounds.greatest
            return
        begin = 0
        for at in self._candidates(numbers):
            number = int(numbers[at])
            if self._restarts(number, int(received[at]), numbers[begin:at], received[begin:at]):
                self._use(numbers[begin:at], times[begin:at], received[begin:at])
                self._end_numbering()
                previous = int(numbers[at - 1]) if at else self._previous
                self._note_restart(number, int(times[at]), previous)
                begin = at
                if self.restart_count > RESTARTS_MAX:
                    self.give_up(MANY_RESTARTS)
                    return
        self._previous = int(numbers[-1])
        self._use(numbers[begin:], times[begin:], received[begin:])
        if self.runs.count > SCATTERED_EARLY_RUNS and 2 * self.runs.count > self.runs.numbers:
            self.give_up(SCATTERED)

    def _candidates(self, numbers: Int64s) -> list[int]:
        """Return where a number falls to a first one."""
        if numbers[0] > 1 and not (numbers <= 1).any():
            return []
        before = np.append(self._previous, numbers[:-1])
        found: list[int] = np.flatnonzero((before > 1) & np.isin(numbers, _FIRST_NUMBERS)).tolist()
        return found

    def _restarts(self, number: int, received: int, unused: Int64s, unused_received: Int64s) -> bool:
        """Return whether a numbering ends before this number; some of its events are not in the runs yet."""
        earliest = self._earliest if not len(unused) else min(self._earliest, int(unused_received.min()))
        if received < earliest:
            return False
        if (unused == number).any() or bool(self.runs.has(np.array([number]))[0]):
            return True
        known = [int(unused.min())] if len(unused) else []
        known += [self.runs.least] if self.runs.count else []
        return min(known) > 1

    def _use(self, numbers: Int64s, times: Int64s, received: Int64s) -> None:
        if not len(numbers):
            return
        self._earliest = min(self._earliest, int(received.min()))
        events = _by_number(numbers, times, received)
        self.repeated += len(numbers) - len(events.numbers) + self.runs.add(events)

    def fill(self, events: Numbered) -> None:
        """Take out of the gaps what events outside of the window have.

        Not where the source has restarted: nobody knows to which of its numberings they belong.
        """
        if self.kind == COUNTING and not self.restart_count and self.runs.count > 1:
            self.outside += self.runs.fill(_by_number(*events))

    def _note_restart(self, number: int, time: int, previous: int) -> None:
        self.restart_count += 1
        if len(self.restarts) < self._top:
            self.restarts.append(Restart(source=self.name, time=time, number=number, previous=previous))

    def _end_numbering(self) -> None:
        """Take up what the numbering so far has shown; the next one begins."""
        runs = self.runs
        runs.finish()
        count, missing = runs.gaps()
        self.gap_count += count
        self.missing += missing
        for hole in runs.largest_holes(self._top):
            gap = Gap(
                source=self.name,
                first=hole.first,
                last=hole.last,
                missing=hole.last - hole.first + 1,
                after=hole.after,
                before=hole.before,
            )
            self.gaps.append(gap)
        self.gaps = sorted(self.gaps, key=largest_gap_first)[: self._top]
        for step in runs.steps:
            by_us = step.time - step.before
            self.back += by_us < 0
            self.forth += by_us > 0
            self.jumps.append(
                Jump(
                    source=self.name,
                    number=step.number,
                    before=step.before,
                    time=step.time,
                    received=step.received,
                    step_us=by_us,
                )
            )
        self.jumps = sorted(self.jumps, key=largest_jump_first)[: self._top]
        self._earlier_numbers += runs.numbers
        self._earlier_runs += runs.count
        self.runs = NumberRuns(self._late_after_us)
        self._earliest = _NEVER

    def give_up(self, kind: str) -> None:
        """Follow the numbers no longer."""
        self.kind = kind
        self.runs = NumberRuns(self._late_after_us)
        self.gaps, self.jumps = [], []

    def finish(self) -> None:
        """Take up the last numbering."""
        if self.kind != COUNTING:
            return
        self._end_numbering()
        if self._earlier_runs > SCATTERED_RUNS and 2 * self._earlier_runs > self._earlier_numbers:
            self.give_up(SCATTERED)

    def found(self) -> Numbers:
        """Return what was found; after :meth:`finish`."""
        counts = self.kind == COUNTING
        return Numbers(
            kind=self.kind,
            least=self.least,
            greatest=self.greatest,
            gaps=self.gap_count if counts else None,
            missing=self.missing if counts else None,
            restarts=self.restart_count,
            outside=self.outside,
            repeated=self.repeated,
            jumps_back=self.back if counts else None,
            jumps_forth=self.forth if counts else None,
        )


def _by_number(numbers: Int64s, times: Int64s, received: Int64s) -> Numbered:
    """Return events in the order of their numbers; of those with equal numbers the first."""
    if len(numbers) > 1 and not (numbers[1:] > numbers[:-1]).all():
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        order = order[np.append(True, ordered[1:] != ordered[:-1])]
        numbers, times, received = numbers[order], times[order], received[order]
    return Numbered(numbers, times, received)


class Numbering:
    """The numbers of all sources; ``top`` is the length of the lists that are kept."""

    def __init__(self, late_after_us: int, top: int, runs_max: int = RUNS_MAX) -> None:
        self._late_after_us, self._top, self._runs_max = late_after_us, top, runs_max
        self._sources: dict[int, _Source] = {}
        self._runs = 0

    def add(self, events: Grouped, names: list[str]) -> None:
        """Add the events of a window; ``names`` are those of all rows."""
        found = _Bounds.of(events, self._late_after_us)
        groups = zip(
            events.groups.tolist(), events.starts.tolist(), events.stops.tolist(), found, strict=True
        )
        for row, start, stop, bounds in groups:
            source = self._sources.get(row)
            if source is None:
                source = self._sources[row] = _Source(names[row], self._late_after_us, self._top)
            before = source.runs.count
            cut = slice(start, stop)
            numbered = Numbered(events.numbers[cut], events.times[cut], events.received[cut])
            source.add(numbered, bounds)
            self._runs += source.runs.count - before
        while self._runs > self._runs_max:
            most = max(self._sources.values(), key=lambda source: source.runs.count)
            self._runs -= most.runs.count
            most.give_up(MANY_GAPS)

    @property
    def has_gaps(self) -> bool:
        """Whether numbers seem to be missing."""
        return any(source.runs.count > 1 for source in self._sources.values())

    def fill(self, events: Grouped) -> None:
        """Take out of the gaps what events outside of the window have."""
        bounds = zip(events.groups.tolist(), events.starts.tolist(), events.stops.tolist(), strict=True)
        for row, start, stop in bounds:
            cut = slice(start, stop)
            self._sources[row].fill(Numbered(events.numbers[cut], events.times[cut], events.received[cut]))

    def finish(self) -> None:
        """Take up what the last numbering of each source shows."""
        for source in self._sources.values():
            source.finish()

    def of(self, row: int) -> Numbers:
        """Return what the numbers of a source show."""
        return self._sources[row].found()

    def gaps(self) -> list[Gap]:
        """Return the largest gaps, the largest first."""
        return sorted(self._each("gaps"), key=largest_gap_first)[: self._top]

    def restarts(self) -> list[Restart]:
        """Return the first restarts."""
        return sorted(self._each("restarts"), key=lambda found: (found.time, found.source))[: self._top]

    def jumps(self) -> list[Jump]:
        """Return the largest steps of clocks, the largest first."""
        return sorted(self._each("jumps"), key=largest_jump_first)[: self._top]

    def _each(self, kind: str) -> Iterator[Any]:
        return (found for source in self._sources.values() for found in getattr(source, kind))


def largest_gap_first(gap: Gap) -> tuple[int, str, int]:
    """Return by what gaps are sorted."""
    return -gap.missing, gap.source, gap.first


def largest_jump_first(jump: Jump) -> tuple[int, str, int]:
    """Return by what steps are sorted."""
    return -abs(jump.step_us), jump.source, jump.number

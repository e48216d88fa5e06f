"""The numbers that one source used since it began to count, as runs of neighbours; pure.

1. A run has its first and last number and, to find steps of the clock, times of its first two and last two
   events. Events come in the order of times; a number counts once, with the first event that has it.
2. Neighbours whose times step as if the clock was set stay apart until it is known what the events around
   them show (rule 3), and are then joined. So there are as many runs as gaps, and a few more.
3. A step is a clock's only if it lies between the two events before it and the two after it, and if from the
   first to the second of these the clock went as the archive's did. Otherwise it is a single event that is
   late, or whose time is wrong, or some that are late, each by another delay.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import Int64s
from yamcs_archive.limits import ODD_BEFORE_US
from yamcs_archive.pass_report.analysis.grouping import Grouped
from yamcs_archive.pass_report.limits import JUMP_BACK_US, JUMP_FORTH_US, PACE_US_MAX

Flags = npt.NDArray[np.bool_]
_FIRST, _LAST, _T1, _T2, _R1, _R2, _T9, _T8, _R9 = range(9)
"""The columns of a run: first and last number; times of the first event and of the second, reception times of
both; times of the last event and of the one before it, reception time of the last."""


class Numbered(NamedTuple):
    """Events of one source with distinct, rising numbers."""

    numbers: Int64s
    times: Int64s
    received: Int64s


class Step(NamedTuple):
    """A step of a clock, before the event with a number."""

    number: int
    before: int
    time: int
    received: int


class Hole(NamedTuple):
    """A gap: the missing numbers, and the times of the events before and after it."""

    first: int
    last: int
    after: int
    before: int


class NumberRuns:
    """The runs of one numbering of one source; ``late_after_us`` is the delay from which an event is late.

    >>> runs = NumberRuns(late_after_us=60_000_000)
    >>> numbers = np.array([1, 2, 5])
    >>> runs.add(Numbered(numbers, numbers * 10, numbers * 10))
    0
    >>> runs.numbers, runs.gaps(), runs.largest_holes(1)
    (3, (1, 2), [Hole(first=3, last=4, after=20, before=50)])
    """

    __slots__ = ("_late_after_us", "_runs", "numbers", "steps")

    def __init__(self, late_after_us: int) -> None:
        self._late_after_us = late_after_us
        self._runs: npt.NDArray[np.int64] = np.empty((0, _R9 + 1), np.int64)
        self.numbers = 0
        """How many distinct numbers there are."""
        self.steps: list[Step] = []
        """Steps that are known for sure; all of them after :meth:`finish`."""

    @property
    def count(self) -> int:
        """The number of runs."""
        return len(self._runs)

    @property
    def least(self) -> int:
        """The least number."""
        return int(self._runs[0, _FIRST])

    @property
    def greatest(self) -> int:
        """The greatest number."""
        return int(self._runs[-1, _LAST])

    def has(self, numbers: Int64s) -> Flags:
        """Return which numbers were used before."""
        if not self.count:
            return np.zeros(len(numbers), np.bool_)
        at = self._runs[:, _FIRST].searchsorted(numbers, "right") - 1
        found: Flags = (at >= 0) & (numbers <= self._runs[np.maximum(at, 0), _LAST])
        return found

    def add(self, events: Numbered) -> int:
        """Add events, all later than those before; return how many have a number that was used before."""
        repeated = 0
        if self.count and events.numbers[0] <= self.greatest:
            before = self.has(events.numbers)
            repeated = int(np.count_nonzero(before))
            if repeated:
                events = Numbered._make(column[~before] for column in events)
        if len(events.numbers):
            self.numbers += len(events.numbers)
            self._join(self._runs_of(events))
        return repeated

    def add_run(self, events: Numbered) -> bool:
        """Lengthen the last run by events whose numbers are neighbours, with no step between them.

        False, and nothing is added, where that is not so.
        """
        numbers, times, received = events
        if not self.count or len(numbers) < 2:
            return False
        end = self._runs[-1]
        if numbers[0] != end[_LAST] + 1:
            return False
        if _is_step(int(end[_T9]), int(times[0]), int(end[_R9]), int(received[0]), self._late_after_us):
            return False
        if end[_FIRST] == end[_LAST]:
            end[_T2], end[_R2] = times[0], received[0]
        end[_LAST], end[_T9], end[_T8], end[_R9] = numbers[-1], times[-1], times[-2], received[-1]
        self.numbers += len(numbers)
        return True

    def fill(self, events: Numbered) -> int:
        """Add the events from outside of the window whose numbers are missing in it; return how many."""
        if not self.count:
            return 0
        numbers = events.numbers
        wanted = (numbers > self.least) & (numbers < self.greatest)
        wanted &= ~self.has(numbers)
        if not wanted.any():
            return 0
        events = Numbered._make(column[wanted] for column in events)
        self._join(self._runs_of(events))
        return len(events.numbers)

    def finish(self) -> None:
        """Find the steps that are left; neighbours are now those that have no other number between them."""
        runs = self._runs
        if len(runs) > 1:
            self._note(runs, self._is_clocks(runs, np.ones(len(runs) - 1, np.bool_)))

    def largest_holes(self, most: int) -> list[Hole]:
        """Return the largest gaps, the largest first, of equal ones the one with lower numbers."""
        gaps = np.flatnonzero(self._gaps())
        sizes = self._runs[gaps + 1, _FIRST] - self._runs[gaps, _LAST]
        return [self._hole(int(at)) for at in gaps[np.argsort(-sizes, kind="stable")[:most]]]

    def gaps(self) -> tuple[int, int]:
        """Return the number of gaps, and of the numbers in them."""
        apart = self._runs[1:, _FIRST] - self._runs[:-1, _LAST] - 1
        return int(np.count_nonzero(apart)), int(apart.sum())

    def _gaps(self) -> Flags:
        found: Flags = self._runs[1:, _FIRST] > self._runs[:-1, _LAST] + 1
        return found

    def _hole(self, at: int) -> Hole:
        one, other = self._runs[at].tolist(), self._runs[at + 1].tolist()
        return Hole(one[_LAST] + 1, other[_FIRST] - 1, one[_T9], other[_T1])

    def _runs_of(self, events: Numbered) -> npt.NDArray[np.int64]:
        numbers, times, received = events
        size = len(numbers)
        steps = _steps(times[:-1], times[1:], received[:-1], received[1:], self._late_after_us)
        ends = np.append(np.flatnonzero((numbers[1:] != numbers[:-1] + 1) | steps), size - 1)
        begins = np.append(0, ends[:-1] + 1)
        runs = np.empty((len(ends), _R9 + 1), np.int64)
        runs[:, _FIRST], runs[:, _LAST] = numbers[begins], numbers[ends]
        second = np.minimum(begins + 1, ends)
        runs[:, _T1], runs[:, _T2] = times[begins], times[second]
        runs[:, _R1], runs[:, _R2] = received[begins], received[second]
        runs[:, _T9], runs[:, _T8] = times[ends], times[np.maximum(ends - 1, begins)]
        runs[:, _R9] = received[ends]
        return runs

    def _join(self, added: npt.NDArray[np.int64]) -> None:
        """Add runs that share no number with those that are there."""
        runs = added
        if self.count:
            runs = np.concatenate((self._runs, added))
            if added[0, _FIRST] < self.greatest:
                runs = runs[np.argsort(runs[:, _FIRST], kind="stable")]
        if len(runs) > 1:
            follows = runs[1:, _FIRST] == runs[:-1, _LAST] + 1
            if follows.any():
                runs = self._joined(runs, follows)
        self._runs = runs

    def _joined(self, runs: npt.NDArray[np.int64], follows: Flags) -> npt.NDArray[np.int64]:
        """Join neighbours, except where there is a step that only later events can explain."""
        single = runs[:, _FIRST] == runs[:, _LAST]
        # What is before the event before a step, and after the one after it, is known within a run of
        # several, and in a run that is a neighbour.
        known_before = ~single[:-1] | np.append(False, follows[:-1])
        known_after = ~single[1:] | np.append(follows[1:], False)
        known = follows & known_before & known_after
        self._note(runs, known & self._is_clocks(runs, follows))
        joined = follows & (known | ~self._steps_between(runs))
        begins = np.flatnonzero(np.append(True, ~joined))
        ends = np.append(begins[1:], len(runs)) - 1
        found = runs[begins]
        # The second event of a joined run is the first one of its second run if its first run has one event.
        second, last_but_one = np.minimum(begins + 1, ends), np.maximum(ends - 1, begins)
        found[:, _T2] = np.where(single[begins], runs[second, _T1], runs[begins, _T2])
        found[:, _R2] = np.where(single[begins], runs[second, _R1], runs[begins, _R2])
        found[:, _T8] = np.where(single[ends], runs[last_but_one, _T9], runs[ends, _T8])
        for column in (_LAST, _T9, _R9):
            found[:, column] = runs[ends, column]
        return found

    def _steps_between(self, runs: npt.NDArray[np.int64]) -> Flags:
        return _steps(runs[:-1, _T9], runs[1:, _T1], runs[:-1, _R9], runs[1:, _R1], self._late_after_us)

    def _is_clocks(self, runs: npt.NDArray[np.int64], neighbours: Flags) -> Flags:
        """Return between which runs the clock was set; ``neighbours`` says which ones show what is there."""
        single = runs[:, _FIRST] == runs[:, _LAST]
        # The second of the two events before, and after: in the run, if it has several, or in the next one.
        before, known_before = runs[:, _T8].copy(), ~single
        linked = np.flatnonzero(single[1:] & neighbours) + 1
        before[linked], known_before[linked] = runs[linked - 1, _T9], True
        after, after_received, known_after = runs[:, _T2].copy(), runs[:, _R2].copy(), ~single
        linked = np.flatnonzero(single[:-1] & neighbours)
        after[linked], after_received[linked] = runs[linked + 1, _T1], runs[linked + 1, _R1]
        known_after[linked] = True
        last, first, later = runs[:-1, _T9], runs[1:, _T1], after[1:]
        early = before[:-1]
        back = np.minimum(last, early) - np.maximum(first, later) >= JUMP_BACK_US
        forth = np.minimum(first, later) - np.maximum(last, early) >= JUMP_FORTH_US
        drift = (later - first) - (after_received[1:] - runs[1:, _R1])
        found: Flags = self._steps_between(runs) & (back | forth) & (np.abs(drift) <= PACE_US_MAX)
        found &= known_before[:-1] & known_after[1:]
        return found

    def _note(self, runs: npt.NDArray[np.int64], where: Flags) -> None:
        for at in np.flatnonzero(where).tolist():
            one, other = runs[at].tolist(), runs[at + 1].tolist()
            self.steps.append(Step(other[_FIRST], one[_T9], other[_T1], other[_R1]))


def smooth_groups(events: Grouped, late_after_us: int) -> list[bool]:
    """Return of each group whether its numbers are neighbours, with no step between them."""
    numbers, times, received = events.numbers, events.times, events.received
    rough = np.zeros(len(numbers), np.bool_)
    rough[1:] = numbers[1:] != numbers[:-1] + 1
    rough[1:] |= _steps(times[:-1], times[1:], received[:-1], received[1:], late_after_us)
    rough[events.starts] = False
    found: list[bool] = (~np.logical_or.reduceat(rough, events.starts)).tolist()
    return found


def _steps(times: Int64s, later: Int64s, received: Int64s, later_received: Int64s, late_us: int) -> Flags:
    """Return where times step from one event to the next as they do when a clock is set.

    Back: by a second at least. Forth: by a minute more than reception times do, and not after an event that
    came late; unless the time before is that of a clock that was never set.
    """
    risen = later - times
    back = risen <= -JUMP_BACK_US
    forth = risen - np.maximum(later_received - received, 0) >= JUMP_FORTH_US
    forth &= (received - times <= late_us) | (times < ODD_BEFORE_US)
    found: Flags = back | forth
    return found


def _is_step(time: int, later: int, received: int, later_received: int, late_us: int) -> bool:
    """Do the same for one event and the next, in a tenth of the time."""
    risen = later - time
    if risen <= -JUMP_BACK_US:
        return True
    forth = risen - max(later_received - received, 0) >= JUMP_FORTH_US
    return forth and (received - time <= late_us or time < ODD_BEFORE_US)

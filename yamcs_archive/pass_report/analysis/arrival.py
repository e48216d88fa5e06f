"""Late arrivals: how long after generation events were received, and what was stored out of order; pure.

1. A delay is reception less generation time, at least 0. Which events are late is decided by a threshold.
2. An event is overtaken if an event of the same source with a later generation time is in an earlier commit.
   One that is ahead overtakes none: a clock in 2099 would make everything after it overtaken.
3. That is looked for among at least the million events that follow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import Int64s
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.pass_report.analysis.grouping import Greatest, Grouped
from yamcs_archive.pass_report.analysis.rounded_counts import RoundedCounts, with_rows
from yamcs_archive.pass_report.findings import Delays
from yamcs_archive.pass_report.limits import AHEAD_US, PENDING_EVENTS_MAX

_NEVER = np.iinfo(np.int64).max
"""The commit of nothing: later than all."""


class Arrivals:
    """The delays of each source's events."""

    def __init__(self, late_after_us: int) -> None:
        self._late_after_us = late_after_us
        self._counts = RoundedCounts(TIME_MAX_US - TIME_MIN_US)
        self._longest = Greatest(2)
        self._late: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._ahead: npt.NDArray[np.int64] = np.zeros(0, np.int64)

    def add(self, events: Grouped) -> None:
        """Measure the delays of a window."""
        delays = events.received - events.times
        size = int(events.groups.max()) + 1
        self._late, self._ahead = with_rows(self._late, size), with_rows(self._ahead, size)
        np.add.at(self._late, events.rows[delays > self._late_after_us], 1)
        np.add.at(self._ahead, events.rows[delays < -AHEAD_US], 1)
        np.maximum(delays, 0, out=delays)
        self._counts.add(events.rows, delays)
        self._longest.add(events.rows, delays, events.times, events.numbers)

    def delays(self, row: int) -> Delays:
        """Return the delays of a source that has events."""
        longest_us, time, number = self._longest.of(row) or (0, 0, 0)
        return Delays(
            median_us=self._counts.percentile(row, 50),
            p95_us=self._counts.percentile(row, 95),
            p99_us=self._counts.percentile(row, 99),
            longest_us=longest_us,
            longest_time=time,
            longest_number=number,
        )

    def late(self, row: int) -> int:
        """Return the number of late events."""
        return int(self._late[row])

    def ahead(self, row: int) -> int:
        """Return the number of events that were generated well after they were received."""
        return int(self._ahead[row])


class _Pending(NamedTuple):
    """Events that may be found to be overtaken."""

    rows: npt.NDArray[np.int32]
    times: Int64s
    commits: Int64s


class Overtaking:
    """Events that were stored after later ones of their source."""

    def __init__(self, pending_max: int = PENDING_EVENTS_MAX) -> None:
        self._pending_max = pending_max
        self._pending: list[_Pending] = []
        self._overtaken: npt.NDArray[np.int64] = np.zeros(0, np.int64)

    def add(self, events: Grouped) -> None:
        """Look for overtaken events in a window, and among the pending ones of earlier windows."""
        groups = events.groups
        self._overtaken = with_rows(self._overtaken, int(groups.max()) + 1)
        earliest = _Earliest(events)
        for nth, pending in enumerate(self._pending):
            overtaken = earliest.overtakes(pending)
            if overtaken.any():
                np.add.at(self._overtaken, pending.rows[overtaken], 1)
                self._pending[nth] = _Pending._make(column[~overtaken] for column in pending)
        if earliest.after_each is None:
            self._pending.append(_Pending(events.rows, events.times, events.commits))
        else:
            known = events.commits > 0  # of the others the order is not known
            overtaken = known & (events.commits > earliest.after_each)
            np.add.at(self._overtaken, events.rows[overtaken], 1)
            left = known & ~overtaken
            self._pending.append(_Pending(events.rows[left], events.times[left], events.commits[left]))
        while sum(len(part.rows) for part in self._pending[1:]) >= self._pending_max:
            del self._pending[0]

    def count(self, row: int) -> int:
        """Return the number of overtaken events of a source."""
        return int(self._overtaken[row])


class _Earliest:
    """The earliest commits of a window's events that are not ahead, by source."""

    def __init__(self, events: Grouped) -> None:
        rows, times, starts = events.rows, events.times, events.starts
        begins = np.concatenate(([True], (times[1:] != times[:-1]) | (rows[1:] != rows[:-1])))
        instants = np.append(np.flatnonzero(begins), len(rows))
        counts = (events.received - times >= -AHEAD_US) & (events.commits > 0)
        self.after_each: Int64s | None = None
        """For each event, the earliest commit of the later ones of its source; None: none is overtaken."""
        if counts.all() and _are_in_order(events):
            # The next one that is later has the earliest commit of all that are.
            following = instants[instants.searchsorted(starts, "right")]
            commits = np.append(events.commits, _NEVER)
            first, later = commits[starts], np.where(following < events.stops, commits[following], _NEVER)
        else:
            span = int(events.commits.max()) + 2
            # A commit and the number of its group in one value: of all that follow, the least is of this
            # group, if it has any more.
            offsets = np.repeat(np.arange(len(starts)), events.stops - starts) * span
            values = np.where(counts, events.commits, span - 1) + offsets
            least = np.append(np.minimum.accumulate(values[::-1])[::-1], _NEVER)
            each = instants[np.cumsum(begins)]  # for each event, the first one with a later time
            self.after_each = self._commits(least[each], offsets, span)
            first, later = self._commits(least[starts], offsets[starts], span), self.after_each[starts]
        groups = events.groups
        self._rows_known = int(rows[-1]) + 1
        self._first_times = np.full(self._rows_known, _NEVER)
        self._all = np.full(self._rows_known, _NEVER)
        self._later = np.full(self._rows_known, _NEVER)
        self._first_times[groups], self._all[groups], self._later[groups] = times[starts], first, later
        self._least = int(self._all.min())

    @staticmethod
    def _commits(values: Int64s, offsets: Int64s, span: int) -> Int64s:
        """Return the commits in some values; never, where they are of another group or of no event."""
        found = values - offsets
        return np.where(found < span - 1, found, _NEVER)

    def overtakes(self, pending: _Pending) -> npt.NDArray[np.bool_]:
        """Return which pending events the window's overtake; it comes after all of them."""
        found = np.zeros(len(pending.rows), np.bool_)
        some = np.flatnonzero((pending.commits > self._least) & (pending.rows < self._rows_known))
        if len(some):
            rows = pending.rows[some]
            is_before = pending.times[some] < self._first_times[rows]
            found[some] = pending.commits[some] > np.where(is_before, self._all[rows], self._later[rows])
        return found


def _are_in_order(events: Grouped) -> bool:
    """Return whether no event of a source was stored before an earlier one."""
    falls = events.commits[1:] < events.commits[:-1]
    falls[events.starts[1:] - 1] = False  # from one source to the next
    return not falls.any()

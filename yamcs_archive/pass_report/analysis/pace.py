"""Rates, bursts and silences: events in each second or minute, and the pauses between events; pure.

1. Seconds and minutes are those of UTC. Those without an event do not count, so that the usual minute of a
   source that sends now and then is one in which it sends.
2. Of each source the open minute and the last time are carried from window to window: where a window ends
   changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import Int64s
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.pass_report.analysis.grouping import Greatest, Grouped
from yamcs_archive.pass_report.analysis.rounded_counts import RoundedCounts, rounded, with_rows
from yamcs_archive.pass_report.findings import Burst, Peak, Silence
from yamcs_archive.pass_report.limits import BURST_EVENTS, BURST_FACTOR, SILENCE_FACTOR, SILENCE_US

SECOND_US, MINUTE_US = 1_000_000, 60_000_000
_COUNT_MAX = 2**32


class Rates:
    """The numbers of events of each source in each second, or minute, that has any."""

    def __init__(self, unit_us: int) -> None:
        self._unit_us = unit_us
        self._open_slot: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._open_events: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._counts = RoundedCounts(_COUNT_MAX)
        self._peak = Greatest(1)

    def add(self, events: Grouped) -> None:
        """Count the events of a window."""
        slots = events.times // self._unit_us
        begins = np.concatenate(([True], (slots[1:] != slots[:-1]) | (events.rows[1:] != events.rows[:-1])))
        runs = np.flatnonzero(begins)
        counts = np.diff(np.append(runs, len(slots)))
        slots, rows = slots[runs], events.rows[runs]
        groups = events.groups
        firsts = runs.searchsorted(events.starts)
        lasts = np.append(firsts[1:], len(runs)) - 1
        self._open_slot = with_rows(self._open_slot, int(groups.max()) + 1)
        self._open_events = with_rows(self._open_events, int(groups.max()) + 1)
        goes_on = (self._open_slot[groups] == slots[firsts]) & (self._open_events[groups] > 0)
        counts[firsts] += np.where(goes_on, self._open_events[groups], 0)
        ended = groups[~goes_on & (self._open_events[groups] > 0)]
        self._close(ended, self._open_slot[ended], self._open_events[ended])
        self._open_slot[groups], self._open_events[groups] = slots[lasts], counts[lasts]
        closed = np.ones(len(runs), np.bool_)
        closed[lasts] = False
        self._close(rows[closed], slots[closed], counts[closed])

    def finish(self) -> None:
        """Count the last second or minute of each source."""
        ended = np.flatnonzero(self._open_events)
        self._close(ended, self._open_slot[ended], self._open_events[ended])
        self._open_events[:] = 0

    def _close(self, rows: npt.NDArray[Any], slots: Int64s, counts: Int64s) -> None:
        self._counts.add(rows, counts)
        self._peak.add(rows, counts, slots)

    def usual(self, row: int) -> int:
        """Return the median of the counts."""
        return self._counts.percentile(row, 50)

    def peak(self, row: int) -> Peak:
        """Return the greatest count."""
        events, slot = self._peak.of(row) or (0, 0)
        # The first second of the year 1 and the first minute begin with it.
        return Peak(time=max(TIME_MIN_US, slot * self._unit_us), events=events)

    def bursts(self, row: int) -> int:
        """Return the number of bursts."""
        return self._counts.above(row, self._least(row))

    def greatest_burst(self, row: int, source: str) -> Burst | None:
        """Return the peak, if it is a burst."""
        peak = self.peak(row)
        if rounded(peak.events) <= rounded(self._least(row)):
            return None
        return Burst(source=source, time=peak.time, events=peak.events, usual=self.usual(row))

    def _least(self, row: int) -> int:
        return max(BURST_FACTOR * self.usual(row), BURST_EVENTS)


class Pauses:
    """The pauses between neighbouring events of each source."""

    def __init__(self) -> None:
        self._last: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._seen: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._counts = RoundedCounts(TIME_MAX_US - TIME_MIN_US)
        self._longest = Greatest(1)

    def add(self, events: Grouped) -> None:
        """Measure the pauses of a window, and those before it."""
        groups, times = events.groups, events.times
        self._last = with_rows(self._last, int(groups.max()) + 1)
        self._seen = with_rows(self._seen, int(groups.max()) + 1)
        before = np.empty_like(times)
        before[1:] = times[:-1]
        before[events.starts] = self._last[groups]
        measured = np.ones(len(times), np.bool_)
        measured[events.starts] = self._seen[groups]
        pauses, rows = (times - before)[measured], events.rows[measured]
        self._counts.add(rows, pauses)
        self._longest.add(rows, pauses, before[measured])
        self._last[groups] = times[events.lasts]
        self._seen[groups] = True

    def usual_us(self, row: int) -> int | None:
        """Return the pause that nine of ten do not exceed; None if there is none."""
        return self._counts.percentile(row, 90) if self._counts.total(row) else None

    def longest_us(self, row: int) -> int | None:
        """Return the longest pause between two events; None if there is none."""
        found = self._longest.of(row)
        return None if found is None else found[0]

    def silences(self, row: int, end: int) -> int:
        """Return the number of silences; ``end`` is that of the window."""
        usual_us = self.usual_us(row)
        if usual_us is None:
            return 0
        at_end = self._is_silence(end - int(self._last[row]), usual_us)
        return self._counts.above(row, _least_us(usual_us)) + at_end

    def longest_silence(self, row: int, source: str, end: int) -> Silence | None:
        """Return the longest silence; of two equal ones the one that ended."""
        usual_us, found = self.usual_us(row), self._longest.of(row)
        if usual_us is None or found is None:
            return None
        (pause_us, since), last = found, int(self._last[row])
        at_end = end - last > pause_us
        if at_end:
            pause_us, since = end - last, last
        if not self._is_silence(pause_us, usual_us):
            return None
        return Silence(
            source=source,
            since=since,
            until=since + pause_us,
            pause_us=pause_us,
            usual_us=usual_us,
            at_end=at_end,
        )

    @staticmethod
    def _is_silence(pause_us: int, usual_us: int) -> bool:
        return rounded(max(0, pause_us)) > rounded(_least_us(usual_us))


def _least_us(usual_us: int) -> int:
    return max(SILENCE_FACTOR * usual_us, SILENCE_US)

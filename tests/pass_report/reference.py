"""A slow, obvious reference of a report: event by event, in plain Python, with everything in memory.

It follows docs/report.md, not the code of the package. Only the masks of messages are the package's own: they
have tests of their own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from yamcs_archive import Event
from yamcs_archive.pass_report.analysis.masking import template_of

SECOND, MINUTE, HOUR = 1_000_000, 60_000_000, 3_600_000_000
INT32_MIN = -(2**31)
YEAR_2001 = 978_307_200_000_000


class Stored(NamedTuple):
    """An event, and the number of the commit that stored it."""

    event: Event
    commit: int

    @property
    def time(self) -> int:
        assert self.event.generation_time is not None
        return self.event.generation_time

    @property
    def number(self) -> int:
        assert self.event.seq_number is not None
        return self.event.seq_number

    @property
    def received(self) -> int:
        assert self.event.reception_time is not None
        return self.event.reception_time


def six_bits(value: int) -> int:
    """Round down to six significant bits."""
    digits = f"{value:b}"
    return int(digits[:6] + "0" * (len(digits) - 6), 2)


def nearest_rank(values: Sequence[int], percent: int) -> int:
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return six_bits(ordered[rank - 1])


def peak(times: Sequence[int], unit: int) -> tuple[int, int]:
    """Return the beginning of the unit with the most events, the first of several, and their number."""
    counts = Counter(time // unit for time in times)
    best = min(counts, key=lambda slot: (-counts[slot], slot))
    return best * unit, counts[best]


def numberings(events: Sequence[Stored]) -> tuple[list[list[Stored]], list[tuple[int, int, int]]]:
    """Return the events of each numbering, and the restarts: time, number, number before."""
    found: list[list[Stored]] = [[]]
    restarts = []
    for at, stored in enumerate(events):
        here = found[-1]
        previous = events[at - 1].number if at else 0
        if stored.number in (0, 1, INT32_MIN) and previous > 1:
            used = {other.number for other in here}
            came_before = any(other.received <= stored.received for other in here)
            if came_before and (stored.number in used or min(used) > 1):
                restarts.append((stored.time, stored.number, previous))
                found.append([])
        found[-1].append(stored)
    return found, restarts


def by_number(events: Sequence[Stored]) -> list[Stored]:
    """Return the first event with each number, by number."""
    first: dict[int, Stored] = {}
    for stored in events:
        first.setdefault(stored.number, stored)
    return [first[number] for number in sorted(first)]


def steps(events: Sequence[Stored], late_after: int) -> list[tuple[int, int]]:
    """Return the steps of the clock: the number after each, and its size; ``events`` are by number."""
    found = []
    for before, one, other, after in zip(events, events[1:], events[2:], events[3:], strict=False):
        risen = other.time - one.time
        back = risen <= -SECOND
        forth = risen - max(other.received - one.received, 0) >= MINUTE and (
            one.received - one.time <= late_after or one.time < YEAR_2001
        )
        if not (back or forth):
            continue
        earlier, later = (before.time, one.time), (other.time, after.time)
        apart = min(earlier) - max(later) >= SECOND or min(later) - max(earlier) >= MINUTE
        pace = (after.time - other.time) - (after.received - other.received)
        if apart and abs(pace) <= SECOND:
            found.append((other.number, risen))
    return found


class Reference:
    """The report of some events; all, in the order of keys. Those of the window, and those beside it."""

    def __init__(
        self,
        events: Sequence[Stored],
        *,
        start: int | None = None,
        stop: int | None = None,
        new_since: int | None = None,
        late_after: int = MINUTE,
        made: int = 2**60,
    ) -> None:
        events = sorted(events, key=lambda stored: stored.event.key)
        self.all = events
        self.events = [
            stored
            for stored in events
            if (start is None or stored.time >= start) and (stop is None or stored.time < stop)
        ]
        self.start, self.stop, self.late_after = start, stop, late_after
        self.new_since = start if new_since is None else new_since
        self.of: dict[str, list[Stored]] = defaultdict(list)
        for stored in self.events:
            self.of[stored.event.source].append(stored)
        last = max((stored.time for stored in self.events), default=0)
        self.end = max(last, min(last if stop is None else stop, made))

    def source(self, name: str) -> dict[str, Any]:
        events = self.of[name]
        times = [stored.time for stored in events]
        delays = [max(0, stored.received - stored.time) for stored in events]
        longest = max(range(len(events)), key=lambda at: (delays[at], -at))
        minutes = list(Counter(time // MINUTE for time in times).values())
        usual = nearest_rank(minutes, 50)
        many = six_bits(max(10 * usual, 20))
        pauses = [later - time for time, later in pairwise(times)]
        usual_pause = nearest_rank(pauses, 90) if pauses else None
        silences = 0
        if usual_pause is not None:
            long = six_bits(max(10 * usual_pause, 10 * SECOND))
            silences = sum(six_bits(pause) > long for pause in [*pauses, self.end - times[-1]])
        return {
            "events": len(events),
            "first_time": times[0],
            "last_time": times[-1],
            "severities": dict(Counter(stored.event.severity.name for stored in events)),
            "delays": (
                *(nearest_rank(delays, percent) for percent in (50, 95, 99)),
                *(delays[longest], times[longest], events[longest].number),
            ),
            "late": sum(stored.received - stored.time > self.late_after for stored in events),
            "ahead": sum(stored.time - stored.received > SECOND for stored in events),
            "overtaken": sum(self._is_overtaken(stored, events) for stored in events),
            "usual_per_minute": usual,
            "peak_minute": peak(times, MINUTE),
            "bursts": sum(six_bits(count) > many for count in minutes),
            "usual_pause_us": usual_pause,
            "longest_pause_us": max(pauses, default=None),
            "silences": silences,
            "numbers": self.numbers(name),
        }

    @staticmethod
    def _is_overtaken(stored: Stored, events: Sequence[Stored]) -> bool:
        return any(
            other.commit < stored.commit
            and other.time > stored.time
            and other.time - other.received <= SECOND
            for other in events
        )

    def numbers(self, name: str) -> dict[str, Any]:
        events = self.of[name]
        parts, restarts = numberings(events)
        used = [by_number(part) for part in parts]
        outside = 0
        if len(parts) == 1 and len(gaps_in(used[0])) > 0:
            here = {stored.number for stored in used[0]}
            beside = [
                stored
                for stored in self.all
                if stored.event.source == name
                and min(here) < stored.number < max(here)
                and stored.number not in here
                and (
                    (self.start is not None and self.start - HOUR <= stored.time < self.start)
                    or (self.stop is not None and self.stop <= stored.time < self.stop + HOUR)
                )
            ]
            used = [by_number([*used[0], *beside])]
            outside = len({stored.number for stored in beside})
        gaps = [gap for part in used for gap in gaps_in(part)]
        jumps = [jump for part in used for jump in steps(part, self.late_after)]
        return {
            "least": min(stored.number for stored in events),
            "greatest": max(stored.number for stored in events),
            "gaps": len(gaps),
            "missing": sum(last - first + 1 for first, last, _, _ in gaps),
            "restarts": len(restarts),
            "outside": outside,
            "repeated": len(events) - sum(len(by_number(part)) for part in parts),
            "jumps_back": sum(step < 0 for _, step in jumps),
            "jumps_forth": sum(step > 0 for _, step in jumps),
            "all_gaps": gaps,
            "all_restarts": restarts,
            "all_jumps": jumps,
        }

    def templates(self) -> dict[str, tuple[int, int, int, bool | None]]:
        """Return of each template its events, the first and the last time, and whether it is new."""
        found: dict[str, list[Stored]] = defaultdict(list)
        for stored in self.events:
            found[template_of(stored.event.message)].append(stored)
        old = {
            template_of(stored.event.message)
            for stored in self.all
            if self.new_since is not None
            and stored.time < self.new_since
            and (self.stop is None or stored.time < self.stop)
        }
        return {
            text: (
                len(events),
                events[0].time,
                events[-1].time,
                None if self.new_since is None else text not in old,
            )
            for text, events in found.items()
        }


def gaps_in(events: Sequence[Stored]) -> list[tuple[int, int, int, int]]:
    """Return the gaps: first and last number, times of the events around; ``events`` are by number."""
    return [
        (one.number + 1, other.number - 1, one.time, other.time)
        for one, other in pairwise(events)
        if other.number > one.number + 1
    ]

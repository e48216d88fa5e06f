"""The workload: a deterministic stream of events like those of a mission; pure.

1. The same ``Workload`` value gives the same events on any machine and in any process, so that contenders in
   processes of their own get the same ones.
2. 200 sources of very uneven activity, 26 message templates (about 85 characters once filled in), each
   with its severity and perhaps a type; a hundred events a second of generation time.
3. Generation times are whole milliseconds, because a Yamcs server must be able to store the same events, and
   keeps no finer times. Reception times are microseconds, as those of the archive's own clock are.
4. One event in ``rare_every`` comes from :data:`RARE_SOURCE`, another one has :data:`RARE_SEVERITY`.
   No message contains :data:`ABSENT_TEXT`, and no event comes from :data:`ABSENT_SOURCE`.
"""

from __future__ import annotations

import enum
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from itertools import count as counter

import msgspec

from benchmarks.reference import Reference
from benchmarks.templates import TEMPLATES
from yamcs_archive import Event, Severity

RARE_SOURCE = "GNC/StarTracker2"
RARE_SEVERITY = Severity.SEVERE
ABSENT_SOURCE = "Nobody"
ABSENT_TEXT = "Unobtainium"

SLAB_EVENTS = 10_000
"""Number of events that are made together, with one random generator."""

_START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
_SPACING_MS = 10
_LATE_SHARE, _LATE_MIN_MS, _LATE_MAX_MS = 0.01, 60_000, 900_000
_BIG_BYTES = 1 << 20
_RETRY_SHARE, _RETRY_BACK_MAX, _RETRY_DELAY_US = 0.001, 1_000, 2_000_000


class Mix(enum.Enum):
    """The order in which the events arrive."""

    IN_ORDER = "in order"
    LATE = "late"
    """1 % arrive 1 to 15 minutes after their generation time; 0.1 % are sent again a little later."""
    SHUFFLED = "shuffled"
    """The events of ``IN_ORDER``, in an order that means nothing."""


_TEMPLATE_WEIGHTS = tuple(accumulate(template.weight for template in TEMPLATES))

_SUBSYSTEMS = ("AOCS", "EPS", "TCS", "OBC", "TTC", "PL", "GDS", "FDS", "MCS", "AlarmChecker")
_UNITS = (
    *("", "/Main", "/Redundant", "/RW1", "/RW2", "/Pump", "/Heater", "/Bus", "/Panel", "/Antenna"),
    *("/Camera", "/Radar", "/Recorder", "/Gyro", "/Sun", "/Link", "/Pcdu", "/Valve", "/Clock", "/Sched"),
)
_SOURCES = tuple(f"{subsystem}{unit}" for unit in _UNITS for subsystem in _SUBSYSTEMS)
_SOURCE_WEIGHTS = tuple(accumulate(1 / rank**1.1 for rank in range(1, len(_SOURCES) + 1)))
_PARAMETERS = tuple(f"{source.replace('/', '_')}_{number:02}" for source in _SOURCES for number in range(4))


@dataclass(frozen=True)
class Workload:
    """A stream of ``count`` events, and their retries.

    >>> first, second = Workload(1000).events(), Workload(1000).events()
    >>> first == second, len(first)
    (True, 1000)
    """

    count: int
    mix: Mix = Mix.IN_ORDER
    seed: int = 1
    rare_every: int = 50_000
    big_every: int = 0
    """One message of this number is repeated until it has about 1 MiB; 0: none."""

    def slabs(self, skip: int = 0) -> Iterator[list[Event]]:
        """Yield the events in lists of about 10,000, so that a stream of any length fits into memory.

        ``skip``, a multiple of 10,000, is the number of first events that are left out; skipping them takes a
        tenth of the time of making them. AssertionError for a shuffled workload, which cannot be made in
        parts.

        >>> [len(slab) for slab in Workload(25_000).slabs(skip=20_000)]
        [5000]
        """
        assert self.mix is not Mix.SHUFFLED, "shuffled events exist only as a whole"
        assert skip % SLAB_EVENTS == 0
        seen: Counter[str] = Counter()
        for first in range(0, skip, SLAB_EVENTS):
            seen.update(self._sources(first, min(SLAB_EVENTS, self.count - first))[0])
        numbers = defaultdict(counter, {source: counter(number) for source, number in seen.items()})
        for first in range(skip, self.count, SLAB_EVENTS):
            yield self._slab(first, min(SLAB_EVENTS, self.count - first), numbers)

    def events(self) -> list[Event]:
        """Return all events in the order in which they arrive."""
        if self.mix is not Mix.SHUFFLED:
            return [event for slab in self.slabs() for event in slab]
        events = replace(self, mix=Mix.IN_ORDER).events()
        random.Random(self.seed).shuffle(events)
        return events

    def stored(self) -> list[Event]:
        """Return the events of an archive to which all were appended: in key order, without retries.

        >>> late = Workload(5000, Mix.LATE)
        >>> len(late.stored()), len(late.events()) > 5000
        (5000, True)
        """
        return list(Reference(self.events()).scan())

    def _sources(self, first: int, size: int) -> tuple[list[str], random.Random]:
        """Return the sources of a slab, which are drawn first, and the generator for all the rest."""
        rng = random.Random(f"{self.seed}/{first}")
        sources = rng.choices(_SOURCES, cum_weights=_SOURCE_WEIGHTS, k=size)
        for index in self._rare(self.rare_every // 2, first, size):
            sources[index] = RARE_SOURCE
        return sources, rng

    def _rare(self, place: int, first: int, size: int) -> range:
        """Return the indexes, in a slab, of the events at position ``place`` of every ``rare_every``."""
        return range((place - first) % self.rare_every, size, self.rare_every)

    def _slab(self, first: int, size: int, numbers: defaultdict[str, counter[int]]) -> list[Event]:
        sources, rng = self._sources(first, size)
        templates = rng.choices(TEMPLATES, cum_weights=_TEMPLATE_WEIGHTS, k=size)
        severities = [template.severity for template in templates]
        for index in self._rare(self.rare_every // 3, first, size):
            severities[index] = RARE_SEVERITY
        messages = [
            template.text.format(name, part, whole)
            for template, name, part, whole in zip(
                templates,
                rng.choices(_PARAMETERS, k=size),
                [rng.random() for _ in range(size)],
                rng.choices(range(4096), k=size),
                strict=True,
            )
        ]
        if self.big_every:
            for index in range(-first % self.big_every, size, self.big_every):
                messages[index] *= _BIG_BYTES // len(messages[index].encode())
        start_ms = _START_MS + first * _SPACING_MS
        jitters = rng.choices(range(_SPACING_MS), k=size)
        arrivals = [start_ms + index * _SPACING_MS + jitter for index, jitter in enumerate(jitters)]
        received = [
            arrival * 1000 + delay_us
            for arrival, delay_us in zip(arrivals, rng.choices(range(2_000, 60_000), k=size), strict=True)
        ]
        if self.mix is Mix.LATE:
            for index in range(size):
                if rng.random() < _LATE_SHARE:
                    arrivals[index] -= rng.randint(_LATE_MIN_MS, _LATE_MAX_MS)
        events = [
            Event(message, source, severity, template.type, arrival * 1000, next(numbers[source]), reception)
            for message, source, severity, template, arrival, reception in zip(
                messages, sources, severities, templates, arrivals, received, strict=True
            )
        ]
        if self.mix is Mix.LATE:
            _send_again(events, rng)
        return events


def _send_again(events: list[Event], rng: random.Random) -> None:
    """Add retries of some events after them, received two seconds later."""
    for index in sorted(rng.sample(range(len(events)), k=round(len(events) * _RETRY_SHARE)), reverse=True):
        event = events[index]
        again = msgspec.structs.replace(event, reception_time=(event.reception_time or 0) + _RETRY_DELAY_US)
        events.insert(min(index + rng.randint(1, _RETRY_BACK_MAX), len(events)), again)

"""What one group of appends does to the store: numbers, order, outcomes; pure but for the look-ups.

1. Callers in order of arrival, each one's events in its order: that order gives numbers and says which
   of two equal keys was first. The order on the medium is by key.
2. First write wins. A key that is there already, in the store or earlier in the group, makes its event a
   duplicate (same content) or a conflict; neither changes anything.
3. Nothing here writes or commits, so a group can be worked out again after a failed transaction.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import accumulate
from operator import lt
from typing import NamedTuple, Protocol

import numpy as np

from yamcs_archive.errors import ArchiveError, NumbersExhaustedError
from yamcs_archive.event import Event, event_bytes, same_content
from yamcs_archive.limits import (
    CONFLICTS_KEPT_BYTES_MAX,
    CONFLICTS_KEPT_MAX,
    SEQ_NUMBER_MAX,
    SEQ_NUMBER_MIN,
    TIME_MIN_US,
)
from yamcs_archive.storage.columns import Columns, Key, joined
from yamcs_archive.storage.commits import Run
from yamcs_archive.storage.integers import Int64s, int64s
from yamcs_archive.storage.keys import encode_key
from yamcs_archive.storage.vectors import Vectors, key_order, place_among, vectors

_VECTOR_EVENTS_MIN = 64
"""Fewer events than this are faster one by one."""
_LOOKS_MAX, _SCATTERED = 64, 4
"""After so many look-ups that found fewer events each than this, events are looked for all at once."""
_COMPARED_AT_ONCE = 64
"""Stored events that are held at once to be compared with those offered: at most 64 MiB of messages."""


class Existing(Protocol):
    """Where the stored keys are looked up."""

    def next_key(self, key: Key) -> Key | None:
        """Return the least stored key that is not below ``key``, or None."""

    def greatest_key(self) -> Key | None:
        """Return the greatest stored key, or None."""

    def held(self, events: Vectors) -> list[int]:
        """Return the places of the events, which are in key order, whose keys are stored."""

    def events(self, keys: Sequence[Key]) -> list[Event]:
        """Return the events stored under ``keys``, which come in order."""


class Refused(NamedTuple):
    """An event that was not stored, at its position in the caller's sequence."""

    position: int
    stored: Event
    offered: Event


def first_conflicts(conflicts: Iterable[Refused]) -> list[Refused]:
    """Return the first conflicts by position, as many as are shown.

    >>> large = [Refused(n, Event("m" * (1 << 20)), Event("")) for n in (2, 1)]
    >>> [refused.position for refused in first_conflicts(large * 30)][:3]
    [1, 1, 1]
    >>> len(first_conflicts(large * 30))
    31
    """
    first = nsmallest(CONFLICTS_KEPT_MAX, conflicts, key=_position)
    reached = accumulate(event_bytes(each.stored) + event_bytes(each.offered) for each in first)
    return first[: max(1, bisect_right(list(reached), CONFLICTS_KEPT_BYTES_MAX))]


def _position(refused: Refused) -> int:
    return refused.position


class Conflicts:
    """The conflicts of one caller, met in any order: all are counted, the first ones kept."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self._kept: list[Refused] = []
        self._kept_bytes = 0

    def add(self, refused: Refused) -> None:
        """Take one more."""
        self.positions.append(refused.position)
        self._kept.append(refused)
        self._kept_bytes += event_bytes(refused.stored) + event_bytes(refused.offered)
        if len(self._kept) > 2 * CONFLICTS_KEPT_MAX or self._kept_bytes > 2 * CONFLICTS_KEPT_BYTES_MAX:
            self._kept = self.first
            self._kept_bytes = sum(
                event_bytes(each.stored) + event_bytes(each.offered) for each in self._kept
            )

    @property
    def first(self) -> list[Refused]:
        """The first ones by position."""
        return first_conflicts(self._kept)


@dataclass
class Outcome:
    """What became of one caller's events."""

    columns: Columns
    """As they were stored, or would have been: numbers filled in."""
    stored: int = 0
    duplicates: list[tuple[int, Event]] = field(default_factory=list)
    """Position and the event that was stored already."""
    conflicts: Conflicts = field(default_factory=Conflicts)
    expired: list[int] = field(default_factory=list)
    error: ArchiveError | None = None
    """Set when none of this caller's events was taken."""


class Stretch(NamedTuple):
    """New events that a commit's record names by their first and last key."""

    start: int
    stop: int
    alone: bool
    """True: nothing was stored between its keys before. False: nobody looked."""


@dataclass
class Group:
    """What a group does: the outcome for each caller, and what is to be written for them together."""

    outcomes: list[Outcome]
    events: Columns | Vectors
    """The new events, in key order: vectors if there are many."""
    stretches: list[Stretch]

    def tally(self) -> dict[str, tuple[int, int, int]]:
        """Return for each source: how many new events, their greatest number and generation time."""
        return tally_vectors(self.events) if isinstance(self.events, Vectors) else tally(self.events)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The stretches as a commit records them."""
        return tuple(self._run(start, stop - 1) for start, stop, _ in self.stretches)

    def _run(self, first: int, last: int) -> Run:
        begin = encode_key(*self.events.key(first))
        return Run(begin, begin if first == last else encode_key(*self.events.key(last)))


def decide(
    submitted: Sequence[Columns],
    existing: Existing,
    greatest_number: Callable[[str], int | None],
    horizon: int | None,
) -> Group:
    """Work out what appending ``submitted`` does.

    ``greatest_number`` gives the greatest number that a source ever had; ``horizon`` is the prune
    horizon in microseconds since 1970, or None.
    """
    outcomes = _number(submitted, greatest_number, horizon)
    takers = [outcome for outcome in outcomes if outcome.error is None]
    arrivals = _Arrivals(takers, horizon)
    columns = joined([outcome.columns for outcome in takers]) if takers else _EMPTY
    events: Columns | Vectors = columns
    if columns.size >= _VECTOR_EVENTS_MIN:
        events = vectors(columns, 0)
    if columns.size and not arrivals.expired and _rising(events):
        # Times that rise make keys that rise: nothing to sort, and if the next stored key lies
        # beyond, nothing to look up but the first.
        following = existing.next_key(events.key(0))
        if following is None or following > events.key(-1):
            return _counted(takers, Group(outcomes, events, [Stretch(0, columns.size, alone=True)]))
    arrived: Sequence[int] = range(columns.size)  # where each of the events came
    if arrivals.expired:
        arrived = [index for index in arrived if index not in arrivals.expired]
        events = events.take(arrived)
    # Stable, so that of equal keys the first to arrive comes first. Python orders text by code point,
    # which is the order of UTF-8 bytes: this is the order of the encoded keys.
    unsorted = events
    order = key_order(_times(events), lambda at: unsorted.key(at)[1:])
    if order is not None:
        arrived = np.array(arrived)[order].tolist()
        events = events.take(order.tolist())
    new, stretches = _Placing(events, existing, arrivals, arrived).run()
    if len(new) < events.size:
        events = events.take(new)
    return _counted(takers, Group(outcomes, events, stretches))


def _times(events: Columns | Vectors) -> Int64s:
    return events.times if isinstance(events, Vectors) else int64s(events.generation_time)


def _rising(events: Columns | Vectors) -> bool:
    if isinstance(events, Vectors):
        return bool((events.times[1:] > events.times[:-1]).all())
    times = events.generation_time
    return all(map(lt, times, times[1:]))


def _counted(takers: list[Outcome], group: Group) -> Group:
    for outcome in takers:
        refused = len(outcome.duplicates) + len(outcome.conflicts.positions) + len(outcome.expired)
        outcome.stored = outcome.columns.size - refused
    return group


_EMPTY = Columns([], [], [], [], [], [], [], [], [], [])


class _Arrivals:
    """Which caller an index of the joined columns belongs to."""

    def __init__(self, outcomes: list[Outcome], horizon: int | None) -> None:
        self._outcomes = outcomes
        self._starts: list[int] = []
        self.expired: set[int] = set()
        start = 0
        for outcome in outcomes:
            self._starts.append(start)
            if horizon is not None:
                times = outcome.columns.generation_time
                outcome.expired = [position for position, time in enumerate(times) if time < horizon]
                self.expired.update(start + position for position in outcome.expired)
            start += len(outcome.columns.message)

    def refuse(self, index: int, stored: Event) -> None:
        """Note that the event at ``index`` meets a stored one of its key."""
        caller = bisect_left(self._starts, index + 1) - 1
        outcome, position = self._outcomes[caller], index - self._starts[caller]
        offered = outcome.columns.event(position)
        if same_content(stored, offered):
            outcome.duplicates.append((position, stored))
        else:
            outcome.conflicts.add(Refused(position, stored, offered))


class _Placing:
    """Finds which events, given in key order, are new, and the stretches that they make.

    One look-up finds the next stored key, so that all keys below it are new at once: a group beyond the
    newest event costs one look-up, however large it is. Where look-ups give an event or two each, the
    events are scattered among stored ones, and all of them are looked for at once instead.
    """

    def __init__(
        self, events: Columns | Vectors, existing: Existing, arrivals: _Arrivals, arrived: Sequence[int]
    ) -> None:
        self._events, self._existing, self._arrivals, self._arrived = events, existing, arrivals, arrived
        self._times = _times(events)
        alike = np.flatnonzero(self._times[1:] == self._times[:-1]).tolist()
        self._repeated = [at + 1 for at in alike if events.key(at) == events.key(at + 1)]
        self._new: list[int] = []
        self._stretches: list[Stretch] = []

    def run(self) -> tuple[list[int], list[Stretch]]:
        """Return the places of the new events, and the stretches that they make in their own order."""
        index = looked = 0
        while index < self._events.size:
            key = self._events.key(index)
            following = self._existing.next_key(key)
            looked += 1
            if following == key:
                self._refuse_held([index])
                index += 1
            else:
                stop = self._events.size if following is None else self._place_of(following)
                self._take(index, stop, set(), alone=True)
                index = stop
            if looked == _LOOKS_MAX and index < _SCATTERED * looked and isinstance(self._events, Vectors):
                index = self._take_scattered(index, self._events)
        return self._new, self._stretches

    def _take_scattered(self, index: int, events: Vectors) -> int:
        """Take the events from ``index`` up to those beyond all that is stored; return where those begin."""
        greatest = self._existing.greatest_key()
        stop = events.size if greatest is None else self._place_of(greatest)
        if stop > index:
            held = {index + place for place in self._existing.held(events.cut(index, stop))}
            self._take(index, stop, held, alone=False)
        return max(index, stop)

    def _take(self, start: int, stop: int, held: set[int], *, alone: bool) -> None:
        """Take the events from ``start`` to ``stop`` as one stretch, but those that are held already."""
        begin = len(self._new)
        repeated = set(self._repeated[bisect_left(self._repeated, start) : bisect_left(self._repeated, stop)])
        index = start
        for here in sorted(held | repeated):
            self._new.extend(range(index, here))
            index = here + 1
            if here not in held:
                self._refuse(here, self._events.event(self._new[-1]))
        self._refuse_held(sorted(held))
        self._new.extend(range(index, stop))
        if len(self._new) > begin:
            self._stretches.append(Stretch(begin, len(self._new), alone))

    def _refuse_held(self, places: list[int]) -> None:
        """Refuse the events at places whose keys are stored, some at a time: what is stored may be large."""
        for start in range(0, len(places), _COMPARED_AT_ONCE):
            part = places[start : start + _COMPARED_AT_ONCE]
            stored = self._existing.events([self._events.key(place) for place in part])
            for place, event in zip(part, stored, strict=True):
                self._refuse(place, event)

    def _refuse(self, place: int, stored: Event) -> None:
        self._arrivals.refuse(self._arrived[place], stored)

    def _place_of(self, key: Key) -> int:
        return place_among(self._times, key, self._events.key)


def _number(
    submitted: Sequence[Columns], greatest_number: Callable[[str], int | None], horizon: int | None
) -> list[Outcome]:
    """Return an outcome for each caller, with every number filled in."""
    if all(columns.numbered for columns in submitted):
        return [Outcome(columns) for columns in submitted]
    greatest: dict[str, int] = {}
    outcomes = []
    for columns in submitted:
        mine: dict[str, int] = {}  # merged only if all of this caller's events can be numbered
        numbers: list[int | None] = []
        error = None
        for position, (source, number, time) in enumerate(
            zip(columns.source, columns.seq_number, columns.generation_time, strict=True)
        ):
            last = mine.get(source, greatest.get(source))
            if last is None:
                last = greatest_number(source)
            if number is None:
                number = 0 if last is None else last + 1  # noqa: PLW2901  # the number that is assigned
                if number > SEQ_NUMBER_MAX:
                    error = NumbersExhaustedError(source)
                    error.position = position
                    break
            numbers.append(number)
            if (last is None or number > last) and (horizon is None or time >= horizon):
                mine[source] = number
        if error is None:
            greatest.update(mine)
            columns = columns._replace(seq_number=numbers)  # noqa: PLW2901  # numbered
        outcomes.append(Outcome(columns, error=error))
    return outcomes


def tally(columns: Columns) -> dict[str, tuple[int, int, int]]:
    """Return for each source of a few complete events: how many, greatest number, greatest time.

    >>> from yamcs_archive.storage.columns import prepare
    >>> tally(prepare([Event("a", seq_number=4, generation_time=9)], int))
    {'User': (1, 4, 9)}
    """
    found: dict[str, tuple[int, int, int]] = {}
    for time, source, number in columns.keys():  # noqa: SIM118  # a method, not a mapping
        events, greatest, newest = found.get(source, (0, number, time))
        found[source] = events + 1, max(number, greatest), max(time, newest)
    return found


def tally_vectors(events: Vectors) -> dict[str, tuple[int, int, int]]:
    """Return what :func:`tally` does, of many events.

    >>> from yamcs_archive.storage.columns import prepare
    >>> tally_vectors(vectors(prepare([Event("a", seq_number=4, generation_time=9)], int), commit=1))
    {'User': (1, 4, 9)}
    """
    names, index = events.sources.used()  # names of events that were refused may still be in the table
    counts = np.bincount(index, minlength=len(names))
    numbers = np.full(len(names), SEQ_NUMBER_MIN, np.int64)
    np.maximum.at(numbers, index, events.numbers)
    times = np.full(len(names), TIME_MIN_US, np.int64)
    np.maximum.at(times, index, events.times)
    return dict(zip(names, zip(counts.tolist(), numbers.tolist(), times.tolist(), strict=True), strict=True))

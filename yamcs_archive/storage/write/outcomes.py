"""The effect of one group of appends: numbers, order, outcomes and source states; pure except for look-ups.

1. Events are numbered in the order of arrival: by caller, and in each caller's own order. The first of two
   events with the same key in that order is stored. On the medium events are in key order.
2. The first write wins. An event whose key is already in the store, or earlier in the group, is a duplicate
   (same content) or a conflict; neither changes the stored event.
3. Nothing here writes or commits, so a group can be decided again after a failed transaction.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError, NumbersExhaustedError
from yamcs_archive.event import Event, as_stored, same_content
from yamcs_archive.event_vectors import Indexes, StoredVectors
from yamcs_archive.limits import (
    CONFLICTS_KEPT_BYTES_MAX,
    CONFLICTS_KEPT_MAX,
    SEQ_NUMBER_MAX,
    SEQ_NUMBER_MIN,
    TIME_MIN_US,
)
from yamcs_archive.results import Conflict, conflict_bytes, first_conflicts
from yamcs_archive.storage.format.commits import Run
from yamcs_archive.storage.format.keys import Keys, encode_key, key_order
from yamcs_archive.storage.format.source_states import SourceState
from yamcs_archive.storage.write.key_lookup import Existing, KeyLookup, NewRun, look_up_few
from yamcs_archive.storage.write.same_rows import same_rows

_VECTOR_EVENTS_MIN = 64
"""Fewest events that are processed as vectors, and fewest stored ones that are compared as vectors; fewer are
faster one by one."""


class Conflicts:
    """The conflicts of one caller, added in any order: all positions, and the first conflicts by position."""

    __slots__ = ("_candidates", "_candidates_bytes", "positions")

    def __init__(self) -> None:
        self.positions: list[int] = []
        self._candidates: list[Conflict] = []
        self._candidates_bytes = 0

    def add(self, conflict: Conflict) -> None:
        """Add a conflict."""
        self.positions.append(conflict.position)
        self._candidates.append(conflict)
        self._candidates_bytes += conflict_bytes(conflict)
        if (
            len(self._candidates) > 2 * CONFLICTS_KEPT_MAX
            or self._candidates_bytes > 2 * CONFLICTS_KEPT_BYTES_MAX
        ):
            self._candidates = self.first
            self._candidates_bytes = sum(map(conflict_bytes, self._candidates))

    @property
    def first(self) -> list[Conflict]:
        """The first conflicts by position, as many as an answer shows."""
        return first_conflicts(self._candidates)


@dataclass(slots=True)
class Outcome:
    """The outcome of one caller's events."""

    columns: Columns[int]
    """The events as they were stored or would have been, with their numbers."""
    duplicates: list[int] = field(default_factory=list)
    """The position of each duplicate."""
    duplicate_of: Event | None = None
    """The stored event, if the caller offered one event only, and it is a duplicate."""
    conflicts: Conflicts = field(default_factory=Conflicts)
    expired: list[int] = field(default_factory=list)
    """The positions of events before the prune horizon."""
    error: ArchiveError | None = None
    """Set if none of this caller's events was stored."""

    @property
    def stored(self) -> int:
        """The number of events that were stored, unless there is an error."""
        refused = len(self.duplicates) + len(self.conflicts.positions) + len(self.expired)
        return self.columns.size - refused


@dataclass(slots=True)
class Group:
    """The outcome of each caller, and the new events of all of them."""

    outcomes: list[Outcome]
    events: Columns[int] | StoredVectors
    """The new events, in key order; vectors if there are many."""
    new_runs: list[NewRun]

    def tally(self) -> dict[str, tuple[int, int, int]]:
        """Return for each source the count, greatest number and greatest time of its new events."""
        return tally_vectors(self.events) if isinstance(self.events, StoredVectors) else tally(self.events)

    @property
    def runs(self) -> tuple[Run, ...]:
        """The new runs as a commit records them."""
        return tuple(self._run(start, stop - 1) for start, stop, _ in self.new_runs)

    def _run(self, first: int, last: int) -> Run:
        begin = encode_key(*self.events.key(first))
        return Run(begin, begin if first == last else encode_key(*self.events.key(last)))


def decide(
    submitted: Sequence[Columns[int]],
    existing: Existing,
    greatest_number: Callable[[str], int | None],
    horizon: int | None,
    *,
    exact: bool = False,
) -> Group:
    """Decide the outcome of all submitted events.

    ``greatest_number`` returns the greatest number that a source ever had; ``horizon`` is the prune
    horizon in microseconds since 1970, or None. With ``exact``, an event that differs from the stored one in
    any field is a conflict, also in reception time and user only.
    """
    outcomes = _number(submitted, greatest_number, horizon)
    accepted = [outcome for outcome in outcomes if outcome.error is None]
    arrivals = _Arrivals(accepted, horizon, exact)
    columns = Columns.concat([outcome.columns for outcome in accepted])
    few = columns.size < _VECTOR_EVENTS_MIN
    events, new_runs = (_new_of_few if few else _new_of_many)(columns, arrivals, existing)
    return Group(outcomes, events, new_runs)


def _new_of_few(
    columns: Columns[int], arrivals: _Arrivals, existing: Existing
) -> tuple[Columns[int], list[NewRun]]:
    """Return the new events, in key order, and their runs; the others are refused."""
    keys = columns.keys()
    # The sort is stable, so of equal keys the first to arrive comes first. Python orders text by code point,
    # which is the order of its UTF-8 bytes; so this is the order of the encoded keys.
    order = sorted(range(len(keys)), key=keys.__getitem__)
    if arrivals.expired:
        order = [at for at in order if at not in arrivals.expired]
    in_order = [keys[at] for at in order]
    new, stored, runs = look_up_few(
        in_order, existing, lambda index, first: arrivals.refuse(order[index], columns.event(order[first]))
    )
    if stored:
        found = existing.events([in_order[index] for index in stored])
        for index, event in zip(stored, found, strict=True):
            arrivals.refuse(order[index], event)
    places = [order[index] for index in new]
    return (columns if places == list(range(columns.size)) else columns.take(places)), runs


def _new_of_many(
    columns: Columns[int], arrivals: _Arrivals, existing: Existing
) -> tuple[StoredVectors, list[NewRun]]:
    """Do the same as vectors."""
    events = StoredVectors.of(columns, 0)
    if not arrivals.expired and bool((events.times[1:] > events.times[:-1]).all()):
        # Times rise, and so do the keys: nothing is sorted. If the next stored key is above the last key too,
        # no other look-up is needed.
        following = existing.next_key(events.key(0))
        if following is None or following > events.key(-1):
            return events, [NewRun(0, events.size, alone=True)]
    # For each event, in key order, its index in the order of arrival; that of equal keys is kept.
    arrived = np.arange(columns.size)
    if arrivals.expired:
        arrived = np.delete(arrived, sorted(arrivals.expired))
    times = events.times[arrived]
    order = key_order(times, lambda at: events.key(int(arrived[at]))[1:])
    if order is not None:
        arrived, times = arrived[order], times[order]

    def refuse(index: int, first: int) -> None:
        arrivals.refuse(int(arrived[index]), columns.event(int(arrived[first])))

    keys = Keys.of(events).take(arrived)
    new, stored, new_runs = KeyLookup(keys, times, existing, refuse).run()
    if len(stored) >= _VECTOR_EVENTS_MIN:
        for at, rows in existing.rows(keys.take(stored)):
            indexes = arrived[stored[at]]
            arrivals.refuse_rows(indexes, rows, events.take(indexes))
    elif len(stored):
        asked = stored.tolist()
        for index, event in zip(asked, existing.events([keys.key(at) for at in asked]), strict=True):
            arrivals.refuse(int(arrived[index]), event)
    if order is not None or len(new) < columns.size:
        events = events.take(arrived[new])
    return events, new_runs


class _Arrivals:
    """Finds the caller of an event by its index in the joined columns."""

    def __init__(self, outcomes: list[Outcome], horizon: int | None, exact: bool) -> None:
        self._outcomes = outcomes
        self._exact = exact
        self._starts: list[int] = []
        self.expired: set[int] = set()
        start = 0
        for outcome in outcomes:
            self._starts.append(start)
            if horizon is not None:
                times = outcome.columns.generation_time
                outcome.expired = [position for position, time in enumerate(times) if time < horizon]
                self.expired.update(start + position for position in outcome.expired)
            start += outcome.columns.size

    def refuse(self, index: int, stored: Event) -> None:
        """Record that another event is stored under the key of the event at ``index``."""
        caller = bisect_left(self._starts, index + 1) - 1
        outcome, position = self._outcomes[caller], index - self._starts[caller]
        offered = outcome.columns.event(position)
        if stored == offered if self._exact else same_content(stored, offered):
            outcome.duplicates.append(position)
            if outcome.columns.size == 1:
                outcome.duplicate_of = stored
        else:
            outcome.conflicts.add(Conflict(position, as_stored(stored), offered))

    def refuse_rows(self, indexes: Indexes, stored: StoredVectors, offered: StoredVectors) -> None:
        """Record the same of many events, by column; events are built only where that finds a difference, or
        where a caller who offered one event gets the stored one."""
        callers = np.array(self._starts).searchsorted(indexes, "right") - 1
        sizes = np.array([outcome.columns.size for outcome in self._outcomes])
        same = same_rows(stored, offered, exact=self._exact) & (sizes[callers] > 1)
        found = np.sort(indexes[same])
        for caller in np.unique(callers[same]).tolist():
            start = self._starts[caller]
            first, last = found.searchsorted([start, start + sizes[caller]])
            self._outcomes[caller].duplicates += (found[first:last] - start).tolist()
        if len(left := np.flatnonzero(~same)):
            for index, event in zip(indexes[left].tolist(), stored.take(left).events(), strict=True):
                self.refuse(index, event)


def _number(
    submitted: Sequence[Columns[int]], greatest_number: Callable[[str], int | None], horizon: int | None
) -> list[Outcome]:
    """Return an outcome for each caller, with all numbers assigned."""
    if all(columns.numbered for columns in submitted):
        return [Outcome(columns) for columns in submitted]
    greatest: dict[str, int] = {}
    outcomes = []
    for columns in submitted:
        mine: dict[str, int] = {}  # merged below, if all of this caller's events can be numbered
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


def tally(columns: Columns[int]) -> dict[str, tuple[int, int, int]]:
    """Return, for each source of some complete events, their count, greatest number and greatest time.

    >>> tally(Columns.of([Event("a", generation_time=9, seq_number=4, reception_time=9)]))
    {'User': (1, 4, 9)}
    """
    found: dict[str, tuple[int, int, int]] = {}
    for time, source, number in columns.keys():  # noqa: SIM118  # a method, not a mapping
        events, greatest, newest = found.get(source, (0, number, time))
        found[source] = events + 1, max(number, greatest), max(time, newest)
    return found


def tally_vectors(events: StoredVectors) -> dict[str, tuple[int, int, int]]:
    """Return the same as :func:`tally`, for many events or none.

    >>> event = Event("a", generation_time=9, seq_number=4, reception_time=9)
    >>> tally_vectors(StoredVectors.of(Columns.of([event]), commit=1))
    {'User': (1, 4, 9)}
    """
    names, index = events.sources.used()  # names of events that were refused may still be in the table
    counts = np.bincount(index, minlength=len(names))
    numbers = np.full(len(names), SEQ_NUMBER_MIN, np.int64)
    np.maximum.at(numbers, index, events.numbers)
    times = np.full(len(names), TIME_MIN_US, np.int64)
    np.maximum.at(times, index, events.times)
    return dict(zip(names, zip(counts.tolist(), numbers.tolist(), times.tolist(), strict=True), strict=True))


def update_sources(
    group: Group, state: Callable[[str], SourceState], changed: dict[str, SourceState]
) -> set[str]:
    """Put the source states after a group into ``changed``; return the sources of refused events.

    ``state`` returns the present state of a source: the one in ``changed``, if there is one.
    """
    for source, (count, number, time) in group.tally().items():
        old = state(source)
        last, newest = old.greatest_number, old.greatest_time
        changed[source] = SourceState(
            old.events + count,
            number if last is None or number > last else last,
            time if newest is None or time > newest else newest,
            old.duplicates,
            old.conflicts,
            old.expired,
        )
    refusing: set[str] = set()
    for outcome in group.outcomes:
        if not (outcome.duplicates or outcome.conflicts.positions or outcome.expired):
            continue
        for outcome_name, positions in (
            ("duplicates", outcome.duplicates),
            ("conflicts", outcome.conflicts.positions),
            ("expired", outcome.expired),
        ):
            for source, count in Counter(map(outcome.columns.source.__getitem__, positions)).items():
                old = state(source)
                changed[source] = msgspec.structs.replace(
                    old, **{outcome_name: getattr(old, outcome_name) + count}
                )
                refusing.add(source)
    return refusing

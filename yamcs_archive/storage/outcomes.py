"""What one group of appends does to the store: numbers, order, outcomes; pure but for the look-ups.

1. Callers in order of arrival, each one's events in its order: that order gives numbers and says which
   of two equal keys was first. The order on the medium is by key.
2. First write wins. A key that is there already, in the store or earlier in the group, makes its event a
   duplicate (same content) or a conflict; neither changes anything.
3. Nothing here writes or commits, so a group can be worked out again after a failed transaction.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import lt
from typing import Any, NamedTuple, Protocol

from yamcs_archive.errors import NumbersExhaustedError
from yamcs_archive.event import Event, same_content
from yamcs_archive.limits import SEQ_NUMBER_MAX
from yamcs_archive.storage.columns import Columns, Key, joined
from yamcs_archive.storage.commits import Run
from yamcs_archive.storage.keys import encode_key


class Existing(Protocol):
    """Where the stored keys are looked up."""

    def next_key(self, key: Key) -> Key | None:
        """Return the least stored key that is not below ``key``, or None."""

    def event(self, key: Key) -> Event:
        """Return the event stored under ``key``."""


class Refused(NamedTuple):
    """An event that was not stored, at its position in the caller's sequence."""

    position: int
    stored: Event
    offered: Event


@dataclass
class Outcome:
    """What became of one caller's events."""

    columns: Columns
    """As they were stored, or would have been: numbers filled in."""
    stored: int = 0
    duplicates: list[tuple[int, Event]] = field(default_factory=list)
    """Position and the event that was stored already."""
    conflicts: list[Refused] = field(default_factory=list)
    expired: list[int] = field(default_factory=list)
    error: NumbersExhaustedError | None = None
    """Set when none of this caller's events was taken."""


@dataclass
class Group:
    """What a group does: the outcome for each caller, and what is to be written for them together."""

    outcomes: list[Outcome]
    columns: Columns
    """The new events, in key order."""
    stretches: list[tuple[int, int]]
    """Where in the columns each stretch begins and ends between whose keys nothing was stored before."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """The stretches as a commit records them."""
        key = self.columns.key
        return tuple(
            Run(encode_key(*key(start)), encode_key(*key(stop - 1))) for start, stop in self.stretches
        )


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
    order: list[int] | None = None  # of the columns' indexes, None: as they arrived
    times = columns.generation_time
    if times and not arrivals.expired and all(map(lt, times, times[1:])):
        # Times that rise make keys that rise: nothing to sort, and if the next stored key lies
        # beyond, nothing to look up but the first.
        following = existing.next_key(columns.key(0))
        if following is None or following > columns.key(-1):
            return _counted(takers, Group(outcomes, columns, [(0, len(times))]))
    keys = columns.keys()
    distinct = all(map(lt, keys, keys[1:]))
    if arrivals.expired or not distinct:
        taken = [index for index in range(len(keys)) if index not in arrivals.expired]
        # Stable, so that of equal keys the first to arrive comes first. Python orders text by code
        # point, which is the order of UTF-8 bytes: this is the order of the encoded keys.
        order = sorted(taken, key=keys.__getitem__)
        columns = columns.take(order)
        keys = columns.keys()
    new, stretches = _place(keys, columns, existing, arrivals, order, distinct=distinct)
    if len(new) < len(keys):
        columns = columns.take(new)
    return _counted(takers, Group(outcomes, columns, stretches))


def _counted(takers: list[Outcome], group: Group) -> Group:
    for outcome in takers:
        refused = len(outcome.duplicates) + len(outcome.conflicts) + len(outcome.expired)
        outcome.stored = len(outcome.columns.message) - refused
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
            outcome.conflicts.append(Refused(position, stored, offered))


def _place(
    keys: list[Key],
    columns: Columns,
    existing: Existing,
    arrivals: _Arrivals,
    order: list[int] | None,
    *,
    distinct: bool,
) -> tuple[list[int], list[tuple[int, int]]]:
    """Return the indexes of the new events, and the stretches that they make in their own order.

    One look-up finds the next stored key, so that all keys below it are new at once: a group beyond
    the newest event costs one look-up, however large it is.
    """
    new: list[int] = []
    stretches: list[tuple[int, int]] = []
    index = 0
    while index < len(keys):
        key = keys[index]
        following = existing.next_key(key)
        if following == key:
            arrivals.refuse(index if order is None else order[index], existing.event(key))
            index += 1
            continue
        stop = len(keys) if following is None else bisect_left(keys, following, index)
        begin = len(new)
        if distinct:
            new.extend(range(index, stop))
        else:
            for here in range(index, stop):
                if here > index and keys[here] == keys[here - 1]:
                    arrivals.refuse(here if order is None else order[here], columns.event(new[-1]))
                else:
                    new.append(here)
        stretches.append((begin, len(new)))
        index = stop
    return new, stretches


def _number(
    submitted: Sequence[Columns], greatest_number: Callable[[str], int | None], horizon: int | None
) -> list[Outcome]:
    """Return an outcome for each caller, with every number filled in."""
    if not any(None in columns.seq_number for columns in submitted):
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
    """Return for each source of complete events in key order: how many, greatest number, greatest time.

    >>> from yamcs_archive.storage.columns import prepare
    >>> tally(prepare([Event("a", seq_number=4, generation_time=9)], int))
    {'User': (1, 4, 9)}
    """
    numbers: dict[str, list[Any]] = {source: [] for source in columns.source}
    deque(map(list.append, map(numbers.__getitem__, columns.source), columns.seq_number), maxlen=0)
    newest = dict(
        zip(columns.source, columns.generation_time, strict=True)
    )  # in key order the last is the newest
    return {source: (len(found), max(found), newest[source]) for source, found in numbers.items()}

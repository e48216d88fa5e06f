"""A few new events after all that is stored: decided in one pass, without a look-up of keys; pure.

1. Nearly all events as they really come are such: their keys rise, and the first one is above every stored
   key. For these this is the same as :func:`~yamcs_archive.storage.write.outcomes.decide`, in a third of the
   time.
   Law: tests/storage/test_plain_append.py::test_it_decides_as_the_long_way_does
2. Whatever is otherwise gives None, and takes the long way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from operator import lt
from typing import NamedTuple

from yamcs_archive.columns import Columns
from yamcs_archive.limits import SEQ_NUMBER_MAX
from yamcs_archive.storage.format.keys import Key
from yamcs_archive.storage.format.source_states import SourceState

PLAIN_EVENTS_MAX = 128
"""Most events that are decided so; from 200 on vectors are faster, which the long way uses."""


class Plain(NamedTuple):
    """New events, in key order, and the states of their sources after them."""

    columns: Columns[int]
    sources: dict[str, SourceState]


def plain_append(
    columns: Columns[int], state: Callable[[str], SourceState], greatest: Key, horizon: int | None
) -> Plain | None:
    """Return the events with their numbers, or None if there is more to decide.

    ``state`` returns the state of a source; ``greatest`` is the greatest stored key.

    >>> from yamcs_archive import Event
    >>> events = Columns.of([Event("a", "S", generation_time=9, reception_time=9)])
    >>> found = plain_append(events, {"S": SourceState(1, 4, 5)}.__getitem__, (5, "S", 4), None)
    >>> found.columns.seq_number, found.sources
    ([5], {'S': SourceState(events=2, greatest_number=5, greatest_time=9, duplicates=0, conflicts=0,
    expired=0)})
    >>> plain_append(events, {"S": SourceState(1, 4, 9)}.__getitem__, (9, "S", 5), None)
    """
    times, sources = columns.generation_time, columns.source
    if horizon is not None and times[0] < horizon:
        return None
    if len(times) == 1:
        return _one(columns, state(sources[0]), greatest)
    counts = Counter(sources)
    states = {source: state(source) for source in counts}
    greatest_numbers = {source: old.greatest_number for source, old in states.items()}
    numbers = _numbered(sources, columns.seq_number, greatest_numbers)
    if numbers is None:
        return None
    keys = list(zip(times, sources, numbers, strict=True))
    if keys[0] <= greatest or not all(map(lt, keys, islice(keys, 1, None))):
        return None
    newest = dict(zip(sources, times, strict=True))  # times rise, so it has the last one of each source
    changed = {
        source: _after(old, counts[source], greatest_numbers[source], newest[source])
        for source, old in states.items()
    }
    return Plain(columns._replace(seq_number=numbers), changed)


def _one(columns: Columns[int], old: SourceState, greatest: Key) -> Plain | None:
    """Do the same for one event, in a third of the time."""
    message, sources, severity, kind, times, [number], received, user, extensions, extra = columns
    [time], [source], last = times, sources, old.greatest_number
    if number is None:
        number = 0 if last is None else last + 1
        if number > SEQ_NUMBER_MAX:
            return None
    if (time, source, number) <= greatest:
        return None
    numbered: Columns[int] = Columns(
        message, sources, severity, kind, times, [number], received, user, extensions, extra
    )
    return Plain(numbered, {source: _after(old, 1, number if last is None or number > last else last, time)})


def _after(old: SourceState, events: int, number: int | None, time: int) -> SourceState:
    """Return the state of a source after some events, given the greatest number, and the greatest time of
    these.
    """
    newest = old.greatest_time
    return SourceState(
        old.events + events,
        number,
        time if newest is None or time > newest else newest,
        old.duplicates,
        old.conflicts,
        old.expired,
    )


def _numbered(
    sources: list[str], numbers: Sequence[int | None], greatest: dict[str, int | None]
) -> Sequence[int] | None:
    """Return the numbers of events, assigned where they are None; None if a source has used the last one.

    ``greatest``, the greatest number of each source, is changed to what it is after them.
    """
    found: list[int] = []
    for source, number in zip(sources, numbers, strict=True):
        last = greatest[source]
        if number is None:
            number = 0 if last is None else last + 1  # noqa: PLW2901  # the number that is assigned
            if number > SEQ_NUMBER_MAX:
                return None
        if last is None or number > last:
            greatest[source] = number
        found.append(number)
    return found

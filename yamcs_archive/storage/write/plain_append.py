"""A few new events after all that is stored: decided in one pass, without a look-up of keys; pure.

1. Nearly all events as they really come are such: their keys rise, and the first one is above every stored
   key. For these this is the same as :func:`~yamcs_archive.storage.write.outcomes.decide`, in a third of the
   time.
   Law: tests/storage/test_plain_append.py::test_it_decides_as_the_long_way_does
2. Whatever is otherwise gives None, and takes the long way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from yamcs_archive.columns import Columns
from yamcs_archive.limits import SEQ_NUMBER_MAX
from yamcs_archive.storage.format.keys import Key
from yamcs_archive.storage.format.source_states import SourceState

PLAIN_EVENTS_MAX = 128
"""Most events that are decided one by one; from 200 on vectors are faster, which the long way uses."""


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
    times = columns.generation_time
    if horizon is not None and times[0] < horizon:
        return None
    changed: dict[str, SourceState] = {}
    numbers: list[int] = []
    for time, source, number in zip(times, columns.source, columns.seq_number, strict=True):
        old = changed.get(source) or state(source)
        last, newest = old.greatest_number, old.greatest_time
        if number is None:
            number = 0 if last is None else last + 1  # noqa: PLW2901  # the number that is assigned
            if number > SEQ_NUMBER_MAX:
                return None
        key = time, source, number
        if key <= greatest:
            return None
        greatest = key
        numbers.append(number)
        changed[source] = SourceState(
            old.events + 1,
            number if last is None or number > last else last,
            time if newest is None or time > newest else newest,
            old.duplicates,
            old.conflicts,
            old.expired,
        )
    message, source_names, severity, kind, _, _, received, user, extensions, extra = columns
    numbered: Columns[int] = Columns(
        message, source_names, severity, kind, times, numbers, received, user, extensions, extra
    )
    return Plain(numbered, changed)

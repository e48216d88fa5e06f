"""A few events of a block part, decoding little that only other events need; pure.

1. This makes pages and single reads fast. ``part.events.take(indexes)`` returns the same events, only slower.
   Law: tests/storage/test_few.py::test_few_events_round_trip_as_rows_and_as_a_block
2. Where an event is in another order (by source, by kind) is counted, without sorting all.
3. Of a column that is stored as steps, one value is the sum of the steps before it, without unpacking them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from yamcs_archive.event import SEVERITIES, Event
from yamcs_archive.storage.format.block_part import BlockPart
from yamcs_archive.storage.format.integers import Int64s, integer_at, pick_integers, sum_integers
from yamcs_archive.storage.format.keys import Indexes
from yamcs_archive.storage.format.vectors import Vectors, pick_values

_COUNTED_MAX = 16
"""Most events whose values are found by counting; for more, the whole column is decoded."""


def pick_vectors(part: BlockPart, indexes: Sequence[int]) -> Vectors:
    """Return some of the events; DamagedError if they cannot be read."""
    at = np.array(indexes, np.intp)
    messages = _messages(part, at)
    with part.reading("columns"):
        keys, body, users = part.key_frame, part.body_frame, part.users
        times = _times(part, at)
        received = pick_integers(body.delays, part.count, at)
        return Vectors(
            times,
            _numbers(part, at),
            received if body.absolute else times + received,
            pick_integers(keys.commits, part.count, at),
            part.severities[at],
            part.sources._replace(codes=part.sources.codes[at]),
            part.types._replace(codes=part.types.codes[at]),
            users._replace(codes=users.codes[at]),
            messages,
            None if body.extensions is None else pick_values(body.extensions, at),
            None if body.extra is None else pick_values(body.extra, at),
        )


def pick_events(part: BlockPart, indexes: Sequence[int]) -> list[Event]:
    """Return a few of the events, in half of the time that :func:`pick_vectors` takes for them.

    Single values are read without numpy, of which each call costs as much.
    """
    messages = _messages(part, np.array(indexes, np.intp))
    with part.reading("columns"):
        return [_event(part, index, message) for index, message in zip(indexes, messages, strict=True)]


def _event(part: BlockPart, at: int, message: str) -> Event:
    keys, body, count = part.key_frame, part.body_frame, part.count
    sources, types = part.sources, part.types
    time = keys.first_time + sum_integers(keys.time_steps, count - 1, at)
    number = keys.first_number + sum_integers(keys.number_steps, count - 1, _rank(sources.codes, at))
    received = integer_at(body.delays, count, at)
    users = None if body.users is None else part.users
    return Event(
        message,
        sources.values[sources.codes[at]],
        SEVERITIES[part.severities[at]],
        types.values[types.codes[at]],
        time,
        number,
        received if body.absolute else time + received,
        None if users is None else users.values[users.codes[at]],
        b"" if body.extensions is None else body.extensions[at],
        {} if body.extra is None else dict(body.extra[at]),
    )


def _messages(part: BlockPart, at: Indexes) -> list[str]:
    if part.kinds is not None and len(at) <= _COUNTED_MAX:
        at = _ranks(part.kinds, at)
    elif part.message_indexes is not None:
        at = part.message_indexes[at]
    return part.messages_at(at)


def _times(part: BlockPart, at: Indexes) -> Int64s:
    if len(at) > _COUNTED_MAX or "times" in vars(part):
        return part.times[at]
    return _summed(part.key_frame.first_time, part.key_frame.time_steps, part.count, at)


def _numbers(part: BlockPart, at: Indexes) -> Int64s:
    if len(at) > _COUNTED_MAX or "numbers" in vars(part):
        return part.numbers[at]
    ranks = _ranks(part.sources.codes, at)
    return _summed(part.key_frame.first_number, part.key_frame.number_steps, part.count, ranks)


def _summed(first: int, steps: bytes, count: int, at: Indexes) -> Int64s:
    return np.array([first + sum_integers(steps, count - 1, index) for index in at.tolist()], np.int64)


def _rank(values: npt.NDArray[Any], at: int) -> int:
    """Return the index that one value has when all are sorted, equal ones in their order.

    >>> _rank(np.array([2, 1, 2, 1]), 0), _rank(np.array([2, 1, 2, 1]), 3)
    (2, 1)
    """
    return int(np.count_nonzero(values < values[at]) + np.count_nonzero(values[:at] == values[at]))


def _ranks(values: npt.NDArray[Any], at: Indexes) -> Indexes:
    return np.fromiter((_rank(values, index) for index in at.tolist()), np.intp, len(at))

"""A few events of a block part, decoding little that only other events need; pure.

1. This makes pages and single reads fast. ``part.events.take(indexes)`` returns the same events, only slower.
   Law: tests/storage/test_few.py::test_few_events_round_trip_as_rows_and_as_a_block
2. Up to :data:`ONE_BY_ONE_MAX` events are built one by one, from single values. For more, whole columns are
   decoded, but only the chunks that have their messages.
3. Where one event is in another order (by source, by kind) is counted, without sorting all.
4. Of a column that is stored as steps, one value is the sum of the steps before it, without unpacking them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from yamcs_archive.columns import Columns
from yamcs_archive.event import SEVERITIES, Event
from yamcs_archive.event_vectors import StoredVectors, pick_values
from yamcs_archive.storage.format.block_part_decoder import BlockPart
from yamcs_archive.storage.format.integers import integer_at, sum_integers

ONE_BY_ONE_MAX = 4
"""Most events that are built one by one; more are built by column."""


def pick_vectors(part: BlockPart, indexes: Sequence[int]) -> StoredVectors:
    """Return some of the events; DamagedError if they cannot be read."""
    at = np.array(indexes, np.intp)
    if len(at) <= ONE_BY_ONE_MAX:
        found = StoredVectors.of(Columns.of(pick_events(part, indexes)), 0)
        return found._replace(commits=part.commits[at])
    stored = at if part.message_indexes is None else part.message_indexes[at]
    messages = part.messages_at(stored.tolist())
    with part.reading("columns"):
        body = part.body_frame
        return StoredVectors(
            part.times[at],
            part.numbers[at],
            part.received[at],
            part.commits[at],
            part.severities[at],
            part.sources._replace(codes=part.sources.codes[at]),
            part.types._replace(codes=part.types.codes[at]),
            part.users._replace(codes=part.users.codes[at]),
            messages,
            None if body.extensions is None else pick_values(body.extensions, at),
            None if body.extra is None else pick_values(body.extra, at),
        )


def pick_events(part: BlockPart, indexes: Sequence[int]) -> list[Event]:
    """Return up to :data:`ONE_BY_ONE_MAX` of the events, without numpy where it would take longer."""
    kinds = part.kinds
    messages = part.messages_at(indexes if kinds is None else [_rank(kinds, index) for index in indexes])
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


def _rank(values: npt.NDArray[Any], at: int) -> int:
    """Return the index that one value has when all are sorted, equal ones in their order.

    >>> _rank(np.array([2, 1, 2, 1]), 0), _rank(np.array([2, 1, 2, 1]), 3)
    (2, 1)
    """
    return int(np.count_nonzero(values < values[at]) + np.count_nonzero(values[:at] == values[at]))

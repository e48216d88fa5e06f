"""The events of several parts as one, each vector joined when it is asked for; pure.

Where blocks have a few wanted events each, to make a record batch of each, and to join those, would take as
long as decoding. Where a block has a late part, most readers need a few of its columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import yamcs_archive.signal_safe_numpy  # noqa: F401  # before numpy

# isort: split

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import DictColumn, Indexes, Int64s, PackedMessages, Vectors, pick_values

Number = TypeVar("Number", np.int64, np.uint8)


class JoinedVectors:
    """The events of all parts, of which there is at least one.

    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.event import Event
    >>> from yamcs_archive.event_vectors import StoredVectors
    >>> events = [Event(name, generation_time=1, seq_number=1, reception_time=1) for name in "ab"]
    >>> parts = [StoredVectors.of(Columns.of([event]), commit=1) for event in events]
    >>> JoinedVectors(parts).messages, JoinedVectors(parts, np.array([1, 0])).messages
    (['a', 'b'], ['b', 'a'])
    """

    def __init__(self, parts: Sequence[Vectors], order: Indexes | None = None) -> None:
        """``order``: for each event its index among those of the parts, one after the other; None: they are
        in that order.
        """
        self._parts, self._order = parts, order
        self.size = sum(part.size for part in parts)
        self.held_bytes = sum(part.held_bytes for part in parts)

    @property
    def packed_messages(self) -> PackedMessages | None:
        """None: they are not at hand as they are stored."""
        return None

    @cached_property
    def times(self) -> Int64s:
        """Generation times, microseconds since 1970."""
        return self._numbers(lambda part: part.times)

    @property
    def numbers(self) -> Int64s:
        """Sequence numbers."""
        return self._numbers(lambda part: part.numbers)

    @property
    def received(self) -> Int64s:
        """Reception times, microseconds since 1970."""
        return self._numbers(lambda part: part.received)

    @property
    def commits(self) -> Int64s:
        """Numbers of commits."""
        return self._numbers(lambda part: part.commits)

    @property
    def severities(self) -> npt.NDArray[np.uint8]:
        """Numbers of severities."""
        return self._numbers(lambda part: part.severities)

    @cached_property
    def sources(self) -> DictColumn:
        """Each event's source."""
        return self._texts(lambda part: part.sources)

    @property
    def types(self) -> DictColumn:
        """Each event's type."""
        return self._texts(lambda part: part.types)

    @property
    def users(self) -> DictColumn:
        """The user that created each event."""
        return self._texts(lambda part: part.users)

    @cached_property
    def messages(self) -> list[str]:
        """Each event's message."""
        return self._ordered([message for part in self._parts for message in part.messages])

    @property
    def extensions(self) -> list[bytes] | None:
        """Each event's extensions; None: no event has any."""
        return self._values(lambda part: part.extensions, b"")

    @property
    def extra(self) -> list[dict[str, str]] | None:
        """Each event's extra; None: no event has any."""
        return self._values(lambda part: part.extra, {})

    def _numbers(self, column: Callable[[Vectors], npt.NDArray[Number]]) -> npt.NDArray[Number]:
        found = np.concatenate([column(part) for part in self._parts])
        return found if self._order is None else found[self._order]

    def _texts(self, column: Callable[[Vectors], DictColumn]) -> DictColumn:
        found = DictColumn.concat([column(part) for part in self._parts])
        return found if self._order is None else found._replace(codes=found.codes[self._order])

    def _values(self, column: Callable[[Vectors], list[Any] | None], nothing: Any) -> list[Any] | None:
        columns = [column(part) for part in self._parts]
        if all(values is None for values in columns):
            return None
        return self._ordered(
            [
                value
                for part, values in zip(self._parts, columns, strict=True)
                for value in (values if values is not None else [nothing] * part.size)
            ]
        )

    def _ordered(self, values: list[Any]) -> list[Any]:
        return values if self._order is None else pick_values(values, self._order)

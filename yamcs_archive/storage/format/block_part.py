"""Parts of blocks -> vectors: columns are decoded when they are asked for; bytes in, vectors out.

1. No length read from the medium is trusted before the checksum over it was found right.
2. Of a few events little more is decoded than what they need: where each stands in another order is
   counted, and messages are cut out of their stretch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from zlib import crc32

import msgpack
import numpy as np
import numpy.typing as npt

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import SEVERITIES, Event
from yamcs_archive.limits import BLOCK_EVENTS_LIMIT, BLOCK_FRAME_BYTES_MAX
from yamcs_archive.storage.format.block_encoder import (
    HEADER,
    SMALL_TABLE_MAX,
    SUM_BYTES,
    Kind,
    by_source,
    kinds_of,
)
from yamcs_archive.storage.format.compression import decompressed
from yamcs_archive.storage.format.dictionary import DictColumn
from yamcs_archive.storage.format.integers import (
    Int64s,
    integer_at,
    pick_integers,
    sum_integers,
    unpack_integers,
)
from yamcs_archive.storage.format.message_chunks import MessageChunks
from yamcs_archive.storage.format.messages import TextMatcher
from yamcs_archive.storage.format.vectors import Vectors, picked

_FEW = 16
"""Where so many events stand in another order is counted for each; for more, all are put in that order."""


def _rank(values: npt.NDArray[Any], at: int) -> int:
    """Return where a place comes when all are sorted by value, equal ones in their order.

    >>> _rank(np.array([2, 1, 2, 1]), 0), _rank(np.array([2, 1, 2, 1]), 3)
    (2, 1)
    """
    return int(np.count_nonzero(values < values[at]) + np.count_nonzero(values[:at] == values[at]))


def _ranks(values: npt.NDArray[Any], at: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    return np.fromiter((_rank(values, place) for place in at.tolist()), np.intp, len(at))


class BlockPart:
    """A part as it was read: its key columns and its body are decoded when they are asked for.

    Raises :class:`~yamcs_archive.errors.DamagedError`, at construction or at first use of a column.
    """

    def __init__(self, key: bytes, value: bytes, kind: Kind) -> None:
        self.key = key
        if len(value) < HEADER.size:
            raise self.damaged("it is shorter than its header")
        key_sum, self._body_sum, self.count, key_bytes, body_bytes, text_bytes, *raw = HEADER.unpack_from(
            value
        )
        self._keys_raw, self._body_raw = raw
        stop = HEADER.size + key_bytes
        self._keys = value[HEADER.size : stop]
        start = crc32(key, kind.start)
        if crc32(self._keys, crc32(value[SUM_BYTES : HEADER.size], start)) != key_sum:
            raise self.damaged("the checksum of its keys is wrong")
        # The body frame and the stretches, each of which is checked when it is asked for.
        self._start, self._body_bytes, self._rest = start, body_bytes, memoryview(value)[stop:]
        if not 1 <= self.count <= BLOCK_EVENTS_LIMIT or len(self._rest) != body_bytes + text_bytes:
            raise self.damaged(
                f"it says that it holds {self.count} events, and more bytes or fewer than it has"
            )

    def damaged(self, reason: str) -> DamagedError:
        """Return the error for something in this part that cannot be trusted."""
        return DamagedError(f"blocks {self.key.hex()}", reason)

    def _frame(self, frame: bytes | memoryview, raw_bytes: int) -> list[Any]:
        try:
            found: list[Any] = msgpack.unpackb(decompressed(frame, raw_bytes))
        except (ValueError, msgpack.UnpackException) as error:
            raise self.damaged(f"a frame cannot be read: {error}") from None
        return found

    @cached_property
    def _key_columns(self) -> list[Any]:
        return self._frame(self._keys, self._keys_raw)

    @cached_property
    def times(self) -> Int64s:
        """Generation times, microseconds since 1970."""
        deltas = self._integers(self._key_columns[1], self.count - 1)
        return np.cumsum(np.concatenate((np.array(self._key_columns[0:1], np.int64), deltas)))

    def _integers(self, packed: bytes, count: int) -> Int64s:
        try:
            return unpack_integers(packed, count)
        except ValueError as error:
            raise self.damaged(f"its columns cannot be read: {error}") from None

    @cached_property
    def sources(self) -> DictColumn:
        """The sources that occur, by name, and each event's place among them."""
        return self._coded(self._key_columns[2], self._key_columns[3])

    def _coded(self, table: list[Any], packed: bytes) -> DictColumn:
        index: npt.NDArray[Any]
        if len(table) <= SMALL_TABLE_MAX:
            index = np.frombuffer(packed, np.uint8)
            fits = len(index) == self.count and int(index.max()) < len(table)
        else:
            index = self._integers(packed, self.count)
            fits = int(index.max()) < len(table) and int(index.min()) >= 0
        if not fits:
            raise self.damaged("an index does not fit its table")
        return DictColumn(table, index.astype(np.int32))

    @cached_property
    def numbers(self) -> Int64s:
        """Each event's sequence number; stored source by source."""
        found = np.empty(self.count, np.int64)
        deltas = self._integers(self._key_columns[5], self.count - 1)
        found[by_source(self.sources)] = np.cumsum(
            np.concatenate((np.array(self._key_columns[4:5], np.int64), deltas))
        )
        return found

    def _some_numbers(self, at: npt.NDArray[np.intp]) -> Int64s:
        if len(at) > _FEW or "numbers" in self.__dict__:
            return self.numbers[at]
        return self._sums(4, _ranks(self.sources.codes, at))

    def _some_times(self, at: npt.NDArray[np.intp]) -> Int64s:
        if len(at) > _FEW or "times" in self.__dict__:
            return self.times[at]
        return self._sums(0, at)

    def _sums(self, column: int, places: npt.NDArray[np.intp]) -> Int64s:
        """Return some values of a column that is stored as its first value and the steps between them."""
        first, steps = int(self._key_columns[column]), self._key_columns[column + 1]
        sums = [first + sum_integers(steps, self.count - 1, place) for place in places.tolist()]
        return np.array(sums, np.int64)

    @cached_property
    def severities(self) -> npt.NDArray[np.uint8]:
        """Each event's severity code."""
        found = np.frombuffer(self._key_columns[6], np.uint8)
        if len(found) != self.count or int(found.max()) >= len(SEVERITIES):
            raise self.damaged("its severities are no codes, or not one for each event")
        return found

    @cached_property
    def commits(self) -> Int64s:
        """The number of the commit that stored each event."""
        return self._integers(self._key_columns[7], self.count)

    @cached_property
    def _body_columns(self) -> list[Any]:
        body = self._rest[: self._body_bytes]
        if crc32(body, self._start) != self._body_sum:
            raise self.damaged("the checksum of its body is wrong")
        return self._frame(body, self._body_raw)

    def check_body(self) -> None:
        """Raise DamagedError when a checksum of body or messages is wrong; no message is decompressed."""
        with self._reading_messages():
            self._stretches.check()

    @property
    def largest_frame_bytes(self) -> int:
        """Claimed bytes of its largest frame, decompressed; the body frame may be read for that."""
        found: int = max(self._keys_raw, self._body_raw)
        if found > BLOCK_FRAME_BYTES_MAX:
            return found
        with self._reading_messages():
            return max(found, self._stretches.largest_bytes)

    @cached_property
    def types(self) -> DictColumn:
        """Each event's type."""
        return self._texts(self._body_columns[2])

    @cached_property
    def _kinds(self) -> npt.NDArray[Any] | None:
        return kinds_of(self.types, self.severities)

    @cached_property
    def _order(self) -> npt.NDArray[np.intp] | None:
        """The events in the order of their messages in the stretches; None: that is theirs."""
        return None if self._kinds is None else np.argsort(self._kinds, kind="stable")

    @cached_property
    def _places(self) -> npt.NDArray[np.intp] | None:
        """Where each event's message stands in the stretches; None: as the events do."""
        if self._order is None:
            return None
        places = np.empty(self.count, np.intp)
        places[self._order] = np.arange(self.count)
        return places

    @contextmanager
    def _reading_messages(self) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, IndexError) as error:
            raise self.damaged(f"its messages cannot be read: {error}") from None

    @cached_property
    def _stretches(self) -> MessageChunks:
        each, listed = self._body_columns[3:5]
        return MessageChunks(self._rest[self._body_bytes :], listed, each, self.count, self._start)

    @cached_property
    def messages(self) -> list[str]:
        """Each event's message."""
        with self._reading_messages():
            found = self._stretches.all()
        return found if self._places is None else picked(found, self._places)

    def _some_messages(self, at: npt.NDArray[np.intp]) -> list[str]:
        """Return the messages of some events, reading no stretch in vain."""
        places = at
        if self._kinds is not None and len(at) <= _FEW:
            places = _ranks(self._kinds, at)
        elif self._places is not None:
            places = self._places[at]
        with self._reading_messages():
            return self._stretches.some(places.tolist())

    def containing(self, sought: TextMatcher) -> list[int]:
        """Return the places of the events whose messages contain what is sought, in their order."""
        with self._reading_messages():
            found = self._stretches.containing(sought)
        if not found or self._order is None:
            return found
        return sorted(self._order[found].tolist())

    def _texts(self, stored: Any) -> DictColumn:
        if stored is None:
            return DictColumn([None], np.zeros(self.count, np.int32))
        return self._coded(*stored)

    def take(self, places: Sequence[int]) -> Vectors:
        """Return some of the events, decoding little of what only others need."""
        at = np.array(places, np.intp)
        return self._vectors(self._some_messages(at), at)

    def few(self, places: Sequence[int]) -> list[Event]:
        """Return a few of the events, which :meth:`take` would return as vectors: in half of its time.

        What is one value of an event is fetched without numpy, of which each call costs as much.
        """
        messages = self._some_messages(np.array(places, np.intp))
        try:
            return [self._event(at, message) for at, message in zip(places, messages, strict=True)]
        except (ValueError, TypeError, IndexError) as error:
            raise self.damaged(f"its columns cannot be read: {error}") from None

    def _event(self, at: int, message: str) -> Event:
        first_time, steps, names, _, first_number, number_steps, *_ = self._key_columns
        absolute, delays, _, _, _, users, extensions, extra = self._body_columns
        sources, types = self.sources, self.types
        time = first_time + sum_integers(steps, self.count - 1, at)
        number = first_number + sum_integers(number_steps, self.count - 1, _rank(sources.codes, at))
        received = integer_at(delays, self.count, at)
        user = None if users is None else self._texts(users)
        return Event(
            message,
            names[sources.codes[at]],
            SEVERITIES[self.severities[at]],
            types.values[types.codes[at]],
            time,
            number,
            received if absolute else time + received,
            None if user is None else user.values[user.codes[at]],
            b"" if extensions is None else extensions[at],
            {} if extra is None else dict(extra[at]),
        )

    @cached_property
    def events(self) -> Vectors:
        """All events as vectors."""
        return self._vectors(self.messages)

    def _vectors(self, texts: list[str], at: npt.NDArray[np.intp] | None = None) -> Vectors:
        """Return the events at some places, or all; ``texts`` are their messages."""

        def those(column: Any) -> Any:
            return column if at is None or column is None else column[at]

        def codes(column: DictColumn) -> DictColumn:
            return column._replace(codes=those(column.codes))

        def values(column: list[Any] | None) -> list[Any] | None:
            return column if at is None or column is None else picked(column, at)

        try:
            absolute, delays, _, _, _, users, extensions, extra = self._body_columns
            times = self.times if at is None else self._some_times(at)
            received = (
                self._integers(delays, self.count) if at is None else pick_integers(delays, self.count, at)
            )
            return Vectors(
                times,
                self.numbers if at is None else self._some_numbers(at),
                received if absolute else times + received,
                self.commits if at is None else pick_integers(self._key_columns[7], self.count, at),
                those(self.severities),
                codes(self.sources),
                codes(self.types),
                codes(self._texts(users)),
                texts,
                values(extensions),
                values(extra),
            )
        except (ValueError, TypeError, IndexError) as error:
            raise self.damaged(f"its columns cannot be read: {error}") from None

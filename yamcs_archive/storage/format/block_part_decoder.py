"""Block parts -> vectors: columns are decoded when they are used; bytes in, vectors out.

No length read from the medium is trusted before the checksum over it was found right. What a few events need
is read by :mod:`block_pick`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import SEVERITIES
from yamcs_archive.event_vectors import (
    DictColumn,
    Indexes,
    Int64s,
    PackedMessages,
    StoredVectors,
    pick_values,
)
from yamcs_archive.limits import BLOCK_EVENTS_LIMIT, BLOCK_FRAME_BYTES_MAX
from yamcs_archive.storage.format.block_part_encoder import (
    HEADER,
    SMALL_TABLE_MAX,
    BodyFrame,
    KeyFrame,
    by_source,
    kinds_of,
)
from yamcs_archive.storage.format.checksum import CHECKSUM_BYTES
from yamcs_archive.storage.format.compression import decompressed
from yamcs_archive.storage.format.integers import unpack_integers
from yamcs_archive.storage.format.keys import decode_key
from yamcs_archive.storage.format.messages import MessageChunks
from yamcs_archive.storage.format.text_search import TextMatcher

_Frame = TypeVar("_Frame", KeyFrame, BodyFrame)
_DECODE_ERRORS = (ValueError, TypeError, IndexError, OverflowError, msgspec.MsgspecError)
_key_frame = msgspec.msgpack.Decoder(KeyFrame)
_body_frame = msgspec.msgpack.Decoder(BodyFrame)


class _Reading:
    """Turns what decoding raises into the part's error; a class, because a generator costs a microsecond
    more."""

    __slots__ = ("_part", "_what")

    def __init__(self, part: BlockPart, what: str) -> None:
        self._part, self._what = part, what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, _DECODE_ERRORS):
            raise self._part.damaged(f"its {self._what} cannot be read: {error}") from None


def locate(error: DamagedError, first: bytes, last: bytes | None, events: int | None) -> None:
    """Give an error the range of keys and the number of the events that cannot be read, as far as known."""
    with suppress(DamagedError):
        error.first = decode_key(first)
        error.events = events
        if last is not None:
            error.last = decode_key(last)


class BlockPart:
    """A part as it was read.

    Raises :class:`~yamcs_archive.errors.DamagedError`, at construction or at first use of a column.
    """

    reaches: tuple[bytes | None, int | None] = None, None
    """The last key and the number of events of its block, for errors; set by who knows its zone map."""

    def __init__(self, key: bytes, value: bytes, kind: int) -> None:
        self.key = key
        if len(value) < HEADER.size:
            raise self.damaged("it is shorter than its header")
        key_sum, self._body_sum, self.count, key_bytes, body_bytes, text_bytes, *raw = HEADER.unpack_from(
            value
        )
        self._keys_raw, self._body_raw = raw
        stop = HEADER.size + key_bytes
        self._keys = value[HEADER.size : stop]
        start = crc32(key, kind)
        if crc32(self._keys, crc32(value[CHECKSUM_BYTES : HEADER.size], start)) != key_sum:
            raise self.damaged("the checksum of its keys is wrong")
        # The body frame and the chunks of messages, each of which is checked when it is used.
        self._start, self._body_bytes, self._rest = start, body_bytes, memoryview(value)[stop:]
        if not 1 <= self.count <= BLOCK_EVENTS_LIMIT or len(self._rest) != body_bytes + text_bytes:
            raise self.damaged(f"its header has a wrong number of bytes, or of events: {self.count}")

    def damaged(self, reason: str) -> DamagedError:
        """Return the error for something in this part that cannot be trusted."""
        error = DamagedError(f"blocks {self.key.hex()}", reason)
        locate(error, self.key, *self.reaches)
        return error

    def reading(self, what: str) -> _Reading:
        """Return a context that raises DamagedError where a frame does not have its form."""
        return _Reading(self, what)

    def check_body(self) -> None:
        """Raise DamagedError when a checksum of body or messages is wrong; no message is decompressed."""
        with self.reading("messages"):
            self._chunks.check()

    @property
    def frames_bytes(self) -> int:
        """Claimed bytes of its two frames, decompressed."""
        return int(self._keys_raw + self._body_raw)

    @property
    def largest_frame_bytes(self) -> int:
        """Claimed bytes of its largest frame, decompressed; the body frame may be read for that."""
        found: int = max(self._keys_raw, self._body_raw)
        if found > BLOCK_FRAME_BYTES_MAX:
            return found
        with self.reading("messages"):
            return max(found, self._chunks.largest_bytes)

    @cached_property
    def key_frame(self) -> KeyFrame:
        """The columns that decide whether an event is wanted, packed."""
        return self._unpacked(_key_frame, self._keys, self._keys_raw)

    @cached_property
    def body_frame(self) -> BodyFrame:
        """The other columns, packed, and the list of the chunks of messages."""
        body = self._rest[: self._body_bytes]
        if crc32(body, self._start) != self._body_sum:
            raise self.damaged("the checksum of its body is wrong")
        found = self._unpacked(_body_frame, body, self._body_raw)
        if any(
            column is not None and len(column) != self.count for column in (found.extensions, found.extra)
        ):
            raise self.damaged("it has no extensions or no extra for some events")
        return found

    def _unpacked(
        self, decoder: msgspec.msgpack.Decoder[_Frame], frame: bytes | memoryview, raw_bytes: int
    ) -> _Frame:
        with self.reading("frames"):
            return decoder.decode(decompressed(frame, raw_bytes))

    @cached_property
    def times(self) -> Int64s:
        """Generation times, microseconds since 1970."""
        return self._from_steps(self.key_frame.first_time, self.key_frame.time_steps)

    @cached_property
    def numbers(self) -> Int64s:
        """Each event's sequence number; stored source by source."""
        found = np.empty(self.count, np.int64)
        found[by_source(self.sources)] = self._from_steps(
            self.key_frame.first_number, self.key_frame.number_steps
        )
        return found

    def numbers_at(self, indexes: Indexes) -> Int64s:
        """Return some of the numbers, whose indexes rise: in less time if they are of one source."""
        codes = self.sources.codes
        if "numbers" in vars(self) or not len(indexes) or (codes[indexes] != codes[indexes[0]]).any():
            return self.numbers[indexes]
        code = codes[indexes[0]]
        begin, of_source = np.count_nonzero(codes < code), np.flatnonzero(codes == code)
        stored = begin + of_source.searchsorted(indexes)
        stop = int(stored[-1]) + 1
        numbers = self._from_steps(self.key_frame.first_number, self.key_frame.number_steps, stop)
        found: Int64s = numbers[stored]
        return found

    @cached_property
    def received(self) -> Int64s:
        """Reception times, microseconds since 1970."""
        with self.reading("columns"):
            found = unpack_integers(self.body_frame.delays, self.count)
        return found if self.body_frame.absolute else self.times + found

    def received_at(self, indexes: Indexes) -> Int64s:
        """Return some of the reception times; the others are not unpacked."""
        if "received" in vars(self):
            return self.received[indexes]
        with self.reading("columns"):
            found = unpack_integers(self.body_frame.delays, self.count, indexes)
        return found if self.body_frame.absolute else self.times[indexes] + found

    @cached_property
    def commits(self) -> Int64s:
        """The number of the commit that stored each event."""
        with self.reading("columns"):
            return unpack_integers(self.key_frame.commits, self.count)

    @cached_property
    def severities(self) -> npt.NDArray[np.uint8]:
        """Each event's severity code."""
        found = np.frombuffer(self.key_frame.severities, np.uint8)
        if len(found) != self.count or int(found.max()) >= len(SEVERITIES):
            raise self.damaged("its severities are no codes, or not one for each event")
        return found

    @cached_property
    def sources(self) -> DictColumn:
        """Each event's source."""
        return self._texts((self.key_frame.sources, self.key_frame.source_codes))

    @cached_property
    def types(self) -> DictColumn:
        """Each event's type."""
        return self._texts(self.body_frame.types)

    @cached_property
    def users(self) -> DictColumn:
        """The user that created each event."""
        return self._texts(self.body_frame.users)

    @cached_property
    def messages(self) -> list[str]:
        """Each event's message."""
        with self.reading("messages"):
            found = self._chunks.all()
        return found if self.message_indexes is None else pick_values(found, self.message_indexes)

    def packed_messages(self, indexes: Indexes | None) -> PackedMessages:
        """Return the messages at some indexes as they are stored; only their chunks are read."""
        at = self.message_indexes
        with self.reading("messages"):
            return self._chunks.packed(at if indexes is None else indexes if at is None else at[indexes])

    @cached_property
    def events(self) -> StoredVectors:
        """All events as vectors."""
        with self.reading("columns"):
            body = self.body_frame
            return StoredVectors(
                self.times,
                self.numbers,
                self.received,
                self.commits,
                self.severities,
                self.sources,
                self.types,
                self.users,
                self.messages,
                body.extensions,
                body.extra,
            )

    def containing(self, matcher: TextMatcher) -> list[int]:
        """Return the indexes of the events whose messages contain the texts, in their order."""
        with self.reading("messages"):
            found = self._chunks.containing(matcher)
        if not found or self._message_order is None:
            return found
        return sorted(self._message_order[found].tolist())

    def texts(self) -> Iterator[bytes]:
        """Yield all that text is searched in, as JSON: messages, then sources and types."""
        with self.reading("messages"):
            yield from self._chunks.texts()
        types = self.body_frame.types
        for values in (self.key_frame.sources, types[0] if types is not None else []):
            yield msgspec.json.encode([value for value in values if value is not None])

    def messages_at(self, stored: Sequence[int]) -> list[str]:
        """Return some messages by their indexes as they are stored; only their chunks are read."""
        with self.reading("messages"):
            return self._chunks.some(stored)

    @cached_property
    def kinds(self) -> npt.NDArray[Any] | None:
        """Numbers in whose order the messages are stored; None: they are in the events' order."""
        return kinds_of(self.types, self.severities)

    @cached_property
    def _message_order(self) -> Indexes | None:
        """The index of the event that has each stored message; None: they are in the events' order."""
        return None if self.kinds is None else np.argsort(self.kinds, kind="stable")

    @cached_property
    def message_indexes(self) -> Indexes | None:
        """The index at which each event's message is stored; None: they are in the events' order."""
        if self._message_order is None:
            return None
        found = np.empty(self.count, np.intp)
        found[self._message_order] = np.arange(self.count)
        return found

    @cached_property
    def _chunks(self) -> MessageChunks:
        body = self.body_frame
        stored = self._rest[self._body_bytes :]
        return MessageChunks(stored, body.chunks, body.chunk_messages, self.count, self._start)

    def _from_steps(self, first: int, steps: bytes, stop: int | None = None) -> Int64s:
        """Return the values up to ``stop``, of which the first and the steps to the others are stored."""
        size = self.count if stop is None else stop
        with self.reading("columns"):
            found = np.empty(size, np.int64)
            found[0], found[1:] = first, unpack_integers(steps, self.count - 1, slice(size - 1))
            return np.cumsum(found, out=found)

    def _texts(self, stored: tuple[list[Any], bytes] | None) -> DictColumn:
        if stored is None:
            return DictColumn([None], np.zeros(self.count, np.int32))
        with self.reading("columns"):
            values, packed = stored
            codes: npt.NDArray[Any]
            if len(values) <= SMALL_TABLE_MAX:
                codes, least = np.frombuffer(packed, np.uint8), 0
            else:
                codes = unpack_integers(packed, self.count)
                least = int(codes.min())
            if len(codes) != self.count or least < 0 or int(codes.max()) >= len(values):
                raise ValueError("an index does not fit its table")
            return DictColumn(values, codes.astype(np.int32))

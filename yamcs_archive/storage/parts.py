"""Parts of blocks <-> vectors: events in key order as two frames behind a header; bytes in, vectors out.

The *key frame* has what decides whether an event is wanted and when it came (times, sources, numbers,
severities, commits); the *body frame* the rest. Duplicates, arrival order and skipping need the key
frame only.

1. No length read from the medium is trusted before the checksum over it was found right.
2. A part is checked just before it is written: first and last key, order, lengths of columns.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple
from zlib import crc32

import msgpack
import numpy as np
import numpy.typing as npt

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import SEVERITIES
from yamcs_archive.limits import BLOCK_EVENTS_LIMIT
from yamcs_archive.storage import messages
from yamcs_archive.storage.frames import compressed, decompressed
from yamcs_archive.storage.integers import Int64s, pack_integers, unpack_integers
from yamcs_archive.storage.messages import Packed
from yamcs_archive.storage.vectors import Coded, Vectors

HEADER = struct.Struct(">IIIIIII")
"""Two checksums, then what the first one covers: count, bytes of both frames, and of both decompressed."""
CHECKSUMS_BYTES = 8
_SMALL_TABLE_MAX = 256


class Kind(NamedTuple):
    """What a part is in its block."""

    name: str
    start: int
    """What its checksums begin with, so that one kind is never taken for another."""


MAIN, LATE = (Kind(name, crc32(name.encode() + b"\0")) for name in ("blocks", "late"))


def encode_parts(events: Sequence[Vectors], keys: Sequence[bytes], kind: Kind) -> list[bytes]:
    """Return each run of events, in strict key order, as a part of the block under its key."""
    frames: list[bytes] = []
    for each in events:
        frames += (_key_frame(each, each.sources.used().in_order()), _body_frame(each))
    packed = compressed(frames)
    return [
        assembled(key, each.size, frames[2 * at : 2 * at + 2], packed[2 * at : 2 * at + 2], kind)
        for at, (key, each) in enumerate(zip(keys, events, strict=True))
    ]


def assembled(key: bytes, count: int, raw: Sequence[bytes], packed: Sequence[bytes], kind: Kind) -> bytes:
    """Return a part of frames that are compressed already."""
    sizes = HEADER.pack(0, 0, count, *map(len, packed), *map(len, raw))[CHECKSUMS_BYTES:]
    start = crc32(key, kind.start)
    return b"".join(
        (
            crc32(packed[0], crc32(sizes, start)).to_bytes(4, "big"),
            crc32(packed[1], start).to_bytes(4, "big"),
            sizes,
            *packed,
        )
    )


def end_of(value: bytes, at: int = 0) -> int:
    """Return where the part that begins at a place ends, as its header says; nothing is checked."""
    if len(value) < at + HEADER.size:
        return len(value)
    _, _, _, key_bytes, body_bytes, _, _ = HEADER.unpack_from(value, at)
    return at + HEADER.size + int(key_bytes) + int(body_bytes)


def _key_frame(events: Vectors, sources: Coded) -> bytes:
    numbers = events.numbers[_by_source(sources)]
    frame: bytes = msgpack.packb(
        (
            int(events.times[0]),
            pack_integers(np.diff(events.times)),
            sources.table,
            _pack_index(sources),
            int(numbers[0]),
            pack_integers(np.diff(numbers)),
            events.severities.tobytes(),
            pack_integers(events.commits),
        )
    )
    return frame


def _by_source(sources: Coded) -> npt.NDArray[np.intp]:
    # numpy sorts small integers by radix, which is several times as fast.
    return np.argsort(sources.places.astype(np.uint16), kind="stable")


def _body_frame(events: Vectors) -> bytes:
    # A bulk append gives all its events one reception time; live events come at a small delay each.
    absolute = bool((events.received == events.received[0]).all())
    packed = messages.pack(events.messages)
    frame: bytes = msgpack.packb(
        (
            absolute,
            pack_integers(events.received if absolute else events.received - events.times),
            _pack_texts(events.types),
            packed.plain,
            packed.text,
            _pack_texts(events.users),
            events.extensions,
            events.extra,
        )
    )
    return frame


def _pack_index(column: Coded) -> bytes:
    if len(column.table) <= _SMALL_TABLE_MAX:
        return column.places.astype(np.uint8).tobytes()
    return pack_integers(column.places.astype(np.int64))


def _pack_texts(column: Coded) -> tuple[list[str | None], bytes] | None:
    """Return a column of few different texts as a table and an index; None when all are None."""
    column = column.used()
    return None if column.table == [None] else (column.table, _pack_index(column))


class Part:
    """A part as it was read: its key columns and its body are decoded when they are asked for.

    Raises :class:`~yamcs_archive.errors.DamagedError`, at construction or at first use of a column.
    """

    def __init__(self, key: bytes, value: bytes, kind: Kind) -> None:
        self.key = key
        if len(value) < HEADER.size:
            raise self.damaged("it is shorter than its header")
        key_sum, self._body_sum, self.count, key_bytes, body_bytes, self._keys_raw, self._body_raw = (
            HEADER.unpack_from(value)
        )
        stop = HEADER.size + key_bytes
        self._keys = value[HEADER.size : stop]
        start = crc32(key, kind.start)
        if crc32(self._keys, crc32(value[CHECKSUMS_BYTES : HEADER.size], start)) != key_sum:
            raise self.damaged("the checksum of its keys is wrong")
        self._body_start, self._body = start, value[stop : stop + body_bytes]
        if not 1 <= self.count <= BLOCK_EVENTS_LIMIT or len(value) != stop + body_bytes:
            raise self.damaged(f"it says that it holds {self.count} events in {stop + body_bytes} bytes")

    def damaged(self, reason: str) -> DamagedError:
        """Return the error for something in this part that cannot be trusted."""
        return DamagedError(f"blocks {self.key.hex()}", reason)

    def _frame(self, frame: bytes, raw_bytes: int) -> list[Any]:
        try:
            found: list[Any] = msgpack.unpackb(decompressed(frame, raw_bytes))
        except (ValueError, msgpack.UnpackException) as error:
            raise self.damaged(f"a frame cannot be read: {error}") from None
        return found

    @cached_property
    def _key_columns(self) -> list[Any]:
        found = self._frame(self._keys, self._keys_raw)
        self._keys = b""
        return found

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
    def sources(self) -> Coded:
        """The sources that occur, by name, and each event's place among them."""
        return self._coded(self._key_columns[2], self._key_columns[3])

    def _coded(self, table: list[Any], packed: bytes) -> Coded:
        if len(table) <= _SMALL_TABLE_MAX:
            index = np.frombuffer(packed, np.uint8).astype(np.int32)
        else:
            index = self._integers(packed, self.count).astype(np.int32)
        if len(index) != self.count or int(index.max()) >= len(table) or int(index.min()) < 0:
            raise self.damaged("an index does not fit its table")
        return Coded(table, index)

    @cached_property
    def numbers(self) -> Int64s:
        """Each event's sequence number; stored source by source."""
        deltas = self._integers(self._key_columns[5], self.count - 1)
        found = np.empty(self.count, np.int64)
        found[_by_source(self.sources)] = np.cumsum(
            np.concatenate((np.array(self._key_columns[4:5], np.int64), deltas))
        )
        return found

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
        self.check_body()
        found = self._frame(self._body, self._body_raw)
        self._body = b""
        return found

    def check_body(self) -> None:
        """Raise DamagedError when the checksum of the body is wrong; nothing is decompressed for it."""
        if crc32(self._body, self._body_start) != self._body_sum:
            raise self.damaged("the checksum of its body is wrong")

    def may_contain(self, folded: str) -> bool:
        """Say whether a message may contain a case-folded text, without building any message."""
        return messages.may_contain(self._packed, folded)

    @property
    def _packed(self) -> Packed:
        return Packed(self._body_columns[4], self._body_columns[3])

    @cached_property
    def messages(self) -> list[str]:
        """Each event's message."""
        try:
            return messages.unpack(self._packed, self.count)
        except (ValueError, msgpack.UnpackException) as error:
            raise self.damaged(f"its messages cannot be read: {error}") from None

    def _texts(self, stored: Any) -> Coded:
        if stored is None:
            return Coded([None], np.zeros(self.count, np.int32))
        return self._coded(*stored)

    @cached_property
    def events(self) -> Vectors:
        """All events as vectors."""
        try:
            absolute, delays, types, _, _, users, extensions, extra = self._body_columns
            received = self._integers(delays, self.count)
            return Vectors(
                self.times,
                self.numbers,
                received if absolute else self.times + received,
                self.commits,
                self.severities,
                self.sources,
                self._texts(types),
                self._texts(users),
                self.messages,
                extensions,
                extra,
            )
        except (ValueError, TypeError, IndexError) as error:
            raise self.damaged(f"its columns cannot be read: {error}") from None

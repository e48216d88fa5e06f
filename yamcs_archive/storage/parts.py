"""Parts of blocks <-> vectors: events in key order as frames behind a header; bytes in, vectors out.

The *key frame* has what decides whether an event is wanted and when it came (times, sources, numbers,
severities, commits); the *body frame* the rest but for messages, which stand behind it as *stretches*, a
frame each. Duplicates, arrival order and skipping need the key frame only, a look at one event one stretch.

1. No length read from the medium is trusted before the checksum over it was found right.
2. A part is checked just before it is written: first and last key, order, lengths of columns.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from functools import cached_property
from itertools import chain, islice
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
from yamcs_archive.storage.messages import Packer, Sought
from yamcs_archive.storage.vectors import Coded, Vectors, picked

HEADER = struct.Struct(">IIIIIIII")
"""Two checksums, of keys and of the rest; count; bytes of key frame, of body frame and of all stretches;
bytes of key frame and of body frame when decompressed."""
_SUM_BYTES = 4
CHECKSUMS_BYTES = 2 * _SUM_BYTES
_SMALL_TABLE_MAX = 256
_kept = threading.local()


class Kind(NamedTuple):
    """What a part is in its block."""

    name: str
    start: int
    """What its checksums begin with, so that one kind is never taken for another."""


MAIN, LATE = (Kind(name, crc32(name.encode() + b"\0")) for name in ("blocks", "late"))


def encode_parts(events: Sequence[Vectors], keys: Sequence[bytes], kind: Kind) -> list[bytes]:
    """Return each run of events, in strict key order, as a part of the block under its key.

    Raises RuntimeError for events that are not.
    """
    packer: Packer | None = getattr(_kept, "packer", None)
    if packer is None:
        packer = _kept.packer = Packer()
    packer.reuse()
    texts = [packer.pack(_messages_by_kind(each)) for each in events]
    keys_raw = [_key_frame(each, each.sources.used().in_order()) for each in events]
    packed = iter(compressed([*keys_raw, *chain.from_iterable(texts)]))
    key_frames = list(islice(packed, len(events)))
    stretches = [list(islice(packed, len(each))) for each in texts]
    # The body frame says how long the stretches became, so it is compressed behind them; it is small.
    bodies_raw = [_body_frame(*each) for each in zip(events, texts, stretches, strict=True)]
    return [
        assembled(key, each.size, raw, (*frames, b"".join(texts)), kind)
        for key, each, raw, frames, texts in zip(
            keys,
            events,
            zip(keys_raw, bodies_raw, strict=True),
            zip(key_frames, compressed(bodies_raw), strict=True),
            stretches,
            strict=True,
        )
    ]


def assembled(key: bytes, count: int, raw: Sequence[bytes], packed: Sequence[bytes], kind: Kind) -> bytes:
    """Return a part of compressed key frame, body frame and stretches; ``raw``: the two frames before."""
    start = crc32(key, kind.start)
    body_sum = crc32(packed[2], crc32(packed[1], start))
    # The first checksum covers the second, so that no key frame is ever taken for one of another body.
    covered = HEADER.pack(0, body_sum, count, *map(len, packed), *map(len, raw))[_SUM_BYTES:]
    key_sum = crc32(packed[0], crc32(covered, start))
    return b"".join((key_sum.to_bytes(_SUM_BYTES, "big"), covered, *packed))


def end_of(value: bytes, at: int = 0) -> int:
    """Return where the part that begins at a place ends, as its header says; nothing is checked."""
    if len(value) < at + HEADER.size:
        return len(value)
    _, _, _, key_bytes, body_bytes, text_bytes, _, _ = HEADER.unpack_from(value, at)
    return at + HEADER.size + int(key_bytes) + int(body_bytes) + int(text_bytes)


def _key_frame(events: Vectors, sources: Coded) -> bytes:
    numbers = events.numbers[_by_source(sources)]
    deltas = np.diff(events.times)
    _check_order(events, deltas)
    frame: bytes = msgpack.packb(
        (
            int(events.times[0]),
            pack_integers(deltas),
            sources.table,
            _pack_index(sources),
            int(numbers[0]),
            pack_integers(np.diff(numbers)),
            events.severities.tobytes(),
            pack_integers(events.commits),
        )
    )
    return frame


def _check_order(events: Vectors, deltas: Int64s) -> None:
    """Refuse to write what could not be found again: a fault of this program, never of its caller."""
    if (deltas > 0).all():
        return
    for at in np.flatnonzero(deltas <= 0).tolist():
        if events.key(at) >= events.key(at + 1):
            raise RuntimeError(f"events {at} and {at + 1} of a block are not in the order of their keys")


def _by_source(sources: Coded) -> npt.NDArray[np.intp]:
    # numpy sorts small integers by radix, which is several times as fast.
    return np.argsort(sources.places.astype(np.uint16), kind="stable")


def _messages_by_kind(events: Vectors) -> list[str]:
    order = _by_kind(events.types.used(), events.severities)
    return events.messages if order is None else picked(events.messages, order)


def _body_frame(events: Vectors, texts: Sequence[bytearray], stretches: Sequence[bytes]) -> bytes:
    # A bulk append gives all its events one reception time; live events come at a small delay each.
    absolute = bool((events.received == events.received[0]).all())
    frame: bytes = msgpack.packb(
        (
            absolute,
            pack_integers(events.received if absolute else events.received - events.times),
            _pack_texts(events.types),
            messages.STRETCH_MESSAGES,
            [
                (len(stretch), len(text), messages.is_plain(text))
                for stretch, text in zip(stretches, texts, strict=True)
            ],
            _pack_texts(events.users),
            events.extensions,
            events.extra,
        )
    )
    return frame


def _by_kind(types: Coded, severities: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp] | None:
    """Return the events by type and severity, else in their order; None when that is how they stand.

    Messages of one type and severity are alike, and zstd finds more of what they share in neighbours.
    """
    if len(severities) == 1 or (len(types.table) == 1 and bool((severities == severities[0]).all())):
        return None
    kinds = types.places * np.int32(len(SEVERITIES)) + severities
    # numpy sorts small integers by radix, which is several times as fast.
    small = len(types.table) * len(SEVERITIES) <= 1 << 16
    return np.argsort(kinds.astype(np.uint16) if small else kinds, kind="stable")


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
        key_sum, self._body_sum, self.count, key_bytes, body_bytes, text_bytes, *raw = HEADER.unpack_from(
            value
        )
        self._keys_raw, self._body_raw = raw
        stop = HEADER.size + key_bytes
        self._keys = value[HEADER.size : stop]
        start = crc32(key, kind.start)
        if crc32(self._keys, crc32(value[_SUM_BYTES : HEADER.size], start)) != key_sum:
            raise self.damaged("the checksum of its keys is wrong")
        self._texts_read: dict[int, list[str]] = {}
        # The body frame and the stretches: the bytes of both are copied once, and checked when asked for.
        self._body_start, self._body_bytes, self._rest = start, body_bytes, value[stop:]
        if not 1 <= self.count <= BLOCK_EVENTS_LIMIT or len(self._rest) != body_bytes + text_bytes:
            raise self.damaged(
                f"it says that it holds {self.count} events, and more bytes or fewer than it has"
            )

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
        return self._frame(self._rest[: self._body_bytes], self._body_raw)

    def check_body(self) -> None:
        """Raise DamagedError when the checksum of the body is wrong; nothing is decompressed for it."""
        if crc32(self._rest, self._body_start) != self._body_sum:
            raise self.damaged("the checksum of its body is wrong")

    @cached_property
    def types(self) -> Coded:
        """Each event's type."""
        return self._texts(self._body_columns[2])

    @cached_property
    def _order(self) -> npt.NDArray[np.intp] | None:
        """The events in the order of their messages in the stretches; None: that is theirs."""
        return _by_kind(self.types, self.severities)

    @cached_property
    def _places(self) -> npt.NDArray[np.intp] | None:
        """Where each event's message stands in the stretches; None: as the events do."""
        if self._order is None:
            return None
        places = np.empty(self.count, np.intp)
        places[self._order] = np.arange(self.count)
        return places

    def _stretch(self, at: int) -> bytes:
        """Return a stretch as it was before it was compressed."""
        try:
            sizes = self._body_columns[4]
            start = self._body_bytes + sum(size for size, _, _ in sizes[:at])
            return decompressed(self._rest[start : start + sizes[at][0]], sizes[at][1])
        except (ValueError, TypeError, IndexError) as error:
            raise self.damaged(f"its messages cannot be read: {error}") from None

    def _unpacked(self, at: int, stretch: bytes | None = None) -> list[str]:
        """Return the messages of a stretch, whose text may be at hand."""
        if at in self._texts_read:
            return self._texts_read[at]
        each = self._body_columns[3]
        try:
            found = self._texts_read[at] = messages.unpack(self._stretch(at) if stretch is None else stretch)
            if len(found) != min(each, self.count - at * each):
                raise ValueError(f"stretch {at} has {len(found)} messages")
        except (ValueError, TypeError) as error:
            raise self.damaged(f"its messages cannot be read: {error}") from None
        return found

    @cached_property
    def messages(self) -> list[str]:
        """Each event's message."""
        found: list[str] = []
        for at in range(len(self._body_columns[4])):
            found += self._unpacked(at)
        if len(found) != self.count:
            raise self.damaged(f"it has {len(found)} messages of {self.count} events")
        return found if self._places is None else picked(found, self._places)

    def _some_messages(self, places: npt.NDArray[np.intp]) -> list[str]:
        """Return the messages of some events, reading no stretch in vain."""
        stand = (places if self._places is None else self._places[places]).tolist()
        each = self._body_columns[3]
        read = {at: self._unpacked(at) for at in {place // each for place in stand}}
        return [read[place // each][place % each] for place in stand]

    def containing(self, sought: Sought) -> list[int]:
        """Return the places of the events whose messages contain what is sought, in their order."""
        columns = self._body_columns
        each, sizes = columns[3], columns[4]
        found: list[int] = []
        for at, (_, _, plain) in enumerate(sizes):
            stretch = self._stretch(at)
            if sought.may_be_in(stretch, plain):
                found += (at * each + place for place in sought.places(self._unpacked(at, stretch)))
        if not found or self._order is None:
            return found
        return sorted(self._order[found].tolist())

    def _texts(self, stored: Any) -> Coded:
        if stored is None:
            return Coded([None], np.zeros(self.count, np.int32))
        return self._coded(*stored)

    def take(self, places: Sequence[int]) -> Vectors:
        """Return some of the events, reading no stretch of messages in vain."""
        texts = self._some_messages(np.array(places, np.intp))
        return self._vectors([""] * self.count).take(places)._replace(messages=texts)

    @cached_property
    def events(self) -> Vectors:
        """All events as vectors."""
        return self._vectors(self.messages)

    def _vectors(self, texts: list[str]) -> Vectors:
        try:
            absolute, delays, _, _, _, users, extensions, extra = self._body_columns
            received = self._integers(delays, self.count)
            return Vectors(
                self.times,
                self.numbers,
                received if absolute else self.times + received,
                self.commits,
                self.severities,
                self.sources,
                self.types,
                self._texts(users),
                texts,
                extensions,
                extra,
            )
        except (ValueError, TypeError, IndexError) as error:
            raise self.damaged(f"its columns cannot be read: {error}") from None

"""Compressed columnar blocks <-> columns; bytes in, columns out. No LMDB, no clock, no HTTP.

A block is a run of events in key order, in two zstd frames behind a header. The *key frame* has what
decides whether an event is wanted and when it came (times, sources, numbers, severities, commits); the
*body frame* the rest. Duplicates, arrival order and skipping need the key frame only.

1. No length read from the medium is trusted before the checksum over it was found right.
2. A frame is decompressed only up to the size that its header declares, and none may declare more than
   the limit: a small value cannot become a large one.
3. A block is checked just before it is written: first and last key, order, lengths of columns.
"""

from __future__ import annotations

import struct
import threading
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple
from zlib import crc32

import msgpack
import numpy as np
import numpy.typing as npt
import zstandard

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import SEVERITIES
from yamcs_archive.limits import BLOCK_EVENTS_LIMIT, BLOCK_FRAME_BYTES_MAX
from yamcs_archive.storage import messages
from yamcs_archive.storage.columns import Key
from yamcs_archive.storage.integers import Int64s, pack_integers, unpack_integers
from yamcs_archive.storage.keys import decode_bound, encode_key
from yamcs_archive.storage.messages import Packed
from yamcs_archive.storage.vectors import Coded, Vectors

LEVEL = 1
"""zstd's level of both frames; docs/decisions.md has the measurement."""
_MATCH_BYTES_MIN = 7
"""The shortest repetition that is looked for: messages repeat whole phrases; likewise measured."""
_THREADS = 2
_THREADED_BYTES_MIN = 1 << 17
"""Frames of more than this together are compressed by two threads at once, in C."""

_HEADER = struct.Struct(">IIIIII")  # two checksums, then what the first one covers: count and three sizes
CHECKSUMS_BYTES = 8
_START = crc32(b"blocks\0")
_SMALL_TABLE_MAX = 256
_contexts = threading.local()  # a context is not safe for two threads at once, and dear to make


class Block(NamedTuple):
    """An encoded block: what is put under ``key``, and what its summary says."""

    key: bytes
    """The first event's key."""
    last: bytes
    """The last event's key."""
    value: bytes
    events: int
    sources: tuple[str, ...]
    severities: int
    """A bit for each severity code that occurs."""
    lowest_commit: int
    greatest_commit: int


def encode_block(events: Vectors) -> Block:
    """Return the block of events in strict key order.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.storage.columns import prepare
    >>> from yamcs_archive.storage.vectors import vectors
    >>> events = [Event(f"{n}", generation_time=n, seq_number=n, reception_time=9) for n in range(3)]
    >>> block = encode_block(vectors(prepare(events, int), commit=1))
    >>> list(OpenBlock(block.key, block.value).events.events()) == events
    True
    """
    return encode_blocks([events])[0]


def encode_blocks(parts: Sequence[Vectors]) -> list[Block]:
    """Return the blocks of several runs of events, each in strict key order."""
    frames: list[bytes] = []
    sources = [part.sources.used().in_order() for part in parts]
    for part, names in zip(parts, sources, strict=True):
        frames += (_key_frame(part, names), _body_frame(part))
    compressed = _compressed(frames)
    blocks = []
    for at, (part, names) in enumerate(zip(parts, sources, strict=True)):
        first, last = encode_key(*part.key(0)), encode_key(*part.key(-1))
        both = slice(2 * at, 2 * at + 2)
        value = _assembled(first, part.size, frames[both], compressed[both])
        codes = np.flatnonzero(np.bincount(part.severities)).tolist()
        blocks.append(
            Block(
                first,
                last,
                value,
                part.size,
                tuple(names.table),
                sum(1 << code for code in codes),
                int(part.commits.min()),
                int(part.commits.max()),
            )
        )
    return blocks


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


def _compressor() -> zstandard.ZstdCompressor:
    found: zstandard.ZstdCompressor | None = getattr(_contexts, "compressor", None)
    if found is None:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL, min_match=_MATCH_BYTES_MIN, write_content_size=True
        )
        found = _contexts.compressor = zstandard.ZstdCompressor(compression_params=parameters)
    return found


def _compressed(frames: Sequence[bytes]) -> list[bytes]:
    if len(frames) > 2 and sum(map(len, frames)) >= _THREADED_BYTES_MIN:
        found = _compressor().multi_compress_to_buffer(list(frames), threads=_THREADS)
        return [found[at].tobytes() for at in range(len(frames))]
    return list(map(_compressor().compress, frames))


def _assembled(key: bytes, count: int, raw: Sequence[bytes], compressed: Sequence[bytes]) -> bytes:
    keys, body = compressed
    sizes = _HEADER.pack(0, 0, count, len(keys), *map(len, raw))[CHECKSUMS_BYTES:]
    start = crc32(key, _START)
    return b"".join(
        (
            crc32(keys, crc32(sizes, start)).to_bytes(4, "big"),
            crc32(body, start).to_bytes(4, "big"),
            sizes,
            keys,
            body,
        )
    )


class OpenBlock:
    """A block as it was read: its key columns and its body are decoded when they are asked for.

    Raises :class:`~yamcs_archive.errors.DamagedError`, at construction or at first use of a part.
    """

    def __init__(self, key: bytes, value: bytes) -> None:
        self.key = key
        self.checksums = value[:CHECKSUMS_BYTES]
        """Both checksums: equal ones mean an equal block."""
        if len(value) < _HEADER.size:
            raise self._damaged("it is shorter than its header")
        sizes = _HEADER.unpack_from(value)
        key_sum, self._body_sum, self.count, key_bytes, self._keys_raw, self._body_raw = sizes
        self._keys = value[_HEADER.size : _HEADER.size + key_bytes]
        start = crc32(key, _START)
        if crc32(self._keys, crc32(value[CHECKSUMS_BYTES : _HEADER.size], start)) != key_sum:
            raise self._damaged("the checksum of its keys is wrong")
        self._body_start, self._body = start, value[_HEADER.size + key_bytes :]
        if not 1 <= self.count <= BLOCK_EVENTS_LIMIT:
            raise self._damaged(f"it says that it holds {self.count} events")

    @classmethod
    def known(cls, block: Block, events: Vectors) -> OpenBlock:
        """Return the open form of a block whose events are at hand, so that they need no decoding."""
        found = cls(block.key, block.value)
        found.events = events
        found.times, found.numbers, found.commits = events.times, events.numbers, events.commits
        found.sources, found.severities = events.sources, events.severities
        return found

    def _damaged(self, reason: str) -> DamagedError:
        return DamagedError(f"blocks {self.key.hex()}", reason)

    def _frame(self, frame: bytes, raw_bytes: int) -> list[Any]:
        if raw_bytes > BLOCK_FRAME_BYTES_MAX:
            raise self._damaged(f"a frame says that it has {raw_bytes} bytes")
        decompressor: zstandard.ZstdDecompressor | None = getattr(_contexts, "decompressor", None)
        if decompressor is None:
            decompressor = _contexts.decompressor = zstandard.ZstdDecompressor()
        try:
            if zstandard.frame_content_size(frame) != raw_bytes:
                raise ValueError("its size is not the one that the header says")
            found: list[Any] = msgpack.unpackb(decompressor.decompress(frame))
        except (zstandard.ZstdError, ValueError, msgpack.UnpackException) as error:
            raise self._damaged(f"a frame cannot be read: {error}") from None
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
            raise self._damaged(f"its columns cannot be read: {error}") from None

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
            raise self._damaged("an index does not fit its table")
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
            raise self._damaged("its severities are no codes, or not one for each event")
        return found

    @cached_property
    def commits(self) -> Int64s:
        """The number of the commit that stored each event."""
        return self._integers(self._key_columns[7], self.count)

    def key_of(self, at: int) -> Key:
        """Return one event's key: time, source, number."""
        return int(self.times[at]), self.sources.table[self.sources.places[at]], int(self.numbers[at])

    def place_of(self, key: Key) -> int:
        """Return how many of the events have a lesser key."""
        low, high = (int(self.times.searchsorted(key[0], side)) for side in ("left", "right"))
        return bisect_left(range(high), key, low, high, key=self.key_of)

    def place_of_bound(self, bound: bytes) -> int:
        """Return how many of the events lie below a bound of a range of encoded keys."""
        if bound <= self.key:
            return 0
        time, rest = decode_bound(bound)
        low = int(self.times.searchsorted(time))
        if rest:
            # Among the events of that very time the whole key decides.
            while low < self.count and self.times[low] == time and encode_key(*self.key_of(low)) < bound:
                low += 1
        return low

    def check_body(self) -> None:
        """Raise DamagedError when the checksum of the body is wrong; nothing is decompressed for it."""
        if crc32(self._body, self._body_start) != self._body_sum:
            raise self._damaged("the checksum of its body is wrong")

    @cached_property
    def _body_columns(self) -> list[Any]:
        self.check_body()
        found = self._frame(self._body, self._body_raw)
        self._body = b""
        return found

    def may_contain(self, folded: str) -> bool:
        """Say whether a message may contain a case-folded text, without building any message."""
        return messages.may_contain(self._packed, folded)

    @property
    def _packed(self) -> Packed:
        return Packed(self._body_columns[4], self._body_columns[3])

    def places_of(self, lowest: int, greatest: int) -> list[int]:
        """Return the places of the events that the commits from ``lowest`` to ``greatest`` stored."""
        found: list[int] = np.flatnonzero((lowest <= self.commits) & (self.commits <= greatest)).tolist()
        return found

    @cached_property
    def messages(self) -> list[str]:
        """Each event's message."""
        try:
            return messages.unpack(self._packed, self.count)
        except (ValueError, msgpack.UnpackException) as error:
            raise self._damaged(f"its messages cannot be read: {error}") from None

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
            raise self._damaged(f"its columns cannot be read: {error}") from None

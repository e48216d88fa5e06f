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
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, chain, repeat
from operator import add, sub
from typing import Any, NamedTuple
from zlib import crc32

import msgpack
import zstandard

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import SEVERITIES
from yamcs_archive.limits import BLOCK_EVENTS_LIMIT, BLOCK_FRAME_BYTES_MAX
from yamcs_archive.storage.columns import Columns
from yamcs_archive.storage.integers import pack_integers, unpack_integers
from yamcs_archive.storage.keys import encode_key

LEVEL = 1
"""zstd's level of both frames; docs/decisions.md has the measurement."""

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


def encode_block(columns: Columns, commits: Sequence[int]) -> Block:
    """Return the block of complete events in strict key order; ``commits`` has each one's commit number.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.storage.columns import prepare
    >>> events = [Event(f"{n}", generation_time=n, seq_number=n, reception_time=9) for n in range(3)]
    >>> block = encode_block(prepare(events, int), [1, 1, 2])
    >>> OpenBlock(block.key, block.value).columns.events() == events
    True
    """
    times, count = columns.generation_time, len(columns.message)
    names = sorted(set(columns.source))
    place = dict(zip(names, range(len(names)), strict=True))
    index = list(map(place.__getitem__, columns.source))
    grouped: list[list[int]] = [[] for _ in names]
    deque(map(list.append, map(grouped.__getitem__, index), columns.seq_number), maxlen=0)  # type: ignore[arg-type]  # all numbered
    numbers = list(chain.from_iterable(grouped))
    severities = bytes(columns.severity)
    key_frame = msgpack.packb(
        (
            times[0],
            pack_integers(list(map(sub, times[1:], times))),
            names,
            _pack_index(index, len(names)),
            numbers[0],
            pack_integers(list(map(sub, numbers[1:], numbers))),
            severities,
            pack_integers(commits),
        )
    )
    first, last = (encode_key(times[at], columns.source[at], columns.seq_number[at]) for at in (0, -1))  # type: ignore[arg-type]  # likewise
    value = _assembled(first, count, key_frame, _body_frame(columns))
    return Block(first, last, value, count, tuple(names), _mask(severities))


def _mask(severities: bytes) -> int:
    mask = 0
    for code in set(severities):
        mask |= 1 << code
    return mask


def _body_frame(columns: Columns) -> bytes:
    received, generated = columns.reception_time, columns.generation_time
    # A bulk append gives all its events one reception time; live events come at a small delay each.
    absolute = received.count(received[0]) == len(received)
    delays = received if absolute else list(map(sub, received, generated))
    body: bytes = msgpack.packb(
        (
            absolute,
            pack_integers(delays),
            _pack_texts(columns.type),
            "".join(columns.message).isascii(),
            msgpack.packb(columns.message),
            _pack_texts(columns.created_by),
            columns.extensions if any(columns.extensions) else None,
            columns.extra if any(columns.extra) else None,
        )
    )
    return body


def _pack_index(index: Sequence[int], size: int) -> bytes:
    if size <= _SMALL_TABLE_MAX:
        return bytes(index)
    return pack_integers(index)


def _pack_texts(column: Sequence[str | None]) -> tuple[list[str | None], bytes] | None:
    """Return a column of few different texts as a table and an index; None when all are None."""
    table = list(dict.fromkeys(column))
    if table == [None]:
        return None
    place = dict(zip(table, range(len(table)), strict=True))
    return table, _pack_index(list(map(place.__getitem__, column)), len(table))


def _compressor() -> zstandard.ZstdCompressor:
    found: zstandard.ZstdCompressor | None = getattr(_contexts, "compressor", None)
    if found is None:
        found = _contexts.compressor = zstandard.ZstdCompressor(level=LEVEL)
    return found


def _assembled(key: bytes, count: int, key_frame: bytes, body_frame: bytes) -> bytes:
    compress = _compressor().compress
    keys, body = compress(key_frame), compress(body_frame)
    sizes = _HEADER.pack(0, 0, count, len(keys), len(key_frame), len(body_frame))[CHECKSUMS_BYTES:]
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

    Raises :class:`~yamcs_archive.errors.DamagedError`, at construction or at first use of the body.
    """

    def __init__(self, key: bytes, value: bytes) -> None:
        self.key = key
        self.checksums = value[:CHECKSUMS_BYTES]
        """Both checksums: equal ones mean an equal block."""
        if len(value) < _HEADER.size:
            raise self._damaged("it is shorter than its header")
        key_sum, self._body_sum, self.count, key_bytes, key_raw, self._body_raw = _HEADER.unpack_from(value)
        frame = value[_HEADER.size : _HEADER.size + key_bytes]
        start = crc32(key, _START)
        if crc32(frame, crc32(value[CHECKSUMS_BYTES : _HEADER.size], start)) != key_sum:
            raise self._damaged("the checksum of its keys is wrong")
        self._body_start, self._body = start, value[_HEADER.size + key_bytes :]
        if not 1 <= self.count <= BLOCK_EVENTS_LIMIT:
            raise self._damaged(f"it says that it holds {self.count} events")
        self._keys = self._frame(frame, key_raw)

    @classmethod
    def known(cls, block: Block, columns: Columns, commits: list[int]) -> OpenBlock:
        """Return the open form of a block whose columns are at hand, so that they need no decoding."""
        found = cls(block.key, block.value)
        found.columns, found.commits = columns, commits
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
    def times(self) -> list[int]:
        """Generation times, microseconds since 1970."""
        deltas = unpack_integers(self._keys[1], self.count - 1)
        return list(accumulate(deltas, initial=self._keys[0]))

    @property
    def names(self) -> list[str]:
        """The sources that occur, by name."""
        found: list[str] = self._keys[2]
        return found

    @cached_property
    def source_index(self) -> Sequence[int]:
        """For each event the place of its source in :attr:`names`."""
        return self._index(self._keys[3], len(self.names))

    def _index(self, packed: bytes, size: int) -> Sequence[int]:
        index: Sequence[int] = packed if size <= _SMALL_TABLE_MAX else unpack_integers(packed, self.count)
        if len(index) != self.count or max(index) >= size or min(index) < 0:
            raise self._damaged("an index does not fit its table")
        return index

    @cached_property
    def sources(self) -> list[str]:
        """Each event's source."""
        return list(map(self.names.__getitem__, self.source_index))

    @cached_property
    def numbers(self) -> list[int]:
        """Each event's sequence number; stored source by source."""
        numbers = list(accumulate(unpack_integers(self._keys[5], self.count - 1), initial=self._keys[4]))
        if len(self.names) == 1:
            return numbers
        counts = [0] * len(self.names)
        for place in self.source_index:
            counts[place] += 1
        starts = [0, *accumulate(counts)]
        supplies = [
            iter(numbers[start : start + count]) for start, count in zip(starts, counts, strict=False)
        ]
        return list(map(next, map(supplies.__getitem__, self.source_index)))

    @property
    def severities(self) -> bytes:
        """Each event's severity code."""
        found: bytes = self._keys[6]
        return found

    @cached_property
    def commits(self) -> list[int]:
        """The number of the commit that stored each event."""
        return unpack_integers(self._keys[7], self.count)

    @cached_property
    def keys(self) -> list[tuple[int, str, int]]:
        """Each event's key: time, source, number."""
        return list(zip(self.times, self.sources, self.numbers, strict=True))

    def encoded_key(self, at: int) -> bytes:
        """Return one event's key as bytes."""
        return encode_key(self.times[at], self.sources[at], self.numbers[at])

    @cached_property
    def _body_columns(self) -> list[Any]:
        if crc32(self._body, self._body_start) != self._body_sum:
            raise self._damaged("the checksum of its body is wrong")
        found = self._frame(self._body, self._body_raw)
        self._body = b""
        return found

    @property
    def text(self) -> bytes:
        """All messages as one msgpack array: what a search looks through before any text is built."""
        found: bytes = self._body_columns[4]
        return found

    def may_contain(self, folded: str) -> bool:
        """Say whether a message may contain a case-folded text, without building any message."""
        if not self._body_columns[3]:
            return True  # a letter beyond ASCII may fold to one within: only a look at each can tell
        # Between the messages stand msgpack's lengths: a text that is found across them is looked at
        # again message by message, one that is within a message is never missed.
        return folded.isascii() and folded.encode() in self.text.lower()

    @cached_property
    def _by_commit(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for place, commit in enumerate(self.commits):
            found.setdefault(commit, []).append(place)
        return found

    def places_of(self, lowest: int, greatest: int) -> list[int]:
        """Return the places of the events that the commits from ``lowest`` to ``greatest`` stored."""
        if lowest == greatest:
            return self._by_commit.get(lowest, [])
        return [place for place, commit in enumerate(self.commits) if lowest <= commit <= greatest]

    @cached_property
    def messages(self) -> list[str]:
        """Each event's message."""
        found: list[str] = msgpack.unpackb(self.text)
        if len(found) != self.count:
            raise self._damaged(f"{len(found)} messages of {self.count} events")
        return found

    def _texts(self, at: int) -> Any:
        stored = self._body_columns[at]
        if stored is None:
            return repeat(None, self.count)
        table, packed = stored
        return map(table.__getitem__, self._index(packed, len(table)))

    @cached_property
    def columns(self) -> Columns:
        """All events as columns."""
        try:
            absolute, delays, _, _, _, _, extensions, extra = self._body_columns
            received = unpack_integers(delays, self.count)
            return Columns(
                self.messages,
                self.sources,
                list(map(SEVERITIES.__getitem__, self.severities)),
                list(self._texts(2)),
                self.times,
                self.numbers,  # type: ignore[arg-type]  # stored events have one each
                received if absolute else list(map(add, self.times, received)),
                list(self._texts(5)),
                extensions or [b""] * self.count,
                extra or [{} for _ in range(self.count)],
            )
        except (ValueError, TypeError, IndexError) as error:
            raise self._damaged(f"its columns cannot be read: {error}") from None

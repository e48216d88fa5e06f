"""Event keys <-> bytes, one by one and many at once, and their order; pure.

1. A stored key is the generation time as int64 big-endian with the sign bit flipped, the source's UTF-8
   bytes, one NUL, the number as int32 big-endian with the sign bit flipped.
2. LMDB compares keys as unsigned bytes. The flipped sign bits make that equal to the order of signed
   integers; without them an event stamped before 1970 (a spacecraft clock not yet synchronised) would be
   stored after all later ones, where no scan looks. The NUL ends a source below every longer one that
   begins with it, and sources hold no NUL.
   Law: tests/storage/test_keys.py::test_byte_order_is_key_order
3. The keys alone (:class:`Keys`) decide which events are new, and where they are stored. The other columns of
   late and scattered events are moved once, when that is known.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Container, Sequence
from typing import Any, NamedTuple

import numpy as np

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import EventKey
from yamcs_archive.event_vectors import DictColumn, Indexes, Int64s, StoredVectors
from yamcs_archive.storage.format.checksum import Pair

Key = tuple[int, str, int]
"""An :class:`~yamcs_archive.event.EventKey` as a plain tuple: millions are made, and order the same."""

_TIME, _NUMBER = struct.Struct(">Q"), struct.Struct(">I")
_INDEXED = struct.Struct(">xII")  # the NUL, the number, an index
_TIME_SIGN, _NUMBER_SIGN = 1 << 63, 1 << 31
BEFORE_ALL, BEYOND_ALL = b"\0", b"\xff" * 9
"""Bounds of a range of encoded keys that holds all keys."""
TIME_BYTES = 8
"""Bytes of a key before its source."""
_TAIL_BYTES = 1 + 4
"""Bytes of a key after its source."""
_KEY_BYTES_MIN = TIME_BYTES + 1 + _TAIL_BYTES  # a source has at least one byte


def encode_key(generation_time: int, source: str, seq_number: int) -> bytes:
    """Return the stored form of a key: 13 bytes and the source's (268 bytes at most; LMDB takes 511).

    >>> encode_key(0, "A", 0).hex()
    '8000000000000000410080000000'
    """
    return b"%b%b\0%b" % (
        _TIME.pack(generation_time + _TIME_SIGN),
        source.encode(),
        _NUMBER.pack(seq_number + _NUMBER_SIGN),
    )


def encode_indexed_key(generation_time: int, source: str, seq_number: int, index: int) -> bytes:
    """Return the stored form of a key, followed by an index as uint32.

    >>> encode_indexed_key(0, "A", 0, 5).hex()
    '800000000000000041008000000000000005'
    """
    return (
        _TIME.pack(generation_time + _TIME_SIGN)
        + source.encode()
        + _INDEXED.pack(seq_number + _NUMBER_SIGN, index)
    )


def decode_key(key: bytes) -> EventKey:
    """Return the key of a stored form; :class:`DamagedError` for bytes that are none.

    >>> decode_key(encode_key(-5, "AOCS", -1))
    EventKey(generation_time=-5, source='AOCS', seq_number=-1)
    """
    if len(key) < _KEY_BYTES_MIN or key[-5]:
        raise DamagedError(f"key {key.hex()}", "it does not have the form of an event key")
    try:
        source = key[8:-5].decode()
    except UnicodeDecodeError:
        raise DamagedError(f"key {key.hex()}", "its source is not UTF-8") from None
    return EventKey(
        _TIME.unpack_from(key)[0] - _TIME_SIGN,
        source,
        _NUMBER.unpack_from(key, len(key) - 4)[0] - _NUMBER_SIGN,
    )


def encode_keys(
    times: Int64s, sources: list[bytes], numbers: Int64s, indexes: Int64s | None = None
) -> list[bytes]:
    """Return the stored form of many keys, whose sources are given as UTF-8.

    With ``indexes``, each key is followed by an index as uint32.

    >>> from yamcs_archive.event_vectors import int64s
    >>> encode_keys(int64s([0, 1]), [b"A", b"B"], int64s([0, 7])) == [
    ...     encode_key(0, "A", 0),
    ...     encode_key(1, "B", 7),
    ... ]
    True
    """
    time = (times.view(np.uint64) + np.uint64(_TIME_SIGN)).astype(">u8")
    number = np.zeros((len(numbers), 5), np.uint8)  # after the NUL that ends the source
    number[:, 1:] = (numbers + _NUMBER_SIGN).astype(">u4").view(np.uint8).reshape(-1, 4)
    if indexes is not None:
        number = np.hstack((number, indexes.astype(">u4").view(np.uint8).reshape(-1, 4)))
    # numpy turns a void type into bytes, all at once: in half of the time of a slice for each.
    tails = np.ascontiguousarray(number).view(f"V{number.shape[1]}").reshape(-1)
    parts = time.view("V8").tolist(), sources, tails.tolist()
    return [head + source + tail for head, source, tail in zip(*parts, strict=True)]


def decode_keys(keys: Sequence[bytes]) -> tuple[Int64s, list[bytes], Int64s]:
    """Return times, sources as UTF-8 and numbers of many keys; DamagedError as :func:`decode_key` does.

    >>> decode_keys([encode_key(-5, "AOCS", -1)])
    (array([-5]), [b'AOCS'], array([-1]))
    """
    tails = np.frombuffer(b"".join([key[-5:] for key in keys]), np.uint8)
    heads = b"".join([key[:TIME_BYTES] for key in keys])
    sources = [key[8:-5] for key in keys]
    if len(tails) != 5 * len(keys) or tails[::5].any() or not all(sources):
        for key in keys:
            decode_key(key)  # which names the damaged one
    numbers = np.ascontiguousarray(tails.reshape(-1, 5)[:, 1:]).view(">u4").reshape(-1).astype(np.int64)
    return decode_times(heads), sources, numbers - _NUMBER_SIGN


def of_sources(pairs: list[Pair], names: Container[bytes]) -> list[Pair]:
    """Return the pairs whose keys have one of these sources, given as UTF-8; no key is decoded.

    >>> of_sources([(encode_key(0, "A", 0), b""), (encode_key(0, "B", 0), b"value")], {b"B"})[0][1]
    b'value'
    """
    return [pair for pair in pairs if pair[0][TIME_BYTES:-_TAIL_BYTES] in names]


def decode_times(heads: bytes) -> Int64s:
    """Return the times of keys, given the first :data:`TIME_BYTES` bytes of each in one string.

    >>> decode_times(time_bound(-5) + time_bound(7))
    array([-5,  7])
    """
    return (np.frombuffer(heads, ">u8").astype(np.uint64) + np.uint64(_TIME_SIGN)).view(np.int64)


def decode_bound(bound: bytes) -> tuple[int, bytes]:
    """Return the time of a bound of a range, and the bytes after it: none if it is a bound of times.

    >>> decode_bound(time_bound(5)), decode_bound(b"\\xff" * 9)[0] > 2**62
    ((5, b''), True)
    """
    return _TIME.unpack(bound[:8].ljust(8, b"\0"))[0] - _TIME_SIGN, bound[8:]


def time_bound(generation_time: int) -> bytes:
    """Return the bound below all keys of that time and above all earlier ones.

    >>> time_bound(1) < encode_key(1, "A", -(2**31)) < time_bound(2)
    True
    """
    return _TIME.pack(generation_time + _TIME_SIGN)


class Keys(NamedTuple):
    """The keys of some events.

    >>> from yamcs_archive.event_vectors import dict_encode
    >>> keys = Keys(np.array([3, 5]), dict_encode(["A", "B"]), np.array([0, 7]))
    >>> keys.key(1), keys.take(np.array([1, 0])).key(1)
    ((5, 'B', 7), (3, 'A', 0))
    >>> [keys.below(keys.encoded()[1]), keys.below(keys.encoded()[1], or_equal=True)]
    [1, 2]
    """

    times: Int64s
    """Generation times, microseconds since 1970."""
    sources: DictColumn
    numbers: Int64s

    @classmethod
    def of(cls, events: StoredVectors) -> Keys:
        """Return the keys of events."""
        return cls(events.times, events.sources, events.numbers)

    @property
    def size(self) -> int:
        """The number of events."""
        return len(self.times)

    def key(self, at: int) -> Key:
        """Return the key of one event."""
        return int(self.times[at]), self.sources.values[self.sources.codes[at]], int(self.numbers[at])

    def encoded(self, indexes: Int64s | None = None) -> list[bytes]:
        """Return the key of each event in its stored form; with ``indexes``, each followed by an index."""
        names = [name.encode() for name in self.sources.values]
        sources = [names[code] for code in self.sources.codes.tolist()]
        return encode_keys(self.times, sources, self.numbers, indexes)

    def below(self, encoded: bytes, *, or_equal: bool = False) -> int:
        """Return how many of the keys, which must be in order, are below ``encoded``, or equal to it."""
        time, source, number = decode_key(encoded)
        key: Key = time, source, number
        low, high = (int(self.times.searchsorted(time, side)) for side in ("left", "right"))
        find = bisect_right if or_equal else bisect_left
        return find(range(high), key, low, high, key=self.key)

    def index_from(self, key: Key) -> int:
        """Return how many of the keys, which must be in order, are below a key."""
        return index_among(self.times, key, self.key)

    def index_of(self, key: Key) -> int:
        """Return the index of a key among the keys, which must be in order; -1 if it is not there."""
        at = self.index_from(key)
        return at if at < self.size and self.key(at) == key else -1

    def take(self, indexes: Indexes | slice) -> Keys:
        """Return the keys of the events at ``indexes``, in that order."""
        sources = self.sources._replace(codes=self.sources.codes[indexes])
        return Keys(self.times[indexes], sources, self.numbers[indexes])


def index_among(times: Int64s, key: Key, key_of: Callable[[int], Key]) -> int:
    """Return how many events, which are in key order, have a lesser key; ``key_of(index)`` gives each key.

    >>> index_among(np.array([1, 3, 3]), (3, "B", 0), [(1, "A", 0), (3, "A", 0), (3, "B", 0)].__getitem__)
    2
    """
    low, high = (int(times.searchsorted(key[0], side)) for side in ("left", "right"))
    return bisect_left(range(high), key, low, high, key=key_of)


def indexes_in(stored: Keys, keys: Keys) -> Indexes:
    """Return the index of each key among stored ones, which are in order; -1 for a key that is not there.

    All are compared at once with the first stored one of their time; one by one only where that is another
    one of the same time.

    >>> from yamcs_archive.event_vectors import dict_encode
    >>> stored = Keys(np.array([1, 3, 3]), dict_encode(["A", "A", "B"]), np.array([0, 0, 0]))
    >>> keys = Keys(np.array([3, 3, 4]), dict_encode(["B", "C", "A"]), np.array([0, 0, 0]))
    >>> indexes_in(stored, keys).tolist()
    [2, -1, -1]
    """
    found = stored.times.searchsorted(keys.times)
    at = np.minimum(found, stored.size - 1)
    of_time = stored.times[at] == keys.times
    ours = {name: code for code, name in enumerate(stored.sources.values)}
    codes = np.array([ours.get(name, -1) for name in keys.sources.values], np.int64)[keys.sources.codes]
    same = of_time & (stored.numbers[at] == keys.numbers) & (stored.sources.codes[at] == codes)
    found[~same] = -1
    for index in np.flatnonzero(of_time & ~same).tolist():
        found[index] = stored.index_of(keys.key(index))
    return found


def key_order(times: Int64s, rest: Callable[[int], Any]) -> Indexes | None:
    """Return the indexes of events in key order, by time, and by ``rest(index)`` where times are equal.

    Equal keys keep their order. None if all are in order.

    >>> key_order(np.array([5, 3, 5]), [2, 0, 1].__getitem__).tolist()
    [1, 2, 0]
    """
    if (times[1:] > times[:-1]).all():
        return None
    order = np.argsort(times, kind="stable")
    in_order = times[order]
    ties = np.flatnonzero(in_order[1:] == in_order[:-1])
    if len(ties):
        begins = ties[np.flatnonzero(np.diff(ties, prepend=-2) > 1)]
        ends = ties[np.flatnonzero(np.diff(ties, append=len(times) + 1) > 1)] + 2
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            order[begin:end] = sorted(order[begin:end].tolist(), key=rest)
    return order


def in_key_order(events: StoredVectors) -> StoredVectors:
    """Return the events in the order of their keys."""
    order = key_order(events.times, lambda at: events.key(at)[1:])
    return events if order is None else events.take(order)

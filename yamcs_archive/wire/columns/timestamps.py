"""Many instants at once, as text and as protobuf timestamps; and many integers as varints; pure.

1. A column of instants becomes a few columns of bytes, which stand one behind the other. Events of a stream
   share few seconds, so what says the second is made once for all that follow one another; the rest is taken
   from tables by numpy. What is written is byte for byte what :mod:`yamcs_archive.times` and protobuf write.
2. Varints are made in numpy's 64-bit words, of which Python's ``bytes`` are made in one call.
"""

from __future__ import annotations

from functools import cache
from operator import add
from typing import cast

import numpy as np
import numpy.typing as npt

from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.columns.vectors import Ints, Memo, Parts, lengths, parts_of
from yamcs_archive.wire.protobuf_scan import LENGTH, varint

_S_US = 1_000_000
_INT64 = (1 << 64) - 1
_MINUTE_S, _MINUTE_CHARACTERS = 60, len("1970-01-01T00:00:")
_minutes = Memo(lambda minute: format_rfc3339(minute * _MINUTE_S * _S_US)[:_MINUTE_CHARACTERS].encode())
_SECONDS = parts_of(b"%02d" % second for second in range(_MINUTE_S))
_FRACTIONS = parts_of(
    [*(b".%03d" % ms for ms in range(1000)), b"Z", *(b".%03dZ" % ms for ms in range(1, 1000))]
)
"""Milliseconds before three more digits, then without."""
_MICROS = parts_of([b"", *(b"%03dZ" % us for us in range(1, 1000))])


def texts(times: Ints) -> list[Parts]:
    """Return instants (microseconds since 1970) as RFC 3339, with 0, 3 or 6 fraction digits, in columns.

    >>> [b"".join(parts).decode() for parts in zip(*texts(np.array([0, 1_500_000, -1])))]
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500Z', '1969-12-31T23:59:59.999999Z']
    """
    seconds, us = np.divmod(times, _S_US)
    ms, us = np.divmod(us, 1000)
    firsts, run = _runs(seconds)
    minutes, of_minute = np.divmod(firsts, _MINUTE_S)
    to_second = parts_of(map(add, map(_minutes.__getitem__, minutes.tolist()), _SECONDS[of_minute].tolist()))
    columns = [to_second[run]]
    if not us.any():
        return [*columns, _FRACTIONS[1000:][ms]]
    return [*columns, _FRACTIONS[ms + 1000 * (us == 0)], _MICROS[us]]


def _runs(values: Ints) -> tuple[Ints, npt.NDArray[np.intp]]:
    """Return the first value of each run of equal ones, and for each value the place of its run."""
    begins = np.empty(len(values), np.bool_)
    begins[:1] = True
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return values[begins], np.cumsum(begins) - 1


_WORD_BITS = 56
"""What a varint of the eight bytes of a word has."""
_SMALL_BITS = 14
_FEW = 16
"""So few are made one by one in the time of numpy's calls."""


def varints(values: Ints) -> list[bytes]:
    """Return int64 values as varints.

    >>> [part.hex() for part in varints(np.array([0, 1, 1 << 29]))], varints(np.array([-1]))[0].hex()
    (['00', '01', '8080808002'], 'ffffffffffffffffff01')
    """
    least, greatest = values.min(initial=0), values.max(initial=0)
    if len(values) <= _FEW or least < 0 or greatest >> _WORD_BITS:
        return [varint(value & _INT64) for value in values.tolist()]
    if not greatest >> _SMALL_BITS:
        return cast(list[bytes], _small()[values].tolist())
    parts = _parts(_words(values))
    return [part or b"\x00" for part in parts] if 0 in values else parts


@cache
def _small() -> Parts:
    """Varints of one and two bytes; made when first needed."""
    return parts_of(map(varint, range(1 << _SMALL_BITS)))


def _words(values: Ints) -> npt.NDArray[np.uint64]:
    """Return varints of at most 56 bits, each as a word whose lowest byte is the first."""
    left = values.astype(np.uint64)
    found = left & np.uint64(127)
    bits, greatest = 7, int(values.max(initial=0))
    for nth in range(1, 8):
        if not greatest >> bits:
            break
        found |= (left & np.uint64(127 << bits)) << np.uint64(nth)
        found |= (left >= np.uint64(1 << bits)).astype(np.uint64) << np.uint64(8 * nth - 1)
        bits += 7
    return found


def _parts(words: npt.NDArray[np.uint64]) -> list[bytes]:
    """Return words as bytes, without the zeros at their ends: no varint ends in one, but that of zero."""
    return cast(list[bytes], words.astype("<u8", copy=False).view("S8").tolist())


def varint_bytes(values: Ints) -> Ints:
    """Return how many bytes the varint of each int64 has.

    >>> varint_bytes(np.array([0, 127, 128, 1 << 28, -1])).tolist()
    [1, 1, 2, 5, 10]
    """
    found = np.ones(len(values), np.int64)
    bound, greatest = 1 << 7, int(values.max(initial=0))
    while bound <= greatest:  # a comparison for each byte: a tenth of looking for the place of each
        found += values >= bound
        bound <<= 7
    return np.where(values < 0, 10, found) if values.min(initial=0) < 0 else found


class Timestamps:
    """Writes one field of a message whose type is ``google.protobuf.Timestamp``."""

    def __init__(self, number: int) -> None:
        tag = varint(number << 3 | LENGTH)
        self._begins = parts_of(tag + varint(length) for length in range(_TIMESTAMP_BYTES_MAX + 1))

    def fields(self, times: Ints) -> tuple[list[Parts | list[bytes]], Ints]:
        """Return the field with each instant (microseconds since 1970), in columns, and how long each is.

        >>> columns, lengths = Timestamps(2).fields(np.array([1_000_002]))
        >>> b"".join(*zip(*columns)).hex(), lengths.tolist()
        ('1205080110d00f', [7])
        """
        whole, us = np.divmod(times, _S_US)
        firsts, run = _runs(whole)
        seconds = parts_of(b"\x08" + second for second in varints(firsts))
        if 0 in firsts:
            seconds[firsts == 0] = b""  # as proto3 leaves a zero out
        ms, rest = np.divmod(us, 1000)
        nanos: Parts | list[bytes]
        if not rest.any():
            nanos, nanos_bytes = _MILLIS[ms], _MILLIS_BYTES[ms]
        else:
            there = us > 0
            nanos = _parts((_words(us * 1000) << _BYTE) | there * _NANOS_TAG)
            nanos_bytes = (1 + varint_bytes(us * 1000)) * there
        length = lengths(seconds, len(firsts))[run] + nanos_bytes
        return [self._begins[length], seconds[run], nanos], length + 2


_TIMESTAMP_BYTES_MAX = 2 * 11
_BYTE, _NANOS_TAG = np.uint64(8), np.uint64(0x10)
_MILLIS = parts_of([b"", *(b"\x10" + varint(ms * 1_000_000) for ms in range(1, 1000))])
_MILLIS_BYTES = np.array([len(part) for part in _MILLIS], np.int64)
"""The nanoseconds of each millisecond; proto3 leaves a zero out."""

"""Many instants at once, as text and as protobuf timestamps; and many integers as varints; pure.

1. A column of instants becomes a few columns of text, which stand one behind the other. Events of a stream
   share few seconds, so what says the second is made once for all that follow one another; the rest is taken
   from tables by numpy. What is written is byte for byte what :mod:`yamcs_archive.times` and protobuf write.
2. Bytes are held as latin-1 text: each character stands for one byte. Joined, text is encoded at once.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.fields import LENGTH, varint
from yamcs_archive.wire.many import Ints, Kept, Texts, texts_of

_S_US = 1_000_000
_INT64 = (1 << 64) - 1
_seconds = Kept(lambda second: format_rfc3339(second * _S_US)[:-1])
_FRACTIONS = texts_of([*(f".{ms:03}" for ms in range(1000)), "Z", *(f".{ms:03}Z" for ms in range(1, 1000))])
"""Milliseconds before three more digits, then without."""
_MICROS = texts_of(["", *(f"{us:03}Z" for us in range(1, 1000))])


def texts(times: Ints) -> list[Texts]:
    """Return instants (microseconds since 1970) as RFC 3339, with 0, 3 or 6 fraction digits, in columns.

    >>> ["".join(parts) for parts in zip(*texts(np.array([0, 1_500_000, -1])))]
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500Z', '1969-12-31T23:59:59.999999Z']
    """
    seconds, us = np.divmod(times, _S_US)
    ms, us = np.divmod(us, 1000)
    firsts, run = _runs(seconds)
    columns = [texts_of(map(_seconds.__getitem__, firsts))[run]]
    if not us.any():
        return [*columns, _FRACTIONS[1000:][ms]]
    return [*columns, _FRACTIONS[ms + 1000 * (us == 0)], _MICROS[us]]


def _runs(values: Ints) -> tuple[list[int], npt.NDArray[np.intp]]:
    """Return the first value of each run of equal ones, and for each value the place of its run."""
    begins = np.empty(len(values), np.bool_)
    begins[:1] = True
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return values[begins].tolist(), np.cumsum(begins) - 1


def varint_text(value: int) -> str:
    """Return any int64 or uint64 as a varint, as latin-1 text.

    >>> varint_text(300).encode("latin-1").hex()
    'ac02'
    """
    return varint(value & _INT64).decode("latin-1")


_BITS = 14
"""Of a number, what one column of text has: two bytes of a varint. One of three does not fit the cache."""
_LOW = (1 << _BITS) - 1
_MORE, _NOTHING = 1 << _BITS, 2 << _BITS


@cache
def _pairs() -> Texts:
    """Varints of one and two bytes, then two bytes that more follow, then nothing; made when first needed."""
    more = [chr(low & 127 | 128) + chr(low >> 7 | 128) for low in range(_LOW + 1)]
    return texts_of([*map(varint_text, range(_LOW + 1)), *more, ""])


def varints(values: Ints, left_out: npt.NDArray[np.bool_] | None = None) -> list[Texts]:
    """Return int64 values as varints, as latin-1 text in columns; nothing for those that are ``left_out``.

    >>> ["".join(parts).encode("latin-1").hex() for parts in zip(*varints(np.array([1, 1 << 29])))]
    ['01', '8080808002']
    """
    if values.min(initial=0) < 0:
        column = texts_of(map(varint_text, values.tolist()))
        return [column if left_out is None else np.where(left_out, "", column)]
    pairs = _pairs()
    columns = []
    while True:
        more = values > _LOW
        goes_on = bool(more.any())
        places = np.where(more, values & _LOW | _MORE, values) if goes_on else values
        columns.append(pairs[places if left_out is None else np.where(left_out, _NOTHING, places)])
        if not goes_on:
            return columns
        left_out, values = ~more if left_out is None else ~more | left_out, values >> _BITS


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
    """Writes one field of a message whose type is ``google.protobuf.Timestamp``, as latin-1 text."""

    def __init__(self, number: int) -> None:
        self._tag = varint_text(number << 3 | LENGTH)
        self._begins = Kept(self._begin)

    def _begin(self, second: int) -> tuple[str, ...]:
        """Return what stands before the nanoseconds, for each length that their field may have."""
        seconds = "" if second == 0 else "\x08" + varint_text(second)
        return tuple(
            self._tag + chr(len(seconds) + nanos) + seconds + ("\x10" if nanos else "")
            for nanos in range(_NANOS_LENGTHS)
        )

    def fields(self, times: Ints) -> tuple[list[Texts], Ints]:
        """Return the field with each instant (microseconds since 1970), in columns, and how long each is.

        >>> columns, lengths = Timestamps(2).fields(np.array([1_000_002]))
        >>> "".join(*zip(*columns)).encode("latin-1").hex(), lengths.tolist()
        ('1205080110d00f', [7])
        """
        seconds, us = np.divmod(times, _S_US)
        firsts, run = _runs(seconds)
        begins = [self._begins[first] for first in firsts]
        ms, rest = np.divmod(us, 1000)
        if not rest.any():
            columns, nanos_bytes = [_MILLIS[ms]], _MILLIS_BYTES[ms]
        else:
            nanos, whole = us * 1000, us == 0
            nanos_bytes = varint_bytes(nanos)
            if whole.any():
                columns, nanos_bytes = varints(nanos, whole), np.where(whole, 0, nanos_bytes)
            else:
                columns = varints(nanos)
        field_bytes = nanos_bytes + (nanos_bytes > 0)
        table = texts_of([begin for each in begins for begin in each])
        without = np.array([len(each[0]) for each in begins], np.int64)
        return [table[run * _NANOS_LENGTHS + field_bytes], *columns], without[run] + field_bytes


_NANOS_LENGTHS = 7
_MILLIS = texts_of(["", *(varint_text(ms * 1_000_000) for ms in range(1, 1000))])
_MILLIS_BYTES = np.array([len(text) for text in _MILLIS], np.int64)
"""The nanoseconds of each millisecond; proto3 leaves a zero out."""

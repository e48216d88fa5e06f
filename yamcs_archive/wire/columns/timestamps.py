"""Many times at once <-> RFC 3339 texts, and -> protobuf timestamps; pure. Times are microseconds since 1970.

1. Times are written byte for byte as by :mod:`yamcs_archive.times` and by protobuf. Many events share a
   second, so the text up to it is made once for each run of equal seconds; the rest comes from tables.
2. Texts in UTC with up to six fraction digits, as nearly all serializers write them, are read by one call of
   numpy for each digit of all texts. That is twenty times as fast as a call of
   :func:`~yamcs_archive.times.parse_rfc3339` for each, which reads all other texts.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import add

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from yamcs_archive.errors import BadTimeError
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.times import format_rfc3339, parse_rfc3339
from yamcs_archive.wire.columns.byte_columns import BytesColumn, Ints, Memo, bytes_column, lengths
from yamcs_archive.wire.columns.varints import bytes_of_words, varint_bytes, varint_words, varints
from yamcs_archive.wire.protobuf_scan import LENGTH, varint

_Bytes = npt.NDArray[np.uint8]

_S_US = 1_000_000
_MINUTE_S, _MINUTE_CHARACTERS = 60, len("1970-01-01T00:00:")
_minutes = Memo(lambda minute: format_rfc3339(minute * _MINUTE_S * _S_US)[:_MINUTE_CHARACTERS].encode())
_SECONDS = bytes_column(b"%02d" % second for second in range(_MINUTE_S))
_FRACTIONS = bytes_column(
    [*(b".%03d" % ms for ms in range(1000)), b"Z", *(b".%03dZ" % ms for ms in range(1, 1000))]
)
"""Each millisecond: first with three more digits to come, then without."""
_MICROS = bytes_column([b"", *(b"%03dZ" % us for us in range(1, 1000))])


def format_many(times: Ints) -> list[BytesColumn]:
    """Return times as RFC 3339 with 0, 3 or 6 fraction digits, in columns that are read one after another.

    >>> [b"".join(parts).decode() for parts in zip(*format_many(np.array([0, 1_500_000, -1])))]
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500Z', '1969-12-31T23:59:59.999999Z']
    """
    seconds, us = np.divmod(times, _S_US)
    ms, us = np.divmod(us, 1000)
    firsts, run = _runs(seconds)
    minutes, of_minute = np.divmod(firsts, _MINUTE_S)
    to_second = bytes_column(
        map(add, map(_minutes.__getitem__, minutes.tolist()), _SECONDS[of_minute].tolist())
    )
    columns = [to_second[run]]
    if not us.any():
        return [*columns, _FRACTIONS[1000:][ms]]
    return [*columns, _FRACTIONS[ms + 1000 * (us == 0)], _MICROS[us]]


def _runs(values: Ints) -> tuple[Ints, npt.NDArray[np.intp]]:
    """Return the first value of each run of equal values, and for each value the index of its run."""
    begins = np.empty(len(values), np.bool_)
    begins[:1] = True
    np.not_equal(values[1:], values[:-1], out=begins[1:])
    return values[begins], np.cumsum(begins) - 1


class TimestampField:
    """Writes one field of a message, whose type is ``google.protobuf.Timestamp``, for many messages."""

    def __init__(self, number: int) -> None:
        tag = varint(number << 3 | LENGTH)
        self._heads = bytes_column(tag + varint(length) for length in range(_TIMESTAMP_BYTES_MAX + 1))

    def format_many(self, times: Ints) -> tuple[list[BytesColumn | list[bytes]], Ints]:
        """Return the field with each time, in columns that are read one after another, and its length.

        >>> columns, lengths = TimestampField(2).format_many(np.array([1_000_002]))
        >>> b"".join(*zip(*columns)).hex(), lengths.tolist()
        ('1205080110d00f', [7])
        """
        whole, us = np.divmod(times, _S_US)
        firsts, run = _runs(whole)
        seconds = bytes_column(b"\x08" + second for second in varints(firsts))
        if 0 in firsts:
            seconds[firsts == 0] = b""  # as proto3 leaves a zero out
        ms, rest = np.divmod(us, 1000)
        nanos: BytesColumn | list[bytes]
        if not rest.any():
            nanos, nanos_bytes = _MILLIS[ms], _MILLIS_BYTES[ms]
        else:
            some = us > 0
            nanos = bytes_of_words((varint_words(us * 1000) << _BYTE) | some * _NANOS_TAG)
            nanos_bytes = (1 + varint_bytes(us * 1000)) * some
        length = lengths(seconds, len(firsts))[run] + nanos_bytes
        return [self._heads[length], seconds[run], nanos], length + 2


_TIMESTAMP_BYTES_MAX = 2 * 11
_BYTE, _NANOS_TAG = np.uint64(8), np.uint64(0x10)
_MILLIS = bytes_column([b"", *(b"\x10" + varint(ms * 1_000_000) for ms in range(1, 1000))])
_MILLIS_BYTES = np.array([len(part) for part in _MILLIS], np.int64)
"""The field of the nanoseconds for each millisecond; proto3 leaves a zero out."""

_TEMPLATE = b"0000-00-00T00:00:00"
_DIGITS_AT = [at for at, byte in enumerate(_TEMPLATE) if byte == ord("0")]
_SIGNS_AT = [at for at, byte in enumerate(_TEMPLATE) if byte != ord("0")]
_SIGNS = np.frombuffer(_TEMPLATE, np.uint8)[_SIGNS_AT][:, None]
_POINT_AT = len(_TEMPLATE)
_FRACTION_AT = range(_POINT_AT + 1, _POINT_AT + 7)
_FRACTION_ROWS = np.array(_FRACTION_AT, np.uint8)[:, None]
_ZERO = np.uint8(ord("0"))
_SHORTEST, _LONGEST = _POINT_AT + len("Z"), _FRACTION_AT.stop + len("Z")
_WEIGHTS = 10 ** np.arange(len(_FRACTION_AT), dtype=np.int32)[::-1]


def parse_many(texts: Sequence[str]) -> array[int] | None:
    """Return the times of RFC 3339 texts, or None unless all of them are as described above.

    >>> parse_many(["1970-01-01T00:00:01Z", "1970-01-01T00:00:00.5Z"])
    array('q', [1000000, 500000])
    >>> parse_many(["1970-01-01T00:00:01Z", "1970-02-30T00:00:00Z"]) is None
    True
    """
    together = "".join(texts)
    if not (texts and together.isascii()):
        return None
    characters = lengths(texts, len(texts))
    if characters.min() < _SHORTEST or characters.max() > _LONGEST:
        return None
    raw = np.frombuffer(together.encode() + bytes(_LONGEST), np.uint8)
    stops = characters.cumsum()
    if (raw[stops - 1] != ord("Z")).any():
        return None
    # Row n holds character n of each text; after the end of a text it holds the text that follows.
    rows = np.ascontiguousarray(sliding_window_view(raw, _FRACTION_AT.stop)[stops - characters].T)
    if (rows[_SIGNS_AT] != _SIGNS).any():
        return None
    fractions = _fractions(rows, characters.astype(np.uint8) - np.uint8(1))
    try:
        seconds = _seconds(rows)
    except BadTimeError:  # no such day
        return None
    if fractions is None or seconds is None:
        return None
    found = seconds * _S_US + fractions
    if found.min() < TIME_MIN_US or found.max() > TIME_MAX_US:
        return None
    return array("q", found.tobytes())


def _seconds(rows: _Bytes) -> Ints | None:
    """Return the seconds since 1970 that the digits say, from the year to the second."""
    digits = rows[_DIGITS_AT] - _ZERO  # a character below 0 wraps around, above 9
    if digits.max() > 9:
        return None
    century, of_century, month, day, hour, minute, second = digits[::2] * np.uint8(10) + digits[1::2]
    if hour.max() > 23 or minute.max() > 59 or second.max() > 60:
        return None  # second 60 is the following second
    of_day = hour * np.int32(3600) + minute * np.int32(60) + second
    months = century * np.int32(10_000) + of_century * np.int32(100) + month
    found: Ints = _midnights(months * np.int32(100) + day) + of_day
    return found


def _midnights(dates: npt.NDArray[np.int32]) -> Ints:
    """Return the seconds since 1970 at which days (yyyymmdd) begin; few of the days are different."""
    if (dates == dates[0]).all():
        return np.full(len(dates), _midnight(int(dates[0])), np.int64)
    days, codes = np.unique(dates, return_inverse=True)
    found: Ints = np.array([_midnight(day) for day in days.tolist()], np.int64)[codes]
    return found


def _midnight(date: int) -> int:
    text = f"{date:08}"
    return parse_rfc3339(f"{text[:4]}-{text[4:6]}-{text[6:]}T00:00:00Z") // _S_US


def _fractions(rows: _Bytes, lasts: _Bytes) -> Ints | None:
    """Return the microseconds that the fractions say; ``lasts`` are the indexes of the letter Z."""
    some = lasts > _POINT_AT
    if not some.any():
        return np.zeros(len(some), np.int64)
    if ((rows[_POINT_AT] != ord(".")) & some).any() or (lasts == _POINT_AT + 1).any():
        return None
    digits = np.where(lasts > _FRACTION_ROWS, rows[_FRACTION_AT.start :] - _ZERO, np.uint8(0))
    if digits.max() > 9:
        return None
    found: Ints = (_WEIGHTS @ digits).astype(np.int64)
    return found

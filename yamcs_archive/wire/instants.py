"""Many instants at once, as text and as protobuf timestamps; pure.

Events of a stream share few seconds, so what says the second is made once and kept; the fraction is taken
from tables. What is written is byte for byte what :mod:`yamcs_archive.times` and protobuf write, at a
quarter of the time (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.fields import LENGTH, varint

_S_US = 1_000_000
_KEPT_MAX = 4_096
_INT64 = (1 << 64) - 1


class _Seconds(dict[int, str]):
    """Seconds since 1970 -> the text before the fraction."""

    def __missing__(self, second: int) -> str:
        if len(self) >= _KEPT_MAX:
            self.clear()
        text = self[second] = format_rfc3339(second * _S_US)[:-1]
        return text


_seconds = _Seconds()
_MILLIS = [f".{ms:03}" for ms in range(1000)]
_WHOLE_MILLIS = ["Z", *(f".{ms:03}Z" for ms in range(1, 1000))]
_MICROS = [f"{us:03}Z" for us in range(1000)]


def texts(times: Sequence[int]) -> list[str]:
    """Return instants (microseconds since 1970) as RFC 3339, with 0, 3 or 6 fraction digits.

    >>> texts([0, 1_500_000, -1])
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500Z', '1969-12-31T23:59:59.999999Z']
    """
    if len(times) > 1 and times[0] == times[-1] and times.count(times[0]) == len(times):
        return texts(times[:1]) * len(times)  # what was appended at once was received at once
    second, whole, millis, micros = _seconds, _WHOLE_MILLIS, _MILLIS, _MICROS
    return [
        second[at] + (millis[us // 1000] + micros[us % 1000] if us % 1000 else whole[us // 1000])
        for at, us in [divmod(time, _S_US) for time in times]
    ]


def varint_text(value: int) -> str:
    """Return any int64 or uint64 as a varint, as latin-1 text: each character stands for one byte.

    An f-string puts texts together in less time than ``bytes.join`` takes for bytes.

    >>> varint_text(300).encode("latin-1").hex()
    'ac02'
    """
    return varint(value & _INT64).decode("latin-1")


@cache
def small_varints() -> list[str]:
    """The varints of one and two bytes, made when a stream first needs them.

    >>> small_varints()[300] == varint_text(300)
    True
    """
    return [varint_text(value) for value in range(1 << 14)]


class Timestamps(dict[int, tuple[str, ...]]):
    """Writes one field of a message whose type is ``google.protobuf.Timestamp``, as latin-1 text.

    Second since 1970 -> what stands before the nanoseconds, for each length that these may have.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self._tag = varint_text(number << 3 | LENGTH)

    def __missing__(self, second: int) -> tuple[str, ...]:
        if len(self) >= _KEPT_MAX:
            self.clear()
        seconds = "" if second == 0 else "\x08" + varint_text(second)
        found = self[second] = tuple(
            self._tag + chr(len(seconds) + nanos_bytes) + seconds for nanos_bytes in range(7)
        )
        return found

    def fields(self, times: Sequence[int]) -> list[str]:
        """Return the field with each instant (microseconds since 1970), tag and length included.

        >>> Timestamps(2).fields([1_000_002])[0].encode("latin-1").hex()
        '1205080110d00f'
        """
        if len(times) > 1 and times[0] == times[-1] and times.count(times[0]) == len(times):
            return self.fields(times[:1]) * len(times)
        # One character after another: a table of all pairs of bytes does not fit the processor's cache.
        more, last, short = _MORE, _LAST, _SHORT_NANOS
        return [
            (
                f"{self[at][6]}\x10{more[ns & 127]}{more[ns >> 7 & 127]}{more[ns >> 14 & 127]}"
                f"{more[ns >> 21 & 127]}{last[ns >> 28]}"
                if ns >= _FIVE_BYTES
                else f"{self[at][5]}\x10{more[ns & 127]}{more[ns >> 7 & 127]}{more[ns >> 14 & 127]}"
                f"{last[ns >> 21]}"
                if ns >= _FOUR_BYTES
                else f"{self[at][1 + len(varint_text(ns))]}\x10{varint_text(ns)}"
            )
            if ns % 1_000_000
            else f"{self[at][len(short[ns // 1_000_000])]}{short[ns // 1_000_000]}"
            for time in times
            for at, ns in ((time // _S_US, time % _S_US * 1000),)
        ]


_FOUR_BYTES, _FIVE_BYTES = 1 << 21, 1 << 28
_LAST = [chr(low) for low in range(128)]
_MORE = [chr(low | 0x80) for low in range(128)]
_SHORT_NANOS = ["", *("\x10" + varint_text(ms * 1_000_000) for ms in range(1, 1000))]
"""The field with the nanoseconds of each millisecond; proto3 leaves a zero out."""

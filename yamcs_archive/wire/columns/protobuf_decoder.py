"""Many ``CreateEventRequest`` messages at once -> columns; pure.

numpy walks through all messages at once, field by field: which of them have this field next, how long is it,
where does the following one begin? So a field of an event costs some nanoseconds, where an object of protobuf
costs a call.

Messages are decoded if they are as serializers write them: fields in the order of their numbers, each at most
once, no negative numbers. All others are left to :mod:`~yamcs_archive.wire.protobuf`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from yamcs_archive.columns import Columns
from yamcs_archive.event import Severity
from yamcs_archive.limits import SEQ_NUMBER_MAX, TIME_MAX_US, TIME_MIN_US
from yamcs_archive.wire.protobuf_scan import LENGTH, VARINT

_Ints = npt.NDArray[np.int64]
_Flags = npt.NDArray[np.bool_]

_TYPE, _MESSAGE, _SEVERITY, _TIME, _SOURCE, _NUMBER = range(2, 8)
_SECONDS, _NANOS = 1, 2
_VARINT_BYTES_MAX = 5
"""Longest varint: 35 bits, enough for any int32 that is not negative and for seconds up to the year 3058."""
_BEYOND_BYTES = 8
"""Bytes that may be read beyond the last message."""
_S_US, _S_NS = 1_000_000, 1_000_000_000


class _UnusualError(Exception):
    """A message is for the rules."""


class _Spans(NamedTuple):
    """Where a field is in each message."""

    present: _Flags
    starts: _Ints
    stops: _Ints


class _Walk:
    """Walks through all messages at once, from field to field."""

    def __init__(self, raw: npt.NDArray[np.uint8], starts: _Ints, stops: _Ints) -> None:
        """``raw`` goes on for some bytes after the last message, because they may be read."""
        self._raw, self._at, self._stops = raw, starts, stops

    def text(self, number: int) -> _Spans:
        """Return where a field is that is text or a message."""
        present = self._present(number, LENGTH)
        lengths, starts = self._varints(present)
        self._at = np.where(present, starts + lengths, self._at)
        self._check()
        return _Spans(present, np.where(present, starts, self._at), self._at)

    def integer(self, number: int) -> tuple[_Flags, _Ints]:
        """Return which messages have a field that is a number, and the numbers, 0 without one."""
        present = self._present(number, VARINT)
        values, self._at = self._varints(present)
        self._check()
        return present, values

    def end(self) -> None:
        """Check that nothing is left."""
        if (self._at != self._stops).any():
            raise _UnusualError

    def _present(self, number: int, wire_type: int) -> _Flags:
        present: _Flags = (self._raw[self._at] == (number << 3 | wire_type)) & (self._at < self._stops)
        return present

    def _varints(self, present: _Flags) -> tuple[_Ints, _Ints]:
        """Return the numbers that follow the tags, where a tag is present, and where they end."""
        at = self._at + present
        more = present
        values = np.zeros(len(at), np.int64)
        for index in range(_VARINT_BYTES_MAX):
            byte = np.where(more, self._raw[at], np.uint8(0))
            at = at + more
            values |= (byte & np.uint8(0x7F)).astype(np.int64) << (7 * index)
            more = byte >= 0x80
            if not more.any():
                return values, at
            if (at >= len(self._raw)).any():
                break
        raise _UnusualError

    def _check(self) -> None:
        # Before the next read: a position beyond its message may be beyond all bytes.
        if (self._at > self._stops).any():
            raise _UnusualError


def decode_protobuf_messages(
    messages: bytes, starts: Sequence[int], stops: Sequence[int]
) -> Columns[int | None] | None:
    """Return the events of the messages at ``starts`` to ``stops``, or None if one is for the rules.

    >>> decode_protobuf_messages(bytes.fromhex("1a01613201531a0162320153"), [0, 6], [6, 12]).message
    ['a', 'b']
    """
    if not starts:
        return None
    try:
        return _columns(messages, np.array(starts), np.array(stops))
    except (_UnusualError, UnicodeDecodeError, KeyError):
        return None


def _columns(messages: bytes, starts: _Ints, stops: _Ints) -> Columns[int | None]:
    raw = np.frombuffer(messages + bytes(_BEYOND_BYTES), np.uint8)
    walk = _Walk(raw, starts, stops)
    kinds, texts, severities = walk.text(_TYPE), walk.text(_MESSAGE), walk.text(_SEVERITY)
    times, sources = walk.text(_TIME), walk.text(_SOURCE)
    numbered, numbers = walk.integer(_NUMBER)
    walk.end()
    if not texts.present.all() or numbers.max() > SEQ_NUMBER_MAX:
        raise _UnusualError
    # latin-1 gives a character for each byte, so that a position in the bytes is one in the text.
    characters = messages.decode("latin-1")
    return Columns.common(
        _texts(characters, texts),
        _texts(characters, sources),
        _severities(raw, severities),
        _texts(characters, kinds, None),
        generation_time=_column(times.present, _instants(raw, times)),
        seq_number=_column(numbered, numbers),
    )


_WORD = np.dtype("<u8")
_SEVERITIES = {
    0: Severity.INFO,
    **{int.from_bytes(name.encode(), "little"): severity for name, severity in Severity.__members__.items()},
}
"""By name, as an integer of the up to 8 letters; without a name INFO."""


def _severities(raw: npt.NDArray[np.uint8], spans: _Spans) -> list[Severity]:
    lengths = spans.stops - spans.starts
    if lengths.max() > _WORD.itemsize or (lengths[spans.present] == 0).any():
        raise _UnusualError
    if (spans.present & (raw[spans.stops - 1] == 0)).any():  # a NUL at the end does not change the integer
        raise _UnusualError
    letters = sliding_window_view(raw, _WORD.itemsize)[spans.starts] * (
        np.arange(_WORD.itemsize) < lengths[:, None]
    )
    words: list[int] = letters.view(_WORD)[:, 0].tolist()
    return list(map(_SEVERITIES.__getitem__, words))


def _texts(characters: str, spans: _Spans, absent: Any = "") -> list[Any]:
    """Return a column of text."""
    present, starts, stops = spans
    some = not present.all()
    if some:
        starts, stops = starts[present], stops[present]
    found = [characters[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    if not "".join(found).isascii():
        found = [text if text.isascii() else text.encode("latin-1").decode() for text in found]
    if not some:
        return found
    given = iter(found)
    return [next(given) if here else absent for here in present.tolist()]


def _instants(raw: npt.NDArray[np.uint8], spans: _Spans) -> _Ints:
    """Return the microseconds since 1970 of timestamps."""
    walk = _Walk(raw, spans.starts, spans.stops)
    _, seconds = walk.integer(_SECONDS)
    _, nanos = walk.integer(_NANOS)
    walk.end()
    if nanos.max() >= _S_NS:
        raise _UnusualError
    times: _Ints = seconds * _S_US + nanos // 1000
    if times.min() < TIME_MIN_US or times.max() > TIME_MAX_US:
        raise _UnusualError
    return times


def _column(present: _Flags, values: _Ints) -> Sequence[int | None]:
    if present.all():
        return array("q", values.tobytes())
    return [value if given else None for value, given in zip(values.tolist(), present.tolist(), strict=True)]

"""Many ``CreateEventRequest`` messages at once -> columns; pure.

The messages are walked through field by field, all of them in one step of numpy: who has this field next,
how long is it, where does the one behind it begin? So a field costs some nanoseconds of an event, where
protobuf's own objects cost a call for each field of each event.

Taken is what every serializer writes: fields in the order of their numbers, each once at most, numbers that
are not negative. Whatever else protobuf allows is left to :mod:`~yamcs_archive.wire.protobuf`.
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
"""Of a varint: 35 bits, which reach beyond int32 and, in seconds, to the year 3058."""
_BEYOND_BYTES = 8
"""That looks may reach beyond the last message."""
_S_US, _S_NS = 1_000_000, 1_000_000_000


class _UnusualError(Exception):
    """A message needs a closer look."""


class _Spans(NamedTuple):
    """Where a field of each message stands."""

    there: _Flags
    starts: _Ints
    stops: _Ints


class _Walk:
    """Goes through all messages at once, from field to field."""

    def __init__(self, raw: npt.NDArray[np.uint8], starts: _Ints, stops: _Ints) -> None:
        """``raw`` has some bytes more than the last message, for looks beyond its end."""
        self._raw, self._at, self._stops = raw, starts, stops

    def text(self, number: int) -> _Spans:
        """Return where a field of text stands, or a message within the messages."""
        there = self._there(number, LENGTH)
        lengths, starts = self._varints(there)
        self._at = np.where(there, starts + lengths, self._at)
        self._check()
        return _Spans(there, np.where(there, starts, self._at), self._at)

    def integer(self, number: int) -> tuple[_Flags, _Ints]:
        """Return who has a number, and the numbers; 0 where there is none."""
        there = self._there(number, VARINT)
        values, self._at = self._varints(there)
        self._check()
        return there, values

    def end(self) -> None:
        """Check that nothing is left."""
        if (self._at != self._stops).any():
            raise _UnusualError

    def _there(self, number: int, wire_type: int) -> _Flags:
        there: _Flags = (self._raw[self._at] == (number << 3 | wire_type)) & (self._at < self._stops)
        return there

    def _varints(self, there: _Flags) -> tuple[_Ints, _Ints]:
        """Return the numbers behind the tags of those who have one, and where they end."""
        at = self._at + there
        more = there
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
        # Before the next look: beyond its message, a place may be beyond everything.
        if (self._at > self._stops).any():
            raise _UnusualError


def of_messages(messages: bytes, starts: Sequence[int], stops: Sequence[int]) -> Columns[int | None] | None:
    """Return the events of the messages that stand at these places; None when one needs a closer look.

    >>> of_messages(bytes.fromhex("1a01613201531a0162320153"), [0, 6], [6, 12]).message
    ['a', 'b']
    """
    if not starts:
        return None
    try:
        return _offered(messages, np.array(starts), np.array(stops))
    except (_UnusualError, UnicodeDecodeError, KeyError):
        return None


def _offered(messages: bytes, starts: _Ints, stops: _Ints) -> Columns[int | None]:
    raw = np.frombuffer(messages + bytes(_BEYOND_BYTES), np.uint8)
    walk = _Walk(raw, starts, stops)
    kinds, texts, severities = walk.text(_TYPE), walk.text(_MESSAGE), walk.text(_SEVERITY)
    times, sources = walk.text(_TIME), walk.text(_SOURCE)
    numbered, numbers = walk.integer(_NUMBER)
    walk.end()
    if not texts.there.all() or numbers.max() > SEQ_NUMBER_MAX:
        raise _UnusualError
    # Each byte as one character: only where one is not ASCII are there fewer characters than bytes.
    characters = messages.decode("latin-1")
    return Columns.common(
        _texts(characters, texts),
        _texts(characters, sources),
        _severities(raw, severities),
        _texts(characters, kinds, None),
        generation_time=_column(times.there, _instants(raw, times)),
        seq_number=_column(numbered, numbers),
    )


_WORD = np.dtype("<u8")
_SEVERITIES = {
    0: Severity.INFO,
    **{int.from_bytes(name.encode(), "little"): severity for name, severity in Severity.__members__.items()},
}
"""By their names as numbers: the longest has 8 letters. INFO where there is none."""


def _severities(raw: npt.NDArray[np.uint8], spans: _Spans) -> list[Severity]:
    lengths = spans.stops - spans.starts
    if lengths.max() > _WORD.itemsize or (lengths[spans.there] == 0).any():
        raise _UnusualError
    if (spans.there & (raw[spans.stops - 1] == 0)).any():  # a NUL at its end would not be seen in the number
        raise _UnusualError
    letters = sliding_window_view(raw, _WORD.itemsize)[spans.starts] * (
        np.arange(_WORD.itemsize) < lengths[:, None]
    )
    words: list[int] = letters.view(_WORD)[:, 0].tolist()
    return list(map(_SEVERITIES.__getitem__, words))


def _texts(characters: str, spans: _Spans, absent: Any = "") -> list[Any]:
    """Return a column of text."""
    there, starts, stops = spans
    some = not there.all()
    if some:
        starts, stops = starts[there], stops[there]
    found = [characters[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    if not "".join(found).isascii():
        found = [text if text.isascii() else text.encode("latin-1").decode() for text in found]
    if not some:
        return found
    given = iter(found)
    return [next(given) if here else absent for here in there.tolist()]


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


def _column(there: _Flags, values: _Ints) -> Sequence[int | None]:
    if there.all():
        return array("q", values.tobytes())
    return [value if given else None for value, given in zip(values.tolist(), there.tolist(), strict=True)]

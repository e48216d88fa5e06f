"""The commonest elements of batches in JSON and msgpack -> columns, many at once, in C; pure.

1. The result is exactly what the rules of a single body give. In any doubt (a value of another type, another
   field, the 2016 form) it is None, and the rules of :mod:`~yamcs_archive.wire.json` decide.
2. Requests of today's form are decoded, and events as its answers show them. Thousands of elements become
   columns in a fifth of the time that events one by one take.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from yamcs_archive.columns import NO_EXTENSIONS, NO_EXTRA, Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import AS_SHOWN, Severity
from yamcs_archive.limits import SEQ_NUMBER_MAX, SEQ_NUMBER_MIN, TIME_MAX_US, TIME_MIN_US
from yamcs_archive.times import parse_rfc3339
from yamcs_archive.wire.columns.timestamps import parse_many
from yamcs_archive.wire.json import extensions_of

SEVERITIES = dict(Severity.__members__)
"""Severities by the names that serializers write."""
_SHOWN_SEVERITIES = {name: AS_SHOWN[severity] for name, severity in SEVERITIES.items()}
_ARRAY32 = b"\xdd"
_ARRAY32_BYTES = 4


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    message: str
    source: str = ""
    severity: str = "INFO"
    type: str | None = None
    time: str | None = None
    sequenceNumber: int | None = None  # noqa: N815  # as the API calls it
    extra: dict[str, str] | None = None


class _Map(_Line, forbid_unknown_fields=True, gc=False):
    time: int | str | None = None  # type: ignore[assignment]  # wider than in a line


class _Shown(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    message: str
    generationTime: str  # noqa: N815  # as the API calls it, as those below
    receptionTime: str  # noqa: N815
    source: str = ""
    severity: str = "INFO"
    seqNumber: int | None = None  # noqa: N815
    type: str | None = None
    createdBy: str | None = None  # noqa: N815
    extra: dict[str, str] | None = None
    extensions: str | None = None


class _ShownMap(_Shown, forbid_unknown_fields=True, gc=False):
    extensions: Any = None  # text or bytes, which extensions_of tells apart


_lines = msgspec.json.Decoder(_Line).decode_lines
_shown_lines = msgspec.json.Decoder(_Shown).decode_lines
_array = msgspec.msgpack.Decoder(list[_Map]).decode
_shown_array = msgspec.msgpack.Decoder(list[_ShownMap]).decode
_UNUSUAL = (
    msgspec.MsgspecError,
    UnicodeDecodeError,
    RecursionError,
    OverflowError,
    InvalidInputError,
    KeyError,
    ValueError,
)


def decode_json_lines(
    lines: bytes, *, own: bool = False, keeps_user: bool = False
) -> Columns[int | None] | None:
    """Return the events of whole lines of JSON, or None if one of them is for the rules.

    ``own`` and ``keeps_user`` are as for :func:`~yamcs_archive.wire.json.decode_event`.

    >>> decode_json_lines(b'{"message": "a"}\\n{"message": "b"}').message
    ['a', 'b']
    >>> decode_json_lines(b'{"message": 5}') is None
    True
    """
    try:
        # msgspec also accepts two values in a line, and a value with a line feed within.
        objects = _between_objects(lines)
        try:
            found = _lines(lines)
        except msgspec.MsgspecError:
            shown = _shown_lines(lines)
            columns = _columns_shown(shown, own=own, keeps_user=own or keeps_user)
            return columns if objects == len(shown) - 1 else None
        return _columns(found) if objects == len(found) - 1 else None
    except _UNUSUAL:
        return None


def _between_objects(lines: bytes) -> int | None:
    """Return the number of line feeds; None unless each of them is between two objects."""
    raw = np.frombuffer(lines, np.uint8)
    places = np.flatnonzero(raw == ord("\n"))
    if not len(places):
        return 0
    if places[0] == 0 or places[-1] == len(raw) - 1:
        return None
    if (raw[places - 1] != ord("}")).any() or (raw[places + 1] != ord("{")).any():
        return None
    return len(places)


def decode_msgpack_maps(
    maps: bytes, count: int, *, own: bool = False, keeps_user: bool = False
) -> Columns[int | None] | None:
    """Return the events of ``count`` msgpack maps, or None if they are not that many or one is for the rules.

    >>> import msgpack
    >>> one = msgpack.packb({"message": "a", "time": 5})
    >>> decode_msgpack_maps(one + one, 2).generation_time, decode_msgpack_maps(one, 2)
    (array('q', [5, 5]), None)
    """
    head = _ARRAY32 + count.to_bytes(_ARRAY32_BYTES, "big")
    try:
        try:
            found = _array(head + maps)
        except msgspec.MsgspecError:
            return _columns_shown(_shown_array(head + maps), own=own, keeps_user=own or keeps_user)
        return _columns(found)
    except _UNUSUAL:
        return None


def _columns_shown(elements: Sequence[_Shown], *, own: bool, keeps_user: bool) -> Columns[int | None]:
    size = len(elements)
    given = [element.extensions for element in elements]
    extensions = [NO_EXTENSIONS] * size
    if given.count(None) < size:
        extensions = [NO_EXTENSIONS if text is None else extensions_of(text, own=own) for text in given]
    return Columns(
        [element.message for element in elements],
        [element.source for element in elements],
        [_SHOWN_SEVERITIES[element.severity] for element in elements],
        [element.type for element in elements],
        generation_time=_times([element.generationTime for element in elements]),
        seq_number=_bounded([element.seqNumber for element in elements], SEQ_NUMBER_MIN, SEQ_NUMBER_MAX),
        reception_time=_times([element.receptionTime for element in elements]),
        created_by=[element.createdBy for element in elements] if keeps_user else [None] * size,
        extensions=extensions,
        extra=[NO_EXTRA if element.extra is None else element.extra for element in elements],
    )


def _columns(elements: Sequence[_Line]) -> Columns[int | None]:
    extra = [element.extra for element in elements]
    return Columns.common(
        [element.message for element in elements],
        [element.source for element in elements],
        [SEVERITIES[element.severity] for element in elements],
        [element.type for element in elements],
        generation_time=_times([element.time for element in elements]),
        seq_number=_bounded([element.sequenceNumber for element in elements], SEQ_NUMBER_MIN, SEQ_NUMBER_MAX),
        extra=None
        if extra.count(None) == len(extra)
        else [NO_EXTRA if more is None else more for more in extra],
    )


def _times(given: list[Any]) -> Sequence[int | None]:
    """Return times given as text, as microseconds or as None."""
    if given and type(given[0]) is str:
        try:
            found = parse_many(given)
        except TypeError:  # not all are text
            found = None
        if found is not None:
            return found
    times = [parse_rfc3339(time) if type(time) is str else time for time in given]
    return _bounded(times, TIME_MIN_US, TIME_MAX_US)


def _bounded(numbers: list[Any], low: int, high: int) -> Sequence[int | None]:
    """Return a column of ints or None; ValueError for an int out of bounds."""
    try:
        found = array("q", struct.pack(f"{len(numbers)}q", *numbers))
    except struct.error:  # None, or beyond int64
        given = [number for number in numbers if number is not None]
        if given and not low <= min(given) <= max(given) <= high:
            raise ValueError(numbers) from None
        return numbers
    values = np.frombuffer(found, np.int64)
    if len(values) and not low <= values.min() <= values.max() <= high:
        raise ValueError(numbers)
    return found

"""Events as columns <-> one msgpack value, the form of events in a log; pure.

1. Any number of complete events, one or thousands, in any order. Integers are bins as memory holds them,
   little end first, texts of which few are distinct a table and its codes, the rest arrays. So events cost a
   function call for each column, and a few bytes more than their texts.
2. The commit's number is not in it: all events of one value belong to one commit, or to none yet.
3. Every length and every code is checked before it is used; what breaks a rule is a ValueError.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence
from operator import add, sub
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from yamcs_archive.columns import NO_EXTENSIONS, NO_EXTRA, Columns
from yamcs_archive.event import SEVERITIES, Severity
from yamcs_archive.event_vectors import Codes, DictColumn, StoredVectors, int64s

_VECTOR_EVENTS_MIN = 64
"""Fewest events that are decoded as vectors; fewer are faster as columns."""
_BYTE_CODES_MAX = 256
"""Distinct values of a column up to which each code is one byte."""


class TextTable(msgspec.Struct, array_like=True, gc=False):
    """A column of texts, or None, of which few are distinct."""

    values: list[str | None]
    codes: bytes
    """The index of each event's value: a byte each, or 4 if there are more than 256; none if it is always
    0.
    """


class EventColumns(msgspec.Struct, array_like=True, gc=False):
    """Events as the log has them; see ``docs/commit-log.md``."""

    size: int
    times: bytes
    numbers: bytes
    delays: bytes
    severities: bytes
    sources: TextTable
    types: TextTable
    users: TextTable
    messages: list[str]
    extensions: list[bytes] | None
    extra: list[dict[str, str]] | None


_NONE = TextTable([None], b"")
_INT64 = struct.Struct("<q")
_SEVERITY_LISTS = [[severity] for severity in SEVERITIES]
_ONE_WITHOUT_EXTENSIONS, _ONE_WITHOUT_EXTRA = [NO_EXTENSIONS], [NO_EXTRA]
"""Columns of one event; nobody changes them."""


def to_event_columns(events: Columns[int] | StoredVectors) -> EventColumns:
    """Return complete events as they are encoded.

    >>> from yamcs_archive import Event
    >>> events = Columns.of([Event("a", "S", generation_time=1, seq_number=2, reception_time=3)])
    >>> list(from_event_columns(to_event_columns(events)).events()) == list(events.events())
    True
    """
    if isinstance(events, StoredVectors):
        return _of_vectors(events)
    if len(events.message) == 1:
        return _of_one(events)
    times, delays = events.generation_time, map(sub, events.reception_time, events.generation_time)
    numbers: Any = events.seq_number
    extensions, extra = events.extensions, events.extra
    return EventColumns(
        len(events.message),
        pack_int64s(times),
        pack_int64s(numbers),
        pack_int64s(array("q", delays)),
        bytes(events.severity),
        _table(events.source),
        _table(events.type),
        _table(events.created_by),
        events.message,
        extensions if any(extensions) else None,
        extra if any(extra) else None,
    )


def _of_one(events: Columns[int]) -> EventColumns:
    """Do the same for one event, in a third of the time."""
    message, [source], [severity], [kind], [time], [number], [received], [user], extensions, extra = events
    pack: Any = _INT64.pack
    return EventColumns(
        1,
        pack(time),
        pack(number),
        pack(received - time),
        bytes((severity,)),
        TextTable([source], b""),
        _NONE if kind is None else TextTable([kind], b""),
        _NONE if user is None else TextTable([user], b""),
        message,
        extensions if extensions[0] else None,
        extra if extra[0] else None,
    )


def _of_vectors(events: StoredVectors) -> EventColumns:
    return EventColumns(
        events.size,
        events.times.astype("<i8", copy=False).tobytes(),
        events.numbers.astype("<i8", copy=False).tobytes(),
        (events.received - events.times).astype("<i8", copy=False).tobytes(),
        events.severities.tobytes(),
        _vector_table(events.sources),
        _vector_table(events.types),
        _vector_table(events.users),
        events.messages,
        events.extensions,
        events.extra,
    )


def pack_int64s(values: Sequence[int]) -> bytes:
    """Return integers as a bin.

    >>> unpack_int64s(pack_int64s([-1, 5]), 2)
    array('q', [-1, 5])
    """
    packed = values if type(values) is array else array("q", values)
    if sys.byteorder == "big":
        packed = packed[:]
        packed.byteswap()
    return packed.tobytes()


def unpack_int64s(packed: bytes, size: int) -> array[int]:
    """Return the integers of a bin; ValueError if there are not ``size`` of them."""
    if len(packed) != 8 * size:
        raise ValueError(f"{len(packed)} bytes of integers for {size} events")
    values = array("q", packed)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _table(column: Sequence[str | None]) -> TextTable:
    if column.count(column[0]) == len(column):
        return _NONE if column[0] is None else TextTable([column[0]], b"")
    code = Codes()
    try:
        codes = bytes(map(code.__getitem__, column))
    except ValueError:  # more than 256 distinct values
        codes = np.fromiter(map(code.__getitem__, column), "<u4", len(column)).tobytes()
    return TextTable(list(code), codes)


def _vector_table(column: DictColumn) -> TextTable:
    if len(column.values) > 1:
        column = column.used()
    if len(column.values) == 1:
        return TextTable(column.values, b"")
    wide = "u1" if len(column.values) <= _BYTE_CODES_MAX else "<u4"
    return TextTable(column.values, column.codes.astype(wide).tobytes())


def from_event_columns(found: EventColumns) -> Columns[int] | StoredVectors:
    """Return the events of a decoded value; ValueError if it is none that :func:`to_event_columns` makes."""
    size = found.size
    if size == 1 and len(found.messages) == 1:
        return _one_from(found)
    if size < 1 or not size == len(found.severities) == len(found.messages):
        raise ValueError(f"{len(found.messages)} messages and {len(found.severities)} severities for {size}")
    if None in found.sources.values:
        raise ValueError("a source is nil")
    return _columns_from(found) if size < _VECTOR_EVENTS_MIN else _vectors_from(found)


def _columns_from(found: EventColumns) -> Columns[int]:
    size = found.size
    times = unpack_int64s(found.times, size)
    nothing: list[Any] = [None] * size
    sources: Any = _column(found.sources, size)
    return Columns(
        found.messages,
        sources,
        _severities(found.severities),
        _column(found.types, size) if found.types.values != [None] else nothing,
        times,
        unpack_int64s(found.numbers, size),
        array("q", map(add, times, unpack_int64s(found.delays, size))),
        _column(found.users, size) if found.users.values != [None] else nothing,
        _attached(found.extensions, size, NO_EXTENSIONS),
        _attached(found.extra, size, NO_EXTRA),
    )


def _vectors_from(found: EventColumns) -> StoredVectors:
    """Do the same for many events, in a sixth of the time."""
    size = found.size
    severities = np.frombuffer(found.severities, np.uint8)
    _check_greatest(int(severities.max()))
    times, delays = (int64s(unpack_int64s(packed, size)) for packed in (found.times, found.delays))
    received = times + delays
    if (((times ^ received) & (delays ^ received)) < 0).any():
        raise OverflowError("a reception time is beyond int64")
    return StoredVectors(
        times,
        int64s(unpack_int64s(found.numbers, size)),
        received,
        np.zeros(size, np.int64),
        severities,
        _dict_column(found.sources, size),
        _dict_column(found.types, size),
        _dict_column(found.users, size),
        found.messages,
        None if found.extensions is None else _attached(found.extensions, size, NO_EXTENSIONS),
        None if found.extra is None else _attached(found.extra, size, NO_EXTRA),
    )


def _one_from(found: EventColumns) -> Columns[int]:
    """Do the same for one event, in a third of the time: a log of many is read when an archive is opened."""
    sources, types, users = found.sources, found.types, found.users
    if sources.codes or types.codes or users.codes or len(found.severities) != 1:
        raise ValueError("codes, or several severities, for one event")
    [source], [_], [_], [code] = sources.values, types.values, users.values, found.severities
    if source is None or code >= len(SEVERITIES):
        raise ValueError("a source is nil, or a severity is none")
    unpack: Any = _INT64.unpack
    try:
        time, number, delay = unpack(found.times), unpack(found.numbers), unpack(found.delays)
    except struct.error as error:
        raise ValueError(str(error)) from None
    return Columns(
        found.messages,
        sources.values,  # type: ignore[arg-type]  # not nil
        _SEVERITY_LISTS[code],
        types.values,
        time,
        number,
        (time[0] + delay[0],),
        users.values,
        _ONE_WITHOUT_EXTENSIONS if found.extensions is None else _attached(found.extensions, 1, None),
        _ONE_WITHOUT_EXTRA if found.extra is None else _attached(found.extra, 1, None),
    )


def _severities(codes: bytes) -> list[Severity]:
    _check_greatest(max(codes))
    return [SEVERITIES[code] for code in codes]


def _check_greatest(severity: int) -> None:
    if severity >= len(SEVERITIES):
        raise ValueError(f"{severity} is no severity")


def _column(table: TextTable, size: int) -> list[Any]:
    values = table.values
    if len(values) == 1 and not table.codes:
        return values * size
    return [values[code] for code in _codes(table, size).tolist()]


def _dict_column(table: TextTable, size: int) -> DictColumn:
    if len(table.values) == 1 and not table.codes:
        return DictColumn(table.values, np.zeros(size, np.int32))
    return DictColumn(table.values, _codes(table, size).astype(np.int32))


def _codes(table: TextTable, size: int) -> npt.NDArray[np.unsignedinteger[Any]]:
    count = len(table.values)
    codes = np.frombuffer(table.codes, "u1" if count <= _BYTE_CODES_MAX else "<u4")
    if len(codes) != size or codes.max() >= count:
        raise ValueError(f"{len(codes)} codes for {size} events, of {count} values")
    return codes


def _attached(values: list[Any] | None, size: int, nothing: Any) -> list[Any]:
    if values is None:
        return [nothing] * size
    if len(values) != size:
        raise ValueError(f"{len(values)} attachments for {size} events")
    return values

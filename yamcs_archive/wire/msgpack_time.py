"""msgpack's Timestamps, wherever an event has a time; pure.

A Timestamp of 32, 64 or 96 bits (extension type -1) is an instant like its RFC 3339 text, so it becomes that,
and the rules of the text hold. It is rounded down to microseconds, before 1970 too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack

from yamcs_archive.errors import BadTimeError
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.times import format_rfc3339

_TIMES = ("time", "generationTime", "receptionTime", "generationTimeUTC", "receptionTimeUTC")
_S_US = 1_000_000


def stamped(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of an event with RFC 3339 in place of Timestamps; BadTimeError beyond the year 9999.

    >>> stamped({"time": msgpack.Timestamp(-1, 1999)})
    {'time': '1969-12-31T23:59:59.000001Z'}
    """
    there = [name for name in _TIMES if isinstance(fields.get(name), msgpack.Timestamp)]
    if not there:
        return fields
    return {**fields, **{name: _text(fields[name], name) for name in there}}


def _text(stamp: msgpack.Timestamp, field: str) -> str:
    time_us = stamp.seconds * _S_US + stamp.nanoseconds // 1000
    if not TIME_MIN_US <= time_us <= TIME_MAX_US:
        raise BadTimeError(field, f"{stamp.seconds} s", "must lie in the years 0001 to 9999 (UTC)")
    return format_rfc3339(time_us)


def unreadable_field(element: bytes) -> str | None:
    """Return the field of a map whose value msgpack cannot read: a Timestamp of 5 bytes, for instance.

    >>> unreadable_field(b"\\x81\\xa4time\\xc7\\x01\\xff\\x00")
    'time'
    """
    unpacker = msgpack.Unpacker(max_buffer_size=len(element))
    unpacker.feed(element)
    name = None
    try:
        for _ in range(unpacker.read_map_header()):
            name = None
            name = unpacker.unpack()
            unpacker.unpack()
    except (ValueError, msgpack.UnpackException):
        return name if isinstance(name, str) else None
    return None

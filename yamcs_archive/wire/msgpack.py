"""A stream of msgpack maps -> events; pure.

1. The fields of a map are those of a JSON object, in either form, and are read by the same rules. But
   ``time`` may be an int of microseconds, ``extensions`` may be bytes, and each time may be a Timestamp
   (extension type -1, of 32, 64 or 96 bits). It is rounded down to microseconds, before 1970 too.
2. An element is built only when its end is known. One that is longer than the body of a single request may
   be is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgpack
from msgspec.structs import replace

from yamcs_archive.errors import BadTimeError, InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.limits import BODY_BYTES_MAX, TIME_MAX_US, TIME_MIN_US
from yamcs_archive.times import format_rfc3339, to_us
from yamcs_archive.wire import json
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.framing import too_long

_TIMES = ("time", "generationTime", "receptionTime", "generationTimeUTC", "receptionTimeUTC")
_S_US = 1_000_000
_FEED_BYTES = 256 << 10
HELD_BYTES_MAX = BODY_BYTES_MAX + _FEED_BYTES
"""Bytes of an unfinished element that are held."""
_REASONS: dict[type[Exception], str] = {
    msgpack.FormatError: "begins with a byte that begins nothing",
    msgpack.StackError: "is nested too deeply",
}
"""The texts of errors that msgpack raises without one."""


def event_of(element: Any, *, own: bool = False, keeps_user: bool = False) -> tuple[Form, Event]:
    """Return the form and the event of an element.

    ``own`` and ``keeps_user`` are as for :func:`~yamcs_archive.wire.json.decode_event`.

    Raises :class:`~yamcs_archive.errors.InvalidInputError`, also for an element that is no map.

    >>> event_of({"message": "a", "time": 5})[1].generation_time
    5
    >>> event_of({"message": "a", "time": msgpack.Timestamp(-1, 1999)})[1].generation_time
    -999999
    """
    if not isinstance(element, dict):
        raise InvalidInputError("element", element, "must be a map")
    fields: Mapping[str, Any] = element
    stamps = [name for name in _TIMES if isinstance(fields.get(name), msgpack.Timestamp)]
    if stamps:
        fields = {**fields, **{name: _rfc3339(fields[name], name) for name in stamps}}
    time = fields.get("time")
    if type(time) is int:
        form, event = json.event_of({**fields, "time": "1970-01-01T00:00:00Z"})
        return form, replace(event, generation_time=to_us(time, "time"))
    return json.event_of(fields, own=own, keeps_user=keeps_user)


def _rfc3339(stamp: msgpack.Timestamp, field: str) -> str:
    time_us = stamp.seconds * _S_US + stamp.nanoseconds // 1000
    if not TIME_MIN_US <= time_us <= TIME_MAX_US:
        raise BadTimeError(field, f"{stamp.seconds} s", "must lie in the years 0001 to 9999 (UTC)")
    return format_rfc3339(time_us)


def encode_map(event: Event) -> bytes:
    """Return a complete event as a map from which an equal one is read.

    >>> more = bytes.fromhex("a00601")
    >>> event = Event("a", generation_time=0, seq_number=3, reception_time=0, extensions=more)
    >>> [one] = elements(encode_map(event), 0)
    >>> event_of(one, own=True)[1] == event
    True
    """
    fields = json.sent(event)
    if event.extensions:
        fields["extensions"] = event.extensions
    return bytes(msgpack.packb({name: fields[name] for name in _MAP if name in fields}))


_MAP = (
    *("source", "generationTime", "receptionTime", "seqNumber", "message"),
    *("severity", "type", "createdBy", "extra", "extensions"),
)
"""The order of the fields that :func:`encode_map` writes."""


def unpacker() -> Any:
    """Return a reader of a stream of maps, which :func:`skip_elements` gets with each piece of it."""
    return msgpack.Unpacker(max_buffer_size=HELD_BYTES_MAX, strict_map_key=True)


def skip_elements(unpacker: Any, piece: bytes, stop: int) -> tuple[int, int, bool]:
    """Skip the elements that ``piece``, the next of a stream, completes.

    Returns their number, the place in the stream where the last of them ends (``stop``, the end of those
    before, if there are none), and whether more may follow, as none can after a byte that cannot be read.

    >>> skip_elements(unpacker(), msgpack.packb({"message": "a"}) + b"\\x81", 0)
    (1, 11, True)
    """
    count = 0
    skip, tell = unpacker.skip, unpacker.tell
    try:
        for start in range(0, len(piece), _FEED_BYTES):
            unpacker.feed(piece[start : start + _FEED_BYTES])
            try:
                while True:
                    skip()
                    stop = tell()
                    count += 1
            except msgpack.OutOfData:
                pass
    except (ValueError, msgpack.UnpackException, msgpack.BufferFull):
        return count, stop, False
    return count, stop, True


def elements(raw: bytes, before: int) -> Iterator[Any]:
    """Yield the elements in ``raw``, maps unless they are wrong; it follows ``before`` bytes of the stream.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` for an element that cannot be read or that is too
    long, and at the end if the last one is not whole.
    """
    reader = unpacker()
    read = 0
    for start in range(0, len(raw), _FEED_BYTES):
        try:
            reader.feed(raw[start : start + _FEED_BYTES])
            for element in reader:
                read = reader.tell()
                yield element
        except msgpack.BufferFull:
            raise too_long(BODY_BYTES_MAX + 1) from None
        except (ValueError, msgpack.UnpackException) as error:
            if isinstance(error, InvalidInputError):
                raise
            reason = _REASONS.get(type(error)) or f"cannot be read: {error}"
            field = _unreadable_field(raw[read:]) or "body"
            raise InvalidInputError(field, f"msgpack from byte {before + read}", reason) from None
    if len(raw) > HELD_BYTES_MAX and not read:
        raise too_long(len(raw))
    if read != len(raw):
        raise InvalidInputError("body", f"byte {before + read}", "ends within an element")


def _unreadable_field(element: bytes) -> str | None:
    """Return the field of a map whose value msgpack cannot read: a Timestamp of 5 bytes, for instance.

    >>> _unreadable_field(b"\\x81\\xa4time\\xc7\\x01\\xff\\x00")
    'time'
    """
    reader = msgpack.Unpacker(max_buffer_size=len(element))
    reader.feed(element)
    name = None
    try:
        for _ in range(reader.read_map_header()):
            name = None
            name = reader.unpack()
            reader.unpack()
    except (ValueError, msgpack.UnpackException):
        return name if isinstance(name, str) else None
    return None

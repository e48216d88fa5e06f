"""Events <-> protobuf, in both forms; pure.

1. Each form's message parses as the other without an error, ``required`` is not enforced by the parser,
   and an unknown enumeration number silently becomes INFO: all three are checked here, each a 400.
2. The form is told by the wire types of fields 2 and 3: a varint in either is the 2016 form, whose times
   they are; today's request has text there. Neither field present: today's request.
3. Today's ``Event``, as answers have it, has messages in these fields, and a varint in field 4, its number,
   where today's request has the severity as text. So it is recognised, and is taken as JSON takes an answer.
4. The fields 100 to 10000 of a 2016 message are kept byte for byte in their order, and written after
   the others in both forms. Any other field that the form does not have is refused by its number, in the
   messages within it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from yamcs_archive.errors import BadTimeError, InvalidInputError
from yamcs_archive.event import AS_SHOWN, Event, Severity
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.form import (
    SHOWN_2016,
    SHOWN_TODAY,
    Form,
    from_ms,
    reconciled,
    severity_2016_numbered,
    to_ms,
)
from yamcs_archive.wire.pb import yamcs_archive_2016_pb2 as v2016
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import (
    EXTENSION_MAX,
    EXTENSION_MIN,
    LENGTH,
    VARINT,
    Field,
    content,
    scan,
    varint,
)
from yamcs_archive.wire.unknown_fields import check_known

_FIELDS_2016 = {
    1: ("source", LENGTH),
    2: ("generationTime", VARINT),
    3: ("receptionTime", VARINT),
    4: ("seqNumber", VARINT),
    5: ("type", LENGTH),
    6: ("message", LENGTH),
    7: ("severity", VARINT),
    8: ("generationTimeUTC", LENGTH),
    9: ("receptionTimeUTC", LENGTH),
}
_REQUIRED_2016 = (1, 2, 3, 4, 6)
_FIELDS_TODAY = {
    1: ("instance", LENGTH),
    2: ("type", LENGTH),
    3: ("message", LENGTH),
    4: ("severity", LENGTH),
    5: ("time", LENGTH),
    6: ("source", LENGTH),
    7: ("sequenceNumber", VARINT),
    8: ("extra", LENGTH),
}
_FIELDS_SHOWN = {
    1: ("source", LENGTH),
    2: ("generationTime", LENGTH),
    3: ("receptionTime", LENGTH),
    4: ("seqNumber", VARINT),
    5: ("type", LENGTH),
    6: ("message", LENGTH),
    7: ("severity", VARINT),
    10: ("createdBy", LENGTH),
    11: ("extra", LENGTH),
}
_TIMES_SHOWN, _NUMBER_SHOWN, _SEVERITY_SHOWN = (2, 3), 4, 7
_NUMBERS_2016: dict[Severity, Any] = {
    severity: v2016.Event.EventSeverity.Value(name) for severity, name in SHOWN_2016.items()
}
NUMBERS_TODAY: dict[Severity, Any] = {
    severity: today.Event.EventSeverity.Value(name) for severity, name in SHOWN_TODAY.items()
}
"""How each severity is numbered in today's message."""
_SEVERITIES_TODAY = {
    number: Severity.parse(name)
    for name, number in sorted(today.Event.EventSeverity.items(), key=itemgetter(1))
}
"""The severity of each number in ``Event``, old ones too."""
_S_US = 1_000_000


def decode_event(body: bytes) -> tuple[Form, Event]:
    """Return the form and the event of the body of a create request.

    Raises :class:`~yamcs_archive.errors.InvalidInputError`.

    >>> decode_event(today.CreateEventRequest(message="a", source="S").SerializeToString())[1].source
    'S'
    """
    if not body:
        raise InvalidInputError("body", "", "is empty; it must be a message with a message text")
    fields = list(scan(body))
    if any(field.number in (2, 3) and field.wire_type == VARINT for field in fields):
        return Form.V2016, _event_2016(body, fields)
    if any(field.number == _NUMBER_SHOWN and field.wire_type == VARINT for field in fields) and any(
        field.number in _TIMES_SHOWN for field in fields
    ):
        return Form.TODAY, _event_shown(body, fields)
    return Form.TODAY, _event_today(body, fields)


def _text(message: Message, name: str) -> str:
    """Return a text field; the parser lets bytes in that are not UTF-8, and shows them as bytes or fails."""
    try:
        value = getattr(message, name)
    except UnicodeDecodeError as error:
        value = error.object
    if not isinstance(value, str):
        raise InvalidInputError(name, value, "must be UTF-8")
    return value


def _optional_text(message: Message, name: str) -> str | None:
    return _text(message, name) if message.HasField(name) else None


def _event_2016(body: bytes, fields: list[Field]) -> Event:
    own = _without_extensions(fields)
    _check_fields(own, _FIELDS_2016, "the 2016 form")
    there = {field.number for field in own}
    for number in _REQUIRED_2016:
        if number not in there:
            raise InvalidInputError(_FIELDS_2016[number][0], None, "is required in the 2016 protobuf message")
    extensions, parsed = _apart(body, fields)
    message = v2016.Event()
    _parse(message, parsed)
    _check_int32(body, own, 4, "seqNumber")
    severities = [field for field in own if field.number == 7]
    severity = Severity.INFO
    if severities:
        severity = severity_2016_numbered(_signed(body, severities[-1]))
    return Event(
        _text(message, "message"),
        source=_text(message, "source"),
        severity=severity,
        type=_optional_text(message, "type"),
        generation_time=_time_2016(message, "generationTime"),
        seq_number=message.seqNumber,
        reception_time=_time_2016(message, "receptionTime"),
        extensions=extensions,
    )


def _without_extensions(fields: list[Field]) -> list[Field]:
    return [field for field in fields if not EXTENSION_MIN <= field.number <= EXTENSION_MAX]


def _apart(body: bytes, fields: list[Field]) -> tuple[bytes, bytes]:
    """Return the extensions of a message, and the message without them."""
    own = _without_extensions(fields)
    if len(own) == len(fields):
        return b"", body
    extensions = b"".join(
        body[field.start : field.stop] for field in fields if EXTENSION_MIN <= field.number <= EXTENSION_MAX
    )
    return extensions, b"".join(body[field.start : field.stop] for field in own)


def _event_shown(body: bytes, fields: list[Field]) -> Event:
    """Return the event of today's ``Event``; its user is ignored, because anybody may write it."""
    own = _without_extensions(fields)
    _check_fields(own, _FIELDS_SHOWN, "today's Event")
    extensions, parsed = _apart(body, fields)
    message = today.Event()
    _parse(message, parsed)
    _check_int32(body, own, _NUMBER_SHOWN, "seqNumber")
    if not message.HasField("message"):
        raise InvalidInputError("message", None, "Message is required")
    severity = 0
    for field in own:
        known = today.Event.DESCRIPTOR.fields_by_number.get(field.number)
        if known is not None and known.message_type is not None:
            check_known(content(body, field), known.message_type, f"{known.name}.")
        if field.number == _SEVERITY_SHOWN:
            severity = _signed(body, field)
    if severity not in _SEVERITIES_TODAY:
        names = ", ".join(f"{number} ({name.name})" for number, name in _SEVERITIES_TODAY.items())
        raise InvalidInputError("severity", severity, f"must be one of {names}")
    _optional_text(message, "createdBy")
    return Event(
        _text(message, "message"),
        source=_text(message, "source"),
        severity=AS_SHOWN[_SEVERITIES_TODAY[severity]],
        type=_optional_text(message, "type"),
        generation_time=_time_shown(message, "generationTime"),
        seq_number=message.seqNumber,
        reception_time=_time_shown(message, "receptionTime"),
        extensions=extensions,
        extra=_extra(message),
    )


def _time_shown(message: today.Event, name: str) -> int | None:
    return from_timestamp(getattr(message, name), name) if message.HasField(name) else None


def _time_2016(message: v2016.Event, name: str) -> int | None:
    utc = _optional_text(message, f"{name}UTC")
    return reconciled(from_ms(getattr(message, name), name), utc, name)


def _event_today(body: bytes, fields: list[Field]) -> Event:
    _check_fields(fields, _FIELDS_TODAY, "today's form")
    message = today.CreateEventRequest()
    _parse(message, body)
    for field in fields:
        known = today.CreateEventRequest.DESCRIPTOR.fields_by_number[field.number]
        if known.message_type is not None:
            check_known(content(body, field), known.message_type, f"{known.name}.")
    _check_int32(body, fields, 7, "sequenceNumber")
    if not message.HasField("message"):
        raise InvalidInputError("message", None, "Message is required")
    severity = _optional_text(message, "severity")
    return Event(
        _text(message, "message"),
        source=_text(message, "source"),
        severity=Severity.INFO if severity is None else Severity.parse(severity),
        type=_optional_text(message, "type"),
        generation_time=from_timestamp(message.time, "time") if message.HasField("time") else None,
        seq_number=message.sequenceNumber if message.HasField("sequenceNumber") else None,
        extra=_extra(message),
    )


def _extra(message: today.CreateEventRequest | today.Event) -> dict[str, str]:
    try:
        extra = dict(message.extra)
    except UnicodeDecodeError as error:
        raise InvalidInputError("extra", error.object, "must be UTF-8") from None
    for name, value in extra.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise InvalidInputError("extra", name, "must be UTF-8")
    return extra


def _check_fields(fields: list[Field], known: dict[int, tuple[str, int]], form: str) -> None:
    for number, wire_type, _, _ in fields:
        found = known.get(number)
        if found is None:
            raise InvalidInputError(f"field {number}", f"wire type {wire_type}", f"is not a field of {form}")
        if found[1] != wire_type:
            raise InvalidInputError(
                found[0], f"wire type {wire_type}", f"must have wire type {found[1]} (field {number})"
            )


def _signed(body: bytes, field: Field) -> int:
    """Return the value of a varint field as int64."""
    value = 0
    content = body[field.start : field.stop]
    skipped = next(index for index, byte in enumerate(content) if byte < 0x80) + 1  # the tag
    for index, byte in enumerate(content[skipped:]):
        value |= (byte & 0x7F) << (7 * index)
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _check_int32(body: bytes, fields: list[Field], number: int, name: str) -> None:
    """Refuse what the parser would cut to 32 bits."""
    for field in fields:
        if field.number == number and not -(2**31) <= (value := _signed(body, field)) < 2**31:
            raise InvalidInputError(name, value, "must be -2147483648 to 2147483647")


def _parse(message: Message, body: bytes) -> None:
    try:
        message.ParseFromString(body)
    except (DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError("body", body[:20].hex(), f"cannot be parsed: {error}") from None


def from_timestamp(timestamp: Timestamp, field: str) -> int:
    """Return a message's time in microseconds since 1970; BadTimeError beyond the years 0001 to 9999.

    >>> from_timestamp(Timestamp(seconds=1, nanos=2000), "time")
    1000002
    """
    if not 0 <= timestamp.nanos < 1_000_000_000:
        raise BadTimeError(field, f"{timestamp.nanos} nanos", "must be 0 to 999999999")
    time_us = timestamp.seconds * _S_US + timestamp.nanos // 1000
    if not TIME_MIN_US <= time_us <= TIME_MAX_US:
        raise BadTimeError(field, f"{timestamp.seconds} s", "must lie in the years 0001 to 9999 (UTC)")
    return time_us


def _set_timestamp(timestamp: Timestamp, time_us: int) -> None:
    timestamp.seconds, micros = divmod(time_us, _S_US)
    timestamp.nanos = micros * 1000


def encode_event(event: Event, form: Form, *, exact: bool = False) -> bytes:
    """Return a complete event as the ``Event`` message of a form.

    ``exact``: in the 2016 form the texts of its times have microseconds, so that it has the same key when it
    is sent back.

    >>> raw = bytes.fromhex("a00601")
    >>> event = Event("a", generation_time=0, seq_number=0, reception_time=0, extensions=raw)
    >>> encode_event(event, Form.TODAY).endswith(raw)
    True
    """
    if form is Form.V2016:
        return _message_2016(event, exact=exact).SerializeToString() + event.extensions
    message = today.Event(
        source=event.source,
        seqNumber=event.seq_number,
        type=event.type,
        message=event.message,
        severity=NUMBERS_TODAY[event.severity],
        createdBy=event.created_by,
        extra=event.extra,
    )
    _set_timestamp(message.generationTime, event.generation_time or 0)
    _set_timestamp(message.receptionTime, event.reception_time or 0)
    return message.SerializeToString(deterministic=True) + event.extensions


def _message_2016(event: Event, *, exact: bool) -> v2016.Event:
    times = event.generation_time or 0, event.reception_time or 0
    time, received = map(to_ms, times)
    utc, received_utc = times if exact else (time * 1000, received * 1000)
    return v2016.Event(
        source=event.source,
        generationTime=time,
        receptionTime=received,
        seqNumber=event.seq_number,
        type=event.type,
        message=event.message,
        severity=_NUMBERS_2016[event.severity],
        generationTimeUTC=format_rfc3339(utc),
        receptionTimeUTC=format_rfc3339(received_utc),
    )


def encode_fields(fields: Iterable[tuple[int, bytes]]) -> bytes:
    """Return length-delimited fields one after another: a message around ready messages.

    >>> encode_fields([(1, b"a"), (3, b"a")]).hex()
    '0a01611a0161'
    """
    return b"".join(
        part
        for number, content in fields
        for part in (varint(number << 3 | LENGTH), varint(len(content)), content)
    )


def encode_list(events: Iterable[Event], form: Form) -> bytes:
    """Return the ``ListEventsResponse`` of a form; today's has every event under its old name too."""
    encoded = [encode_event(event, form) for event in events]
    fields = [(1, event) for event in encoded]
    if form is Form.TODAY:
        fields += [(3, event) for event in encoded]
    return encode_fields(fields)

"""Events <-> protobuf, in both forms; pure.

1. The message of each form also parses as that of the other, the parser does not enforce ``required``, and it
   reads an unknown severity as INFO. So all three are checked here; each is an InvalidInputError.
2. The wire types of fields 2 and 3 tell the form: a varint in either is a time of the 2016 form, where
   today's request has text. A message with neither is today's request.
3. Today's ``Event``, which answers have, has messages in these fields, and in field 4 a varint, its number,
   where today's request has the severity as text. It is read as JSON reads an answer.
4. The fields 100 to 10000 of a 2016 message are kept byte for byte, in their order, and are written after the
   others in both forms. Any other field that the form does not have is refused by its number, and so are
   those of the messages within it.
5. A program may have stored extensions that are no such fields. They are not written: they would make a
   message that nobody can read, or one of another event. JSON and msgpack have them.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec.structs import replace

from yamcs_archive.errors import BadTimeError, InvalidInputError
from yamcs_archive.event import AS_SHOWN, Event, Severity
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.wire import json
from yamcs_archive.wire.api_generations import (
    SHOWN_2016,
    SHOWN_TODAY,
    Form,
    from_ms,
    reconciled,
    severity_2016_numbered,
)
from yamcs_archive.wire.pb import yamcs_archive_2016_pb2 as v2016
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import (
    EXTENSION_MAX,
    EXTENSION_MIN,
    LENGTH,
    VARINT,
    Field,
    check_extensions,
    check_fields,
    check_within,
    integer,
    scan,
    varint,
)

_EVENT_2016, _REQUEST, _EVENT = (
    message.DESCRIPTOR for message in (v2016.Event, today.CreateEventRequest, today.Event)
)
_REQUIRED_2016 = ("source", "generationTime", "receptionTime", "seqNumber", "message")
_TIMES, _NUMBER, SEVERITY_FIELD = (2, 3), 4, 7
"""Numbers of fields of both messages ``Event``."""
_REQUEST_NUMBER = 7
_NUMBERS_2016: dict[Severity, Any] = {
    severity: v2016.Event.EventSeverity.Value(name) for severity, name in SHOWN_2016.items()
}
NUMBERS_TODAY: dict[Severity, Any] = {
    severity: today.Event.EventSeverity.Value(name) for severity, name in SHOWN_TODAY.items()
}
"""The number of each severity in today's message."""
SEVERITIES_TODAY = {
    number: Severity.parse(name)
    for name, number in sorted(today.Event.EventSeverity.items(), key=itemgetter(1))
}
"""The severity of each number in today's message, with the old numbers."""
_S_US = 1_000_000


def decode_event(body: bytes, *, keeps_user: bool = False) -> tuple[Form, Event]:
    """Return the form and the event of the body of a create request.

    ``keeps_user``: an event as answers show it keeps the user who created it.

    Raises :class:`~yamcs_archive.errors.InvalidInputError`.

    >>> decode_event(today.CreateEventRequest(message="a", source="S").SerializeToString())[1].source
    'S'
    """
    if not body:
        raise InvalidInputError("body", "", "is empty; it must be a message with a message text")
    request = _plain_request(body)
    if request is not None:
        return Form.TODAY, _requested(request)
    fields = list(scan(body))
    varints = {field.number for field in fields if field.wire_type == VARINT}
    if not varints.isdisjoint(_TIMES):
        return Form.V2016, _event_2016(body, fields)
    if _NUMBER in varints and any(field.number in _TIMES for field in fields):
        return Form.TODAY, _event_shown(body, fields, keeps_user=keeps_user)
    return Form.TODAY, _event_today(body, fields)


def _plain_request(body: bytes) -> today.CreateEventRequest | None:
    """Return today's request if its bytes hide nothing: then they need not be scanned, which takes 17 us.

    A message that is serialized to the same bytes again, without its unknown fields, has no field of the
    other form, none twice, and no number that the parser has cut to 32 bits.
    """
    try:
        message = today.CreateEventRequest.FromString(body)
        message.DiscardUnknownFields()
        return message if message.SerializeToString() == body else None
    except (DecodeError, UnicodeDecodeError):
        return None


def _text(message: Message, name: str) -> str:
    """Return a text field. The parser accepts one that is not UTF-8; it is bytes then, or fails only here."""
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
    body, fields, extensions = _without_extensions(body, fields)
    check_fields(fields, _EVENT_2016, "the 2016 form")
    message = v2016.Event()
    _parse(message, body)
    for name in _REQUIRED_2016:
        if not message.HasField(name):
            raise InvalidInputError(name, None, "is required in the 2016 protobuf message")
    _check_int32(body, fields, _NUMBER, "seqNumber")
    severities = [field for field in fields if field.number == SEVERITY_FIELD]
    return Event(
        _text(message, "message"),
        source=_text(message, "source"),
        severity=severity_2016_numbered(integer(body, severities[-1])) if severities else Severity.INFO,
        type=_optional_text(message, "type"),
        generation_time=_time_2016(message, "generationTime"),
        seq_number=message.seqNumber,
        reception_time=_time_2016(message, "receptionTime"),
        extensions=extensions,
    )


def _without_extensions(body: bytes, fields: list[Field]) -> tuple[bytes, list[Field], bytes]:
    """Return a message and its fields without its extensions, and the extensions."""
    extensions = b"".join(
        body[field.start : field.stop] for field in fields if EXTENSION_MIN <= field.number <= EXTENSION_MAX
    )
    if not extensions:
        return body, fields, b""
    others = (field for field in fields if not EXTENSION_MIN <= field.number <= EXTENSION_MAX)
    body = b"".join(body[field.start : field.stop] for field in others)
    return body, list(scan(body)), extensions


def _event_shown(body: bytes, fields: list[Field], *, keeps_user: bool) -> Event:
    """Return the event of today's ``Event``; its user only if the sender may say who that is."""
    body, fields, extensions = _without_extensions(body, fields)
    check_fields(fields, _EVENT, "today's Event")
    message = today.Event()
    _parse(message, body)
    _check_int32(body, fields, _NUMBER, "seqNumber")
    if not message.HasField("message"):
        raise InvalidInputError("message", None, "Message is required")
    check_within(body, fields, _EVENT)
    severities = [field for field in fields if field.number == SEVERITY_FIELD]
    severity = integer(body, severities[-1]) if severities else 0
    if severity not in SEVERITIES_TODAY:
        names = ", ".join(f"{number} ({name.name})" for number, name in SEVERITIES_TODAY.items())
        raise InvalidInputError("severity", severity, f"must be one of {names}")
    event = shown_event(message, AS_SHOWN[SEVERITIES_TODAY[severity]], extensions)
    return event if keeps_user else replace(event, created_by=None)


def shown_event(message: today.Event, severity: Severity, extensions: bytes) -> Event:
    """Return the event of today's ``Event``; InvalidInputError for text that is not UTF-8, or a bad time."""
    user = _optional_text(message, "createdBy")
    return Event(
        _text(message, "message"),
        source=_text(message, "source"),
        severity=severity,
        type=_optional_text(message, "type"),
        generation_time=_time_shown(message, "generationTime"),
        seq_number=message.seqNumber,
        reception_time=_time_shown(message, "receptionTime"),
        created_by=user,
        extensions=extensions,
        extra=_extra(message),
    )


def _time_shown(message: today.Event, name: str) -> int | None:
    return from_timestamp(getattr(message, name), name) if message.HasField(name) else None


def _time_2016(message: v2016.Event, name: str) -> int | None:
    utc = _optional_text(message, f"{name}UTC")
    return reconciled(from_ms(getattr(message, name), name), utc, name)


def _event_today(body: bytes, fields: list[Field]) -> Event:
    check_fields(fields, _REQUEST, "today's form")
    message = today.CreateEventRequest()
    _parse(message, body)
    check_within(body, fields, _REQUEST)
    _check_int32(body, fields, _REQUEST_NUMBER, "sequenceNumber")
    return _requested(message)


def _requested(message: today.CreateEventRequest) -> Event:
    """Return the event of today's request, whose fields are known to be its own."""
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
    if not message.extra:  # to make a dict of nothing would take a third of the event's time
        return {}
    try:
        extra = dict(message.extra)
    except UnicodeDecodeError as error:
        raise InvalidInputError("extra", error.object, "must be UTF-8") from None
    for name, value in extra.items():
        if not (isinstance(name, str) and isinstance(value, str)):
            raise InvalidInputError("extra", name, "must be UTF-8")
    return extra


def _check_int32(body: bytes, fields: list[Field], number: int, name: str) -> None:
    """Refuse a number that the parser would cut to 32 bits."""
    for field in fields:
        if field.number == number and not -(2**31) <= (value := integer(body, field)) < 2**31:
            raise InvalidInputError(name, value, "must be -2147483648 to 2147483647")


def _parse(message: Message, body: bytes) -> None:
    try:
        message.ParseFromString(body)
    except (DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError("body", body[:20].hex(), f"cannot be parsed: {error}") from None


def from_timestamp(timestamp: Timestamp, field: str) -> int:
    """Return a timestamp in microseconds since 1970; raise BadTimeError beyond the years 0001 to 9999.

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

    ``exact``: in the 2016 form the texts of the times have microseconds, so that an event that is sent back
    has the same key.

    >>> raw = bytes.fromhex("a00601")
    >>> event = Event("a", generation_time=0, seq_number=0, reception_time=0, extensions=raw)
    >>> encode_event(event, Form.TODAY).endswith(raw)
    True
    >>> encode_event(replace(event, extensions=b"of mine"), Form.TODAY).endswith(b"of mine")
    False
    """
    if form is Form.V2016:
        fields = json.shown(event, form, exact=exact)  # its names are those of the message
        fields["severity"] = _NUMBERS_2016[event.severity]
        fields.pop("extensions", None)
        return v2016.Event(**fields).SerializeToString() + _extension_fields(event)
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
    return message.SerializeToString(deterministic=True) + _extension_fields(event)


def _extension_fields(event: Event) -> bytes:
    """Return the extensions of an event if they are fields of a message (rule 5)."""
    if event.extensions:
        try:
            check_extensions(event.extensions)
        except InvalidInputError:
            return b""
    return event.extensions


def encode_fields(fields: Iterable[tuple[int, bytes]]) -> bytes:
    """Return length-delimited fields one after another: a message made of encoded ones.

    >>> encode_fields([(1, b"a"), (3, b"a")]).hex()
    '0a01611a0161'
    """
    return b"".join(
        part
        for number, content in fields
        for part in (varint(number << 3 | LENGTH), varint(len(content)), content)
    )

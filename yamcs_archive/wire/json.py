"""Events <-> JSON, in both forms, by msgspec; the rules of the fields are here; pure.

1. Syntax is strict RFC 8259 in UTF-8; of repeated names the last counts. Values are read leniently.
2. A body is in the 2016 form if it has a field that only the 2016 form has, else in today's. A body with
   fields of both is refused.
3. A body whose generationTime or receptionTime is text, but not that of an integer, is an event as answers of
   today's form show it (:func:`shown`). It has the fields of an answer and no others, and its SEVERE may mean
   ERROR.
4. An error names the field and the value. A field that neither form has is refused by name.
"""

from __future__ import annotations

import base64
import binascii
import json as standard_json
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import AS_SHOWN, Event, Severity
from yamcs_archive.times import format_rfc3339, parse_rfc3339
from yamcs_archive.wire.api_generations import (
    SHOWN_2016,
    SHOWN_TODAY,
    Form,
    from_ms,
    reconciled,
    severity_2016,
    severity_2016_numbered,
    to_ms,
)
from yamcs_archive.wire.json_scalars import as_int32, as_text, as_whole_ms, is_whole
from yamcs_archive.wire.protobuf_scan import check_extensions

_ONLY_2016 = frozenset(
    ("seqNumber", "generationTime", "receptionTime", "generationTimeUTC", "receptionTimeUTC", "extensions")
)
_ONLY_TODAY = frozenset(("time", "sequenceNumber", "extra", "instance"))
_COMMON = frozenset(("source", "type", "message", "severity"))
_KNOWN = _ONLY_2016 | _ONLY_TODAY | _COMMON
_SHOWN_TIMES = ("generationTime", "receptionTime")
_SHOWN = _COMMON | {*_SHOWN_TIMES, "seqNumber", "createdBy", "extra", "extensions"}
_SHOWN_BYTES_MAX = 60
BOM = b"\xef\xbb\xbf"
"""A byte order mark in UTF-8."""


def decode_event(body: bytes, *, own: bool = False, keeps_user: bool = False) -> tuple[Form, Event]:
    """Return the form and the event of the body of a create request.

    ``own``: the body comes from the archive's owner and not over a network, so the user who created the event
    is kept, and its extensions are not checked. ``keeps_user``: the user is kept,
    and nothing else. Raises :class:`~yamcs_archive.errors.InvalidInputError`.

    >>> decode_event(b'{"message": "a", "source": "S", "sequenceNumber": "3"}')[1].seq_number
    3
    >>> decode_event(b'{"message": "a", "generationTime": 0, "time": "1970-01-01T00:00:00Z"}')
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: body 'generationTime, time': mixes fields of the 2016 form ...
    """
    return event_of(decode_object(body), own=own, keeps_user=keeps_user)


def event_of(fields: Mapping[str, Any], *, own: bool = False, keeps_user: bool = False) -> tuple[Form, Event]:
    """Return the form and the event of a create request's fields, as JSON values."""
    if type(fields.get("generationTime")) is str or type(fields.get("receptionTime")) is str:
        for name in _SHOWN_TIMES:
            if isinstance(fields.get(name), str) and not is_whole(fields[name]):
                return Form.TODAY, _event_shown(fields, name, own=own, keeps_user=own or keeps_user)
    names = fields.keys()
    if not names <= _KNOWN:
        name = next(name for name in names if name not in _KNOWN)
        rule = "is not a field of an event in either form"
        if name in _SHOWN:
            rule = "is not a field of a request; an answer, which has it, has a generationTime as text"
        raise _unknown(name, fields[name], rule)
    given = {name: value for name, value in fields.items() if value is not None}
    is_today = names.isdisjoint(_ONLY_2016)
    if not (is_today or names.isdisjoint(_ONLY_TODAY)):
        mixed = ", ".join(name for name in names if name not in _COMMON)
        raise InvalidInputError("body", mixed, "mixes fields of the 2016 form and of today's")
    if "message" not in given:
        raise InvalidInputError("message", fields.get("message"), "Message is required")
    if is_today:
        return Form.TODAY, _event_today(given)
    return Form.V2016, _event_2016(given)


def _unknown(name: object, value: object, rule: str) -> InvalidInputError:
    """Return the error of a name that no field has; msgpack also has names that are not text."""
    if not isinstance(name, str):
        return InvalidInputError("body", name, "must be text: the name of a field")
    return InvalidInputError(name, value, rule)


def decode_object(body: bytes) -> Mapping[str, Any]:
    """Return the fields of a body that is a JSON object; raise InvalidInputError for any other.

    A byte order mark at the beginning, which some editors and shells write, is ignored.

    >>> decode_object(b'{"a": 1}')
    {'a': 1}
    """
    body = body.removeprefix(BOM)
    if not body:
        raise InvalidInputError("body", "", "is empty; it must be a JSON object with a message")
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _syntax_error(body, error) from None
    if not isinstance(value, dict):
        raise InvalidInputError("body", value, "must be a JSON object")
    return value


def _syntax_error(body: bytes, error: Exception) -> InvalidInputError:
    """Return the error of a body that msgspec refused; the standard library finds the place in it."""
    start = body[:_SHOWN_BYTES_MAX].decode(errors="replace")
    if isinstance(error, RecursionError):
        return InvalidInputError("body", start, "is nested too deeply")
    try:
        body.decode()
        value = standard_json.loads(body, parse_float=_Digits, parse_int=_Digits)
    except UnicodeDecodeError as fault:
        return InvalidInputError("body", start, f"is not UTF-8 at byte {fault.start}")
    except standard_json.JSONDecodeError as fault:
        return InvalidInputError(
            "body", start, f"is not JSON: {fault.msg} at line {fault.lineno}, column {fault.colno}"
        )
    except (RecursionError, ValueError):
        return InvalidInputError("body", start, f"is not JSON: {error}")
    for path, text in _texts(value, ""):
        if isinstance(text, _Digits):
            if math.isinf(float(text)):
                return InvalidInputError(
                    path, text, "is a number beyond 1.8e308, the largest that can be read"
                )
        elif any("\ud800" <= character <= "\udfff" for character in text):
            return InvalidInputError(path, text, "has a lone surrogate, which UTF-8 cannot hold")
    return InvalidInputError("body", start, f"is not JSON: {error}")


class _Digits(str):
    """The text of a JSON number, of any length."""

    __slots__ = ()


def _texts(value: Any, path: str) -> list[tuple[str, str]]:
    """Return all texts and numbers, each with its path."""
    if isinstance(value, str):
        return [(path or "body", value)]
    parts: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        parts = [(f"{path}.{name}" if path else name, part) for name, part in value.items()]
        parts += [(f"{path}.{name}" if path else name, name) for name in value]
    elif isinstance(value, list):
        parts = [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    return [found for name, part in parts for found in _texts(part, name)]


def _optional(fields: Mapping[str, Any], name: str, read: Callable[[Any, str], Any]) -> Any:
    return read(fields[name], name) if name in fields else None


def _event_today(fields: Mapping[str, Any]) -> Event:
    _optional(fields, "instance", as_text)  # accepted and ignored: the path decides
    return Event(
        as_text(fields["message"], "message"),
        source=_optional(fields, "source", as_text) or "",
        severity=_optional(fields, "severity", _severity_today) or Severity.INFO,
        type=_optional(fields, "type", as_text),
        generation_time=_optional(fields, "time", _time),
        seq_number=_optional(fields, "sequenceNumber", as_int32),
        extra=_optional(fields, "extra", _extra) or {},
    )


def _event_2016(fields: Mapping[str, Any]) -> Event:
    times = {}
    for name in ("generationTime", "receptionTime"):
        number = from_ms(as_whole_ms(fields[name], name), name) if name in fields else None
        times[name] = reconciled(number, _optional(fields, f"{name}UTC", as_text), name)
    return Event(
        as_text(fields["message"], "message"),
        source=_optional(fields, "source", as_text) or "",
        severity=_optional(fields, "severity", _severity_2016) or Severity.INFO,
        type=_optional(fields, "type", as_text),
        generation_time=times["generationTime"],
        seq_number=_optional(fields, "seqNumber", as_int32),
        reception_time=times["receptionTime"],
        extensions=_optional(fields, "extensions", extensions_of) or b"",
    )


def _event_shown(fields: Mapping[str, Any], time: str, *, own: bool, keeps_user: bool) -> Event:
    """Return the event of an answer; ``time`` is the field by which it was recognised."""
    for name, value in fields.items():
        if name in _KNOWN - _SHOWN:
            rule = f"mixes fields of an answer, whose {time} is text, and of a request"
            raise InvalidInputError("body", f"{time}, {name}", rule)
        if name not in _SHOWN:
            raise _unknown(name, value, "is not a field of an event in any form")
    given = {name: value for name, value in fields.items() if value is not None}
    if "message" not in given:
        raise InvalidInputError("message", None, "Message is required")
    user = _optional(given, "createdBy", as_text)
    return Event(
        as_text(given["message"], "message"),
        source=_optional(given, "source", as_text) or "",
        severity=AS_SHOWN[_optional(given, "severity", _severity_today) or Severity.INFO],
        type=_optional(given, "type", as_text),
        generation_time=_optional(given, "generationTime", _time),
        seq_number=_optional(given, "seqNumber", as_int32),
        reception_time=_optional(given, "receptionTime", _time),
        created_by=user if keeps_user else None,
        extensions=_optional(given, "extensions", partial(extensions_of, own=own)) or b"",
        extra=_optional(given, "extra", _extra) or {},
    )


def _severity_today(value: Any, field: str) -> Severity:
    return Severity.parse(as_text(value, field), field)


def _severity_2016(value: Any, field: str) -> Severity:
    if isinstance(value, int) and not isinstance(value, bool):
        return severity_2016_numbered(value)
    return severity_2016(as_text(value, field))


def _time(value: Any, field: str) -> int:
    return parse_rfc3339(as_text(value, field), field)


def _extra(value: Any, field: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InvalidInputError(field, value, "must be an object of text values")
    for name in value:
        if not isinstance(name, str):  # msgpack has others
            raise InvalidInputError(
                field, name, "must be an object of text values, each with a text for its name"
            )
    return {name: as_text(part, f"{field}.{name}") for name, part in value.items()}


def extensions_of(value: Any, field: str = "extensions", *, own: bool = False) -> bytes:
    """Return extensions that are given as base64, or as bytes in an encoding that has bytes.

    Raises InvalidInputError unless they are fields 100 to 10000; with ``own`` they are not checked.

    >>> extensions_of("oAYB").hex()
    'a00601'
    """
    try:
        raw = value if isinstance(value, bytes) else base64.b64decode(as_text(value, field), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInputError(field, value, "must be base64 of protobuf fields 100 to 10000") from None
    if not own:
        check_extensions(raw)
    return raw


def shown(event: Event, form: Form, *, exact: bool = False) -> dict[str, Any]:
    """Return a complete event as the JSON object of a form, in the order of a Yamcs server's fields.

    ``exact``: in the 2016 form the texts of the times have microseconds, so that an event that is sent back
    has the same key.

    >>> event = Event("a", source="S", generation_time=1500, seq_number=3, reception_time=2000)
    >>> shown(event, Form.V2016)["generationTime"], shown(event, Form.TODAY)["generationTime"]
    (1, '1970-01-01T00:00:00.001500Z')
    """
    is_today = form is Form.TODAY
    write_time: Callable[[int], str | int] = format_rfc3339 if is_today else to_ms
    generated, received = event.generation_time or 0, event.reception_time or 0
    fields: dict[str, Any] = {
        "source": event.source,
        "generationTime": write_time(generated),
        "receptionTime": write_time(received),
        "seqNumber": event.seq_number,
    }
    if event.type is not None:
        fields["type"] = event.type
    fields["message"] = event.message
    fields["severity"] = (SHOWN_TODAY if is_today else SHOWN_2016)[event.severity]
    if is_today:
        if event.created_by is not None:
            fields["createdBy"] = event.created_by
        if event.extra:
            fields["extra"] = event.extra
    else:
        for name, time in (("generationTimeUTC", generated), ("receptionTimeUTC", received)):
            fields[name] = format_rfc3339(time if exact else time // 1000 * 1000)
    if event.extensions:
        fields["extensions"] = base64.b64encode(event.extensions).decode()
    return fields


def sent(event: Event) -> dict[str, Any]:
    """Return an event with a key as the JSON object that stores it in another archive: as answers show it.

    But ERROR keeps its name. The other archive decides whether the user who created the event is kept.

    >>> sent(Event("a", severity=Severity.ERROR, generation_time=0, seq_number=3))["severity"]
    'ERROR'
    """
    fields = shown(event, Form.TODAY) | {"severity": event.severity.name}
    return {
        name: value
        for name, value in fields.items()
        if name != "receptionTime" or event.reception_time is not None
    }


def encode(value: Any) -> bytes:
    """Return a JSON document as a Yamcs server writes it: indented by two spaces.

    >>> encode({"a": 1})
    b'{\\n  "a": 1\\n}'
    """
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def encode_line(value: Any) -> bytes:
    """Return a JSON document as a line of newline-delimited JSON.

    >>> encode_line({"a": 1})
    b'{"a":1}\\n'
    """
    return msgspec.json.encode(value) + b"\n"

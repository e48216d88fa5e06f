"""The fields of events as schemas, and how an object is made of them; pure.

1. A schema says what to send. What is taken beyond it, numbers as text and the like, is in docs/http.md.
2. Objects of a request hold no other fields than those named; those of an answer may get more one day.
"""

from __future__ import annotations

from yamcs_archive.event import SEVERITIES, SOURCE_DEFAULT
from yamcs_archive.http.openapi.operation import Part
from yamcs_archive.limits import (
    MESSAGE_BYTES_MAX,
    SEQ_NUMBER_MAX,
    SEQ_NUMBER_MIN,
    SOURCE_BYTES_MAX,
    TIME_MAX_US,
    TIME_MIN_US,
)
from yamcs_archive.wire.form import SEVERITIES_2016, to_ms

_NO_NUL = "^[^\\x00]*$"

TIME: Part = {
    "type": "string",
    "format": "date-time",
    "description": "RFC 3339 with an offset, years 0001 to 9999. Digits finer than a microsecond are cut off;"
    " second 60 is the following second.",
    "examples": ["2026-01-01T00:00:01.234Z"],
}
MILLISECONDS: Part = {
    "type": "integer",
    "format": "int64",
    "minimum": to_ms(TIME_MIN_US),
    "maximum": to_ms(TIME_MAX_US),
    "description": "Milliseconds since 1970-01-01T00:00:00Z.",
    "examples": [1767225601234],
}
TEXT: Part = {"type": "string"}
INT32: Part = {"type": "integer", "format": "int32", "minimum": SEQ_NUMBER_MIN, "maximum": SEQ_NUMBER_MAX}
COUNT: Part = {"type": "integer", "format": "int64", "minimum": 0}
MESSAGE: Part = {
    "type": "string",
    "maxLength": MESSAGE_BYTES_MAX,
    "description": "What happened: up to 1 MiB of UTF-8, may be empty.",
    "examples": ["Battery voltage low: 23.1 V"],
}
SOURCE: Part = {
    "type": "string",
    "maxLength": SOURCE_BYTES_MAX,
    "pattern": _NO_NUL,
    "description": f"Who says it: up to {SOURCE_BYTES_MAX} bytes of UTF-8, no NUL; absent or empty:"
    f" `{SOURCE_DEFAULT}`.",
    "examples": ["EPS"],
}
TYPE: Part = {
    "type": "string",
    "pattern": _NO_NUL,
    "description": "What kind of event; no NUL. Empty and absent are different.",
    "examples": ["LOW_BATTERY"],
}
NUMBER: Part = INT32 | {
    "description": "With time and source, what identifies the event. Absent: one more than the greatest that"
    " the source ever had, 0 at first.",
    "examples": [7],
}
EXTRA: Part = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "description": "Further text by name. With type and extensions together up to 256 KiB.",
    "examples": [{"unit": "V"}],
}
EXTENSIONS: Part = {
    "type": "string",
    "format": "protobuf-extensions",
    "contentEncoding": "base64",
    "description": "The fields 100 to 10000 of a protobuf message of 2016, byte for byte.",
}
SEVERITY: Part = {
    "type": "string",
    "enum": [severity.name for severity in SEVERITIES],
    "description": "In any letter case; absent: INFO. ERROR is an old name that ranks with SEVERE.",
}
SEVERITY_2016: Part = {
    "type": "string",
    "enum": list(SEVERITIES_2016),
    "description": "In any letter case; absent: INFO.",
}


def taken(properties: Part, required: tuple[str, ...] = (), description: str = "") -> Part:
    """Return the schema of an object that is sent: other fields are refused."""
    return _object(properties, required, description) | {"additionalProperties": False}


def given(properties: Part, required: tuple[str, ...] = (), description: str = "") -> Part:
    """Return the schema of an object that is answered: there may be more fields one day."""
    return _object(properties, required, description)


def _object(properties: Part, required: tuple[str, ...], description: str) -> Part:
    found: Part = {"type": "object", "properties": properties}
    if required:
        found["required"] = list(required)
    if description:
        found["description"] = description
    return found


def array(items: Part, description: str = "") -> Part:
    """Return the schema of an array of such elements."""
    return {"type": "array", "items": items} | ({"description": description} if description else {})

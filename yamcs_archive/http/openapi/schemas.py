"""The JSON of events in both forms, and of what holds them, as schemas; pure.

1. A schema says what to send. What is taken beyond it, numbers as text and the like, is in docs/http.md.
2. Objects of a request hold no other fields than those named; those of an answer may get more one day.
"""

from __future__ import annotations

from typing import Any

from yamcs_archive.event import SEVERITIES, SOURCE_DEFAULT
from yamcs_archive.http.openapi.operation import Part, ref
from yamcs_archive.limits import (
    CONFLICTS_KEPT_MAX,
    EXCHANGE_EVENTS_DEFAULT,
    EXCHANGE_EVENTS_MAX,
    MESSAGE_BYTES_MAX,
    PAGE_EVENTS_DEFAULT,
    PAGE_EVENTS_MAX,
    PAUSE_US_DEFAULT,
    PAUSE_US_MAX,
    POLL_S_MAX,
    SEQ_NUMBER_MAX,
    SEQ_NUMBER_MIN,
    SOURCE_BYTES_MAX,
    TIME_MAX_US,
    TIME_MIN_US,
)
from yamcs_archive.wire.forms import SEVERITIES_2016, SHOWN_TODAY, to_ms

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


def _array(items: Part, description: str = "") -> Part:
    return {"type": "array", "items": items} | ({"description": description} if description else {})


_KEY = ("source", "generationTime", "receptionTime", "seqNumber", "message", "severity")
_DROPPED = {"description": "Read and left: the path says which instance.", "type": "string"}

_EVENTS: Part = {
    "Event": given(
        {
            "source": SOURCE | {"minLength": 1},
            "generationTime": TIME,
            "receptionTime": TIME,
            "seqNumber": INT32,
            "type": TYPE,
            "message": MESSAGE,
            "severity": {"type": "string", "enum": sorted(set(SHOWN_TODAY.values()))},
            "createdBy": {"type": "string", "description": "The user who was logged in."},
            "extra": EXTRA | {"minProperties": 1},
            "extensions": EXTENSIONS,
        },
        _KEY,
        "An event as it is stored, in today's form.",
    ),
    "Event2016": given(
        {
            "source": SOURCE | {"minLength": 1},
            "generationTime": MILLISECONDS,
            "receptionTime": MILLISECONDS,
            "seqNumber": INT32,
            "type": TYPE,
            "message": MESSAGE,
            "severity": SEVERITY_2016 | {"description": "Of the others the nearest."},
            "generationTimeUTC": TIME,
            "receptionTimeUTC": TIME,
            "extensions": EXTENSIONS,
        },
        (*_KEY, "generationTimeUTC", "receptionTimeUTC"),
        "An event as it is stored, in the form of 2016: times are floored to milliseconds.",
    ),
    "CreateEvent": taken(
        {
            "message": MESSAGE,
            "source": SOURCE,
            "type": TYPE,
            "severity": SEVERITY,
            "time": TIME | {"description": f"{TIME['description']} Absent: now."},
            "sequenceNumber": NUMBER,
            "extra": EXTRA,
            "instance": _DROPPED,
        },
        ("message",),
        "An event to store, in today's form.",
    ),
    "CreateEvent2016": taken(
        {
            "message": MESSAGE,
            "source": SOURCE,
            "type": TYPE,
            "severity": SEVERITY_2016,
            "seqNumber": NUMBER,
            "generationTime": MILLISECONDS | {"description": "Milliseconds since 1970 (UTC). Absent: now."},
            "generationTimeUTC": TIME | {"description": "Instead of the number, or the same instant."},
            "receptionTime": MILLISECONDS | {"description": "Milliseconds since 1970 (UTC). Absent: now."},
            "receptionTimeUTC": TIME | {"description": "Instead of the number, or the same instant."},
            "extensions": EXTENSIONS,
        },
        ("message",),
        "An event to store, in the form of 2016: one of the fields that only this form has says so.",
    ),
}


def _pages(event: str) -> Part:
    return given(
        {
            "event": _array(ref(event), "The events, under their old name."),
            "events": _array(ref(event), "The events; absent in the form of 2016."),
            "continuationToken": {
                "type": "string",
                "description": "There is more: give it back as `next`. A page with a token is never empty.",
            },
        },
        description="A page of history. No match: an empty object.",
    )


def _counts(event: str) -> Part:
    conflict = given(
        {
            "position": COUNT | {"description": "Which element of the batch, from 0."},
            "stored": ref(event),
            "offered": ref(event),
        },
        ("position", "stored", "offered"),
    )
    return given(
        {
            "stored": COUNT | {"description": "Events that are new and durable."},
            "duplicates": COUNT | {"description": "Events that were stored before."},
            "expired": COUNT | {"description": "Events older than the prune horizon; not stored."},
            "conflictCount": COUNT | {"description": "Events whose key another one has; not stored."},
            "conflicts": _array(conflict, f"The first {CONFLICTS_KEPT_MAX} of them.")
            | {"maxItems": CONFLICTS_KEPT_MAX},
        },
        ("stored", "duplicates", "expired", "conflictCount", "conflicts"),
        "What became of the elements of a batch.",
    )


_TEXT: Part = {"type": "string"}

SELECTED: dict[str, Part] = {
    "start": TIME | {"description": "Events from this time on."},
    "stop": TIME | {"description": "Events before this time."},
    "source": _array(_TEXT, "Events of any of these sources; none: of all."),
    "severity": SEVERITY | {"description": "Events of at least this severity, in any letter case."},
    "q": {
        "type": "string",
        "description": "Events whose message contains this, in any letter case; `%` stands for any text, `?`"
        " for any one character.",
        "examples": ["battery%low"],
    },
    "filter": {
        "type": "string",
        "format": "event-filter",
        "description": "Events that this expression of the filter language matches.",
        "examples": ["severity >= warning AND source = EPS"],
    },
}
"""Which events are asked for, by the name of the parameter or field."""

PAGED: dict[str, Part] = {
    "order": {
        "type": "string",
        "enum": ["asc", "desc"],
        "description": "By time; absent: `desc`, newest first.",
    },
    "limit": {
        "type": "integer",
        "format": "int32",
        "minimum": 1,
        "maximum": PAGE_EVENTS_MAX,
        "default": PAGE_EVENTS_DEFAULT,
        "description": "Events of a page at most.",
    },
    "next": {
        "type": "string",
        "format": "continuation-token",
        "description": "The `continuationToken` of the page before: go on behind it, with the same"
        " parameters.",
    },
    "pos": {
        "type": "integer",
        "format": "int64",
        "minimum": 0,
        "maximum": 2**63 - 1,
        "description": "Events to pass over first. Use `next` instead, which costs nothing.",
    },
}
"""Which page of them."""

INDEXED: dict[str, Part] = {
    "mergeTime": {
        "type": "integer",
        "format": "int32",
        "minimum": 0,
        "maximum": PAUSE_US_MAX // 1000,
        "default": PAUSE_US_DEFAULT // 1000,
        "description": "Milliseconds that may lie between two events of a stretch at most.",
    },
}
"""What parts the stretches of a histogram."""

FORM: Part = {"type": "string", "enum": ["today", "2016"], "description": "The form of the answer."}

CHANGES: dict[str, Part] = {
    "after": {
        "type": "string",
        "format": "cursor",
        "description": "The `cursor` of the answer before: go on behind it. Absent: at the oldest event left."
        " `newest`: behind all that is there.",
    },
    "limit": {
        "type": "integer",
        "format": "int32",
        "minimum": 1,
        "maximum": PAGE_EVENTS_MAX,
        "default": PAGE_EVENTS_DEFAULT,
        "description": "Events of an answer at most; in msgpack up to"
        f" {EXCHANGE_EVENTS_MAX}, absent {EXCHANGE_EVENTS_DEFAULT}.",
    },
    "wait": {
        "type": "number",
        "minimum": 0,
        "maximum": POLL_S_MAX,
        "default": 0,
        "description": "Seconds to wait for an event while there is none.",
    },
}
"""Which changes."""


def _changes(event: str) -> Part:
    return given(
        {
            "events": _array(ref(event), "In the order in which they were stored."),
            "cursor": {"type": "string", "description": "Give it as `after` to go on behind them."},
        },
        ("events", "cursor"),
        "What was stored behind a cursor.",
    )


SCHEMAS: dict[str, Any] = _EVENTS | {
    "Changes": _changes("Event"),
    "Changes2016": _changes("Event2016"),
    "Page": _pages("Event"),
    "Page2016": _pages("Event2016"),
    "BatchCounts": _counts("Event"),
    "BatchCounts2016": _counts("Event2016"),
    "ListEvents": taken(SELECTED | PAGED | {"instance": _DROPPED}, (), "Which page of which events."),
    "StreamEvents": taken(SELECTED | {"instance": _DROPPED}, (), "Which events."),
    "Sources": given(
        {
            "source": _array(_TEXT, "The names, under their old name."),
            "sources": _array(_TEXT, "The names, in the order of their lower case."),
        },
        description="Every source that ever had an event. None: an empty object.",
    ),
    "EventIndex": given(
        {
            "group": _array(
                given(
                    {
                        "id": given({"name": SOURCE}, ("name",)),
                        "entry": _array(
                            given(
                                {
                                    "start": TIME | {"description": "When the first event was generated."},
                                    "stop": TIME | {"description": "When the last one was."},
                                    "count": INT32 | {"minimum": 1, "description": "How many there are."},
                                },
                                ("start", "stop", "count"),
                            ),
                            "Stretches without a pause longer than `mergeTime`.",
                        ),
                    },
                    ("id", "entry"),
                ),
                "By name of source.",
            ),
            "continuationToken": {"type": "string", "description": "There is more: give it back as `next`."},
        },
        description="When each source was heard. No match: an empty object.",
    ),
    "StreamEventIndex": taken(
        {name: SELECTED[name] for name in ("start", "stop")} | INDEXED | {"instance": _DROPPED},
        (),
        "Which events, and which pauses part them.",
    ),
    "Error": given(
        {
            "code": {"type": "integer", "description": "The status."},
            "type": {"type": "string", "description": "What kind of error, as Yamcs clients know it."},
            "msg": {"type": "string", "description": "What is wrong, with field and value."},
            "detail": {
                "type": "object",
                "required": ["@type"],
                "properties": {
                    "@type": {"type": "string", "description": "Which message of `proto/` this is."}
                },
                "description": "More of it, where there is more.",
            },
        },
        ("code", "type", "msg"),
        "Every error has this form, at top level.",
    ),
}
"""The named schemas of events and errors."""

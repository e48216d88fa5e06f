"""What a listing may be asked for: parameters of a query string, and fields of a body, by name; pure."""

from __future__ import annotations

from yamcs_archive.http.openapi.fields import SEVERITY, TEXT, TIME, array
from yamcs_archive.http.openapi.operation import Part
from yamcs_archive.limits import (
    EXCHANGE_EVENTS_DEFAULT,
    EXCHANGE_EVENTS_MAX,
    PAGE_EVENTS_DEFAULT,
    PAGE_EVENTS_MAX,
    PAUSE_US_DEFAULT,
    PAUSE_US_MAX,
    POLL_S_MAX,
)

SELECTED: dict[str, Part] = {
    "start": TIME | {"description": "Events from this time on."},
    "stop": TIME | {"description": "Events before this time."},
    "source": array(TEXT, "Events of any of these sources; none: of all."),
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

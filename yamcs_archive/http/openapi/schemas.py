"""The named schemas: events in both forms, and what holds them; pure."""

from __future__ import annotations

from typing import Any

from yamcs_archive.http.openapi.asked import INDEXED, PAGED, SELECTED
from yamcs_archive.http.openapi.fields import (
    COUNT,
    EXTENSIONS,
    EXTRA,
    INT32,
    MESSAGE,
    MILLISECONDS,
    NUMBER,
    SEVERITY,
    SEVERITY_2016,
    SOURCE,
    TEXT,
    TIME,
    TYPE,
    array,
    given,
    taken,
)
from yamcs_archive.http.openapi.operation import Part, ref
from yamcs_archive.limits import CONFLICTS_KEPT_MAX
from yamcs_archive.wire.form import SHOWN_TODAY

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
            "generationTimeUTC": TIME
            | {"description": "Instead of the number. Both are taken where they are the same instant."},
            "receptionTime": MILLISECONDS | {"description": "Milliseconds since 1970 (UTC). Absent: now."},
            "receptionTimeUTC": TIME
            | {"description": "Instead of the number. Both are taken where they are the same instant."},
            "extensions": EXTENSIONS,
        },
        ("message",),
        "An event to store, in the form of 2016: one of the fields that only this form has says so.",
    )
    | {
        "allOf": [{"not": {"required": [name, f"{name}UTC"]}} for name in ("generationTime", "receptionTime")]
    },
    "EventSentBack": taken(
        {
            "message": MESSAGE,
            "source": SOURCE,
            "type": TYPE,
            "severity": SEVERITY
            | {"description": "In any letter case; absent: INFO. ERROR and SEVERE are compared as one."},
            "seqNumber": NUMBER,
            "generationTime": TIME | {"description": f"{TIME['description']} Absent: now."},
            "receptionTime": TIME | {"description": f"{TIME['description']} Absent: now."},
            "createdBy": {"type": "string", "description": "Ignored: anybody may write it."},
            "extra": EXTRA,
            "extensions": EXTENSIONS,
        },
        ("message",),
        "An event to store, as answers of today's form show it, recognised by a generationTime or"
        " receptionTime that is a text other than an integer.",
    )
    | {"anyOf": [{"required": [name]} for name in ("generationTime", "receptionTime")]},
}


def _pages(event: str) -> Part:
    return given(
        {
            "event": array(ref(event), "The events, under their old name."),
            "events": array(ref(event), "The events; absent in the form of 2016."),
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
            "conflicts": array(conflict, f"The first {CONFLICTS_KEPT_MAX} of them.")
            | {"maxItems": CONFLICTS_KEPT_MAX},
        },
        ("stored", "duplicates", "expired", "conflictCount", "conflicts"),
        "What became of the elements of a batch.",
    )


def _changes(event: str) -> Part:
    return given(
        {
            "events": array(ref(event), "In the order in which they were stored."),
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
    "CountEvents": taken(SELECTED | {"instance": _DROPPED}, (), "Which events."),
    "EventCount": given({"count": COUNT | {"description": "The number of events."}}, ("count",)),
    "Sources": given(
        {
            "source": array(TEXT, "The names, under their old name."),
            "sources": array(TEXT, "The names, in the order of their lower case."),
        },
        description="Every source that ever had an event. None: an empty object.",
    ),
    "EventIndex": given(
        {
            "group": array(
                given(
                    {
                        "id": given({"name": SOURCE}, ("name",)),
                        "entry": array(
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

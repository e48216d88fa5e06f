"""What is said about the routes that read history."""

from __future__ import annotations

from yamcs_archive.http.openapi import faults
from yamcs_archive.http.openapi.asked import CHANGES, FORM, INDEXED, PAGED, SELECTED
from yamcs_archive.http.openapi.operation import (
    Operation,
    answer,
    binary,
    body,
    content,
    either,
    in_query,
    ref,
)
from yamcs_archive.limits import INDEX_ENTRIES_DEFAULT, INDEX_ENTRIES_MAX
from yamcs_archive.wire.codec import JSON, MSGPACK, PROTOBUF

_TAG = "History"


def _queried(*groups: dict[str, dict[str, object]]) -> tuple[dict[str, object], ...]:
    """Return parameters of the query string for schemas by name; an empty one is none at all."""
    return tuple(
        in_query(
            name,
            {key: value for key, value in schema.items() if key != "description"},
            str(schema["description"]) + (" Repeat it, or part names by commas." if name == "source" else ""),
        )
        for group in groups
        for name, schema in group.items()
    )


_EVENT = {
    "source": "EPS",
    "generationTime": "2026-01-01T00:00:01.234Z",
    "receptionTime": "2026-01-01T00:00:01.301Z",
    "seqNumber": 7,
    "message": "Battery voltage low: 23.1 V",
    "severity": "WARNING",
}
_PAGE = answer(
    "The page: today's answer has each event under `events` and, for old clients, under `event` too.",
    content(
        either("Page", "Page2016"),
        "`ListEventsResponse`",
        {"one event": {"event": [_EVENT], "events": [_EVENT]}, "no match": {}},
    ),
)

LIST_EVENTS = Operation(
    id="listEvents",
    tag=_TAG,
    summary="A page of history, newest first unless asked otherwise.",
    description="Ordered by time, then source by name, then number. Follow `continuationToken` to the end"
    " and you see each event once, whatever is stored meanwhile. Unknown parameters are passed over, empty"
    " ones are none.",
    parameters=_queried(SELECTED, PAGED, {"form": FORM}),
    success={200: _PAGE},
    errors=faults.READING,
)

LIST_CHANGES = Operation(
    id="listChanges",
    tag=_TAG,
    summary="What was stored behind a cursor, in the order in which it was stored.",
    description="Follow `cursor` and you see each event once, however late its generation time. An answer"
    " without events has the cursor that was given. Cursors stay valid across restarts and maintenance; one"
    " of a commit that is gone, after the archive was put back to an older state, is refused.",
    parameters=_queried(CHANGES, {"form": FORM}),
    success={
        200: answer(
            "The events; an answer ends after 4 MiB of text, too.",
            content(
                either("Changes", "Changes2016"),
                "`ChangesResponse`",
                {"one event": {"events": [_EVENT], "cursor": "AAAAAAAAAAcAAAAAQlRWH2V4YW1wbGUhy4gI-Q"}},
            )
            | {
                MSGPACK: {
                    "schema": binary("Whole commits, with nothing left out; docs/http.md has its form.")
                }
            },
        )
    },
    errors=faults.FOLLOWING,
)

LIST_EVENTS_POSTED = Operation(
    id="listEventsPosted",
    tag=_TAG,
    summary="The same, asked for in the body.",
    description="For names with commas and filters of any length. An empty body asks for everything.",
    body=body(
        "What is asked for; unknown fields are refused.",
        content(
            ref("ListEvents"),
            "`ListEventsRequest`",
            {"warnings of two sources": {"severity": "WARNING", "source": ["EPS", "AOCS"], "limit": 20}},
        ),
        required=False,
    ),
    success={200: _PAGE},
    errors=faults.POSTED,
)

_COUNTED = answer(
    "The number.", content(ref("EventCount"), "`CountEventsResponse`", {"some": {"count": 1234567}})
)

COUNT_EVENTS = Operation(
    id="countEvents",
    tag=_TAG,
    summary="The number of events, or of those that match.",
    description="All events, or all of some sources, are counted without reading; for anything else history"
    " is read. A server makes as many counts at a time as streams, together. What chooses a page is ignored.",
    parameters=_queried(SELECTED),
    success={200: _COUNTED},
    errors=faults.READING,
)

COUNT_EVENTS_POSTED = Operation(
    id="countEventsPosted",
    tag=_TAG,
    summary="The same, asked for in the body.",
    description="For names with commas and filters of any length. An empty body asks for everything.",
    body=body(
        "What to count; unknown fields are refused, and so are those that choose a page.",
        content(
            ref("CountEvents"),
            "`CountEventsRequest`",
            {"warnings of one day": {"severity": "WARNING", "start": "2026-01-01T00:00:00Z"}},
        ),
        required=False,
    ),
    success={200: _COUNTED},
    errors=faults.POSTED,
)

LIST_SOURCES = Operation(
    id="listSources",
    tag=_TAG,
    summary="Every source that ever had an event.",
    success={
        200: answer(
            "The names.",
            content(
                ref("Sources"),
                "`ListEventSourcesResponse`",
                {"two": {"source": ["AOCS", "EPS"], "sources": ["AOCS", "EPS"]}},
            ),
        )
    },
    errors=faults.READING,
)

_ENTRY = {"start": "2026-01-01T00:00:01.234Z", "stop": "2026-01-01T00:02:00.000Z", "count": 7}

LIST_EVENT_INDEX = Operation(
    id="listEventIndex",
    tag=_TAG,
    summary="When each source was heard: its events, in stretches without a long pause.",
    description="Exact. Stretches come in the order of their last event, page by page, and within a page by"
    " source. Follow `continuationToken` with the same parameters.",
    parameters=_queried(
        {name: SELECTED[name] for name in ("start", "stop", "source")},
        INDEXED,
        {
            "limit": PAGED["limit"]
            | {
                "maximum": INDEX_ENTRIES_MAX,
                "default": INDEX_ENTRIES_DEFAULT,
                "description": "Stretches of a page at most.",
            },
            "next": PAGED["next"] | {"format": "index-token"},
        },
    ),
    success={
        200: answer(
            "The page.",
            content(
                ref("EventIndex"),
                "`IndexResponse`",
                {
                    "one source": {"group": [{"id": {"name": "EPS"}, "entry": [_ENTRY]}]},
                    "no match": {},
                },
            ),
        )
    },
    errors=faults.READING,
)

STREAM_EVENT_INDEX = Operation(
    id="streamEventIndex",
    tag=_TAG,
    summary="All of the index, as it is found.",
    body=body(
        "What is asked for; unknown fields are refused.",
        content(
            ref("StreamEventIndex"), "`StreamEventIndexRequest`", {"pauses of a minute": {"mergeTime": 60000}}
        ),
        required=False,
    ),
    success={
        200: answer(
            "Records with `id`, `num`, `first` and `last`.",
            {
                JSON: {"schema": binary("Objects, one directly behind another, without a separator.")},
                PROTOBUF: {
                    "schema": binary("Messages `ArchiveRecord`, each preceded by its length as a varint.")
                },
            },
        )
    },
    errors=faults.POSTED,
)

STREAM_EVENTS = Operation(
    id="streamEvents",
    tag=_TAG,
    summary="All events that are asked for, oldest first, as they are read.",
    description="Any number of them, with bounded memory at either end. A fault after the first chunk breaks"
    " the connection off, so that a cut answer is never taken for a whole one.",
    body=body(
        "What is asked for; unknown fields are refused, and so are those that choose a page.",
        content(ref("StreamEvents"), "`StreamEventsRequest`", {"one day": {"start": "2026-01-01T00:00:00Z"}}),
        required=False,
    ),
    success={
        200: answer(
            "The events.",
            {
                JSON: {
                    "schema": binary(
                        "Objects like `Event`, one directly behind another, without a separator."
                    )
                },
                PROTOBUF: {"schema": binary("Messages `Event`, each preceded by its length as a varint.")},
            },
        )
    },
    errors=faults.POSTED,
)

EXPORT_EVENTS = Operation(
    id="exportEvents",
    tag=_TAG,
    summary="All events that are asked for as CSV, oldest first.",
    description="The columns of a Yamcs server: `Source`, `Generation Time`, `Reception Time`, `Event Type`,"
    " `Event Text`. What chooses a page is passed over.",
    parameters=(
        *_queried(SELECTED),
        in_query("delimiter", {"type": "string", "enum": ["TAB", "COMMA", "SEMICOLON"]}, "Absent: `TAB`."),
        in_query(
            "columns",
            {"type": "string", "enum": ["all"]},
            "`all`: also `Severity`, `Sequence Number`, `Created By` and `Extra`.",
        ),
    ),
    success={
        200: answer(
            "A line of headings, and one for each event.",
            {"text/csv": {"schema": {"type": "string"}}},
            {
                "content-disposition": {
                    "description": "A name for the file, with the time.",
                    "required": True,
                    "schema": {"type": "string"},
                    "example": 'attachment; filename="event_export_2026-01-01_00-00-00.csv"',
                }
            },
        )
    },
    errors=faults.READING,
)

"""What is said about the routes that store events."""

from __future__ import annotations

from yamcs_archive.http.openapi import faults
from yamcs_archive.http.openapi.operation import Operation, answer, binary, body, content, either, in_header
from yamcs_archive.limits import REQUEST_ID_BYTES_MAX
from yamcs_archive.wire.codec import PROTOBUF

_TODAY = {
    "source": "EPS",
    "type": "LOW_BATTERY",
    "message": "Battery voltage low: 23.1 V",
    "severity": "WARNING",
    "time": "2026-01-01T00:00:01.234Z",
    "sequenceNumber": 7,
    "extra": {"unit": "V"},
}
_2016 = {
    "source": "REST API",
    "type": "Test",
    "seqNumber": 3,
    "message": "this is a test event",
    "generationTime": 0,
    "receptionTime": 0,
    "severity": "WARNING",
}
_STORED = {
    "source": "EPS",
    "generationTime": "2026-01-01T00:00:01.234Z",
    "receptionTime": "2026-01-01T00:00:01.301Z",
    "seqNumber": 7,
    "type": "LOW_BATTERY",
    "message": "Battery voltage low: 23.1 V",
    "severity": "WARNING",
    "extra": {"unit": "V"},
}
_STORED_2016 = _2016 | {
    "generationTimeUTC": "1970-01-01T00:00:00Z",
    "receptionTimeUTC": "1970-01-01T00:00:00Z",
}

_IDEMPOTENCY_KEY = in_header(
    "Idempotency-Key",
    {"type": "string", "pattern": "^[!#-~]([ -~]*[!#-~])?$", "maxLength": REQUEST_ID_BYTES_MAX},
    "Makes a retry harmless for events that have no time or number of their own: the same key with the same"
    " body gives the first answer again, for a day, and adds nothing. With another body it is a 409. In a"
    " batch, element N has the key KEY/N.",
    "5f0c8a52-test-run-17",
)

CREATE_EVENT = Operation(
    id="createEvent",
    tag="Storing",
    summary="Store one event; the answer leaves when it is on the medium.",
    description="A retry, the same event with the same time, source and number, is answered with the stored"
    " one and adds nothing; reception time is not compared. The answer is in the form of the request.",
    parameters=(_IDEMPOTENCY_KEY,),
    body=body(
        "The event, in today's form or in that of 2016; each has its own fields, and fields of both are"
        " refused. Also an event as answers of either form show it. Any content type but protobuf is read as"
        " JSON.",
        content(
            either("CreateEvent", "CreateEvent2016", "EventSentBack"),
            "`CreateEventRequest` of today, or `Event` of 2016: a varint in field 2 or 3 says the latter. Or"
            " `Event` of today, as answers have it: its field 4 is a varint.",
            {"today": _TODAY, "2016": _2016, "sent back": _STORED},
        ),
    ),
    success={
        200: answer(
            "The event as it is stored.",
            content(
                either("Event", "Event2016"),
                "`Event`, in the form of the request.",
                {"today": _STORED, "2016": _STORED_2016},
            ),
        )
    },
    errors=faults.STORING,
)

_NDJSON, _MSGPACK = "application/x-ndjson", "application/msgpack"

CREATE_EVENTS = Operation(
    id="createEvents",
    tag="Storing",
    summary="Store any number of events.",
    description="The body may have any length, with a content-length or chunked, gzip or not. Its elements"
    " are stored in chunks that are each durable: a connection that breaks leaves a prefix, and sending the"
    " same again completes it, where elements have a time, a source and a number. An element that breaks a"
    " rule ends the batch: the error's `detail` has its `position`, and the counts of what was stored before"
    " it.",
    parameters=(_IDEMPOTENCY_KEY,),
    body=body(
        "Elements, each the body of a single request. Any content type not named here is read as"
        " newline-delimited JSON.",
        {
            _NDJSON: {
                "schema": binary("JSON objects, one a line; empty lines and a byte order mark are ignored."),
                "example": '{"message": "one", "source": "A", "sequenceNumber": 1}\n'
                '{"message": "two", "source": "A", "sequenceNumber": 2}\n',
            },
            _MSGPACK: {
                "schema": binary(
                    "Maps, one after another. Today's `time` may be an int of microseconds, each time a"
                    " Timestamp, `extensions` may be bin."
                )
            },
            PROTOBUF: {"schema": binary("Messages, each preceded by its length as a varint.")},
        },
        required=False,
    ),
    success={
        200: answer(
            "What became of them; events in the form of the first element.",
            content(
                either("BatchCounts", "BatchCounts2016"),
                "`BatchResponse`",
                {
                    "all new": {
                        "stored": 2,
                        "duplicates": 0,
                        "expired": 0,
                        "conflictCount": 0,
                        "conflicts": [],
                    }
                },
            ),
        )
    },
    errors=faults.BATCH,
)

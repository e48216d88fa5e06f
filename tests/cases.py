"""One table of events in every form. Tests of encoders, decoders and round trips all read it."""

from __future__ import annotations

from typing import Any, NamedTuple

from yamcs_archive import Event, Severity

EXTENSIONS = bytes.fromhex("a00601aa0602ffffa00602")
"""Field 100 (varint) twice, with field 101 (two bytes) between: several fields, one of them repeated."""
EXTENSIONS_BASE64 = "oAYBqgYC//+gBgI="


class Case(NamedTuple):
    """A stored event, and its JSON in each form."""

    name: str
    event: Event
    json_2016: dict[str, Any]
    json_today: dict[str, Any]


CASES = (
    Case(
        "the seed's example",
        Event(
            "this is a test event",
            source="REST API",
            type="Test",
            seq_number=3,
            generation_time=0,
            reception_time=0,
            severity=Severity.WARNING,
        ),
        {
            "source": "REST API",
            "generationTime": 0,
            "receptionTime": 0,
            "seqNumber": 3,
            "type": "Test",
            "message": "this is a test event",
            "severity": "WARNING",
            "generationTimeUTC": "1970-01-01T00:00:00Z",
            "receptionTimeUTC": "1970-01-01T00:00:00Z",
        },
        {
            "source": "REST API",
            "generationTime": "1970-01-01T00:00:00Z",
            "receptionTime": "1970-01-01T00:00:00Z",
            "seqNumber": 3,
            "type": "Test",
            "message": "this is a test event",
            "severity": "WARNING",
        },
    ),
    Case(
        "negative times and number, error, extensions",
        Event(
            "é\U0001f680\0",
            source="S",
            type="",
            seq_number=-7,
            generation_time=-1_000,
            reception_time=-86_400_000_000,
            severity=Severity.ERROR,
            extensions=EXTENSIONS,
        ),
        {
            "source": "S",
            "generationTime": -1,
            "receptionTime": -86_400_000,
            "seqNumber": -7,
            "type": "",
            "message": "é\U0001f680\0",
            "severity": "ERROR",
            "generationTimeUTC": "1969-12-31T23:59:59.999Z",
            "receptionTimeUTC": "1969-12-31T00:00:00Z",
            "extensions": EXTENSIONS_BASE64,
        },
        {
            "source": "S",
            "generationTime": "1969-12-31T23:59:59.999Z",
            "receptionTime": "1969-12-31T00:00:00Z",
            "seqNumber": -7,
            "type": "",
            "message": "é\U0001f680\0",
            "severity": "SEVERE",
            "extensions": EXTENSIONS_BASE64,
        },
    ),
    Case(
        "microseconds, a severity of today's, extra and user",
        Event(
            "",
            source="A b,c/d",
            seq_number=2**31 - 1,
            generation_time=1_767_225_600_123_456,
            reception_time=1_767_225_600_123_000,
            severity=Severity.DISTRESS,
            created_by="operator",
            extra={"unit": "A", "": "empty key"},
        ),
        {
            "source": "A b,c/d",
            "generationTime": 1_767_225_600_123,
            "receptionTime": 1_767_225_600_123,
            "seqNumber": 2**31 - 1,
            "message": "",
            "severity": "ERROR",
            "generationTimeUTC": "2026-01-01T00:00:00.123Z",
            "receptionTimeUTC": "2026-01-01T00:00:00.123Z",
        },
        {
            "source": "A b,c/d",
            "generationTime": "2026-01-01T00:00:00.123456Z",
            "receptionTime": "2026-01-01T00:00:00.123Z",
            "seqNumber": 2**31 - 1,
            "message": "",
            "severity": "DISTRESS",
            "createdBy": "operator",
            "extra": {"unit": "A", "": "empty key"},
        },
    ),
)

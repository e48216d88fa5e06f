"""The requests that store events, and the bad ones: bodies of every shape."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

from benchmarks.differential.exchange import Case

SECOND = "2026-05-01T12:00:{:02}Z"
SEVERITIES = ("info", "watch", "warning", "distress", "critical", "severe")


def _create(name: str, body: Any, *may: str, headers: dict[str, str] | None = None) -> Case:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Case(f"create: {name}", "POST", "/events", content, headers or {}, may)


def _body(number: int, **changes: Any) -> dict[str, Any]:
    """Return the body of a unique event."""
    found = {
        "message": f"event {number}",
        "source": "LA",
        "time": SECOND.format(number % 60),
        "sequenceNumber": number,
    }
    found.update(changes)
    return {name: value for name, value in found.items() if value is not ...}


def created() -> Iterator[Case]:
    """Yield events of every shape, each with a time, a source and a number."""
    for number, severity in enumerate(SEVERITIES):
        yield _create(f"severity {severity}", _body(number, severity=severity))
    for number, source in enumerate(("LB", "zeta", "Alpha", "with,comma", "Ünï", "a b/c", "x" * 255), 10):
        yield _create(f"source {source[:12]}", _body(number, source=source, type="T1"))
    texts = (
        *(
            "",
            "100 % sure?",
            "a.b (c) [d] {e} a+b",
            "tab\there",
            "two\nlines",
            "quo\"ted 'and' so",
            " blanks ",
        ),
        *(
            "back\\slash",
            "<b>&amp;=</b>",
            "Größe ΑΒΓ",
            "semi;colon",
            "com,ma",
            "😀",
            "nul\0l",
            "needle Wheel 3",
        ),
    )
    for number, text in enumerate(texts, 20):
        yield _create(f"message {text!r}", _body(number, message=text, type="T2", severity="WARNING"))
    for number, kind in enumerate(("", "null", "T2", "with space", "ÄÖ"), 40):
        yield _create(f"type {kind!r}", _body(number, type=kind, source="types"))
    yield _create("type null", _body(46, type=None))
    yield _create("extra", _body(47, extra={"unit": "V", "k=v": "a=b", "": "empty", "Ü": "ö"}))
    yield _create("extra empty", _body(48, extra={}))
    yield _create("extra of numbers", _body(49, extra={"n": 1, "t": True}))
    yield _create("negative number", _body(-5, time=SECOND.format(50)))
    yield _create("greatest number", _body(2**31 - 1, time=SECOND.format(51)))
    yield _create("least number", _body(-(2**31), time=SECOND.format(52)))
    yield _create("number as text", _body(0, sequenceNumber="12", source="N"))
    yield _create("number 1.0", _body(1, sequenceNumber=1.0, source="N"))
    yield _create(
        "number 1e3", b'{"message":"m","source":"N","time":"2026-05-01T12:01:00Z","sequenceNumber":1e3}'
    )
    yield _create("numbers as texts", _body(53, message=5, source=True, type=1.5))
    yield _create("instance in the body", _body(54, instance="other"))
    yield _create("ERROR", _body(55, severity="ERROR", source="old"))
    yield _create("WARNING_NEW", _body(56, severity="WARNING_NEW", source="old"))
    yield _create("mixed case", _body(57, severity="CriTical", source="old"))
    yield _create("severity null", _body(58, severity=None, source="old"))
    times = (
        *("2026-05-01T14:00:00+02:00", "2026-05-01T12:00:00.1Z", "2026-05-01T12:00:00.12Z"),
        *("2026-05-01T12:00:00.123456Z", "2026-05-01T12:00:00.123456789Z", "1970-01-01T00:00:00Z"),
        *("1969-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z", "2000-02-29T23:59:59Z", "2026-05-01T11:59:60Z"),
    )
    for number, time in enumerate(times):
        yield _create(f"time {time}", _body(number, time=time, source="times"))
    for source in ("S2", "S1", "s1", "S3"):
        for number in (3, 1, 2):
            body = _body(number, time="2026-06-01T00:00:00Z", source=source)
            yield _create(f"equal times {source} {number}", body)
    yield _create("a retry", _body(0, severity="info"))
    yield _create("a second event of a key", _body(0, message="other"), "conflict")
    for name, headers in (
        ("form", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("text", {"Content-Type": "text/plain"}),
        ("charset", {"Content-Type": "application/json; charset=utf-8"}),
        ("anything", {"Accept": "*/*"}),
        ("html", {"Accept": "text/html"}),
    ):
        yield _create(f"media {name}", _body(60, source=name), headers=headers)


def refused() -> Iterator[Case]:
    """Yield requests that at least one of the servers refuses."""
    for name, body in (
        ("no message", {"source": "A"}),
        ("message null", {"message": None}),
        ("empty body", b""),
        ("unknown field", {"message": "m", "nosuch": 1}),
        ("snake case", {"message": "m", "sequence_number": 1}),
        ("number too large", {"message": "m", "sequenceNumber": 2**31}),
        ("number broken", {"message": "m", "sequenceNumber": 1.5}),
        ("number is text", {"message": "m", "sequenceNumber": "x"}),
        ("array", b"[]"),
        ("cut off", b'{"message": "m'),
        ("message is an object", {"message": {}}),
        ("extra is a list", {"message": "m", "extra": []}),
        ("date only", {"message": "m", "time": "2026-05-01"}),
        ("time without a zone", {"message": "m", "time": "2026-05-01T12:00:00"}),
        ("time is a number", {"message": "m", "time": 5}),
        ("year 10000", {"message": "m", "time": "10000-01-01T00:00:00Z"}),
    ):
        yield _create(f"refused, {name}", body)
    yield _create("bad severity", {"message": "m", "severity": "FOO"}, "their-500")
    yield _create("long source", _body(61, source="x" * 300), "long-source")
    yield _create("NUL in a source", _body(61, source="a\0b"), "long-source")
    yield _create("NUL in a type", _body(61, type="a\0b", source="refused"), "long-source")
    for time in ("2026-02-30T00:00:00Z", "2026-05-01T25:00:00Z"):
        yield _create(f"impossible {time}", _body(62, time=time, source="impossible"), "impossible-time")
    for name, body in (
        ("single quotes", b"{'message': 'm', 'source': 'J', 'time': '2026-05-01T12:00:00Z'}"),
        ("bare words", b'{message: "m", source: "J", time: "2026-05-01T12:00:00Z"}'),
        ("comment", b'{"message": "m", /* c */ "source": "J", "time": "2026-05-01T12:00:00Z"}'),
        ("text after the value", b'{"message": "m", "source": "J", "time": "2026-05-01T12:00:00Z"} more'),
        ("invalid UTF-8", b'{"message": "\xff", "source": "J", "time": "2026-05-01T12:00:00Z"}'),
        ("a field twice", b'{"message": "m", "message": "n", "source": "J", "time": "2026-05-01T12:00:00Z"}'),
    ):
        yield _create(f"relaxed JSON, {name}", body, "strict-json", "own-numbers")
    yield _create("70 KB", _body(63, message="m" * 70_000, source="large"), "large-body")
    squeezed = gzip.compress(json.dumps(_body(64)).encode())
    yield _create("gzip", squeezed, "compressed-body", headers={"Content-Encoding": "gzip"})
    legacy = {"source": "L", "type": "T", "seqNumber": 1, "message": "m", "generationTime": 0}
    yield _create("2016", legacy | {"receptionTime": 0, "severity": "WARNING"}, "form-of-2016")
    yield Case("create: unknown instance", "POST", "/api/archive/nosuch/events", b'{"message": "m"}')


def of_now() -> Iterator[Case]:
    """Yield events without a time; no request reads after them."""
    yield _create("message alone", {"message": "m"}, "own-numbers")
    yield _create("empty message", {"message": ""}, "own-numbers")
    yield _create("source without a number", {"message": "m", "source": "LB"}, "own-numbers")
    yield _create("number after the greatest", {"message": "m", "source": "LA"}, "numbers-exhausted")
    yield _create("number without a source", {"message": "m", "sequenceNumber": 12}, "own-numbers")
    yield _create(
        "empty source", {"message": "m", "source": "", "sequenceNumber": 5}, "empty-source", "own-numbers"
    )
    yield _create("time null", {"message": "m", "time": None, "source": "T", "sequenceNumber": 1})
    yield _create("everything null", {"message": "m", "type": None, "extra": None}, "own-numbers")

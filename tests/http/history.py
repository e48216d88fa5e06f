"""A small history for the tests of reading, and functions that decode answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from yamcs_archive import Event, Severity
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import varint

LIST = "/api/archive/sim/events"
STREAM = "/api/stream-archive/sim:streamEvents"
EXPORT = "/api/archive/sim:exportEvents"

_TOLD: tuple[tuple[str, Severity, str | None, str], ...] = (
    ("LA", Severity.INFO, None, "alpha start"),
    ("LB", Severity.WATCH, "TY", "Beta 50% done"),
    ("LC", Severity.WARNING, "", "gamma (x)?"),
    ("LA", Severity.DISTRESS, "TY", "ALPHA lost"),
    ("a,b", Severity.CRITICAL, "Z", 'comma "quoted"'),
    ("été", Severity.SEVERE, None, "Straße\nzwei"),
    ("LB", Severity.ERROR, "TY", " padded "),
    ("LA", Severity.INFO, "z", "alpha end"),
)
HISTORY = [
    Event(
        message,
        source=source,
        severity=severity,
        type=kind,
        generation_time=n * 1_000_000,
        seq_number=n,
        reception_time=n * 1_000_000 + 500_000,
        extra={"n": "3"} if n == 3 else {},
        created_by="operator" if n == 4 else None,
    )
    for n, (source, severity, kind, message) in enumerate(_TOLD)
]
"""One event a second from 1970 on; the sequence number of each is its index."""


def second(n: int) -> str:
    """The generation time of an event of the history."""
    return f"1970-01-01T00:00:{n:02}Z"


def as_query(asked: dict[str, Any]) -> str:
    """Parameters as a query string."""
    pairs = [
        (name, value)
        for name, values in asked.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    return "&".join(f"{name}={quote(str(value), safe='')}" for name, value in pairs)


def as_message(message: Any, asked: dict[str, Any]) -> bytes:
    """Parameters as a protobuf message."""
    for name, value in asked.items():
        if name in ("start", "stop"):
            getattr(message, name).FromJsonString(value)
        elif name == "source":
            message.source.extend(value)
        else:
            setattr(message, name, value)
    return bytes(message.SerializeToString())


def json_objects(body: bytes) -> list[Any]:
    """The objects of a text in which they follow each other directly."""
    if not body:
        return []
    assert body.startswith(b"{\n") and body.endswith(b"\n}")  # noqa: PT018  # one claim: nothing around them
    return [msgspec.json.decode(b"{" + part + b"}") for part in body[1:-1].split(b"\n}{\n")]


def delimited(body: bytes, kind: Any = today.Event) -> Iterator[Any]:
    """The messages of a stream in which a length precedes each."""
    at = 0
    while at < len(body):
        length = shift = 0
        while True:
            byte = body[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        assert at + length <= len(body)
        message = kind.FromString(body[at : at + length])
        assert body[at : at + length] == message.SerializeToString(deterministic=True)
        assert varint(length)
        yield message
        at += length

"""A sample of requests in every medium and form; as a program, it sends them and writes their answers.

    python -m tests.http.sample ARCHIVE ANSWERS

The answers do not depend on the time of the run, so that two runs can be compared byte by byte.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgpack
import msgspec

from tests.http.feeds import Answer, core_feed
from tests.http.history import EXPORT, HISTORY, LIST, STREAM
from yamcs_archive import Archive, Options
from yamcs_archive.event import SEVERITIES
from yamcs_archive.wire import json, protobuf
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.codec import JSON, MSGPACK, PROTOBUF
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import varint

OPTIONS = Options(clock=lambda: 1_800_000_000_000_000, block_events_max=50, maintenance=False)
BATCH, CHANGES = f"{LIST}:batch", f"{LIST}:changes"
INDEX, INDEX_STREAM = "/api/archive/sim/event-index", "/api/archive/sim:streamEventIndex"
_TEXTS = (
    *("", "a", 'say "so"', "a,b", "tab\there", "two\nlines"),
    *(" padded ", "été", "\N{ROCKET}", "\0", "\\", "\N{NO-BREAK SPACE}"),
)


class Sent(NamedTuple):
    """A request."""

    method: str
    target: str
    body: bytes = b""
    headers: dict[str, str] | None = None


def delimited(bodies: list[bytes]) -> bytes:
    return b"".join(varint(len(body)) + body for body in bodies)


def elements(first: int, count: int, **more: Any) -> list[dict[str, Any]]:
    """Bodies with common fields only, all different."""
    return [
        {
            "message": str(n).join([_TEXTS[n % len(_TEXTS)]] * 2),
            "source": f"S{n % 3}",
            "severity": SEVERITIES[n % len(SEVERITIES)].name,
            "sequenceNumber": n,
            "time": f"2026-01-01T00:{n // 60 % 60:02}:{n % 60:02}{('Z', '.5Z', '.000123Z')[n % 3]}",
            **({"type": _TEXTS[n % 5]} if n % 2 else {}),
            **more,
        }
        for n in range(first, first + count)
    ]


def message(fields: dict[str, Any]) -> bytes:
    """A body in protobuf."""
    request = today.CreateEventRequest(**{name: value for name, value in fields.items() if name != "time"})
    request.time.FromJsonString(fields["time"])
    return request.SerializeToString()


_SHOWN = [json.shown(event, Form.TODAY) for event in HISTORY]
_SHOWN_2016 = [json.shown(event, Form.V2016) for event in HISTORY]
_ODD: list[dict[str, Any]] = [
    {},
    {"message": 5},
    {"message": None},
    {"message": "a", "other": 1},
    {"message": "a", "severity": "warning"},
    {"message": "a", "severity": "worse"},
    {"message": "a", "sequenceNumber": "7"},
    {"message": "a", "sequenceNumber": 2**31},
    {"message": "a", "time": "2026-01-01T00:00:00.1234567+02:00"},
    {"message": "a", "time": "2026-02-30T00:00:00Z"},
    {"message": "a", "time": 5},
    {"message": "a", "extra": {"k": "v"}, "instance": "sim"},
    {"message": "a", "extra": {"k": 1}},
    {"message": "a", "extra": []},
    {"message": "a", "generationTime": 5, "time": "2026-01-01T00:00:00Z"},
    _SHOWN[0] | {"message": "another"},
    _SHOWN_2016[1] | {"extensions": "oAYB", "seqNumber": 77},
    _SHOWN[2] | {"extensions": "CAE=", "seqNumber": 77},
]
_BYTES = [
    b"",
    b"{",
    b"[]",
    b"\xff",
    b'\xef\xbb\xbf{"message":"a"}',
    b'{"message":"a","message":"b"} ',
    b"\x1a\x01\xff",
    b"\x1a\x01a\x38\xff\xff\xff\xff\xff\xff\x01",
    b"\x1a\x01a\x48\x01",
    b"\x32\x01S\x1a\x01a",
    b"\x1a\x01a\x1a\x01b",
    b"\x1a\x01a\x22\x05INFO\x00",
    b"\x81\xa7message\xa1a",
    b"\x82\xa7message\xa1a\xa4time\xc7\x05\xff" + bytes(5),
    b"\xc1",
]


def sent_singly() -> Iterator[Sent]:
    """Requests that store one event, or are refused."""
    for accept in (JSON, PROTOBUF):
        kinds = [{"Content-Type": kind, "Accept": accept} for kind in (JSON, PROTOBUF)]
        for fields in (*elements(1000, 4), *_ODD, *_SHOWN, *_SHOWN_2016):
            # The archive gives an event its missing time and number: the same in both runs.
            yield Sent("POST", LIST, msgspec.json.encode(fields), kinds[0])
        for event in HISTORY:
            for form in Form:
                yield Sent("POST", LIST, protobuf.encode_event(event, form), kinds[1])
        yield from (Sent("POST", LIST, message(fields), kinds[1]) for fields in elements(1010, 4))
        yield from (Sent("POST", LIST, body, kind) for body in _BYTES for kind in kinds)


def sent_together() -> Iterator[Sent]:
    """Batches in each encoding: common elements, odd ones among them, the answers of this server."""
    ndjson = {"Content-Type": "application/x-ndjson"}
    packed, binary = {"Content-Type": MSGPACK}, {"Content-Type": PROTOBUF}
    common = [elements(first, 300) for first in (2000, 3000, 4000)]
    yield Sent("POST", BATCH, b"\n".join(map(msgspec.json.encode, common[0])), ndjson)
    yield Sent("POST", BATCH, b"".join(map(msgpack.packb, common[1])), packed)
    yield Sent("POST", BATCH, delimited([message(fields) for fields in common[2]]), binary)
    again = [{**fields, "message": "another"} for fields in elements(2000, 3)] + elements(2300, 17)
    yield Sent(
        "POST",
        BATCH,
        gzip.compress(b"\n".join(map(msgspec.json.encode, again)), mtime=0),
        {**ndjson, "Content-Encoding": "gzip"},
    )
    answered = [fields | {"seqNumber": 8000 + n} for n, fields in enumerate(_SHOWN * 2)]
    yield Sent("POST", BATCH, b"\n".join(map(msgspec.json.encode, answered[:8])), ndjson)
    yield Sent("POST", BATCH, b"".join(map(msgpack.packb, answered[8:])), packed)
    both = [*_SHOWN, *_SHOWN_2016, *elements(5000, 20, extra={"k": "v"})]
    for accept in (JSON, PROTOBUF):
        yield Sent("POST", BATCH, b"\n\n".join(map(msgspec.json.encode, both)), {**ndjson, "Accept": accept})
        yield Sent("POST", BATCH, b"".join(map(msgpack.packb, both)), {**packed, "Accept": accept})
        bodies = [protobuf.encode_event(event, form) for form in Form for event in HISTORY]
        yield Sent("POST", BATCH, delimited(bodies), {**binary, "Accept": accept})
    for odd in _ODD:
        mixed = [*elements(6000, 30), odd, *elements(6100, 3)]
        yield Sent("POST", BATCH, b"\n".join(map(msgspec.json.encode, mixed)), ndjson)
        yield Sent("POST", BATCH, b"".join(map(msgpack.packb, mixed)), packed)
    for body in _BYTES:
        good = elements(7000, 30)
        yield Sent("POST", BATCH, b"\n".join([*map(msgspec.json.encode, good), body]), ndjson)
        yield Sent("POST", BATCH, b"".join(map(msgpack.packb, good)) + body, packed)
        yield Sent("POST", BATCH, delimited([*map(message, good), body]), binary)


def read() -> Iterator[Sent]:
    """Requests that read what is stored."""
    for accept in (JSON, PROTOBUF, MSGPACK):
        headers = {"Accept": accept}
        for query in (
            "",
            "?limit=1",
            "?limit=17&order=asc",
            "?limit=1000&order=asc",
            "?form=2016&limit=40",
            "?source=LA,S1&severity=WARNING",
            "?q=lo",
            "?source=nobody",
            "?filter=" + quote('"1" severity>=warning'),
            "?start=1970-01-01T00:00:03Z&stop=2026-01-01T00:00:00Z",
            "?pos=990&limit=500",
        ):
            yield Sent("GET", LIST + query, headers=headers)
        for query in ("", "?limit=7", "?form=2016", "?limit=900"):
            yield Sent("GET", CHANGES + query, headers=headers)
        yield Sent("GET", f"{INDEX}?limit=3", headers=headers)
        asked = today.ListEventsRequest(limit=40, order="asc", source=["S1", "LB"])
        posted = {**headers, "Content-Type": PROTOBUF}
        yield Sent("POST", f"{LIST}:list", asked.SerializeToString(), posted)
        yield Sent("POST", f"{LIST}:list", b'{"limit": 40, "severity": "watch"}', headers)
        yield Sent("GET", f"{LIST}:count?source=S1", headers=headers)
        yield Sent("POST", INDEX_STREAM, headers=headers)
        for body in (
            b"",
            b'{"source": ["LA"]}',
            b'{"q": "lo%1"}',
            b'{"filter": "severity>=error OR source=LA"}',
        ):
            yield Sent("POST", STREAM, body, headers)
    yield Sent("POST", STREAM, headers={"Accept": JSON, "Accept-Encoding": "gzip"})
    for delimiter in ("TAB", "COMMA", "SEMICOLON"):
        for columns in ("", "&columns=all", "&q=%C2%A0"):
            yield Sent("GET", f"{EXPORT}?delimiter={delimiter}{columns}")


def answers(archive: Archive) -> Iterator[tuple[Sent, Answer]]:
    """Yield every request with its answer, then the pages of the history one after another."""
    send = core_feed(archive)
    for sent in (*sent_singly(), *sent_together(), *read()):
        yield sent, send(*sent)
    token = ""
    while token is not None:
        sent = Sent("GET", f"{LIST}?limit=97&next={token}")
        answer = send(*sent)
        yield sent, answer
        token = answer.json().get("continuationToken")


def main(directory: str, written: str) -> None:
    """Send all requests to an archive, and write a line for each answer."""
    with Archive.open(directory, options=OPTIONS) as archive, Path(written).open("w") as out:
        for sent, answer in answers(archive):
            kind = answer.headers.get("content-type")
            print(*sent[:2], sent.body[:60], sent.headers, answer.status, kind, answer.body, file=out)


if __name__ == "__main__":
    main(*sys.argv[1:])

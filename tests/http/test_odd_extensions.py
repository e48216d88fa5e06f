"""Stored extensions that are no fields of a protobuf message spoil no answer; only protobuf loses them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import msgpack
import msgspec
import pytest

from tests.cases import EXTENSIONS
from tests.http.feeds import Feed
from yamcs_archive import Event, Instance
from yamcs_archive.wire.codec import JSON, PROTOBUF
from yamcs_archive.wire.framing import delimited
from yamcs_archive.wire.pb import yamcs_archive_2016_pb2 as v2016
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

MSGPACK = "application/msgpack"
PAGE, STREAM = "/api/archive/sim/events?order=asc", "/api/stream-archive/sim:streamEvents"
ODD = {
    "no protobuf": b"\xff\xff\xffjunk",
    "the field source": b"\x0a\x01X",
    "the field 99": b"\x98\x06\x01",
    "the field 10001": b"\x88\xf1\x04\x01",
    "cut short": EXTENSIONS[:-1],
    "fields, then the source": EXTENSIONS + b"\x0a\x01X",
}


@pytest.fixture(params=list(ODD.values()), ids=list(ODD))
def odd(request: pytest.FixtureRequest, sim: Instance) -> bytes:
    """The extensions of the second of three stored events."""
    raw: bytes = request.param
    for number, extensions in enumerate((EXTENSIONS, raw, b"")):
        sim.append(
            Event(
                f"m{number}",
                "S",
                generation_time=1000,
                seq_number=number,
                reception_time=1000,
                extensions=extensions,
            )
        )
    return raw


def sent(core: Feed, path: str, media: str) -> bytes:
    """The body of the answer in one encoding."""
    method, body = ("POST", b"{}") if path.startswith(STREAM) else ("GET", b"")
    answer = core(method, path, body, {"Accept": media, "Content-Type": JSON})
    assert answer.status == 200
    return answer.body


def check_events(events: Sequence[Any], odd: bytes) -> None:
    """Check that all events are there as they are, the second without its extensions."""
    assert [(event.source, event.seqNumber, event.message) for event in events] == [
        ("S", number, f"m{number}") for number in range(3)
    ]
    encoded = [event.SerializeToString() for event in events]
    assert EXTENSIONS in encoded[0]
    assert odd not in encoded[1]
    assert len(encoded[1]) == len(encoded[2])


@pytest.mark.parametrize(("form", "messages"), [("today", today), ("2016", v2016)])
def test_a_page_in_protobuf_is_without_them(core: Feed, odd: bytes, form: str, messages: Any) -> None:
    body = sent(core, f"{PAGE}&form={form}", PROTOBUF)
    check_events(messages.ListEventsResponse.FromString(body).event, odd)


def test_a_stream_in_protobuf_is_without_them(core: Feed, odd: bytes) -> None:
    pieces = delimited(iter([sent(core, STREAM, PROTOBUF)]))
    check_events([today.Event.FromString(piece) for piece in pieces], odd)


def test_other_encodings_have_the_bytes(core: Feed, odd: bytes) -> None:
    in_json = msgspec.json.decode(sent(core, PAGE, JSON))["events"][1]["extensions"]
    assert base64.b64decode(in_json) == odd
    streamed = list(msgpack.Unpacker(BytesIO(sent(core, STREAM, MSGPACK))))
    assert streamed[1]["extensions"] == odd
    changes = core("GET", "/api/archive/sim/events:changes", b"", {"Accept": MSGPACK})
    assert odd in changes.body


def test_a_request_with_them_is_refused(core: Feed, odd: bytes) -> None:
    body = {"message": "m", "extensions": base64.b64encode(odd).decode(), "generationTime": 1}
    answer = core("POST", "/api/archive/sim/events", msgspec.json.encode(body), {"Content-Type": JSON})
    assert answer.status == 400

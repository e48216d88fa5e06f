"""Unknown protobuf fields: a 400 with the number, at every depth, on every route."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from tests.http.feeds import Feed
from tests.http.test_api import error_of
from yamcs_archive import Instance
from yamcs_archive.wire.codec import PROTOBUF
from yamcs_archive.wire.live_frames import MalformedError, ProtobufFrames
from yamcs_archive.wire.pb import yamcs_archive_live_pb2 as live
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import check_known, varint

EVENTS = "/api/archive/sim/events"
SENT = {"Content-Type": PROTOBUF, "Accept": "application/json"}


def within(number: int, content: bytes) -> bytes:
    """Return a length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


UNKNOWN = {
    "varint": varint(111 << 3) + b"\x05",
    "text": within(111, b"text"),
    "64 bits": varint(111 << 3 | 1) + bytes(8),
    "32 bits": varint(111 << 3 | 5) + bytes(4),
    "group": varint(111 << 3 | 3) + b"\x08\x01" + varint(111 << 3 | 4),
}
unknown = pytest.mark.parametrize("field", UNKNOWN.values(), ids=UNKNOWN)

EVENT = today.CreateEventRequest(message="m", source="S", sequenceNumber=1)
EXTRA = within(1, b"k") + within(2, b"v")
TIME = b"\x08\x05\x10\x07"


def posted(route: str, body: bytes) -> tuple[str, bytes]:
    if route == "batch":  # the second of three: the others are common ones
        elements = (EVENT.SerializeToString(), body, EVENT.SerializeToString())
        return f"{EVENTS}:batch", b"".join(varint(len(one)) + one for one in elements)
    return EVENTS, body


@unknown
@pytest.mark.parametrize("route", ["one", "batch"])
@pytest.mark.parametrize(
    ("path", "number", "nested"),
    [("", None, b""), ("time.", 5, TIME), ("extra.", 8, EXTRA)],
    ids=["message", "time", "extra"],
)
def test_an_event_with_an_unknown_field_is_refused(
    core: Feed, sim: Instance, *, field: bytes, route: str, path: str, number: int | None, nested: bytes
) -> None:
    whole = EVENT.SerializeToString()
    for inner in (field + nested, nested + field):  # before and after those that are known
        body = whole + (inner if number is None else within(number, inner))
        text = error_of(core("POST", *posted(route, body), SENT), 400, "BadRequestException")
        assert f"{path}field 111 " in text
    known = whole + (b"" if number is None else within(number, nested))
    assert core("POST", *posted(route, known), SENT).status == 200


@pytest.mark.parametrize(
    ("number", "inner", "said"),
    [
        (5, b"\x0a\x01a", "time.seconds"),
        (8, b"\x08\x01", "extra.key"),
        (8, within(1, b"k") + b"\x10\x05", "extra.value"),
    ],
)
def test_a_nested_field_of_another_wire_type_is_refused(
    core: Feed, sim: Instance, number: int, inner: bytes, said: str
) -> None:
    """The parser takes it for an unknown one."""
    body = EVENT.SerializeToString() + within(number, inner)
    assert said in error_of(core("POST", EVENTS, body, SENT), 400, "BadRequestException")
    assert list(sim.events()) == []


ASKED: list[tuple[str, Message, int]] = [
    (f"{EVENTS}:list", today.ListEventsRequest(instance="sim", limit=5, source=["S", "T"]), 8),
    ("/api/stream-archive/sim:streamEvents", today.StreamEventsRequest(instance="sim", source=["S"]), 2),
    ("/api/archive/sim:streamEventIndex", today.StreamEventIndexRequest(instance="sim", mergeTime=5), 2),
]


@unknown
@pytest.mark.parametrize(("target", "message", "start"), ASKED, ids=lambda part: str(part)[:30])
def test_a_request_for_events_with_an_unknown_field_is_refused(
    core: Feed, sim: Instance, *, field: bytes, target: str, message: Any, start: int
) -> None:
    whole = message.SerializeToString()
    assert core("POST", target, whole + within(start, TIME), SENT).status == 200
    text = error_of(core("POST", target, whole + field, SENT), 400, "BadRequestException")
    assert "field 111 " in text
    assert type(message).__name__ in text
    nested = whole + within(start, TIME + field)
    text = error_of(core("POST", target, nested, SENT), 400, "BadRequestException")
    assert "start.field 111 " in text
    wrong = whole + varint(start << 3) + b"\x05"
    assert "start 'wire type 0'" in error_of(core("POST", target, wrong, SENT), 400, "BadRequestException")


@unknown
def test_a_frame_of_a_websocket_with_an_unknown_field_is_refused(field: bytes) -> None:
    options = live.SubscribeEventsRequest(instance="sim").SerializeToString()
    url = "type.googleapis.com/yamcs.protobuf.events.SubscribeEventsRequest"

    def frame(inner: bytes, packed: bytes = b"", outer: bytes = b"") -> bytes:
        wrapped = AnyMessage(type_url=url, value=inner).SerializeToString() + packed
        return live.ClientMessage(type="events", id=1).SerializeToString() + within(2, wrapped) + outer

    assert ProtobufFrames().read(frame(options)).options.instance == "sim"
    for path, bad in [
        ("field 111", frame(options, outer=field)),
        ("options.field 111", frame(options, packed=field)),
        ("options.field 111", frame(options + field)),
    ]:
        with pytest.raises(MalformedError, match=path):
            ProtobufFrames().read(bad)
    ending = AnyMessage(type_url="/yamcs.api.CancelOptions", value=b"\x08\x05" + field)
    with pytest.raises(MalformedError, match=r"options\.field 111"):
        ProtobufFrames().read(live.ClientMessage(type="cancel", options=ending).SerializeToString())


def test_the_known_fields_are_those_of_the_messages() -> None:
    for message in (
        today.CreateEventRequest(
            message="m",
            instance="i",
            type="t",
            severity="INFO",
            source="s",
            sequenceNumber=-1,
            extra={"": ""},
        ),
        today.ListEventsRequest(pos=-1, limit=2, order="asc", next="n", q="q", filter="f", source=["a", "b"]),
        live.ClientMessage(type="t", id=-1, call=2, maxDroppedWrites=3, lowPriority=True),
    ):
        check_known(message.SerializeToString(), message.DESCRIPTOR)

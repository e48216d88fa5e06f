"""Every event that an answer or an error shows can be sent back unchanged; the answer is never a 400."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgpack
import msgspec
import pytest
from msgspec.structs import replace

from tests.cases import EXTENSIONS
from tests.http.feeds import Answer, Feed
from tests.http.test_api import error_of
from tests.http.test_batch import NDJSON, counts
from tests.http.test_batch import PATH as BATCH
from tests.wire.test_batch import delimited
from yamcs_archive import Archive, Event, Instance, Severity
from yamcs_archive.errors import OutcomeUnknownError
from yamcs_archive.event import SEVERITIES
from yamcs_archive.storage import failpoints
from yamcs_archive.wire import protobuf
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.codec import JSON, PROTOBUF
from yamcs_archive.wire.framing import delimited as messages_of
from yamcs_archive.wire.pb import yamcs_archive_2016_pb2 as v2016
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

PATH_ONE = "/api/archive/sim/events"
MEDIA = (JSON, PROTOBUF)
MESSAGES: dict[Form, Any] = {Form.V2016: v2016, Form.TODAY: today}

STORED = Event(
    "there",
    source="S",
    type="T",
    generation_time=1_000,
    seq_number=1,
    reception_time=2_000_000,
    extensions=EXTENSIONS,
)


def request(form: Form, media: str, message: str) -> bytes:
    """A body with the key of :data:`STORED`."""
    if media == PROTOBUF and form is Form.V2016:
        return bytes(
            v2016.Event(
                source="S", generationTime=1, receptionTime=1, seqNumber=1, message=message
            ).SerializeToString()
        )
    if media == PROTOBUF:
        body = today.CreateEventRequest(source="S", sequenceNumber=1, message=message)
        body.time.FromMicroseconds(1_000)
        return bytes(body.SerializeToString())
    if form is Form.V2016:
        fields: dict[str, Any] = {"seqNumber": 1, "generationTime": 1}
    else:
        fields = {"sequenceNumber": 1, "time": "1970-01-01T00:00:00.001Z", "extra": {"k": "v"}}
    return msgspec.json.encode({"message": message, "source": "S", **fields})


def handed_out(answer: Answer, form: Form, media: str, name: str, *parts: str) -> Iterator[bytes]:
    """The events in the detail of an error, unchanged, as bodies."""
    if media == JSON:
        detail = answer.json()["detail"]
        yield from (msgspec.json.encode(detail[part]) for part in parts)
        return
    message = today.ExceptionMessage.FromString(answer.body)
    detail = getattr(MESSAGES[form], name).FromString(message.detail.value)
    yield from (getattr(detail, part).SerializeToString() for part in parts)


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("form", Form)
def test_both_events_of_a_conflict_can_be_sent(core: Feed, sim: Instance, form: Form, media: str) -> None:
    sim.append(STORED)
    headers = {"Content-Type": media}
    answer = core("POST", PATH_ONE, request(form, media, "other"), headers)
    error_of(answer, 409, "ConflictException")
    stored, offered = handed_out(answer, form, media, "Conflict", "stored", "offered")
    again = core("POST", PATH_ONE, stored, headers)
    assert again.status == 200, again.body
    assert list(sim.events()) == [STORED]
    assert core("POST", PATH_ONE, offered, headers).status == 409
    if media == JSON:
        assert counts(core("POST", BATCH, stored + b"\n" + stored, NDJSON)) == (0, 2, 0, 0)
    else:
        several = core("POST", BATCH, delimited([stored, stored]), headers | {"Accept": JSON})
        assert counts(several) == (0, 2, 0, 0)


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("stored", [False, True], ids=["lost", "stored"])
def test_the_event_of_an_unknown_outcome_can_be_sent(  # noqa: PLR0917  # fixtures, and each of three choices
    core: Feed, sim: Instance, monkeypatch: pytest.MonkeyPatch, form: Form, media: str, stored: bool
) -> None:
    """Its time has microseconds, from the archive's clock, even in the form that shows milliseconds."""
    would = replace(STORED, generation_time=1_234_567, reception_time=7_654_321, severity=Severity.ERROR)
    if stored:
        sim.append(would)
    headers = {"Content-Type": media}
    with monkeypatch.context() as patch:

        def submit(*_: Any, **__: Any) -> Any:
            raise OutcomeUnknownError((would,), "EIO")

        patch.setattr(type(sim), "submit", submit)
        answer = core("POST", PATH_ONE, request(form, media, "there"), headers)
    error_of(answer, 503, "OutcomeUnknownException")
    (event,) = handed_out(answer, form, media, "OutcomeUnknown", "event")
    again = core("POST", PATH_ONE, event, headers)
    assert again.status == 200, again.body
    assert [replace(one, severity=Severity.ERROR) for one in sim.events()] == [would]


def test_the_event_of_a_failed_commit_can_be_sent_to_complete_it(
    core: Feed, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(point: str) -> None:
        if point == "after-commit":
            raise OSError("gone")

    for headers in ({}, {"Content-Type": PROTOBUF}):
        binary = bool(headers)
        with monkeypatch.context() as patch:
            patch.setattr(failpoints, "on_point", fail)
            body = (
                today.CreateEventRequest(message="m").SerializeToString()
                if binary
                else b'{"message": "m", "seqNumber": 77}'
            )
            answer = core("POST", PATH_ONE, body, headers)
        error_of(answer, 503, "OutcomeUnknownException")
        form, media = (Form.TODAY, PROTOBUF) if binary else (Form.V2016, JSON)
        (event,) = handed_out(answer, form, media, "OutcomeUnknown", "event")
        before = sim.stats().events
        assert core("POST", PATH_ONE, event, headers).status == 200
        assert sim.stats().events == before


@pytest.mark.parametrize("form", Form)
def test_the_conflicts_of_a_batch_can_be_sent(core: Feed, sim: Instance, form: Form) -> None:
    sim.append(STORED)
    body = request(form, JSON, "other")
    [conflict] = core("POST", BATCH, body, NDJSON).json()["conflicts"]
    assert counts(core("POST", BATCH, msgspec.json.encode(conflict["stored"]), NDJSON)) == (0, 1, 0, 0)
    assert counts(core("POST", BATCH, msgspec.json.encode(conflict["offered"]), NDJSON))[3] == 1


# Answers

EVENTS = [
    replace(
        STORED,
        message=f"m{n}",
        generation_time=n * 1001,
        seq_number=n,
        severity=SEVERITIES[n % 7],
        created_by="ada" if n % 2 else None,
        extra={"k": str(n)} if n % 3 else {},
        extensions=EXTENSIONS if n % 5 else b"",
    )
    for n in range(20)
]


def shown_by(core: Feed) -> Iterator[list[Any]]:
    """The events of a history as JSON objects, from each route that shows events."""
    for path in (PATH_ONE + "?order=asc", PATH_ONE + "/?limit=1000", PATH_ONE + ":changes"):
        yield core("GET", path).json()["events"]
    yield core("POST", PATH_ONE + ":list", b"{}").json()["event"]
    text = core("POST", "/api/stream-archive/sim:streamEvents", b"").body
    found = msgspec.json.decode(b"[" + text.replace(b"}{", b"},{") + b"]")
    assert isinstance(found, list)
    yield found


def test_an_event_shown_by_any_route_is_a_duplicate_at_home_and_whole_elsewhere(
    archive: Archive, core: Feed, sim: Instance
) -> None:
    sim.append_many(EVENTS)
    elsewhere = archive.instance("elsewhere", create=True)
    for n, events in enumerate(shown_by(core)):
        assert len(events) == len(EVENTS)
        for event in events:
            assert core("POST", PATH_ONE, msgspec.json.encode(event)).status == 200
        body = b"\n".join(map(msgspec.json.encode, events))
        assert counts(core("POST", BATCH, body, NDJSON)) == (0, 20, 0, 0)
        packed = b"".join(map(msgpack.packb, events))
        assert counts(core("POST", BATCH, packed, {"Content-Type": "application/msgpack"})) == (0, 20, 0, 0)
        new = 0 if n else 20
        assert counts(core("POST", BATCH.replace("sim", "elsewhere"), body, NDJSON))[0] == new
    assert list(sim.events()) == EVENTS
    seen = [SEVERITIES[5] if event.severity is Severity.ERROR else event.severity for event in EVENTS]
    assert list(elsewhere.events()) == [
        replace(event, created_by=None, severity=severity)
        for event, severity in zip(EVENTS, seen, strict=True)
    ]


def test_a_stream_of_protobuf_is_a_batch(archive: Archive, core: Feed, sim: Instance) -> None:
    sim.append_many(EVENTS)
    stream = core("POST", "/api/stream-archive/sim:streamEvents", b"", {"Accept": PROTOBUF}).body
    headers = {"Content-Type": PROTOBUF, "Accept": JSON}
    assert counts(core("POST", BATCH, stream, headers)) == (0, 20, 0, 0)
    archive.instance("elsewhere", create=True)
    assert counts(core("POST", BATCH.replace("sim", "elsewhere"), stream, headers)) == (20, 0, 0, 0)
    page = today.ListEventsResponse.FromString(core("GET", PATH_ONE, b"", {"Accept": PROTOBUF}).body)
    for event in page.events:
        answer = core("POST", PATH_ONE, event.SerializeToString(), {"Content-Type": PROTOBUF})
        assert answer.status == 200, answer.body
    assert next(messages_of([stream])) == protobuf.encode_event(EVENTS[0], Form.TODAY)


def test_the_creator_of_an_event_is_not_read_from_a_body(send: Feed, sim: Instance) -> None:
    fields = {"message": "m", "generationTime": "1970-01-01T00:00:00Z", "createdBy": "root", "seqNumber": 1}
    one = send("POST", PATH_ONE, msgspec.json.encode(fields))
    assert one.status == 200
    assert "createdBy" not in one.json()
    several = [{**fields, "seqNumber": n} for n in range(2, 40)]
    assert counts(send("POST", BATCH, b"\n".join(map(msgspec.json.encode, several)), NDJSON))[0] == 38
    odd = msgspec.json.encode({**fields, "seqNumber": "40"})
    assert counts(send("POST", BATCH, odd, NDJSON))[0] == 1
    event = today.Event(source="User", seqNumber=41, message="m", createdBy="root")
    event.receptionTime.FromMicroseconds(5)
    assert send("POST", PATH_ONE, event.SerializeToString(), {"Content-Type": PROTOBUF}).status == 200
    assert [event.created_by for event in sim.events()] == [None] * 41


def test_an_answer_is_answered_in_its_own_form_and_a_page_is_none(core: Feed, sim: Instance) -> None:
    sim.append(STORED)
    shown = core("GET", PATH_ONE).json()
    answer = core("POST", PATH_ONE, msgspec.json.encode(shown["events"][0]))
    assert answer.json() == shown["events"][0]
    error_of(core("POST", PATH_ONE, msgspec.json.encode(shown)), 400, "BadRequestException")


def test_a_byte_order_mark_is_passed_over_in_bodies_of_json(core: Feed, sim: Instance) -> None:
    bom = b"\xef\xbb\xbf"
    assert core("POST", PATH_ONE, bom + b'{"message": "m"}').status == 200
    assert counts(core("POST", BATCH, bom + b'{"message": "m"}\n{"message": "m"}\n', NDJSON))[0] == 2


def test_timestamps_of_msgpack_are_times(core: Feed, sim: Instance) -> None:
    kind = {"Content-Type": "application/msgpack"}
    stamps = [msgpack.Timestamp(n, 1999) for n in range(-1, 99)]
    body = b"".join(msgpack.packb({"message": "m", "time": stamp}) for stamp in stamps)
    assert counts(core("POST", BATCH, body, kind))[0] == 100
    times = [event.generation_time or 0 for event in sim.events()]
    assert (times[0], {later - time for time, later in pairwise(times)}) == (-999_999, {1_000_000})
    bad = msgpack.packb({"message": "m"}) + b"\x82\xa7message\xa1m\xa4time\xc7\x05\xff" + bytes(5)
    answer = core("POST", BATCH, bad, kind)
    assert error_of(answer, 400, "BadRequestException").startswith("time ")
    assert (answer.json()["detail"]["position"], answer.json()["detail"]["stored"]) == (1, 1)

"""The seed document, line by line: every field, type and sentence, in JSON and in protobuf."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.cases import EXTENSIONS, EXTENSIONS_BASE64
from tests.http.feeds import Feed, core_feed
from yamcs_archive import Archive, Event, Instance, Severity
from yamcs_archive.wire.pb import yamcs_archive_2016_pb2 as v2016
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import scan

PATH = "/api/archive/sim/events/"
EXAMPLE = """{
  "source":"REST API",
  "type":"Test",
  "seqNumber":3,
  "message":"this is a test event",
  "generationTime":0,
  "receptionTime":0,
 "severity":"WARNING"
}"""
PROTOBUF = {"Content-Type": "application/protobuf"}
UTC_0 = "1970-01-01T00:00:00Z"


def whole(**changes: Any) -> v2016.Event:
    fields: dict[str, Any] = {
        "source": "S",
        "generationTime": 5,
        "receptionTime": 6,
        "seqNumber": 3,
        "message": "m",
    }
    return v2016.Event(**(fields | changes))


def answered(send: Feed, event: v2016.Event, extensions: bytes = b"") -> v2016.Event:
    answer = send("POST", PATH, event.SerializeToString() + extensions, PROTOBUF)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/protobuf"
    message = v2016.Event()
    message.ParseFromString(answer.body)
    return message


def history(send: Feed) -> v2016.Event:
    answer = send("GET", PATH + "?form=2016", headers={"Accept": "application/protobuf"})
    page = v2016.ListEventsResponse()
    page.ParseFromString(answer.body)
    [event] = page.event
    return event


@pytest.mark.parametrize("path", ["/api/archive/sim/events", "/api/archive/sim/events/"])
def test_the_example_is_answered_200_on_both_paths_and_read_back_in_either_form(
    send: Feed, path: str
) -> None:
    answer = send("POST", path, EXAMPLE)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    shown = {
        "source": "REST API",
        "generationTime": 0,
        "receptionTime": 0,
        "seqNumber": 3,
        "type": "Test",
        "message": "this is a test event",
        "severity": "WARNING",
        "generationTimeUTC": UTC_0,
        "receptionTimeUTC": UTC_0,
    }
    assert answer.json() == shown
    assert list(answer.json()) == list(shown)
    assert send("GET", path + "?form=2016").json() == {"event": [shown]}
    now = {**shown, "generationTime": UTC_0, "receptionTime": UTC_0}
    del now["generationTimeUTC"], now["receptionTimeUTC"]
    assert send("GET", path).json() == {"event": [now], "events": [now]}


@pytest.mark.parametrize("path", ["/api/archive/sim/events", "/api/archive/sim/events/"])
def test_the_message_of_the_document_is_accepted_in_protobuf(send: Feed, path: str) -> None:
    sent = whole(source="REST API", type="Test", message="this is a test event", severity=v2016.Event.WARNING)
    answer = send("POST", path, sent.SerializeToString(), PROTOBUF)
    assert answer.status == 200
    found = v2016.Event()
    found.ParseFromString(answer.body)
    assert found.IsInitialized()
    assert (found.source, found.type, found.message, found.seqNumber) == (
        "REST API",
        "Test",
        "this is a test event",
        3,
    )
    assert (found.generationTime, found.receptionTime, found.severity) == (5, 6, v2016.Event.WARNING)
    assert (found.generationTimeUTC, found.receptionTimeUTC) == (
        "1970-01-01T00:00:00.005Z",
        "1970-01-01T00:00:00.006Z",
    )
    assert history(send) == found
    page = today.ListEventsResponse()
    page.ParseFromString(send("GET", path, headers={"Accept": "application/protobuf"}).body)
    assert list(page.event) == list(page.events)
    assert page.event[0].generationTime.ToMicroseconds() == 5000
    assert page.event[0].severity == today.Event.WARNING


@pytest.mark.parametrize("number", [3, -7, 0, 2**31 - 1, -(2**31)])
def test_the_number_is_communicated_back_in_event_history(core: Feed, number: int) -> None:
    body = msgspec.json.encode({"message": "m", "source": "S", "seqNumber": number})
    assert core("POST", PATH, body).json()["seqNumber"] == number
    assert core("GET", PATH + "?form=2016").json()["event"][0]["seqNumber"] == number
    assert core("GET", PATH).json()["events"][0]["seqNumber"] == number


@pytest.mark.parametrize("number", [3, -7, -(2**31)])
def test_the_number_is_kept_in_protobuf(core: Feed, number: int) -> None:
    assert answered(core, whole(seqNumber=number)).seqNumber == number
    assert history(core).seqNumber == number


@pytest.mark.parametrize("field", ["generationTime", "receptionTime"])
@pytest.mark.parametrize("value", [1456757027786, "1456757027786", 0, "0", -1, "-1"])
def test_times_are_integers_or_numeric_text_and_0_and_negative_are_kept(
    core: Feed, field: str, value: Any
) -> None:
    body = {"message": "m", "generationTime": 5, "receptionTime": 6, field: value}
    answer = core("POST", PATH, msgspec.json.encode(body)).json()
    assert answer[field] == int(value)
    assert core("GET", PATH + "?form=2016").json()["event"] == [answer]


@pytest.mark.parametrize("field", ["generationTime", "receptionTime"])
@pytest.mark.parametrize("value", [0, -1, 1456757027786, -62135596800000, 253402300799999])
def test_times_are_kept_in_protobuf(core: Feed, field: str, value: int) -> None:
    assert getattr(answered(core, whole(**{field: value})), field) == value
    assert getattr(history(core), field) == value


@pytest.mark.parametrize("field", ["generationTime", "receptionTime"])
@pytest.mark.parametrize("value", [0.0, 1.5, "1.5", "1e3", 2**63, "9223372036854775808", True, ""])
def test_times_that_are_no_whole_milliseconds_are_a_400(
    core: Feed, sim: Instance, field: str, value: Any
) -> None:
    answer = core("POST", PATH, msgspec.json.encode({"message": "m", field: value}))
    assert answer.status == 400
    assert field in answer.json()["msg"]
    assert not list(sim.events())


@pytest.mark.parametrize(("field", "value"), [("generationTime", 2**62), ("receptionTime", -(2**62))])
def test_times_that_overflow_in_protobuf_are_a_400(core: Feed, sim: Instance, field: str, value: int) -> None:
    answer = core("POST", PATH, whole(**{field: value}).SerializeToString(), PROTOBUF)
    assert answer.status == 400
    assert field.encode() in answer.body
    assert not list(sim.events())


def test_the_type_is_kept_although_the_document_does_not_list_it(core: Feed) -> None:
    assert core("POST", PATH, '{"message":"m","seqNumber":1,"type":"Test"}').json()["type"] == "Test"
    assert core("POST", PATH, '{"message":"m","seqNumber":2,"type":""}').json()["type"] == ""
    assert "type" not in core("POST", PATH, '{"message":"m","seqNumber":3}').json()
    assert answered(core, whole(type="")).HasField("type")
    assert not answered(core, whole(seqNumber=4)).HasField("type")


@pytest.mark.parametrize("name", ["INFO", "WARNING", "ERROR"])
def test_the_severities_of_the_document_are_accepted(core: Feed, sim: Instance, name: str) -> None:
    answer = core("POST", PATH, msgspec.json.encode({"message": "m", "seqNumber": 1, "severity": name}))
    assert answer.json()["severity"] == name
    assert [event.severity.name for event in sim.events()] == [name]
    number = v2016.Event.EventSeverity.Value(name)
    assert answered(core, whole(severity=number)).severity == number


def test_severity_absent_stays_info(core: Feed) -> None:
    assert core("POST", PATH, '{"message":"m","seqNumber":1}').json()["severity"] == "INFO"
    assert answered(core, whole()).severity == v2016.Event.INFO


@pytest.mark.parametrize("number", [3, 7, 255])
def test_severity_numbers_beyond_2_are_a_400(core: Feed, sim: Instance, number: int) -> None:
    body = whole().SerializeToString() + b"\x38" + (bytes([number]) if number < 128 else b"\xff\x01")
    answer = core("POST", PATH, body, {**PROTOBUF, "Accept": "application/json"})
    assert (answer.status, str(number) in answer.json()["msg"]) == (400, True)
    answer = core("POST", PATH, msgspec.json.encode({"message": "m", "seqNumber": 1, "severity": number}))
    assert (answer.status, "severity" in answer.json()["msg"]) == (400, True)
    assert not list(sim.events())


def test_extensions_several_and_repeated_come_back_as_the_same_bytes_in_both_protobuf_forms(
    send: Feed,
) -> None:
    body = whole().SerializeToString() + EXTENSIONS

    def kept(raw: bytes) -> bytes:
        return b"".join(raw[field.start : field.stop] for field in scan(raw) if field.number >= 100)

    assert kept(send("POST", PATH, body, PROTOBUF).body) == EXTENSIONS
    accept = {"Accept": "application/protobuf"}
    for target in (PATH, PATH + "?form=2016"):
        page = send("GET", target, headers=accept).body
        for field in scan(page):
            content = page[field.start : field.stop]
            assert content.endswith(EXTENSIONS)
    for target in (PATH, PATH + "?form=2016"):
        assert send("GET", target).json()["event"][0]["extensions"] == EXTENSIONS_BASE64


def test_extensions_in_2016_json_are_base64(core: Feed, sim: Instance) -> None:
    body = msgspec.json.encode({"message": "m", "seqNumber": 1, "extensions": EXTENSIONS_BASE64})
    assert core("POST", PATH, body).json()["extensions"] == EXTENSIONS_BASE64
    assert [event.extensions for event in sim.events()] == [EXTENSIONS]


def test_utc_times_are_derived_in_every_2016_answer_and_checked_when_given(core: Feed, sim: Instance) -> None:
    body = {"message": "m", "generationTime": -1, "generationTimeUTC": "1969-12-31T23:59:59.999Z"}
    assert (
        core("POST", PATH, msgspec.json.encode(body)).json()["generationTimeUTC"]
        == "1969-12-31T23:59:59.999Z"
    )
    for field in ("generationTime", "receptionTime"):
        wrong = {"message": "m", field: 5, f"{field}UTC": UTC_0}
        answer = core("POST", PATH, msgspec.json.encode(wrong))
        assert (answer.status, f"{field}UTC" in answer.json()["msg"]) == (400, True)
        answer = core("POST", PATH, whole(**{f"{field}UTC": UTC_0}).SerializeToString(), PROTOBUF)
        assert (answer.status, f"{field}UTC".encode() in answer.body) == (400, True)
    assert answered(core, whole(generationTime=0, generationTimeUTC=UTC_0)).generationTimeUTC == UTC_0
    assert len(list(sim.events())) == 2


@pytest.mark.parametrize("name", ["source", "generationTime", "receptionTime", "seqNumber", "message"])
def test_protobuf_without_a_required_field_is_a_400_that_names_it(
    core: Feed, sim: Instance, name: str
) -> None:
    event = whole()
    event.ClearField(name)
    answer = core("POST", PATH, event.SerializePartialToString(), PROTOBUF)
    assert answer.status == 400
    message = today.ExceptionMessage()
    message.ParseFromString(answer.body)
    assert name in message.msg
    assert not list(sim.events())


def test_every_event_is_shown_in_the_2016_form_of_history(core: Feed, sim: Instance) -> None:
    for severity in Severity:
        sim.append(Event("m", severity=severity, generation_time=-1, reception_time=1999))
    found = core("GET", PATH + "?form=2016&order=asc").json()["event"]
    assert [event["severity"] for event in found] == ["INFO", "INFO", "WARNING", *["ERROR"] * 4]
    assert {(event["generationTime"], event["receptionTime"]) for event in found} == {(-1, 1)}


def test_a_body_of_neither_form_alone_is_answered_in_todays(core: Feed) -> None:
    answer = core("POST", PATH, '{"message": "m", "severity": "watch"}').json()
    assert (answer["severity"], answer["source"]) == ("WATCH", "User")
    assert answer["generationTime"] == answer["receptionTime"]


def test_history_survives_a_restart_in_every_field(archive: Archive, core: Feed) -> None:
    before = core("POST", PATH, EXAMPLE).json()
    archive.close()
    with Archive.open(archive.path) as again:
        assert core_feed(again)("GET", PATH + "?form=2016").json() == {"event": [before]}

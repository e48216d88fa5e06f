"""The API: routes, media types, retries, conflicts and pages; a bad request stores nothing."""

from __future__ import annotations

import socket
import threading
from typing import Any

import msgspec
import pytest

from tests.http.feeds import Answer, Feed, core_feed, socket_feed, waitress_server, wsgi_feed, wsgiref_server
from tests.wire.test_wire import BAD_JSON, BAD_PROTOBUF
from yamcs_archive import Archive, Event, Instance, Severity
from yamcs_archive.errors import OutcomeUnknownError, OutOfSpaceError
from yamcs_archive.limits import BODY_BYTES_MAX, MESSAGE_BYTES_MAX
from yamcs_archive.storage import failpoints
from yamcs_archive.wire.codec import PROTOBUF
from yamcs_archive.wire.pb import yamcs_archive_2016_pb2 as v2016
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

PATH = "/api/archive/sim/events"
TODAY_BODY = {
    "type": "LOW_BATTERY",
    "message": "Battery voltage low: 23.1 V",
    "severity": "warning",
    "time": "2026-01-01T00:00:01.234Z",
    "source": "EPS",
    "sequenceNumber": 7,
    "extra": {"unit": "A", "subsystem": "power"},
}


def error_of(answer: Answer, status: int, kind: str) -> str:
    """Check the flat form of an error and return its text."""
    assert answer.status == status, answer.body
    if answer.headers["content-type"] == PROTOBUF:
        message = today.ExceptionMessage()
        message.ParseFromString(answer.body)
        assert (message.code, message.type) == (status, kind)
        return message.msg
    found = answer.json()
    assert list(found)[:3] == ["code", "type", "msg"]
    assert (found["code"], found["type"]) == (status, kind)
    assert answer.headers["content-length"] == str(len(answer.body))
    return str(found["msg"])


def test_todays_body_is_answered_in_todays_form(send: Feed) -> None:
    found = send("POST", PATH, msgspec.json.encode(TODAY_BODY)).json()
    assert list(found) == [
        *("source", "generationTime", "receptionTime", "seqNumber", "type", "message", "severity", "extra")
    ]
    assert found == {
        "source": "EPS",
        "generationTime": "2026-01-01T00:00:01.234Z",
        "receptionTime": found["receptionTime"],
        "seqNumber": 7,
        "type": "LOW_BATTERY",
        "message": "Battery voltage low: 23.1 V",
        "severity": "WARNING",
        "extra": {"unit": "A", "subsystem": "power"},
    }


@pytest.mark.parametrize(
    ("content_type", "accept", "expected"),
    [
        (None, None, "application/json"),
        ("application/x-www-form-urlencoded", "*/*", "application/json"),
        ("text/plain", "text/html", "application/json"),
        ("application/json; charset=utf-8", None, "application/json"),
        ("application/json", "application/protobuf", "application/protobuf"),
        ("application/json", "application/json, text/plain, */*", "application/json"),
    ],
)
def test_a_body_of_any_other_type_is_read_as_json_and_accept_decides_the_reply(
    send: Feed, content_type: str | None, accept: str | None, expected: str
) -> None:
    headers = {"Content-Type": content_type or "", "Accept": accept or ""}
    answer = send(
        "POST", PATH, '{"message": "ct"}', {name: value for name, value in headers.items() if value}
    )
    assert answer.status == 200
    assert answer.headers["content-type"] == expected
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize(
    ("accept", "expected"), [(None, PROTOBUF), ("*/*", "application/json"), (PROTOBUF, PROTOBUF)]
)
def test_protobuf_bodies_and_the_reply_as_accepted(send: Feed, accept: str | None, expected: str) -> None:
    body = bytes.fromhex(
        "1201541a0270622208637269746963616c2a0b0880f2d6ca0610959aef3a32025042380542060a016b120176"
    )
    answer = send("POST", PATH, body, {"Content-Type": PROTOBUF, **({"Accept": accept} if accept else {})})
    assert (answer.status, answer.headers["content-type"]) == (200, expected)
    if expected == PROTOBUF:
        event = today.Event()
        event.ParseFromString(answer.body)
        assert (event.source, event.seqNumber, event.type, event.message) == ("PB", 5, "T", "pb")
        assert (event.severity, dict(event.extra)) == (today.Event.CRITICAL, {"k": "v"})
        assert event.generationTime.ToMicroseconds() == 1767225600123456
    else:
        assert answer.json()["generationTime"] == "2026-01-01T00:00:00.123456Z"


@pytest.mark.parametrize("form", ["2016", "today"])
@pytest.mark.parametrize("media", ["application/json", PROTOBUF])
def test_a_retry_answers_200_and_adds_nothing_and_a_conflict_answers_409_with_both(
    send: Feed, sim: Instance, form: str, media: str
) -> None:
    def body(message: str) -> dict[str, Any]:
        if form == "2016":
            return {
                "message": message,
                "source": "S",
                "seqNumber": 1,
                "generationTime": 5,
                "receptionTime": 9,
            }
        return {"message": message, "source": "S", "sequenceNumber": 1, "time": "1970-01-01T00:00:00.005Z"}

    headers = {"Accept": media}
    first = send("POST", PATH, msgspec.json.encode(body("one")), headers)
    again = send("POST", PATH, msgspec.json.encode(body("one")), headers)
    assert (first.status, again.status, first.body) == (200, 200, again.body)
    other = send("POST", PATH, msgspec.json.encode(body("two")), headers)
    assert "one" in error_of(other, 409, "ConflictException")
    package = v2016 if form == "2016" else today
    if media == PROTOBUF:
        message, detail = today.ExceptionMessage(), package.Conflict()
        message.ParseFromString(other.body)
        assert message.detail.type_url == f"/{package.DESCRIPTOR.package}.Conflict"
        detail.ParseFromString(message.detail.value)
        assert (detail.stored.message, detail.offered.message) == ("one", "two")
        assert detail.stored.seqNumber == 1
    else:
        found = other.json()["detail"]
        assert found["@type"] == f"/{package.DESCRIPTOR.package}.Conflict"
        assert (found["stored"]["message"], found["offered"]["message"]) == ("one", "two")
        assert ("generationTimeUTC" in found["stored"]) == (form == "2016")
    assert [event.message for event in sim.events()] == ["one"]


def test_bad_bodies_are_a_400_and_store_nothing(core: Feed, sim: Instance) -> None:
    """Which field and rule each error names is held by test_wire."""
    for media, bodies in (("application/json", BAD_JSON), (PROTOBUF, BAD_PROTOBUF)):
        for body, field, said in bodies:
            for accept in ("application/json", PROTOBUF):
                answer = core("POST", PATH, body, {"Content-Type": media, "Accept": accept})
                text = error_of(answer, 400, "BadRequestException")
                assert field in text, body
                assert said in text, body
    assert not list(sim.events())
    assert core("POST", PATH, '{"message": "next"}').status == 200


TOO_LONG: list[tuple[dict[str, Any], str]] = [
    ({"message": "x" * (MESSAGE_BYTES_MAX + 1)}, "message"),
    ({"message": "é" * (MESSAGE_BYTES_MAX // 2 + 1)}, "message"),
    ({"message": "m", "source": "x" * 256}, "source"),
    ({"message": "m", "source": "é" * 128}, "source"),
    ({"message": "m", "source": "A\0B"}, "source"),
    ({"message": "m", "type": "A\0B"}, "type"),
    ({"message": "m", "extra": {"a": "x" * (256 << 10)}}, "extra"),
]


def test_a_body_that_breaks_a_rule_of_the_model_is_a_400_that_names_the_field(
    send: Feed, sim: Instance
) -> None:
    for fields, field in TOO_LONG:  # by one server: starting it takes longer than asking it all of this
        answer = send("POST", PATH, msgspec.json.encode(fields))
        assert field in error_of(answer, 400, "BadRequestException")
    assert not list(sim.events())
    assert send("POST", PATH, '{"message": "next"}').status == 200


def test_the_largest_message_is_stored_even_with_every_byte_escaped(core: Feed, sim: Instance) -> None:
    body = '{"message": "' + "\\u0000" * MESSAGE_BYTES_MAX + '"}'
    assert core("POST", PATH, body).status == 200
    assert next(sim.events()).message == "\0" * MESSAGE_BYTES_MAX


def test_an_unknown_instance_is_a_404_that_names_it(send: Feed) -> None:
    for method, target in (
        ("POST", "/api/archive/nosuch/events"),
        ("GET", "/api/instances/nosuch"),
        ("POST", "/api/archive/..%2Fsim/events"),
        ("POST", "/api/archive/SIM/events"),
        ("POST", "/api/archive/%FF/events"),
    ):
        answer = send(method, target, b'{"message": "m"}' if method == "POST" else b"")
        if answer.json()["msg"].startswith("no such path"):
            assert "%2F" in target  # a slash in a name makes another path
        else:
            assert "No instance named" in error_of(answer, 404, "NotFoundException")


def test_an_unknown_path_is_a_404(send: Feed) -> None:
    for target in (
        *("/", "/nosuch", "/api/nosuch", "/api/archive", "/api/archive/sim"),
        *("/api/archive/sim/events//", "/API"),
    ):
        error_of(send("GET", target), 404, "NotFoundException")
        error_of(send("GET", target, headers={"Accept": PROTOBUF}), 404, "NotFoundException")


def test_another_method_is_a_405_with_allow(send: Feed) -> None:
    for method, target, allow in (
        ("PUT", PATH, "GET, HEAD, POST"),
        ("DELETE", PATH + "/", "GET, HEAD, POST"),
        ("OPTIONS", PATH, "GET, HEAD, POST"),
        ("POST", "/api", "GET, HEAD"),
        ("POST", "/api/instances", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("PATCH", "/api/instances/sim", "DELETE, GET, HEAD, PUT"),
        ("GET", f"{PATH}:list", "POST"),
    ):
        answer = send(method, target)
        assert method in error_of(answer, 405, "MethodNotAllowedException")
        assert answer.headers["allow"] == allow, (method, target)


def test_a_body_over_the_limit_is_refused_before_it_is_read(core: Feed, archive: Archive) -> None:
    answer = core("POST", PATH, b"", {"Content-Length": str(BODY_BYTES_MAX + 1)})
    assert str(BODY_BYTES_MAX) in error_of(answer, 413, "PayloadTooLargeException")
    with wsgiref_server(archive) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {1 << 40}\r\n\r\n".encode())
        assert raw.recv(100).split()[1] == b"413"  # before one byte of the body is sent


def test_a_chunked_body_over_the_limit_is_refused_when_it_passes_it(archive: Archive, sim: Instance) -> None:
    send = wsgi_feed(archive)
    endless = b" " * (BODY_BYTES_MAX + 1)
    answer = send("POST", PATH, endless, {"Content-Length": "", "Transfer-Encoding": "chunked"})
    error_of(answer, 413, "PayloadTooLargeException")
    answer = send("POST", PATH, b'{"message": "m"}', {"Content-Length": "", "Transfer-Encoding": "chunked"})
    assert answer.status == 200
    assert len(list(sim.events())) == 1


@pytest.mark.parametrize("length", ["abc", "-5", "1.5", "0x10", "1e3", "+5", "٣"])
def test_a_content_length_that_is_no_number_is_a_400(archive: Archive, sim: Instance, length: str) -> None:

    answer = core_feed(archive)("POST", PATH, b'{"message": "m"}', {"Content-Length": length})
    assert "content-length" in error_of(answer, 400, "BadRequestException")
    assert not list(sim.events())


def test_a_content_length_that_lies_is_a_400_when_too_long_and_cuts_when_too_short(
    archive: Archive, sim: Instance
) -> None:
    send, body = wsgi_feed(archive), b'{"message": "m"}'
    answer = send("POST", PATH, body, {"Content-Length": str(len(body) + 5)})
    assert "ends after 16 bytes" in error_of(answer, 400, "BadRequestException")
    answer = send("POST", PATH, body, {"Content-Length": "5"})
    assert "not JSON" in error_of(answer, 400, "BadRequestException")
    assert not list(sim.events())


def test_no_body_at_all_is_a_400(send: Feed, sim: Instance) -> None:
    assert "body" in error_of(send("POST", PATH), 400, "BadRequestException")
    assert not list(sim.events())


def test_a_compressed_body_is_a_415_that_says_so(send: Feed, sim: Instance) -> None:
    answer = send("POST", PATH, b"\x1f\x8b", {"Content-Encoding": "gzip"})
    assert "gzip" in error_of(answer, 415, "UnsupportedMediaTypeException")
    assert not list(sim.events())


def test_requests_that_clients_send_before_those_for_events_are_answered(send: Feed) -> None:
    info = send("GET", "/api/").json()
    assert info["yamcsVersion"] == "5.12.8"
    assert info["defaultYamcsInstance"] == "sim"
    assert info["plugins"][0]["name"] == "yamcs_archive"
    [instance] = send("GET", "/api/instances").json()["instances"]
    assert (instance["name"], instance["state"]) == ("sim", "RUNNING")
    assert send("GET", "/api/instances/sim").json()["name"] == "sim"
    server, instances = today.GetServerInfoResponse(), today.ListInstancesResponse()
    server.ParseFromString(send("GET", "/api", headers={"Accept": PROTOBUF}).body)
    instances.ParseFromString(send("GET", "/api/instances/", headers={"Accept": PROTOBUF}).body)
    assert server.defaultYamcsInstance == instances.instances[0].name == "sim"
    assert send("GET", "/healthz").json() == {"status": "ok"}
    ready = {"status": "ready", "instances": ["sim"], "storing": ["sim"], "reasons": []}
    assert send("GET", "/readyz").json() == ready


def test_a_closed_archive_is_not_ready_but_healthy(archive: Archive, sim: Instance, core: Feed) -> None:
    archive.close()
    assert "closed" in error_of(core("GET", "/readyz"), 503, "ServiceUnavailableException")
    assert core("GET", "/healthz").status == 200
    answer = core("POST", PATH, '{"message": "m"}')
    error_of(answer, 503, "ServiceUnavailableException")
    assert answer.headers["retry-after"]


def test_the_answer_leaves_only_after_the_fsync(archive: Archive, sim: Instance) -> None:
    held, committed = threading.Event(), threading.Event()

    def wait(point: str) -> None:
        if point == "before-commit":
            assert held.wait(10)
        if point == "after-commit":
            committed.set()

    answers: list[Answer] = []
    send = wsgi_feed(archive)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failpoints, "on_point", wait)
        thread = threading.Thread(target=lambda: answers.append(send("POST", PATH, '{"message": "m"}')))
        thread.start()
        thread.join(0.2)
        assert not answers
        assert thread.is_alive()
        held.set()
        thread.join(10)
        assert committed.is_set()
    assert answers[0].status == 200


@pytest.mark.parametrize("media", ["application/json", PROTOBUF])
def test_an_unknown_outcome_is_a_503_with_the_event_as_it_would_be_stored(
    core: Feed, sim: Instance, media: str
) -> None:
    would = Event("m", source="S", generation_time=5, seq_number=0, reception_time=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            type(sim), "submit", lambda *_, **__: (_ for _ in ()).throw(OutcomeUnknownError((would,), "EIO"))
        )
        answer = core("POST", PATH, '{"message": "m"}', {"Accept": media})
        error_of(answer, 503, "OutcomeUnknownException")
        if media == PROTOBUF:
            message, detail = today.ExceptionMessage(), today.OutcomeUnknown()
            message.ParseFromString(answer.body)
            detail.ParseFromString(message.detail.value)
            assert (detail.event.source, detail.event.seqNumber) == ("S", 0)
        else:
            assert answer.json()["detail"]["event"]["seqNumber"] == 0
        patch.setattr(
            type(sim), "submit", lambda *_, **__: (_ for _ in ()).throw(OutOfSpaceError("/data", "full"))
        )
        assert "make room" in error_of(core("POST", PATH, '{"message": "m"}'), 507, "OutOfSpaceException")


def test_a_fault_of_ours_is_a_500_that_gives_nothing_away_and_the_next_request_works(
    core: Feed, sim: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(sim), "submit", lambda *_, **__: 1 / 0)
        text = error_of(core("POST", PATH, '{"message": "m"}'), 500, "InternalServerErrorException")
    assert text == "internal error: ZeroDivisionError"
    assert "division by zero" in caplog.text
    assert core("POST", PATH, '{"message": "m"}').status == 200


def test_many_connections_at_once_are_all_answered_and_stored(archive: Archive, sim: Instance) -> None:
    with waitress_server(archive) as port:
        send, statuses = socket_feed(port), []

        def work(worker: int) -> None:
            for n in range(10):
                body = msgspec.json.encode({"message": f"{worker}/{n}", "source": f"S{worker}"})
                statuses.append(send("POST", PATH, body).status)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 80
    assert len({event.message for event in sim.events()}) == 80


def test_severity_of_today_and_its_order_survive(core: Feed, sim: Instance) -> None:
    for severity in Severity:
        answer = core("POST", PATH, msgspec.json.encode({"message": "m", "severity": severity.name}))
        assert answer.json()["severity"] == ("SEVERE" if severity is Severity.ERROR else severity.name)
    assert sorted(event.severity for event in sim.events()) == list(Severity)


@pytest.mark.parametrize("key", ["k-1", '"k-1"', " k-1 "])
def test_an_idempotency_key_makes_a_retry_safe(send: Feed, sim: Instance, key: str) -> None:
    first = send("POST", PATH, '{"message": "Boot"}', {"Idempotency-Key": key})
    again = send("POST", PATH, '{"message": "Boot"}', {"Idempotency-Key": "k-1"})
    assert (first.status, again.status) == (200, 200)
    assert again.json() == first.json()
    assert sim.stats().events == 1
    other = send("POST", PATH, '{"message": "Shutdown"}', {"Idempotency-Key": "k-1"})
    assert "k-1" in error_of(other, 409, "RequestIdException")
    assert sim.stats().events == 1


@pytest.mark.parametrize("key", ["", '""', "k" * 201, "a\tb"])
def test_a_bad_idempotency_key_is_a_400(core: Feed, sim: Instance, key: str) -> None:
    for path in (PATH, f"{PATH}:batch"):
        answer = core("POST", path, '{"message": "m"}', {"Idempotency-Key": key})
        assert "Idempotency-Key" in error_of(answer, 400, "BadRequestException")
    assert sim.stats().events == 0


def test_a_batch_with_an_idempotency_key_is_stored_once(send: Feed, sim: Instance) -> None:
    lines = "".join(f'{{"message": "{n}"}}\n' for n in range(5))
    sent = {"Idempotency-Key": "b", "Content-Type": "application/x-ndjson"}
    assert send("POST", f"{PATH}:batch", lines, sent).json()["stored"] == 5
    again = send("POST", f"{PATH}:batch", lines + '{"message": "5"}\n', sent).json()
    assert (again["stored"], again["duplicates"]) == (1, 5)
    single = send("POST", PATH, '{"message": "3"}', {"Idempotency-Key": "b/3"})  # element n has KEY/n
    assert single.status == 200
    changed = send("POST", f"{PATH}:batch", lines.replace('"2"', '"two"'), sent)
    error_of(changed, 409, "RequestIdException")
    assert changed.json()["detail"]["position"] == 2
    assert changed.json()["detail"]["duplicates"] == 2
    assert sim.stats().events == 6

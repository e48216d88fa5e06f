"""POST events:batch: every encoding, the counts, broken streams and retries that complete them."""

from __future__ import annotations

import gzip
import socket
import time
from typing import Any

import msgpack
import msgspec

from tests.http.feeds import Answer, Feed, wsgi_feed, wsgiref_server
from tests.http.test_api import error_of
from tests.wire.test_batch import delimited
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.wire.codec import PROTOBUF
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

PATH = "/api/archive/sim/events:batch"
NDJSON = {"Content-Type": "application/x-ndjson"}


def fields(count: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "message": f"m{n}",
            "source": "S",
            "sequenceNumber": n,
            "time": f"1970-01-01T00:00:00.{n:06}Z",
            **more,
        }
        for n in range(count)
    ]


def lines(elements: list[dict[str, Any]]) -> bytes:
    return b"\n".join(map(msgspec.json.encode, elements)) + b"\n"


def counts(answer: Answer) -> tuple[int, int, int, int]:
    assert answer.status == 200, answer.body
    found = answer.json()
    assert list(found) == ["stored", "duplicates", "expired", "conflictCount", "conflicts"]
    return found["stored"], found["duplicates"], found["expired"], found["conflictCount"]


def test_lines_of_json_are_stored_and_a_retry_adds_the_missing_events(send: Feed, sim: Instance) -> None:
    elements = fields(300)
    assert counts(send("POST", PATH, lines(elements[:120]), NDJSON)) == (120, 0, 0, 0)
    assert counts(send("POST", PATH + "/", lines(elements), NDJSON)) == (180, 120, 0, 0)
    assert [event.message for event in sim.events()] == [f"m{n}" for n in range(300)]


def test_protobuf_and_msgpack_and_gzip_store_the_same(send: Feed, sim: Instance) -> None:
    elements = fields(50)
    bodies = []
    for n, element in enumerate(elements):
        request = today.CreateEventRequest(message=element["message"], source="S", sequenceNumber=n)
        request.time.FromMicroseconds(n)
        bodies.append(request.SerializeToString())
    for body, headers in (
        (delimited(bodies), {"Content-Type": PROTOBUF, "Accept": "application/json"}),
        (b"".join(map(msgpack.packb, elements)), {"Content-Type": "application/msgpack"}),
        (gzip.compress(lines(elements)), {**NDJSON, "Content-Encoding": "gzip"}),
        (lines(elements), {}),
    ):
        stored, duplicates, _, conflicts = counts(send("POST", PATH, body, headers))
        assert (stored + duplicates, conflicts) == (50, 0)
    assert sim.stats().events == 50


def test_conflicts_are_shown_with_position_and_both_events(core: Feed, sim: Instance) -> None:
    sim.append(Event("there", source="S", generation_time=1, seq_number=1))
    found = core("POST", PATH, lines(fields(3)), NDJSON).json()
    assert (found["stored"], found["conflictCount"]) == (2, 1)
    [conflict] = found["conflicts"]
    assert (conflict["position"], conflict["stored"]["message"], conflict["offered"]["message"]) == (
        1,
        "there",
        "m1",
    )
    answer = core("POST", PATH, lines(fields(3)), {**NDJSON, "Accept": PROTOBUF})
    message = today.BatchResponse.FromString(answer.body)
    assert (message.stored, message.duplicates, message.conflictCount) == (0, 2, 1)
    assert (message.conflicts[0].position, message.conflicts[0].stored.message) == (1, "there")


def test_only_the_first_thousand_conflicts_are_shown(core: Feed, sim: Instance) -> None:
    core("POST", PATH, lines(fields(1200)), NDJSON)
    found = core("POST", PATH, lines(fields(1200, type="other")), NDJSON).json()
    assert (found["conflictCount"], len(found["conflicts"])) == (1200, 1000)


def test_a_batch_in_the_2016_form_is_answered_in_it(core: Feed, sim: Instance) -> None:
    sim.append(Event("there", source="S", generation_time=5000, seq_number=1))
    body = lines([{"message": "m", "source": "S", "seqNumber": 1, "generationTime": 5}])
    [conflict] = core("POST", PATH, body, NDJSON).json()["conflicts"]
    assert conflict["stored"]["generationTimeUTC"] == "1970-01-01T00:00:00.005Z"


def test_a_malformed_element_is_a_400_with_its_position_and_the_counts_so_far(
    send: Feed, sim: Instance
) -> None:
    body = lines(fields(10)) + b'{"message": "bad", "severity": "FOO"}\n' + lines(fields(20))
    answer = send("POST", PATH, body, NDJSON)
    assert "FOO" in error_of(answer, 400, "BadRequestException")
    detail = answer.json()["detail"]
    assert (detail["position"], detail["stored"], detail["duplicates"]) == (10, 10, 0)
    assert sim.stats().events == 10
    answer = send("POST", PATH, body, {**NDJSON, "Accept": PROTOBUF})
    error_of(answer, 400, "BadRequestException")
    message = today.ExceptionMessage.FromString(answer.body)
    counted = today.BatchResponse.FromString(message.detail.value)
    assert (counted.position, counted.stored, counted.duplicates) == (10, 0, 10)


def test_an_element_that_breaks_a_rule_of_the_model_is_named_with_its_position(
    core: Feed, sim: Instance
) -> None:
    body = lines([*fields(5), {"message": "m", "source": "x" * 256}])
    answer = core("POST", PATH, body, NDJSON)
    assert "source" in error_of(answer, 400, "BadRequestException")
    assert (answer.json()["detail"]["position"], answer.json()["detail"]["stored"]) == (5, 5)
    assert sim.stats().events == 5


def test_an_empty_batch_stores_nothing_and_is_no_error(send: Feed) -> None:
    assert counts(send("POST", PATH, b"", NDJSON)) == (0, 0, 0, 0)


def test_another_encoding_is_a_415_and_another_method_a_405(core: Feed) -> None:
    error_of(core("POST", PATH, b"x", {"Content-Encoding": "br"}), 415, "UnsupportedMediaTypeException")
    assert core("GET", PATH).headers["allow"] == "POST"
    error_of(core("POST", "/api/archive/nosuch/events:batch", b""), 404, "NotFoundException")


def test_a_batch_larger_than_any_single_body_is_taken(core: Feed, sim: Instance) -> None:
    body = lines(fields(30, type="t" * 1000)) + b"\n" * (9 << 20)
    assert counts(core("POST", PATH, body, NDJSON)) == (30, 0, 0, 0)


def test_a_connection_that_breaks_leaves_a_prefix_and_a_retry_completes_it(
    archive: Archive, sim: Instance
) -> None:
    elements = fields(500)
    body = lines(elements)
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
    with wsgiref_server(archive) as port:  # the server passes the body on as it arrives
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2])
        give_up = time.monotonic() + 30
        while not sim.stats().events and time.monotonic() < give_up:
            time.sleep(0.01)
    prefix = [event.message for event in sim.events()]
    assert prefix == [f"m{n}" for n in range(len(prefix))]
    assert 200 < len(prefix) < 300

    stored, duplicates, _, conflicts = counts(wsgi_feed(archive)("POST", PATH, body, NDJSON))
    assert (stored + duplicates, conflicts) == (500, 0)
    assert [event.message for event in sim.events()] == [f"m{n}" for n in range(500)]


def test_a_body_shorter_than_it_says_stores_its_whole_elements_and_counts_them(
    archive: Archive, sim: Instance
) -> None:

    body = lines(fields(20))
    answer = wsgi_feed(archive)("POST", PATH, body[:-30], {**NDJSON, "Content-Length": str(len(body))})
    assert "ends after" in error_of(answer, 400, "BadRequestException")
    assert answer.json()["detail"]["stored"] == 19

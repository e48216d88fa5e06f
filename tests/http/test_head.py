"""HEAD on every path with GET: the same headers, no body, no wait; and it does not count as a stream."""

from __future__ import annotations

import http.client
import time
from typing import Any

import pytest

from tests.http.conforms import DOCUMENT
from tests.http.feeds import Feed, uvicorn_server
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.http.application import Application
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.limits import STREAMS_MAX
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.storage.read import query as query_module

GETS = [path.replace("{instance}", "sim") for path, methods in DOCUMENT["paths"].items() if "get" in methods]
POSTS = [
    path.replace("{instance}", "sim") for path, methods in DOCUMENT["paths"].items() if "get" not in methods
]
EVENTS, EXPORT = "/api/archive/sim/events", "/api/archive/sim:exportEvents"
UNMADE = (EXPORT, "/api/archive/sim:report")
"""What is not made for a HEAD, so that its length is not known."""
VARYING = ("date", "content-disposition")
"""Headers whose values contain the time."""


@pytest.fixture
def filled(sim: Instance) -> Instance:
    sim.append_many(Event("m" * 30, source="S", generation_time=n, seq_number=n) for n in range(300))
    return sim


def told(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in VARYING}


@pytest.mark.parametrize(
    "headers", [{}, {"Accept": "application/protobuf", "Accept-Encoding": "gzip"}], ids=str
)
def test_a_head_is_that_of_the_get_without_a_body(
    send: Feed, filled: Instance, headers: dict[str, str]
) -> None:
    for target in (*GETS, f"{EVENTS}?limit=0", f"{EXPORT}?filter=%28", "/api/instances/nosuch", "/nosuch"):
        got, head = send("GET", target, headers=headers), send("HEAD", target, headers=headers)
        assert (head.status, head.body) == (got.status, b""), target
        wanted = told(got.headers)
        if target in UNMADE and got.status == 200:  # its length is not known yet
            assert "content-length" not in head.headers
            wanted.pop("content-length", None)
        # They have the time, whose length varies, or numbers of the process.
        if target in ("/api/instances", "/api/instances/sim", "/metrics", "/api/archive/sim:stats"):
            wanted.pop("content-length")
            head.headers.pop("content-length")
        missing = wanted.items() - told(head.headers).items()
        assert {name for name, _ in missing} <= {"transfer-encoding", "connection"}, target


def test_a_head_of_a_path_without_get_is_a_405(core: Feed) -> None:
    for target in POSTS:
        answer = core("HEAD", target)
        assert (answer.status, answer.body) == (405, b"")
        assert set(answer.headers["allow"].split(", ")) <= {"POST", "DELETE"}


def test_a_head_waits_for_nothing(send: Feed, sim: Instance) -> None:
    begun = time.monotonic()
    answer = send("HEAD", f"{EVENTS}:changes?wait=300")
    assert (answer.status, answer.body) == (200, b"")
    assert time.monotonic() - begun < 200  # not the 300 seconds


@pytest.mark.parametrize(
    ("query", "length"), [("", True), ("?source=S", True), ("?filter=b", False), ("?q=a%25b", False)]
)
def test_a_head_of_a_count_reads_no_history(
    archive: Archive, filled: Instance, monkeypatch: pytest.MonkeyPatch, query: str, length: bool
) -> None:
    read: list[Any] = []
    real = query_module.matching_indexes

    def watched(*given: Any) -> Any:
        read.append(given)
        return real(*given)

    monkeypatch.setattr(query_module, "matching_indexes", watched)

    def asked(method: str, query: str) -> Response:
        call = Application(archive).begin(Head(method, f"{EVENTS}:count", query))
        assert isinstance(call, Exchange)
        answer = call.run(b"")
        assert isinstance(answer, Response)
        return answer

    answer = asked("HEAD", query[1:])
    assert (answer.status, answer.body, answer.length_known) == (200, b"", length)
    assert read == []
    assert asked("HEAD", "filter=%28").status == 400
    assert asked("GET", query[1:]).status == 200
    assert bool(read) == (not length)


def test_a_head_of_an_export_reads_nothing_and_takes_no_place_of_a_stream(
    archive: Archive, filled: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = Application(archive)

    def begun(method: str) -> Response:
        call = core.begin(Head(method, EXPORT))
        assert isinstance(call, Exchange)
        answer = call.run(b"")
        assert isinstance(answer, Response)
        return answer

    streams: list[Any] = [begun("GET").body for _ in range(STREAMS_MAX)]
    assert begun("GET").status == 503
    real, read = Instance.event_vectors, []

    def watched(self: Instance, **asked: Any) -> Any:
        for found in real(self, **asked):
            read.append(found)
            yield found

    monkeypatch.setattr(Instance, "event_vectors", watched)
    for _ in range(2 * STREAMS_MAX):
        assert begun("HEAD").status == 200
    assert read == []
    for stream in streams:
        stream.close()
    assert begun("GET").status == 200


def test_a_head_of_the_websocket_asks_for_the_upgrade(archive: Archive, sim: Instance) -> None:
    with uvicorn_server(archive) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for method in ("HEAD", "HEAD", "GET"):  # on one connection: nothing of a body is left on it
            connection.request(method, "/api/websocket")
            answer = connection.getresponse()
            assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
            assert bool(answer.read()) == (method == "GET")
            connection.request(method, EXPORT)
            answer = connection.getresponse()
            assert answer.status == 200
            assert bool(answer.read()) == (method == "GET")
        connection.close()

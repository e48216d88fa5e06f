"""Streams and exports: their exact bytes, clients that disconnect, errors midway, gzip, bounds."""

from __future__ import annotations

import gzip
import http.client
import re
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from tests.http.feeds import Feed, bridge_server, core_feed, uvicorn_server, waitress_server, wsgi_feed
from tests.http.history import EXPORT, HISTORY, LIST, STREAM, delimited, json_objects
from tests.http.test_api import error_of
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.http.application import Application
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.limits import GZIP_BYTES_MIN, STREAMS_MAX
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.http.wsgi import create_app
from yamcs_archive.limits import BATCH_EVENTS_MAX, MESSAGE_BYTES_MAX, READ_BYTES_MAX
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.read import range_reader
from yamcs_archive.wire import json
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.codec import PROTOBUF
from yamcs_archive.wire.columns.byte_columns import vectors_of

EXPORTED = (
    ("T", 'with "quotes"'),
    ("T,1", "with, comma; semicolon"),
    ("T", "with\ttab"),
    ("T", "with\nnewline\r\ncrlf"),
    ("T", " leading space "),
    ("T", "#hash"),
    ("T", "back\\slash"),
    ("T", "café"),
    (None, ""),
)
"""The events that a Yamcs server exported, at 2026-04-01T00:00:0n.500Z."""
HEADINGS = ("Source", "Generation Time", "Reception Time", "Event Type", "Event Text")
AS_THERE = {
    "TAB": ("\t", ['T\t"with ""quotes"""', "T,1\twith, comma; semicolon", 'T\t"with\ttab"']),
    "COMMA": (",", ['T,"with ""quotes"""', '"T,1","with, comma; semicolon"', "T,with\ttab"]),
    "SEMICOLON": (";", ['T;"with ""quotes"""', 'T,1;"with, comma; semicolon"', "T;with\ttab"]),
}
"""The server's lines for the first three events; its lines for the others are the same with any delimiter."""
_REST = ('T|"with\nnewline\r\ncrlf"', "T|leading space", "T|#hash", "T|back\\slash", "T|café", "|")


@pytest.fixture
def exported(sim: Instance) -> Instance:
    for n, (kind, message) in enumerate(EXPORTED):
        time = 1_775_001_600_500_000 + n * 1_000_000
        sim.append(
            Event(message, source="CSV", type=kind, generation_time=time, reception_time=time, seq_number=n)
        )
    return sim


@pytest.mark.parametrize("name", [None, *AS_THERE])
def test_csv_equals_the_export_of_a_yamcs_server_byte_for_byte(
    send: Feed, exported: Instance, name: str
) -> None:
    delimiter, first = AS_THERE[name or "TAB"]
    lines = [delimiter.join(HEADINGS)]
    for n, end in enumerate([*first, *(text.replace("|", delimiter) for text in _REST)]):
        time = f"2026-04-01T00:00:0{n}.500Z"
        lines.append(delimiter.join(("CSV", time, time, end)))
    answer = send("GET", EXPORT + (f"?delimiter={name}" if name else ""), headers={"Accept": PROTOBUF})
    assert answer.body.decode() == "\n".join(lines) + "\n"
    assert answer.headers["content-type"] == "text/csv"
    pattern = r'attachment; filename="event_export_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.csv"'
    assert re.fullmatch(pattern, answer.headers["content-disposition"])


def test_csv_of_nothing_is_its_headings(send: Feed, exported: Instance) -> None:
    assert send("GET", f"{EXPORT}?source=NOSUCH").body.decode() == "\t".join(HEADINGS) + "\n"


def test_csv_may_have_all_columns(send: Feed, sim: Instance) -> None:
    sim.append_many(HISTORY[3:5])
    assert send("GET", f"{EXPORT}?columns=all&delimiter=COMMA").body.decode().splitlines() == [
        ",".join((*HEADINGS, "Severity", "Sequence Number", "Created By", "Extra")),
        'LA,1970-01-01T00:00:03Z,1970-01-01T00:00:03.500Z,TY,ALPHA lost,DISTRESS,3,,"{""n"":""3""}"',
        '"a,b",1970-01-01T00:00:04Z,1970-01-01T00:00:04.500Z,Z,"comma ""quoted""",CRITICAL,4,operator,',
    ]


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("delimiter=PIPE", "delimiter", "PIPE"),
        ("delimiter=tab", "delimiter", "tab"),
        ("columns=some", "columns", "some"),
    ],
)
def test_a_bad_delimiter_or_column_is_a_400(
    send: Feed, sim: Instance, query: str, field: str, value: str
) -> None:
    text = error_of(send("GET", f"{EXPORT}?{query}"), 400, "BadRequestException")
    assert field in text
    assert value in text


def many(count: int, message: str = "m") -> Iterator[Event]:
    return (
        Event(message, source="S", generation_time=n, seq_number=n, reception_time=n) for n in range(count)
    )


def test_a_long_stream_is_whole_over_every_server(send: Feed, sim: Instance) -> None:
    sim.append_many(many(5_000))
    expected = b"".join(json.encode(json.shown(event, Form.TODAY)) for event in many(5_000))
    assert send("POST", STREAM).body == expected
    answer = send("POST", STREAM, headers={"Accept": PROTOBUF})
    assert [event.seqNumber for event in delimited(answer.body)] == list(range(5_000))
    assert send("GET", EXPORT).body.count(b"\n") == 5_001
    assert send("GET", f"{EXPORT}?columns=all").body.count(b"\n") == 5_001


def opened(core: Application, method: str = "POST", target: str = STREAM, **headers: str) -> Response:
    """The answer of the core, with its body not yet read."""
    path, _, query = target.partition("?")
    call = core.begin(Head(method, path, query, headers))
    assert isinstance(call, Exchange)
    response = call.run(b"")
    assert isinstance(response, Response)
    return response


def test_chunks_are_bounded_however_many_events_and_however_large(archive: Archive, sim: Instance) -> None:
    sim.append_many(many(3 * BATCH_EVENTS_MAX))
    chunks: Any = opened(Application(archive)).body
    counts = [len(json_objects(chunk)) for chunk in chunks]
    assert max(counts) == BATCH_EVENTS_MAX
    assert sum(counts) == 3 * BATCH_EVENTS_MAX
    large = archive.instance("large", create=True)
    large.append_many(many(20, "x" * MESSAGE_BYTES_MAX))
    large.settle()
    large.append_many(Event("x" * MESSAGE_BYTES_MAX, source="S", generation_time=n) for n in range(20, 40))
    chunks = opened(Application(archive), target=STREAM.replace("sim", "large")).body
    sizes = [len(chunk) for chunk in chunks]
    assert sum(sizes) > 40 * MESSAGE_BYTES_MAX
    assert max(sizes) < READ_BYTES_MAX + 2 * MESSAGE_BYTES_MAX


def test_the_hits_of_a_block_are_sent_before_the_next_block_is_read(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.append_many(Event("rare" if n % 5000 == 0 else "m", generation_time=n) for n in range(20_000))
    sim.settle()
    looked_at: list[bytes] = []

    class Noted(Block):
        def __init__(self, key: bytes, value: bytes) -> None:
            looked_at.append(key)
            super().__init__(key, value)

    monkeypatch.setattr(range_reader, "Block", Noted)
    call = Application(archive).begin(Head("POST", STREAM))
    assert isinstance(call, Exchange)
    chunks: Any = call.run(b'{"q": "rare"}').body  # type: ignore[union-attr]  # a response
    for chunk in chunks:
        assert len(json_objects(chunk)) == 1
        if len(looked_at) == 1:
            break
    else:
        pytest.fail("the first one was held back")


@pytest.fixture
def watched(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that gets a note when a scan of events ends, and how it ended."""
    notes: list[str] = []

    def batches(self: Instance, **asked: Any) -> Iterator[StoredVectors]:
        try:
            for _ in range(10_000):
                yield vectors_of(list(many(100, "x" * 1000)))
            notes.append("read to its end")
        finally:
            notes.append("ended")

    monkeypatch.setattr(Instance, "event_vectors", batches)
    return notes


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("chunks_read", [0, 1, 3])
def test_a_stream_that_is_closed_ends_its_scan(
    archive: Archive, watched: list[str], chunks_read: int, encoding: str
) -> None:
    headers = {"accept-encoding": encoding}
    chunks: Any = opened(Application(archive), **headers).body
    for _ in range(chunks_read):
        assert next(chunks)
    assert watched == []
    chunks.close()
    assert watched == ["ended"]
    assert list(chunks) == []
    chunks.close()


def test_a_client_of_a_server_that_goes_away_ends_the_scan(archive: Archive, watched: list[str]) -> None:
    servers: tuple[Callable[[Archive], AbstractContextManager[int]], ...] = (
        waitress_server,
        uvicorn_server,
        bridge_server,
    )
    for ended, server in enumerate(servers, 1):
        with server(archive) as port:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
                raw.sendall(
                    f"POST {STREAM} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()
                )
                assert raw.recv(100)
            wait_until(lambda wanted=["ended"] * ended: watched == wanted)


def wait_until(holds: Any) -> None:
    """Wait until other threads have made a condition true."""
    for _ in range(1000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within 10 s")


def failing(after: int) -> Iterator[StoredVectors]:
    for _ in range(after):
        yield vectors_of(list(many(100, "x" * 1000)))
    raise DamagedError("blocks 00", "checksum")


def test_an_error_before_the_first_chunk_is_an_answer(send: Feed, sim: Instance, monkeypatch: Any) -> None:
    for name in ("events", "event_vectors"):
        monkeypatch.setattr(Instance, name, lambda self, **asked: failing(0))
    for answer in (send("POST", STREAM), send("GET", EXPORT), send("GET", LIST)):
        assert "blocks 00" in error_of(answer, 500, "DamagedBlockException")


@pytest.mark.parametrize("request_", [("POST", STREAM), ("GET", EXPORT)], ids=["stream", "export"])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.usefixtures("sim")
def test_an_error_after_the_first_chunk_cuts_the_connection(
    archive: Archive, monkeypatch: Any, caplog: Any, request_: tuple[str, str], encoding: str
) -> None:
    method, target = request_
    monkeypatch.setattr(Instance, "event_vectors", lambda self, **asked: failing(2))
    core = Application(archive)
    chunks: Any = opened(core, method, target).body
    assert next(chunks)
    with pytest.raises(DamagedError):
        list(chunks)
    with pytest.raises(DamagedError):
        wsgi_feed(archive)(method, target)
    for server in (waitress_server, uvicorn_server, bridge_server):
        with server(archive) as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request(method, target, headers={"Accept-Encoding": encoding})
            response = connection.getresponse()
            assert response.status == 200
            with pytest.raises(http.client.IncompleteRead):
                response.read()
            connection.close()
    assert "an answer ends within its body" in caplog.text


def test_streams_have_a_limit_and_other_requests_do_not_wait_for_them(
    archive: Archive, sim: Instance
) -> None:
    sim.append_many(many(10))
    core, send = Application(archive), core_feed(archive)
    with ExitStack() as stack:
        bodies: list[Any] = []
        for n in range(STREAMS_MAX):
            method, target = (("POST", STREAM), ("GET", EXPORT))[n % 2]
            bodies.append(opened(core, method, target).body)
            stack.callback(bodies[-1].close)
        for headers in ({"accept": "application/json"}, {"accept": PROTOBUF}):
            refused = opened(core, **headers)
            assert refused.status == 503
            assert dict(refused.headers)["retry-after"] == "1"
        assert opened(core, "GET", LIST).status == 200
        posted = core.begin(Head("POST", LIST))
        assert isinstance(posted, Exchange)
        assert posted.run(b'{"message": "m"}').wait().status == 200  # type: ignore[union-attr]
        assert list(bodies[0])  # one that was read to its end makes room for another
        assert opened(core).status == 200  # so does one that is discarded
        bodies[1].close()
        assert opened(core).status == 200
    for _ in range(2 * STREAMS_MAX):
        assert opened(core, target=STREAM.replace("sim", "nosuch")).status == 404
        assert opened(core).status == 200
    assert send("POST", STREAM).status == 200


def test_a_stream_that_fails_makes_room_for_another(
    archive: Archive, sim: Instance, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Instance, "event_vectors", lambda self, **asked: failing(1))
    core = Application(archive)
    for _ in range(2 * STREAMS_MAX):
        chunks: Any = opened(core).body
        with pytest.raises(DamagedError):
            list(chunks)


@pytest.mark.parametrize("accepted", ["gzip", "gzip, deflate", "br;q=1.0, GZIP;q=0.5", "deflate,x-gzip"])
def test_answers_are_compressed_for_clients_that_ask(send: Feed, sim: Instance, accepted: str) -> None:
    sim.append_many(many(2_000))
    headers = {"Accept-Encoding": accepted, "Accept": PROTOBUF}
    plain = {"Accept": PROTOBUF}
    for method, target in (("GET", LIST), ("POST", f"{LIST}:list"), ("POST", STREAM), ("GET", EXPORT)):
        answer = send(method, target, headers=headers)
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["vary"] == "Accept, Accept-Encoding"
        as_it_is = send(method, target, headers=plain)
        assert gzip.decompress(answer.body) == as_it_is.body
        assert "content-encoding" not in as_it_is.headers
        if "content-length" in answer.headers:
            assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize("accepted", ["", "identity", "gzip;q=0", "gzip; q=0.0", "br", "gzipped"])
def test_answers_are_not_compressed_for_clients_that_do_not_ask(
    send: Feed, sim: Instance, accepted: str
) -> None:
    sim.append_many(many(200))
    for method, target in (("GET", LIST), ("POST", STREAM), ("GET", EXPORT)):
        answer = send(method, target, headers={"Accept-Encoding": accepted})
        assert "content-encoding" not in answer.headers
        assert answer.body.startswith((b"{\n", b"Source"))


def test_small_answers_are_not_compressed(send: Feed, sim: Instance) -> None:
    small = send("POST", LIST, '{"message": "m"}', {"Accept-Encoding": "gzip"})
    assert len(small.body) < GZIP_BYTES_MIN
    assert small.json()["message"] == "m"


def test_a_compressed_stream_can_be_read_as_it_comes(archive: Archive, sim: Instance) -> None:
    sim.append_many(many(2 * BATCH_EVENTS_MAX))  # of one block
    headers = {"accept-encoding": "gzip"}
    chunks: Any = opened(Application(archive), **headers).body
    reader = zlib.decompressobj(wbits=31)
    assert len(json_objects(reader.decompress(next(chunks)))) == BATCH_EVENTS_MAX
    assert len(json_objects(reader.decompress(next(chunks)))) == BATCH_EVENTS_MAX
    reader.decompress(b"".join(chunks))
    assert reader.eof


def test_the_wsgi_application_closes_an_answer_that_its_server_closes(
    archive: Archive, watched: list[str]
) -> None:
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": STREAM, "QUERY_STRING": ""}
    body: Any = create_app(archive)(environ, lambda *_: None)  # type: ignore[arg-type]  # no write()
    assert next(iter(body))
    body.close()
    assert watched == ["ended"]

"""Requests that two parsers could read in two ways: each ends its connection, so nothing follows it.

A proxy in front may take a part of the body for the next request, or the other way round. What is stored here
must be what every reader of RFC 9112 takes for the request.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import pytest

from tests.http.feeds import uvicorn_server
from yamcs_archive import Archive, Instance

HOST = b"Host: localhost\r\n"
POST = b"POST /api/archive/sim/events HTTP/1.1\r\n" + HOST
EVENT = b'{"message":"m"}'
LENGTH = b"Content-Length: %d\r\n" % len(EVENT)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(EVENT), EVENT)
NEXT = b"GET /nosuch HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.fixture
def port(archive: Archive, sim: Instance) -> Iterator[int]:
    with uvicorn_server(archive) as port:
        yield port


def answers(port: int, sent: bytes) -> list[int]:
    """Send what there is and a request after it; return the statuses until the connection ends or rests."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
        raw.sendall(sent + NEXT)
        try:
            while part := raw.recv(65536):
                received += part
                if b" 404 " in received:  # that of the request after it
                    break
        except ConnectionResetError:
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", received)]


TAKEN = {
    "a length": POST + LENGTH + b"\r\n" + EVENT,
    "chunks": POST + CHUNKED + b"\r\n" + CHUNKS,
    "a tab before the value": POST + CHUNKED.replace(b" ", b"\t") + b"\r\n" + CHUNKS,
    "letters of the other case": POST + CHUNKED.swapcase() + b"\r\n" + CHUNKS,
    "an extension of a chunk": POST + CHUNKED + b"\r\n" + CHUNKS.replace(b"\r\n", b";a=b\r\n", 1),
    "a trailer": POST + CHUNKED + b"\r\n" + CHUNKS[:-2] + b"X-Checksum: 1\r\n\r\n",
    "an absolute URL": POST.replace(b" /", b" http://localhost/", 1) + LENGTH + b"\r\n" + EVENT,
}
REFUSED = {
    "a length and chunks": POST + LENGTH + CHUNKED + b"\r\n" + b"0\r\n\r\n",
    "chunks and a length": POST + CHUNKED + LENGTH + b"\r\n" + b"0\r\n\r\n",
    "two lengths": POST + LENGTH + b"Content-Length: 0\r\n\r\n" + EVENT,
    "a length twice": POST + LENGTH * 2 + b"\r\n" + EVENT,
    "a list of lengths": POST + b"Content-Length: 15, 15\r\n\r\n" + EVENT,
    "a length with a sign": POST + b"Content-Length: +15\r\n\r\n" + EVENT,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + EVENT,
    "a hexadecimal length": POST + b"Content-Length: 0xf\r\n\r\n" + EVENT,
    "a length with a space in it": POST + b"Content-Length: 1 5\r\n\r\n" + EVENT,
    "an empty length": POST + b"Content-Length: \r\n\r\n" + EVENT,
    "a length of 23 digits": POST + b"Content-Length: 99999999999999999999999\r\n\r\n" + EVENT,
    "chunked twice": POST + CHUNKED * 2 + b"\r\n" + CHUNKS,
    "another coding before": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
    "another coding after": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKS,
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
    "no coding": POST + b"Transfer-Encoding: identity\r\n\r\n" + EVENT,
    "a control character before the coding": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n" + CHUNKS,
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS,
    "a space before the colon of a length": POST + b"Content-Length : 15\r\n\r\n" + EVENT,
    "chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + CHUNKS,
    "a folded header": POST + b"X: a\r\n b\r\n" + LENGTH + b"\r\n" + EVENT,
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKS,
    "a folded first header": POST.replace(HOST, b" X: a\r\n" + HOST) + LENGTH + b"\r\n" + EVENT,
    "line feeds alone": (POST + LENGTH + b"\r\n").replace(b"\r\n", b"\n") + EVENT,
    "one line feed alone": POST + b"X: y\n" + LENGTH + b"\r\n" + EVENT,
    "a carriage return alone": POST + b"X: y\r" + LENGTH + b"\r\n" + EVENT,
    "a NUL": POST + b"X: y\0\r\n" + LENGTH + b"\r\n" + EVENT,
    "a header without a colon": POST + b"abc\r\n" + LENGTH + b"\r\n" + EVENT,
    "a header without a name": POST + b": x\r\n" + LENGTH + b"\r\n" + EVENT,
    "a line feed in an extension": POST + CHUNKED + b"\r\n" + CHUNKS.replace(b"f\r\n", b"f;a\nb\r\n", 1),
    "chunks with line feeds": POST + CHUNKED + b"\r\n" + CHUNKS.replace(b"\r\n", b"\n"),
    "a negative chunk": POST + CHUNKED + b"\r\n-" + CHUNKS,
    "a chunk with 0x": POST + CHUNKED + b"\r\n0x" + CHUNKS,
    "a chunk of 2^72": POST + CHUNKED + b"\r\n" + CHUNKS.replace(b"f\r\n", b"f" * 18 + b"\r\n", 1),
    "a chunk that goes on": POST + CHUNKED + b"\r\n" + CHUNKS.replace(b"}\r\n", b"}xx"),
    "a space after the size of a chunk": POST + CHUNKED + b"\r\n" + CHUNKS.replace(b"f\r\n", b"f \r\n", 1),
    "a length in a trailer": POST + CHUNKED + b"\r\n" + CHUNKS[:-2] + b"Content-Length: 5\r\n\r\n",
    "HTTP/2.0": POST.replace(b"1.1", b"2.0") + LENGTH + b"\r\n" + EVENT,
    "HTTP/1.2": POST.replace(b"1.1", b"1.2") + LENGTH + b"\r\n" + EVENT,
    "HTTP/0.9": b"GET /healthz\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "CONNECT": b"CONNECT localhost:1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "an upgrade by POST": POST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + LENGTH + b"\r\n" + EVENT,
    "an upgrade with a body": b"GET /api/websocket HTTP/1.1\r\n"
    + HOST
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    + b"Content-Length: %d\r\n\r\n" % len(NEXT),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_all_read_alike_is_taken_and_the_next_request_too(port: int, sim: Instance, name: str) -> None:
    assert answers(port, TAKEN[name]) == [200, 404]
    assert [event.message for event in sim.events()] == ["m"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_ends_its_connection(port: int, sim: Instance, name: str) -> None:
    assert answers(port, REFUSED[name]) == [400]
    assert list(sim.events()) == []


def test_a_trailer_is_no_header_of_the_request(port: int) -> None:
    trailer = b"Host: evil.example\r\nOrigin: http://evil.example\r\nContent-Type: text/csv\r\n\r\n"
    assert answers(port, POST + CHUNKED + b"\r\n" + CHUNKS[:-2] + trailer) == [200, 404]


def test_the_host_of_an_absolute_url_counts(port: int, sim: Instance) -> None:
    sent = POST.replace(b" /", b" http://evil.example/", 1) + LENGTH + b"\r\n" + EVENT
    assert answers(port, sent)[0] == 403
    assert list(sim.events()) == []


def test_a_malformed_request_after_another_gets_no_answer_of_its_own(port: int) -> None:
    """An answer that comes first would be taken for that of the request before."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
        raw.sendall(POST + LENGTH + b"\r\n" + EVENT + b"GET / HTTP/1.1\r\nno colon\r\n\r\n")
        received = b""
        while part := raw.recv(65536):
            received += part
    assert b" 400 " not in received


def test_an_upgrade_that_is_not_spoken_is_ignored_and_the_connection_ends(port: int) -> None:
    asked = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    assert answers(port, asked + b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n") == [200]


@pytest.mark.parametrize(
    "header", [b"X-Long: " + b"x" * 9000, b"Sec-WebSocket-Extensions: ;;;", b"Sec-WebSocket-Key: 1"]
)
def test_a_handshake_that_cannot_be_read_ends_its_connection(port: int, header: bytes) -> None:
    asked = b"GET /api/websocket HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    assert answers(port, asked + b"Sec-WebSocket-Version: 13\r\n" + header + b"\r\n\r\n")[0] >= 400

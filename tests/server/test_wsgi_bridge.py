"""``serve --wsgi``: what a WSGI application is given, and what becomes of its answers."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from typing import Any
from wsgiref.validate import validator

import pytest

from tests.http.feeds import uvicorn_at
from yamcs_archive import Archive
from yamcs_archive.errors import ArchiveError
from yamcs_archive.http.limits import QUICK_BODY_BYTES_MAX
from yamcs_archive.http.wsgi import create_app

Environ = dict[str, Any]
Connect = Callable[[Any], http.client.HTTPConnection]


@pytest.fixture
def connect(archive: Archive) -> Iterator[Connect]:
    """Serve a WSGI application and return a connection to it."""
    with ExitStack() as held:

        def connect(app: Any) -> http.client.HTTPConnection:
            port = held.enter_context(uvicorn_at(archive, 0, app))
            return held.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)))

        yield connect


def plain(start_response: Any, *chunks: bytes, status: str = "200 OK") -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain")])
    return list(chunks)


@pytest.mark.parametrize("size", [0, 1, QUICK_BODY_BYTES_MAX, QUICK_BODY_BYTES_MAX + 1, 3 << 20])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_arrives_whole(connect: Connect, size: int, is_chunked: bool) -> None:
    body = bytes(range(251)) * (size // 251 + 1)
    parts = [body[:size][first : first + 70_000] for first in range(0, size, 70_000)]
    seen: list[bytes] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        seen.append(environ["wsgi.input"].read())
        return plain(start_response, b"read")

    connection = connect(app)
    if is_chunked:
        connection.request(
            "POST", "/", iter(parts), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
    else:
        connection.request("POST", "/", body[:size])
    assert connection.getresponse().read() == b"read"
    assert seen == [body[:size]]


def test_an_application_is_given_what_pep_3333_says(connect: Connect) -> None:
    seen: list[Environ] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        seen.append(environ)
        return plain(start_response, b"a", b"b")

    connection = connect(app)
    headers = {"Content-Type": "text/plain", "X-Two": "1", "Evil_Name": "2"}
    connection.request("PUT", "/a%20b%FF/%E2%82%AC?q=%20", b"body", headers)
    assert connection.getresponse().read() == b"ab"
    (environ,) = seen
    assert environ["REQUEST_METHOD"] == "PUT"
    assert environ["PATH_INFO"].encode("latin-1") == b"/a b\xff/\xe2\x82\xac"
    assert (environ["SCRIPT_NAME"], environ["QUERY_STRING"]) == ("", "q=%20")
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/plain", "4")
    assert environ["HTTP_X_TWO"] == "1"
    assert "HTTP_EVIL_NAME" not in environ
    assert environ["REMOTE_ADDR"] == "127.0.0.1"


def test_the_validator_of_the_standard_library_finds_no_fault(connect: Connect) -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            assert environ["wsgi.input"].read(4) == b"line"
            assert environ["wsgi.input"].readline() == b"\n"
            assert list(environ["wsgi.input"]) == [b"next\n", b"last"]
        return plain(start_response, b"all")

    connection = connect(validator(app))
    for body in (b"line\nnext\nlast", b""):
        connection.request("POST" if body else "GET", "/", body or None)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"all")


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_breaks_off_is_no_whole_one(connect: Connect, is_chunked: bool) -> None:
    seen: list[Any] = []
    ended = threading.Event()

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        try:
            seen.append(environ["wsgi.input"].read())
        except ArchiveError as error:
            seen.append(error)
        ended.set()
        return plain(start_response)

    connection = connect(app)
    size = b"Transfer-Encoding: chunked\r\n\r\n5\r\n" if is_chunked else b"Content-Length: 100000\r\n\r\n"
    with socket.create_connection((connection.host, connection.port)) as raw:
        raw.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + size + b"12345\r\n")
    assert ended.wait(30)
    assert "the body ends after" in str(seen[0])


def test_slow_senders_and_slow_readers_hold_no_thread(connect: Connect) -> None:
    large = b"x" * (1 << 20)

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/stream":
            return plain(start_response, environ["wsgi.input"].read())
        start_response("200 OK", [])
        return (large for _ in range(100))

    connection = connect(app)  # of 8 threads
    with ExitStack() as held:
        for _ in range(20):
            for head in (
                b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
                b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
            ):
                raw = held.enter_context(socket.create_connection((connection.host, connection.port)))
                raw.sendall(head)
        for _ in range(3):
            connection.request("POST", "/", b"quick")
            assert connection.getresponse().read() == b"quick"


def test_a_stream_is_closed_when_its_client_goes_away(connect: Connect) -> None:
    closed = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.set()

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return endless()

    connection = connect(app)
    with socket.create_connection((connection.host, connection.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert raw.recv(100)
    assert closed.wait(30)


def test_an_application_that_raises_is_a_500_and_the_next_request_is_served(connect: Connect) -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/bad":
            raise ValueError("bad")
        return plain(start_response, b"good")

    connection = connect(app)
    for path, status in (("/bad", 500), ("/", 200)):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == status
        answer.read()
        connection.close()


def test_a_second_header_of_a_name_is_added_to_the_first(archive: Archive, connect: Connect) -> None:
    connection = connect(create_app(archive))
    with socket.create_connection((connection.host, connection.port)) as raw:
        raw.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
            b"Accept: text/csv\r\nAccept: application/json\r\n\r\n"
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")

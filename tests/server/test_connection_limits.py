"""What one connection may take: the size and the time of a head, and the time without a request."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
import websocket

from tests.http.feeds import uvicorn_server
from yamcs_archive import Archive, Instance
from yamcs_archive.http import limits
from yamcs_archive.http.asgi import create_asgi_app
from yamcs_archive.http.limits import HEAD_BYTES_MAX, HEAD_LINES_MAX, WEBSOCKET_MESSAGE_BYTES_MAX
from yamcs_archive.server import connection_limits
from yamcs_archive.server.listening_socket import bind, listen
from yamcs_archive.server.uvicorn_server import HttpServer

LINE = b"GET /healthz HTTP/1.1\r\n"
HOST = b"Host: localhost\r\n"
END = b"\r\n"


@pytest.fixture
def port(archive: Archive) -> Iterator[int]:
    with uvicorn_server(archive) as port:
        yield port


@pytest.fixture
def raw(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        yield connection


def status_of(raw: socket.socket) -> int:
    """Return the status of the next answer, 0 if the connection ends without one."""
    received = raw.recv(65536)
    return int(received.split()[1]) if received else 0


def is_at_end(raw: socket.socket) -> bool:
    """Wait for the end of the connection."""
    try:
        while raw.recv(65536):
            pass
    except ConnectionResetError:  # it had sent more than was read
        pass
    return True


def headers(number: int) -> bytes:
    return HOST + b"".join(b"x-%d: y\r\n" % line for line in range(number - 1))


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize(
    ("number", "status"),
    [(HEAD_LINES_MAX - 1, 200), (HEAD_LINES_MAX, 200), (HEAD_LINES_MAX + 1, 431), (20_000, 431)],
)
def test_a_head_has_so_many_headers(raw: socket.socket, number: int, status: int, parts: int) -> None:
    head = LINE + headers(number) + END
    size = -(-len(head) // parts)
    for first in range(0, len(head), size):
        try:
            raw.sendall(head[first : first + size])
        except OSError:  # it is refused before it ends
            break
        time.sleep(0.05)
    assert status_of(raw) == status
    if status == 431:
        assert is_at_end(raw)


def filled(size: int) -> bytes:
    """Return all of a head of so many bytes but for its end: most is in one header."""
    head = LINE + HOST + b"x-long: "
    return head + b"y" * (size - len(head))


@pytest.mark.parametrize(("size", "status"), [(HEAD_BYTES_MAX, 200), (HEAD_BYTES_MAX + 1, 431)])
def test_a_head_has_so_many_bytes(raw: socket.socket, size: int, status: int) -> None:
    raw.sendall(filled(size))
    if status == 200:
        raw.sendall(END + END)
    assert status_of(raw) == status
    assert status == 200 or is_at_end(raw)


@pytest.mark.parametrize("start", [b"GET /", LINE + b"x-"], ids=["URL", "header"])
def test_a_head_without_end_is_refused_and_the_next_connection_is_served(
    port: int, raw: socket.socket, start: bytes
) -> None:
    raw.sendall(start)
    sent = 0
    while sent < 16 * HEAD_BYTES_MAX:
        try:
            sent += raw.send(b"y" * 65536)
        except OSError:
            break
    assert sent < 16 * HEAD_BYTES_MAX
    with socket.create_connection(("127.0.0.1", port), timeout=30) as other:
        other.sendall(LINE + HOST + END)
        assert status_of(other) == 200


def test_the_largest_head_follows_a_large_body_on_one_connection(raw: socket.socket) -> None:
    body = b" " * 300_000
    raw.sendall(b"POST /nosuch HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    raw.sendall(filled(HEAD_BYTES_MAX // 2) + END + END)
    received = b""
    while received.count(b"HTTP/1.1 ") < 2:
        received += raw.recv(65536)
    assert received.startswith(b"HTTP/1.1 404 ")
    assert b"HTTP/1.1 200 OK\r\n" in received


@pytest.mark.parametrize("start", [b"", b"G", LINE, LINE + HOST], ids=["nothing", "letter", "line", "header"])
def test_a_head_that_takes_too_long_ends_the_connection(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr(connection_limits, "HEAD_S_MAX", 0.2)
    with (
        uvicorn_server(archive) as port,
        socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
    ):
        raw.sendall(start)
        assert raw.recv(1) == b""


def test_a_second_head_has_its_own_time(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_limits, "HEAD_S_MAX", 2)
    with (
        uvicorn_server(archive) as port,
        socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
    ):
        for _ in range(3):
            raw.sendall(LINE)
            time.sleep(0.8)
            raw.sendall(HOST + END)
            assert status_of(raw) == 200
            time.sleep(0.4)  # the time between requests is another limit
        raw.sendall(LINE)
        assert raw.recv(1) == b""


def test_a_connection_without_requests_is_kept_for_a_while(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yamcs_archive.server.uvicorn_server.IDLE_S_MAX", 1)
    with (
        uvicorn_server(archive) as port,
        socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
    ):
        for wait_s in (0.5, 0.5, 0):
            raw.sendall(LINE + HOST + END)
            assert status_of(raw) == 200
            time.sleep(wait_s)
        assert raw.recv(1) == b""
    assert limits.IDLE_S_MAX > 60  # a client that polls once a minute keeps its connection


def test_a_malformed_head_is_a_400(raw: socket.socket) -> None:
    raw.sendall(b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n")
    assert status_of(raw) == 400
    assert is_at_end(raw)


def test_a_websocket_frame_beyond_all_bounds_ends_the_connection(archive: Archive, port: int) -> None:
    url = f"ws://127.0.0.1:{port}/api/websocket"
    for size in (WEBSOCKET_MESSAGE_BYTES_MAX + 1, 16 * WEBSOCKET_MESSAGE_BYTES_MAX):
        connection = websocket.create_connection(url, timeout=30)
        try:
            with suppress(OSError):  # it may end before all is sent
                connection.send("x" * size)
            with suppress(OSError):
                opcode, frame = connection.recv_data_frame(True)
                assert (opcode, frame.data[:2]) == (websocket.ABNF.OPCODE_CLOSE, b"\x03\xf1")
        finally:
            connection.shutdown()  # type: ignore[no-untyped-call]
    connection = websocket.create_connection(url, timeout=30)
    connection.send('{"type": "state"}')
    assert '"state"' in str(connection.recv())
    connection.shutdown()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "order", [("Upgrade", "keep-alive"), ("keep-alive", "Upgrade"), ("keep-alive, Upgrade",)]
)
def test_a_handshake_may_have_two_connection_headers(raw: socket.socket, order: tuple[str, ...]) -> None:
    raw.sendall(
        b"GET /api/websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        + b"".join(b"Connection: %s\r\n" % value.encode() for value in order)
        + END
    )
    assert status_of(raw) == 101


def test_a_websocket_is_pinged_and_need_not_answer(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yamcs_archive.server.uvicorn_server.WEBSOCKET_PING_S", 0.1)
    with uvicorn_server(archive) as port:
        connection = websocket.create_connection(f"ws://127.0.0.1:{port}/api/websocket", timeout=30)
        try:
            for _ in range(5):  # recv_frame, unlike recv, does not answer
                frame = connection.recv_frame()  # type: ignore[no-untyped-call]
                assert frame.opcode == websocket.ABNF.OPCODE_PING
            connection.send('{"type": "state"}')
            assert '"state"' in str(connection.recv())
        finally:
            connection.shutdown()  # type: ignore[no-untyped-call]


def test_a_stop_ends_the_server_even_if_what_comes_before_it_fails(archive: Archive) -> None:
    listening = bind("127.0.0.1", 0)
    listen(listening)

    def fail() -> None:
        raise RuntimeError("no thread can be started")

    server = HttpServer(listening, create_asgi_app(archive), fail)
    thread = threading.Thread(target=server.run)
    thread.start()
    with pytest.raises(RuntimeError, match="no thread"):
        server.stop()
    thread.join(30)
    assert not thread.is_alive()

"""What one connection may take: the size and the time of a head, and the time without a request."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
import websocket

from tests.http.feeds import uvicorn_at, uvicorn_server
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.http import limits
from yamcs_archive.http.asgi import create_asgi_app
from yamcs_archive.http.limits import (
    DESCRIPTORS_OWN,
    HEAD_BYTES_MAX,
    HEAD_LINES_MAX,
    PIPELINED_MAX,
    WEBSOCKET_MESSAGE_BYTES_MAX,
)
from yamcs_archive.http.wsgi import create_app
from yamcs_archive.server import connection_limits, connections, moving_bytes
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


def whole_status(raw: socket.socket) -> int:
    """Return the status of the next answer, once it has come to the end of its JSON."""
    received = b""
    while not received.endswith(b"}"):
        received += raw.recv(65536)
    return int(received.split()[1])


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


# Bodies

PATH = b"POST /api/archive/sim/events%s HTTP/1.1\r\n" + HOST + b"Content-Type: application/x-ndjson\r\n"


@pytest.fixture
def short_periods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_limits, "RECEIVED_PERIOD_S", 0.2)
    monkeypatch.setattr(connection_limits, "RECEIVED_BYTES_MIN", 100)
    monkeypatch.setattr(moving_bytes, "SENT_PERIOD_S", 0.2)


BODIES = {
    "length": b"Content-Length: 100000\r\n\r\n{",
    "large": b"Content-Length: 1000000\r\n\r\n" + b" " * 70_000,
    "chunks": b"Transfer-Encoding: chunked\r\n\r\n5\r\n     \r\n",
    "nothing": b"Content-Length: 10\r\n\r\n",
}


@pytest.mark.parametrize("route", [b"", b":batch"])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("is_wsgi", [False, True], ids=["ASGI", "WSGI"])
@pytest.mark.usefixtures("sim", "short_periods")
def test_a_body_that_stops_is_a_408(archive: Archive, route: bytes, body: str, is_wsgi: bool) -> None:
    refusals: list[tuple[str, str]] = []
    app = create_app(archive) if is_wsgi else None
    with (
        uvicorn_at(archive, 0, app, refused=lambda *one: refusals.append(one)) as port,
        socket.create_connection(("127.0.0.1", port), timeout=30) as raw,
    ):
        raw.sendall(PATH % route + BODIES[body])
        assert status_of(raw) == 408
        assert is_at_end(raw)
    [(kind, why)] = refusals
    assert kind == "408 RequestTimeoutException"
    assert "100 bytes of the body came in 0.2 s" in why or "of the body came in" in why


@pytest.mark.parametrize(("piece", "is_taken"), [(100, True), (30, False)])
def test_a_body_may_be_slow_but_not_too_slow(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, piece: int, is_taken: bool
) -> None:
    monkeypatch.setattr(connection_limits, "RECEIVED_PERIOD_S", 0.4)
    monkeypatch.setattr(connection_limits, "RECEIVED_BYTES_MIN", 400)
    pieces = 20
    with uvicorn_server(archive) as port, socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
        message = b'{"message": "m"}'
        raw.sendall(PATH % b"" + b"Content-Length: %d\r\n\r\n" % (len(message) + piece * pieces))
        with suppress(OSError):
            for _ in range(pieces):
                raw.sendall(b" " * piece)
                time.sleep(0.05)
            raw.sendall(message)
        assert status_of(raw) == (200 if is_taken else 408)


def test_a_body_that_nobody_reads_any_more_does_not_hold_its_connection(
    archive: Archive, short_periods: None
) -> None:
    with uvicorn_server(archive) as port, socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
        raw.sendall(b"POST /nosuch HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n")
        assert status_of(raw) == 404
        assert raw.recv(1) == b""


@pytest.mark.parametrize(
    "endless", [b"X-%d: " + b"y" * 1000 + b"\r\n", b"x" * 1000], ids=["trailers", "a trailer"]
)
def test_trailers_without_end_end_the_connection(raw: socket.socket, endless: bytes) -> None:
    raw.sendall(
        b"POST /api/archive/sim/events:batch HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    )
    raw.sendall(b"0\r\n" + (b"" if b"%d" in endless else b"X: "))
    sent = 0
    with suppress(OSError):
        while sent < 64 * HEAD_BYTES_MAX:
            raw.sendall(b"".join(endless.replace(b"%d", b"%d" % n) for n in range(100)))
            sent += 100_000
    assert sent < 64 * HEAD_BYTES_MAX


def test_extensions_of_a_chunk_without_end_end_the_connection(raw: socket.socket) -> None:
    raw.sendall(
        b"POST /api/archive/sim/events:batch HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5;"
    )
    sent = 0
    with suppress(OSError):
        while sent < 64 * HEAD_BYTES_MAX:
            raw.sendall(b"x" * 100_000)
            sent += 100_000
    assert sent < 64 * HEAD_BYTES_MAX


# Requests and connections at once


@pytest.mark.parametrize(
    ("number", "is_taken"), [(PIPELINED_MAX, True), (PIPELINED_MAX + 1, True), (5_000, False)]
)
def test_so_many_requests_may_be_sent_before_the_first_answer(
    raw: socket.socket, number: int, is_taken: bool
) -> None:
    raw.sendall((LINE + HOST + END) * (number - 1) + LINE + HOST + b"Connection: close\r\n" + END)
    received = b""
    with suppress(ConnectionResetError):
        while part := raw.recv(65536):
            received += part
    if is_taken:
        assert received.count(b"HTTP/1.1 200 OK\r\n") == number
    else:
        assert received.count(b"HTTP/1.1 ") < number


def served_status(port: int) -> int:
    """Return the status of a request on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
        with suppress(OSError):
            raw.sendall(LINE + HOST + END)
        return status_of(raw)


@pytest.mark.parametrize("begun", [b"", b"GET / HT"], ids=["nothing", "a part of a head"])
def test_of_too_many_connections_those_end_that_have_waited_longest(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(connections, "EVICTED_IDLE_S", 0.3)
    with uvicorn_at(archive, 0, connections_max=4) as port, ExitStack() as held:
        address = ("127.0.0.1", port)
        waiting = [held.enter_context(socket.create_connection(address, timeout=30)) for _ in range(4)]
        waiting[0].sendall(LINE + HOST + END)
        assert whole_status(waiting[0]) == 200  # since then it has waited for less long than the others
        for one in waiting[1:]:
            one.sendall(begun)
        assert served_status(port) == 503  # none has waited for long
        time.sleep(0.35)
        assert served_status(port) == 200
        assert waiting[1].recv(1) == b""
        waiting[0].sendall(LINE + HOST + END)
        assert whole_status(waiting[0]) == 200


def test_connections_with_a_request_under_way_are_not_ended(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "EVICTED_IDLE_S", 0)
    refusals: list[tuple[str, str]] = []
    with (
        uvicorn_at(archive, 0, connections_max=2, refused=lambda *one: refusals.append(one)) as port,
        ExitStack() as held,
    ):
        address = ("127.0.0.1", port)
        websocket_url = f"ws://127.0.0.1:{port}/api/websocket"
        held.callback(websocket.create_connection(websocket_url, timeout=30).shutdown)
        polling = held.enter_context(socket.create_connection(address, timeout=30))
        polling.sendall(b"GET /api/archive/sim/events:changes?wait=60 HTTP/1.1\r\n" + HOST + END)
        time.sleep(0.2)
        for _ in range(2):
            with socket.create_connection(address, timeout=30) as raw:
                answer = raw.recv(65536)
                assert answer.startswith(b"HTTP/1.1 503 ")
                assert b"retry-after: 1\r\n" in answer
                assert b"2 connections are open, the limit" in answer
        sim.append(Event("seen"))
        assert status_of(polling) == 200
        polling.close()
        time.sleep(0.2)
        assert served_status(port) == 200
    assert [kind for kind, _ in refusals] == ["503 ServiceUnavailableException"] * 2


# Readers that stall


def read_all(raw: socket.socket) -> int:
    """Read to the end, and return the number of bytes."""
    received = 0
    while part := raw.recv(1 << 20):
        received += len(part)
    return received


def test_a_client_that_takes_nothing_is_cut_off(archive: Archive, sim: Instance, short_periods: None) -> None:
    sim.append_many(Event("x" * 100_000) for _ in range(300))
    with uvicorn_server(archive) as port, ExitStack() as held:
        raw = held.enter_context(socket.socket())
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(30)
        raw.connect(("127.0.0.1", port))
        raw.sendall(b"GET /api/archive/sim:exportEvents HTTP/1.1\r\n" + HOST + END)
        time.sleep(1)
        with pytest.raises(ConnectionResetError):
            read_all(raw)


def test_a_client_that_takes_little_by_little_gets_everything(
    archive: Archive, sim: Instance, short_periods: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving_bytes, "SENT_BYTES_MIN", 1_000)
    sim.append_many(Event("x" * 100_000) for _ in range(100))
    with uvicorn_server(archive) as port, socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(30)
        raw.connect(("127.0.0.1", port))
        raw.sendall(b"GET /api/archive/sim:exportEvents HTTP/1.1\r\n" + HOST + b"Connection: close\r\n" + END)
        received, ends_s = 0, time.monotonic() + 1.5
        while time.monotonic() < ends_s:
            received += len(raw.recv(4096))
            time.sleep(0.02)
        received += read_all(raw)
    assert received > 100 * 100_000


def test_a_websocket_whose_client_takes_nothing_is_cut_off(
    archive: Archive, sim: Instance, short_periods: None
) -> None:
    with uvicorn_server(archive) as port:
        options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
        url = f"ws://127.0.0.1:{port}/api/websocket"
        stalled = websocket.create_connection(url, timeout=30, sockopt=options)
        stalled.send('{"type": "events", "id": 1, "options": {"instance": "sim"}}')
        assert "replyTo" in str(stalled.recv())
        sim.append_many(Event("x" * 100_000) for _ in range(200))
        time.sleep(1)
        with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
            list(iter(stalled.recv, None))
        stalled.shutdown()  # type: ignore[no-untyped-call]


def test_the_limit_of_open_files_is_raised_as_far_as_the_system_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits_set: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits_set.append(pair))
    for soft, hard, wanted, reached in (
        (1_024, 20_000, 4_096, 4_096),
        (1_024, 2_000, 4_096, 2_000 - DESCRIPTORS_OWN),
        (1_024, 1_024, 4_096, 1_024 - DESCRIPTORS_OWN),
        (100, 100, 4_096, 1),
        (1_024, resource.RLIM_INFINITY, 4_096, 4_096),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 4_096, 4_096),
        (8_000, 8_000, 4_096, 4_096),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda _, pair=(soft, hard): pair)
        assert connections.raise_descriptor_limit(wanted) == reached
    needed = 4_096 + DESCRIPTORS_OWN
    assert [pair[0] for pair in limits_set] == [needed, 2_000, 1_024, 100, needed]


def test_a_websocket_lasts_longer_than_a_body_may_take(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_limits, "RECEIVED_PERIOD_S", 0.1)
    with uvicorn_server(archive) as port:
        connection = websocket.create_connection(f"ws://127.0.0.1:{port}/api/websocket", timeout=30)
        time.sleep(0.4)
        connection.send('{"type": "state"}')
        assert '"state"' in str(connection.recv())
        connection.shutdown()  # type: ignore[no-untyped-call]

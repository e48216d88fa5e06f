"""The standalone process: its output, its errors, its end; and that nothing outlives it."""

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websocket

from tests.server.serving import PATH, WAIT_S, Load, Served, ended, launch_anew, post, serving
from yamcs_archive import Archive, Event
from yamcs_archive.errors import LockedError
from yamcs_archive.http.limits import BATCHES_MAX, QUICK_BODY_BYTES_MAX

Options = tuple[str, ...]
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(params=[(), ("--wsgi",)], ids=["ASGI", "WSGI"])
def how(request: pytest.FixtureRequest) -> Options:
    """Serve by ASGI, and by WSGI."""
    options: Options = request.param
    return options


def stored(directory: Path) -> set[str]:
    """The messages that are stored, after reopening; each must be there once."""
    with Archive.open(directory) as archive:
        found = [event.message for event in archive.instance("sim").events()]
    assert len(found) == len(set(found))
    return set(found)


def refused(*arguments: object, status: int = 1) -> str:
    """Run a ``serve`` that must not start, and return its error, of one line."""
    ended_with, printed, complaints = ended(*arguments)
    assert (ended_with, printed) == (status, "")
    assert complaints.startswith("yamcs-archive: ")
    assert complaints.count("\n") == 1, complaints
    return complaints


def test_the_start_up_line_has_the_url_the_instances_and_the_directory(tmp_path: Path, how: Options) -> None:
    with serving(tmp_path / "data", *how, "--instance", "bench", "_x", start=launch_anew) as served:
        url, directory = f"http://127.0.0.1:{served.port}", tmp_path / "data"
        assert served.line == f"Serving {url} instances: _x, bench, sim directory: {directory}\n"
        assert post(served.connect(), {"message": "accepted by then"})["seqNumber"] == 0


def test_instances_that_are_there_are_served_without_being_named(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "data") as archive:
        archive.instance("sim", create=True).append(Event("before"))
    served = Served(tmp_path / "data", "--port", 0)
    try:
        assert post(served.connect(), {"message": "after"})["seqNumber"] == 1
        assert served.stop() == (0, "")
    finally:
        served.close()


def test_a_directory_that_is_served_is_refused_with_the_servers_address(tmp_path: Path, how: Options) -> None:
    with serving(tmp_path / "data", *how) as served:
        told = refused("--data", tmp_path / "data", "--port", 0)
        assert f"process {served.process.pid}" in told
        assert served.url in told


def test_a_port_that_is_taken_is_refused_even_by_another_archive(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        told = refused("--data", tmp_path / "other", "--instance", "sim", "--port", served.port)
        assert f"127.0.0.1:{served.port}" in told
        assert "another process listens there" in told
        Archive.open(tmp_path / "other").close()  # and locks nothing
        assert post(served.connect(), {"message": "still served"})["seqNumber"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--port", 0, "--instance", "sim", "--host", "192.0.2.1"), "cannot listen on 192.0.2.1"),
        (("--port", 0, "--instance", "sim", "--host", "no such host"), "cannot listen on no such host"),
    ],
)
def test_an_address_that_cannot_be_served_is_refused_in_one_line(
    tmp_path: Path, arguments: tuple[object, ...], said: str
) -> None:
    assert said in refused("--data", tmp_path / "data", *arguments)


def test_without_an_instance_to_serve_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "empty" / "lost+found").mkdir(parents=True)  # as the root of a file system is
    Archive.open(tmp_path / "archive").close()
    for name in ("new", "empty", "archive"):
        before = sorted(tmp_path.rglob("*"))
        told = refused("--data", tmp_path / name, "--port", 0, status=2)
        assert f"{tmp_path / name} has no instances yet; create one with --instance NAME" in told
        assert sorted(tmp_path.rglob("*")) == before


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    assert "holds other files" in refused("--data", tmp_path, "--instance", "sim", "--port", 0)


def test_readers_read_beside_the_server_and_writers_are_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        post(served.connect(), {"message": "seen"})
        with Archive.open(tmp_path / "data", readonly=True) as reading:
            assert [event.message for event in reading.instance("sim").events()] == ["seen"]
        with pytest.raises(LockedError, match=served.url):
            Archive.open(tmp_path / "data")


MUCH = b" " * (QUICK_BODY_BYTES_MAX + 1)
"""What a batch must have sent to be given a thread."""


def test_batches_that_have_sent_little_hold_no_place_of_others(tmp_path: Path, how: Options) -> None:
    with serving(tmp_path / "a", *how, "--threads", "2") as served:
        stalled = [served.connect() for _ in range(2 * BATCHES_MAX)]
        for connection in stalled:
            connection.putrequest("POST", f"{PATH}:batch")
            connection.putheader("Content-Type", "application/x-ndjson")
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders(b"9\r\n" + b'{"message\r\n')
        other = served.connect()
        other.request("POST", f"{PATH}:batch", b'{"message": "beside them"}', NDJSON)
        assert other.getresponse().status == 200
        for connection in stalled:
            connection.send(b'7\r\n": "m"}\r\n0\r\n\r\n')
        assert [connection.getresponse().status for connection in stalled] == [200] * len(stalled)


def test_batches_that_stall_leave_threads_for_others_and_more_of_them_are_told_to_come_later(
    tmp_path: Path,
    how: Options,
) -> None:
    with serving(tmp_path / "a", *how) as served:
        stalled = [served.connect() for _ in range(BATCHES_MAX + 40)]
        for connection in stalled:
            connection.putrequest("POST", f"{PATH}:batch")
            connection.putheader("Content-Type", "application/x-ndjson")
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders(b'4\r\n{"me\r\n')
            connection.send(b"%x\r\n%s\r\n" % (len(MUCH), MUCH))
        assert post(served.connect(), {"message": "beside them"})["message"] == "beside them"
        deadline_s = time.monotonic() + WAIT_S
        told: list[Any] = []
        while len(told) < 40 and time.monotonic() < deadline_s:
            told, _, _ = select.select([connection.sock for connection in stalled], [], [], 1)
        for connection in stalled:
            if connection.sock in told:
                answer = connection.getresponse()
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert len(told) == 40
        assert post(served.connect(), {"message": "still"})["message"] == "still"


def test_idle_connections_hold_no_thread(tmp_path: Path, how: Options) -> None:
    with serving(tmp_path / "data", *how, "--threads", 1) as served:
        connections = [served.connect() for _ in range(20)]
        for _ in range(2):
            for connection in connections:
                post(connection, {"message": "a"})


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])  # SIGHUP: see test_reloading.py
def test_a_graceful_stop_ends_with_0_and_without_a_word(tmp_path: Path, how: Options, ending: int) -> None:
    with serving(tmp_path / "data", *how) as served:
        idle = served.connect()
        post(idle, {"message": "kept"})
        assert served.stop(ending) == (0, "")
    assert stored(tmp_path / "data") == {"kept"}


@pytest.mark.parametrize("clients", [8, 96])
def test_a_graceful_stop_under_load_answers_for_every_stored_event(
    tmp_path: Path, how: Options, clients: int
) -> None:
    with serving(tmp_path / "data", *how, "--threads", 64) as served:
        load = Load(served, clients)
        load.wait_for(400)
        assert served.stop() == (0, "")
        acknowledged = load.join()
    # No acknowledged event is lost, and no accepted request was cut off.
    assert stored(tmp_path / "data") == acknowledged


def test_a_request_that_was_accepted_before_the_stop_is_answered_and_no_new_one_is_taken(
    tmp_path: Path,
    how: Options,
) -> None:
    body = b'{"message": "slow but whole"}'
    with (
        serving(tmp_path / "data", *how) as served,
        socket.create_connection(("127.0.0.1", served.port)) as slow,
    ):
        slow.settimeout(WAIT_S)
        slow.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        )
        slow.sendall(body[:5])
        post(served.connect(), {"message": "later"})  # the slow one came before it, so it is accepted too
        served.process.send_signal(signal.SIGTERM)
        _until_refused(served.port)
        slow.sendall(body[5:])
        assert slow.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        assert served.process.wait(WAIT_S) == 0
    assert stored(tmp_path / "data") == {"slow but whole", "later"}


def _until_refused(port: int) -> None:
    """Wait until nobody listens on the port any more."""
    give_up = time.monotonic() + WAIT_S
    while time.monotonic() < give_up:
        with socket.socket() as probe:
            probe.settimeout(WAIT_S)
            if probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.01)
    raise AssertionError("it still listens")


def test_a_request_that_never_ends_does_not_hold_a_stop_for_ever(tmp_path: Path, how: Options) -> None:
    with (
        serving(tmp_path / "data", *how, "--stop-wait", 1) as served,
        socket.create_connection(("127.0.0.1", served.port)) as stuck,
    ):
        stuck.sendall(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf".encode())
        post(served.connect(), {"message": "acknowledged"})
        status, complaints = served.stop()
        assert status == 0
        assert "stopped with requests unanswered" in complaints
    assert stored(tmp_path / "data") == {"acknowledged"}


def test_nothing_of_the_server_outlives_the_started_process(tmp_path: Path, how: Options) -> None:
    with serving(tmp_path / "data", *how, start=launch_anew) as served:
        served.kill()
        with pytest.raises(ProcessLookupError):
            os.killpg(served.process.pid, 0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", served.port), timeout=WAIT_S)


@pytest.mark.parametrize("group", [True, False], ids=["the whole group", "the started process"])
def test_a_kill_under_load_loses_nothing_acknowledged_and_a_restart_succeeds_at_once(
    tmp_path: Path, how: Options, group: bool
) -> None:
    clients = 32
    with serving(tmp_path / "data", *how) as served:
        load = Load(served, clients)
        load.wait_for(400)
        if group:
            served.kill_group()
        else:
            served.kill()
        with serving(tmp_path / "data", *how, "--port", served.port) as again:
            acknowledged = load.join()
            assert again.port == served.port
            assert again.stop() == (0, "")
    found = stored(tmp_path / "data")
    assert acknowledged <= found
    assert len(found - acknowledged) <= clients  # at most the one under way on each connection


@pytest.mark.long
@pytest.mark.parametrize("group", [True, False], ids=["the whole group", "the started process"])
def test_kill_after_kill_under_load_loses_nothing_acknowledged(
    tmp_path: Path, how: Options, group: bool
) -> None:
    acknowledged: set[str] = set()
    for life in range(10):
        with serving(tmp_path / "data", *how) as served:
            load = Load(served, 32, prefix=f"{life}/")
            load.wait_for(50 + 350 * (life % 3))
            if group:
                served.kill_group()
            else:
                served.kill()
            acknowledged |= load.join()
    assert acknowledged <= stored(tmp_path / "data")


@pytest.mark.long
def test_every_stop_under_load_is_noticed_and_answers_for_every_stored_event(
    tmp_path: Path, how: Options
) -> None:
    acknowledged: set[str] = set()
    for life in range(30):
        with serving(tmp_path / "data", *how) as served:
            load = Load(served, 64, prefix=f"{life}/")
            load.wait_for(20 * life)  # so that the signal comes early, while it starts, and late
            assert served.stop() == (0, "")
            acknowledged |= load.join()
    assert stored(tmp_path / "data") == acknowledged


@contextmanager
def subscribed(served: Served, **options: Any) -> Iterator[websocket.WebSocket]:
    """Open a WebSocket that is subscribed to ``sim``."""
    url = f"ws://127.0.0.1:{served.port}/api/websocket"
    connection = websocket.create_connection(url, timeout=WAIT_S, **options)
    try:
        connection.send('{"type": "events", "id": 1, "options": {"instance": "sim"}}')
        connection.recv()
        yield connection
    finally:
        connection.shutdown()  # type: ignore[no-untyped-call]


def test_a_stop_closes_websockets_with_a_word(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served, subscribed(served) as connection:
        post(served.connect(), {"message": "live"})
        assert '"live"' in str(connection.recv())
        assert served.stop() == (0, "")
        assert connection.recv_data_frame(True)[1].data == b"\x03\xe9the server stops"


def test_a_websocket_that_is_not_read_holds_up_neither_storing_nor_a_stop(tmp_path: Path) -> None:
    small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
    with serving(tmp_path / "data") as served, subscribed(served, sockopt=small):
        poster = served.connect()
        for number in range(40):
            post(poster, {"message": f"{number} {'x' * 500_000}"})
        assert served.stop() == (0, "")
    assert len(stored(tmp_path / "data")) == 40


def test_wsgi_says_that_it_has_no_live_updates(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--wsgi") as served:
        with pytest.raises(websocket.WebSocketBadStatusException, match="501"):
            websocket.create_connection(f"ws://127.0.0.1:{served.port}/api/websocket", timeout=WAIT_S)
        assert post(served.connect(), {"message": "goes on"})["seqNumber"] == 0


def test_names_are_those_of_the_flags_and_of_the_address(tmp_path: Path, how: Options) -> None:
    flags = ("--host", "localhost", "--allowed-host", "ops.example", "--allowed-host", ".in.example")
    page = ("--cors-origin", "https://page.example")
    with serving(tmp_path / "data", *how, *flags, *page) as served:
        connection = served.connect()
        for host, status in [
            *(
                (name, 200)
                for name in ("ops.example", "a.in.example:1", "page.example", "localhost", "[::1]")
            ),
            *((name, 403) for name in ("evil.example", "evil.ops.example", "in.example.test")),
        ]:
            for method in ("GET", "HEAD"):
                connection.request(method, "/healthz", headers={"Host": host})
                answer = connection.getresponse()
                assert (answer.status, bool(answer.read())) == (status, method == "GET"), host
        connection.request("HEAD", "/api/archive/sim:exportEvents")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        assert answer.headers["content-length"] is None
        assert served.stop() == (0, "")


def test_behind_a_trusted_proxy_the_forwarded_address_is_the_client(tmp_path: Path, how: Options) -> None:
    def status(served: Served, address: str) -> int:
        connection = served.connect()
        connection.request("GET", "/api", headers={"X-Forwarded-For": address})
        return connection.getresponse().status

    limits = ("--client-requests-per-s", "1", "--trust-proxy", "127.0.0.1")
    with serving(tmp_path / "a", *how, *limits) as served:
        assert [status(served, f"192.0.2.{last}") for last in range(5)] == [200] * 5
        assert 429 in [status(served, "192.0.2.9") for _ in range(5)]

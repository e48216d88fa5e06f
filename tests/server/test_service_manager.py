"""A service manager: readiness, signs of life and passed sockets, between real processes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.child import ROOT
from tests.server.serving import PATH, WAIT_S, post, serving
from yamcs_archive.server.listening_socket import passed
from yamcs_archive.server.service_manager import ServiceManager

WATCHDOG_US = 300_000


class Manager:
    """The socket of a service manager, and what it was told."""

    def __init__(self, address: str) -> None:
        self.name = address.replace("\0", "@")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(WAIT_S)

    def heard(self) -> dict[str, str]:
        """Return the next message."""
        lines = self._socket.recv(65536).decode().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def heard_with(self, name: str) -> dict[str, str]:
        """Return the next message that has that name."""
        while name not in (found := self.heard()):
            pass
        return found

    def hears_nothing_for(self, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(65536)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(WAIT_S)
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(request: pytest.FixtureRequest) -> Iterator[Manager]:
    folder = tempfile.mkdtemp()  # a short path: the name of a socket has 107 bytes at most
    abstract = getattr(request, "param", "path") == "abstract"
    address = f"\0yamcs-archive-test-{os.getpid()}" if abstract else f"{folder}/notify"
    found = Manager(address)
    yield found
    found.close()
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("manager", "how"),
    [("path", ()), ("abstract", ("--wsgi",))],
    ids=["path", "abstract"],
    indirect=["manager"],
)
def test_a_service_manager_hears_that_the_server_answers_lives_reloads_and_stops(
    tmp_path: Path, manager: Manager, how: tuple[str, ...]
) -> None:
    with serving(
        tmp_path / "data", *how, NOTIFY_SOCKET=manager.name, WATCHDOG_USEC=str(WATCHDOG_US)
    ) as served:
        ready = manager.heard_with("READY")
        assert ready == {"READY": "1", "STATUS": f"serving {served.url}: sim"}
        assert post(served.connect(), {"message": "it is true"})["seqNumber"] == 0
        for _ in range(3):
            assert manager.heard_with("WATCHDOG") == {"WATCHDOG": "1"}
        served.process.send_signal(signal.SIGHUP)
        reloading = manager.heard_with("RELOADING")
        assert reloading["RELOADING"] == "1"
        assert int(reloading["MONOTONIC_USEC"]) > 0
        assert manager.heard_with("READY") == {"READY": "1"}
        assert served.stop()[0] == 0
        stopping = manager.heard_with("STOPPING")
        assert stopping["EXTEND_TIMEOUT_USEC"] == "50000000"  # 20 s of --stop-wait, and 30 s


def test_a_stop_that_waits_for_a_request_gives_signs_of_life(tmp_path: Path, manager: Manager) -> None:
    with (
        serving(tmp_path / "data", NOTIFY_SOCKET=manager.name, WATCHDOG_USEC=str(WATCHDOG_US)) as served,
        socket.create_connection(("127.0.0.1", served.port)) as slow,
    ):
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16\r\n\r\n"
        slow.sendall(f'{head}{{"mes'.encode())
        post(served.connect(), {"message": "later"})  # the slow one came before it, so it is accepted too
        served.process.send_signal(signal.SIGTERM)
        manager.heard_with("STOPPING")
        for _ in range(3):
            manager.heard_with("WATCHDOG")
        slow.sendall(b'sage": "m"}')
        assert served.process.wait(WAIT_S) == 0


def test_no_sign_of_life_comes_while_the_server_hangs(tmp_path: Path, manager: Manager) -> None:
    held_up = """
        import sys, time
        from yamcs_archive import Instance
        from yamcs_archive.cli.main import main
        def held_up(*_, **__):
            print("held up", flush=True)
            time.sleep(600)
        Instance.submit = held_up  # on the event loop
        sys.exit(main(sys.argv[1:]))
    """
    program = "\n".join(line[8:] for line in held_up.splitlines())
    process = subprocess.Popen(
        [sys.executable, "-c", program, "serve", "--data", str(tmp_path), "--port", "0", "--instance", "sim"],
        cwd=ROOT,
        env={**os.environ, "NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": str(WATCHDOG_US)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[1].rpartition(":")[2])
        manager.heard_with("WATCHDOG")
        with socket.create_connection(("127.0.0.1", port)) as client:
            body = b'{"message": "m"}'
            client.sendall(f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16\r\n\r\n".encode())
            client.sendall(body)
            assert process.stdout.readline() == "held up\n"
            while not manager.hears_nothing_for(0.05):  # what came before
                pass
            assert manager.hears_nothing_for(2 * WATCHDOG_US / 1e6)
    finally:
        process.kill()
        process.communicate()


def test_a_manager_that_is_gone_or_reads_nothing_does_not_hold_up_the_server(
    tmp_path: Path, manager: Manager
) -> None:
    manager.close()
    with serving(tmp_path / "data", NOTIFY_SOCKET=manager.name) as served:
        assert post(served.connect(), {"message": "all the same"})["seqNumber"] == 0
        status, said = served.stop()
    assert status == 0
    assert said.count("the service manager is not told how the server fares") == 1


@pytest.mark.parametrize(
    ("variables", "every_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),  # is for another process
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-3"}, None),
        ({"WATCHDOG_USEC": "a while"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_signs_of_life_come_three_times_as_often_as_the_manager_asks(
    variables: dict[str, str], every_s: float | None
) -> None:
    assert ServiceManager({"NOTIFY_SOCKET": "/run/notify", **variables}).alive_every_s == every_s
    assert ServiceManager(variables).alive_every_s is None  # there is nobody to tell


def test_a_socket_of_an_unknown_kind_is_named_and_not_used(caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager({"NOTIFY_SOCKET": "vsock:2:1234"}).ready("http://127.0.0.1", ["sim"])
    assert "vsock:2:1234" in caplog.text


def test_the_status_of_many_instances_names_some_and_cannot_be_forged(manager: Manager) -> None:
    ServiceManager({"NOTIFY_SOCKET": manager.name}).ready("http://h", [f"i{n}" for n in range(12)])
    assert manager.heard()["STATUS"].endswith("i8, i9 and 2 more")
    ServiceManager({"NOTIFY_SOCKET": manager.name}).ready("http://h", ["a\nSTOPPING=1"])
    assert manager.heard() == {"READY": "1", "STATUS": "serving http://h: a STOPPING=1"}


Start = Callable[..., subprocess.Popen[str]]


def start_with(*passed: socket.socket, count: int | None = None, pid: str = "$$") -> Start:
    """Return what starts ``serve`` as a service manager does that has opened these sockets."""

    def start(*arguments: object, **variables: str) -> subprocess.Popen[str]:
        shell = f'export LISTEN_PID={pid} LISTEN_FDS={len(passed) if count is None else count}; exec "$@"'
        places = " ".join(f"{3 + n}<&{each.fileno()}" for n, each in enumerate(passed))
        return subprocess.Popen(
            ["/bin/bash", "-c", f"{shell} {places}", "bash", sys.executable, "-m", "yamcs_archive", "serve"]
            + [str(argument) for argument in arguments],
            cwd=ROOT,
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=[each.fileno() for each in passed],
        )

    return start


@pytest.fixture
def listening() -> Iterator[Callable[..., socket.socket]]:
    """Make sockets that listen, as high descriptors: those from 3 on are for what is passed."""
    with ExitStack() as opened:

        def make(family: int = socket.AF_INET, host: str = "127.0.0.1") -> socket.socket:
            low = socket.socket(family, socket.SOCK_STREAM)
            low.bind((host, 0))
            low.listen(5)
            import fcntl  # noqa: PLC0415

            high = socket.socket(fileno=fcntl.fcntl(low.fileno(), fcntl.F_DUPFD_CLOEXEC, 30))
            low.close()
            return opened.enter_context(high)

        yield make


def test_a_socket_that_was_passed_is_served_before_host_and_port(
    tmp_path: Path, listening: Callable[..., socket.socket]
) -> None:
    opened = listening()
    port = opened.getsockname()[1]
    for round_ in range(2):
        # A client that comes while no server runs waits for the next one.
        with socket.create_connection(("127.0.0.1", port)) as early:
            early.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with serving(tmp_path / "data", "--host", "192.0.2.1", start=start_with(opened)) as served:
                assert served.url == f"http://127.0.0.1:{port}"
                early.settimeout(WAIT_S)
                assert early.recv(100).startswith(b"HTTP/1.1 200")
                assert post(served.connect(), {"message": f"{round_}"})["seqNumber"] == round_
                assert served.stop() == (0, "")


def test_a_socket_for_another_process_is_left_alone(
    tmp_path: Path, listening: Callable[..., socket.socket]
) -> None:
    opened = listening()
    with serving(tmp_path / "data", start=start_with(opened, pid="1")) as served:
        assert served.port != opened.getsockname()[1]


def test_a_passed_socket_that_others_reach_needs_users_too(
    tmp_path: Path, listening: Callable[..., socket.socket]
) -> None:
    start = start_with(listening(host="0.0.0.0"))
    process = start("--data", tmp_path / "data", "--instance", "sim")
    printed, complaints = process.communicate(timeout=WAIT_S)
    assert (process.returncode, printed) == (1, "")
    assert "--users" in complaints


def refused(start: Start, data: Path) -> str:
    process = start("--data", data, "--instance", "sim", "--port", 0)
    printed, complaints = process.communicate(timeout=WAIT_S)
    assert (process.returncode, printed, complaints.count("\n")) == (1, "", 1), complaints
    assert not data.exists()
    return complaints


def test_what_cannot_be_served_is_refused(tmp_path: Path, listening: Callable[..., socket.socket]) -> None:
    data = tmp_path / "data"
    assert "has passed 2 sockets" in refused(start_with(listening(), listening()), data)
    assert "descriptor 3 is no socket" in refused(start_with(count=1), data)
    for kind, said in ((socket.SOCK_DGRAM, "is not of TCP"), (socket.SOCK_STREAM, "does not listen")):
        with socket.socket(socket.AF_INET, kind) as wrong:
            wrong.bind(("127.0.0.1", 0))
            assert said in refused(start_with(wrong), data)
    with socket.socket(socket.AF_UNIX) as local:
        local.bind("")
        local.listen()
        assert "is not of TCP" in refused(start_with(local), data)


@pytest.mark.parametrize("count", ["", "0", "-1", "one", "²"])
def test_nothing_is_passed_by_a_count_that_is_none(count: str) -> None:
    assert passed({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}) is None

"""HTTP servers to measure, each started as a process of its own and stopped by its process id."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.contenders.archive import INSTANCE
from yamcs_archive import Archive
from yamcs_archive.http.wsgi import WsgiApp

THREADS = 32
"""Threads of the WSGI server, for both stores: enough for a commit to serve many waiting requests."""

_DIRECTORY, _STORE = "BENCHMARK_DIRECTORY", "BENCHMARK_STORE"
_ROOT = Path(__file__).parent.parent
_START_S_MAX, _STOP_S_MAX = 60, 60


@contextmanager
def serving(store: str, directory: Path) -> Iterator[int]:
    """Serve ``store`` (archive or sqlite) in a directory under granian; yield the port.

    Raises RuntimeError when the server does not come up.
    """
    port = free_port()
    environment = os.environ | {_DIRECTORY: str(directory), _STORE: store}
    command = [sys.executable, "-m", "benchmarks.servers", str(port)]
    with running(command, port, environment):
        yield port


@contextmanager
def running(command: list[str], port: int, environment: dict[str, str] | None = None) -> Iterator[int]:
    """Run a server until the block ends; it begins once the port takes connections. Yield its process id."""
    server = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + _START_S_MAX
        while not _listens(port):
            if server.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"{command} does not serve (exit status {server.returncode})")
            time.sleep(0.02)
        yield server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise


def free_port() -> int:
    """Return a port of the loopback address that is free now.

    >>> 1024 <= free_port() < 65536
    True
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def create() -> WsgiApp:
    """Make the application in the server's worker: the project's own handler, over the store asked for."""
    directory = Path(os.environ[_DIRECTORY])
    if os.environ[_STORE] == "sqlite":
        from benchmarks.sqlite_archive import SqliteArchive  # noqa: PLC0415  # only where it is served

        table = SqliteArchive(directory)
        atexit.register(table.close)
        return WsgiApp(table.as_archive())
    archive = Archive.open(directory / "archive")
    archive.instance(INSTANCE, create=True)
    return WsgiApp(archive)


def _serve(port: int) -> None:
    from granian import Granian  # noqa: PLC0415  # the rest of this module needs no server
    from granian.constants import Interfaces  # noqa: PLC0415

    Granian(
        "benchmarks.servers:create",
        factory=True,
        port=port,
        interface=Interfaces.WSGI,
        blocking_threads=THREADS,
        websockets=False,
        log_enabled=False,
    ).serve()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))

"""HTTP servers to measure, each started as a process of its own and stopped by its process id."""

from __future__ import annotations

import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import processes
from benchmarks.contenders.archive import INSTANCE

_START_S_MAX, _STOP_S_MAX = 60, 60


@contextmanager
def serving(store: str, directory: Path, *, wsgi: bool = False) -> Iterator[int]:
    """Serve ``store`` (archive or sqlite) in a directory; yield the port.

    The archive is served by the project's own command, SQLite by the same server with the same settings.
    ``wsgi`` is for the archive.
    Raises RuntimeError when the server does not come up.
    """
    if store == "archive":
        command = archive_command(directory, INSTANCE, wsgi=wsgi)
    else:
        command = processes.command("benchmarks.sqlite_archive", directory)
    with running(command) as server:
        yield server.port


def archive_command(directory: Path, *instances: str, wsgi: bool = False) -> list[str]:
    """Return the project's own command that serves the archive which the contender keeps in a directory.

    >>> archive_command(Path("data"), "bench")[-4:]
    ['--port', '0', '--instance', 'bench']
    """
    command = processes.command("yamcs_archive", "serve", "--data", directory / "archive", "--port", 0)
    for name in instances:
        command += ["--instance", name]
    return [*command, "--wsgi"] if wsgi else command


class Running(NamedTuple):
    """A server that takes connections."""

    pid: int
    port: int


@contextmanager
def running(command: list[str], port: int | None = None) -> Iterator[Running]:
    """Run a server until the block ends; the block begins once the server takes connections.

    Without a port the server chooses one, and prints its URL in its first line: a port that is free now may
    be that of another program a moment later.
    """
    printed = subprocess.PIPE if port is None else subprocess.DEVNULL
    server = subprocess.Popen(
        command, cwd=processes.ROOT, env=processes.environment(), stdout=printed, text=True
    )
    try:
        yield Running(server.pid, _port_of(server) if port is None else _listening(server, port))
    finally:
        server.send_signal(signal.SIGTERM)
        if server.stdout is not None:
            server.stdout.close()
        try:
            server.wait(_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise


def _port_of(server: subprocess.Popen[str]) -> int:
    """Return the port in the first line that a server prints."""
    assert server.stdout is not None
    ready, _, _ = select.select([server.stdout], [], [], _START_S_MAX)
    line = server.stdout.readline() if ready else ""
    found = re.search(r"https?://[^ /]+:(\d+)", line)
    if found is None:
        raise RuntimeError(f"{server.args!r} does not serve (it printed {line!r})")
    return int(found[1])


def _listening(server: subprocess.Popen[str], port: int) -> int:
    """Return the port once it takes connections."""
    give_up = time.monotonic() + _START_S_MAX
    while not _listens(port):
        if server.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"{server.args!r} does not serve (exit status {server.returncode})")
        time.sleep(0.02)
    return port


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

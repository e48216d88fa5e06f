"""HTTP servers to measure, each started as a process of its own and stopped by its process id."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    port = free_port()
    if store == "archive":
        command = archive_command(directory, port, INSTANCE, wsgi=wsgi)
    else:
        command = processes.command("benchmarks.sqlite_archive", directory, port)
    with running(command, port):
        yield port


def archive_command(directory: Path, port: int, *instances: str, wsgi: bool = False) -> list[str]:
    """Return the project's own command that serves the archive which the contender keeps in a directory.

    >>> archive_command(Path("data"), 80, "bench")[-4:]
    ['--port', '80', '--instance', 'bench']
    """
    command = processes.command("yamcs_archive", "serve", "--data", directory / "archive", "--port", port)
    for name in instances:
        command += ["--instance", name]
    return [*command, "--wsgi"] if wsgi else command


@contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    """Run a server until the block ends; yield its process id as soon as its port accepts connections."""
    server = subprocess.Popen(
        command, cwd=processes.ROOT, env=processes.environment(), stdout=subprocess.DEVNULL
    )
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

"""Starts ``yamcs-archive serve`` on a free port, and stops it by its process id."""

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import msgspec

from tests import child
from tests.forking import Process

WAIT_S = child.WAIT_S
PATH = "/api/archive/sim/events"


Start = Callable[..., Process]


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("YAMCS_ARCHIVE_")}
    return {**inherited, **variables}


def launch(*arguments: object, **variables: str) -> Process:
    """Start the command in a process group of its own; the caller waits for it, or stops it.

    ``variables`` are added to its environment. It is a fork of a process that has loaded the server; so it
    has not the command line of a server, and has loaded more than that needs.
    """
    return child.command_in_fork("serve", *arguments, environment=_environment(variables))


def launch_anew(*arguments: object, **variables: str) -> subprocess.Popen[str]:
    """Do the same as :func:`launch` as a user does: in a fresh interpreter."""
    return child.command_anew("serve", *arguments, environment=_environment(variables))


def ended(*arguments: object, start: Start = launch, **variables: str) -> tuple[int, str, str]:
    """Start the command, which is to end by itself; return its exit status, its stdout and its stderr."""
    with child.stopping(start(*arguments, **variables)) as process:
        out, complaints = process.communicate(timeout=WAIT_S)
        return process.wait(), out, complaints


class Served:
    """A running server: its process, its start-up line and its port."""

    def __init__(
        self,
        directory: Path,
        *options: object,
        start: Start = launch,
        **variables: str,
    ) -> None:
        self.process = start("--data", directory, *options, **variables)
        self._connections: list[HTTPConnection] = []
        self.line = self._first_line()
        if not self.line.startswith("Serving "):
            self.kill_group()
            raise AssertionError((self.line, self.process.communicate(timeout=WAIT_S)))
        self.url = self.line.split()[1]
        self.port = int(self.url.rpartition(":")[2])

    def _first_line(self) -> str:
        """Return its first line, or "" if it ends or is silent for too long."""
        lines: queue.Queue[str] = queue.Queue()
        stdout = self.process.stdout
        assert stdout is not None
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            return lines.get(timeout=WAIT_S)
        except queue.Empty:
            return ""

    def connect(self) -> HTTPConnection:
        """Return a keep-alive connection, closed when the test is done with the server."""
        self._connections.append(HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S))
        return self._connections[-1]

    def close(self) -> None:
        """Kill its processes, and close the test's connections and pipes."""
        if self.process.poll() is None:
            self.kill_group()
        for held in (*self._connections, self.process.stdout, self.process.stderr):
            assert held is not None
            held.close()

    def stop(self, sign: int = signal.SIGTERM) -> tuple[int, str]:
        """Send the signal; return the exit status and the whole stderr."""
        self.process.send_signal(sign)
        _, complaints = self.process.communicate(timeout=WAIT_S)
        return self.process.wait(), complaints

    def kill(self) -> None:
        """Kill the started process, and only that one."""
        self.process.kill()
        self.process.wait(WAIT_S)

    def kill_group(self) -> None:
        """Kill the started process, and any that it may have started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(WAIT_S)


@contextmanager
def serving(
    directory: Path,
    *options: object,
    start: Start = launch,
    **variables: str,
) -> Iterator[Served]:
    """Serve the instance ``sim`` until the block ends, on a free port if ``options`` name no other."""
    served = Served(directory, "--port", 0, "--instance", "sim", *options, start=start, **variables)
    try:
        yield served
    finally:
        served.close()


def post(connection: HTTPConnection, event: dict[str, Any]) -> dict[str, Any]:
    """POST one event and return the answer, which must be a 200."""
    connection.request("POST", PATH, msgspec.json.encode(event), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    stored: dict[str, Any] = msgspec.json.decode(body)
    return stored


class Load:
    """Posts events over keep-alive connections until the server is gone; records the acknowledged ones."""

    def __init__(self, served: Served, clients: int, prefix: str = "") -> None:
        self._served, self._prefix = served, prefix
        self._acknowledged: list[list[str]] = [[] for _ in range(clients)]
        self._count = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._post, args=(client,)) for client in range(clients)]
        for thread in self._threads:
            thread.start()

    def _post(self, client: int) -> None:
        connection = self._served.connect()
        number = 0
        while True:
            message = f"{self._prefix}{client}/{number}"
            try:
                post(connection, {"message": message, "source": f"S{client % 4}"})
            except (OSError, HTTPException):
                return  # the server is gone, or closed the connection instead of taking the request
            self._acknowledged[client].append(message)
            self._count.release()
            number += 1

    def wait_for(self, count: int) -> None:
        """Return when that many more events were acknowledged."""
        for _ in range(count):
            assert self._count.acquire(timeout=WAIT_S)

    def join(self) -> set[str]:
        """Wait until every connection has ended, and return the messages that were acknowledged."""
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        return {message for messages in self._acknowledged for message in messages}

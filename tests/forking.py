"""Runs pieces of Python, each in a fork of a process that has already loaded the modules they import.

Loading takes most of the time of a short program: 0.3 s for the package, and 0.5 s for the client of Yamcs.
Each piece is still a process of its own, with its own arguments, environment and streams.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import IO, Protocol

import msgspec

ROOT = Path(__file__).parent.parent
WAIT_S = 60
"""Longest wait for anything, in seconds. A machine under load is slow; a process that takes longer hangs."""
LENGTH = struct.Struct("!I")


class Run(msgspec.Struct):
    """The input of a run. Its standard streams, and the file for what became of it, go beside it."""

    code: str
    arguments: list[str]
    environment: dict[str, str]


class Process(Protocol):
    """What a test does with a process that it has started: a part of ``subprocess.Popen[str]``."""

    pid: int
    stdin: IO[str] | None
    stdout: IO[str] | None
    stderr: IO[str] | None

    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def communicate(self, input: None = None, timeout: float | None = None) -> tuple[str, str]: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


class Forked:
    """A process that was forked, in a session of its own; the methods do what those of ``Popen`` do."""

    def __init__(self, ended: int) -> None:
        self._ended = os.fdopen(ended)
        self._asking = threading.Lock()
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        self.returncode: int | None = None
        self.pid = int(self._ended.readline())

    def poll(self) -> int | None:
        """Return its exit status, None if it runs; minus the number of the signal that ended it."""
        return self._status(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit status when it has ended. Raises TimeoutExpired after so many seconds."""
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return status

    def _status(self, timeout: float | None) -> int | None:
        with self._asking:
            if self.returncode is None and select.select([self._ended], [], [], timeout)[0]:
                self.returncode = int(self._ended.readline())
                self._ended.close()
            return self.returncode

    def communicate(self, input: None = None, timeout: float | None = None) -> tuple[str, str]:
        """Return what it prints to its end on stdout and on stderr. Raises TimeoutExpired."""
        assert self.stdout is not None
        assert self.stderr is not None
        streams = (self.stdout, self.stderr)
        said = ["", ""]

        def read(number: int) -> None:
            said[number] = streams[number].read()

        readers = [threading.Thread(target=read, args=(number,), daemon=True) for number in range(2)]
        until = time.monotonic() + (timeout or WAIT_S)
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(max(0, until - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or WAIT_S)
        self.wait(max(0, until - time.monotonic()))
        for stream in streams:
            stream.close()
        return said[0], said[1]

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def kill_group(self) -> None:
        """Kill it and its own processes, and wait for its end."""
        os.killpg(self.pid, signal.SIGKILL)
        self.wait(WAIT_S)


class Forks:
    """A process that has loaded modules and forks.

    It begins with the first run and ends with :meth:`close`, or with this process; its forks end with it.
    """

    def __init__(self, *modules: str, options: Sequence[str] = (), environment: Mapping[str, str]) -> None:
        self._command = [sys.executable, *options, "-m", "tests.forking"]
        self._modules = modules
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None
        self._ordering = threading.Lock()

    def run(
        self,
        code: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        within_s: float = WAIT_S,
    ) -> tuple[int, str, str]:
        """Run ``code`` to its end; return its exit status, its stdout and its stderr.

        ``environment`` is added to that of all runs. Raises TimeoutError if the run does not end
        ``within_s`` seconds.
        """
        whole = {**self._environment, **(environment or {})}
        with TemporaryDirectory(prefix="fork-") as folder:
            said = Path(folder, "stdout"), Path(folder, "stderr")
            with said[0].open("w") as stdout, said[1].open("w") as stderr:
                started = self._start(Run(code, [*arguments], whole), stdout.fileno(), stderr.fileno())
            try:
                status = started.wait(within_s)
            except subprocess.TimeoutExpired:
                started.kill_group()
                raise TimeoutError(f"no end within {within_s} s: {said[1].read_text()}") from None
            return status, said[0].read_text("utf-8"), said[1].read_text("utf-8")

    def start(self, code: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Forked:
        """Start ``code`` with pipes from its stdout and its stderr; the caller waits for it, or kills it.

        ``environment`` is all of its environment.
        """
        (stdout, its_stdout), (stderr, its_stderr) = os.pipe(), os.pipe()
        try:
            started = self._start(Run(code, [*arguments], dict(environment)), its_stdout, its_stderr)
        finally:
            os.close(its_stdout)
            os.close(its_stderr)
        started.stdout, started.stderr = os.fdopen(stdout), os.fdopen(stderr)
        return started

    def _start(self, run: Run, stdout: int, stderr: int) -> Forked:
        order = msgspec.json.encode(run)
        ended, its_end = os.pipe()
        try:
            with self._ordering:
                orders = self._orders = self._orders or self._begin()
                socket.send_fds(orders, [LENGTH.pack(len(order))], [stdout, stderr, its_end])
                orders.sendall(order)
        finally:
            os.close(its_end)
        return Forked(ended)

    def _begin(self) -> socket.socket:
        orders, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno()), *self._modules],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return orders

    def close(self) -> None:
        """End the process that forks, and its forks."""
        if self._process is not None and self._orders is not None:
            self._orders.close()
            self._process.wait(WAIT_S)
            self._process = self._orders = None


class _Forking:
    """In the process that forks: takes orders one by one, and tells of each fork its number and its end."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._running: dict[int, int] = {}  # by the number of a process, the file to tell of its end
        signal.signal(signal.SIGCHLD, self._tell)

    def _tell(self, _: int, __: FrameType | None) -> None:
        # Another one may end meanwhile, and this function begin again: each end is told by who sees it.
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                told = self._running.pop(ended[0])
                _say(told, os.waitstatus_to_exitcode(ended[1]))
                os.close(told)

    def serve(self) -> Run | None:
        """Return the run that this process is to be, as a fork; None when there are no more orders."""
        while True:
            head, files, _, _ = socket.recv_fds(self._orders, LENGTH.size, 3)
            if not head:
                break
            [size] = LENGTH.unpack(head)
            order = self._orders.recv(size, socket.MSG_WAITALL)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # until it is noted
            pid = os.fork()
            if not pid:
                run = msgspec.json.decode(order, type=Run)
                self._become(run, files)
                return run
            _say(files[-1], pid)
            self._running[pid] = files[-1]
            for file in files[:-1]:
                os.close(file)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for pid in self._running:
            with suppress(ProcessLookupError):  # it has made no session yet
                os.killpg(pid, signal.SIGKILL)
        return None

    def _become(self, run: Run, files: Sequence[int]) -> None:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        self._orders.close()
        for number, file in enumerate(files[:2], 1):
            os.dup2(file, number)
        # The streams that Python opened remember what their files could do.
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
        for file in (*files, *self._running.values()):
            os.close(file)
        os.environ.clear()
        os.environ.update(run.environment)
        time.tzset()
        sys.argv = ["-c", *run.arguments]


def _say(file: int, number: int) -> None:
    with suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(file, b"%d\n" % number)


def _main(orders: str, *modules: str) -> None:
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # the collection at the end of a fork would touch, and so copy, all of it
    run = _Forking(socket.socket(fileno=int(orders))).serve()
    if run is not None:
        exec(compile(run.code, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    _main(*sys.argv[1:])

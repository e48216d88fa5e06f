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
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

ROOT = Path(__file__).parent.parent
WAIT_S = 60
"""Longest wait for anything, in seconds. A machine under load is slow; a process that takes longer hangs."""


class Run(msgspec.Struct):
    """The input of a run, and the files for its output."""

    code: str
    arguments: list[str]
    environment: dict[str, str]
    stdout: str
    stderr: str


class Forks:
    """A process that has loaded modules and forks; one run at a time.

    It begins with the first run and ends with :meth:`close`, or with this process.
    """

    def __init__(self, *modules: str, options: Sequence[str] = (), environment: Mapping[str, str]) -> None:
        self._command = [sys.executable, *options, "-m", "tests.forking", *modules]
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self, code: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Run ``code`` to its end; return its exit status, its stdout and its stderr.

        ``environment`` is added to that of all runs. Raises TimeoutError if the run does not end.
        """
        process = self._process = self._process or subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with TemporaryDirectory(prefix="fork-") as folder:
            said = Path(folder, "stdout"), Path(folder, "stderr")
            run = Run(code, [*arguments], {**self._environment, **(environment or {})}, *map(str, said))
            process.stdin.write(msgspec.json.encode(run) + b"\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], WAIT_S)[0]:
                os.killpg(process.pid, signal.SIGKILL)
                self.close()
                raise TimeoutError(f"no end within {WAIT_S} s: {said[1].read_text()}")
            status = int(process.stdout.readline())
            return status, said[0].read_text("utf-8"), said[1].read_text("utf-8")

    def close(self) -> None:
        """End the process that forks."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate(timeout=WAIT_S)


def _serve(modules: list[str]) -> None:
    """Fork for each line of stdin, and print the exit status of each; in the fork, be the run."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # the collection at the end of a fork would touch, and so copy, all of it
    for line in sys.stdin.buffer:
        run = msgspec.json.decode(line, type=Run)
        child = os.fork()
        if not child:
            _become(run)
            exec(compile(run.code, "<string>", "exec"), {"__name__": "__main__"})
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(run: Run) -> None:
    os.environ.clear()
    os.environ.update(run.environment)
    time.tzset()
    for number, path in enumerate((os.devnull, run.stdout, run.stderr)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["-c", *run.arguments]


if __name__ == "__main__":
    _serve(sys.argv[1:])

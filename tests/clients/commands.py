"""Runs the official command-line tools, each run a fork of a process that has loaded their client library.

Loading it is most of what a run costs. What runs is what ``python -m yamcs.cli`` runs, in a process of its
own, with the arguments, the environment and the streams of its own.
"""

from __future__ import annotations

import os
import runpy
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.child import ROOT
from tests.server.serving import WAIT_S

ENVIRONMENT = {"TZ": "Asia/Tokyo", "LANG": "C.UTF-8", "COLUMNS": "80"}
"""Local time is far from UTC."""


class Run(msgspec.Struct):
    """What a run is given, and the files that take what it says."""

    arguments: list[str]
    environment: dict[str, str]
    stdout: str
    stderr: str


class Commands:
    """The process that forks; one run at a time."""

    def __init__(self, scratch: Path) -> None:
        self._stdout, self._stderr = scratch / "stdout", scratch / "stderr"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.clients.commands"],
            cwd=ROOT,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, arguments: list[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        """Run it; return its exit status, and what it says on stdout and stderr."""
        given = Run(arguments, ENVIRONMENT | dict(environment), str(self._stdout), str(self._stderr))
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(msgspec.json.encode(given) + b"\n")
        stdin.flush()
        assert select.select([stdout], [], [], WAIT_S)[0], f"no end of {arguments}"
        return int(stdout.readline()), self._stdout.read_text("utf-8"), self._stderr.read_text("utf-8")

    def close(self) -> None:
        """End the process, and a run that does not end."""
        try:
            self._process.communicate(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.communicate(timeout=WAIT_S)


@contextmanager
def commands(scratch: Path) -> Iterator[Commands]:
    """Offer runs until the block ends; ``scratch`` is a folder of theirs alone."""
    made = Commands(scratch)
    try:
        yield made
    finally:
        made.close()


def _fork_and_run() -> None:
    """Run what comes on stdin, line by line, and say the exit status of each; as a fork, be a run."""
    import yamcs.client  # noqa: F401, PLC0415

    for line in sys.stdin.buffer:
        run = msgspec.json.decode(line, type=Run)
        child = os.fork()
        if not child:
            _become(run)
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
    sys.argv[1:] = run.arguments
    runpy.run_module("yamcs.cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _fork_and_run()

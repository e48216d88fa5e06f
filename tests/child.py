"""Runs a piece of Python in a child process, as a program of its own would run."""

import atexit
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Protocol, TypeVar

from tests import forking
from tests.forking import Forks, Process

ROOT = forking.ROOT
WAIT_S = forking.WAIT_S
_PRELUDE = """import sys, yamcs_archive
from yamcs_archive.errors import *
names = set(yamcs_archive.__all__) - {"Client", "RemoteInstance"}  # which load protobuf
globals().update((name, getattr(yamcs_archive, name)) for name in names)
"""
_COMMAND = "import runpy; runpy.run_module('yamcs_archive', run_name='__main__', alter_sys=True)"
_LIBRARY = ("yamcs_archive.archive", "yamcs_archive.instance", "yamcs_archive.storage.lmdb_store")
_COMMAND_LOADS = (
    *_LIBRARY,
    "yamcs_archive.cli.events_log",
    "yamcs_archive.cli.main",
    "yamcs_archive.cli.mirror",
    "yamcs_archive.cli.serve",
    "yamcs_archive.client",
    "yamcs_archive.server.process",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
)
_forks = Forks(*_LIBRARY, environment=os.environ)
_commands = Forks(*_COMMAND_LOADS, environment=os.environ)
atexit.register(_forks.close)
atexit.register(_commands.close)


class Stoppable(Protocol):
    """What :func:`stopping` does with a process: a part of ``Popen``."""

    stdin: IO[Any] | None
    stdout: IO[Any] | None
    stderr: IO[Any] | None

    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


Started = TypeVar("Started", bound=Stoppable)


@contextmanager
def stopping(process: Started) -> Iterator[Started]:
    """Yield a process; at the end of the block kill it if it still runs, and close its pipes."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start ``code`` with ``sys.argv[1:]`` as given; the caller waits for it, or kills it."""
    return _start(_PRELUDE + textwrap.dedent(code), *arguments)


def _start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code: str, *arguments: object, status: int = 0) -> str:
    """Run ``code`` to its end, expect its exit status, and return what it printed."""
    return _ended(start(code, *arguments), status)


def run_bare(code: str, *arguments: object, status: int = 0) -> str:
    """Do the same as :func:`run`, for code that imports everything it uses."""
    return _ended(_start(textwrap.dedent(code), *arguments), status)


def _ended(child: subprocess.Popen[str], status: int) -> str:
    with stopping(child):
        printed, complaints = child.communicate(timeout=WAIT_S)
    assert child.returncode == status, f"exit {child.returncode}: {complaints}"
    return printed


def run_in_fork(code: str, *arguments: object, status: int = 0, within_s: float = WAIT_S) -> str:
    """Do the same as :func:`run`, in a fork of a process that has loaded the package, to run code often."""
    ended, printed, complaints = _forks.run(
        _PRELUDE + textwrap.dedent(code), [*map(str, arguments)], within_s=within_s
    )
    assert ended == status, f"exit {ended}: {complaints}"
    return printed


def command_in_fork(*arguments: object, environment: Mapping[str, str] = os.environ) -> Process:
    """Start ``yamcs-archive`` in a session of its own, in a fork of a process that has loaded it.

    The caller waits for it, or kills it.
    """
    return _commands.start(_COMMAND, [*map(str, arguments)], environment)


def command_anew(*arguments: object, environment: Mapping[str, str] = os.environ) -> subprocess.Popen[str]:
    """Do the same as :func:`command_in_fork` as a user does: in a fresh interpreter."""
    return subprocess.Popen(
        [sys.executable, "-m", "yamcs_archive", *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

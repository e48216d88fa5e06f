"""Starts parts of the harness as processes of their own.

Every child is started in the checkout, so that ``-m`` finds this harness and no other package called
``benchmarks``. Paths that are passed to a child are therefore absolute.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""
_STOP_S_MAX = 90
_TIMES = slice(11, 13)
"""Fields of ``/proc/PID/stat``, counted after the name of the command."""


def command(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module in a new process of this interpreter.

    >>> command("benchmarks.load", 80)[1:]
    ['-m', 'benchmarks.load', '80']
    """
    return [sys.executable, "-m", module, *map(str, arguments)]


def environment() -> dict[str, str]:
    """Return the environment of a child, in which it finds the harness even with ``-P``."""
    path = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *([path] if path else [])])}


def run(arguments: list[str], given: bytes, *, timeout_s: float | None = None) -> tuple[bytes, bytes, int]:
    """Run a child to its end with ``given`` on its standard input; return its outputs and exit status.

    If this process is interrupted, or the child takes too long (TimeoutExpired), the child gets SIGTERM and
    is waited for, because it may have to stop servers of its own.
    """
    child = None
    try:
        with _held_back():  # an interrupt within Popen would leave an unknown child
            child = subprocess.Popen(
                arguments,
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C reaches only this process, which stops the child itself
            )
        printed, said = child.communicate(given, timeout_s)
    except BaseException:
        if child is None:
            raise
        child.terminate()
        try:
            child.communicate(timeout=_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
        raise
    return printed, said, child.returncode


@contextmanager
def _held_back() -> Iterator[None]:
    """Delay interrupts of this process to the end of the block, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)


@contextmanager
def ending_tidily() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process like Ctrl-C: stores are closed and children are stopped."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def processor_s(pid: int) -> float:
    """Return the processor time that a process has taken, in seconds, its threads and the system's part too.

    >>> processor_s(os.getpid()) > 0
    True
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[_TIMES])) / os.sysconf("SC_CLK_TCK")

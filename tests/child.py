"""Runs a piece of Python in a child process, as a program of its own would run."""

import atexit
import os
import subprocess
import sys
import textwrap

from tests import forking
from tests.forking import Forks

ROOT = forking.ROOT
WAIT_S = forking.WAIT_S
_PRELUDE = """import sys, yamcs_archive
from yamcs_archive.errors import *
names = set(yamcs_archive.__all__) - {"Client", "RemoteInstance"}  # which load protobuf
globals().update((name, getattr(yamcs_archive, name)) for name in names)
"""
_forks = Forks("yamcs_archive.archive", "yamcs_archive.instance", environment=os.environ)
atexit.register(_forks.close)


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
    printed, complaints = child.communicate(timeout=WAIT_S)
    assert child.returncode == status, f"exit {child.returncode}: {complaints}"
    return printed


def run_in_fork(code: str, *arguments: object, status: int = 0) -> str:
    """Do the same as :func:`run`, in a fork of a process that has loaded the package, to run code often."""
    ended, printed, complaints = _forks.run(_PRELUDE + textwrap.dedent(code), [*map(str, arguments)])
    assert ended == status, f"exit {ended}: {complaints}"
    return printed

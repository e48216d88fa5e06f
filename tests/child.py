"""Runs a piece of Python in a child process, as a program of its own would run."""

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
WAIT_S = 60
"""Longest wait for anything: a machine under load is slow, but what takes longer hangs."""
_PRELUDE = "import sys; from yamcs_archive import *; from yamcs_archive.errors import *\n"


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start ``code`` with ``sys.argv[1:]`` as given; the caller waits for it, or kills it."""
    return subprocess.Popen(
        [sys.executable, "-c", _PRELUDE + textwrap.dedent(code), *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code: str, *arguments: object, status: int = 0) -> str:
    """Run ``code`` to its end, expect its exit status, and return what it printed."""
    child = start(code, *arguments)
    printed, complaints = child.communicate(timeout=WAIT_S)
    assert child.returncode == status, f"exit {child.returncode}: {complaints}"
    return printed

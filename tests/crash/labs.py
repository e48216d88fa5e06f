"""Runs the labs of the harness as a user does."""

from __future__ import annotations

import subprocess
import sys

from tests.child import ROOT

WAIT_S = 280


def lab(name: str, *arguments: object) -> str:
    """Run a lab, which must find no fault; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

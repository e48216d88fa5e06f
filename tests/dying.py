"""A child that is killed at a point of the storage engine; imported by the code that a test runs in it."""

from __future__ import annotations

import os
import signal

from yamcs_archive.storage import failpoints


def die_at(point: str, passes: int) -> None:
    """Have this process killed when it reaches a point once more than so many times."""
    left = passes

    def die(reached: str) -> None:
        nonlocal left
        left -= reached == point
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.on_point = die

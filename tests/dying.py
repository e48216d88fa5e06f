"""Kills a child process at a failpoint of the storage engine; the code of the child imports it."""

from __future__ import annotations

import os
import signal

from yamcs_archive.storage import failpoints


def die_at(point: str, passes: int) -> None:
    """Kill this process when it reaches a failpoint after having passed it ``passes`` times."""
    left = passes

    def die(reached: str) -> None:
        nonlocal left
        left -= reached == point
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.on_point = die

"""Log lines about a copy: it is in step, it is in trouble, or how far it is behind its source."""

from __future__ import annotations

import time
from collections.abc import Callable

from yamcs_archive.mirror.follower import Progress
from yamcs_archive.times import format_rfc3339

_SAY_EVERY_S = 10.0


class Sayer:
    """Turns progress into a few lines of log.

    >>> sayer = Sayer(print)
    >>> sayer(Progress("sim", 5, 0, behind=False))
    sim: 5 events taken over, in step
    >>> sayer(Progress("sim", 6, 0, behind=False))
    """

    def __init__(self, say: Callable[[str], None], say_trouble: Callable[[str], None] | None = None) -> None:
        """``say_trouble`` gets the lines about trouble; None: ``say`` gets them too."""
        self._say, self._say_trouble = say, say_trouble or say
        self._said: str | None = None
        self._quiet_since_s = 0.0
        """Monotonic time of the last line, or of the moment at which the copy fell behind."""
        self._behind = False

    def __call__(self, progress: Progress) -> None:
        """Write a line about the progress if it is worth one."""
        now_s = time.monotonic()
        if progress.trouble is not None:
            state = "trouble"
        elif progress.behind:
            # A single new page is no lag: the copy is in step again in a moment.
            if self._said == "in step" and not self._behind:
                self._quiet_since_s = now_s
            late = self._said is None or now_s - self._quiet_since_s >= _SAY_EVERY_S
            state = f"behind at {now_s}" if late else self._said or ""
        else:
            state = "in step"
        self._behind = progress.behind
        if state == self._said:
            return
        self._said, self._quiet_since_s = state, now_s
        say = self._say if progress.trouble is None else self._say_trouble
        say(f"{progress.instance}: {progress.events} events taken over, {_where(progress)}")


def _where(progress: Progress) -> str:
    if progress.trouble is not None:
        return f"{progress.trouble}; trying again"
    if not progress.behind:
        return "in step"
    if progress.time is None:
        return "behind"
    lag_s = max(0.0, time.time() - progress.time / 1_000_000)
    return f"at the state of the source at {format_rfc3339(progress.time)}, {lag_s:.0f} s ago"

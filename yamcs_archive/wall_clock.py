"""What a wall clock shows, and when: instants from local times. Pure; imports nothing of the package.

1. "Wall" seconds are those that a wall clock shows, counted from 1970 on that clock. Instants are seconds
   since 1970 in UTC.
2. A zone is a function from an instant to its offset, in seconds, so that the system's zone and a named one
   are treated alike. The only thing that is assumed of it is that offsets change less often than hourly.
3. A clock that is put back shows some times twice; one that is put forward skips some.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Offset = Callable[[int], int]
"""The seconds by which a wall clock is ahead of UTC at an instant."""

_HOUR_S = 3600
OFFSET_S_MAX = 26 * _HOUR_S
"""Seconds; an hour more than the largest difference between local time and UTC that TZ can state."""


def local_offset_s(instant: int) -> int:
    """Return the offset of the system's zone."""
    return time.localtime(instant).tm_gmtoff


def shown_at(wall_s: int, offset_s: Offset) -> list[int]:
    """Return the instants at which a wall clock shows a time, in order: none, one or two.

    >>> shown_at(7200, lambda instant: 3600 if instant < 3600 else 0), shown_at(0, lambda _: -60)
    ([7200], [60])
    >>> shown_at(3600, lambda instant: 3600 if instant < 3600 else 0)
    [0, 3600]
    """
    around = range(wall_s - OFFSET_S_MAX, wall_s + OFFSET_S_MAX + 1, _HOUR_S)
    offsets = {offset_s(instant) for instant in around}
    return sorted(wall_s - offset for offset in offsets if offset_s(wall_s - offset) == offset)


def jump(wall_s: int, offset_s: Offset) -> int:
    """Return the instant at which a wall clock jumps over a time that it never shows.

    >>> jump(1800, lambda instant: 0 if instant < 0 else 3600)
    0
    """
    before, after = wall_s - OFFSET_S_MAX, wall_s + OFFSET_S_MAX
    while after - before > 1:
        middle = (before + after) // 2
        if middle + offset_s(middle) < wall_s:
            before = middle
        else:
            after = middle
    return after


def as_if_not_jumped(wall_s: int, offset_s: Offset) -> int:
    """Return the instant of a time that is never shown, as if the clock had not jumped.

    >>> as_if_not_jumped(1800, lambda instant: 0 if instant < 0 else 3600)
    1800
    """
    return wall_s - offset_s(jump(wall_s, offset_s) - 1)

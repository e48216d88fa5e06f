"""What the machine gives an archive: room, limits, memory, a clock, and how fast its disk syncs.

Each function reads what the system tells, and returns None for what it does not. Only :func:`sync_times_s`
writes: to a file without a name, which is gone when this process closes it, whatever ends it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from yamcs_archive.storage.disk.file_system import os_errors_translated

SYNCS, SYNCS_S_MAX = 20, 1.0
"""Number of syncs that are measured, and seconds after which no further one begins."""
_SYNCED_BYTES = 4096
_CGROUPS = Path("/sys/fs/cgroup")
_UNLIMITED_BYTES = 1 << 60
"""Limits of a cgroup from which on it has none: version 1 has a large number instead of a word."""
_TIME_ERROR = 5
"""What ``adjtimex`` returns if nobody keeps the clock in step (TIME_ERROR of ``sys/timex.h``)."""
_TIMEX_BYTES = 1024
"""More than a ``struct timex`` has: with zeros in it, nothing is changed."""


class Space(NamedTuple):
    """The room of a file system."""

    size_bytes: int
    free_bytes: int
    """What this user may still use."""
    files_free: int | None
    """How many more files it may have; None if it does not count them."""


def space_of(directory: Path) -> Space:
    """Return the room of the file system that has a directory. Raises GoneError, UnavailableError."""
    with os_errors_translated(directory):
        found = os.statvfs(directory)
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    return Space(
        found.f_blocks * found.f_frsize,
        free * found.f_frsize,
        found.f_favail if found.f_files else None,
    )


class Limits(NamedTuple):
    """The limits of this process; None: there is none."""

    files: int | None
    files_open: int | None
    address_space_bytes: int | None
    file_bytes: int | None


def limits_of_process() -> Limits:
    """Return the limits of this process."""
    opened: int | None = None
    with suppress(OSError):
        opened = len(os.listdir("/proc/self/fd"))
    return Limits(
        _limit(resource.RLIMIT_NOFILE), opened, _limit(resource.RLIMIT_AS), _limit(resource.RLIMIT_FSIZE)
    )


def _limit(which: int) -> int | None:
    soft, _ = resource.getrlimit(which)
    return None if soft == resource.RLIM_INFINITY else soft


class Memory(NamedTuple):
    """The memory of the control group of this process, page cache included."""

    limit_bytes: int
    used_bytes: int | None


def memory_of_group(cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> Memory | None:
    """Return the least limit of the control groups of this process; None if none has a limit."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None
    found: list[Memory] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, limit, used = cgroups, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            root, limit, used = cgroups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        # In a container the path may be that of the host; the group is then at the root.
        group = root / path.strip("/")
        for folder in (group, *group.parents) if group.is_dir() else (root,):
            if not folder.is_relative_to(root):
                break
            limit_bytes = _number(folder / limit)
            if limit_bytes is not None and limit_bytes < _UNLIMITED_BYTES:
                found.append(Memory(limit_bytes, _number(folder / used)))
    return min(found, default=None)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" is no limit
        return None


def clock_in_step() -> bool | None:
    """Return whether the system's clock is kept in step with others; None if the system does not say."""
    try:
        state: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


def sync_times_s(directory: Path) -> Sequence[float]:
    """Return how long each of some writes of one page took to be synced, rising. At most a second or so.

    Raises OutOfSpaceError, GoneError, UnavailableError.
    """
    times_s: list[float] = []
    with os_errors_translated(directory), tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        begun_s = time.monotonic()
        # At least one, however long the disk takes.
        while not times_s or (len(times_s) < SYNCS and time.monotonic() - begun_s < SYNCS_S_MAX):
            file.seek(0)
            file.write(os.urandom(_SYNCED_BYTES))
            before_s = time.monotonic()
            os.fdatasync(file.fileno())
            times_s.append(time.monotonic() - before_s)
    return sorted(times_s)

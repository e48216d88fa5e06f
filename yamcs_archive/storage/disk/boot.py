"""Which start of the machine this is: what was never synced may be older after the next one."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path
from zlib import crc32

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""A random text that the kernel draws when it starts."""


@cache
def this_boot() -> int:
    """Return a number of 32 bits for this start of the kernel; 0 if the system does not tell it."""
    with suppress(OSError):
        return crc32(BOOT_ID.read_bytes()) or 1
    return 0

"""Settings of the C library's allocator, for a process that only serves.

glibc keeps freed memory in many arenas, one for every few threads of a hundred, and between blocks in use:
with messages of 1 MiB it kept more memory than was in use. And it takes the memory for each chunk of a stream
from the system, page by page, and gives it back: half of a stream's time. A library leaves such settings to
its program; the serving process is our own. docs/measurements.md has the measurements.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

_SETTINGS = (
    ("MALLOC_ARENA_MAX", -8, 1),  # allocation needs the interpreter's lock, so one arena suffices
    ("MALLOC_MMAP_THRESHOLD_", -3, 4 << 20),  # larger blocks go back at once: pages of large messages
    ("MALLOC_TRIM_THRESHOLD_", -1, 16 << 20),  # free bytes that are kept at the arena's end
)
"""For each setting: its environment variable, its option of ``mallopt(3)``, and its value here."""


def set_allocator() -> bool:
    """Make this process keep freed memory that it will soon use again, and little else.

    A setting that the environment gives is not changed. Returns False if nothing was set, as with another C
    library.

    >>> set_allocator() in (True, False)
    True
    """
    done = False
    if "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", ""):
        return done
    for variable, option, value in _SETTINGS:
        if variable not in os.environ:
            with suppress(AttributeError, OSError):
                done = ctypes.CDLL(None).mallopt(option, value) == 1 or done
    return done

"""What the C library does with memory that was given back; for a process that only serves.

glibc keeps it in an arena for every few threads, of which a server has a hundred, and between blocks that are
in use: with messages of 1 MiB that came to more than what was in use. And it takes from the system, and gives
back, what every chunk of a stream is made of, page by page: half of a stream's time. A library leaves such
settings to the program that it is in; the serving process is ours. docs/measurements.md has the measurements.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

_SETTINGS = (
    ("MALLOC_ARENA_MAX", -8, 1),  # who allocates has the interpreter's lock, so one does for all threads
    ("MALLOC_MMAP_THRESHOLD_", -3, 4 << 20),  # larger blocks go back at once: pages of large messages
    ("MALLOC_TRIM_THRESHOLD_", -1, 16 << 20),  # what is free at the end of the arena, and is not given back
)
"""For each: the variable of the environment that says it too, the option of ``mallopt(3)``, and its value."""


def set_allocator() -> bool:
    """Let this process keep some memory that is used again at once, and little else.

    What the environment says stays as it is. Returns False where nothing was set, as with another C library.

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

"""Fills a file system but for some blocks."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

BLOCK_BYTES = 4096
_library: Any = ctypes.CDLL(None)


def fill(place: Path, free_blocks: int) -> Path:
    """Fill the file system at a folder but for so many free blocks, of 4 KiB; return the file that fills it.

    Less may be left free, because the file itself needs blocks that say where it is.
    """
    filler = place / "filler"
    with filler.open("wb") as file:
        _library.syncfs(file.fileno())  # what is not allocated yet is counted
        more = room_blocks(place)
        while more:
            spare = room_blocks(place) - free_blocks
            more = min(more, max(spare, 0))
            try:
                if more:
                    size = os.fstat(file.fileno()).st_size
                    os.posix_fallocate(file.fileno(), size, more * BLOCK_BYTES)
            except OSError:  # the last blocks are had in smaller pieces
                more //= 2
    return filler


def room_blocks(place: Path) -> int:
    """Return the number of blocks that files may still get, of 4 KiB.

    ext4 keeps some free blocks for itself; here none are reserved for the superuser.
    """
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize // BLOCK_BYTES

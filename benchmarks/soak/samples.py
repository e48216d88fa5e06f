"""What a server's process uses at a moment: memory, descriptors, threads, readers of LMDB, bytes of files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_READER_BYTES = 64
"""Bytes of a slot in LMDB's table of readers, whose first two slots are its head."""


class Sample(NamedTuple):
    """What was used at a moment."""

    seconds: float
    """Since the beginning."""
    memory_bytes: int
    """Resident memory without pages of files, which the kernel takes back when it needs them."""
    descriptors: int
    threads: int
    readers: int
    """Slots of LMDB's reader tables that a transaction has."""
    file_bytes: int
    """Allocated to the archive's files."""


def sample(pid: int, archive: Path, seconds: float) -> Sample:
    """Read what a process uses. Raises OSError once it has ended.

    >>> from tempfile import mkdtemp
    >>> found = sample(os.getpid(), Path(mkdtemp()), 1.0)
    >>> found.memory_bytes > 0, found.threads >= 1, found.file_bytes
    (True, True, 0)
    """
    process = Path(f"/proc/{pid}")
    resident, shared = map(int, (process / "statm").read_text().split()[1:3])
    return Sample(
        seconds,
        (resident - shared) * os.sysconf("SC_PAGE_SIZE"),
        len(os.listdir(process / "fd")),
        len(os.listdir(process / "task")),
        sum(_readers(lock) for lock in archive.glob("*/gen-*/lock.mdb")),
        sum(_allocated(file) for file in archive.rglob("*")),
    )


def _readers(lock: Path) -> int:
    """Return the number of slots of a reader table that have a process and a transaction."""
    try:
        table = lock.read_bytes()
    except OSError:  # a compaction removed it meanwhile
        return 0
    slots = (table[at : at + _READER_BYTES] for at in range(2 * _READER_BYTES, len(table), _READER_BYTES))
    free = b"\xff" * 8  # the number of a transaction that is none
    return sum(slot[:8] != free and any(slot[8:12]) for slot in slots)


def _allocated(file: Path) -> int:
    try:
        return file.stat().st_blocks * 512
    except OSError:
        return 0

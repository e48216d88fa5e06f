"""The record of a program's writes: how it is made, and its entries.

The library needs a C compiler, ``cc`` or what ``CC`` names, and the dynamic linker of Linux.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import processes

SOURCE = Path(__file__).with_name("record_writes.c")
MARKS = "notes.marks"
"""A file below the recorded folder: what is written to it becomes a mark of the record."""
_HEAD = struct.Struct("=ciqII")
WORKER = "benchmarks.power_cut.worker"
"""The program that is recorded."""
HANGS_S = 100
"""Time after which a recorded program tells where it is, because it hangs."""
_LIVE_S_MAX = 120


class Entry(NamedTuple):
    """One entry of a record; ``record_writes.c`` says what each operation means."""

    op: str
    descriptor: int
    offset: int
    text: bytes
    more: bytes


def compiler() -> str | None:
    """Return the C compiler, or None if there is none."""
    return shutil.which(os.environ.get("CC", "cc"))


def build(folder: Path) -> Path:
    """Compile the library into a folder; return its path."""
    found = compiler()
    if found is None:
        raise FileNotFoundError("no C compiler (cc, or what CC names) is installed")
    library = folder / "record_writes.so"
    options = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror")
    subprocess.run([found, *options, "-o", library, SOURCE, "-ldl", "-lpthread"], check=True)
    return library


def record(library: Path, root: Path, log: Path, arguments: Sequence[object], die_in: str = "") -> int:
    """Run the worker with its writes below ``root`` recorded; return its exit status.

    ``die_in`` is a kind of action and a number, as ``D12``: it kills itself within that action.
    """
    environment = processes.environment() | {
        "LD_PRELOAD": str(library),
        "RECORD_ROOT": str(root),
        "RECORD_LOG": str(log),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if die_in:
        environment["RECORD_DIE"] = die_in
    command = [sys.executable, "-m", WORKER, *map(str, arguments)]
    return subprocess.run(
        command, env=environment, cwd=processes.ROOT, check=False, timeout=_LIVE_S_MAX
    ).returncode


def entries(log: Path) -> Iterator[Entry]:
    """Yield the entries of a record, whose last one may be cut off by a kill."""
    held = log.read_bytes()
    at = 0
    while at + _HEAD.size <= len(held):
        op, descriptor, offset, first, second = _HEAD.unpack_from(held, at)
        at += _HEAD.size
        if at + first + second > len(held):
            return
        middle, stop = at + first, at + first + second
        yield Entry(op.decode(), descriptor, offset, held[at:middle], held[middle:stop])
        at = stop

"""Small file systems in a mount namespace of this process: nobody else sees them, and they end with it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Literal

from benchmarks.processes import ROOT, environment

Kind = Literal["tmpfs", "ext4"]
KINDS: tuple[Kind, ...] = ("tmpfs", "ext4")
BYTES = 24 << 20
"""Size of a file system."""
_NEW_NAMESPACE, _RECURSIVE, _PRIVATE = 0x20000, 0x4000, 1 << 18
_library: Any = ctypes.CDLL(None, use_errno=True)
_TRIED = """
import sys
from pathlib import Path
from benchmarks.full_disk.mounts import enter, mount
enter()
mount(sys.argv[2], Path(sys.argv[1]))
"""


@cache
def why_not(kind: Kind) -> str:
    """Return why no such file system can be made here; "" if it can, which another process tries."""
    if not sys.platform.startswith("linux") or os.geteuid():
        return "only the superuser of Linux may mount a small file system"
    with tempfile.TemporaryDirectory(prefix="mounts-") as scratch:
        place = Path(scratch) / "place"
        place.mkdir()
        tried = subprocess.run(
            [sys.executable, "-c", _TRIED, place, kind],
            cwd=ROOT,
            env=environment(),
            check=False,
            capture_output=True,
            text=True,
        )
    said = tried.stderr.strip().splitlines()
    return (
        f"no {kind} can be mounted here: {said[-1] if said else tried.returncode}" if tried.returncode else ""
    )


def enter() -> None:
    """Give this process mounts of its own. It has one thread."""
    _checked(_library.unshare(_NEW_NAMESPACE), "unshare")
    _checked(_library.mount(None, b"/", None, _RECURSIVE | _PRIVATE, None), "mount --make-rprivate /")


def mount(kind: Kind, place: Path, size_bytes: int = BYTES) -> None:
    """Mount an empty file system at a folder; the image of ext4 is beside it, in blocks of 4 KiB."""
    if kind == "tmpfs":
        options = f"size={size_bytes}".encode()
        _checked(_library.mount(b"none", os.fsencode(place), b"tmpfs", 0, options), "mount -t tmpfs")
        return
    image = place.with_name(f"{place.name}.image")
    with image.open("wb") as file:
        file.truncate(size_bytes)
    # Without blocks that are reserved for the superuser, and with the tables of inodes written at once.
    made = ("mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0")
    subprocess.run([*made, image], check=True)
    subprocess.run(["mount", "-o", "loop", image, place], check=True)


def unmount(place: Path) -> None:
    """Unmount the file system at a folder."""
    _checked(_library.umount2(os.fsencode(place), 0), "umount")


def _checked(status: int, what: str) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")

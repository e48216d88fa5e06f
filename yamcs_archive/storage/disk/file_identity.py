"""Whether the folder and the file of an open instance are still the ones at their paths.

1. What was opened is known by device and inode, not by its name: folders are moved, removed and replaced
   while a program has them open, and nobody finds what it writes then.
2. While a file or folder is open no other one gets its identity. LMDB holds the file open, and this object
   the folder; the identity of anything else that was removed proves nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from yamcs_archive.storage.disk.file_system import check_room, check_same, identity_of, os_errors_translated

_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC

LOOK_S = 0.001
"""Seconds between two looks, which take 0.5 % of a writer's time at most, however short its commits are."""


class OpenFiles:
    """The place of one open instance."""

    def __init__(self, instance: Path) -> None:
        self._folder = os.fspath(instance)
        self._looked_s = -1.0
        self.file = ""
        """The file of the generation in use; empty before the first is opened."""
        self.file_identity = (0, 0)
        self.held: Callable[[], None] | None = None
        """Raises when this process has lost the writer's lock; None if it does not write."""
        with os_errors_translated(instance):
            self._descriptor = os.open(instance, _FOLDER)
            try:
                status = os.fstat(self._descriptor)
            except BaseException:
                self.close()
                raise
        self.identity = status.st_dev, status.st_ino

    def enter(self, file: str) -> None:
        """Note the file that was opened. Raises GoneError if it is gone already."""
        with os_errors_translated(Path(file)):
            self.file_identity = identity_of(file)
        self.file = file
        self._looked_s = -1.0

    @property
    def left(self) -> bool:
        """True when the instance's path leads to another folder than this, or to nothing."""
        try:
            return identity_of(self._folder) != self.identity
        except OSError:
            return True

    def check_folder(self) -> None:
        """Raise GoneError when the instance's path leads elsewhere."""
        check_same(self._folder, self.identity)

    def check_unless_recent(self) -> None:
        """Do what :meth:`check` does, unless it was done within the last millisecond.

        Called before a transaction begins and before it is acknowledged: the next program that opens the path
        would not find what is stored in a file that was removed or moved.
        """
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self.check()
            self._looked_s = now_s

    def check(self) -> None:
        """Raise GoneError where the file, or the lock, is no longer at its path. It takes 5 us."""
        if self.held is not None:
            self.held()  # without the lock another process may have written since
        check_same(self.file, self.file_identity)

    def check_room(self) -> None:
        """Raise OutOfSpaceError where the file can hardly grow."""
        check_room(self.file)

    def close(self) -> None:
        """Close the folder; call it once."""
        os.close(self._descriptor)

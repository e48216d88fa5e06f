"""Where an instance was opened: its folder, the file that is written, and whether both are still there.

1. What was opened is known by device and inode, not by its name: folders are moved, removed and replaced
   while a program has them open, and what it writes is found again by nobody then.
2. While a file or folder is open its identity is given to no other one. LMDB holds the file open, and this
   room the folder; of anything else that was removed an identity proves nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from yamcs_archive.storage.medium import check_room, check_same, identity_of, told

_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC

LOOK_S = 0.001
"""Seconds between two looks: they take half a hundredth of a writer's time, however short its commits are."""


class Place:
    """The place of one open instance."""

    def __init__(self, instance: Path) -> None:
        self._folder = os.fspath(instance)
        self._looked_s = -1.0
        self.file = ""
        """The file of the generation in use; empty before one was opened."""
        self.file_identity = (0, 0)
        self.held: Callable[[], None] | None = None
        """Raises when the lock of the one writer is no longer this process's; None while nobody writes."""
        with told(instance):
            self._descriptor = os.open(instance, _FOLDER)
            try:
                status = os.fstat(self._descriptor)
            except BaseException:
                self.close()
                raise
        self.identity = status.st_dev, status.st_ino

    def enter(self, file: str) -> None:
        """Know the file that was opened. Raises GoneError when it is gone already."""
        with told(Path(file)):
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

    def look(self) -> None:
        """Do what :meth:`check` does, unless that was done within the last millisecond.

        Before a transaction begins, and before what it stored is acknowledged: in a file that was removed or
        moved, or whose folder was, whoever opens the path next would not find it.
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
        """Let go of the folder; once."""
        os.close(self._descriptor)

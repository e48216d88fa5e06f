"""The identity of an open instance's folder and file, to notice when others are at their paths.

1. An open file or folder is identified by device and inode, not by its name. It may be moved, removed or
   replaced while a program has it open; events written to it after that would not be found again.
2. The identity of a file or folder is not given to another one while it is open. LMDB keeps the file open,
   and this object the folder. After a file was closed and removed, a newer one may have its identity.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from yamcs_archive.storage.disk.file_system import check_same, identity_of, os_errors_translated

_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC

LOOK_S = 0.001
"""Seconds between two checks, so that they take 0.5 % of a writer's time at most."""


class OpenFiles:
    """The folder and the file of one open instance."""

    def __init__(self, instance: Path) -> None:
        self._folder = os.fspath(instance)
        self._checked_s = -1.0
        self.file = ""
        """Path of the file of the generation in use; empty before one is opened."""
        self.file_identity = (0, 0)
        self.held: Callable[[], None] | None = None
        """A function that raises if this process has lost the writer's lock; None if it does not write."""
        with os_errors_translated(instance):
            self._descriptor = os.open(instance, _FOLDER)
            try:
                self.identity = identity_of(self._descriptor)
            except BaseException:
                self.close()
                raise

    def enter(self, file: str) -> None:
        """Remember the file that was opened. Raises GoneError if it is already gone."""
        with os_errors_translated(Path(file)):
            self.file_identity = identity_of(file)
        self.file = file
        self._checked_s = -1.0

    @property
    def left(self) -> bool:
        """True if the instance's path leads to another folder, or to none."""
        try:
            return identity_of(self._folder) != self.identity
        except OSError:
            return True

    def check_folder(self) -> None:
        """Raise GoneError if the instance's path leads to another folder, or to none."""
        check_same(self._folder, self.identity)

    def check_unless_recent(self) -> None:
        """Call :meth:`check`, unless that was done within the last millisecond.

        The writer does this before a transaction begins and before it is acknowledged: the next program that
        opens the path would not find events in a file that was removed or moved.
        """
        now_s = time.monotonic()
        if now_s - self._checked_s >= LOOK_S:
            self.check()
            self._checked_s = now_s

    def check(self) -> None:
        """Raise GoneError if the file or the lock is no longer at its path. This takes 5 us."""
        if self.held is not None:
            self.held()  # without the lock another process may have written
        check_same(self.file, self.file_identity)

    def close(self) -> None:
        """Close the folder; call it once."""
        os.close(self._descriptor)

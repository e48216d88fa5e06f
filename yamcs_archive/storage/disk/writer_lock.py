"""The lock of an archive's one writing process, which says who holds it.

1. A POSIX record lock excludes other processes, a table in memory the others of this process.
2. The locked file must still be the one at the path: if it was removed, another process may have locked a new
   one and written.
"""

from __future__ import annotations

import fcntl
import io
import os
import socket
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import cast

from yamcs_archive.errors import LockedError
from yamcs_archive.storage.disk.file_system import (
    Identity,
    check_same,
    identity_of,
    os_errors_translated,
)

_LOCK = "archive.lock"
_RELEASE_WAIT_S = 60.0
"""The longest wait for an archive of this process that is being closed, in seconds."""
_RELEASE_LOOK_S = 0.01

_locks: dict[tuple[int, int], weakref.ref[WriterLock]] = {}  # by the identity of the directory
_locks_guard = threading.Lock()


def _new_guard_in_child() -> None:
    global _locks_guard  # noqa: PLW0603  # the parent's may have been held at the moment of the fork
    _locks_guard = threading.Lock()
    _locks.clear()  # they are the parent's


os.register_at_fork(after_in_child=_new_guard_in_child)


class WriterLock:
    """The right to write to an archive's directory: one process, one :class:`Archive` in it.

    A POSIX record lock: gone with the process however it dies, and not inherited by a forked child, who
    would keep it after its parent was killed. Within a process such locks do not exclude one another
    (and closing any descriptor of the file drops them), hence the table beside it. The lock ends with this
    object too: an interrupt may come before anybody can :meth:`release` it.
    """

    def __init__(self, directory: Path, holder: str) -> None:
        """Take the lock; :class:`~yamcs_archive.errors.LockedError` names who has it.

        Waits for an archive of this process that is being closed.
        """
        self.releasing = False
        """True once it is certain that it will be released soon."""
        self._file: io.FileIO | None = None
        self._path = os.fspath(directory / _LOCK)
        wait_until_s = time.monotonic() + _RELEASE_WAIT_S
        with os_errors_translated(directory):
            self._identity = identity_of(directory)
            try:
                while not self._take(directory, patient=time.monotonic() < wait_until_s):
                    time.sleep(_RELEASE_LOOK_S)
                self._tell(holder)
            except BaseException:
                self.release()  # otherwise this process could not open it again
                raise

    def _take(self, directory: Path, *, patient: bool) -> bool:
        with _locks_guard:
            other = self._other()
            if other is None:
                # After an interrupt the file belongs to this object, with which it is closed, or to nobody.
                self._file = _locked(directory)
                self._file_identity = _file_identity(self._file)
                _locks[self._identity] = weakref.ref(self)
                return True
            if other.releasing and patient:
                return False
        raise LockedError(str(directory), "this process, which has the archive open already")

    def _other(self) -> WriterLock | None:
        known = _locks.get(self._identity)
        return None if known is None else known()

    def _tell(self, holder: str) -> None:
        file = cast(io.FileIO, self._file)
        who = f"process {os.getpid()} on {socket.gethostname()}{', ' + holder if holder else ''}\n"
        os.ftruncate(file.fileno(), 0)
        os.pwrite(file.fileno(), who.encode(), 0)

    def check(self) -> None:
        """Raise GoneError when the file that is locked is no longer at its path. It takes 2 us.

        Another process may have made a new one since, locked it, and written. What is known here of the
        archive may then be false, so nothing more may be written with this lock.
        """
        check_same(self._path, self._file_identity)

    def release(self) -> None:
        """Give the lock back; idempotent, and nothing in a forked child, who does not have it."""
        file, self._file = self._file, None
        if file is not None:
            with _locks_guard:
                if self._other() is self:
                    del _locks[self._identity]
                file.close()

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()  # otherwise it is closed all the same, with a ResourceWarning


def _locked(directory: Path) -> io.FileIO:
    """Return the lock's file, locked; made when absent. Raises LockedError, OSError."""
    path = directory / _LOCK
    while True:
        file = io.FileIO(path, "r+", opener=_open_or_make)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if identity_of(path) == _file_identity(file):
                    return file
        except BlockingIOError:
            other = ""
            with suppress(OSError):
                other = os.pread(file.fileno(), 1024, 0).decode(errors="replace").strip()
            file.close()
            raise LockedError(str(directory), other or "another process") from None
        except BaseException:
            file.close()
            raise
        file.close()  # it was removed between the two steps


def _open_or_make(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o666)  # the umask decides


def _file_identity(file: io.FileIO) -> Identity:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino

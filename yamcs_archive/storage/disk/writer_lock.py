"""The lock of an archive's one writing process, with a text that names its holder.

1. A POSIX record lock excludes other processes, and a table in memory other archives of this process.
2. The locked file must be the one at the path: after it was removed, another process may have locked a new
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
from typing import Self, cast

from yamcs_archive.errors import LockedError
from yamcs_archive.storage.disk.file_system import Identity, check_same, identity_of, os_errors_translated

_LOCK = "archive.lock"
_RELEASE_WAIT_S = 60.0
"""Longest wait for another archive of this process that is being closed, in seconds."""
_RELEASE_LOOK_S = 0.01

_locks: dict[Identity, weakref.ref[WriterLock | WritersExcluded]] = {}  # by the identity of the directory
_locks_guard = threading.Lock()


def _new_guard_in_child() -> None:
    global _locks_guard  # noqa: PLW0603  # the parent's may have been held at the moment of the fork
    _locks_guard = threading.Lock()
    _locks.clear()  # these locks are the parent's


os.register_at_fork(after_in_child=_new_guard_in_child)


class WriterLock:
    """The right to write to an archive's directory: one process, one :class:`Archive` in it.

    It is a POSIX record lock: the system releases it however the process dies, and a forked child does not
    inherit it (a child would keep it after its parent was killed). Within a process such locks do not exclude
    one another, and closing any descriptor of the file drops them, hence the table. The lock is also released
    with this object, because an interrupt may come before its owner can call :meth:`release`.
    """

    def __init__(self, directory: Path, holder: str) -> None:
        """Acquire the lock; :class:`~yamcs_archive.errors.LockedError` names its present holder.

        Waits for an archive of this process that is being closed.
        """
        self.releasing = False
        """True when it is certain that the lock will be released soon."""
        self._file: io.FileIO | None = None
        self._path = os.fspath(directory / _LOCK)
        wait_until_s = time.monotonic() + _RELEASE_WAIT_S
        with os_errors_translated(directory):
            self._identity = identity_of(directory)
            try:
                while not self._acquire(directory, patient=time.monotonic() < wait_until_s):
                    time.sleep(_RELEASE_LOOK_S)
                self._write_holder(holder)
            except BaseException:
                self.release()  # otherwise this process could not open the archive again
                raise

    def _acquire(self, directory: Path, *, patient: bool) -> bool:
        with _locks_guard:
            other = self._other()
            if other is None:
                # After an interrupt the file belongs to this object, or to none; either way it is closed.
                self._file = _locked(directory)
                self._file_identity = identity_of(self._file.fileno())
                _locks[self._identity] = weakref.ref(self)
                return True
            if other.releasing and patient:
                return False
        raise LockedError(str(directory), "this process, which has the archive open already")

    def _other(self) -> WriterLock | WritersExcluded | None:
        known = _locks.get(self._identity)
        return None if known is None else known()

    def _write_holder(self, holder: str) -> None:
        file = cast(io.FileIO, self._file)
        text = f"process {os.getpid()} on {socket.gethostname()}{', ' + holder if holder else ''}\n"
        os.ftruncate(file.fileno(), 0)
        os.pwrite(file.fileno(), text.encode(), 0)

    def check(self) -> None:
        """Raise GoneError if the locked file is no longer at its path. This takes 2 us.

        Another process may then have made and locked a new file, and written to the archive. Values cached in
        this process may be stale, so nothing more may be written with this lock.
        """
        check_same(self._path, self._file_identity)

    def release(self) -> None:
        """Release the lock; idempotent. In a forked child, which does not have it, close the file alone."""
        file, self._file = self._file, None
        if file is not None:
            with _locks_guard:
                if self._other() is self:
                    del _locks[self._identity]
                file.close()

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()  # otherwise Python closes it with a ResourceWarning


class WritersExcluded:
    """Keeps every process from writing to a directory, which need not be whole; changes nothing there.

    A context manager. Where there is no lock file, or this user may not read it, no other process is kept
    from writing: then there is none that knows this archive, or nothing that this one can do.
    """

    def __init__(self, directory: Path) -> None:
        """Raises :class:`~yamcs_archive.errors.LockedError` if a process writes to the directory now."""
        self.releasing = False
        self._file: io.FileIO | None = None
        with os_errors_translated(directory), _locks_guard:
            self._identity = identity_of(directory)
            known = _locks.get(self._identity)
            if known is not None and known() is not None:
                raise LockedError(str(directory), "this process, which has the archive open")
            try:
                self._file = io.FileIO(directory / _LOCK, "r")
            except (FileNotFoundError, PermissionError):
                return
            try:
                fcntl.lockf(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                other = os.pread(self._file.fileno(), 1024, 0).decode(errors="replace").strip()
                self._file.close()
                raise LockedError(str(directory), other or "another process") from None
            except BaseException:
                self._file.close()
                raise
            _locks[self._identity] = weakref.ref(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        file, self._file = self._file, None
        if file is not None:
            with _locks_guard:
                known = _locks.get(self._identity)
                if known is not None and known() is self:
                    del _locks[self._identity]
                file.close()


def _locked(directory: Path) -> io.FileIO:
    """Return the lock's file, locked; made when absent. Raises LockedError, OSError."""
    path = directory / _LOCK
    while True:
        file = io.FileIO(path, "r+", opener=_open_or_make)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if identity_of(path) == identity_of(file.fileno()):
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
        file.close()  # another process removed it between the two steps


def _open_or_make(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o666)  # the umask decides

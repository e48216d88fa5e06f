"""The file system under an archive: translation of its errors, identity of files, free space.

This module knows nothing of LMDB or the content of files. No OSError leaves a block of
:func:`os_errors_translated`.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from yamcs_archive.errors import GoneError, OutOfSpaceError, UnavailableError

NEARLY_FULL_BYTES = 2 << 20
"""Free bytes below which a file system counts as full, and likewise bytes left below the process's limit of a
file's size: the largest event, with the pages that its commit writes, might not fit."""
_EXT4_SHARE, _EXT4_BLOCKS = 50, 4_096
"""ext4 reserves its blocks divided by the first number for itself, but not more than the second."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
_REMEDIES = {
    errno.EACCES: "give the user that this process runs as the right to it",
    errno.EPERM: "give the user that this process runs as the right to it",
    errno.EROFS: "mount it for writing, or open the archive with readonly=True",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files (fs.file-max)",
}
_NO_REMEDY = "try again, and look at the medium if it stays"

Identity = tuple[int, int]
"""Device and inode of a file or folder."""


@contextmanager
def os_errors_translated(path: Path) -> Iterator[None]:
    """Turn an OSError into an error of this package: OutOfSpaceError, GoneError or UnavailableError.

    >>> with os_errors_translated(directory):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.OutOfSpaceError: no space for ...: nothing was stored; make room and try again
    """
    try:
        yield
    except OSError as error:
        raise in_our_words(error, path) from error


def in_our_words(error: OSError, path: Path) -> UnavailableError:
    """Return this package's error for an OSError; ``path`` is the file or folder that was used.

    >>> print(in_our_words(OSError(errno.EMFILE, "Too many open files"), Path("a/sim")))
    a/sim: Too many open files; raise the limit of open files (ulimit -n)
    """
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return OutOfSpaceError(str(path), reason)
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(path)
    if error.errno in _GONE:
        return GoneError(where, reason)
    return UnavailableError(f"{where}: {reason}; {remedy(reason)}")


def remedy(reason: str) -> str:
    """Return advice for an error text of the system.

    >>> remedy("somewhere: Too many open files")
    'raise the limit of open files (ulimit -n)'
    """
    return next((do for code, do in _REMEDIES.items() if os.strerror(code) in reason), _NO_REMEDY)


def identity_of(file: Path | str | int) -> Identity:
    """Return the identity of a file or folder, given by its path or an open descriptor. Raises OSError."""
    status = os.stat(file)
    return status.st_dev, status.st_ino


def check_same(path: str, identity: Identity) -> None:
    """Raise GoneError unless the file or folder at a path has that identity. This takes 2 us.

    >>> check_same(os.fspath(directory), identity_of(directory))
    >>> check_same(os.fspath(directory), (0, 0))
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.GoneError: ... (another one is in its place), so the archive cannot go on ...
    """
    try:
        found = identity_of(path)
    except OSError as error:
        raise GoneError(path, error.strerror or str(error)) from error
    if found != identity:
        raise GoneError(path, "another one is in its place")


def nearly_full(file: str) -> bool:
    """Return whether a file has too little room to grow, by its file system or the process's size limit.

    Raises OSError.
    """
    status = os.statvfs(file)
    size_max = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if size_max != resource.RLIM_INFINITY and os.stat(file).st_size + NEARLY_FULL_BYTES > size_max:
        return True
    free = status.f_bavail
    if os.geteuid() == 0:
        # Only the superuser may use the blocks that are reserved for it; those that ext4 reserves for itself
        # nobody may use, and they are counted as free.
        free = max(free, status.f_bfree - min(status.f_blocks // _EXT4_SHARE, _EXT4_BLOCKS))
    return free * status.f_frsize < NEARLY_FULL_BYTES


def check_room(file: str) -> None:
    """Raise OutOfSpaceError if a file has too little room to grow, GoneError if it cannot be found."""
    try:
        full = nearly_full(file)
    except OSError as error:
        raise GoneError(file, error.strerror or str(error)) from error
    if full:
        raise OutOfSpaceError(file, f"less than {NEARLY_FULL_BYTES >> 20} MiB is left")

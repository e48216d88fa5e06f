"""LMDB's lock file, with all its bytes on the medium before LMDB maps it.

1. LMDB writes to this file through memory: places for readers, and locks. If the medium is full, a write to a
   page that the file has no block for is a SIGBUS, which ends the process. So the file gets its blocks before
   it is mapped, and a full medium is an OutOfSpaceError.
2. A new file comes into being whole: it has no name until it has its blocks. So no other process maps one
   that lacks them, and none maps one that is removed again.
3. The bytes of a file that has a name are never written, read or cut here: other processes may use them.
   ``posix_fallocate`` of glibc may do that, ``fallocate`` of Linux does not.
4. Closing a descriptor of the file takes away LMDB's locks from this process, if it has the environment open:
   so nothing is opened if nothing is to be done, as for each file that was prepared here before.
5. A file of an earlier version gets its blocks when it is opened. If the medium is full by then, it is used
   all the same if it has its first page, with the locks and the first 62 readers: what is stored stays
   readable.

On a file system that copies on write (btrfs, ZFS) a block of its own is no promise: there a full medium may
still be a SIGBUS.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from yamcs_archive.errors import OutOfSpaceError
from yamcs_archive.limits import READERS_MAX
from yamcs_archive.storage.disk.file_system import in_our_words

_HEAD_BYTES, _READER_BYTES = 192, 64
"""Bytes of the lock file up to the end of the first reader's place, and of each further one."""
LOCK_BYTES = _HEAD_BYTES + (READERS_MAX - 1) * _READER_BYTES
"""Bytes of the lock file, as LMDB makes it on x86-64. From the size of a file LMDB takes how many
readers it has place for, so it is the same here."""
_PAGE_BYTES = 1 << 12
_KEEP_SIZE = 1
"""FALLOC_FL_KEEP_SIZE of Linux."""
_UNNAMED: int | None = getattr(os, "O_TMPFILE", None)
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_NO_UNNAMED = (*_UNSUPPORTED, errno.EISDIR, errno.ENOENT)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Errors after which LMDB is left to say what is wrong, or to do without the file."""


def prepare_lock_file(path: str, mode: int) -> None:
    """Make the lock file of an environment that is opened next, or give it the blocks that it lacks.

    ``mode`` has the permissions of a new one, before the umask. Raises OutOfSpaceError if there is no room
    for a new one, which is then not made; GoneError and UnavailableError for other failures of the medium.
    """
    try:
        try:
            lacks = os.stat(path).st_blocks * 512 < LOCK_BYTES
        except FileNotFoundError:
            lacks = not _made(path, mode)
        if lacks:
            _give_blocks(path, mode)
    except OSError as error:
        if error.errno not in _NO_RIGHT:
            raise in_our_words(error, Path(path)) from error


def _made(path: str, mode: int) -> bool:
    """Make the file, unless another process does; return False if the one at the path may lack blocks."""
    if _UNNAMED is None:
        return False
    try:
        unnamed = os.open(os.path.dirname(path), _UNNAMED | os.O_RDWR | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno not in _NO_UNNAMED:
            raise
        return False
    try:
        if not _allocated(unnamed, 0, LOCK_BYTES, keep_size=False):
            _write_zeros(unnamed)
        # With the descriptor of a folder, which is not used, Python follows the link to the file.
        os.link(f"/proc/self/fd/{unnamed}", path, src_dir_fd=unnamed, follow_symlinks=True)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.EXDEV, *_NO_UNNAMED, *_NO_RIGHT):
            raise
        return False  # another process has made it, or there is no /proc
    finally:
        os.close(unnamed)
    return True


def _give_blocks(path: str, mode: int) -> None:
    """Give a file with a name, made here if there is none, its blocks, as many as there is room for."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        for at in range(0, LOCK_BYTES, _PAGE_BYTES):
            try:
                if not _allocated(descriptor, at, min(_PAGE_BYTES, LOCK_BYTES - at), keep_size=True):
                    return
            except OSError as error:
                if at and isinstance(in_our_words(error, Path(path)), OutOfSpaceError):
                    return  # rule 5
                raise
    finally:
        os.close(descriptor)


def _allocated(descriptor: int, at: int, size_bytes: int, *, keep_size: bool) -> bool:
    """Give a part of a file its blocks; return False if the system or the file system cannot do that."""
    try:
        fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    except (AttributeError, OSError):  # not Linux
        return False
    mode = _KEEP_SIZE if keep_size else 0
    while fallocate(descriptor, mode, ctypes.c_int64(at), ctypes.c_int64(size_bytes)):
        number = ctypes.get_errno()
        if number in _UNSUPPORTED:
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True


def _write_zeros(unnamed: int) -> None:
    at = 0
    while at < LOCK_BYTES:
        at += os.pwrite(unnamed, bytes(LOCK_BYTES - at), at)

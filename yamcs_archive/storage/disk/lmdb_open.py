"""Opening of the LMDB environment in a generation's folder, and translation of LMDB's errors.

1. No LMDB exception leaves an opening; elsewhere :func:`archive_error` turns each into an error of this
   package.
2. A writer makes the newest commit durable before it uses the file (:mod:`durable_head`): the process before
   it, or a write of its own that failed, may have left it in the page cache alone.
3. If there is less address space than requested, as under ``ulimit -v`` or beside thousands of other maps,
   half as much is reserved, or half of that, and so on. A map grows when it is full.
4. The lock file has its blocks before LMDB maps it, or a full disk would kill the process
   (:mod:`lock_file`). The caller has no environment of the same generation open in this process.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import lmdb

from yamcs_archive.errors import (
    ArchiveError,
    DamagedError,
    NotAnArchiveError,
    OutOfSpaceError,
    UnavailableError,
)
from yamcs_archive.limits import READERS_MAX
from yamcs_archive.storage.disk import file_system
from yamcs_archive.storage.disk.durable_head import make_head_durable
from yamcs_archive.storage.disk.file_length import check_head, check_length
from yamcs_archive.storage.disk.lock_file import prepare_lock_file

DATABASES = ("meta", "sources", "rows", "blocks", "summaries", "commits", "requests")
"""The sub-databases that every file has."""
TEXTS = "texts"
"""The one with what is derived from others: a file that only readers have opened since version 1 lacks it."""
DATA, LOCK = "data.mdb", "lock.mdb"
"""LMDB's names for its files."""

_OPEN_TRIES = 5
_OPEN_WAIT_S = 0.05
_MODE = 0o666
"""Permissions of LMDB's files, before the umask: under 002 a group's readers may write to the lock file."""
_FREE_MAPS = 16
"""Maps of the same size for which there must be address space before one is made: other instances, threads
and reads need some too, and a map grows when it is full."""
_LEFT_FREE_BYTES = 32 << 20
"""Bytes of address space that stay free when a map grows, so that reads do not raise MemoryError."""
_MAP_SPARE_BYTES = 1 << 20
"""Bytes by which the smallest map is larger than its file."""
_PAGE_BYTES = 1 << 12
_SHORT_OF_MEMORY = os.strerror(errno.ENOMEM)
_DAMAGE = (
    *(lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.VersionMismatchError),
    # What damaged pages lead to: a transaction that goes on after it met one, a key that none is.
    *(lmdb.BadTxnError, lmdb.BadValsizeError, lmdb.IncompatibleError, lmdb.CursorFullError),
)
_OTHER_FORMAT = "data format"
"""Part of py-lmdb's text where the version in the head of a file is not the one that it knows."""


def archive_error(error: lmdb.Error, path: Path) -> ArchiveError:
    """Return this package's error for an error of LMDB."""
    text = str(error)
    if isinstance(error, lmdb.DiskError | lmdb.MapFullError) or os.strerror(errno.EFBIG) in text:
        return OutOfSpaceError(str(path), text)
    if os.strerror(errno.EIO) in text and nearly_full(path):  # LMDB reports a short write as EIO
        return OutOfSpaceError(str(path), f"{text}, and the medium is full")
    if isinstance(error, _DAMAGE) or _OTHER_FORMAT in text:
        return DamagedError(str(path), text)
    if isinstance(error, lmdb.ReadersFullError):
        return UnavailableError(
            f"{path}: {READERS_MAX} reads are under way in the processes that have this archive open, and"
            " there is no place for one more: end some of those processes, and try again"
        )
    if isinstance(error, lmdb.MemoryError):
        return UnavailableError(f"{path}: {text}; this process may have no more memory: raise its limit")
    return UnavailableError(f"{path}: {text}; {file_system.remedy(text)}")


def nearly_full(path: os.PathLike[str]) -> bool:
    """Return whether a write to a generation may have failed for lack of space, which LMDB may call EIO."""
    try:
        return file_system.nearly_full(os.path.join(path, DATA))
    except OSError:
        return False


class Opened(NamedTuple):
    """The LMDB environment of one generation, with its folder, and its sub-databases by name."""

    path: Path
    lmdb: lmdb.Environment
    databases: dict[str, lmdb._Database]


def open_generation(path: Path, *, readonly: bool, map_bytes: int) -> Opened:
    """Open the LMDB environment in a generation's folder; a writer makes it if there is none.

    If there is too little address space for ``map_bytes``, less is reserved, down to the size that the file
    needs. Raises OutOfSpaceError if that does not fit either, or if the medium has no room for the lock file,
    and DamagedError if the file was cut short.
    """
    data = os.path.join(path, DATA)
    check_head(data)
    if not readonly or os.path.exists(data):
        prepare_lock_file(os.path.join(path, LOCK), _MODE)
    opened = _open_lmdb(path, readonly, map_bytes)
    try:
        check_length(opened, path, data, readonly=readonly)
        opened.reader_check()
        if not readonly:
            make_head_durable(path / DATA, opened.stat()["psize"])
        databases = {name: opened.open_db(name.encode(), create=not readonly) for name in DATABASES}
        with suppress(lmdb.NotFoundError):
            databases[TEXTS] = opened.open_db(TEXTS.encode(), create=not readonly)
    except lmdb.NotFoundError as error:
        opened.close()
        raise NotAnArchiveError(str(path), f"it lacks a sub-database ({error})") from None
    except lmdb.Error as error:
        opened.close()
        raise archive_error(error, path) from error
    except BaseException:
        opened.close()  # otherwise the process could not open it again
        raise
    return Opened(path, opened, databases)


def _open_lmdb(path: Path, readonly: bool, map_bytes: int) -> lmdb.Environment:
    tries_left, size_bytes = _OPEN_TRIES, map_bytes
    least_bytes = min(map_bytes, _least_map_bytes(path))
    while True:
        while size_bytes > least_bytes and not is_free(_FREE_MAPS * size_bytes):
            size_bytes = max(size_bytes // 2, least_bytes)
        try:
            return lmdb.open(
                os.fspath(path),
                map_size=size_bytes,
                max_dbs=len(DATABASES) + 1,
                max_readers=READERS_MAX,
                mode=_MODE,
                readonly=readonly,
                create=not readonly,
            )
        except lmdb.Error as error:
            if _SHORT_OF_MEMORY in str(error):
                if size_bytes <= least_bytes:
                    raise no_address_space(path, size_bytes) from error
                size_bytes = max(size_bytes // 2, least_bytes)
                continue
            tries_left -= 1
            # Opening at the instant at which another process opens or closes may fail (lmdb.h).
            refused = _refused(error, path, readonly)
            # After a write for which there was no room, another try would find a part of a file, and call it
            # damaged.
            at_once = isinstance(refused, DamagedError | OutOfSpaceError)
            if at_once or not tries_left or not os.path.exists(path):
                raise refused from error
            threading.Event().wait(_OPEN_WAIT_S)


def _least_map_bytes(path: Path) -> int:
    """Return the bytes of the smallest map that has room for the file and a little more, in whole pages."""
    try:
        file_bytes = (path / DATA).stat().st_size
    except OSError:  # there is no file yet
        file_bytes = 0
    return -(-(file_bytes + _MAP_SPARE_BYTES) // _PAGE_BYTES) * _PAGE_BYTES


def may_grow(more_bytes: int) -> bool:
    """Return whether a map may grow by ``more_bytes``."""
    return is_free(more_bytes + _LEFT_FREE_BYTES)


def is_free(size_bytes: int) -> bool:
    """Return whether so much address space is free, by reserving it for a moment."""
    try:
        mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0).close()
    except (OSError, OverflowError):
        return False
    return True


def no_address_space(path: Path, map_bytes: int) -> OutOfSpaceError:
    """Return the error for a map that does not fit into this process's address space."""
    return OutOfSpaceError(
        str(path),
        f"no address space for a map of {map_bytes} bytes: raise the process's limit (ulimit -v), or reserve"
        " less for each instance, with Options(map_bytes=...) or serve --map-bytes",
    )


def no_memory(path: Path) -> OutOfSpaceError:
    """Return the error for events that this process has no memory for, before they are stored."""
    return OutOfSpaceError(
        str(path),
        "no memory to store events: raise the process's limits (ulimit -v, ulimit -d, or of its control"
        " group), or reserve less for each instance, with Options(map_bytes=...) or serve --map-bytes",
    )


def _refused(error: lmdb.Error, path: Path, readonly: bool) -> ArchiveError:
    """Return the error for an opening that LMDB refused; for missing permissions it names the file."""
    if os.strerror(errno.EACCES) not in str(error):
        return archive_error(error, path)
    data, lock = os.path.join(path, DATA), os.path.join(path, LOCK)
    if _may(data, os.R_OK if readonly else os.R_OK | os.W_OK) and not _may(lock, os.R_OK | os.W_OK):
        return UnavailableError(
            f"{lock}: {error}: readers enter themselves there, so user {os.geteuid()} must be able to write"
            " to it. Add that user to the group of the files, and run the writing program with umask 002 or"
            f" 007 (UMask= in a systemd unit); for files that exist already: chmod g+w {lock}"
        )
    return UnavailableError(
        f"{path}: {error}: user {os.geteuid()} must be able to search this folder, to read {DATA}, and to"
        f" write to {LOCK}"
    )


def _may(file: str, mode: int) -> bool:
    return os.access(file, mode, effective_ids=os.access in os.supports_effective_ids)

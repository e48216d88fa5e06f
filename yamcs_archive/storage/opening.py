"""Opening the LMDB environment in a generation's folder, and telling what LMDB says in our own words.

No LMDB exception leaves an opening; elsewhere :func:`translated` turns each into an error of this package.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
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

DATABASES = ("meta", "sources", "rows", "blocks", "summaries", "commits", "requests")
"""Every sub-database."""

_OPEN_TRIES = 5
_OPEN_WAIT_S = 0.05
_NEARLY_FULL_BYTES = 1 << 20
_DAMAGE = (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.VersionMismatchError)


def translated(error: lmdb.Error, path: Path) -> ArchiveError:
    """Return this package's error for one of LMDB's."""
    if isinstance(error, lmdb.DiskError | lmdb.MapFullError) or os.strerror(errno.EFBIG) in str(error):
        return OutOfSpaceError(str(path), str(error))
    if isinstance(error, _DAMAGE):
        return DamagedError(str(path), str(error))
    return UnavailableError(f"{path}: {error}; try again, and look at the medium if it stays")


def nearly_full(path: os.PathLike[str]) -> bool:
    """Say whether a write may have failed for want of room: LMDB reports a short write as EIO."""
    status = os.statvfs(path)
    size_max = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    size = os.stat(os.path.join(path, "data.mdb")).st_size
    near_limit = size_max != resource.RLIM_INFINITY and size + _NEARLY_FULL_BYTES > size_max
    return near_limit or status.f_bavail * status.f_frsize < _NEARLY_FULL_BYTES


class Opened(NamedTuple):
    """The LMDB environment of one generation, and its sub-databases by name."""

    lmdb: lmdb.Environment
    databases: dict[str, lmdb._Database]


def open_generation(path: Path, *, readonly: bool, map_bytes: int) -> Opened:
    """Open the LMDB environment in a generation's folder; a writer makes it when there is none."""
    for tries_left in reversed(range(_OPEN_TRIES)):
        try:
            opened = lmdb.open(
                os.fspath(path),
                map_size=map_bytes,
                max_dbs=len(DATABASES),
                max_readers=READERS_MAX,
                readonly=readonly,
                create=not readonly,
            )
            break
        except lmdb.Error as error:
            # Opening at the instant at which another process opens or closes may fail (lmdb.h).
            if not tries_left or isinstance(error, _DAMAGE) or not path.exists():
                raise translated(error, path) from error
            threading.Event().wait(_OPEN_WAIT_S)
    try:
        opened.reader_check()
        databases = {name: opened.open_db(name.encode(), create=not readonly) for name in DATABASES}
    except lmdb.NotFoundError as error:
        opened.close()
        raise NotAnArchiveError(str(path), f"it lacks a sub-database ({error})") from None
    except lmdb.Error as error:
        opened.close()
        raise translated(error, path) from error
    return Opened(opened, databases)

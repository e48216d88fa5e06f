"""The heads and the length of LMDB's file, checked before anything else of it is read.

1. LMDB reads its file through memory: a page beyond the end of the file ends the process (SIGBUS). A copy
   that broke off, or a file system that lost its end, must be an error instead.
2. A file may end before the last page that LMDB has given out, and be whole: pages that a transaction took
   and gave back are not written. Such a file is read once from end to end in a process of its own. If that
   succeeds, a writer extends the file, so that the next opening need not do it again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import lmdb

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.file_system import os_errors_translated
from yamcs_archive.storage.disk.lmdb_pages import (
    PageError,
    PageFile,
    Root,
    fault_of_freed,
    fault_of_heads,
)

_TRIES, _WAIT_S = 5, 0.01
_HEAD_BYTES = 2 * 4096
"""Bytes of the two pages with which every file of LMDB begins, at least."""
_READ_ALL = """
import os, sys, lmdb
with lmdb.open(sys.argv[1], readonly=True, lock=False, create=False, max_dbs=16) as environment:
    environment.copyfd(os.open(os.devnull, os.O_WRONLY), compact=True)
"""


def check_head(data: str) -> None:
    """Raise DamagedError if there is a file without sound heads.

    Of one that ends within them LMDB would begin an empty one; and it would take the older one, and with it
    lose the newest commit, if the number of the newer one were damaged.
    """
    try:
        file_bytes = os.stat(data).st_size
    except OSError:  # there is none, or opening it says why it cannot be read
        return
    if file_bytes < _HEAD_BYTES:
        raise DamagedError(data, f"it was cut short: it has {file_bytes} bytes")
    before: list[Root] = []
    for _ in range(_TRIES):  # a writer of another process may change them meanwhile
        try:
            with PageFile(Path(data)) as file:
                roots = file.roots
                reason = fault_of_heads(roots) or fault_of_freed(file)
        except PageError:  # opening it says why
            return
        if not reason or not roots:  # of a file that is none of LMDB's, LMDB says so
            return
        if roots == before:
            raise DamagedError(data, f"its heads are damaged: {reason}")
        before = roots
        threading.Event().wait(_WAIT_S)


def check_length(environment: lmdb.Environment, path: Path, data: str, *, readonly: bool) -> None:
    """Raise DamagedError if the file ``data`` of an environment was cut short."""
    needed_bytes = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    with os_errors_translated(path):
        file_bytes = os.stat(data).st_size
        if file_bytes >= needed_bytes:
            return
        if not _can_be_read(path):
            raise DamagedError(
                data, f"it was cut short: it has {file_bytes} bytes, and its last page ends at {needed_bytes}"
            )
        if not readonly:
            os.truncate(data, needed_bytes)


def _can_be_read(path: Path) -> bool:
    """Return whether all pages that hold something can be read."""
    child = subprocess.run(
        [sys.executable, "-c", _READ_ALL, os.fspath(path)],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return child.returncode == 0

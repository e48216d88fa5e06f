"""Writes a file that is either whole or not there: to a draft beside it, synced, then renamed.

1. Nothing shows under the final name before everything was written and synced. What was there before stays
   until then, and stays for good if anything fails: a full disk, Ctrl-C, an error of the caller.
2. The draft is named ``.NAME.PID-NUMBER.part`` and is removed after a failure; after a kill it stays.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from yamcs_archive.errors import ArchiveError, OutOfSpaceError, UnavailableError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BUFFER_BYTES = 1 << 20
_numbers = count(1)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a binary file to write to; at the end it gets the name ``path``, in place of what had that name.

    Raises OutOfSpaceError if the medium is full, UnavailableError for any other fault of it.

    >>> path = directory / "day.csv"
    >>> with whole_file(path) as file:
    ...     _ = file.write(b"Wheel")
    ...     path.exists()
    False
    >>> path.read_bytes(), [each.name for each in directory.glob(".day*")]
    (b'Wheel', [])
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}-{next(_numbers)}.part")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        with open(draft, "xb", buffering=_BUFFER_BYTES) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(draft, path)
            except BaseException:
                with suppress(OSError):
                    draft.unlink()
                raise
        _sync(path.parent)
    except OSError as error:
        if isinstance(error, ArchiveError):
            raise
        reason = error.strerror or str(error)
        if error.errno in _FULL:
            raise OutOfSpaceError(str(path), reason) from error
        raise UnavailableError(f"{path} cannot be written: {reason}") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

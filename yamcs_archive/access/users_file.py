"""The users file and the key file beside it: read with care, written whole or not at all.

1. A file that others may read or write is refused: it says who may log in. The owner's group may read it, for
   a service whose account is not the file's owner (0640).
2. It is written to a new file, which then takes its name: a reader finds the old content or the new one. The
   new file has the owner, the group and the mode of the old one.
3. The two files are changed under one lock, of a file beside them that only their owner can open.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from yamcs_archive.access import users as content
from yamcs_archive.access.users import Document
from yamcs_archive.errors import InvalidInputError

FILE_BYTES_MAX = 16 << 20
"""Largest users file, in bytes: some 50,000 users."""
_MODE = 0o600
_OTHERS = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
"""What nobody but the owner may have, and its group may not: it may only read."""


def key_path(path: Path) -> Path:
    """Return where the key of a users file is.

    >>> key_path(Path("/etc/yamcs-archive/users.json")).name
    'users.json.key'
    """
    return path.with_name(f"{path.name}.key")


def read(path: Path, what: str = "users file") -> bytes:
    """Return the content of a users file or of its key.

    Raises InvalidInputError if it cannot be read, is no file, is too large, or if others may read or write
    it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would be waited for
    except OSError as error:
        raise InvalidInputError(what, str(path), f"cannot be read: {error.strerror}") from None
    try:
        _check(os.fstat(descriptor), what, path)
        stream = open(descriptor, "rb")  # noqa: SIM115  # it is closed below
    except BaseException:
        os.close(descriptor)
        raise
    with stream:
        return stream.read(FILE_BYTES_MAX + 1)


def _check(found: os.stat_result, what: str, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInputError(what, str(path), "is not a file")
    if found.st_mode & _OTHERS:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        rule = f"has the mode {mode}; others may not read it, nor write it: chmod 600 (or 640)"
        raise InvalidInputError(what, str(path), rule)
    if found.st_uid not in (0, os.geteuid()):
        rule = f"belongs to user number {found.st_uid}, not to root nor to this one: chown it"
        raise InvalidInputError(what, str(path), rule)
    if found.st_size > FILE_BYTES_MAX:
        raise InvalidInputError(what, str(path), f"is larger than {FILE_BYTES_MAX} bytes")


def read_document(path: Path) -> Document:
    """Return the content of a users file; InvalidInputError."""
    try:
        return content.decode(read(path))
    except InvalidInputError as error:
        if error.value == str(path):
            raise
        where = "" if error.value in ("", "…") else f"{error.value}: "
        raise InvalidInputError("users file", str(path), where + error.rule) from None


class FileState(NamedTuple):
    """What changes when a file does."""

    inode: int
    modified_ns: int
    changed_ns: int
    size_bytes: int
    mode: int
    owner: int


def state_of(path: str) -> FileState | None:
    """Return what changes when a file does; None if it cannot be looked at. Costs one system call."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return FileState(
        found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_mode, found.st_uid
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock for changes of a users file and its key; wait for whoever holds it."""
    file = path.with_name(f".{path.name}.lock")
    try:
        folder = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    except OSError as error:
        raise InvalidInputError("users file", str(path), f"cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def write(path: Path, raw: bytes, *, like: Path | None = None) -> None:
    """Write a file whole, within :func:`locked`; a new one is like the file ``like``, or its owner's alone.

    Raises InvalidInputError if it cannot be written.
    """
    path = Path(os.path.realpath(path))  # a link stays one
    draft = path.with_name(f".{path.name}.new")
    try:
        with suppress(FileNotFoundError):
            draft.unlink()  # the leftover of a crash
        model = _stat_of(path) or (None if like is None else _stat_of(like))
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            with open(descriptor, "wb") as stream:
                if model is not None:
                    _make_like(descriptor, model)
                stream.write(raw)
                stream.flush()
                os.fsync(descriptor)
            draft.rename(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise InvalidInputError("users file", str(path), f"cannot be written: {error.strerror}") from None


def _stat_of(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _make_like(descriptor: int, model: os.stat_result) -> None:
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (model.st_uid, model.st_gid):
        os.fchown(descriptor, model.st_uid, model.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(model.st_mode) & ~_OTHERS)

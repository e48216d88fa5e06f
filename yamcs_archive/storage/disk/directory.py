"""The archive's directory: its marker, the lock of the one writer, instances and their generations.

    DIR/ARCHIVE                 one line: it marks the directory, and has the version of its layout
    DIR/archive.lock            locked by the one writing process; has its process id and host
    DIR/INSTANCE/CURRENT        the name of the generation in use, replaced by rename
    DIR/INSTANCE/gen-1/         an LMDB environment: data.mdb, lock.mdb
    DIR/.INSTANCE.deleted/      an instance that is being deleted

1. Nothing here knows the content of an environment, nor how one generation replaces another.
2. A file that must survive a power cut is fsynced, and then the folder that has its name.
3. An instance is made under a name that begins with a dot, and renamed when it is complete. So a crash leaves
   either the whole instance or a leftover, which the next writer removes. One is deleted the other way round:
   it gets a name that begins with a dot, and then its files are removed.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from yamcs_archive.errors import InstanceExistsError, InvalidInputError, NotAnArchiveError, shown
from yamcs_archive.limits import INSTANCE_NAME_MAX
from yamcs_archive.scalars import plain_text
from yamcs_archive.storage.disk.file_system import in_our_words, os_errors_translated
from yamcs_archive.storage.failpoints import failpoint

LAYOUT_VERSION = 1
_MARKER = "ARCHIVE"
CURRENT = "CURRENT"
"""The file that names the generation in use; see :mod:`~yamcs_archive.storage.disk.generations`."""
_MARKER_TEXT = f"yamcs_archive directory, layout {LAYOUT_VERSION}\n"
_LAYOUT = re.compile(r"yamcs_archive directory, layout ([0-9]{1,9})(?:, reader ([0-9][0-9A-Za-z.]{0,30}))?\n")
"""What later versions write: a greater number, and the first version that reads it."""
UNFINISHED = "UNFINISHED"
"""The file that says of a directory that it is being filled: it has no marker yet, or the fill broke off."""
_FIRST_GENERATION = "gen-1"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_DELETED = re.compile(r"\.[A-Za-z0-9_][A-Za-z0-9._-]*\.deleted")
_DRAFT = re.compile(r"\.[A-Za-z0-9_][A-Za-z0-9._-]*\.new")
_NETWORK_FILE_SYSTEMS = frozenset(
    (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "fuse.sshfs",
        "fuse.glusterfs",
    )
)
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
_HARMLESS = frozenset(("lost+found",))  # the root of a new file system has it


def check_instance_name(name: str) -> str:
    """Return ``name`` as a str if it is a valid name: letters, digits, ``.``, ``_`` and ``-``.

    >>> check_instance_name("simulator")
    'simulator'
    >>> check_instance_name("../etc")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: instance '../etc': must be 1 to 128 letters, ...
    """
    found = plain_text(name)
    if not isinstance(found, str) or len(found) > INSTANCE_NAME_MAX or not _NAME.fullmatch(found):
        raise InvalidInputError(
            "instance",
            name,
            f"must be 1 to {INSTANCE_NAME_MAX} letters, digits, '.', '_', '-', and not begin with '.' or '-'",
        )
    return found


def sync(path: Path) -> None:
    """Fsync a file, or a folder, so that the names in it are durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, text: str) -> None:
    """Replace a small file durably; a crash leaves either the old or the new text."""
    draft_durably(path, text).replace(path)
    sync(path.parent)


def draft_durably(path: Path, text: str) -> Path:
    """Write the new text of a small file to a draft beside it, durably; return the draft's path."""
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def open_directory(path: Path, *, readonly: bool) -> None:
    """Check that ``path`` is an archive's directory; unless ``readonly``, an absent or empty one is made.

    Raises :class:`~yamcs_archive.errors.NotAnArchiveError` for a directory that has other files, an unknown
    layout, a network file system (LMDB's locks and map do not work there), or a 32-bit process.
    """
    if sys.maxsize < 2**32:
        raise NotAnArchiveError(str(path), "a 32-bit process cannot map an archive; use a 64-bit Python")
    marker = path / _MARKER
    try:
        if not readonly:
            make_folders(path)
        if not path.is_dir():
            raise NotAnArchiveError(
                str(path), "there is no such directory" if not path.exists() else "it is not a directory"
            )
        if (path / UNFINISHED).exists():
            raise NotAnArchiveError(str(path), _unfinished_reason(path))
        kind = file_system_of(path)
        if kind in _NETWORK_FILE_SYSTEMS:
            raise NotAnArchiveError(str(path), f"it lies on {kind}, where LMDB is not safe; use a local disk")
        if not marker.exists():
            if readonly or not {entry.name for entry in path.iterdir()} <= _HARMLESS | {f".{_MARKER}.new"}:
                raise NotAnArchiveError(str(path), "it holds other files, and no archive")
            with suppress(PermissionError):  # this user may not be able to read the parent folder
                sync(path.parent)
            write_durably(marker, _MARKER_TEXT)
        elif (found := marker.read_text(errors="replace")) != _MARKER_TEXT:
            raise NotAnArchiveError(str(path), _layout_reason(found))
    except OSError as error:
        if error.errno in _NO_FOLDER:
            raise NotAnArchiveError(str(path), f"{error.strerror or error}") from error
        raise in_our_words(error, path) from error


def _layout_reason(found: str) -> str:
    layout = _LAYOUT.fullmatch(found)
    if layout is not None and int(layout[1]) > LAYOUT_VERSION:
        reader = f"{layout[2]} and later versions read it" if layout[2] else "use the version that wrote it"
        return (
            f"it has layout {layout[1]} of a later yamcs_archive, this program knows layout {LAYOUT_VERSION};"
            f" {reader}"
        )
    return f"its layout is {shown(found.strip())}, this program knows {_MARKER_TEXT.strip()!r}"


def _unfinished_reason(path: Path) -> str:
    with suppress(OSError):
        return (path / UNFINISHED).read_text(errors="replace").strip()
    return "it was not finished"


def begin_directory(path: Path, reason: str) -> None:
    """Make a directory to be filled with instances; until :func:`finish_directory` it cannot be opened.

    ``reason`` says why not, and what to do. Raises NotAnArchiveError if there is something at the path other
    than an empty directory.
    """
    with os_errors_translated(path):
        if path.exists() and not path.is_dir():
            raise NotAnArchiveError(str(path), "it is not a directory")
        make_folders(path)
        there = {entry.name for entry in path.iterdir()} - _HARMLESS
        if UNFINISHED in there:
            raise NotAnArchiveError(str(path), _unfinished_reason(path))
        if there:
            raise NotAnArchiveError(str(path), "it is not empty; name a directory that does not exist yet")
        kind = file_system_of(path)
        if kind in _NETWORK_FILE_SYSTEMS:
            raise NotAnArchiveError(str(path), f"it lies on {kind}, where LMDB is not safe; use a local disk")
        write_durably(path / UNFINISHED, reason + "\n")


def finish_directory(path: Path) -> None:
    """Make a filled directory an archive, durably."""
    with os_errors_translated(path):
        write_durably(path / _MARKER, _MARKER_TEXT)
        (path / UNFINISHED).unlink()
        sync(path)


def damaged_instances(directory: Path) -> list[str]:
    """Return the names of all folders that are or were instances, sorted, whatever is missing in them."""
    with os_errors_translated(directory):
        return sorted(
            entry.name
            for entry in directory.iterdir()
            if _NAME.fullmatch(entry.name)
            and ((entry / CURRENT).is_file() or next(entry.glob("gen-*/"), None) is not None)
        )


def make_folders(path: Path) -> None:
    """Make a folder and its absent parents, and fsync the parent of each.

    If this raises, it removes the folders that it made: the next call would take them for durable.
    """
    absent: list[Path] = []
    while not path.exists():
        absent.append(path)
        path = path.parent
    made: list[Path] = []
    try:
        for folder in reversed(absent):
            folder.mkdir(exist_ok=True)  # another process may make it at the same moment
            made.append(folder)
            sync(folder.parent)
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):  # another process may have put a file there
                folder.rmdir()
        raise


def file_system_of(path: Path) -> str:
    """Return the type of the file system that has ``path``, or "" if the system does not tell it."""
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    real = os.path.realpath(path)
    best = kind = ""
    for line in mounts:
        _, mounted_at, file_system, *_ = line.split(" ")
        mounted_at = mounted_at.replace("\\040", " ")
        inside = real == mounted_at or real.startswith(mounted_at.rstrip("/") + "/")
        if inside and len(mounted_at) >= len(best):
            best, kind = mounted_at, file_system
    return kind


def instance_names(directory: Path) -> list[str]:
    """Return the names of the instances in an archive's directory, sorted; GoneError if it is gone."""
    with os_errors_translated(directory):
        return sorted(
            entry.name
            for entry in directory.iterdir()
            if _NAME.fullmatch(entry.name) and (entry / CURRENT).is_file()
        )


def rename_instance(directory: Path, name: str, new_name: str) -> None:
    """Rename an instance that no program has open, durably; InstanceExistsError if the new name is in use.

    After an error the instance has its old name, unless the medium refused that too.
    """
    new = directory / check_instance_name(new_name)
    with os_errors_translated(directory):
        if new.exists():
            raise InstanceExistsError(new_name)
        _rename(directory / name, new)


def delete_instance(directory: Path, name: str) -> None:
    """Delete an instance that no program has open, durably.

    After an error it is there as before, unless the medium refused that too. From the rename on it is gone:
    if its files cannot be removed, :func:`clear_deleted` tries again.
    """
    aside = directory / f".{check_instance_name(name)}.deleted"
    with os_errors_translated(directory):
        if aside.exists():  # the leftover of a crash
            shutil.rmtree(aside)
        _rename(directory / name, aside)
    shutil.rmtree(aside, ignore_errors=True)
    failpoint("instance-removed")


def _rename(old: Path, new: Path) -> None:
    """Rename a folder durably; after an error it has its old name, unless the medium refused that too."""
    failpoint("instance-before-rename")
    old.rename(new)
    failpoint("instance-renamed")
    try:
        sync(new.parent)
    except BaseException:
        with suppress(OSError):
            new.rename(old)
        raise
    failpoint("instance-synced")


def clear_deleted(directory: Path) -> None:
    """Remove the files of instances whose deletion a crash has ended early. Only the writer may do that."""
    with os_errors_translated(directory):
        left = [entry for entry in directory.iterdir() if _DELETED.fullmatch(entry.name)]
    for entry in left:
        shutil.rmtree(entry, ignore_errors=True)


def create_instance(directory: Path, name: str, fill: Callable[[Path], None]) -> None:
    """Make an instance with an empty first generation; ``fill(folder)`` is called to write its data.

    Raises :class:`~yamcs_archive.errors.InstanceExistsError`. After another error its draft is removed, to
    give the room back. If the last fsync fails, the instance exists, but its name may not be durable: see
    :func:`make_names_durable`.
    """
    try:
        fill(draft_instance(directory, name))
        publish_instance(directory, name)
    except InstanceExistsError:
        raise
    except BaseException:
        discard_instance(directory, name)  # its files may be what fills the medium
        raise


def draft_instance(directory: Path, name: str) -> Path:
    """Make the folder of a new instance under a name that nobody opens, and return it.

    Raises :class:`~yamcs_archive.errors.InstanceExistsError`.
    """
    draft = directory / f".{check_instance_name(name)}.new"
    with os_errors_translated(directory):
        if (directory / name).exists():
            raise InstanceExistsError(name)
        shutil.rmtree(draft, ignore_errors=True)  # the leftover of a crash
        (draft / _FIRST_GENERATION).mkdir(parents=True)
        write_durably(draft / CURRENT, _FIRST_GENERATION + "\n")
    return draft


def publish_instance(directory: Path, name: str) -> None:
    """Give a draft, whose data is durable, the name of the instance. Raises InstanceExistsError."""
    draft, final = directory / f".{name}.new", directory / name
    with os_errors_translated(directory):
        if final.exists():
            raise InstanceExistsError(name)
        sync(draft / _FIRST_GENERATION)
        failpoint("instance-drafted")
        draft.rename(final)
        failpoint("instance-renamed")
        sync(directory)


def remove_drafts(directory: Path) -> None:
    """Remove the drafts of instances that a crash left. Only the writer may do that, before it makes any.

    If one cannot be removed, the next writer tries again.
    """
    with os_errors_translated(directory):
        for entry in directory.iterdir():
            if _DRAFT.fullmatch(entry.name) and entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)


def discard_instance(directory: Path, name: str) -> None:
    """Remove the draft of an instance."""
    shutil.rmtree(directory / f".{name}.new", ignore_errors=True)


def make_names_durable(folder: Path) -> None:
    """Make the names in a folder durable: after a crash or a failure they may not be.

    Call this before any event is acknowledged in a file that is found by one of them.
    """
    with os_errors_translated(folder):
        sync(folder)

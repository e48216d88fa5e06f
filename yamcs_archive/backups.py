"""Backups as users have them: written to a folder, listed, verified, and opened to be restored.

They are of an instance in a directory or in a served archive: both give the same stream. What a folder of
backups is says :mod:`yamcs_archive.storage.backup.folder`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Protocol

from yamcs_archive import arguments
from yamcs_archive.errors import (
    ArchiveDataError,
    BackupError,
    GoneError,
    InvalidInputError,
    OtherHistoryError,
)
from yamcs_archive.results import Backup, BackupCheck, BackupManifest
from yamcs_archive.storage.backup import folder as folders
from yamcs_archive.storage.backup.decoder import BackupReader, backups_in, checked_copy
from yamcs_archive.storage.backup.snapshot import PrunedMeanwhileError
from yamcs_archive.storage.disk.file_system import os_errors_translated
from yamcs_archive.storage.format.commits import decode_cursor
from yamcs_archive.user_paths import given_path

_TRIES = 3
"""How often a backup is begun again if events are pruned meanwhile."""
RATE_MAX = 1 << 50
"""Greatest rate, in bytes per second."""
KEEP_MAX = 1 << 20
"""Greatest number of chains to keep."""

Readable = Callable[[int], bytes]
"""Returns up to so many bytes, none at the end."""


class Source(Protocol):
    """An instance that can be backed up."""

    name: str

    def cursor(self) -> str:
        """Return the cursor after the newest event."""

    def backup_stream(self, after: str | None = None) -> Iterator[bytes]:
        """Return the bytes of a backup."""


def new_backup(
    source: Source,
    target: str | os.PathLike[str],
    *,
    incremental: bool = False,
    keep: int | None = None,
    rate_bytes_per_s: int | None = None,
) -> Backup:
    """Write a backup of an instance to a folder; see :meth:`yamcs_archive.Instance.backup`."""
    incremental = arguments.flag("incremental", incremental)
    keep = None if keep is None else arguments.whole("keep", keep, 1, KEEP_MAX)
    if rate_bytes_per_s is not None:
        rate_bytes_per_s = arguments.whole("rate_bytes_per_s", rate_bytes_per_s, 1, RATE_MAX)
    folder = given_path(target, "target")
    with folders.open_folder(folder):
        after = _base(folder, source) if incremental else None
        written = _written(folder, source, after, rate_bytes_per_s)
        deleted = [] if keep is None else folders.delete_older(folder, written, keep)
    return Backup(written.path, written.bytes, written.manifest, written.seconds, tuple(deleted))


def _written(folder: Path, source: Source, after: str | None, rate_bytes_per_s: int | None) -> Backup:
    for tries_left in range(_TRIES - 1, -1, -1):
        try:
            return folders.write(folder, source.name, source.backup_stream(after), rate_bytes_per_s)
        except PrunedMeanwhileError:
            if not tries_left:
                raise
        except OtherHistoryError:  # files that were put back to an older state keep their lineage
            if after is None:
                raise
            after = None
    raise AssertionError("the last try returns or raises")


def _base(folder: Path, source: Source) -> str | None:
    """Return the cursor of the backup that an incremental one continues; None if there is none."""
    lineage = decode_cursor(source.cursor()).lineage.hex()
    backups, _ = folders.found_in(folder)
    own = [backup for backup in backups if backup.manifest.lineage == lineage]
    chains, _ = folders.chains_of(own, source.name)
    return chains[-1][-1].manifest.cursor if chains else None


def stream_manifest(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, BackupManifest | None]]:
    """Yield the bytes of a backup, checked frame by frame, in pieces; the last one comes with the manifest.

    Raises BackupError unless it is one whole backup.
    """
    return checked_copy(chunks, "the stream")


def paced(rate_bytes_per_s: int | None) -> Callable[[int], None]:
    """Return a function that is told of bytes written, and waits where they were too many for the rate."""
    return folders.paced(rate_bytes_per_s)


def list_backups(target: str | os.PathLike[str]) -> list[Backup]:
    """Return the backups in a folder, oldest first, or the one in a file, by their manifests alone.

    Raises :class:`~yamcs_archive.errors.BackupError` for a file that has none, GoneError if nothing is there.

    >>> with Archive.open(directory) as archive:
    ...     done = archive.instance("simulator", create=True).backup(directory / "copies")
    >>> list_backups(directory / "copies")[0].path == done.path
    True
    """
    path = given_path(target, "target")
    if not _is_folder(path):
        return [folders.backup_at(path)]
    found, faults = folders.found_in(path)
    if faults:
        raise faults[0]
    return found


def verify_backup(copy: str | os.PathLike[str]) -> list[BackupCheck]:
    """Read a backup, or all that are in a folder, and return what is wrong with each; nothing is restored.

    Everything is decoded and compared with the manifest: checksums, order, hash, counts. In a folder, each
    incremental backup must have the one that it continues. Raises GoneError if nothing is there.

    >>> with Archive.open(directory) as archive:
    ...     done = archive.instance("simulator", create=True).backup(directory / "copies")
    >>> [check.fault for check in verify_backup(directory / "copies")]
    [None]
    """
    path = given_path(copy, "copy")
    if not _is_folder(path):
        return [_check_file(path)]
    backups, faults = folders.found_in(path)
    checks = {backup.path: _check_file(backup.path) for backup in backups}
    for instance in {backup.manifest.instance for backup in backups}:
        for stray in folders.chains_of(backups, instance)[1]:
            commit = stray.manifest.after_commit
            fault = f"the backup up to commit {commit}, which it continues, is missing"
            if checks[stray.path].fault is None:
                checks[stray.path] = BackupCheck(str(stray.path), stray.manifest, fault)
    unreadable = [BackupCheck(error.where, None, error.reason) for error in faults]
    return sorted([*checks.values(), *unreadable], key=lambda check: check.where)


def verify_backup_stream(read: Readable, where: str) -> list[BackupCheck]:
    """Do the same for a stream of backups that follow one another; reading ends at the first fault."""
    checks: list[BackupCheck] = []
    try:
        for backup in backups_in(read, where):
            for _ in backup.parts():
                pass
            checks.append(BackupCheck(where, backup.manifest, None))
    except ArchiveDataError as error:
        return [*checks, BackupCheck(where, None, _reason(error))]
    return checks or [BackupCheck(where, None, "it is empty")]


def _check_file(path: Path) -> BackupCheck:
    with os_errors_translated(path), path.open("rb") as file:
        checks = verify_backup_stream(file.read, str(path))
    if len(checks) > 1:
        faults = [check.fault for check in checks if check.fault is not None]
        return BackupCheck(str(path), None, faults[0] if faults else "another backup follows in the file")
    return checks[0]


def _reason(error: ArchiveDataError) -> str:
    return error.reason if isinstance(error, BackupError) else str(error)


def _is_folder(path: Path) -> bool:
    if not path.exists():
        raise GoneError(str(path), "there is no such file or folder")
    return path.is_dir()


def chains_in(
    copy: str | os.PathLike[str] | Readable,
    instance: str | None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Iterator[tuple[str, Iterator[BackupReader]]]:
    """Yield what is to be restored: the name of each instance, and the backups to read for it, in order.

    ``copy`` is a folder (the newest chain of each of its instances), a file, or a function that reads a
    stream. ``instance``: only the one of that name; or the only one that is there, under that name.
    ``progress`` is called with a name, the number of bytes read for it, and that of all; not for a stream.

    Raises BackupError, GoneError, and InvalidInputError if it is not clear which one is meant.
    """
    if callable(copy):
        yield from _chains_of_stream(copy, instance)
        return
    path = given_path(copy, "copy")
    if not _is_folder(path):
        chain = folders.chain_of_file(path)
        name = instance or chain[0].manifest.instance
        yield name, _read(chain, name, progress)
        return
    found, _ = folders.found_in(path)
    names = sorted({backup.manifest.instance for backup in found})
    if not names:
        raise BackupError(str(path), "there is no backup in it")
    if instance is not None and instance not in names and len(names) > 1:
        raise InvalidInputError("instance", instance, f"is not one of those in {path}: {', '.join(names)}")
    for name in names if instance is None or instance not in names else [instance]:
        chains, _ = folders.chains_of(found, name)
        if not chains:
            raise BackupError(str(path), f"it has no full backup of {name}")
        yield instance or name, _read(chains[-1], instance or name, progress)


def _read(
    chain: folders.Chain, name: str, progress: Callable[[str, int, int], None] | None
) -> Iterator[BackupReader]:
    done_bytes, all_bytes = 0, sum(backup.bytes for backup in chain)
    for backup in chain:
        with ExitStack() as opened:
            with os_errors_translated(backup.path):
                file = opened.enter_context(backup.path.open("rb"))

            def read(wanted: int, file: BinaryIO = file) -> bytes:
                nonlocal done_bytes
                found = file.read(wanted)
                done_bytes += len(found)
                if progress is not None:
                    progress(name, done_bytes, all_bytes)
                return found

            yield from backups_in(read, str(backup.path))


def _chains_of_stream(read: Readable, instance: str | None) -> Iterator[tuple[str, Iterator[BackupReader]]]:
    backups = backups_in(read, "-")
    ahead = [next(backups, None)]
    if ahead[0] is None:
        raise BackupError("-", "it is empty")

    def chain(first: BackupReader) -> Iterator[BackupReader]:
        yield first
        ahead[0] = next(backups, None)
        while (backup := ahead[0]) is not None and backup.head.after is not None:
            yield backup
            ahead[0] = next(backups, None)

    while (first := ahead[0]) is not None:
        yield instance or first.head.instance, chain(first)
        if instance is not None and ahead[0] is not None:
            raise BackupError("-", f"after it comes one of {ahead[0].head.instance}, which was not restored")

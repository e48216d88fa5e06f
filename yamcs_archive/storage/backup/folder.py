"""A folder of backups: files that are whole or not there, and the chains that they make.

    NAME.20261130T074651Z.3100.full.backup          a full backup up to commit 3100
    NAME.20261130T084651Z.3250.incremental.backup   what came after it, up to commit 3250

1. A file gets its name when it is whole and synced; until then its name begins with a dot. The folder is
   synced after that, and before older files are deleted.
2. One process at a time writes backups to a folder: it holds a lock on it, and removes what a crash left.
3. What a file is stands in its manifest; its name is for people. A *chain* is a full backup and the
   incremental ones after it, each of which continues the one before.
4. Only files are deleted that have such a name and a sound manifest, of the same instance and history as the
   backup that was just made, of chains that are complete; the newest of a chain first, so that no incremental
   backup is ever without its base.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from yamcs_archive.errors import BackupError, LockedError, NotAnArchiveError, shown
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.results import Backup, BackupManifest
from yamcs_archive.storage.backup.decoder import checked_copy
from yamcs_archive.storage.disk.directory import check_instance_name, make_folders, sync
from yamcs_archive.storage.disk.file_system import os_errors_translated
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.backup_frames import FOOT_BYTES, read_manifest

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\.[0-9]{8}T[0-9]{6}Z\.[0-9]+\.(full|incremental)\.backup")
"""The names of backups."""
_DRAFT = re.compile(r"\.[0-9]+\.backup\.new")
_SLEEP_S_MAX = 0.5

Chain = list[Backup]
"""A full backup and the incremental ones that continue it, in order."""


def found_in(folder: Path) -> tuple[list[Backup], list[BackupError]]:
    """Return the backups of a folder, by time, and the errors of files that only have such a name."""
    backups, faults = [], []
    with os_errors_translated(folder):
        for path in sorted(entry for entry in folder.iterdir() if NAME.fullmatch(entry.name)):
            try:
                backups.append(backup_at(path))
            except BackupError as error:
                faults.append(error)
    return sorted(backups, key=_by_time), faults


def backup_at(path: Path) -> Backup:
    """Return the backup in a file, from its manifest alone. Raises BackupError, GoneError."""
    with os_errors_translated(path), path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size

        def read_end(wanted: int) -> bytes:
            file.seek(max(0, size_bytes - wanted))
            return file.read(wanted)

        manifest = read_manifest(read_end, str(path)) if size_bytes >= FOOT_BYTES else None
    if manifest is None:
        raise BackupError(str(path), "it is not finished, or was cut short")
    return Backup(path, size_bytes, manifest)


def chains_of(backups: list[Backup], instance: str) -> tuple[list[Chain], list[Backup]]:
    """Return the chains of an instance, the newest full backup last, and backups whose base is missing.

    Which backup continues which is told by cursors, so a clock that was set back does no harm there.
    """
    own = [backup for backup in backups if backup.manifest.instance == instance]
    chains = [[backup] for backup in sorted(own, key=_by_time) if backup.manifest.full]
    without_base: list[Backup] = []
    for backup in sorted((one for one in own if not one.manifest.full), key=_by_commit):
        manifest = backup.manifest
        for chain in reversed(chains):
            end = chain[-1].manifest
            if (end.lineage, end.cursor) == (manifest.lineage, manifest.after):
                chain.append(backup)
                break
        else:
            without_base.append(backup)
    return chains, without_base


def _by_time(backup: Backup) -> tuple[int, int]:
    return backup.manifest.created, backup.manifest.commit


def _by_commit(backup: Backup) -> tuple[int, int, int]:
    return backup.manifest.commit, backup.manifest.after_commit, backup.manifest.created


def chain_of_file(path: Path) -> Chain:
    """Return what has to be read to restore a file: itself, and what it continues from its folder.

    Raises BackupError if something of that is missing.
    """
    wanted = backup_at(path)
    if wanted.manifest.full:
        return [wanted]
    backups, _ = found_in(path.parent)
    if all(backup.path.name != path.name for backup in backups):
        backups.append(wanted)
    for chain in chains_of(backups, wanted.manifest.instance)[0]:
        for at, backup in enumerate(chain):
            if backup.path.name == path.name:
                return chain[: at + 1]
    reason = f"the backup up to commit {wanted.manifest.after_commit}, which it continues, is not beside it"
    raise BackupError(str(path), reason)


@contextmanager
def open_folder(folder: Path) -> Iterator[None]:
    """Hold the right to write backups to a folder, which is made if it is absent.

    Raises LockedError while another process has it.
    """
    with os_errors_translated(folder):
        if folder.exists() and not folder.is_dir():
            raise NotAnArchiveError(str(folder), "it is not a folder to write backups to")
        make_folders(folder)
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with os_errors_translated(folder):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise LockedError(str(folder), "another backup") from None
                # Some network file systems have no locks; there, let only one program write.
            for entry in folder.iterdir():
                if _DRAFT.fullmatch(entry.name):
                    entry.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def write(folder: Path, instance: str, chunks: Iterator[bytes], rate_bytes_per_s: int | None) -> Backup:
    """Write a backup of an instance into a folder of :func:`open_folder`, checked frame by frame, durably.

    Raises BackupError for a stream that is not one whole backup of it, OutOfSpaceError, and what ``chunks``
    raises. Then nothing is left of it.
    """
    begun_s = time.monotonic()
    draft = folder / f".{os.getpid()}.backup.new"
    try:
        with os_errors_translated(folder):
            manifest, size_bytes = _fill(draft, chunks, rate_bytes_per_s)
            _check_meant(manifest, instance)
            failpoint("backup-synced")
            path = _free_name(folder, manifest)
            draft.rename(path)
            failpoint("backup-renamed")
            sync(folder)
            failpoint("backup-named")
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    return Backup(path, size_bytes, manifest, time.monotonic() - begun_s)


def _check_meant(manifest: BackupManifest, instance: str) -> None:
    """Raise BackupError for the manifest of something else: a server may have sent anything."""
    if manifest.instance != check_instance_name(instance):
        raise BackupError("the new backup", f"it is of {shown(manifest.instance)}, not of {instance!r}")
    if not TIME_MIN_US <= manifest.created <= TIME_MAX_US:
        raise BackupError("the new backup", f"it says that it was made at {manifest.created}")


def _fill(draft: Path, chunks: Iterator[bytes], rate_bytes_per_s: int | None) -> tuple[BackupManifest, int]:
    size_bytes, manifest = 0, None
    pace = paced(rate_bytes_per_s)
    with draft.open("wb") as file:
        for raw, found in checked_copy(chunks, "the new backup"):
            file.write(raw)
            size_bytes += len(raw)
            manifest = found
            pace(len(raw))
        file.flush()
        failpoint("backup-written")
        os.fsync(file.fileno())
    if manifest is None:
        raise BackupError("the new backup", "it has no manifest")
    return manifest, size_bytes


def paced(rate_bytes_per_s: int | None) -> Callable[[int], None]:
    """Return a function that is told of bytes written, and waits where they were too many for the rate.

    >>> pace = paced(None)
    >>> pace(1 << 20)
    """
    begun_s, written = time.monotonic(), 0

    def pace(size_bytes: int) -> None:
        nonlocal written
        written += size_bytes
        while rate_bytes_per_s is not None:
            ahead_s = written / rate_bytes_per_s - (time.monotonic() - begun_s)
            if ahead_s <= 0:
                return
            time.sleep(min(ahead_s, _SLEEP_S_MAX))  # short, so that a signal is handled soon

    return pace


def _free_name(folder: Path, manifest: BackupManifest) -> Path:
    """Return the path for a backup; the next second that is free where there is one of the same name."""
    kind = "full" if manifest.full else "incremental"
    second = manifest.created // 1_000_000
    while True:
        stamp = f"{datetime.fromtimestamp(second, UTC):%Y%m%dT%H%M%SZ}"
        path = folder / f"{manifest.instance}.{stamp}.{manifest.commit}.{kind}.backup"
        if not path.exists():
            return path
        second += 1


def delete_older(folder: Path, newest: Backup, keep: int) -> list[Path]:
    """Keep the newest ``keep`` chains of a backup's instance and history; return what was deleted."""
    backups, _ = found_in(folder)
    same = [backup for backup in backups if backup.manifest.lineage == newest.manifest.lineage]
    chains, _ = chains_of(same, newest.manifest.instance)
    if not any(backup.path == newest.path for chain in chains[-keep:] for backup in chain):
        return []  # the clock was set back: which chains are the newest is not known
    deleted = []
    with os_errors_translated(folder):
        for chain in chains[:-keep]:
            for backup in reversed(chain):
                backup.path.unlink(missing_ok=True)
                deleted.append(backup.path)
                failpoint("backup-older-deleted")
        if deleted:
            sync(folder)
    return deleted

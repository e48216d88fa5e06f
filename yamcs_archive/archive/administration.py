"""What an archive does with whole instances: set aside, rename, delete, restore."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import chain, count
from typing import TYPE_CHECKING

from yamcs_archive import arguments
from yamcs_archive.archive.base import OpenArchive
from yamcs_archive.errors import (
    ClosedError,
    InstanceExistsError,
    InvalidInputError,
    ReadOnlyError,
    UnknownInstanceError,
    shown,
)
from yamcs_archive.results import Restored
from yamcs_archive.storage.disk.directory import (
    check_instance_name,
    delete_instance,
    discard_instance,
    draft_instance,
    publish_instance,
    rename_instance,
)
from yamcs_archive.storage.disk.file_system import os_errors_translated
from yamcs_archive.storage.interrupts import Hold, uninterrupted

if TYPE_CHECKING:
    from yamcs_archive.storage.backup.decoder import BackupReader

_STEM_CHARACTERS_MAX = 96
"""Longest part of a name to which a time is added, in characters, so that the new name is not too long."""


class Administration(OpenArchive):
    """Changes which instances an archive has."""

    def set_aside(self, name: str) -> str:
        """Add the time to the name of an instance, so that the name becomes free; return the new name.

        None of its events is lost. If it is open here, it is closed. Raises UnknownInstanceError,
        ReadOnlyError, ClosedError, ForkedError.

        >>> archive = Archive.open(directory)
        >>> _ = archive.instance("simulator", create=True)
        >>> archive.set_aside("simulator") in archive.instances(), "simulator" in archive.instances()
        (True, False)
        """
        self._check_usable()
        self._refuse_within_callback()
        return uninterrupted(partial(self._set_aside, self._known_name(name)))

    def _set_aside(self, name: str) -> str:
        with self._guard:
            known = self._known_with(name, f"set instance {name!r} aside")
            self._close_instance(name)
            stem = f"{name[:_STEM_CHARACTERS_MAX]}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
            free = next(
                free for free in chain([stem], (f"{stem}-{n}" for n in count(2))) if free not in known
            )
            rename_instance(self.path, name, free)
            return free

    def _known_name(self, name: str) -> str:
        """Return a name that an instance can have; UnknownInstanceError for any other value."""
        try:
            return check_instance_name(name)
        except InvalidInputError:
            raise UnknownInstanceError(name, self._names()) from None

    def _known_with(self, name: str, action: str) -> list[str]:
        """Return the names of all instances; raise if the action is not allowed, or none has this name."""
        self._check_usable()
        if self.readonly:
            raise ReadOnlyError(action)
        known = self._names()
        if name not in known:
            raise UnknownInstanceError(name, known)
        return known

    def _close_instance(self, name: str) -> None:
        """Close an instance if it is open, after committing what was submitted to it; with the guard."""
        opened = self._instances.pop(name, None)
        if opened is not None:
            self._ending = (opened,)
            opened.moved = True
            try:
                opened._close()
            except BaseException:
                opened.moved = False
                self._instances[name] = opened  # close() will try again
                raise
            finally:
                self._ending = ()

    def rename(self, name: str, new_name: str) -> None:
        """Give an instance another name, durably; its events, cursors and history stay.

        If it is open here, what was submitted is committed and it is closed: its object raises ClosedError
        from then on, :meth:`instance` opens it under the new name, and a compaction or pruning that is under
        way ends early. Processes that read it get GoneError; mirrors elsewhere that follow it stop. A crash
        leaves the old name or the new one.

        Raises :class:`~yamcs_archive.errors.InstanceExistsError` if the new name is in use, InvalidInputError
        for one that no instance can have, UnknownInstanceError, ReadOnlyError, ClosedError, ForkedError.

        >>> archive = Archive.open(directory)
        >>> _ = archive.instance("simulator", create=True).append(Event("Wheel 3 over speed"))
        >>> archive.rename("simulator", "bench")
        >>> archive.instances(), archive.instance("bench").count()
        (['bench'], 1)
        """
        self._check_usable()
        self._refuse_within_callback()
        uninterrupted(partial(self._rename, self._known_name(name), check_instance_name(new_name)))

    def _rename(self, name: str, new_name: str) -> None:
        with self._guard:
            known = self._known_with(name, f"rename instance {name!r}")
            if new_name in known:
                raise InstanceExistsError(new_name)
            self._close_instance(name)
            rename_instance(self.path, name, new_name)

    def delete(self, name: str, *, confirm: str) -> None:
        """Delete an instance and all of its events, for good; ``confirm`` must be its name once more.

        If it is open here it is closed first, as by :meth:`rename`. It is gone as soon as its folder has a
        name that is no instance's; a crash after that leaves files, which the next opening removes.

        Raises :class:`~yamcs_archive.errors.InvalidInputError` if ``confirm`` is another name,
        UnknownInstanceError, ReadOnlyError, ClosedError, ForkedError.

        >>> archive = Archive.open(directory)
        >>> _ = archive.instance("simulator", create=True)
        >>> archive.delete("simulator", confirm="simulator")
        >>> archive.instances()
        []
        """
        self._check_usable()
        self._refuse_within_callback()
        name = self._known_name(name)
        if arguments.text("confirm", confirm) != name:
            raise InvalidInputError("confirm", confirm, f"must be the name of the instance, {shown(name)}")
        uninterrupted(partial(self._delete, name))

    def _delete(self, name: str) -> None:
        with self._guard:
            self._known_with(name, f"delete instance {name!r}")
            self._close_instance(name)
            delete_instance(self.path, name)

    def restore(
        self,
        copy: str | os.PathLike[str] | Callable[[int], bytes],
        *,
        instance: str | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> list[Restored]:
        """Make instances from backups, each complete and durable on return, or not there.

        ``copy`` is a folder of backups (the newest full backup of each instance, and the incremental ones
        after it), a file (and what it continues, from its folder), or a function that reads a stream: it
        returns up to the given number of bytes, none at the end. ``instance``: only the instance of that
        name; or the only one that is there, under that name. ``progress`` is called from time to time, by
        another thread, with the name of an instance, the number of bytes read for it, and that of all; not
        for a stream, which the caller reads.

        All is verified while it is read. A restored instance answers every query as the original did at the
        moment of its backup. Its lineage is new: cursors of the original are refused, with OtherHistoryError.
        A mirror stays a mirror.

        Raises :class:`~yamcs_archive.errors.BackupError` for a backup that is damaged, unfinished or without
        its base, InstanceExistsError, InvalidInputError, OutOfSpaceError, ReadOnlyError, ClosedError,
        ForkedError; what was restored before is there. An interrupt ends the restore.

        >>> with Archive.open(directory) as archive:
        ...     sim = archive.instance("simulator", create=True)
        ...     _ = sim.append(Event("First"))
        ...     _ = sim.backup(directory / "copies")
        ...     [done] = archive.restore(directory / "copies", instance="again")
        ...     done.events, archive.instance("again").count()
        (1, 1)
        """
        self._check_usable()
        if self.readonly:
            raise ReadOnlyError("restore an instance")
        name = None if instance is None else check_instance_name(instance)
        self._names()  # the lock is this archive's
        told = arguments.callback("progress", progress)
        return uninterrupted(partial(self._restore, copy, name, told, Hold()))

    def _restore(
        self,
        copy: str | os.PathLike[str] | Callable[[int], bytes],
        name: str | None,
        progress: Callable[[str, int, int], None] | None,
        wait: Hold,
    ) -> list[Restored]:
        with os_errors_translated(self.path):  # as in _open_instance()
            from yamcs_archive.backups import chains_in  # noqa: PLC0415

        def go_on() -> None:
            self._check_usable()
            if not wait.held:  # the caller was interrupted
                raise ClosedError

        return [
            self._restore_one(found, backups, go_on) for found, backups in chains_in(copy, name, progress)
        ]

    def _restore_one(self, name: str, backups: Iterator[BackupReader], go_on: Callable[[], None]) -> Restored:
        from yamcs_archive.storage.lmdb_store import LmdbStore  # noqa: PLC0415  # as in _open_instance()

        begun_s = time.monotonic()
        with self._guard:
            if name in self._restoring:
                raise InstanceExistsError(name)
            draft = draft_instance(self.path, name)
            self._restoring.add(name)
        try:
            total = LmdbStore.restore(draft, name, backups, self._options, go_on)
            with self._guard:
                go_on()
                self._names()
                publish_instance(self.path, name)
        except BaseException:
            discard_instance(self.path, name)
            raise
        finally:
            self._restoring.discard(name)
        seconds = time.monotonic() - begun_s
        content = total.content
        return Restored(name, content.events, total.commits, content.hex(), total.backups, seconds)

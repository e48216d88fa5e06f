"""The archive: a directory of instances. Users of the library open it first."""

from __future__ import annotations

import _thread
import atexit
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Never, Self

from yamcs_archive import arguments
from yamcs_archive.errors import (
    ClosedError,
    ForkedError,
    InstanceExistsError,
    InvalidInputError,
    MirrorError,
    ReadOnlyError,
    UnknownInstanceError,
    shown,
)
from yamcs_archive.options import Options
from yamcs_archive.results import Restored
from yamcs_archive.storage.disk.directory import (
    check_instance_name,
    clear_deleted,
    create_instance,
    delete_instance,
    discard_instance,
    draft_instance,
    instance_names,
    make_names_durable,
    open_directory,
    publish_instance,
    remove_drafts,
    rename_instance,
)
from yamcs_archive.storage.disk.file_system import check_room, os_errors_translated
from yamcs_archive.storage.disk.writer_lock import WriterLock
from yamcs_archive.storage.interrupts import LOOK_AGAIN_S, Hold, uninterrupted
from yamcs_archive.user_paths import given_path

if TYPE_CHECKING:
    from yamcs_archive.instance import Instance
    from yamcs_archive.reports import Diagnosis
    from yamcs_archive.results import Salvage
    from yamcs_archive.storage.backup.decoder import BackupReader

__all__ = ["Archive", "check_instance_name"]
_STEM_CHARACTERS_MAX = 96
"""Longest part of a name to which a time is added, in characters, so that the new name is not too long."""


class Archive:
    """A directory of instances, each of which is a stream of events. Safe to use from many threads.

    One process at a time may write to it; others may open it meanwhile with ``readonly=True``.

    >>> with Archive.open(directory) as archive:
    ...     sim = archive.instance("simulator", create=True)
    ...     archive.instances()
    ['simulator']
    >>> archive.closed
    True
    """

    def __init__(self, *opened: *tuple[Path, WriterLock | None, Options], **_named: Never) -> None:
        """Not for users: see :meth:`open`."""
        try:
            path, lock, options = opened
        except ValueError:
            raise TypeError("to open an archive, call Archive.open(path), not Archive(path)") from None
        self.path = path
        self._lock = lock
        self._options = options
        self._pid = os.getpid()
        self._guard = threading.Lock()
        self._instances: dict[str, Instance] = {}
        self._restoring: set[str] = set()
        self._ending: tuple[Instance, ...] = ()  # the thread that holds the guard waits for their writers
        self._closed = False
        self._closes_at_exit = True

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        readonly: bool = False,
        holder: str = "",
        close_at_exit: bool = True,
        options: Options | None = None,
    ) -> Self:
        """Open the archive in a directory, which is created if it is missing (unless ``readonly``).

        ``path`` may begin with ``~``. It means the same directory even after the process changes its current
        directory.

        ``holder``, for instance an address, identifies this process, with its id, in the errors of other
        processes that try to open the archive for writing meanwhile.

        An archive that is still open at the end of the interpreter is closed then. With ``close_at_exit``
        False the program has to do that, in its own turn, and keeps a reference until then.

        Raises :class:`~yamcs_archive.errors.LockedError` while another process writes to it,
        NotAnArchiveError if the directory contains something else or is on a network file system,
        FormatVersionError if an instance was written by a newer version, OutOfSpaceError and
        UnavailableError (missing rights, too many open files) if the system refuses: then nothing is locked,
        and the same call works once the cause is removed. InvalidInputError for a value that is no path.

        >>> Archive.open(directory, readonly=True).readonly
        True
        """
        directory = given_path(path)
        readonly, holder = arguments.flag("readonly", readonly), arguments.text("holder", holder)
        close_at_exit = arguments.flag("close_at_exit", close_at_exit)
        if options is not None and not isinstance(options, Options):
            raise InvalidInputError("options", options, "must be Options, or None")
        open_directory(directory, readonly=readonly)
        lock: WriterLock | None = None
        try:
            if not readonly:
                lock = WriterLock(directory, holder)
                clear_deleted(directory)
                remove_drafts(directory)
            opened = cls(directory, lock, Options() if options is None else options)
            opened._closes_at_exit = close_at_exit
            return opened
        except BaseException:
            if lock is not None:
                lock.release()
            raise

    @staticmethod
    def salvage(
        path: str | os.PathLike[str],
        target: str | os.PathLike[str],
        *,
        instances: Iterable[str] | None = None,
        progress: Callable[[str, int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        options: Options | None = None,
    ) -> dict[str, Salvage] | None:
        """Write all that can be read of a damaged archive to a new one, and return for each instance what is
        lost.

        The source may be damaged in any way: it need not be possible to open it, it is read without LMDB, and
        never changed. ``target`` must not exist yet, or be an empty directory. ``instances`` are names (None:
        all). The new instances keep keys, contents, reception times, users, extensions and order of arrival;
        the greatest numbers of sources, and request ids whose events were saved. They have histories of their
        own: cursors of the old ones are refused. A mirror becomes an archive that takes events.

        ``progress`` is called from time to time with the name of an instance, the number of its events
        written so far, and that of all. Once ``cancelled`` returns True this ends and returns None; then, and
        after any error or interrupt, the target is not finished: it cannot be opened, and says why.

        Raises LockedError while a process writes to the source, NotAnArchiveError if there is no instance at
        the path, or if the target is not empty; UnknownInstanceError, FormatVersionError, OutOfSpaceError,
        UnavailableError, InvalidInputError.

        >>> with Archive.open(directory) as archive:
        ...     done = archive.instance("simulator", create=True).append(Event("Wheel 3 over speed"))
        >>> found = Archive.salvage(directory, directory.with_name("saved"))
        >>> found["simulator"].events, found["simulator"].losses
        (1, ())
        """
        # The engine is loaded when it is needed, as for an instance.
        from yamcs_archive.salvaging import salvage_archive  # noqa: PLC0415

        return salvage_archive(
            given_path(path),
            given_path(target),
            instances=None if instances is None else list(arguments.names("instances", instances)),
            progress=progress,
            cancelled=arguments.callback("cancelled", cancelled),
            options=options,
        )

    @property
    def readonly(self) -> bool:
        """Whether the archive was opened for reading only."""
        return self._lock is None

    @property
    def closed(self) -> bool:
        """Whether the archive is closed."""
        return self._closed

    def instance(self, name: str, *, create: bool = False) -> Instance:
        """Return the instance of that name; with ``create``, create it if there is none.

        Raises :class:`~yamcs_archive.errors.UnknownInstanceError` if there is no such instance, even for a
        name that no instance can have. With ``create``, raises InvalidInputError for such a name, and
        ReadOnlyError if the archive is read-only and the instance does not exist. Raises GoneError if the
        directory is no longer at its path, OutOfSpaceError and UnavailableError if the system refuses (the
        same call works once the cause is removed), ClosedError, ForkedError. Raises RuntimeError in a
        callback of ``submit()`` that must open the instance while the archive is being closed or an instance
        is being set aside, because both wait for the callback.

        >>> Archive.open(directory, readonly=True).instance("../etc")
        Traceback (most recent call last):
          ...
        yamcs_archive.errors.UnknownInstanceError: No instance named '../etc' (there are: none yet)
        """
        self._check_usable()
        found = self._instances.get(name) if type(name) is str else None
        if found is not None:
            return found
        try:
            name = check_instance_name(name)
        except InvalidInputError:
            if create:
                raise
            raise UnknownInstanceError(name, self._names()) from None
        in_callback = False
        try:
            self._refuse_within_callback()
        except RuntimeError:
            in_callback = True
        return uninterrupted(partial(self._open_instance, name, create=create, in_callback=in_callback))

    def _open_instance(self, name: str, *, create: bool, in_callback: bool) -> Instance:
        # Load numpy and the engine with the first instance, because they take most of the time of an import.
        # A program that only imports Archive, or uses an archive over HTTP, needs neither.
        with os_errors_translated(self.path):  # loading them opens files, of which too many may be open
            from yamcs_archive.instance import Instance  # noqa: PLC0415
            from yamcs_archive.storage.lmdb_store import LmdbStore  # noqa: PLC0415

        with ExitStack() as guarded:
            while not self._guard.acquire(timeout=LOOK_AGAIN_S):
                if in_callback and self._ending:
                    raise RuntimeError(
                        f"a callback of submit() cannot open instance {name!r} while the archive is being"
                        " closed or an instance set aside, which waits for the callback; open it before"
                    )
            guarded.callback(self._guard.release)
            self._check_usable()
            found = self._instances.get(name)
            if found is not None:
                return found
            if self._closes_at_exit:
                _archives_in_use.add(self)
            known = self._names()
            if name not in known:
                if not create:
                    raise UnknownInstanceError(name, known)
                if self.readonly:
                    raise ReadOnlyError(f"create instance {name!r}")
                create_instance(self.path, name, lambda folder: LmdbStore.create(folder, name, self._options))
            options = self._options.of_instance(name)
            held = None
            if self._lock is not None:
                make_names_durable(self.path)
                held = self._lock.check
            store = LmdbStore(self.path / name, readonly=self.readonly, options=options, held=held)
            self._instances[name] = Instance(name, store, options)
            return self._instances[name]

    def open_instances(self) -> tuple[Instance, ...]:
        """Return the instances that are open in this process, in order of opening; it opens none.

        >>> archive = Archive.open(directory)
        >>> _ = archive.instance("simulator", create=True)
        >>> [instance.name for instance in archive.open_instances()]
        ['simulator']
        """
        return tuple(self._instances.values())

    def diagnose(self, *, instances: Iterable[str] | None = None) -> Diagnosis:
        """Examine the archive, and say what to do about what is wrong: as ``yamcs-archive doctor``.

        Space, file system, limits and memory of this process, clock, and the time of a sync, for which twenty
        pages are written to a file without a name; of each instance (of those names; None: of all) readers,
        backlog, clock and events of improbable times. It opens instances that are not open, and changes
        nothing. What cannot be found out is a finding too.

        Raises UnknownInstanceError, GoneError, ClosedError, ForkedError.

        >>> with Archive.open(directory) as archive:
        ...     _ = archive.instance("simulator", create=True)
        ...     found = archive.diagnose()
        >>> sorted({finding.subject for finding in found.findings})[:3]
        ['backlog', 'clock', 'file system']
        """
        self._check_usable()
        with os_errors_translated(self.path):  # as in _open_instance()
            from yamcs_archive.diagnosing import (  # noqa: PLC0415
                FirstLook,
                examine_instance,
                examine_machine,
            )
            from yamcs_archive.reports import Diagnosis  # noqa: PLC0415

        known = self._names()
        names = known if instances is None else sorted(arguments.names("instances", instances))
        for name in names:
            if name not in known:
                raise UnknownInstanceError(name, known)
        now = self._options.clock()
        looked = FirstLook(partial(self.instance, name) for name in names)
        findings = list(examine_machine(self.path, len(known), now))
        if names:
            looked.wait()
        for name in names:
            findings += examine_instance(name, partial(self.instance, name), now)
        return Diagnosis(now, tuple(findings))

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

    def instances(self) -> list[str]:
        """Return the names of all instances, sorted. Raises GoneError when the directory is gone.

        >>> Archive.open(directory, readonly=True).instances()
        []
        """
        self._check_usable()
        return self._names()

    def _names(self) -> list[str]:
        if self._lock is not None:
            self._lock.check()  # another archive may be at the path now; it must not be written to
        return instance_names(self.path)

    def check_writable(self) -> None:
        """Raise the error that an append would meet now, if it can be known in advance; takes 20 us.

        Raises :class:`~yamcs_archive.errors.OutOfSpaceError` if less than 2 MiB is free on the file system or
        left below the process's limit of a file's size, GoneError if the directory or an open instance is no
        longer at its path or the lock was removed, ReadOnlyError, ClosedError, ForkedError. It does not check
        whether an instance is a copy of a served one, which refuses appends; see
        :meth:`Instance.check_writable <yamcs_archive.Instance.check_writable>`.

        >>> Archive.open(directory).check_writable()
        >>> Archive.open(directory, readonly=True).check_writable()
        Traceback (most recent call last):
          ...
        yamcs_archive.errors.ReadOnlyError: cannot append: the archive is open read-only; ...
        """
        self._check_usable()
        if self._lock is None:
            raise ReadOnlyError("append")
        self._lock.check()
        check_room(os.fspath(self.path))
        for instance in tuple(self._instances.values()):
            with suppress(MirrorError):
                instance.check_writable()

    def close(self) -> None:
        """Commit everything that was submitted, stop the writers and unlock the directory; idempotent.

        A KeyboardInterrupt ends the wait, but closing continues, and :meth:`open` waits for its end. Only an
        interrupt at the very first step of this method or of ``__exit__`` prevents closing. If closing one
        instance fails, the others are closed all the same. In both cases this method may be called again.

        >>> archive = Archive.open(directory)
        >>> archive.close()
        >>> archive.close()
        """
        if self._closed:
            return
        if os.getpid() != self._pid:
            self._close_in_child()
            return
        self._refuse_within_callback()
        if self._lock is not None:
            self._lock.releasing = True  # the next opening waits
        try:
            failed = uninterrupted(self._try_to_close)
        except BaseException:  # an interrupt, which may have come before it began
            self._close_beside()
            raise
        if failed is not None:
            raise failed

    def _close_beside(self) -> None:
        with suppress(RuntimeError):  # no thread can be started: closing ended where it was interrupted
            _thread.start_new_thread(self._try_to_close, ())

    def _try_to_close(self) -> BaseException | None:
        """Close; return the error, if any."""
        try:
            self._close()
        except BaseException as error:
            if self._lock is not None:
                self._lock.releasing = False
            return error
        return None

    def _close(self) -> None:
        with self._guard:
            if self._closed:
                return
            with ExitStack() as closing:  # if one of them raises, the others are closed
                self._ending = tuple(self._instances.values())
                closing.callback(setattr, self, "_ending", ())
                for instance in self._ending:
                    closing.callback(instance._close)
            if self._lock is not None:
                self._lock.release()
            _archives_in_use.discard(self)
            self._closed = True

    def _close_in_child(self) -> None:
        """Close the handles of a forked child, which has none of its parent's threads and locks."""
        self._closed = True
        for instance in self._instances.values():
            instance._close()

    def _refuse_within_callback(self) -> None:
        for instance in (*tuple(self._instances.values()), *self._ending):
            instance._store.refuse_within_callback()

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedError
        if self._closed:
            raise ClosedError

    def __enter__(self) -> Self:
        self._check_usable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except BaseException:  # as in close()
            self._close_beside()
            raise

    def __repr__(self) -> str:
        state = "closed" if self._closed else "read-only" if self.readonly else "open"
        return f"<{type(self).__name__} {os.fspath(self.path)!r} {state}>"


def load_engine() -> None:
    """Load what is loaded with the first instance, on this thread.

    :meth:`Archive.instance` loads it on another one, and a lock that the caller holds may be in its way:
    ``logging.config`` makes handlers under the lock that a module needs to get its logger.
    """
    import yamcs_archive.instance  # noqa: PLC0415  # as in _open_instance()
    import yamcs_archive.storage.lmdb_store  # noqa: F401, PLC0415


_archives_in_use: set[Archive] = set()
"""Open archives. The references are strong, because an open instance has a writer even if the program has no
reference to its archive."""


@atexit.register
def _close_forgotten() -> None:
    """Close the archives that the program left open, so that their writers end before the interpreter."""
    for archive in list(_archives_in_use):
        if archive._pid == os.getpid():
            archive.close()

"""An open archive: its directory, its lock, and the instances that are open in it."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Never

from yamcs_archive.errors import (
    ClosedError,
    ForkedError,
    InvalidInputError,
    MirrorError,
    ReadOnlyError,
    UnknownInstanceError,
)
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.directory import (
    check_instance_name,
    create_instance,
    instance_names,
    make_names_durable,
)
from yamcs_archive.storage.disk.file_system import check_room, os_errors_translated
from yamcs_archive.storage.disk.writer_lock import WriterLock
from yamcs_archive.storage.interrupts import LOOK_AGAIN_S, uninterrupted

if TYPE_CHECKING:
    from yamcs_archive.instance import Instance

archives_in_use: set[OpenArchive] = set()
"""Open archives. The references are strong, because an open instance has a writer even if the program has no
reference to its archive."""


class OpenArchive(ABC):
    """Opens instances, and knows which are open. Safe to use from many threads."""

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
                archives_in_use.add(self)
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

    @abstractmethod
    def close(self) -> None:
        """Close the archive; idempotent."""

    def _refuse_within_callback(self) -> None:
        for instance in (*tuple(self._instances.values()), *self._ending):
            instance._store.refuse_within_callback()

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedError
        if self._closed:
            raise ClosedError

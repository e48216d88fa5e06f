"""The archive: a directory of instances. What the library's users open first."""

from __future__ import annotations

import atexit
import os
import threading
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import Self

from yamcs_archive.errors import (
    ClosedError,
    ForkedError,
    InvalidInputError,
    ReadOnlyError,
    UnknownInstanceError,
)
from yamcs_archive.instance import Instance
from yamcs_archive.options import Options
from yamcs_archive.storage.directory import (
    WriterLock,
    check_instance_name,
    create_instance,
    instance_names,
    open_directory,
    rename_instance,
)
from yamcs_archive.storage.store import LmdbStore

__all__ = ["Archive", "check_instance_name"]
_KEPT_STEM_MAX = 96
"""Characters of a name that are kept in front of a time, below the limit of names."""


class Archive:
    """A directory that holds instances, each one stream of events. Safe to use from many threads.

    One process at a time may write to it; others open it with ``readonly=True``, beside the writer.

    >>> with Archive.open(directory) as archive:
    ...     sim = archive.instance("simulator", create=True)
    ...     archive.instances()
    ['simulator']
    >>> archive.closed
    True
    """

    def __init__(self, path: Path, lock: WriterLock | None, options: Options) -> None:
        """Not for users: see :meth:`open`."""
        self.path = path
        self._lock = lock
        self._options = options
        self._pid = os.getpid()
        self._guard = threading.Lock()
        self._instances: dict[str, Instance] = {}
        self._closed = False
        _open_archives.add(self)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        readonly: bool = False,
        holder: str = "",
        options: Options | None = None,
    ) -> Self:
        """Open the archive in a directory, made when absent (unless ``readonly``).

        ``holder`` is told to others who try to write to it meanwhile, beside the process id: an
        address, for instance.

        Raises :class:`~yamcs_archive.errors.LockedError` while another process writes to it,
        NotAnArchiveError for a directory that holds something else or lies on a network file system,
        FormatVersionError when an instance was written by a newer version.

        >>> Archive.open(directory, readonly=True).readonly
        True
        """
        directory = Path(path)
        open_directory(directory, readonly=readonly)
        lock = None if readonly else WriterLock(directory, holder)
        return cls(directory, lock, options or Options())

    @property
    def readonly(self) -> bool:
        """True when it was opened for reading only."""
        return self._lock is None

    @property
    def closed(self) -> bool:
        """True once it is closed."""
        return self._closed

    def instance(self, name: str, *, create: bool = False) -> Instance:
        """Return the instance of that name; with ``create`` it is made when there is none.

        Raises :class:`~yamcs_archive.errors.UnknownInstanceError`, InvalidInputError for a name that no
        instance can have, ReadOnlyError when it would have to be made, ClosedError, ForkedError.

        >>> Archive.open(directory, readonly=True).instance("nosuch")
        Traceback (most recent call last):
          ...
        yamcs_archive.errors.UnknownInstanceError: No instance named 'nosuch' (there are: none yet)
        """
        check_instance_name(name)
        with self._guard:
            self._check_usable()
            found = self._instances.get(name)
            if found is not None:
                return found
            known = instance_names(self.path)
            if name not in known:
                if not create:
                    raise UnknownInstanceError(name, known)
                if self.readonly:
                    raise ReadOnlyError(f"create instance {name!r}")
                create_instance(self.path, name, lambda folder: LmdbStore.create(folder, name, self._options))
            store = LmdbStore(self.path / name, readonly=self.readonly, options=self._options)
            self._instances[name] = Instance(name, store, self._options)
            return self._instances[name]

    def existing(self, name: str) -> Instance:
        """Return the instance of that name, where any text may be asked for (a URL, a command line).

        Raises :class:`~yamcs_archive.errors.UnknownInstanceError` also for a name that none can have.

        >>> Archive.open(directory, readonly=True).existing("../etc")
        Traceback (most recent call last):
          ...
        yamcs_archive.errors.UnknownInstanceError: No instance named '../etc' (there are: none yet)
        """
        found = self._instances.get(name)
        if found is not None and not self._closed:
            return found
        try:
            return self.instance(name)
        except InvalidInputError:
            raise UnknownInstanceError(name, self.instances()) from None

    def set_aside(self, name: str) -> str:
        """Keep an instance under another name, with the time in it, so that its own is free; return it.

        Nothing of it is lost, and whoever holds it open finds it closed. Raises UnknownInstanceError,
        ReadOnlyError, ClosedError, ForkedError.

        >>> archive = Archive.open(directory)
        >>> _ = archive.instance("simulator", create=True)
        >>> archive.set_aside("simulator") in archive.instances(), "simulator" in archive.instances()
        (True, False)
        """
        with self._guard:
            self._check_usable()
            if self.readonly:
                raise ReadOnlyError(f"set instance {name!r} aside")
            known = instance_names(self.path)
            if name not in known:
                raise UnknownInstanceError(name, known)
            opened = self._instances.pop(name, None)
            if opened is not None:
                opened._close()
            stem = f"{name[:_KEPT_STEM_MAX]}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
            kept = next(
                kept for kept in chain([stem], (f"{stem}-{n}" for n in count(2))) if kept not in known
            )
            rename_instance(self.path, name, kept)
            return kept

    def instances(self) -> list[str]:
        """Return the names of all instances, sorted.

        >>> Archive.open(directory, readonly=True).instances()
        []
        """
        self._check_usable()
        return instance_names(self.path)

    def close(self) -> None:
        """Commit what was appended, stop the writers and give the directory free; idempotent.

        >>> archive = Archive.open(directory)
        >>> archive.close()
        >>> archive.close()
        """
        with self._guard:
            if self._closed:
                return
            self._closed = True
            for instance in self._instances.values():
                instance._close()
            if self._lock is not None:
                self._lock.release()
            _open_archives.discard(self)

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedError
        if self._closed:
            raise ClosedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "read-only" if self.readonly else "open"
        return f"<{type(self).__name__} {os.fspath(self.path)!r} {state}>"


_open_archives: set[Archive] = set()
"""Strong references: an archive whose last name goes out of use still has a writer and a lock."""


@atexit.register
def _close_forgotten() -> None:
    """Close what the program left open, so that its writers end before the interpreter does."""
    for archive in list(_open_archives):
        if archive._pid == os.getpid():
            archive.close()

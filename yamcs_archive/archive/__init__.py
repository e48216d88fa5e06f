"""The archive: a directory of instances. Users of the library open it first.

``base`` opens instances, ``administration`` changes which there are; opening and closing the archive itself
is here.
"""

from __future__ import annotations

import _thread
import atexit
import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from yamcs_archive import arguments
from yamcs_archive.archive.administration import Administration
from yamcs_archive.archive.base import archives_in_use
from yamcs_archive.errors import ArchiveError, InvalidInputError, UnknownInstanceError
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.directory import (
    check_instance_name,
    clear_deleted,
    open_directory,
    remove_drafts,
)
from yamcs_archive.storage.disk.file_system import os_errors_translated
from yamcs_archive.storage.disk.writer_lock import WriterLock
from yamcs_archive.storage.interrupts import uninterrupted
from yamcs_archive.user_paths import given_path

if TYPE_CHECKING:
    from yamcs_archive.reports import Diagnosis
    from yamcs_archive.results import Salvage

__all__ = ["Archive", "check_instance_name"]


class Archive(Administration):
    """A directory of instances, each of which is a stream of events. Safe to use from many threads.

    One process at a time may write to it; others may open it meanwhile with ``readonly=True``.

    >>> with Archive.open(directory) as archive:
    ...     sim = archive.instance("simulator", create=True)
    ...     archive.instances()
    ['simulator']
    >>> archive.closed
    True
    """

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
            archives_in_use.discard(self)
            self._closed = True

    def _close_in_child(self) -> None:
        """Close the handles of a forked child, which has none of its parent's threads and locks."""
        self._closed = True
        for instance in self._instances.values():
            instance._close()

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

    def _repr_html_(self) -> str:
        """What a notebook shows: the path, and the names of the first instances."""
        from yamcs_archive import notebook  # noqa: PLC0415  # only notebooks need it

        try:
            names = self.instances()
        except ArchiveError as error:
            return notebook.plain(f"{self!r}: {error}")
        shown = names[: notebook.ROWS_MAX]
        more = f"and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
        return notebook.table(repr(self), ["instance"], ([name] for name in shown), more)

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


@atexit.register
def _close_forgotten() -> None:
    """Close the archives that the program left open, so that their writers end before the interpreter."""
    for archive in list(archives_in_use):
        if archive._pid == os.getpid():
            archive.close()

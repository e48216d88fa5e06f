"""An instance: one stream of events, for users of the library. Knows neither LMDB nor bytes.

The methods of :class:`Instance` are in four modules: ``appending``, ``reading`` (in key order),
``following`` (in arrival order), and ``backing_up``. They share the store of ``base``. Each method checks its
arguments, and turns the store's answers into the library's results.
"""

from __future__ import annotations

from collections.abc import Callable

from yamcs_archive import arguments
from yamcs_archive.instance.appending import Appending
from yamcs_archive.instance.backing_up import BackingUp
from yamcs_archive.instance.reading import Reading
from yamcs_archive.results import CompactionResult, Verification

__all__ = ["Instance"]


class Instance(Appending, Reading, BackingUp):
    """One stream of events in an archive. Safe to use from many threads at once.

    Get one from :meth:`yamcs_archive.Archive.instance`.

    >>> from yamcs_archive import Archive, Event, Severity
    >>> archive = Archive.open(directory)
    >>> sim = archive.instance("simulator", create=True)
    >>> sim
    Instance('simulator')
    """

    def settle(self) -> None:
        """Seal all rows into compressed blocks now; normally this happens when they are old or many.

        It is never necessary. It is useful for measurements, and before an archive is put away. Raises
        ReadOnlyError, ClosedError.

        >>> _ = sim.append_many(Event(f"Step {n}") for n in range(1000))
        >>> sim.settle()
        >>> sim.stats().events
        1000
        """
        self._check_open()
        self._store.settle()

    def compact(self) -> CompactionResult:
        """Return unused space to the file system.

        All rows are sealed as by :meth:`settle`; then a dense copy replaces the file. Meanwhile other threads
        may read and append, and other processes may read; cursors and iterators stay valid. Appends wait only
        while the copy replaces the file, and sealing waits for the end. The file system must have room for
        the copy.

        After a failure, or a kill at any moment, the archive is either as before or compacted. Ctrl-C ends
        the wait; a compaction that has begun goes on until it is done or the archive is closed.

        Raises :class:`~yamcs_archive.errors.OutOfSpaceError` if there is no room for the copy, DamagedError
        if a record is damaged (then nothing has changed), ReadOnlyError, ClosedError (also if the archive is
        closed meanwhile), ForkedError.

        >>> _ = sim.append_many(Event(f"Step {n}") for n in range(1000))
        >>> done = sim.compact()
        >>> done.after_bytes <= done.before_bytes, sim.stats().events
        (True, 1000)
        """
        self._check_open()
        return self._store.compact()

    def verify(
        self,
        *,
        quick: bool = False,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Verification | None:
        """Read everything that is stored, compare its parts, and return what is wrong; it changes nothing.

        Checksums, the form and the strict order of all events, zone maps against blocks, sources and commit
        records against events, request ids. Others read and append meanwhile. ``progress`` is called from
        time to time with the number of events read so far, and with that of all; once ``cancelled``, which
        is also called from time to time, returns True, the verification ends and returns None.

        ``quick`` reads only the first and the last hundred values of each kind, in a fraction of a second at
        any size, and counts no events.

        LMDB reads its file through memory: pages of its own that are damaged may end the process, and the
        command ``yamcs-archive verify`` therefore reads in a child process. Raises DamagedError if LMDB
        itself notices them, ClosedError, ForkedError.

        >>> _ = sim.append_many(Event(f"Step {n}") for n in range(1000))
        >>> found = sim.verify()
        >>> found.events, found.sources, found.faults
        (1000, 1, ())
        """
        self._check_open()
        quick = arguments.flag("quick", quick)
        return self._store.verify(progress or _ignore, cancelled or _never, quick=quick)


def _ignore(_read: int, _all: int) -> None:
    pass


def _never() -> bool:
    return False

"""An instance: one stream of events, as the library's users hold it. Knows no LMDB and no bytes.

:class:`Instance` has its methods in three parts: ``appending``, ``reading`` (in key order), and ``following``
(in arrival order). They share the store of ``open_instance``. Each checks its arguments, and turns the
store's answers into the library's results.
"""

from __future__ import annotations

from collections.abc import Callable

from yamcs_archive import arguments
from yamcs_archive.instance.appending import Appending
from yamcs_archive.instance.following import CommitLike, Following
from yamcs_archive.instance.reading import Reading
from yamcs_archive.results import CompactionResult, Fault, Verification

__all__ = ["CommitLike", "Instance"]


class Instance(Appending, Reading, Following):
    """One stream of events in an archive. Safe to use from many threads at once.

    Get one from :meth:`yamcs_archive.Archive.instance`.

    >>> from yamcs_archive import Archive, Event, Severity
    >>> archive = Archive.open(directory)
    >>> sim = archive.instance("simulator", create=True)
    >>> sim
    Instance('simulator')
    """

    def settle(self) -> None:
        """Seal all rows into compressed blocks now, instead of when they are old enough or many.

        Nothing needs it; it is for measurements, and for before a long rest. Raises ReadOnlyError,
        ClosedError.

        >>> _ = sim.append_many(Event(f"Step {n}") for n in range(1000))
        >>> sim.settle()
        >>> sim.stats().events
        1000
        """
        self._check_open()
        self._store.settle()

    def compact(self) -> CompactionResult:
        """Give the space that is no longer used back to the file system.

        Everything is sealed as by :meth:`settle`, then a dense copy takes the place of what is stored.
        Others read and append meanwhile, in this process and in others, cursors and iterators stay
        valid, and appends wait only for the moment of the change. While it runs the medium must have
        room for the copy beside what is there; sealing waits.

        A failure, and a kill at any moment, leave the archive as it was, or compacted: never in between.
        Ctrl-C ends the wait; once begun the compaction goes on, until it is done or the archive is closed.

        Raises :class:`~yamcs_archive.errors.OutOfSpaceError` when there is no room for the copy, and
        DamagedError when something stored cannot be trusted (nothing has changed then), ReadOnlyError,
        ClosedError (also when the archive is closed meanwhile), ForkedError.

        >>> _ = sim.append_many(Event(f"Step {n}") for n in range(1000))
        >>> done = sim.compact()
        >>> done.after_bytes <= done.before_bytes, sim.stats().events
        (True, 1000)
        """
        self._check_open()
        done = self._store.compact()
        return CompactionResult(done.before_bytes, done.after_bytes, done.seconds)

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
        found = self._store.verify(
            progress or _ignore, cancelled or _never, quick=arguments.flag("quick", quick)
        )
        if found is None:
            return None
        return Verification(*found[:-1], tuple(Fault(*fault) for fault in found.faults))


def _ignore(_read: int, _all: int) -> None:
    pass


def _never() -> bool:
    return False

"""An instance: one stream of events, as the library's users hold it. Knows no LMDB and no bytes.

:class:`Instance` has its methods in three parts: ``appending``, ``reading`` (in key order), and ``following``
(in arrival order). They share the store of ``open_instance``. Each checks its arguments, and turns the
store's answers into the library's results.
"""

from __future__ import annotations

from yamcs_archive.instance.appending import Appending
from yamcs_archive.instance.following import Following
from yamcs_archive.instance.reading import Reading
from yamcs_archive.results import CompactionResult

__all__ = ["Instance"]


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
        return self._store.compact()

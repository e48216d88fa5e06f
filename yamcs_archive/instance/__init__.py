"""An instance: one stream of events, for users of the library. Knows neither LMDB nor bytes.

The methods of :class:`Instance` are in three modules: ``appending``, ``reading`` (in key order), and
``following`` (in arrival order). They share the store of ``open_instance``. Each method checks its arguments,
and turns the store's answers into the library's results.
"""

from __future__ import annotations

from yamcs_archive.instance.appending import Appending
from yamcs_archive.instance.following import CommitLike, Following
from yamcs_archive.instance.reading import Reading
from yamcs_archive.results import CompactionResult

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
        done = self._store.compact()
        return CompactionResult(done.before_bytes, done.after_bytes, done.seconds)

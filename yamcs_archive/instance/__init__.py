"""An instance: one stream of events, for users of the library. Knows neither LMDB nor bytes.

The methods of :class:`Instance` are in six modules: ``appending``, ``reading`` (in key order),
``following`` (in arrival order), ``backing_up``, ``describing``, and ``reporting``. They share the store of
``base``. Each method checks its arguments, and turns the store's answers into the library's results.
"""

from __future__ import annotations

from collections.abc import Callable

from yamcs_archive import arguments
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.instance.appending import Appending
from yamcs_archive.instance.backing_up import BackingUp
from yamcs_archive.instance.describing import Describing
from yamcs_archive.instance.reporting import Reporting
from yamcs_archive.limits import KEEP_DAYS_MAX
from yamcs_archive.results import CompactionResult, PruningResult, Verification
from yamcs_archive.storage.maintain.retention import Rule
from yamcs_archive.times import Time, to_us

__all__ = ["Instance"]


class Instance(Appending, Reporting, BackingUp, Describing):
    """One stream of events in an archive. Safe to use from many threads at once.

    Get one from :meth:`yamcs_archive.Archive.instance`.

    >>> from yamcs_archive import Archive, Event, Severity
    >>> archive = Archive.open(directory)
    >>> sim = archive.instance("simulator", create=True)
    >>> sim
    Instance('simulator')
    """

    def settle(self) -> None:
        """Put all young events into compressed blocks now; normally this happens when they are many.

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

        All young events are put into blocks as by :meth:`settle`; then a dense copy replaces the file.
        Meanwhile other threads may read and append, and other processes may read; cursors and iterators stay
        valid. Appends wait only while the copy replaces the file, and checkpoints wait for the end. The file
        system must have room for the copy.

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

    def prune(
        self,
        *,
        before: Time | None = None,
        keep_days: int | None = None,
        max_bytes: int | None = None,
        max_events: int | None = None,
        dry_run: bool = False,
    ) -> PruningResult:
        """Remove the oldest events, for good; give one or more of the four rules.

        All go by generation time. ``before`` is a time, at most the archive's clock (an aware datetime, an
        RFC 3339 string or int microseconds); ``keep_days`` is counted back from that clock; ``max_events``
        and ``max_bytes`` keep the newest, ``max_bytes`` about. Events more than a day later than the clock
        stay and are not counted. They, and events from before 2001 that go, are in the result's
        ``odd_times``. With several rules the latest horizon counts; it never goes back.

        From the first moment on, no events before the horizon are read; one that is appended later is
        ExpiredError, and a cursor before the pruned events is CursorGoneError. They are then deleted in
        steps, while others read and append. Other operations (compaction, another pruning) wait for the end.
        After Ctrl-C, which ends the wait, the deletion goes on; after a kill or :meth:`Archive.close` it does
        at the next opening. The file keeps the space for later events until :meth:`compact`.

        ``dry_run`` returns what would go, and changes nothing; it works in a read-only archive too.

        Raises :class:`~yamcs_archive.errors.InvalidInputError` without a rule, for a ``before`` later than
        the clock, and for ``keep_days`` if the clock is more than a year later than the newest commit;
        BadTimeError, OutOfSpaceError, DamagedError, ReadOnlyError, ClosedError, ForkedError.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n) for n in range(5))
        >>> sim.prune(before=3).events, [event.message for event in sim.events()]
        (3, ['Step 3', 'Step 4'])
        """
        self._check_open()
        rule = Rule(
            None if before is None else to_us(before, "before"),
            _at_least_one("keep_days", keep_days, KEEP_DAYS_MAX),
            _at_least_one("max_bytes", max_bytes, arguments.COUNT_MAX),
            _at_least_one("max_events", max_events, arguments.COUNT_MAX),
        )
        if rule == Rule():
            why = "must be given, or keep_days, max_bytes or max_events"
            raise InvalidInputError("before", None, why)
        return self._store.prune(rule, dry_run=arguments.flag("dry_run", dry_run))

    def verify(
        self,
        *,
        quick: bool = False,
        isolated: bool = False,
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

        LMDB reads its file through memory: pages of its own that are damaged may end the process. With
        ``isolated`` a process of its own reads (a fresh interpreter, which takes some tenths of a second to
        start): if it is ended, that is a fault. Use it for an archive that may be damaged; the command and
        the server always do. Raises DamagedError if LMDB itself notices the damage, UnavailableError if no
        process can be started, ClosedError, ForkedError.

        >>> _ = sim.append_many(Event(f"Step {n}") for n in range(1000))
        >>> found = sim.verify()
        >>> found.events, found.sources, found.faults
        (1000, 1, ())
        """
        self._check_open()
        quick = arguments.flag("quick", quick)
        isolated = arguments.flag("isolated", isolated)
        return self._store.verify(progress or _ignore, cancelled or _never, quick=quick, isolated=isolated)


def _at_least_one(field: str, value: int | None, most: int) -> int | None:
    return None if value is None else arguments.whole(field, value, 1, most)


def _ignore(_read: int, _all: int) -> None:
    pass


def _never() -> bool:
    return False

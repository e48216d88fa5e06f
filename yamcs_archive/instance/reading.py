"""The methods of an instance that read in key order, its sources and its counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, cast

from yamcs_archive import arguments
from yamcs_archive.coercion import plain_severity, validate_key
from yamcs_archive.event import AnySeverity, EventKey, StoredEvent
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.frames.batches import batches
from yamcs_archive.frames.columns import Selection
from yamcs_archive.frames.table import Table
from yamcs_archive.instance.base import OpenInstance, SkipDamaged, skipping
from yamcs_archive.limits import PAUSE_US_DEFAULT, PAUSE_US_MAX
from yamcs_archive.results import (
    InstanceStats,
    SourceStats,
)
from yamcs_archive.storage.read.query import Query
from yamcs_archive.storage.read.source_stretches import Histogram
from yamcs_archive.times import Time, to_us

if TYPE_CHECKING:
    import pyarrow


class Reading(OpenInstance):
    """Reads events in key order."""

    def get(self, key: EventKey) -> StoredEvent | None:
        """Return the event with this key, or None.

        >>> done = sim.append(Event("Step 1", generation_time=1, seq_number=1))
        >>> sim.get(EventKey(1, "User", 1)) == done.event
        True
        """
        self._check_open()
        return cast(StoredEvent | None, self._store.get(validate_key(key)))

    def events(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,  # as the API calls it
        descending: bool = False,
        limit: int | None = None,
        after_key: EventKey | None = None,
        cancelled: Callable[[], bool] | None = None,
        skip_damaged: SkipDamaged = False,
    ) -> Iterator[StoredEvent]:
        """Return an iterator over the events with ``start <= generation_time < stop``, in key order.

        ``start`` and ``stop`` are aware datetimes, RFC 3339 strings or int microseconds since 1970 (UTC);
        None means no bound. ``sources`` are exact names (None: all). ``min_severity`` is a severity or its
        name. ``text`` is a plain part of the message,
        in any letter case (Unicode's case folding). ``filter`` is an expression of the filter language
        (docs/filter.md), as text or parsed. ``limit`` is the largest number of events (None: no limit). The
        iterator begins after ``after_key``, in its direction. It calls ``cancelled`` from time to time, and
        ends when that returns True, so that another thread can end a long search.

        With ``skip_damaged=True`` the iterator goes round damaged blocks, and logs a warning for each. A
        function given instead is called with each :class:`~yamcs_archive.DamagedError`, which has the keys
        and the number of the events left out, as far as they are known. Reading so is slower: everything is
        decoded whole before it is used.

        No transaction is open between two events, so the iterator may rest for any time. It never yields an
        event twice, and may yield events that were appended meanwhile, if they come after its position.

        Raises BadTimeError for a naive datetime and for text that is no time, FilterError for a bad filter,
        InvalidInputError for other bad arguments: all of these at once. While it is read, it raises
        ClosedError if the archive was closed, and DamagedError at the first record whose checksum is wrong.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n) for n in range(5))
        >>> [event.message for event in sim.events(stop=3, descending=True, limit=2)]
        ['Step 2', 'Step 1']
        >>> [event.message for event in sim.events(text="STEP 3")]
        ['Step 3']
        >>> [event.message for event in sim.events(filter='severity>=info "step 4"')]
        ['Step 4']
        """
        query = self._query(
            range_query(start, stop, sources, cancelled, skip_damaged)._replace(
                descending=arguments.flag("descending", descending),
                limit=None if limit is None else arguments.whole("limit", limit, 0, arguments.COUNT_MAX),
                after_key=None if after_key is None else validate_key(after_key),
            ),
            min_severity,
            text,
            filter,
        )
        return iter(()) if query is None else cast(Iterator[StoredEvent], self._store.scan(query))

    def event_vectors(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,  # as the API calls it
        after_key: EventKey | None = None,
        cancelled: Callable[[], bool] | None = None,
        skip_damaged: SkipDamaged = False,
    ) -> Iterator[StoredVectors]:
        """Return an iterator over the events of :meth:`events`, as numpy vectors, in key order.

        Each item has the events that were read together: at least one, at most some thousands, or some MiB of
        text. This is the fastest way to write all events to a file or to a network, because no ``Event`` is
        built. The fields are those of :class:`~yamcs_archive.StoredVectors`.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n) for n in range(5))
        >>> [(events.times.tolist(), events.messages) for events in sim.event_vectors(stop=2)]
        [([0, 1], ['Step 0', 'Step 1'])]
        """
        query = self._query(
            range_query(start, stop, sources, cancelled, skip_damaged)._replace(
                after_key=None if after_key is None else validate_key(after_key)
            ),
            min_severity,
            text,
            filter,
        )
        return iter(()) if query is None else self._store.scan_vectors(query)

    def table(
        self,
        *,
        columns: Iterable[str] | None = None,
        extra_columns: Iterable[str] = (),
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,  # as the API calls it
        cancelled: Callable[[], bool] | None = None,
        skip_damaged: SkipDamaged = False,
    ) -> Table:
        """Return the events of :meth:`events` as a lazy table for pandas, polars, duckdb and pyarrow.

        Nothing is read yet; each use of the table reads the archive as it is then. ``columns`` are some of
        ``time``, ``source``, ``seq_number``, ``severity``, ``level``, ``message``, ``type``,
        ``reception_time``, ``created_by``, ``extensions``, ``extra`` (None: all of these, which lose nothing)
        and ``commit``, in the order that is given. Columns that are not chosen are not decoded.
        ``extra_columns`` are keys of ``extra``, each of which becomes a column of text, null where an event
        does not have it. The other arguments are those of :meth:`events`.

        It needs the extra ``arrow``: without it, MissingPackageError says what to install. Raises it,
        BadTimeError, FilterError and InvalidInputError at once.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n) for n in range(5))
        >>> sim.table(columns=["seq_number", "message"], start=3).to_arrow().to_pydict()
        {'seq_number': [3, 4], 'message': ['Step 3', 'Step 4']}
        """
        selection = Selection.of(columns, extra_columns)
        range_ = range_query(start, stop, sources, cancelled, skip_damaged)
        wanted = Filter(filter) if filter is not None and not isinstance(filter, Filter) else filter

        def query() -> Query | None:
            return self._query(range_, min_severity, text, wanted)

        def read() -> Iterator[pyarrow.RecordBatch]:
            asked = query()
            return batches(() if asked is None else self._store.scan_lazily(asked), selection)

        def count() -> int:
            asked = query()
            return 0 if asked is None else self._store.count(asked)

        query()  # checks the arguments
        return Table(self.name, selection, read, count)

    def count(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,  # as the API calls it
        cancelled: Callable[[], bool] | None = None,
        skip_damaged: SkipDamaged = False,
    ) -> int:
        """Return the number of events that :meth:`events` gives for the same arguments.

        The number of all events, or of all events of some sources, is known without reading any. Otherwise
        only the necessary fields are read: times, sources and severities take some nanoseconds an event, a
        text takes longer, a filter that needs whole events some microseconds. Counting ends when
        ``cancelled`` returns True.

        Raises the errors of :meth:`events`.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n) for n in range(5))
        >>> sim.count(), sim.count(start=3), sim.count(text="STEP 3"), sim.count(sources=["EPS"])
        (5, 2, 1, 0)
        """
        query = self._query(
            range_query(start, stop, sources, cancelled, skip_damaged), min_severity, text, filter
        )
        return 0 if query is None else self._store.count(query)

    def _query(
        self, query: Query, min_severity: AnySeverity | None, text: str | None, filter: str | Filter | None
    ) -> Query | None:
        """Add severity, text and filter to a query; return None if no event can match."""
        self._check_open()
        query = query._replace(
            min_severity=None if min_severity is None else plain_severity(min_severity, "min_severity"),
            text=None if text is None else arguments.text("text", text).casefold(),
        )
        if filter is None:
            return query
        wanted = filter if isinstance(filter, Filter) else Filter(filter)
        return query.narrowed(wanted, self._store.sources)

    def histogram(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        pause_us: int = PAUSE_US_DEFAULT,
        cancelled: Callable[[], bool] | None = None,
        skip_damaged: SkipDamaged = False,
    ) -> Histogram:
        """Return an iterator over the stretches of each source: events without a long pause between them.

        A pause of more than ``pause_us`` microseconds between two neighbouring events of a source ends one
        stretch and begins the next. ``start``, ``stop``, ``sources``, ``cancelled`` and
        ``skip_damaged`` are as for :meth:`events`. Stretches come in the order of their last event, then of
        source. They are exact, and
        only times and sources are read for them.

        The iterator's ``resume`` is a time for a later call, as its ``start``: that call finds every stretch
        that was not yielded yet, whole. Skip those of its stretches that end no later than the last one
        yielded.

        Raises BadTimeError and InvalidInputError at once; ClosedError, DamagedError.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n * 1_000_000) for n in (0, 1, 2, 60))
        >>> [(stretch.start, stretch.stop, stretch.events) for stretch in sim.histogram()]
        [(0, 2000000, 3), (60000000, 60000000, 1)]
        """
        self._check_open()
        pause_us = arguments.whole("pause_us", pause_us, 0, PAUSE_US_MAX)
        return self._store.histogram(range_query(start, stop, sources, cancelled, skip_damaged), pause_us)

    def sources(self) -> list[str]:
        """Return the names of all sources of which an event was ever stored here, sorted.

        Raises DamagedError if the record of one is damaged, ClosedError, ForkedError.

        >>> _ = sim.append_many([Event("a", source="EPS"), Event("b", source="AOCS")])
        >>> sim.sources()
        ['AOCS', 'EPS']
        """
        self._check_open()
        return self._store.sources()

    def stats(self) -> InstanceStats:
        """Return the counts of the instance, in all and for each source.

        Counts of duplicates, conflicts and expired events are written with the next commit or at close; if
        the process is killed before that, they may be lost.

        >>> done = sim.append(Event("Wheel 3 over speed", source="AOCS"))
        >>> done = sim.append(done.event)
        >>> sim.stats().events, sim.stats().sources["AOCS"].duplicates
        (1, 1)
        """
        self._check_open()
        stats = self._store.stats()
        sources = {
            name: SourceStats(
                state.events,
                state.greatest_number or 0,
                state.greatest_time or 0,
                state.duplicates,
                state.conflicts,
                state.expired,
            )
            for name, state in stats.sources.items()
        }
        return InstanceStats(
            name=self.name,
            events=sum(source.events for source in sources.values()),
            duplicates=sum(source.duplicates for source in sources.values()),
            conflicts=sum(source.conflicts for source in sources.values()),
            expired=sum(source.expired for source in sources.values()),
            created=stats.created,
            first_time=stats.first.generation_time if stats.first else None,
            last_time=stats.last.generation_time if stats.last else None,
            allocated_bytes=stats.allocated_bytes,
            sources=sources,
        )


def range_query(
    start: Time | None,
    stop: Time | None,
    sources: Iterable[str] | None,
    cancelled: Callable[[], bool] | None,
    skip_damaged: SkipDamaged,
) -> Query:
    """Return the query for the events of some sources in a range of times, given as users give them."""
    return Query(
        start=None if start is None else to_us(start, "start"),
        stop=None if stop is None else to_us(stop, "stop"),
        sources=None if sources is None else arguments.names("sources", sources),
        cancelled=arguments.callback("cancelled", cancelled),
        skipped=skipping(skip_damaged),
    )

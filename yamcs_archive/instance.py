"""An instance: one stream of events, as the library's users hold it. Knows no LMDB and no bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Protocol

from yamcs_archive import arguments
from yamcs_archive.chunked_append import Tally, chunks, gathered
from yamcs_archive.coercion import plain_severity, validate_key
from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError, ClosedError, ConflictError, ExpiredError, InvalidInputError
from yamcs_archive.event import Event, EventKey, Severity
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.limits import CHUNK_BYTES_MAX, PAUSE_US_DEFAULT, PAUSE_US_MAX, TIME_MAX_US, TIME_MIN_US
from yamcs_archive.options import Options
from yamcs_archive.results import (
    AppendCounts,
    Appended,
    Change,
    Commit,
    CompactionResult,
    InstanceStats,
    MirrorState,
    SourceStats,
)
from yamcs_archive.storage.format.meta import Mirrored
from yamcs_archive.storage.format.requests import RequestIds, check_request_id, request_ids
from yamcs_archive.storage.format.vectors import Vectors
from yamcs_archive.storage.read.histogram import Histogram
from yamcs_archive.storage.read.query import Query
from yamcs_archive.storage.store import EventStore
from yamcs_archive.storage.write.outcomes import Outcome
from yamcs_archive.storage.write.validation import prepare
from yamcs_archive.times import Time, to_us


class CommitLike(Protocol):
    """What :meth:`Instance.take_over` needs of a commit."""

    @property
    def time(self) -> int:
        """When it was made, microseconds since 1970."""

    @property
    def events(self) -> Sequence[Event]:
        """In key order."""


class Instance:
    """One stream of events in an archive. Safe to use from many threads at once.

    Get one from :meth:`yamcs_archive.Archive.instance`.

    >>> from yamcs_archive import Archive, Event, Severity
    >>> archive = Archive.open(directory)
    >>> sim = archive.instance("simulator", create=True)
    >>> sim
    Instance('simulator')
    """

    def __init__(self, name: str, store: EventStore, options: Options) -> None:
        self.name = name
        self._store = store
        self._options = options
        self._closed = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def append(self, event: Event, *, request_id: str | None = None) -> Appended:
        """Store one event; on return it is fsynced.

        Numbers and times that are None are filled in. A retry of a stored event adds nothing and says so.
        For events that bring no number of their own ``request_id`` (text of 1 to 200 bytes, which each user
        chooses freely) does the same: given again within 24 hours, after a restart too, it adds nothing and
        returns the event that was stored the first time. A request that was refused leaves its id free.

        Raises :class:`~yamcs_archive.errors.ConflictError` when another event has its key,
        RequestIdError when the id was used for another event, RequestIdsFullError when a million are kept,
        InvalidInputError for what breaks a rule of the event model, ExpiredError below the prune horizon,
        NumbersExhaustedError at the top of int32, OutOfSpaceError (nothing stored), OutcomeUnknownError
        (retry with its ``events``), ReadOnlyError, ClosedError, ForkedError.

        >>> done = sim.append(Event("Wheel 3 over speed", source="AOCS", generation_time=0))
        >>> done.event.seq_number, done.duplicate
        (0, False)
        >>> sim.append(done.event).duplicate
        True
        >>> done = sim.append(Event("Boot"), request_id="boot-17")
        >>> sim.append(Event("Boot"), request_id="boot-17") == Appended(done.event, duplicate=True)
        True
        """
        self._check_open()
        columns = prepare((event,), self._options.clock)
        return self._store.append_now(columns, _appended, request_ids((event,), request_id))

    def submit(self, event: Event, *, request_id: str | None = None) -> Future[Appended]:
        """Hand over one event without waiting; the future is done when the event is durable.

        Raises InvalidInputError, ReadOnlyError, ClosedError and ForkedError at once; the other errors
        of :meth:`append` come through the future. Its callbacks run on the thread that commits, so they
        must not wait for another append: let them submit.

        >>> sim.submit(Event("Wheel 3 nominal", source="AOCS")).result().event.seq_number
        0
        """
        self._check_open()
        columns = prepare((event,), self._options.clock)
        return self._store.append(columns, _appended, request_ids((event,), request_id))

    def check_writable(self) -> None:
        """Raise the error that an append would meet now, as far as it shows without one; this takes 10 us.

        Raises :class:`~yamcs_archive.errors.OutOfSpaceError` when less than 2 MiB is left on the file system
        or below the limit of a file's size, GoneError when the file is no longer at its path, or the
        archive's lock was removed, MirrorError, ReadOnlyError, ClosedError, ForkedError.

        >>> sim.check_writable()
        """
        self._check_open()
        self._store.check_writable()

    def append_many(self, events: Iterable[Event], *, request_id: str | None = None) -> AppendCounts:
        """Store events from any iterable, in chunks that are each durable before the next one is handed over.

        Takes 10,000 events or 2 MiB of text at a time, so memory stays bounded however many there are.
        Duplicates, conflicts and expired events are counted, not raised. With a ``request_id`` the event at
        position n has the id ``request_id/n``, so that giving the same events again completes what was cut
        off, whatever they bring.

        An event that breaks a rule ends it with InvalidInputError, as do the other errors of
        :meth:`append`: the error's ``position`` is the event's index (for errors of a whole chunk, the
        index of its first event). All events before that one were taken, none from there on, and the
        error's ``counts`` says what became of them: give it again from there.
        An error raised by ``events`` itself comes through after what came before it was stored.

        >>> sim.append_many(Event(f"Step {n}", generation_time=n, seq_number=n) for n in range(3)).stored
        3
        """
        if not isinstance(events, list):
            events = arguments.several("events", events, "events")
        return self._append_chunks(chunks(events), request_id)

    def append_columns(
        self, parts: Iterable[Columns[int | None]], *, request_id: str | None = None
    ) -> AppendCounts:
        """Do what :meth:`append_many` does, with events that come many at once, as columns.

        >>> from yamcs_archive.columns import Columns
        >>> sim.append_columns([Columns.of([Event("a", seq_number=1), Event("b", seq_number=2)])]).stored
        2
        """
        return self._append_chunks(gathered(arguments.several("parts", parts, "Columns")), request_id)

    def _append_chunks(
        self, supply: Iterable[list[Event] | Columns[int | None]], request_id: str | None
    ) -> AppendCounts:
        # To prepare a chunk while the writer's thread commits the one before hides less than it costs: two
        # threads that work with numpy hand the interpreter's lock to and fro.
        self._check_open()
        if request_id is not None:
            request_id = check_request_id(request_id)
        tally = Tally()
        position = 0
        try:
            for chunk in supply:
                position += self._append_chunk(chunk, position, tally, request_id)
                del chunk  # so that it is not held while the next one is gathered
        except ArchiveError as error:
            error.counts = tally.counts()
            raise
        return tally.counts()

    def _append_chunk(
        self, chunk: list[Event] | Columns[int | None], position: int, tally: Tally, request_id: str | None
    ) -> int:
        """Store what begins at that position, and return how many events it is."""
        bad: InvalidInputError | None = None
        try:
            columns = prepare(chunk, self._options.clock)
        except InvalidInputError as error:
            # What comes before the bad event is as good as earlier chunks.
            bad, within = error, error.position or 0
            columns = prepare(_events(chunk)[:within], self._options.clock)
        ids = None
        if request_id is not None:
            try:
                ids = request_ids(_events(chunk)[: columns.size], request_id, position)
            except InvalidInputError as error:  # an event that may be stored, but cannot have an id
                bad, within = error, error.position or 0
                columns = columns.cut(0, within)
                ids = request_ids(_events(chunk)[:within], request_id, position)
        start = 0
        for part in columns.cut_by_size(CHUNK_BYTES_MAX):
            mine = ids and ids.cut(start, start + part.size)
            store = partial(self._store.append_now, part, _as_it_is, mine)
            tally.add(position + start, store, partial(self._store_first, part, mine))
            start += part.size
        if bad is not None:
            bad.position = position + start
            raise bad
        return start

    def _store_first(self, columns: Columns[int], asked: RequestIds | None, count: int) -> Outcome:
        """Store the first so many events of a chunk."""
        return self._store.append_now(columns.cut(0, count), _as_it_is, asked and asked.cut(0, count))

    def get(self, key: EventKey) -> Event | None:
        """Return the event of that key, or None.

        >>> done = sim.append(Event("Step 1", generation_time=1, seq_number=1))
        >>> sim.get(EventKey(1, "User", 1)) == done.event
        True
        """
        self._check_open()
        return self._store.get(validate_key(key))

    def events(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: Severity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,  # as the API calls it
        descending: bool = False,
        limit: int | None = None,
        after_key: EventKey | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[Event]:
        """Return an iterator over the events with ``start <= generation_time < stop``, in key order.

        Times are aware datetimes, RFC 3339 strings or int microseconds since 1970 (UTC); None is no bound.
        ``sources`` are exact names (None: all), ``text`` is a plain part of the message in any letter case
        (Unicode's case folding), ``filter`` an expression of the filter language (docs/filter.md), as text
        or parsed, ``limit`` counts the events that are yielded (None: no limit),
        ``after_key`` goes on behind that key in the direction asked for. ``cancelled`` is for who may leave
        while another thread looks for the next event: it is asked from time to time, and once it says True
        the iterator ends.

        No transaction is held between two events, so the iterator may be parked: it may also see what
        was appended meanwhile ahead of it, never the same event twice.

        Raises BadTimeError for a naive datetime and for text that is no time, FilterError for a bad
        filter, InvalidInputError for other bad arguments, all at once; ClosedError once the archive is
        closed; DamagedError at the first record whose checksum is wrong.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n) for n in range(5))
        >>> [event.message for event in sim.events(stop=3, descending=True, limit=2)]
        ['Step 2', 'Step 1']
        >>> [event.message for event in sim.events(text="STEP 3")]
        ['Step 3']
        >>> [event.message for event in sim.events(filter='severity>=info "step 4"')]
        ['Step 4']
        """
        query = self._query(
            _query(start, stop, sources, cancelled)._replace(
                descending=arguments.flag("descending", descending),
                limit=None if limit is None else arguments.whole("limit", limit, 0, arguments.COUNT_MAX),
                after_key=None if after_key is None else validate_key(after_key),
            ),
            min_severity,
            text,
            filter,
        )
        return iter(()) if query is None else self._store.scan(query)

    def event_vectors(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: Severity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,  # as the API calls it
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[Vectors]:
        """Return an iterator over the same events as :meth:`events` gives, as numpy vectors in key order.

        What comes together was read together; it is never empty and of bounded size: some thousand events, or
        some MiB of text. Whoever passes all events on, to a file or over a network, or counts them, is
        faster so: no event is built. The fields are those of
        :class:`~yamcs_archive.storage.format.vectors.Vectors`.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n) for n in range(5))
        >>> [(events.times.tolist(), events.messages) for events in sim.event_vectors(stop=2)]
        [([0, 1], ['Step 0', 'Step 1'])]
        """
        query = self._query(_query(start, stop, sources, cancelled), min_severity, text, filter)
        return iter(()) if query is None else self._store.scan_vectors(query)

    def count(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: Severity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,  # as the API calls it
        cancelled: Callable[[], bool] | None = None,
    ) -> int:
        """Return the number of events that :meth:`events` gives for the same arguments.

        The number of all events, or of all events of some sources, is known without reading. Otherwise the
        fields that decide are read: times, sources and severities take some nanoseconds an event, a text
        more, a filter that needs whole events some microseconds. Once ``cancelled`` returns True, counting
        ends.

        Raises as :meth:`events` does.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n) for n in range(5))
        >>> sim.count(), sim.count(start=3), sim.count(text="STEP 3"), sim.count(sources=["EPS"])
        (5, 2, 1, 0)
        """
        query = self._query(_query(start, stop, sources, cancelled), min_severity, text, filter)
        return 0 if query is None else self._store.count(query)

    def _query(
        self, query: Query, min_severity: Severity | None, text: str | None, filter: str | Filter | None
    ) -> Query | None:
        """Return a query for what else is asked of an event; None where nothing can be found."""
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
    ) -> Histogram:
        """Return an iterator over when each source was heard: stretches of events without a long pause.

        Two events of a source are of one stretch when at most ``pause_us`` microseconds lie between them, or
        between others of that source that lead from one to the other. ``start``, ``stop``, ``sources`` and
        ``cancelled`` are as for :meth:`events`. Stretches come in the order of their last event, then of
        source. They are exact, and only times and sources are read for them.

        The iterator's ``resume`` is the time from which on a later call finds all stretches whole that it
        has not yet given out; those that end no later than the last one given out are then to be passed over.

        Raises BadTimeError and InvalidInputError at once; ClosedError, DamagedError.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n * 1_000_000) for n in (0, 1, 2, 60))
        >>> [(stretch.start, stretch.stop, stretch.events) for stretch in sim.histogram()]
        [(0, 2000000, 3), (60000000, 60000000, 1)]
        """
        self._check_open()
        pause_us = arguments.whole("pause_us", pause_us, 0, PAUSE_US_MAX)
        return self._store.histogram(_query(start, stop, sources, cancelled), pause_us)

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

    def sources(self) -> list[str]:
        """Return the names of all sources that ever had an event here, sorted.

        >>> _ = sim.append_many([Event("a", source="EPS"), Event("b", source="AOCS")])
        >>> sim.sources()
        ['AOCS', 'EPS']
        """
        self._check_open()
        return self._store.sources()

    def stats(self) -> InstanceStats:
        """Return what the instance holds, in all and for each source.

        Counts of duplicates, conflicts and expired events reach the medium with the next commit or at
        close; a kill may lose those since then.

        >>> done = sim.append(Event("Wheel 3 over speed", source="AOCS"))
        >>> done = sim.append(done.event)
        >>> sim.stats().events, sim.stats().sources["AOCS"].duplicates
        (1, 1)
        """
        self._check_open()
        summary = self._store.summary()
        sources = {
            name: SourceStats(
                state.events,
                state.greatest_number or 0,
                state.greatest_time or 0,
                state.duplicates,
                state.conflicts,
                state.expired,
            )
            for name, state in summary.sources.items()
        }
        return InstanceStats(
            name=self.name,
            events=sum(source.events for source in sources.values()),
            duplicates=sum(source.duplicates for source in sources.values()),
            conflicts=sum(source.conflicts for source in sources.values()),
            expired=sum(source.expired for source in sources.values()),
            created=summary.created,
            first_time=summary.first.generation_time if summary.first else None,
            last_time=summary.last.generation_time if summary.last else None,
            allocated_bytes=summary.allocated_bytes,
            sources=sources,
        )

    def changes(self, after: str | None = None) -> Iterator[Change]:
        """Return an iterator over all events behind a cursor, in arrival order, each exactly once.

        Without ``after`` it starts at the oldest event left. It ends at the newest; call again with the
        last cursor for what came meanwhile. A cursor stays valid across restarts,
        sealing and compaction. It has a fingerprint of its commit: if the archive is put back to an older
        state, and then has another commit or none in that place, the cursor is refused.

        Raises BadCursorError, OtherHistoryError or CursorGoneError, at once.

        >>> _ = sim.append(Event("First", source="AOCS", generation_time=0))
        >>> last = [change.cursor for change in sim.changes()][-1]
        >>> _ = sim.append(Event("Late", source="AOCS", generation_time=-5))
        >>> [change.event.message for change in sim.changes(after=last)]
        ['Late']
        """
        self._check_open()
        return (Change(event, cursor) for event, cursor in self._store.changes(after))

    def commits(self, after: str | None = None) -> Iterator[Commit]:
        """Return an iterator over what :meth:`changes` gives, commit by commit: for a copy in step.

        One commit is held at a time: up to 20,000 events or 8 MiB of text. Raises as :meth:`changes` does.

        >>> _ = sim.append_many([Event("First", generation_time=0), Event("Second", generation_time=1)])
        >>> _ = sim.append(Event("Late", generation_time=-5))
        >>> [[event.message for event in commit.events] for commit in sim.commits()]
        [['First', 'Second'], ['Late']]
        """
        self._check_open()
        found = self._store.commits(after)
        return (Commit(time, tuple(events), cursor) for time, events, cursor in found)

    @property
    def mirrored(self) -> MirrorState | None:
        """What this instance is a copy of, and how far it has come; None for one of its own."""
        self._check_open()
        found = self._store.mirrored
        return None if found is None else MirrorState(*found)

    def take_over(self, commits: Sequence[CommitLike], state: MirrorState) -> None:
        """Store commits of another archive, each as one here with its time, and note how far this one is.

        It is one step, durable on return. From then on the instance is a mirror: whatever else appends is
        refused with :class:`~yamcs_archive.errors.MirrorError`. Events that stand here as they are, and those
        below this instance's own prune horizon, are passed over. Events must have their times and numbers.

        Raises ConflictError, and nothing is stored, for an event that stands here and differs in any field;
        InvalidInputError, OutOfSpaceError, ReadOnlyError, ClosedError, ForkedError.

        >>> event = Event("a", generation_time=0, seq_number=0, reception_time=1)
        >>> sim.take_over([Commit(2, (event,), "c")], MirrorState("http://127.0.0.1:8090", "simulator", "c"))
        >>> next(sim.commits()).time, sim.mirrored.cursor
        (2, 'c')
        """
        self._check_open()
        if not isinstance(state, MirrorState):
            raise InvalidInputError("state", state, "must be a MirrorState")
        mirrored = Mirrored(
            arguments.text("url", state.url),
            arguments.text("instance", state.instance),
            None if state.cursor is None else arguments.text("cursor", state.cursor),
        )
        taken = [_taken_over(commit) for commit in arguments.several("commits", commits, "commits")]
        self._store.take_over(taken, mirrored)

    def cursor(self) -> str:
        """Return the cursor behind the newest event: ``changes`` after it yields what is stored from now on.

        >>> list(sim.changes(after=sim.cursor()))
        []
        """
        self._check_open()
        return self._store.cursor()

    def renewed(self, cursor: str) -> str:
        """Return a cursor of the same place with a fingerprint of its commit, for one of an earlier version.

        An old cursor does not show whether the archive was put back to an older state since it was given out.
        A cursor with a fingerprint is returned as it is, unchecked. Raises as :meth:`changes` does.

        >>> sim.renewed(sim.cursor()) == sim.cursor()
        True
        """
        self._check_open()
        return self._store.renewed(cursor)

    def arrival(self, after: str, *, timeout_s: float | None = None) -> Future[None]:
        """Return a future that is done once ``changes(after)`` has an event, at once where it has one now.

        It is done also after ``timeout_s`` seconds and at close, so look what there is. Waiting holds no
        thread, and it may be cancelled. Callbacks run on a thread that all who wait here share, never on the
        one that commits: let them be short. Beside another process that writes, this one looks ten times a
        second, as long as somebody waits.

        Raises BadCursorError, OtherHistoryError, CursorGoneError, ClosedError and ForkedError at once;
        where the medium can be read no longer, the error comes through the future.

        >>> cursor = sim.cursor()
        >>> waiting = sim.arrival(cursor)
        >>> waiting.done()
        False
        >>> _ = sim.append(Event("Wheel 3 nominal", source="AOCS"))
        >>> waiting.result(timeout=60)
        >>> [change.event.message for change in sim.changes(after=cursor)]
        ['Wheel 3 nominal']
        """
        self._check_open()
        if timeout_s is not None:
            timeout_s = arguments.seconds("timeout_s", timeout_s, threading.TIMEOUT_MAX)
        return self._store.arrival(after, timeout_s)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError

    def _close(self) -> None:
        self._closed = True
        self._store.close()


def _query(
    start: Time | None,
    stop: Time | None,
    sources: Iterable[str] | None,
    cancelled: Callable[[], bool] | None,
) -> Query:
    return Query(
        start=None if start is None else to_us(start, "start"),
        stop=None if stop is None else to_us(stop, "stop"),
        sources=None if sources is None else arguments.names("sources", sources),
        cancelled=arguments.callback("cancelled", cancelled),
    )


def _taken_over(commit: CommitLike) -> tuple[int, list[Event]]:
    """Return time and events of a commit to take over; InvalidInputError for a value that is no commit."""
    try:
        made, supply = commit.time, commit.events
    except Exception:  # whatever it is
        raise InvalidInputError("commits", commit, "must be commits, with time and events") from None
    events = list(arguments.several("events", supply, "events"))
    for event in events:
        if type(event) is not Event:
            raise InvalidInputError("event", event, "must be an Event")
        event.key  # noqa: B018  # raises where it is not filled in
        if event.reception_time is None:
            raise InvalidInputError("reception_time", None, "is not filled in before the event is stored")
    return arguments.whole("time", made, TIME_MIN_US, TIME_MAX_US), events


def _events(chunk: list[Event] | Columns[int | None]) -> list[Event]:
    return chunk.events() if isinstance(chunk, Columns) else chunk


def _as_it_is(outcome: Outcome) -> Outcome:
    return outcome


def _appended(outcome: Outcome) -> Appended:
    """Turn the outcome of one event into what :meth:`Instance.append` returns or raises."""
    if outcome.conflicts.positions:
        refused = outcome.conflicts.first[0]
        raise ConflictError(refused.stored, refused.offered)
    if outcome.expired:
        raise ExpiredError(outcome.columns.event(0))
    if outcome.duplicates:
        return Appended(outcome.duplicates[0][1], duplicate=True)
    return Appended(outcome.columns.event(0), duplicate=False)

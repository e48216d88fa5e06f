"""An instance of a served archive, with the methods of Instance, their arguments and errors.

1. What a caller gives is checked here, before anything is sent, by the rules of a local archive.
2. Events and errors are those of the library. But the API does not carry everything: an event that is stored
   as ERROR reads as SEVERE, except by ``changes``, ``commits``, ``table`` and ``event_vectors``, and the
   server sets the user of an event.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

import msgspec

from yamcs_archive import arguments
from yamcs_archive.client.answer_codec import (
    check_media,
    counts_in,
    error_of,
    event_in,
    object_of,
    pruning_in,
)
from yamcs_archive.client.backing_up import RemoteBackups
from yamcs_archive.client.bodies import batches, body_of, checked_id, summed
from yamcs_archive.client.event_streams import continued, event_stream
from yamcs_archive.client.progress_lines import OPERATION_S
from yamcs_archive.client.queries import Query
from yamcs_archive.client.reporting import RemoteReporting
from yamcs_archive.client.tables import RemoteTables
from yamcs_archive.client.transport import JSON, MSGPACK, PROTOBUF, Answer, Request, Transport
from yamcs_archive.client.vectors import RemoteVectors
from yamcs_archive.client.verifying import RemoteVerification
from yamcs_archive.coercion import validate_key
from yamcs_archive.columns import Columns
from yamcs_archive.errors import (
    ArchiveError,
    BadCursorError,
    InvalidInputError,
    ServerUnavailableError,
)
from yamcs_archive.event import AnySeverity, Event, EventKey, StoredEvent
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.gathering import hand_over_gathered
from yamcs_archive.limits import PAGE_EVENTS_MAX, POLL_S_MAX, TIME_MAX_US
from yamcs_archive.results import (
    AppendCounts,
    Appended,
    Change,
    Commit,
    CompactionResult,
    PruningResult,
)
from yamcs_archive.storage.format.commits import decode_cursor, encode_cursor
from yamcs_archive.time_units import CallSite, call_site, looks_like, warn_of_unit
from yamcs_archive.times import Time, format_rfc3339, now_us, to_us
from yamcs_archive.wire.commits import Page, decode_page
from yamcs_archive.wire.framing import delimited
from yamcs_archive.wire.protobuf_scan import content, scan
from yamcs_archive.wire.yamcs_event import decode_shown

if TYPE_CHECKING:
    from yamcs_archive.reports import InstanceSummary

NEWEST = "newest"
"""In place of a cursor: after everything that is stored."""
_NDJSON = "application/x-ndjson"
_OLD_EVENTS, _TOKEN, _EVENTS = 1, 2, 3
"""Fields of the message that is a page."""
_OK = 200
_encode = msgspec.json.encode


class RemoteInstance(RemoteBackups, RemoteReporting, RemoteTables, RemoteVectors, RemoteVerification):
    """One stream of events in a served archive, with the methods of :class:`~yamcs_archive.Instance`.

    Get one from :meth:`Client.instance`. Each method raises UnknownInstanceError when the server has no such
    instance, and the errors that :class:`Client` names.

    >>> client.instance("simulator").append(Event("Wheel 3 over speed", source="AOCS")).duplicate
    False
    """

    def __init__(self, transport: Transport, name: str) -> None:
        self.name = name
        self._transport = transport
        self._path = f"/api/archive/{quoted(name)}/events"

    @property
    def url(self) -> str:
        """The server's URL."""
        return self._transport.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.url!r})"

    def append(self, event: Event, *, request_id: str | None = None) -> Appended:
        """Store one event; on return it is fsynced by the server. See :meth:`Instance.append`.

        ``request_id`` is printable ASCII here. With it a request whose answer does not come is sent again;
        without it that is a ServerUnavailableError with ``status`` None, and the event may be stored or not.
        To append an event with its own time and number again is always safe.

        Raises ConflictError, RequestIdError, ExpiredError, InvalidInputError, OutOfSpaceError, ReadOnlyError
        and OutcomeUnknownError as :meth:`Instance.append` does. It is an InvalidInputError if the source
        has no numbers left.
        """
        request = self._storing("", body_of(event), checked_id(request_id))
        _warn_of_units((event,))
        answer = self.ask(request, event=event, request_id=request_id or "")
        try:
            stored = cast("StoredEvent", event_in(object_of(self._transport, answer)))
        except InvalidInputError as error:
            raise self._transport.strange(str(error)) from None
        return Appended(stored, duplicate=answer.headers.get("idempotent-replayed") == "true")

    def append_many(self, events: Iterable[Event], *, request_id: str | None = None) -> AppendCounts:
        """Store events from any iterable, in requests that are each durable before the next one is sent.

        A request has up to 10,000 events or 2 MiB of JSON. From a slow iterable, requests have fewer: an
        event waits at most a quarter of a second for others before it is sent. Without a time, it gets that
        of its arrival at the server. Counts, errors and their ``position`` and
        ``counts`` are those of :meth:`Instance.append_many`. With a ``request_id``, giving the same events
        again completes what was cut off.

        A ServerUnavailableError with ``status`` None has the position of the first event of the request that
        was not answered; of that request, some or all events may be stored.

        >>> sim.append_many([Event("a", generation_time=0, seq_number=0)]).stored
        1
        """
        request_id = checked_id(request_id)
        counts, position = AppendCounts(), 0
        site = call_site()  # another thread may send the events

        def store(some: list[Event], _stamps: array[int] | None = None) -> None:
            nonlocal counts, position
            _warn_of_units(some, site)
            for lines in batches(some):
                key = request_id if not position or request_id is None else f"{request_id}/{position}"
                request = self._storing(":batch", b"\n".join(lines), key, _NDJSON)
                more = self._batch(request, len(lines), request_id)
                counts = summed(counts, more, position)
                position += len(lines)

        try:
            if isinstance(events, list):
                store(events)
            else:
                hand_over_gathered(arguments.several("events", events, "events"), now_us, store)
        except ArchiveError as error:
            if isinstance(error.counts, AppendCounts):
                counts = summed(counts, error.counts, position)
            error.position = position + (error.position or 0)
            error.counts = counts
            raise
        return counts

    def append_columns(
        self, parts: Iterable[Columns[int | None]], *, request_id: str | None = None
    ) -> AppendCounts:
        """Do what :meth:`append_many` does, with events that come many at once, as columns."""
        events = chain.from_iterable(part.events() for part in arguments.several("parts", parts, "Columns"))
        return self.append_many(events, request_id=request_id)

    def get(self, key: EventKey) -> StoredEvent | None:
        """Return the event of that key, or None.

        >>> sim.get(EventKey(0, "AOCS", 17)) is None
        True
        """
        key = validate_key(key)
        time = key.generation_time
        found = self.events(
            start=time, stop=None if time == TIME_MAX_US else time + 1, sources=[key.source], descending=True
        )
        return next((event for event in found if event.key == key), None)

    def events(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,
        descending: bool = False,
        limit: int | None = None,
        after_key: EventKey | None = None,
        skip_damaged: bool = False,
    ) -> Iterator[StoredEvent]:
        """Return an iterator over the events with ``start <= generation_time < stop``, in key order.

        Arguments and errors are those of :meth:`Instance.events`. All events, oldest first, come as one
        stream; if it breaks off, the next one begins after the last event. With a ``limit``, or
        ``descending``, they come in pages of up to 1,000. With ``skip_damaged`` the server goes round what is
        damaged; its log says what that was.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n, seq_number=n) for n in range(5))
        >>> [event.message for event in sim.events(stop=3, descending=True, limit=2)]
        ['Step 2', 'Step 1']
        """
        query = Query.of(
            *(start, stop, sources, min_severity, text, filter),
            after_key=after_key,
            descending=descending,
            skip_damaged=skip_damaged,
        )
        if limit is not None:
            limit = arguments.whole("limit", limit, 0, arguments.COUNT_MAX)
        if query.is_empty or limit == 0:
            return iter(())
        found = self._streamed(query) if limit is None and not descending else self._paged(query, limit)
        return cast(Iterator[StoredEvent], found)

    def count(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,
        skip_damaged: bool = False,
    ) -> int:
        """Return the number of events that :meth:`events` gives for the same arguments.

        The server counts; for a ``text`` with ``%`` or ``?``, which are wildcards to it, the events are read.

        >>> sim.count(sources=["nosuch"])
        0
        """
        query = Query.of(*(start, stop, sources, min_severity, text, filter), skip_damaged=skip_damaged)
        if query.is_empty:
            return 0
        if not query.is_exact:
            return sum(1 for _ in self._streamed(query))
        path = f"{self._path}:count{query.parameters}"
        found = object_of(self._transport, self.ask(Request("POST", path, _encode(query.body()))))
        try:
            return int(found["count"])
        except (KeyError, TypeError, ValueError):
            raise self._transport.strange("it has no count") from None

    def sources(self) -> list[str]:
        """Return the names of all sources that ever had an event here, sorted.

        >>> _ = sim.append_many([Event("a", source="EPS"), Event("b", source="AOCS")])
        >>> sim.sources()
        ['AOCS', 'EPS']
        """
        found = object_of(self._transport, self.ask(Request("GET", f"{self._path}/sources")))
        names = found.get("sources", found.get("source", []))
        if not isinstance(names, list):
            raise self._transport.strange("it has no list of sources")
        return sorted(map(str, names))

    def summary(self) -> InstanceSummary:
        """Return the numbers of the instance; see :meth:`Instance.summary <yamcs_archive.Instance.summary>`.

        >>> done = sim.append(Event("Wheel 3 over speed", source="AOCS"))
        >>> sim.summary().sources
        1
        """
        from yamcs_archive.wire.reports import summary_of  # noqa: PLC0415  # as in Client.diagnose()

        request = Request("GET", f"{self._path.removesuffix('/events')}:stats")
        found = object_of(self._transport, self.ask(request))
        try:
            return summary_of(found)
        except (KeyError, TypeError, ValueError) as error:
            raise self._transport.strange(f"it is no summary: {error!r}") from None

    def changes(self, after: str | None = None, *, wait_s: float = 0) -> Iterator[Change]:
        """Return an iterator over all events after a cursor, in arrival order, each exactly once.

        See :meth:`Instance.changes`; the cursors are the same. If there is nothing, the server waits up to
        ``wait_s`` seconds (300 at most) for something. To follow, call it again with the last cursor.

        Raises BadCursorError, OtherHistoryError or CursorGoneError, at once.

        >>> cursor = sim.cursor()
        >>> _ = sim.append(Event("Late", source="AOCS", generation_time=-5))
        >>> [change.event.message for change in sim.changes(cursor, wait_s=30)]
        ['Late']
        """
        commits = self.commits(after, wait_s=wait_s)
        return (change for commit in commits for change in _changes(commit))

    def commits(self, after: str | None = None, *, wait_s: float = 0) -> Iterator[Commit]:
        """Return an iterator over what :meth:`changes` gives, commit by commit. Raises as it does.

        >>> _ = sim.append(Event("First", generation_time=0))
        >>> [[event.message for event in commit.events] for commit in sim.commits()]
        [['First']]
        """
        return self._commits(self.page(after, wait_s=wait_s))

    def page(self, after: str | None = None, *, wait_s: float = 0) -> Page:
        """Return the first commits after a cursor in one answer, and the cursor after them.

        ``after`` may be ``newest``, for everything that is stored. Raises as :meth:`changes` does.

        >>> sim.page("newest").commits
        []
        """
        wait_s = arguments.seconds("wait_s", wait_s, POLL_S_MAX)
        asked = {"wait": f"{wait_s:.9f}"}
        if after is not None:
            if not isinstance(after, str) or not after or not after.isascii():  # "" is none to the server
                raise BadCursorError("cursor", after, "is not a cursor that this archive gave out")
            asked["after"] = after
        path = f"{self._path}:changes?{urlencode(asked)}"
        try:
            answer = self.ask(Request("GET", path, accept=MSGPACK, wait_s=wait_s))
        except InvalidInputError as error:
            if after is None:
                raise
            raise BadCursorError("cursor", after, str(error).partition(": ")[2] or str(error)) from None
        try:
            return decode_page(answer.body)
        except InvalidInputError as error:
            raise self._transport.strange(str(error)) from None

    def cursor(self) -> str:
        """Return the cursor after the newest event: ``changes`` after it yields events stored from now on.

        >>> list(sim.changes(after=sim.cursor()))
        []
        """
        return self.page(NEWEST).cursor

    def prune(
        self,
        *,
        before: Time | None = None,
        keep_days: int | None = None,
        max_bytes: int | None = None,
        max_events: int | None = None,
        dry_run: bool = False,
    ) -> PruningResult:
        """Remove the oldest events, for good; see :meth:`Instance.prune`. The server must allow operations.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n, seq_number=n) for n in range(5))
        >>> sim.prune(before=3, dry_run=True).events
        3
        """
        given = {
            "before": None if before is None else format_rfc3339(to_us(before, "before")),
            "keepDays": keep_days,
            "maxBytes": max_bytes,
            "maxEvents": max_events,
        }
        body = {name: value for name, value in given.items() if value is not None}
        body["dryRun"] = arguments.flag("dry_run", dry_run)
        found = self._operated("prune", _encode(body))
        try:
            return pruning_in(found)
        except (KeyError, TypeError, ValueError):
            raise self._transport.strange("it does not say what was pruned") from None

    def compact(self) -> CompactionResult:
        """Return unused space to the file system; see :meth:`Instance.compact`.

        The server must allow operations.

        >>> done = sim.compact()
        >>> done.after_bytes <= done.before_bytes
        True
        """
        found = self._operated("compact", b"")
        try:
            return CompactionResult(
                int(found["beforeBytes"]), int(found["afterBytes"]), float(found["seconds"])
            )
        except (KeyError, TypeError, ValueError):
            raise self._transport.strange("it does not say what was compacted") from None

    def _operated(self, action: str, body: bytes) -> Mapping[str, Any]:
        path = f"/api/archive/{quoted(self.name)}:{action}"
        request = Request("POST", path, body, wait_s=OPERATION_S, repeatable=False)
        return object_of(self._transport, self.ask(request))

    def reopened(self) -> RemoteInstance:
        """Return the same instance over other connections, for a forked child: it may not use its parent's.

        >>> sim.reopened()
        RemoteInstance('simulator', 'http://127.0.0.1:...')
        """
        return RemoteInstance(self._transport.reopened(), self.name)

    def end(self) -> None:
        """Do what :meth:`Client.end` does, for all instances of the client."""
        self._transport.end()

    def close(self) -> None:
        """Close the connections of the client; the next call makes a new one."""
        self._transport.close()

    def ask(self, request: Request, *, event: Event | None = None, request_id: str = "") -> Answer:
        """Send a request about this instance and return its answer, if its status is 200."""
        answer = self._transport.ask(request)
        if answer.status != _OK:
            raise error_of(
                self._transport, answer, request.path, self.name, event=event, request_id=request_id
            )
        check_media(self._transport, answer, request.accept)
        return answer

    def _storing(self, action: str, body: bytes, key: str | None, media: str = JSON) -> Request:
        # In quotes, which the server takes off: an id may have some of its own.
        headers = {} if key is None else {"idempotency-key": f'"{key}"'}
        path = self._path + action
        return Request("POST", path, body, media, headers=headers, repeatable=key is not None)

    def _batch(self, request: Request, size: int, request_id: str | None) -> AppendCounts:
        try:
            answer = self.ask(request, request_id=request_id or "")
            return counts_in(object_of(self._transport, answer))
        except ServerUnavailableError as error:
            if error.status is None:
                said = f"; of the {size} events that were sent last, some or all may be stored"
                error.args = (f"{error}{said}",)
            raise
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, ArchiveError):
                raise
            raise self._transport.strange(f"it has no counts: {error!r}") from None

    def _streamed(self, query: Query) -> Iterator[Event]:
        """Yield the events of a stream; if it breaks off after some of them, go on with another stream."""
        return continued(
            query,
            self._stream,
            lambda event: event.key,
            lambda asked, event: event if asked.fits(event) else None,
        )

    def _stream(self, query: Query) -> Iterator[Event]:
        with event_stream(self._transport, self.name, query, PROTOBUF) as pieces:
            yield from map(decode_shown, delimited(pieces))

    def _paged(self, query: Query, limit: int | None) -> Iterator[Event]:
        body = query.body() | {"order": "desc" if query.descending else "asc"}
        while True:
            body["limit"] = PAGE_EVENTS_MAX if limit is None else min(limit, PAGE_EVENTS_MAX)
            path = f"{self._path}:list{query.parameters}"
            answer = self.ask(Request("POST", path, _encode(body), accept=PROTOBUF))
            events, token = self._page_of(answer.body)
            for event in filter(query.fits, events):
                yield event
                if limit is not None:
                    limit -= 1
                    if not limit:
                        return
            if token is None:
                return
            body["next"] = token

    def _page_of(self, body: bytes) -> tuple[list[Event], str | None]:
        """Return the events of a page, which has each twice, and the token of the next page."""
        try:
            fields = list(scan(body))
            number = _EVENTS if any(field.number == _EVENTS for field in fields) else _OLD_EVENTS
            events = [decode_shown(content(body, field)) for field in fields if field.number == number]
            tokens = [content(body, field).decode() for field in fields if field.number == _TOKEN]
        except (InvalidInputError, ValueError) as error:
            raise self._transport.strange(f"it is no page of events: {error}") from None
        return events, tokens[-1] if tokens else None

    def _commits(self, page: Page) -> Iterator[Commit]:
        while page.commits:
            yield from page.commits
            page = self.page(page.cursor)


def _warn_of_units(events: Iterable[Event], site: CallSite | None = None) -> None:
    """Warn of times that look like seconds or milliseconds."""
    for event in events:
        time = getattr(event, "generation_time", None)
        if type(time) is int and looks_like(time):
            warn_of_unit(time, "generation_time", site)
            return


def quoted(name: str) -> str:
    """Return an instance's name as a part of a path."""
    return quote(name, safe="")


def answer_of(transport: Transport, request: Request) -> Answer:
    """Send a request about no single instance and return its answer, if its status is 200."""
    answer = transport.ask(request)
    if answer.status != _OK:
        raise error_of(transport, answer, request.path)
    return answer


def instance_names(transport: Transport) -> list[str]:
    """Return the names of the instances that are served, sorted."""
    answer = answer_of(transport, Request("GET", "/api/instances"))
    try:
        found = object_of(transport, answer).get("instances", [])
        return sorted(str(instance["name"]) for instance in found)
    except (TypeError, KeyError) as error:
        raise transport.strange(f"it has no list of instances: {error!r}") from None


def _changes(commit: Commit) -> Iterator[Change]:
    """Yield the events of a commit, each with the cursor after it.

    A cursor counts the events of its commit (docs/format.md), so that of the last tells the others.
    """
    last = decode_cursor(commit.cursor)
    for position, event in enumerate(commit.events, last.position - len(commit.events) + 1):
        yield Change(event, encode_cursor(last._replace(position=position)))

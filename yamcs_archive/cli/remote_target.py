"""The events of an instance behind a URL, as a command reads and makes them."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from yamcs_archive.cli.errors import RemoteError
from yamcs_archive.cli.event_query import LogRequest
from yamcs_archive.cli.remote import ask, ask_for_messages
from yamcs_archive.columns import Columns
from yamcs_archive.credentials import Login
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event, EventKey
from yamcs_archive.limits import PAGE_EVENTS_MAX
from yamcs_archive.mirror.feed import Feed
from yamcs_archive.results import AppendCounts, Conflict
from yamcs_archive.times import format_rfc3339, parse_rfc3339
from yamcs_archive.wire.form import SHOWN_TODAY, Form
from yamcs_archive.wire.json import event_of, sent, shown
from yamcs_archive.wire.yamcs_event import decode_shown

_WAIT_S = 30
"""How long the server is asked to wait for something new; shorter than what proxies cut off."""


class RemotePlace:
    """An instance behind a URL."""

    def __init__(self, url: str, instance: str, login: Login | None = None) -> None:
        name = urllib.parse.quote(instance, safe="")
        self._url, self._login, self._path = url, login, f"/api/archive/{name}/events"
        self._stream = f"/api/stream-archive/{name}:streamEvents"
        self._feed = Feed(url, instance, login)

    def close(self) -> None:
        """Close the connection on which changes are read."""
        self._feed.close()

    def create(self, event: Event) -> Mapping[str, Any]:
        """POST the event and return it as it is stored."""
        body: dict[str, Any] = {
            "message": event.message,
            "source": event.source,
            "severity": event.severity.name,
            "type": event.type,
            "time": None if event.generation_time is None else format_rfc3339(event.generation_time),
            "sequenceNumber": event.seq_number,
            "extra": event.extra,
        }
        return ask(self._url, self._path, body, self._login)

    def store(self, events: Columns[int | None]) -> AppendCounts:
        """POST the events as one batch. A refusal has the position of the event at fault, and the counts."""
        lines = b"\n".join(msgspec.json.encode(sent(event)) for event in events.events())
        try:
            return _counts(ask(self._url, f"{self._path}:batch", lines, self._login))
        except RemoteError as error:
            if error.detail is None:
                text = f"{error}; of the {events.size} events that were sent last, some or all may be stored"
                raise RemoteError(text) from None
            if isinstance(error.detail.get("position"), int):
                error.position, error.counts = error.detail["position"], _counts(error.detail)
            raise

    def newest(self) -> str:
        """See :class:`~yamcs_archive.cli.target.Place`."""
        return self._feed.page("newest").cursor

    def commits(self, after: str, *, wait: bool) -> Iterator[tuple[Sequence[Event], str]]:
        """See :class:`~yamcs_archive.cli.target.Place`."""
        page = self._feed.page(after, wait_s=_WAIT_S if wait else 0)
        while page.commits:
            for commit in page.commits:
                yield commit.events, commit.cursor
            page = self._feed.page(page.cursor)

    def log(self, wanted: LogRequest) -> Iterator[Mapping[str, Any]]:
        """See :class:`~yamcs_archive.cli.target.Place`. Holds one page at a time, however many there are."""
        if wanted.reverse or wanted.first is not None:
            return chain.from_iterable(self._pages(wanted))
        if wanted.lines is None:
            return self._forward(_asked(wanted))
        if wanted.lines <= PAGE_EVENTS_MAX:
            pages = self._pages(wanted)
            newest: list[Mapping[str, Any]] = next(pages, [])
            if next(pages, None) is None:  # of large events a page holds fewer than it was asked for
                return iter(newest[::-1])
        return self._back_and_forth(wanted)

    def _back_and_forth(self, wanted: LogRequest) -> Iterator[Mapping[str, Any]]:
        """Yield the newest ``lines``, oldest first: back to where they begin, then forward from there."""
        ends: list[EventKey] = []
        for page in self._pages(wanted):
            ends = [*ends[:1], *([key_of(page[0])] if not ends else []), key_of(page[-1])]
        if not ends:
            return
        body = _asked(wanted) | {"start": format_rfc3339(ends[-1].generation_time)}
        for event in self._forward(body):
            key = key_of(event)
            if key > ends[0]:
                return  # stored since the way back
            if key >= ends[-1]:
                yield event

    def _pages(self, wanted: LogRequest) -> Iterator[list[Mapping[str, Any]]]:
        """Yield pages of the newest events, newest first, or of the oldest, oldest first; none is empty."""
        if wanted.first is None:
            left, body = wanted.lines, _asked(wanted) | {"order": "desc"}
        else:
            left, body = wanted.first, _asked(wanted) | {"order": "asc"}
        while left is None or left:
            limit = PAGE_EVENTS_MAX if left is None else min(PAGE_EVENTS_MAX, left)
            found = ask(self._url, f"{self._path}:list", body | {"limit": limit}, self._login)
            page: list[Mapping[str, Any]] = found.get("events", [])
            if page:
                yield page
            left = None if left is None else left - len(page)
            if "continuationToken" not in found:
                return
            body["next"] = found["continuationToken"]

    def _forward(self, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        try:
            for message in ask_for_messages(self._url, self._stream, body, self._login):
                yield shown(decode_shown(message), Form.TODAY)
        except InvalidInputError as error:
            raise RemoteError(f"{self._url} streams what is no event: {error}") from None


def key_of(event: Mapping[str, Any]) -> EventKey:
    """Return the key of an event as today's JSON shows it.

    >>> key_of({"generationTime": "1970-01-01T00:00:01Z", "source": "S", "seqNumber": 2})
    EventKey(generation_time=1000000, source='S', seq_number=2)
    """
    return EventKey(
        parse_rfc3339(event["generationTime"], "generationTime"), event["source"], event["seqNumber"]
    )


def _counts(answer: Mapping[str, Any]) -> AppendCounts:
    """Return the counts in an answer of events:batch; RemoteError if it cannot be read."""
    try:
        return AppendCounts(
            int(answer["stored"]),
            int(answer["duplicates"]),
            int(answer["expired"]),
            int(answer["conflictCount"]),
            tuple(
                Conflict(int(one["position"]), event_of(one["stored"])[1], event_of(one["offered"])[1])
                for one in answer["conflicts"]
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RemoteError(f"the answer to a batch cannot be read: {error!r}") from None


def _asked(wanted: LogRequest) -> dict[str, Any]:
    """Return the body that asks for the events that are wanted."""
    body: dict[str, Any] = {}
    if wanted.start is not None:
        body["start"] = format_rfc3339(wanted.start)
    if wanted.stop is not None:
        body["stop"] = format_rfc3339(wanted.stop)
    if wanted.min_severity is not None:
        body["severity"] = SHOWN_TODAY[wanted.min_severity].lower()
    if wanted.sources:
        body["source"] = list(wanted.sources)
    if wanted.filter is not None:
        body["filter"] = wanted.filter.text
    return body

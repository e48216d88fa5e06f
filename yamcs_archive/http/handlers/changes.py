"""The route ``events:changes``: what was stored, in arrival order, at once or as soon as there is something.

1. A client that follows the cursors gets every stored event exactly once: the cursor alone decides what an
   answer holds.
2. An answer is bounded in events and in bytes; a long poll is a pending answer, which holds no thread.
3. The exchange form (msgpack) loses nothing and keeps commits whole; it is what mirrors read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from operator import attrgetter
from typing import NamedTuple, TypeVar

from yamcs_archive.access.permissions import Sources
from yamcs_archive.errors import BadCursorError, InvalidInputError
from yamcs_archive.event import Event, event_bytes
from yamcs_archive.http import query
from yamcs_archive.http.admission import Lease
from yamcs_archive.http.left_out import LeftOut, left_out_of
from yamcs_archive.http.limits import (
    CHANGES_BYTES_MAX,
    EXCHANGE_EVENTS_DEFAULT,
    EXCHANGE_EVENTS_MAX,
    PAGE_EVENTS_DEFAULT,
)
from yamcs_archive.http.media_types import changes_writer
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Pending, Response, reply
from yamcs_archive.instance import Instance
from yamcs_archive.limits import PAGE_EVENTS_MAX, POLL_S_MAX
from yamcs_archive.results import Change, Commit
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.codec import BatchCodec
from yamcs_archive.wire.json_scalars import as_int32

NEWEST = "newest"
"""In place of a cursor: only what is stored from now on."""
_PARAMETERS = ("after", "limit", "wait", "form", "skip_damaged")
_EVENT_BYTES = 200
"""Bytes that an event takes in memory beside its text, roughly: an answer may have a hundred thousand."""
_LOOK_EVERY = 256
"""Events that may not be read between two looks whether anybody waits for the answer."""
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")

T = TypeVar("T")


class _ChangesQuery(NamedTuple):
    instance: Instance
    after: str | None
    limit: int
    form: Form
    writer: BatchCodec
    lease: Lease
    left_out: LeftOut | None
    readable: Sources | None
    """The sources of which events may be answered; None: all."""
    given_up: Callable[[], bool]

    def answer(self) -> tuple[Response, str | None]:
        """Return the answer as of now, and its cursor if it has no event."""
        try:
            # Taken before reading: if nothing is found after the beginning, it skips nothing.
            cursor = self.instance.cursor() if self.after is None else self.instance.renewed(self.after)
            seen: list[str] = []
            commits = list(self._page(seen))
        except BadCursorError as error:  # it must name the parameter that the cursor came in
            raise BadCursorError("after", error.value, error.rule) from None
        if not commits and seen:
            cursor = seen[-1]  # after everything that may not be answered
        cursor = commits[-1].cursor if commits else cursor
        body = self.writer.changes(commits, cursor, self.form)
        headers = () if self.left_out is None else self.left_out.headers
        return reply(self.writer.media, body, headers=headers), None if commits else cursor

    def _page(self, seen: list[str]) -> Iterator[Commit]:
        """Yield the commits of an answer; in a form without commits, all events as if they were one.

        ``seen`` gets the cursor of the last event that was passed over, because it may not be read.
        """
        if self.writer.whole_commits:
            yield from self._bounded(self.instance.commits(self.after), attrgetter("events"))
            return
        found = self._readable(self.instance.changes(self.after, skip_damaged=self.left_out or False), seen)
        changes = list(self._bounded(found, lambda change: (change.event,)))
        if changes:
            yield Commit(0, tuple(change.event for change in changes), changes[-1].cursor)

    def _readable(self, changes: Iterator[Change], seen: list[str]) -> Iterator[Change]:
        if self.readable is None:
            yield from changes
            return
        for nth, change in enumerate(changes):
            if self.readable(change.event.source):
                yield change
            else:
                seen[:] = [change.cursor]
            if nth % _LOOK_EVERY == 0 and self.given_up():
                return

    def _bounded(self, found: Iterable[T], events_of: Callable[[T], Sequence[Event]]) -> Iterator[T]:
        """Yield commits or changes, at least one, until an answer can hold no more events or bytes."""
        count = size_bytes = 0
        for one in found:
            yield one
            events = events_of(one)
            count += len(events)
            size_bytes += sum(map(event_bytes, events))
            has_room = self.lease.grow(size_bytes + count * _EVENT_BYTES)
            if count >= self.limit or size_bytes >= CHANGES_BYTES_MAX or not has_room:
                return


def list_changes(request: Request) -> Response | Pending[Response]:
    """Answer what was stored after a cursor; with ``wait``, once there is something or the time is over."""
    values = query.parameters(request.head.query)
    for name in values:
        if name not in _PARAMETERS:
            # If a filter were ignored, the answer would be wrong.
            raise InvalidInputError(name, values[name][-1], f"is not one of {', '.join(_PARAMETERS)}")
    last = {name: found[-1] for name, found in values.items() if found[-1] != ""}
    form = query.form_of(last.get("form"))
    writer = changes_writer(request.head.headers)
    default, most = (
        (EXCHANGE_EVENTS_DEFAULT, EXCHANGE_EVENTS_MAX)
        if writer.whole_commits
        else (PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX)
    )
    limit = as_int32(last["limit"], "limit") if "limit" in last else default
    if not 1 <= limit <= most:
        raise InvalidInputError("limit", limit, f"must be 1 to {most}")
    wait_s = _seconds(last.get("wait", "0"))
    left_out = left_out_of(request.head)
    if left_out is not None and writer.whole_commits:
        rule = "is for events alone: in the exchange form, which mirrors read, nothing may be missing"
        raise InvalidInputError("skip_damaged", "true", rule)
    instance = request.instance()
    after = last.get("after")
    cursor = instance.cursor() if after == NEWEST else after
    if writer.whole_commits:
        request.refuse_unless_all_sources()
    readable = request.readable()
    asked = _ChangesQuery(
        instance, cursor, limit, form, writer, request.lease, left_out, readable, request.given_up
    )
    answer, cursor = asked.answer()
    if cursor is None or not wait_s or request.head_only:
        return answer
    asked = asked._replace(after=cursor)

    def finish(waited: Future[None]) -> Response:
        if not waited.cancelled():
            waited.result()
        return asked.answer()[0]

    return Pending(instance.arrival(cursor, timeout_s=wait_s), finish, poll=True)


def _seconds(text: str) -> float:
    if not _SECONDS.fullmatch(text) or float(text) > POLL_S_MAX:
        raise InvalidInputError("wait", text, f"must be seconds, 0 to {POLL_S_MAX}")
    return float(text)

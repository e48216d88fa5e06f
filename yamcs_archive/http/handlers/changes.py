"""The route that tells what was stored, in arrival order: ``events:changes``, at once or when it is there.

1. Every stored event comes exactly once, whoever asks how often: what an answer holds is decided by the
   cursor alone.
2. An answer is bounded in events and in bytes; a long poll is a pending answer, which holds no thread.
3. The exchange form (msgpack) loses nothing and keeps commits whole; it is what mirrors read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import NamedTuple

from yamcs_archive.errors import ArchiveError, BadCursorError, InvalidInputError
from yamcs_archive.event import Event, event_bytes
from yamcs_archive.http import query
from yamcs_archive.http.errors import error_reply, reply
from yamcs_archive.http.media_types import preferred
from yamcs_archive.http.messages import JSON, MSGPACK, PROTOBUF, Pending, Response
from yamcs_archive.http.request import Request
from yamcs_archive.http.weighing import Hold
from yamcs_archive.instance import Instance
from yamcs_archive.limits import (
    CHANGES_BYTES_MAX,
    EXCHANGE_EVENTS_DEFAULT,
    EXCHANGE_EVENTS_MAX,
    PAGE_EVENTS_DEFAULT,
    PAGE_EVENTS_MAX,
    POLL_S_MAX,
)
from yamcs_archive.wire import json, protobuf
from yamcs_archive.wire.commits import SentCommit, encode_page
from yamcs_archive.wire.form import Form
from yamcs_archive.wire.json_scalars import as_int32

NEWEST = "newest"
"""What stands for the cursor behind the newest event: for who wants only what comes."""
_PARAMETERS = ("after", "limit", "wait", "form")
_EVENT_BYTES = 200
"""What an event takes beside its text, nearly: an answer may have a hundred thousand."""
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class _Asked(NamedTuple):
    instance: Instance
    after: str | None
    limit: int
    form: Form
    media: str
    hold: Hold

    def answer(self) -> tuple[Response, str | None]:
        """Return the answer as of now; and the cursor, where it holds no event."""
        # Taken before the look: where nothing is found behind the beginning, nothing was there by then.
        cursor = self.instance.cursor() if self.after is None else self.instance.renewed(self.after)
        if self.media == MSGPACK:
            commits = list(_commits(self.instance, self.after, self.limit, self.hold))
            cursor = commits[-1].cursor if commits else cursor
            return reply(MSGPACK, encode_page(commits, cursor)), None if commits else cursor
        events: list[Event] = []
        size_bytes = 0
        for change in self.instance.changes(self.after):
            events.append(change.event)
            cursor = change.cursor
            size_bytes += event_bytes(change.event)
            room = self.hold.grows(size_bytes + len(events) * _EVENT_BYTES)
            if len(events) >= self.limit or size_bytes >= CHANGES_BYTES_MAX or not room:
                break
        return self._shown(events, cursor), None if events else cursor

    def _shown(self, events: list[Event], cursor: str) -> Response:
        if self.media == PROTOBUF:
            fields = [(1, protobuf.encode_event(event, self.form)) for event in events]
            return reply(PROTOBUF, protobuf.encode_fields([*fields, (2, cursor.encode())]))
        shown = [json.shown(event, self.form) for event in events]
        return reply(JSON, json.encode({"events": shown, "cursor": cursor}))


def list_changes(request: Request) -> Response | Pending:
    """Answer what was stored behind a cursor; with ``wait``, when there is something or the time is over."""
    values = query.parameters(request.head.query)
    for name in values:
        if name not in _PARAMETERS:
            # A filter that was passed over would be a wrong answer.
            raise InvalidInputError(name, values[name][-1], f"is not one of {', '.join(_PARAMETERS)}")
    last = {name: found[-1] for name, found in values.items() if found[-1] != ""}
    request.form = query.form_of(last.get("form"))
    media = _media(request)
    default, most = (
        (EXCHANGE_EVENTS_DEFAULT, EXCHANGE_EVENTS_MAX)
        if media == MSGPACK
        else (PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX)
    )
    limit = as_int32(last["limit"], "limit") if "limit" in last else default
    if not 1 <= limit <= most:
        raise InvalidInputError("limit", limit, f"must be 1 to {most}")
    wait_s = _seconds(last.get("wait", "0"))
    instance = request.instance()
    after = last.get("after")
    cursor = instance.cursor() if after == NEWEST else after
    asked = _Asked(instance, cursor, limit, request.form, media, request.hold)
    with _naming_after():
        answer, cursor = asked.answer()
    if cursor is None or not wait_s or request.head_only:
        return answer
    asked = asked._replace(after=cursor)

    def finish(waited: Future[None]) -> Response:
        try:
            if not waited.cancelled():
                waited.result()
            with _naming_after():
                return asked.answer()[0]
        except ArchiveError as error:
            return error_reply(error, request.media, asked.form)

    return Pending(instance.arrival(cursor, timeout_s=wait_s), finish, poll=True)


def _media(request: Request) -> str:
    accept = request.head.headers.get("accept")
    return request.media if accept is None else preferred(accept, (PROTOBUF, MSGPACK))


@contextmanager
def _naming_after() -> Iterator[None]:
    """Let an error of a cursor name the parameter that the cursor came in."""
    try:
        yield
    except BadCursorError as error:
        raise BadCursorError("after", error.value, error.rule) from None


def _seconds(text: str) -> float:
    if not _SECONDS.fullmatch(text) or float(text) > POLL_S_MAX:
        raise InvalidInputError("wait", text, f"must be seconds, 0 to {POLL_S_MAX}")
    return float(text)


def _commits(instance: Instance, after: str | None, limit: int, hold: Hold) -> Iterator[SentCommit]:
    """Yield whole commits, one at least, until there are so many events or bytes."""
    events = size_bytes = 0
    for commit in instance.commits(after):
        yield SentCommit(commit.time, commit.events, commit.cursor)
        events += len(commit.events)
        size_bytes += sum(map(event_bytes, commit.events))
        room = hold.grows(size_bytes + events * _EVENT_BYTES)
        if events >= limit or size_bytes >= CHANGES_BYTES_MAX or not room:
            return

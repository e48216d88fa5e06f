"""The ways in: each brings events to an instance, and reports their outcomes as a :class:`Told`.

A way leaves out what it cannot know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgpack
import msgspec
import pytest

from tests.http.feeds import whole
from yamcs_archive import Archive, ConflictError, Event
from yamcs_archive.errors import ExpiredError, RequestIdError, ServerRefusedError
from yamcs_archive.event import as_stored
from yamcs_archive.http.application import Application
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.importers.yamcs import History, import_history
from yamcs_archive.limits import CONFLICTS_KEPT_MAX
from yamcs_archive.results import AppendCounts, Commit, MirrorState
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.codec import JSON, PROTOBUF
from yamcs_archive.wire.commits import decode_page, encode_page
from yamcs_archive.wire.framing import delimited
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf import encode_event
from yamcs_archive.wire.protobuf_scan import varint

NOW = 1_800_000_000_000_000
"""The constant time of the archive's clock, microseconds since 1970."""


class Shown(NamedTuple):
    """A conflict that a way shows."""

    position: int
    stored: str
    """The message of the event that is stored."""
    offered: str


@dataclass
class Told:
    """The outcomes of some events."""

    stored: int = 0
    duplicates: int = 0
    expired: int = 0
    conflict_count: int = 0
    shown: list[Shown] = field(default_factory=list)
    """The first conflicts."""

    @classmethod
    def of(cls, counts: AppendCounts) -> Told:
        """Return the same outcomes as the counts."""
        shown = [Shown(each.position, each.stored.message, each.offered.message) for each in counts.conflicts]
        return cls(counts.stored, counts.duplicates, counts.expired, counts.conflict_count, shown)


class Way(Protocol):
    """A way into the instance ``sim``."""

    shown_max: int = CONFLICTS_KEPT_MAX
    """Largest number of conflicts that it shows."""
    singly: bool = False
    """Whether each event is a commit and a request of its own."""
    batches: bool = False
    """Whether it cuts a sending into batches, each of which shows as much text of conflicts as a whole."""
    ids: bool = False
    """Whether each sending has a request id."""
    mirrors: bool = False
    """Whether one conflict keeps a whole sending from being stored."""

    def __init__(self, archive: Archive, folder: Path) -> None:
        """``folder`` is for its notes."""

    def send(self, events: Sequence[Event], request_id: str) -> Told:
        """Bring all events in; a way without ids ignores the id."""

    def break_off(self, events: Sequence[Event], size: int, request_id: str) -> None:
        """Bring in the first ``size`` events; then the sender breaks off."""


class _Library:
    shown_max, singly, batches, ids, mirrors = CONFLICTS_KEPT_MAX, False, False, False, False

    def __init__(self, archive: Archive, _: Path) -> None:
        self.sim = archive.instance("sim")

    def _told(self, calls: Iterable[tuple[Event, Callable[[], Any]]]) -> Told:
        told = Told()
        for position, (event, call) in enumerate(calls):
            try:
                done = call()
            except ConflictError as error:
                told.conflict_count += 1
                told.shown.append(Shown(position, error.stored.message, error.offered.message))
            except ExpiredError:
                told.expired += 1
            else:
                told.duplicates += done.duplicate
                told.stored += not done.duplicate
                assert (done.event.message, done.event.source) == (event.message, event.source)
        return told


class Append(_Library):
    """``append``, one by one."""

    singly, shown_max = True, 1 << 30

    def _calls(self, events: Sequence[Event], request_id: str) -> Iterator[tuple[Event, Callable[[], Any]]]:
        for position, event in enumerate(events):
            given = f"{request_id}/{position}" if self.ids else None
            yield event, partial(self.sim.append, event, request_id=given)

    def send(self, events: Sequence[Event], request_id: str) -> Told:
        return self._told(self._calls(events, request_id))

    def break_off(self, events: Sequence[Event], size: int, request_id: str) -> None:
        self.send(events[:size], request_id)


class AppendWithIds(Append):
    """The same with request ids."""

    ids = True


class Submit(Append):
    """``submit``, all at once; the writer groups the events that it finds waiting."""

    def _calls(self, events: Sequence[Event], request_id: str) -> Iterator[tuple[Event, Callable[[], Any]]]:
        futures = [
            self.sim.submit(event, request_id=f"{request_id}/{position}" if self.ids else None)
            for position, event in enumerate(events)
        ]
        return zip(events, (future.result for future in futures), strict=True)


class SubmitWithIds(Submit):
    """The same with request ids."""

    ids = True


class AppendMany(_Library):
    """``append_many`` of a list."""

    def send(self, events: Sequence[Event], request_id: str) -> Told:
        return Told.of(self.sim.append_many(self._given(events), request_id=self._id(request_id)))

    def break_off(self, events: Sequence[Event], size: int, request_id: str) -> None:
        with pytest.raises(ConnectionError):
            self.sim.append_many(_broken(events, size), request_id=self._id(request_id))

    def _given(self, events: Sequence[Event]) -> Iterable[Event]:
        return list(events)

    def _id(self, request_id: str) -> str | None:
        return request_id if self.ids else None


class AppendManyOfAnIterator(AppendMany):
    """``append_many`` of an iterator."""

    def _given(self, events: Sequence[Event]) -> Iterable[Event]:
        return iter(events)


class AppendManyWithId(AppendMany):
    """``append_many`` with a request id."""

    ids = True


def _broken(events: Sequence[Event], size: int) -> Iterator[Event]:
    yield from islice(events, size)
    raise ConnectionError


class Batch(_Library):
    """``events:batch`` of newline-delimited JSON."""

    media = "application/x-ndjson"

    def __init__(self, archive: Archive, folder: Path) -> None:
        super().__init__(archive, folder)
        self._core = Application(archive)

    def send(self, events: Sequence[Event], request_id: str) -> Told:
        status, found = self._posted(b"".join(map(self.element, events)), request_id)
        if status == 409:
            raise RequestIdError(found["msg"])
        assert status == 200, found
        return self._read(found)

    def break_off(self, events: Sequence[Event], size: int, request_id: str) -> None:
        before = b"".join(map(self.element, events[:size]))
        status, found = self._posted(before + self.element(events[size])[:-2], request_id)
        assert status == 400, found
        assert (found["detail"]["position"], found["detail"]["stored"]) == (size, size)

    def element(self, event: Event) -> bytes:
        return msgspec.json.encode(_fields(event)) + b"\n"

    def _posted(self, body: bytes, request_id: str) -> tuple[int, dict[str, Any]]:
        headers = {"content-type": self.media, "accept": JSON, "content-length": str(len(body))}
        if self.ids:
            headers["idempotency-key"] = request_id
        call = self._core.begin(Head("POST", "/api/archive/sim/events:batch", "", headers))
        assert isinstance(call, Exchange)
        assert call.streams
        step = 60_000
        answer = call.run(body[at : at + step] for at in range(0, len(body), step))
        assert isinstance(answer, Response)
        return answer.status, msgspec.json.decode(whole(answer))

    def _read(self, found: dict[str, Any]) -> Told:
        return Told(
            found["stored"],
            found["duplicates"],
            found["expired"],
            found["conflictCount"],
            [
                Shown(each["position"], each["stored"]["message"], each["offered"]["message"])
                for each in found["conflicts"]
            ],
        )


class BatchOfProtobuf(Batch):
    """``events:batch`` of varint-delimited protobuf."""

    media = PROTOBUF

    def element(self, event: Event) -> bytes:
        request = today.CreateEventRequest(message=event.message, source=event.source)
        request.severity = event.severity.name
        if event.type is not None:
            request.type = event.type
        assert event.generation_time is not None
        request.time.FromMicroseconds(event.generation_time)
        if event.seq_number is not None:
            request.sequenceNumber = event.seq_number
        request.extra.update(event.extra)
        body = request.SerializeToString()
        return varint(len(body)) + body


class BatchOfMsgpack(Batch):
    """``events:batch`` of msgpack maps."""

    media = "application/msgpack"

    def element(self, event: Event) -> bytes:
        found: bytes = msgpack.packb({**_fields(event), "time": event.generation_time})
        return found


class BatchWithKey(Batch):
    """The same with an ``Idempotency-Key``."""

    ids = True


class BatchOfProtobufWithKey(BatchOfProtobuf):
    """Likewise."""

    ids = True


class BatchOfMsgpackWithKey(BatchOfMsgpack):
    """Likewise."""

    ids = True


def _fields(event: Event) -> dict[str, Any]:
    assert event.generation_time is not None
    found: dict[str, Any] = {
        "message": event.message,
        "source": event.source,
        "severity": event.severity.name,
        "time": format_rfc3339(event.generation_time),
    }
    if event.type is not None:
        found["type"] = event.type
    if event.seq_number is not None:
        found["sequenceNumber"] = event.seq_number
    if event.extra:
        found["extra"] = event.extra
    return found


class _Streamed(History):
    """A server's history of some events, which breaks off once, after a number of them."""

    def __init__(self, events: Sequence[Event], breaks_after: int | None = None) -> None:
        super().__init__("http://127.0.0.1:8090", "sim")
        object.__setattr__(self, "_events", events)
        object.__setattr__(self, "_breaks_after", breaks_after)

    def messages(self, start: int | None) -> Iterator[bytes]:
        events: Sequence[Event] = self.__dict__["_events"]
        sent = [event for event in events if start is None or (event.generation_time or 0) >= start]
        breaks_after = self.__dict__["_breaks_after"]
        bodies = (encode_event(event, Form.TODAY) for event in islice(sent, breaks_after))
        yield from delimited(varint(len(body)) + body for body in bodies)
        if breaks_after is not None:
            raise ServerRefusedError(
                self.url, 403, "ForbiddenException", "the connection broke, and no more is given"
            )


class Import(_Library):
    """``events import yamcs`` from a server that streams in the order of time."""

    shown_max, batches = 10, True

    def __init__(self, archive: Archive, folder: Path) -> None:
        super().__init__(archive, folder)
        self._folder = folder

    def send(self, events: Sequence[Event], request_id: str) -> Told:
        done = self._take(events)
        shown = [Shown(each.position, each.stored.message, each.offered.message) for each in done.conflicts]
        return Told(done.stored, done.duplicates, done.expired, done.conflict_count, shown)

    def break_off(self, events: Sequence[Event], size: int, request_id: str) -> None:
        with pytest.raises(ServerRefusedError):
            self._take(events[:size], size)

    def _take(self, events: Sequence[Event], breaks_after: int | None = None) -> Any:
        sent = [msgspec.structs.replace(event, reception_time=NOW) for event in events]
        history = _Streamed(sent, breaks_after)
        return import_history(history, self.sim, self._folder, lambda _: None, wait=lambda _: None)


class Mirror(_Library):
    """A mirror, which takes over whole commits of another archive."""

    mirrors = True

    def send(self, events: Sequence[Event], request_id: str) -> Told:
        complete = [as_stored(msgspec.structs.replace(event, reception_time=NOW)) for event in events]
        half = len(complete) // 2
        commits = [
            Commit(NOW, tuple(sorted(part, key=lambda event: event.key)), "after")
            for part in (complete[:half], complete[half:])
            if part
        ]
        before = self.sim.stats()
        page = decode_page(encode_page(commits, "after"))
        self.sim.take_over(page.commits, MirrorState("http://127.0.0.1:8090", "sim", page.cursor))
        after = self.sim.stats()
        return Told(
            after.events - before.events,
            after.duplicates - before.duplicates,
            after.expired - before.expired,
        )

    def break_off(self, events: Sequence[Event], size: int, request_id: str) -> None:
        self.send(events[:size], request_id)


WAYS: dict[str, type[Way]] = {
    "append": Append,
    "append with ids": AppendWithIds,
    "submit": Submit,
    "submit with ids": SubmitWithIds,
    "append_many": AppendMany,
    "append_many of an iterator": AppendManyOfAnIterator,
    "append_many with an id": AppendManyWithId,
    "batch of JSON": Batch,
    "batch of protobuf": BatchOfProtobuf,
    "batch of msgpack": BatchOfMsgpack,
    "batch of JSON with a key": BatchWithKey,
    "batch of protobuf with a key": BatchOfProtobufWithKey,
    "batch of msgpack with a key": BatchOfMsgpackWithKey,
    "import": Import,
    "mirror": Mirror,
}

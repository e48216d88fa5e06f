"""Imports the history of a live Yamcs server into an instance, event by event; repeating it adds nothing.

1. The server streams its events in the order of time, so an interrupted import continues at the time that it
   had reached. Events that are read twice are duplicates here.
2. Every event of the stream is stored, counted as a duplicate or a conflict, or refused and shown. None is
   dropped silently, and a stream that breaks off is never mistaken for a complete one.
3. The progress is noted in a file once the events up to it are durable. If the file is lost, events are read
   again.
4. An import continues only if the server still has the event that it reached. Otherwise the server has
   another history (its files were put back, or replaced), of which the events before that time were not read:
   then the import begins anew.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path

from yamcs_archive.chunked_append import chunks
from yamcs_archive.client.answer_codec import error_of
from yamcs_archive.client.instance import quoted
from yamcs_archive.client.transport import PROTOBUF, Request, Transport
from yamcs_archive.credentials import Credentials, check_url
from yamcs_archive.errors import InvalidInputError, ServerUnavailableError, UnavailableError
from yamcs_archive.event import Event, validate
from yamcs_archive.instance import Instance
from yamcs_archive.results import AppendCounts, Conflict
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.framing import delimited
from yamcs_archive.wire.yamcs_event import decode_shown, stream_request

NOTE = "import.json"
"""Name of the file in an instance's folder that has the progress of an unfinished import."""
_READ_S = 120.0
_TRIES = 5
_SHOWN_MAX = 10


class OtherHistory(Exception):  # noqa: N818  # passes between two functions, and never leaves them
    """The server does not have the event that was read last."""


@dataclass(frozen=True)
class History:
    """A history to be read: the server's URL, its instance, and the times (microseconds since 1970).

    ``credentials`` are for a server that asks for some; they are never written to a file. The URL is, so a
    URL that contains a user raises InvalidInputError.
    """

    url: str
    instance: str
    start: int | None = None
    stop: int | None = None
    credentials: Credentials | None = field(default=None, repr=False)
    transport: Transport | None = field(default=None, repr=False, compare=False)
    """The client to send the requests with; without one, each request has its own."""

    def __post_init__(self) -> None:
        check_url(self.url)

    def probe(self) -> None:
        """Ask for no events, to check that the server can stream some. Raises as :meth:`messages` does."""
        for _ in self._stream(0, 0):
            pass

    def messages(self, start: int | None) -> Iterator[bytes]:
        """Yield the events from ``start`` on, as the server's messages.

        Raises :class:`~yamcs_archive.errors.ServerUnavailableError` if there is no answer or it breaks off.
        Raises ServerRefusedError or another error if the server refuses, so that asking again would not help.
        """
        return self._stream(start, self.stop)

    def _stream(self, start: int | None, stop: int | None) -> Iterator[bytes]:
        path = f"/api/stream-archive/{quoted(self.instance)}:streamEvents"
        # The transport does not try again: the import does, and counts the tries that brought no new events.
        transport = self.transport or one_transport(self.url, self.credentials)
        request = Request("POST", path, stream_request(start, stop), PROTOBUF, PROTOBUF)
        with closing(transport), transport.stream(request) as (answer, pieces):
            if answer.status != HTTPStatus.OK:
                raise error_of(transport, answer, path)
            try:
                yield from delimited(pieces)
            except InvalidInputError as error:
                text = f"{self.url}: its stream cannot be read: {error}"
                raise ServerUnavailableError(self.url, text) from None


def one_transport(url: str, credentials: Credentials | None) -> Transport:
    """Return a client that sends each request once."""
    return Transport(url, credentials, retries=0, read_s=_READ_S)


@dataclass
class Imported:
    """The outcomes of the events that were read."""

    read: int = 0
    stored: int = 0
    duplicates: int = 0
    expired: int = 0
    conflict_count: int = 0
    conflicts: list[Conflict] = field(default_factory=list)
    """The first 10; ``position`` counts the events that were read and not refused."""
    refused_count: int = 0
    refused: list[str] = field(default_factory=list)
    """The reasons for the first 10 that were refused, each with its place."""
    reached: int | None = None
    """The generation time of the last event that is durable; microseconds since 1970."""
    last: tuple[str | None, int | None] | None = None
    """Source and number of that event; None if they are not known."""
    restarts: int = 0
    """Number of times that the import began anew because the server no longer had that event."""

    @property
    def whole(self) -> bool:
        """True if all events that were read are stored here now.

        >>> Imported(read=2, stored=1, duplicates=1).whole, Imported(read=1, conflict_count=1).whole
        (True, False)
        """
        return self.stored + self.duplicates == self.read

    def refuse(self, reason: str) -> None:
        """Count something that was read and cannot be stored."""
        self.read += 1
        self.refused_count += 1
        if len(self.refused) < _SHOWN_MAX:
            self.refused.append(reason)

    def add(self, counts: AppendCounts) -> None:
        """Add the outcomes of the events that were read next."""
        before = self.stored + self.duplicates + self.expired + self.conflict_count
        for conflict in counts.conflicts[: _SHOWN_MAX - len(self.conflicts)]:
            self.conflicts.append(replace(conflict, position=before + conflict.position))
        self.stored += counts.stored
        self.duplicates += counts.duplicates
        self.expired += counts.expired
        self.conflict_count += counts.conflict_count
        self.read += counts.stored + counts.duplicates + counts.expired + counts.conflict_count


def import_history(
    history: History,
    instance: Instance,
    folder: Path,
    say: Callable[[Imported], None],
    wait: Callable[[float], None] = time.sleep,
    *,
    tries_max: int = _TRIES,
    into: Imported | None = None,
    see: Callable[[Sequence[Event]], None] = lambda _: None,
) -> Imported:
    """Store a history in an instance; return the outcomes of its events.

    ``folder`` is for the progress file of an unfinished import, ``say`` is called after each durable step. A
    connection that breaks is made again, until ``tries_max`` tries in a row have got no new events. (Each try
    gets the events of the time that was reached again; these are not new.) If the server has another history,
    reading begins anew, at most five times. The outcomes are added to ``into``, if given; ``see`` is called
    with the events of each durable step. Raises the errors of :meth:`History.messages` and
    :meth:`~yamcs_archive.Instance.append_many`; a later call continues.
    """
    note = Note(folder / NOTE, history)
    done = Imported() if into is None else into
    done.reached, done.last = note.reached()
    tries = restarts = 0
    while True:
        start = done.reached if done.reached is not None else history.start
        try:
            for chunk in chunks(checked(events_of(history.messages(start), done), done.reached, done.last)):
                known = done.stored, done.reached
                done.add(instance.append_many(chunk))
                done.reached = chunk[-1].generation_time
                done.last = chunk[-1].source, chunk[-1].seq_number
                note.write(done.reached, done.last)
                see(chunk)
                if (done.stored, done.reached) != known:
                    tries = 0
                say(done)
            break
        except OtherHistory:
            note.remove()
            done.reached = done.last = None
            done.restarts += 1
            restarts += 1
            if restarts > _TRIES:
                text = f"{history.url}: its history became another one {restarts} times while it was read"
                raise ServerUnavailableError(history.url, text) from None
        except ServerUnavailableError:
            tries += 1
            if tries >= tries_max:
                raise
            wait(2.0**tries / 2)
    note.remove()
    return done


def events_of(
    messages: Iterable[bytes | InvalidInputError], done: Imported, *, live: bool = False
) -> Iterator[Event]:
    """Yield the events that can be stored; count the others, with their reasons."""
    for position, message in enumerate(messages):
        try:
            if isinstance(message, InvalidInputError):
                raise message
            event = decode_shown(message)
            validate(event)
        except InvalidInputError as error:
            where = "a live message" if live else f"message {position} of the stream"
            done.refuse(f"{where}: {error}")
        else:
            yield event


def checked(
    events: Iterator[Event], reached: int | None, last: tuple[str | None, int | None] | None
) -> Iterator[Event]:
    """Yield the events; raise OtherHistory if the event that was reached is not among those of its time."""
    met = reached is None or last is None
    for event in events:
        if not met and reached is not None and (event.generation_time or 0) >= reached:
            if event.generation_time != reached:
                raise OtherHistory
            met = (event.source, event.seq_number) == last
        yield event
    if not met:
        raise OtherHistory


class Note:
    """The progress of an import of one history, in a file; a file of another history counts as none."""

    def __init__(self, path: Path, history: History) -> None:
        self._path = path
        self._about = {
            "url": history.url,
            "instance": history.instance,
            "start": history.start,
            "stop": history.stop,
        }

    def reached(self) -> tuple[int | None, tuple[str | None, int | None] | None]:
        """Return the time that was reached, and that event's source and number; None if unknown."""
        try:
            found = json.loads(self._path.read_bytes())
            if {name: found[name] for name in self._about} == self._about:
                last = found.get("last")  # not noted by earlier versions
                return int(found["reached"]), None if last is None else (last[0], last[1])
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
            pass  # without the file everything is read again
        return None, None

    def write(self, reached: int | None, last: tuple[str | None, int | None] | None) -> None:
        """Write a time and an event to the file; the time also in RFC 3339, for people."""
        if reached is None:
            return
        about = {**self._about, "reached": reached, "time": format_rfc3339(reached), "last": last}
        text = json.dumps(about, indent=2)
        draft = self._path.with_suffix(".part")
        with suppress(OSError):  # rule 3; a fault of the medium is an error of the next commit
            draft.write_text(text + "\n", encoding="utf-8")
            os.replace(draft, self._path)

    def remove(self) -> None:
        """Remove the file after the import: the next one begins at the beginning, to find late events.

        The removal is durable: if a power cut brought the file back, the next import would skip late events.
        Raises UnavailableError if the file cannot be removed.
        """
        try:
            self._path.unlink()
            descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise UnavailableError(
                f"{self._path} says that this import is not finished, though it is, and cannot be removed"
                f" ({error.strerror or error}): remove it before the next one"
            ) from error

"""Follows a live Yamcs server: first its history, then its events as it publishes them.

1. A subscription begins before the history after the mark is read, so nothing can come between the two. The
   mark is the latest event that was stored, of those that the server had received by their generation time:
   an event whose clock is ahead would otherwise hide a gap.
2. After each loss of the subscription, the history is read again from an hour before the mark on; what is
   stored already counts as duplicates. An event that is more than an hour late and arrives in the gap is not
   found that way: the next import of the whole history finds it.
3. The mark is noted in a file once everything up to it is durable. Without the file, all of the history is
   read again.
4. A server that no longer has the marked event has another history, all of which is read.
5. After a fault that may pass, it tries again, at longer intervals each time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from yamcs_archive.chunked_append import chunks
from yamcs_archive.client.websocket import LiveEvents
from yamcs_archive.errors import ServerUnavailableError
from yamcs_archive.event import Event
from yamcs_archive.importers.yamcs import (
    History,
    Imported,
    Note,
    OtherHistory,
    checked,
    events_of,
    import_history,
    one_transport,
)
from yamcs_archive.instance import Instance
from yamcs_archive.limits import TIME_MIN_US

NOTE = "follow.json"
"""Name of the file in an instance's folder that has the mark."""
OVERLAP_US = 3_600_000_000
"""How far before the mark the history is read after a loss, in microseconds."""
_LOOK_S = 1.0
_PAUSE_S, _PAUSE_S_MAX = 0.5, 15.0
_SOUND_S = 5.0
"""Seconds after which a subscription counts as sound, so that the next loss is a new trouble."""
_SETTLE_S = 0.2
"""Pause between the beginning of a subscription and the history: a Yamcs server stores an event after it has
published it."""


@dataclass(frozen=True)
class Followed:
    """The progress."""

    done: Imported
    live: bool
    """Whether events are taken as they are published; otherwise history is read, or it waits."""
    trouble: str | None = None
    """The reason why it waits, if it does."""


class _Stopped(Exception):  # noqa: N818  # it is none: it ends the work from within
    pass


@dataclass
class _Mark:
    """The latest event that was stored."""

    time: int | None = None
    key: tuple[str | None, int | None] | None = None

    def move(self, events: Iterable[Event]) -> None:
        """Move to the latest of the events, unless their clocks are ahead of the server's.

        It stays at an event of the same time: until a later one was read, it is not known whether the server
        still has the marked one.
        """
        for event in events:
            moment = event.generation_time
            if moment is None or (event.reception_time is not None and moment > event.reception_time):
                continue
            if self.time is None or moment > self.time:
                self.time, self.key = moment, (event.source, event.seq_number)


@dataclass
class Following:
    """Stores the events of a server in an instance, until :meth:`stop`.

    ``history.stop`` must be None. ``folder`` is for the files with the progress, ``say`` is called after each
    durable step and each change; ``pause_s`` is the first pause after a fault.
    """

    history: History
    instance: Instance
    folder: Path
    say: Callable[[Followed], None]
    pause_s: float = _PAUSE_S
    done: Imported = field(default_factory=Imported)

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._transport = one_transport(self.history.url, self.history.credentials)
        self.history = replace(self.history, transport=self._transport)
        self._note = Note(self.folder / NOTE, self.history)
        self._mark = _Mark()
        self._live: LiveEvents | None = None

    def stop(self) -> None:
        """End :meth:`run` on its thread soon; idempotent."""
        self._stopping.set()
        self._transport.end()
        if (live := self._live) is not None:
            live.end()

    def run(self) -> None:
        """Follow until :meth:`stop`.

        Raises the errors of :meth:`~yamcs_archive.Instance.append_many`, and ServerRefusedError or another
        error if the server refuses. A later call continues. A server that does not answer is asked again.
        """
        try:
            with closing(self._transport):
                self._run()
        except _Stopped:
            pass

    def _run(self) -> None:
        self._mark = _Mark(*self._note.reached())
        pause_s = self.pause_s
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                if self._mark.time is None:
                    self._read_all()
                with LiveEvents(self._transport, self.history.instance) as live:
                    self._wait(_SETTLE_S)
                    self._read_gap()
                    self._tell(live=True)
                    began_s = time.monotonic()
                    self._take(live)
            except ServerUnavailableError as error:
                if self._stopping.is_set():
                    return
                if time.monotonic() - began_s >= _SOUND_S:
                    pause_s = self.pause_s
                self._tell(live=False, trouble=str(error))
                self._wait(pause_s)
                pause_s = min(2 * pause_s, _PAUSE_S_MAX)

    def _wait(self, pause_s: float) -> None:
        if self._stopping.wait(pause_s):
            raise _Stopped

    def _tell(self, *, live: bool, trouble: str | None = None) -> None:
        self.say(Followed(self.done, live, trouble))
        if self._stopping.is_set():
            raise _Stopped

    def _read_all(self) -> None:
        """Read the whole history, or what an earlier try left of it; set the mark."""
        mark = _Mark()
        import_history(
            self.history,
            self.instance,
            self.folder,
            lambda _: self._tell(live=False),
            tries_max=1,  # the loop tries again
            into=self.done,
            see=mark.move,
        )
        self._mark = mark
        if mark.time is None:
            self._note.remove()
        else:
            self._note.write(mark.time, mark.key)

    def _read_gap(self) -> None:
        """Read the history from before the mark on; all of it if the server has no such event."""
        if self._mark.time is None:
            self._read_all()  # there was nothing, and now there may be something
            return
        start = max(self._mark.time - OVERLAP_US, TIME_MIN_US)
        if self.history.start is not None:
            start = max(start, self.history.start)
        events = events_of(self.history.messages(start), self.done)
        try:
            self._store(checked(events, self._mark.time, self._mark.key), live=False)
        except OtherHistory:
            self.done.restarts += 1
            self._read_all()

    def _take(self, live: LiveEvents) -> None:
        self._live = live
        while not self._stopping.is_set():
            messages = live.next(_LOOK_S)
            if messages:
                events = events_of(messages, self.done, live=True)
                self._store(self._wanted(events), live=True)

    def _wanted(self, events: Iterator[Event]) -> Iterator[Event]:
        start = self.history.start
        return (event for event in events if start is None or (event.generation_time or 0) >= start)

    def _store(self, events: Iterator[Event], *, live: bool) -> None:
        for chunk in chunks(events):
            self.done.add(self.instance.append_many(chunk))
            self._mark.move(chunk)
            self._note.write(self._mark.time, self._mark.key)
            self._tell(live=live)

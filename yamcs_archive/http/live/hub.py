"""Live updates: sends stored events to subscribers, in the order of commits; no sockets.

1. Events are read from the archive, after a cursor: each once, after its commit, late events too. The writer
   takes no part in it, and nothing runs without a subscription.
2. An event is encoded once for each subprotocol, and each filter is tried once, however many subscribe: all
   who want the same events are given the same burst.
3. A hub waits for a slow client for a limited time, while further events wait in the archive. Then it
   disconnects the client with the cursor after the last event sent, from which ``events:changes`` continues.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from itertools import groupby
from time import monotonic

from yamcs_archive.access.permissions import Sources
from yamcs_archive.errors import ArchiveError, ClosedError, UnavailableError
from yamcs_archive.event import Event, event_bytes
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.http.limits import (
    LIVE_BYTES_MAX,
    LIVE_EVENTS_MAX,
    LIVE_PATIENCE_S,
    LIVE_PAUSE_S,
    WEBSOCKETS_MAX,
)
from yamcs_archive.http.live.beside_events import Clock
from yamcs_archive.http.live.send_queue import FAILED, GOING_AWAY, TRY_LATER, Burst, SendQueue
from yamcs_archive.http.observation import LiveState
from yamcs_archive.instance import Instance
from yamcs_archive.results import Change
from yamcs_archive.wire.live_frames import Frames, Tail

_log = logging.getLogger(__name__)

STOPS = "the server stops"
_MOVED = "the instance was renamed or deleted"


Selection = tuple[Frames, Filter | None, Sources | None]
"""What a subscription's events depend on: those with the same are sent the same."""


@dataclass(eq=False)
class Subscription:
    """A client's request for the events of one instance, over one WebSocket."""

    call: int
    instance: Instance
    filter: Filter | None
    queue: SendQueue
    sources: Sources | None = None
    """The sources of which it gets events; None: of all."""
    seq: int = 0
    """Sequence number of its last event in the queue."""
    begin: str = ""
    """The cursor at the time of the subscription, which gets later events only."""

    def __post_init__(self) -> None:
        self.selection: Selection = self.queue.frames, self.filter, self.sources

    def chosen(self, events: Sequence[Event]) -> Sequence[int]:
        """Return the indexes of those events that are sent to it."""
        if self.sources is None and self.filter is None:
            return range(len(events))
        return [index for index, event in enumerate(events) if self._wants(event)]

    def _wants(self, event: Event) -> bool:
        if self.sources is not None and not self.sources(event.source):
            return False
        return self.filter is None or self.filter.matches(event)


class Hubs:
    """The hubs, one for each instance that has subscriptions, and the open WebSockets."""

    def __init__(self) -> None:
        self._guard = threading.Condition()
        self._hubs: dict[str, _Hub] = {}
        self._open: set[SendQueue] = set()
        self._cut_off: Counter[str] = Counter()
        self._closed = False
        self.clock = Clock()

    def enter(self, queue: SendQueue) -> None:
        """Note an open WebSocket. Raises UnavailableError if there are too many, or the server stops."""
        with self._guard:
            if self._closed:
                raise UnavailableError(STOPS)
            if len(self._open) >= WEBSOCKETS_MAX:
                raise UnavailableError(f"{WEBSOCKETS_MAX} WebSockets are open, the limit: try again later")
            self._open.add(queue)

    def leave(self, queue: SendQueue) -> None:
        """Note that a WebSocket is closed."""
        with self._guard:
            self._open.discard(queue)
            self._guard.notify_all()

    def subscribe(self, subscription: Subscription) -> None:
        """Send a subscription the events stored from now on. Raises the errors of reading the archive."""
        instance = subscription.instance
        with self._guard:
            hub = self._hubs.get(instance.name)
            if hub is None or not hub.add(subscription):
                hub = self._hubs[instance.name] = _Hub(instance, subscription, self.note_cut_off)
                hub.start()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Send a subscription no more events; those in its queue may still be sent."""
        with self._guard:
            hub = self._hubs.get(subscription.instance.name)
            if hub is not None and hub.remove(subscription):
                del self._hubs[subscription.instance.name]

    def note_cut_off(self, instance: str, count: int = 1) -> None:
        """Count subscriptions that are ended because their client is too slow."""
        with self._guard:
            self._cut_off[instance] += count

    def state(self) -> LiveState:
        """Return who listens at this moment, and who was cut off so far."""
        with self._guard:
            opened, hubs, cut_off = list(self._open), list(self._hubs.items()), dict(self._cut_off)
        subscribers = {name: hub.size for name, hub in hubs}
        return LiveState(len(opened), sum(queue.waiting_bytes for queue in opened), subscribers, cut_off)

    def close(self, wait_s: float = 0) -> None:
        """Close every WebSocket, and after ``wait_s`` seconds give up those still open; idempotent."""
        with self._guard:
            self._closed = True
            hubs, opened = list(self._hubs.values()), list(self._open)
            self._hubs.clear()
        self.clock.close()
        for hub in hubs:
            hub.stop()
        for queue in opened:
            queue.close(GOING_AWAY, STOPS)
        with self._guard:
            self._guard.wait_for(lambda: not self._open, wait_s)
            late = list(self._open)
        for queue in late:
            queue.give_up()
        with self._guard:
            self._guard.wait_for(lambda: not self._open, wait_s)


class _Hub:
    """Reads one instance after a cursor, on a thread of its own, as long as there are subscriptions."""

    def __init__(self, instance: Instance, first: Subscription, cut_off: Callable[[str, int], None]) -> None:
        self._instance = instance
        self._tell_cut_off = cut_off
        self._cursor = instance.cursor()
        self._guard = threading.Lock()
        # These two tuples are replaced, never changed.
        self._subscriptions: tuple[Subscription, ...] = (first,)
        self._early: tuple[Subscription, ...] = ()
        """Subscriptions made while the hub has earlier events to send; they get events after these."""
        self._stopping = threading.Event()
        self._waiting: Future[None] | None = None

    @property
    def size(self) -> int:
        """The number of its subscriptions."""
        return len(self._subscriptions) + len(self._early)

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"archive-live-{self._instance.name}", daemon=True).start()

    def add(self, subscription: Subscription) -> bool:
        """Add a subscription; False if the hub has ended."""
        with self._guard:
            if self._stopping.is_set():
                return False
            # Everything that the hub has read so far lies before this cursor, so the hub has not passed it,
            # and it cannot pass it before the guard is free.
            subscription.begin = self._instance.cursor()
            if subscription.begin == self._cursor:
                self._subscriptions = (*self._subscriptions, subscription)
            else:
                self._early = (*self._early, subscription)
            return True

    def _let_in(self, chosen: Sequence[Subscription]) -> None:
        """Send events to these early subscriptions from now on; called within the guard."""
        self._subscriptions = (*self._subscriptions, *(one for one in self._early if one in chosen))
        self._early = tuple(one for one in self._early if one not in chosen)

    def _pass(self, cursor: str) -> tuple[Subscription, ...]:
        """Move to the cursor after an event, and return the subscriptions that get this event."""
        with self._guard:
            subscriptions, self._cursor = self._subscriptions, cursor
            if self._early:
                self._let_in([one for one in self._early if one.begin == cursor])
            return subscriptions

    def remove(self, subscription: Subscription) -> bool:
        """Remove a subscription; True if it was the last, so that the hub ends."""
        with self._guard:
            self._subscriptions = tuple(one for one in self._subscriptions if one is not subscription)
            self._early = tuple(one for one in self._early if one is not subscription)
            last = not (self._subscriptions or self._early)
        if last:
            self.stop()
        return last

    def stop(self) -> None:
        with self._guard:
            self._stopping.set()
            waiting = self._waiting
        if waiting is not None:
            waiting.cancel()

    def _run(self) -> None:
        try:
            while self._wait():
                early = self._early
                for changes in _batches(self._instance, self._cursor):
                    if self._stopping.is_set():
                        return
                    self._give_out(changes)
                with self._guard:  # the event before their cursor was not read if it was pruned
                    self._let_in(early)
                if self._stopping.wait(LIVE_PAUSE_S):
                    return
        except ClosedError:
            self._end(GOING_AWAY, _MOVED if self._instance.moved else STOPS)
        except ArchiveError as error:
            self._end(FAILED, str(error))
        except Exception as error:
            _log.exception("live updates of %s", self._instance.name)
            self._end(FAILED, f"internal error: {type(error).__name__}")

    def _wait(self) -> bool:
        """Wait for new events; False if the hub is to stop."""
        waiting = self._instance.arrival(self._cursor)
        with self._guard:
            self._waiting = waiting
        if self._stopping.is_set():
            waiting.cancel()
        try:
            waiting.result()
        except CancelledError:
            return False
        return True

    def _give_out(self, changes: Sequence[Change]) -> None:
        touched: dict[SendQueue, None] = {}
        for subscriptions, run in groupby(changes, lambda change: self._pass(change.cursor)):
            bursts = _Bursts([change.event for change in run])
            for subscription in subscriptions:
                burst = bursts.of(subscription)
                if count := len(burst.tails):
                    queue = subscription.queue
                    queue.put_events(subscription.call, subscription.seq + 1, burst)
                    subscription.seq += count
                    touched[queue] = None
        for queue in touched:
            queue.flush()
        until_s = monotonic() + LIVE_PATIENCE_S  # for all queues together
        for queue in touched:
            if queue.full and not queue.wait_for_room(until_s):
                self._cut_off(queue)

    def _cut_off(self, queue: SendQueue) -> None:
        """End a WebSocket that is too slow, and what is read for it: its connection may last a while yet."""
        subscriptions = [one for one in (*self._subscriptions, *self._early) if one.queue is queue]
        self._tell_cut_off(self._instance.name, len(subscriptions))
        queue.close(TRY_LATER, f"too slow: events:changes?after={self._cursor} has the events that follow")
        for subscription in subscriptions:
            self.remove(subscription)

    def _end(self, code: int, reason: str) -> None:
        with self._guard:
            self._stopping.set()
            subscriptions = (*self._subscriptions, *self._early)
        for subscription in subscriptions:
            subscription.queue.close(code, reason)


class _Bursts:
    """What is sent of some events, made when it is first asked for."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events
        self._found: dict[Selection, Burst] = {}
        self._tails: dict[tuple[Frames, int], Tail] = {}

    def of(self, subscription: Subscription) -> Burst:
        """Return what a subscription is sent."""
        key = subscription.selection
        burst = self._found.get(key)
        if burst is None:
            frames = subscription.queue.frames
            tails = [self._tail(frames, index) for index in subscription.chosen(self._events)]
            burst = self._found[key] = Burst.of(tails)
        return burst

    def _tail(self, frames: Frames, index: int) -> Tail:
        tail = self._tails.get((frames, index))
        if tail is None:
            tail = self._tails[frames, index] = frames.tail(self._events[index])
        return tail


def _batches(instance: Instance, after: str) -> Iterator[Sequence[Change]]:
    """Yield the events after a cursor in batches, each event with the cursor after it.

    A batch of large events is small, because it enters the queues before the hub waits for full ones.
    """
    some: list[Change] = []
    size_bytes = 0
    for change in instance.changes(after):
        some.append(change)
        size_bytes += event_bytes(change.event)
        if len(some) >= LIVE_EVENTS_MAX or size_bytes >= LIVE_BYTES_MAX:
            yield some
            some, size_bytes = [], 0
    if some:
        yield some

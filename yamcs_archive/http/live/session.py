"""The protocol of live updates over one WebSocket: frames of the client and their replies; no I/O.

1. A frame that is not of the API, or too large, ends the connection. Every other error is a reply.
2. The reply to a subscription enters the queue before its first event.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Sequence

from yamcs_archive.access.callers import Caller
from yamcs_archive.access.permissions import Permission
from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.http.errors import HttpError, error_reply, forbidden
from yamcs_archive.http.limits import SUBSCRIPTIONS_MAX, TIME_CALLS_MAX, WEBSOCKET_FRAME_BYTES_MAX
from yamcs_archive.http.live.beside_events import Call
from yamcs_archive.http.live.hub import Hubs, Subscription
from yamcs_archive.http.live.send_queue import FAILED, NORMAL, NOT_PERMITTED, TOO_BIG, SendQueue
from yamcs_archive.wire.live_frames import (
    ClientFrame,
    Frames,
    JsonFrames,
    MalformedError,
    ProtobufFrames,
    Subscribed,
)
from yamcs_archive.wire.live_topics import CANCEL, EVENTS, FIRST, STATE, TIME, TOPICS
from yamcs_archive.wire.pb import yamcs_archive_live_pb2 as live

_log = logging.getLogger(__name__)

_FRAMES: dict[str, Frames] = {"json": JsonFrames(), "protobuf": ProtobufFrames()}
_numbers = itertools.count(1)
"""Numbers of calls, one sequence for all connections, as on a Yamcs server."""


def granted(subprotocols: Sequence[str]) -> str | None:
    """Return the first subprotocol that is known here; None if none is, which means JSON.

    >>> granted(["soap", "protobuf", "json"])
    'protobuf'
    """
    return next((name for name in subprotocols if name in _FRAMES), None)


def frames_of(subprotocol: str | None) -> Frames:
    """Return the frames of a subprotocol."""
    return _FRAMES[subprotocol or "json"]


class Session:
    """One WebSocket: its calls, and the queue of its replies and events."""

    def __init__(self, archive: Archive, hubs: Hubs, queue: SendQueue, caller: Caller) -> None:
        self._archive, self._hubs, self._queue = archive, hubs, queue
        self._caller = caller
        self._calls: dict[int, Subscription | Call] = {}
        self._guard = threading.Lock()
        self._closed = False

    def received(self, frame: str | bytes) -> None:
        """Handle a frame of the client."""
        try:
            self._take(frame)
        except Exception as error:
            _log.exception("a frame of a WebSocket")
            self._queue.close(FAILED, f"internal error: {type(error).__name__}")

    def _take(self, frame: str | bytes) -> None:
        sent = frame.encode(errors="replace") if isinstance(frame, str) else frame
        if len(sent) > WEBSOCKET_FRAME_BYTES_MAX:
            reason = f"Max frame length of {WEBSOCKET_FRAME_BYTES_MAX} has been exceeded."
            self._queue.close(TOO_BIG, reason)
            return
        try:
            asked = self._queue.frames.read(frame)
        except MalformedError:
            self._queue.close(NORMAL, "Bye")
            return
        try:
            self._serve(asked)
        except ArchiveError as error:
            frames = self._queue.frames
            body = error_reply(error, frames.codec).body
            if isinstance(body, bytes):  # the body of an error is
                self._queue.put(frames.reply(asked.id, None, body))
        self._queue.flush()

    def note_cut_off(self) -> None:
        """Count all subscriptions to events as cut off: their client accepts no frame any more."""
        for call in tuple(self._calls.values()):
            if isinstance(call, Subscription):
                self._hubs.note_cut_off(call.instance.name)

    def permitted_now(self, caller: Caller | None) -> None:
        """Take what the caller may do from now on, None if the login has ended: a right less ends this."""
        if caller is None:
            self._queue.close(NOT_PERMITTED, "the login has ended: log in again")
            return
        self._caller = (
            caller  # first: a call that is being made is checked with it once it is among the others
        )
        with self._guard:
            calls = list(self._calls.values())
        if any(not _still_permitted(caller, each) for each in calls):
            self._end_by_permission()

    def _end_by_permission(self) -> None:
        self._queue.close(NOT_PERMITTED, "a permission was changed: subscribe again")

    def close(self) -> None:
        """End all calls, because the client is gone. Another thread may still handle a frame of it."""
        with self._guard:
            self._closed = True
            calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            self._end(call)

    def _end(self, call: Subscription | Call) -> None:
        if isinstance(call, Subscription):
            self._hubs.unsubscribe(call)
        elif call.topic == TIME:
            self._hubs.clock.remove(call)

    def _serve(self, asked: ClientFrame) -> None:
        if asked.topic == CANCEL:
            call = self._calls.pop(asked.call or 0, None)
            if call is not None:
                self._end(call)
        elif asked.topic == STATE:
            self._queue.put(self._queue.frames.state(map(_shown, self._calls.values())))
        elif asked.topic not in TOPICS:
            raise HttpError(404, "NotFoundException", f"No topic '{asked.topic}'")
        else:
            self._check(asked)
            if asked.topic == EVENTS:
                self._subscribe(asked)
            else:
                self._begin(asked)

    def _check(self, asked: ClientFrame) -> None:
        """Raise HttpError if a call may not begin."""
        if asked.call is not None:
            # Some topics of a Yamcs server take further messages to a call; these do not.
            raise HttpError(400, "BadRequestException", f"call {asked.call} takes no further message")
        times = sum(isinstance(one, Call) and one.topic == TIME for one in self._calls.values())
        full = None
        if len(self._calls) >= SUBSCRIPTIONS_MAX:
            full = f"{SUBSCRIPTIONS_MAX} subscriptions"
        elif asked.topic == TIME and times >= TIME_CALLS_MAX:
            full = f"{TIME_CALLS_MAX} subscriptions to the time"
        if full is not None:
            text = f"{full} are open on this connection, the limit: cancel some"
            raise HttpError(400, "BadRequestException", text)
        if not self._caller.allows(Permission.READ_EVENTS, asked.options.instance):
            raise forbidden(f"Missing system privilege '{Permission.READ_EVENTS}'")

    def _begin(self, asked: ClientFrame) -> None:
        """Begin a call about anything but events, of an instance that exists."""
        self._archive.instance(asked.options.instance)
        call = Call(next(_numbers), asked.topic, asked.options, self._queue)
        with self._guard:
            if self._closed:
                return
            self._queue.put(self._queue.frames.reply(asked.id, call.call))
            if asked.topic in FIRST:
                call.put(FIRST[asked.topic])
            if asked.topic == TIME:
                self._hubs.clock.add(call)
            self._calls[call.call] = call
        if not _still_permitted(self._caller, call):
            self._end_by_permission()

    def _subscribe(self, asked: ClientFrame) -> None:
        instance = self._archive.instance(asked.options.instance)
        sources = self._caller.sources(Permission.READ_EVENTS, asked.options.instance)
        wanted = Filter(asked.options.filter) if asked.options.filter else None
        subscription = Subscription(next(_numbers), instance, wanted, self._queue, sources)
        with self._guard:
            if self._closed:
                return
            self._queue.put(self._queue.frames.reply(asked.id, subscription.call))
            try:
                self._hubs.subscribe(subscription)
            except ArchiveError as error:
                self._queue.close(FAILED, str(error))  # the reply above is not true
                return
            self._calls[subscription.call] = subscription
        if not _still_permitted(self._caller, subscription):
            self._end_by_permission()


def _still_permitted(caller: Caller, call: Subscription | Call) -> bool:
    if isinstance(call, Call):
        return caller.allows(Permission.READ_EVENTS, call.options.instance)
    name = call.instance.name
    return (
        caller.allows(Permission.READ_EVENTS, name)
        and caller.sources(Permission.READ_EVENTS, name) == call.sources
    )


def _shown(call: Subscription | Call) -> Subscribed:
    if isinstance(call, Call):
        return Subscribed(call.call, call.topic, call.options)
    wanted = None if call.filter is None else call.filter.text
    options = live.SubscribeEventsRequest(instance=call.instance.name, filter=wanted)
    return Subscribed(call.call, EVENTS, options)

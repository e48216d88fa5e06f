"""The frames of a WebSocket for live updates, from the side of a client: subscriptions out, events in; pure.

Both subprotocols come to the same: an event is read as the protobuf message that a Yamcs server streams, with
the same rules (:mod:`~yamcs_archive.wire.yamcs_event`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError, Message

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.wire.live_topics import EVENTS, TOPICS
from yamcs_archive.wire.pb import yamcs_archive_live_pb2 as live
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

SUBPROTOCOLS = ("protobuf", "json")
"""The subprotocols that are understood, the one that is liked most first. None means JSON."""
_EVENT = "yamcs.protobuf.events.Event"
_SHOWN_MAX = 60


class Reply(NamedTuple):
    """The answer to a subscription: its call, or the status, type and text of an error."""

    call: int | None
    error: tuple[int, str, str] | None = None


class LiveEvent(NamedTuple):
    """An event that came, with the number of its frame within the call."""

    call: int
    seq: int
    message: bytes | InvalidInputError
    """The event, as :mod:`~yamcs_archive.wire.yamcs_event` reads it, or why it cannot be read."""


def subscription(subprotocol: str | None, instance: str) -> str | bytes:
    """Return the frame that subscribes to all events of an instance.

    >>> subscription(None, "sim")
    '{"type":"events","id":1,"options":{"instance":"sim"}}'
    """
    if subprotocol != "protobuf":
        wanted = {"type": EVENTS, "id": 1, "options": {"instance": instance}}
        return msgspec.json.encode(wanted).decode()
    message = live.ClientMessage(type=EVENTS, id=1)
    message.options.type_url = f"type.googleapis.com/{TOPICS[EVENTS].type_name}"
    message.options.value = live.SubscribeEventsRequest(instance=instance).SerializeToString()
    found: bytes = message.SerializeToString()
    return found


def read(subprotocol: str | None, frame: str | bytes) -> Reply | LiveEvent | None:
    """Return what a frame of the server says; None for a frame of another topic.

    Raises InvalidInputError for a frame that no server sends.
    """
    try:
        if subprotocol != "protobuf":
            return _read_json(msgspec.json.decode(frame))
        if isinstance(frame, str):
            raise InvalidInputError("frame", frame[:_SHOWN_MAX], "is text; the subprotocol is binary")
        return _read_protobuf(live.ServerMessage.FromString(frame))
    except (msgspec.MsgspecError, DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError("frame", frame[:_SHOWN_MAX], f"cannot be read: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidInputError("frame", frame[:_SHOWN_MAX], "is none of a Yamcs server") from None


def _read_json(fields: Any) -> Reply | LiveEvent | None:
    if not isinstance(fields["type"], str):
        raise TypeError
    data = fields.get("data", {})
    if fields["type"] == "reply":
        error = data.get("exception")
        if error is None:
            return Reply(int(fields["call"]))
        return Reply(None, (int(error.get("code", 0)), str(error.get("type", "")), str(error.get("msg", ""))))
    if fields["type"] != EVENTS:
        return None
    shown = {name: value for name, value in data.items() if name != "@type"}
    return LiveEvent(int(fields["call"]), int(fields["seq"]), _packed(shown))


def _packed(shown: dict[str, Any]) -> bytes | InvalidInputError:
    """Return the message of an event in JSON; an unknown field is a reason to refuse it."""
    try:
        found: bytes = ParseDict(shown, today.Event()).SerializeToString()
    except (ParseError, UnicodeEncodeError, RecursionError) as error:
        return InvalidInputError("event", str(shown)[:_SHOWN_MAX], f"cannot be parsed: {error}")
    return found


def _read_protobuf(message: live.ServerMessage) -> Reply | LiveEvent | None:
    if not message.type:
        raise ValueError
    if message.type == "reply":
        reply = live.Reply.FromString(message.data.value)
        if not reply.HasField("exception"):
            return Reply(_call(message))
        error = today.ExceptionMessage.FromString(reply.exception)
        return Reply(None, (error.code, error.type, error.msg))
    if message.type != EVENTS:
        return None
    if message.data.type_url.rpartition("/")[2] != _EVENT:
        raise ValueError
    return LiveEvent(_call(message), message.seq, message.data.value)


def _call(message: Message) -> int:
    if not message.HasField("call"):
        raise ValueError
    return int(message.call)  # type: ignore[attr-defined]  # of the message of a server

"""The frames of a WebSocket for live updates <-> values, as JSON and as protobuf; pure.

1. A client's frame is read whole or refused: a MalformedError closes the connection.
2. The part of a frame that is the same for all subscribers of an event is written once
   (:meth:`Frames.tail`); each frame is a call and a number of its own, and then this part.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.wire import json, protobuf
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.codec import Codec
from yamcs_archive.wire.json_codec import JsonCodec
from yamcs_archive.wire.json_scalars import as_int32, as_text
from yamcs_archive.wire.live_topics import CANCEL, TOPICS, Data
from yamcs_archive.wire.pb import yamcs_archive_live_pb2 as live
from yamcs_archive.wire.protobuf_codec import ProtobufCodec
from yamcs_archive.wire.protobuf_scan import check_known, varint

Tail = Any
"""``str`` in the subprotocol ``json``, ``bytes`` in ``protobuf``."""


class MalformedError(InvalidInputError):
    """A frame that no client of the API sends."""


class ClientFrame(NamedTuple):
    """The request of a client's frame."""

    topic: str
    id: int | None = None
    call: int | None = None
    """The call of the frame; in ``cancel`` the call to end."""
    options: Any = None
    """The message of the topic's options; None for a topic that has none, and for an unknown one."""


class Subscribed(NamedTuple):
    """A call as ``state`` lists it."""

    call: int
    topic: str
    options: Message


class Frames(Protocol):
    """Reads and writes the frames of one subprotocol."""

    codec: Codec
    """Writes the errors within replies."""

    def read(self, frame: str | bytes) -> ClientFrame:
        """Return the request of a frame; raise MalformedError for one that no client sends."""

    def reply(self, to: int | None, call: int | None, error: bytes | None = None) -> str | bytes:
        """Return the answer to frame ``to``: its call, or the body of an error's answer."""

    def state(self, calls: Iterable[Subscribed]) -> str | bytes:
        """Return the list of calls."""

    def tail(self, event: Event) -> Tail:
        """Return the part of an event's frames that is the same for all subscribers."""

    def event(self, call: int, seq: int, tail: Tail) -> str | bytes:
        """Return the frame that brings an event to one call."""

    def data(self, topic: str, call: int, seq: int, data: Data) -> str | bytes:
        """Return the frame that brings anything but an event to one call."""


class JsonFrames(Frames):
    """Frames of the subprotocol ``json``, which is also used if the client names none.

    >>> JsonFrames().read('{"type": "events", "id": 1, "options": {"instance": "sim"}}').options.instance
    'sim'
    >>> print(JsonFrames().reply(1, 7))
    {
      "type": "reply",
      "call": 7,
      "data": {
        "@type": "/yamcs.api.Reply",
        "replyTo": 1
      }
    }
    """

    codec = JsonCodec()

    def read(self, frame: str | bytes) -> ClientFrame:
        try:
            fields = _given(json.decode_object(frame.encode() if isinstance(frame, str) else frame), _FIELDS)
            topic = as_text(fields.get("type", ""), "type")
            asked = ClientFrame(topic, _optional_int32(fields, "id"), _optional_int32(fields, "call"))
            if topic not in TOPICS:
                return asked
            options = _options_in(topic, fields.get("options", {}))
            return asked._replace(
                options=options, call=_optional(options, "call") if topic == CANCEL else asked.call
            )
        except (InvalidInputError, UnicodeEncodeError) as error:
            raise _malformed(frame, error) from None

    def reply(self, to: int | None, call: int | None, error: bytes | None = None) -> str:
        data: dict[str, Any] = {"@type": "/yamcs.api.Reply"}
        if to is not None:
            data["replyTo"] = to
        if error is not None:
            data["exception"] = msgspec.json.decode(error)
        return _frame({"type": "reply"} | ({} if call is None else {"call": call}) | {"data": data})

    def state(self, calls: Iterable[Subscribed]) -> str:
        shown = [
            {
                "call": call.call,
                "type": call.topic,
                "options": {"@type": f"/{TOPICS[call.topic].type_name}"} | MessageToDict(call.options),
            }
            for call in calls
        ]
        data: dict[str, Any] = {"@type": "/yamcs.api.State"} | ({"calls": shown} if shown else {})
        return _frame({"type": "state", "data": data})

    def tail(self, event: Event) -> str:
        data = {"@type": "/yamcs.protobuf.events.Event"} | json.shown(event, Form.TODAY)
        return _frame({"data": data})[1:]

    def event(self, call: int, seq: int, tail: Tail) -> str:
        return f'{{\n  "type": "events",\n  "call": {call},\n  "seq": {seq},{tail}'

    def data(self, topic: str, call: int, seq: int, data: Data) -> str:
        found = MessageToDict(data.message)
        shown = found if isinstance(found, dict) else {"value": found}  # as JSON has well-known messages
        content = {"@type": f"/{data.type_name}"} | shown
        return _frame({"type": topic, "call": call, "seq": seq, "data": content})


_FIELDS = frozenset({"type", "options", "id", "call", "maxDroppedWrites", "lowPriority"})


def _options_in(topic: str, given: Any) -> Any:
    """Return the message of a topic's options, given their JSON."""
    if not isinstance(given, dict):
        raise InvalidInputError("options", given, "must be an object")
    options = TOPICS[topic].options()
    fields = options.DESCRIPTOR.fields_by_name
    for name, value in _given(given, frozenset({"@type", *fields})).items():
        if name == "@type":
            continue
        kind = fields[name].type
        if kind == FieldDescriptor.TYPE_INT32:
            setattr(options, name, as_int32(value, name))
        elif kind == FieldDescriptor.TYPE_BOOL:
            setattr(options, name, _as_flag(value, name))
        else:
            setattr(options, name, as_text(value, name))
    return options


def _as_flag(value: Any, name: str) -> bool:
    text = as_text(value, name)
    if text not in ("true", "false"):
        raise InvalidInputError(name, value, "must be true or false")
    return text == "true"


def _given(fields: Any, known: frozenset[str]) -> dict[str, Any]:
    for name in fields:
        if name not in known:
            raise InvalidInputError(name, fields[name], f"is not one of {', '.join(sorted(known))}")
    return {name: value for name, value in fields.items() if value is not None}


def _optional_int32(fields: dict[str, Any], name: str) -> int | None:
    return as_int32(fields[name], name) if name in fields else None


def _malformed(frame: str | bytes, error: Exception) -> MalformedError:
    return MalformedError("frame", frame[:60], f"cannot be read: {error}")


def _frame(document: dict[str, Any]) -> str:
    return json.encode(document).decode()


class ProtobufFrames(Frames):
    """Frames of the subprotocol ``protobuf``: one message each.

    >>> frame = live.ClientMessage(type="state", id=8).SerializeToString()
    >>> ProtobufFrames().read(frame)
    ClientFrame(topic='state', id=8, call=None, options=None)
    """

    codec = ProtobufCodec()

    def read(self, frame: str | bytes) -> ClientFrame:
        if isinstance(frame, str):
            raise MalformedError("frame", frame[:60], "is text; the subprotocol protobuf is binary")
        message = live.ClientMessage()
        try:
            message.ParseFromString(frame)
            check_known(frame, message.DESCRIPTOR)
            asked = ClientFrame(message.type, _optional(message, "id"), _optional(message, "call"))
            topic = TOPICS.get(asked.topic)
            if topic is None:
                return asked
            name = message.options.type_url.rpartition("/")[2]
            if message.HasField("options") and name != topic.type_name:
                raise InvalidInputError("options", name, f"must be {topic.type_name}")
            options: Any = topic.options.FromString(message.options.value)
            check_known(message.options.value, options.DESCRIPTOR, "options.")
            call = _optional(options, "call") if asked.topic == CANCEL else asked.call
            return asked._replace(options=options, call=call)
        except (InvalidInputError, DecodeError, UnicodeDecodeError) as error:
            raise _malformed(frame, error) from None

    def reply(self, to: int | None, call: int | None, error: bytes | None = None) -> bytes:
        data = live.Reply(reply_to=to, exception=error)
        return _message("reply", data, "/yamcs.api.Reply", call)

    def state(self, calls: Iterable[Subscribed]) -> bytes:
        shown = [
            live.State.CallInfo(
                call=call.call,
                type=call.topic,
                options=_packed(call.options, f"/{TOPICS[call.topic].type_name}"),
            )
            for call in calls
        ]
        return _message("state", live.State(calls=shown), "/yamcs.api.State")

    def tail(self, event: Event) -> bytes:
        packed = protobuf.encode_fields(
            [(1, b"/yamcs.protobuf.events.Event"), (2, protobuf.encode_event(event, Form.TODAY))]
        )
        return protobuf.encode_fields([(4, packed)])

    def event(self, call: int, seq: int, tail: Tail) -> bytes:
        return b"".join((b"\n\x06events\x10", varint(call), b"\x18", varint(seq), tail))

    def data(self, topic: str, call: int, seq: int, data: Data) -> bytes:
        return _message(topic, data.message, f"/{data.type_name}", call, seq)


def _optional(message: Message, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _packed(message: Message, type_url: str) -> AnyMessage:
    return AnyMessage(type_url=type_url, value=message.SerializeToString())


def _message(
    kind: str, data: Message, type_url: str, call: int | None = None, seq: int | None = None
) -> bytes:
    message = live.ServerMessage(type=kind, call=call, seq=seq, data=_packed(data, type_url))
    found: bytes = message.SerializeToString()
    return found

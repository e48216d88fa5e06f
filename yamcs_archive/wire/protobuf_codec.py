"""The codec of protobuf: a body is a message; in streams and batches each has its length before it; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.wire import bulk, protobuf
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.batch import Part, from_protobuf
from yamcs_archive.wire.codec import PROTOBUF, Codec, Detail, FormMessage, RequestFields
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import check_known, varint


class ProtobufCodec(Codec):
    """Bodies in protobuf.

    >>> ProtobufCodec().decode_event(today.CreateEventRequest(message="a").SerializeToString())[1].message
    'a'
    """

    media = PROTOBUF

    def decode_event(self, body: bytes, *, keeps_user: bool = False) -> tuple[Form, Event]:
        return protobuf.decode_event(body, keeps_user=keeps_user)

    def decode_batch(self, chunks: Iterable[bytes], *, keeps_user: bool = False) -> Iterator[Part]:
        return from_protobuf(chunks, keeps_user=keeps_user)

    def decode_request(self, body: bytes, message: Message) -> RequestFields:
        try:
            message.ParseFromString(body)
            check_known(body, message.DESCRIPTOR)
            given = {field.name: value for field, value in message.ListFields()}
        except (DecodeError, UnicodeDecodeError) as error:
            raise InvalidInputError("body", body[:20].hex(), f"cannot be parsed: {error}") from None
        return given, protobuf.from_timestamp

    def event(self, event: Event, form: Form) -> bytes:
        return protobuf.encode_event(event, form)

    def page(self, events: Sequence[Event], token: str | None, form: Form) -> bytes:
        if form is Form.TODAY:
            return bulk.encode_protobuf_page(events, token)
        return super().page(events, token, form)

    def stream(self, events: StoredVectors) -> bytes:
        return bulk.encode_protobuf_stream(events)

    def records(self, messages: Iterable[Message]) -> bytes:
        encoded: list[bytes] = [message.SerializeToString() for message in messages]
        return b"".join(varint(len(one)) + one for one in encoded)

    def message(self, message: Message) -> bytes:
        encoded: bytes = message.SerializeToString()
        return encoded

    message_with_lists = message  # an empty list takes no bytes

    def form_message(self, message: FormMessage) -> bytes:
        return _encoded(message.type.DESCRIPTOR, message.fields, message)

    def error(self, code: int, kind: str, text: str, detail: Detail | None = None) -> bytes:
        message = today.ExceptionMessage(code=code, type=kind, msg=text)
        if detail is not None:
            value = self.form_message(detail.message)
            message.detail.CopyFrom(AnyMessage(type_url=detail.type_url, value=value))
        return self.message(message)


def _encoded(kind: Any, fields: Mapping[str, Any], message: FormMessage) -> bytes:
    """Return a message: first its events, then its plain fields, then the messages within it.

    Events are encoded by the rules of their form, which keep the fields of extensions: protobuf's own classes
    would not keep their order.
    """
    events: list[tuple[int, bytes]] = []
    plain: dict[str, Any] = {}
    nested: list[tuple[int, bytes]] = []
    for name, value in fields.items():
        field = kind.fields_by_name[name]
        if not isinstance(value, Event | list | Mapping):
            plain[name] = value
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Event):
                event = protobuf.encode_event(one, message.form, exact=message.exact)
                events.append((field.number, event))
            else:
                nested.append((field.number, _encoded(field.message_type, one, message)))
    others: bytes = GetMessageClass(kind)(**plain).SerializeToString()
    return protobuf.encode_fields(events) + others + protobuf.encode_fields(nested)

"""The codec of JSON, the media type of requests and answers unless their headers name another; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.times import parse_rfc3339
from yamcs_archive.wire import bulk, json
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.batch import Part, from_ndjson
from yamcs_archive.wire.codec import JSON, Codec, Detail, FormMessage, RequestFields
from yamcs_archive.wire.json_scalars import as_text


class JsonCodec(Codec):
    """Bodies in JSON; batches are newline-delimited, and the objects of a stream have nothing between them.

    >>> JsonCodec().decode_event(b'{"message": "a"}')[1].message
    'a'
    """

    media = JSON

    def decode_event(self, body: bytes, *, keeps_user: bool = False) -> tuple[Form, Event]:
        return json.decode_event(body, keeps_user=keeps_user)

    def decode_batch(self, chunks: Iterable[bytes], *, keeps_user: bool = False) -> Iterator[Part]:
        return from_ndjson(chunks, keeps_user=keeps_user)

    def decode_request(self, body: bytes, message: Message) -> RequestFields:
        """Return the fields of any other request; null and empty texts are left out. InvalidInputError."""
        body = body.removeprefix(json.BOM)  # some programs put it before every text
        found = json.decode_object(body) if body.strip() else {}
        known = [field.name for field in message.DESCRIPTOR.fields]
        for name in found:
            if name not in known:
                raise InvalidInputError(name, found[name], f"is not one of {', '.join(known)}")
        given = {name: value for name, value in found.items() if value is not None and value != ""}
        as_text(given.get("instance", ""), "instance")  # accepted and ignored: the path decides
        if not isinstance(given.get("source", []), list):
            raise InvalidInputError("source", given["source"], "must be an array of names")
        return given, lambda value, name: parse_rfc3339(as_text(value, name), name)

    def event(self, event: Event, form: Form) -> bytes:
        return json.encode(json.shown(event, form))

    def page(self, events: Sequence[Event], token: str | None, form: Form) -> bytes:
        if form is Form.TODAY:
            return bulk.encode_json_page(events, token)
        return super().page(events, token, form)

    def stream(self, events: StoredVectors) -> bytes:
        return bulk.encode_json_stream(events)

    def records(self, messages: Iterable[Message]) -> bytes:
        return b"".join(map(self.message, messages))

    def message(self, message: Message) -> bytes:
        """Return an answer without its empty lists. Numbers of 64 bits are written as numbers, up to 2**53.

        >>> from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
        >>> JsonCodec().message(today.CountEventsResponse(count=2))
        b'{\\n  "count": 2\\n}'
        """
        return json.encode(MessageToDict(message, unquote_int64_if_possible=True))

    def message_with_lists(self, message: Message) -> bytes:
        document = MessageToDict(
            message, always_print_fields_with_no_presence=True, unquote_int64_if_possible=True
        )
        return json.encode(document)

    def form_message(self, message: FormMessage) -> bytes:
        return json.encode(_document(message.fields, message))

    def error(self, code: int, kind: str, text: str, detail: Detail | None = None) -> bytes:
        document: dict[str, Any] = {"code": code, "type": kind, "msg": text}
        if detail is not None:
            shown = _document(detail.message.fields, detail.message)
            document["detail"] = {"@type": detail.type_url, **shown}
        return json.encode(document)


def _document(value: Any, message: FormMessage) -> Any:
    """Return a value of a message as a JSON value."""
    if isinstance(value, Event):
        return json.shown(value, message.form, exact=message.exact)
    if isinstance(value, Mapping):
        return {name: _document(part, message) for name, part in value.items()}
    if isinstance(value, list):
        return [_document(part, message) for part in value]
    return value

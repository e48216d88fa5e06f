"""The fields of a protobuf message as they are in its bytes, and checks of them; pure.

The parser of protobuf hides what the events API must see: the wire type of a field, whether a required field
is there at all, the exact bytes of extensions, and fields that the message does not have. It also drops
unknown fields of the entries of a map, and takes a field with another wire type for an unknown one. Without
these checks, such fields would be ignored, and nobody would be told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor

from yamcs_archive.errors import InvalidInputError

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)
EXTENSION_MIN, EXTENSION_MAX = 100, 10_000
_FIELD_NUMBER_MAX = (1 << 29) - 1
_VARINT_BYTES_MAX = 10
_GROUP_DEPTH_MAX = 100  # as deep as protobuf's own parser goes
_WITH_LENGTH = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE)
"""Types of fields that have a length; all others that the API has are varints."""


class Field(NamedTuple):
    """One field: its number, its wire type, and where its bytes start and stop, tag included."""

    number: int
    wire_type: int
    start: int
    stop: int


def scan(body: bytes) -> Iterator[Field]:
    """Yield the top-level fields of a message; InvalidInputError where the bytes are none.

    >>> [(field.number, field.wire_type) for field in scan(bytes.fromhex("0a0141100f"))]
    [(1, 2), (2, 0)]
    >>> list(scan(b"\\x0a\\x05A"))
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: body '0a0541': is truncated or no protobuf message (byte 1)
    """
    at = 0
    while at < len(body):
        start = at
        tag, at = _varint(body, at)
        number, wire_type = tag >> 3, tag & 7
        if not 1 <= number <= _FIELD_NUMBER_MAX or wire_type == END_GROUP:
            raise _broken(body, start)
        at = _skip(body, at, number, wire_type, 0)
        yield Field(number, wire_type, start, at)


def content(body: bytes, field: Field) -> bytes:
    """Return the content of a length-delimited field: text, or a message.

    >>> body = bytes.fromhex("0a0141")
    >>> [content(body, field) for field in scan(body)]
    [b'A']
    """
    _, at = _varint(body, field.start)
    _, at = _varint(body, at)
    return body[at : field.stop]


def integer(body: bytes, field: Field) -> int:
    """Return the value of a varint field, as int64.

    >>> body = bytes.fromhex("20ffffffffffffffffff01")
    >>> [integer(body, field) for field in scan(body)]
    [-1]
    """
    _, at = _varint(body, field.start)
    value = _varint(body, at)[0] & (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _skip(body: bytes, at: int, number: int, wire_type: int, depth: int) -> int:
    """Return where the value that begins at ``at`` ends."""
    if wire_type == VARINT:
        return _varint(body, at)[1]
    if wire_type == LENGTH:
        length, content = _varint(body, at)
        stop = content + length
    elif wire_type == FIXED64:
        stop = at + 8
    elif wire_type == FIXED32:
        stop = at + 4
    elif wire_type == START_GROUP and depth < _GROUP_DEPTH_MAX:
        while True:
            tag, at = _varint(body, at)
            if tag & 7 == END_GROUP:
                if tag >> 3 != number:
                    raise _broken(body, at)
                return at
            at = _skip(body, at, tag >> 3, tag & 7, depth + 1)
    else:
        raise _broken(body, at)
    if stop > len(body):
        raise _broken(body, at)
    return stop


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for index in range(at, min(at + _VARINT_BYTES_MAX, len(body))):
        byte = body[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, index + 1
        shift += 7
    raise _broken(body, at)


def varint(value: int) -> bytes:
    """Return a non-negative number as a varint: the length before each message of a stream.

    >>> varint(300).hex()
    'ac02'
    """
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _broken(body: bytes, at: int) -> InvalidInputError:
    return InvalidInputError("body", body[:20].hex(), f"is truncated or no protobuf message (byte {at})")


@cache
def _known(message: Any) -> dict[int, tuple[str, int, Any]]:
    """Return the fields of a message type by number: name, wire type, and the type of a message within."""
    return {
        field.number: (field.name, LENGTH if field.type in _WITH_LENGTH else VARINT, field.message_type)
        for field in message.fields
    }


def check_fields(fields: Iterable[Field], message: Any, name: str, within: str = "") -> None:
    """Check that fields are known to a message type (a descriptor) and have its wire types.

    ``within`` is the path of the message, with a dot after it, and ``name`` its name for people. Raises
    InvalidInputError with the path, and the name or number of the field.
    """
    known = _known(message)
    for number, wire_type, _, _ in fields:
        if number not in known:
            raise InvalidInputError(
                f"{within}field {number}", f"wire type {wire_type}", f"is not a field of {name}"
            )
        field, expected, _ = known[number]
        if wire_type != expected:
            raise InvalidInputError(
                f"{within}{field}",
                f"wire type {wire_type}",
                f"must have wire type {expected} (field {number})",
            )


def check_within(body: bytes, fields: Iterable[Field], message: Any, within: str = "") -> None:
    """Check that the messages within a message that can be parsed have only known fields, at any depth."""
    known = _known(message)
    for field in fields:
        name, _, inner = known[field.number]
        if inner is not None:
            check_known(content(body, field), inner, f"{within}{name}.")


def check_known(body: bytes, message: Any, within: str = "") -> None:
    """Check that a message that can be parsed, and each message in it, has only known fields.

    ``within`` is the path of the message itself, with a dot after it. Raises InvalidInputError with the path
    and number of the field.

    >>> from yamcs_archive.wire.pb.yamcs_archive_today_pb2 import ListEventsRequest
    >>> check_known(bytes.fromhex("0a0173"), ListEventsRequest.DESCRIPTOR)
    >>> check_known(bytes.fromhex("42024801"), ListEventsRequest.DESCRIPTOR)
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: start.field 9 'wire type 0': is not a field of Timestamp
    """
    for field in scan(body):
        check_fields((field,), message, message.name, within)
        check_within(body, (field,), message, within)


def check_extensions(raw: bytes) -> None:
    """Check that ``raw`` is a sequence of protobuf fields with numbers 100 to 10000.

    >>> check_extensions(bytes.fromhex("a00601"))
    """
    for field in scan(raw):
        if not EXTENSION_MIN <= field.number <= EXTENSION_MAX:
            raise InvalidInputError(
                "extensions", f"field {field.number}", "must have numbers 100 to 10000 only"
            )

"""Refuses fields that a protobuf message does not have, at any depth; pure.

The parser hides unknown fields, drops those of the entries of a map, and takes a field with another wire type
for an unknown one. Without this check what they ask for would be ignored.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.wire.protobuf_scan import FIXED32, FIXED64, LENGTH, VARINT, content, scan

_WIRE_TYPES = {
    **dict.fromkeys((FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FIXED64), FIXED64),
    **dict.fromkeys((FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_FIXED32), FIXED32),
    **dict.fromkeys(
        (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE), LENGTH
    ),
}
"""Wire types, by type of field; all others are varints."""


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
        known = message.fields_by_number.get(field.number)
        if known is None:
            raise InvalidInputError(
                f"{within}field {field.number}",
                f"wire type {field.wire_type}",
                f"is not a field of {message.name}",
            )
        wire_type = _WIRE_TYPES.get(known.type, VARINT)
        if field.wire_type != wire_type:
            raise InvalidInputError(
                f"{within}{known.name}",
                f"wire type {field.wire_type}",
                f"must have wire type {wire_type} (field {field.number})",
            )
        if known.message_type is not None:
            check_known(content(body, field), known.message_type, f"{within}{known.name}.")

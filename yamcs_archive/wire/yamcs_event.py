"""An event as a Yamcs server shows it in protobuf -> the event that is stored here; pure.

1. Nothing is dropped: an unknown field is refused by its number, and so is an unknown severity.
2. A source that cannot be stored here (empty, too long, or with NUL) and a type with NUL are replaced, each
   always by the same text; ``extra`` has the original, under a name of this project's own.
"""

from __future__ import annotations

from hashlib import blake2b

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from msgspec.structs import replace

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import SOURCE_DEFAULT, Event
from yamcs_archive.limits import SOURCE_BYTES_MAX
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf import SEVERITIES_TODAY, SEVERITY_FIELD, shown_event
from yamcs_archive.wire.protobuf_scan import EXTENSION_MAX, EXTENSION_MIN, scan

ORIGINAL_SOURCE, ORIGINAL_TYPE = "yamcs_archive.source", "yamcs_archive.type"
"""Names in ``extra`` of a source and a type that had to be replaced."""
_HASH_BYTES = 8


def stream_request(start: int | None, stop: int | None) -> bytes:
    """Return the body of a request for the events of ``start <= time < stop``, microseconds since 1970.

    >>> stream_request(None, None)
    b''
    """
    message = today.StreamEventsRequest()
    if start is not None:
        message.start.FromMicroseconds(start)
    if stop is not None:
        message.stop.FromMicroseconds(stop)
    whole: bytes = message.SerializeToString()
    return whole


def decode_shown(body: bytes) -> Event:
    """Return the event of a message that a server sent; raise InvalidInputError if it cannot be kept whole.

    >>> decode_shown(today.Event(source="", seqNumber=3, message="a").SerializeToString())
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: generationTime None: is missing
    """
    message = today.Event()
    try:
        message.ParseFromString(body)
    except (DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError("event", body[:20].hex(), f"cannot be parsed: {error}") from None
    for name in ("generationTime", "receptionTime", "seqNumber"):
        if not message.HasField(name):
            raise InvalidInputError(name, None, "is missing")
    extensions = _extensions(body) if len(UnknownFieldSet(message)) else b""
    event = shown_event(message, SEVERITIES_TODAY[message.severity], extensions)
    source, kind = _source(event.source), event.type
    if source == event.source and (kind is None or "\0" not in kind):
        return event
    extra = dict(event.extra)
    if source != event.source:
        extra[ORIGINAL_SOURCE] = event.source
    if kind is not None and "\0" in kind:
        extra[ORIGINAL_TYPE], kind = kind, kind.replace("\0", "\ufffd")
    return replace(event, source=source, type=kind, extra=extra)


def _source(name: str) -> str:
    """Return a source that can be stored: the same name, or its beginning and a hash of all of it."""
    if not name:
        return SOURCE_DEFAULT
    whole = name.encode()
    if len(whole) <= SOURCE_BYTES_MAX and "\0" not in name:
        return name
    mark = "~" + blake2b(whole, digest_size=_HASH_BYTES).hexdigest()
    head = whole.replace(b"\0", b" ")[: SOURCE_BYTES_MAX - len(mark)]
    return head.decode(errors="ignore") + mark  # without a character that was cut in two


def _extensions(body: bytes) -> bytes:
    """Return the bytes of the fields of 2016 extensions; refuse any other unknown field."""
    known = {field.number for field in today.Event.DESCRIPTOR.fields}
    parts = []
    for number, _, start, stop in scan(body):
        if EXTENSION_MIN <= number <= EXTENSION_MAX:
            parts.append(body[start:stop])
        elif number not in known or (number == SEVERITY_FIELD and _is_unknown(body[start:stop])):
            raise InvalidInputError(f"field {number}", body[start:stop][:20].hex(), "is not known here")
    return b"".join(parts)


def _is_unknown(severity: bytes) -> bool:
    """Say whether the number of a severity's field has no name: the parser takes it for an unknown field."""
    return len(UnknownFieldSet(today.Event.FromString(severity))) > 0

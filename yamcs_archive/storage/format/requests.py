"""Request ids <-> bytes: records of requests, with which a retry gets the first answer again; pure.

1. An id belongs to a user: equal ids of two users are two ids. The key is the user's name, one NUL and the
   id, in UTF-8.
2. The body is a msgpack array: [time in us since 1970, digest of the request, keys of the events].
3. The digest covers the fields that the caller gave, before times and numbers are filled in. Reception time
   and user are left out, because they do not make another event. ``extra`` counts as a map. An event that is
   sent back as an answer showed it has a digest for each severity that it may have; the first is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import msgpack
import msgspec

from yamcs_archive.coercion import plain_event
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import AS_SHOWN, SOURCE_DEFAULT, Event, Severity
from yamcs_archive.limits import REQUEST_ID_BYTES_MAX, REQUEST_USER_BYTES_MAX
from yamcs_archive.scalars import plain_text
from yamcs_archive.storage.format.checksum import Checksummed, Pair

_CHECKSUMMED = Checksummed("requests")
DIGEST_BYTES = 16
_content = msgspec.msgpack.Encoder(order="deterministic").encode


class RequestRecord(NamedTuple):
    """A request that was answered: when (microseconds since 1970), its digest, and with which events."""

    time: int
    digest: bytes
    events: tuple[bytes, ...]
    """Their keys, as they are stored."""


_decoder = msgspec.msgpack.Decoder(RequestRecord)


class RequestIds(NamedTuple):
    """The ids of the events of one submission: for each its key in the store, and its digest."""

    keys: Sequence[bytes]
    digests: Sequence[bytes]
    """One for each event, or one for each severity that it may have; the one to store comes first."""

    def cut(self, start: int, stop: int) -> RequestIds:
        """Return the ids of the events from ``start`` up to ``stop``.

        >>> RequestIds([b"a", b"b"], [b"1", b"2"]).cut(1, 2)
        RequestIds(keys=[b'b'], digests=[b'2'])
        """
        return RequestIds(self.keys[start:stop], self.digests[start:stop])


def request_ids(
    events: Sequence[Event], request_id: str | None, first: int | None = None
) -> RequestIds | None:
    """Return the ids of valid events; None if the request has no id.

    ``first``: the position of the first event in a request of several; each event's id is the request's id
    followed by its position. Raises :class:`~yamcs_archive.errors.InvalidInputError`, with the position
    among these events, for an event that cannot have an id.

    >>> request_ids([Event("a")], "boot-17").keys
    [b'\\x00boot-17']
    >>> request_ids([Event("a"), Event("b")], "boot-17", first=0).keys
    [b'\\x00boot-17/0', b'\\x00boot-17/1']
    """
    if request_id is None:
        return None
    request_id = check_request_id(request_id)
    ids = [request_id] if first is None else [f"{request_id}/{first + n}" for n in range(len(events))]
    keys: list[bytes] = []
    for event, each in zip(events, ids, strict=True):
        try:
            keys.append(request_key(event.created_by or "", each))
        except InvalidInputError as error:
            error.position = len(keys)
            raise
    return RequestIds(keys, [digest(event) for event in events])


def check_request_id(request_id: object) -> str:
    """Return a request's id as text; :class:`~yamcs_archive.errors.InvalidInputError` if it cannot be one.

    >>> check_request_id("")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: request_id '': must be text of 1 to 200 bytes of UTF-8, ...
    """
    rule = f"must be text of 1 to {REQUEST_ID_BYTES_MAX} bytes of UTF-8, without NUL"
    found = plain_text(request_id)
    if not isinstance(found, str) or "\0" in found:
        raise InvalidInputError("request_id", request_id, rule)
    try:
        size = len(found.encode())
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= REQUEST_ID_BYTES_MAX:
        raise InvalidInputError("request_id", request_id, rule)
    return found


def request_key(user: str, request_id: str) -> bytes:
    """Return the key of a user's request.

    >>> request_key("", "boot-17")
    b'\\x00boot-17'
    """
    name = user.encode()
    if len(name) > REQUEST_USER_BYTES_MAX or b"\0" in name:
        rule = f"with a request_id: must be up to {REQUEST_USER_BYTES_MAX} bytes of UTF-8, without NUL"
        raise InvalidInputError("created_by", user, rule)
    return name + b"\0" + request_id.encode()


def digest(event: Event) -> bytes:
    """Return the digest of an event in a request; if it may have several severities, all digests in a row.

    >>> digest(Event("a", extra={"x": "1", "y": "2"})) == digest(Event("a", extra={"y": "2", "x": "1"}))
    True
    >>> digest(Event("a", reception_time=1)) == digest(Event("a")), digest(Event("b")) == digest(Event("a"))
    (True, False)
    >>> shown = Event("a", severity=AS_SHOWN[Severity.SEVERE])
    >>> is_digest_of(digest(Event("a", severity=Severity.ERROR)), digest(shown))
    True
    """
    if type(event.severity) is not Severity:
        event = plain_event(event)
    severity = event.severity
    if severity.rank == Severity.SEVERE.rank and severity is AS_SHOWN[severity]:
        other = Severity.ERROR if severity == Severity.SEVERE else Severity.SEVERE
        return _digest(event, severity) + _digest(event, other)
    return _digest(event, severity)


def is_digest_of(stored: bytes, given: bytes) -> bool:
    """Return whether the stored digest is among those of a request.

    >>> stored = digest(Event("a"))
    >>> is_digest_of(stored, digest(Event("a"))), is_digest_of(stored, digest(Event("b")))
    (True, False)
    """
    return stored in (given[:DIGEST_BYTES], given[DIGEST_BYTES:])


def _digest(event: Event, severity: Severity) -> bytes:
    try:
        content = _content(_asked_of(event, severity))
    except TypeError:  # numbers or texts of other types count as the int or str that they plainly are
        content = _content(_asked_of(plain_event(event), severity))
    return blake2b(content, digest_size=DIGEST_BYTES).digest()


def _asked_of(event: Event, severity: Severity) -> tuple[object, ...]:
    return (
        event.message,
        event.source or SOURCE_DEFAULT,
        int(severity),
        event.type,
        event.generation_time,
        event.seq_number,
        event.extensions,
        event.extra,
    )


def encode_record(key: bytes, stored: RequestRecord) -> Pair:
    """Return the pair to put.

    >>> stored = RequestRecord(5, bytes(16), (b"key",))
    >>> decode_record(*encode_record(b"user", stored)) == stored
    True
    """
    return key, _CHECKSUMMED.wrap(key, msgpack.packb((stored.time, stored.digest, stored.events)))


def decode_record(key: bytes, value: bytes) -> RequestRecord:
    """Return a record; :class:`~yamcs_archive.errors.DamagedError` if it cannot be trusted."""
    body = _CHECKSUMMED.unwrap(key, value)
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise _CHECKSUMMED.damaged(key, f"its record cannot be read: {error}") from None

"""Continuation tokens: where the next page of a listing begins, as a text that clients send back; pure.

A token has the name of the instance and the whole key of the last event on the page, so that among events of
one time none is missed or shown twice. Its CRC-32 tells a token from a text that was made up.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any, NamedTuple

import msgpack

from yamcs_archive.coercion import validate_key
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import EventKey

_CHECKSUM_BYTES = 4


def encode_token(instance: str, key: EventKey) -> str:
    """Return the token of a page that ends with the event of this key; it needs no escaping in a URL.

    >>> decode_token(encode_token("sim", EventKey(5, "AOCS", 7)), "sim")
    EventKey(generation_time=5, source='AOCS', seq_number=7)
    """
    return _sealed((instance, *key))


def decode_token(text: str, instance: str) -> EventKey:
    """Return the key in a token of this instance; raise InvalidInputError for any other text.

    >>> decode_token("made up", "sim")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: next 'made up': is not a continuation token of this instance
    """
    try:
        key = EventKey(*_opened(text, instance))
        validate_key(key)
    except (TypeError, InvalidInputError):
        raise _refused(text) from None
    return key


class Mark(NamedTuple):
    """Where the next page of a histogram begins."""

    resume: int
    """The time to read on from, in microseconds since 1970."""
    stop: int
    """The end of the last stretch on the page, in the same unit: stretches up to this one are skipped."""
    source: str
    """The source of this stretch."""


def encode_mark(instance: str, mark: Mark) -> str:
    """Return the token of a page of a histogram.

    >>> decode_mark(encode_mark("sim", Mark(3, 5, "AOCS")), "sim")
    Mark(resume=3, stop=5, source='AOCS')
    """
    return _sealed((instance, "index", *mark))


def decode_mark(text: str, instance: str) -> Mark:
    """Return the mark in a token of this instance; raise InvalidInputError for any other text."""
    try:
        kind, *fields = _opened(text, instance)
        mark = Mark(*fields)
        validate_key(EventKey(mark.stop, mark.source, 0))
        validate_key(EventKey(mark.resume, mark.source, 0))
        if kind != "index":
            raise ValueError(kind)
    except (ValueError, TypeError, InvalidInputError):
        raise _refused(text) from None
    return mark


def _sealed(fields: tuple[object, ...]) -> str:
    body = msgpack.packb(fields)
    raw = body + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _opened(text: str, instance: str) -> list[Any]:
    """Return the fields after the instance's name."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        body = raw[:-_CHECKSUM_BYTES]
        if zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big") != raw[-_CHECKSUM_BYTES:]:
            raise ValueError("checksum")
        owner, *fields = msgpack.unpackb(body)
        if owner != instance or _sealed((owner, *fields)) != text:
            raise ValueError("another instance's, or not as it was given out")
    except (ValueError, TypeError, binascii.Error, msgpack.UnpackException):
        raise _refused(text) from None
    return list(fields)


def _refused(text: str) -> InvalidInputError:
    return InvalidInputError("next", text, "is not a continuation token of this instance")

"""Continuation tokens: where the next page of a listing begins, as text that clients hand back; pure.

A token holds the whole key of the last event that was shown, so that no event is passed over or shown twice
among those of one time, and the name of the instance. A CRC-32 tells it from text that somebody made up: a
token is refused, never misread.
"""

from __future__ import annotations

import base64
import binascii
import zlib

import msgpack

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import EventKey, validate_key

_CHECKSUM_BYTES = 4


def encode_token(instance: str, key: EventKey) -> str:
    """Return the token of a page that ends with the event of that key; it needs no escaping in a URL.

    >>> decode_token(encode_token("sim", EventKey(5, "AOCS", 7)), "sim")
    EventKey(generation_time=5, source='AOCS', seq_number=7)
    """
    body = msgpack.packb((instance, *key))
    raw = body + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_token(text: str, instance: str) -> EventKey:
    """Return the key that a token of this instance holds; InvalidInputError for any other text.

    >>> decode_token("made up", "sim")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: next 'made up': is not a continuation token of this instance
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        body = raw[:-_CHECKSUM_BYTES]
        if zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big") != raw[-_CHECKSUM_BYTES:]:
            raise ValueError("checksum")
        owner, *fields = msgpack.unpackb(body)
        key = EventKey(*fields)
        validate_key(key)
        if owner != instance or encode_token(instance, key) != text:
            raise ValueError("another instance's, or not as it was given out")
    except (ValueError, TypeError, binascii.Error, msgpack.UnpackException, InvalidInputError):
        raise InvalidInputError("next", text, "is not a continuation token of this instance") from None
    return key

"""Encodes events as keys and msgpack records, for the contenders that store pairs; pure.

The key is the archive's own, byte for byte. The record is the shortest that a competent user would write: a
msgpack array of the fields that are not in the key, cut after the last value that is not the default.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any

import msgpack
from msgspec.structs import astuple

from yamcs_archive import Event
from yamcs_archive.event import SEVERITIES

_TIME, _NUMBER = struct.Struct(">Q"), struct.Struct(">I")
_TIME_SIGN, _NUMBER_SIGN = 1 << 63, 1 << 31


def encode_pairs(events: Iterable[Event]) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and record of complete events.

    >>> event = Event("a", "AOCS", generation_time=0, seq_number=0, reception_time=3, extra={"a": "b"})
    >>> [decode_pair(*pair) for pair in encode_pairs([event])] == [event]
    True
    """
    pack_time, pack_number, pack = _TIME.pack, _NUMBER.pack, msgpack.Packer().pack
    for message, source, severity, kind, time, number, received, user, extensions, extra in map(
        astuple, events
    ):
        record: tuple[Any, ...]
        if extra or extensions or user is not None:
            record = (received, severity.value, message, kind, user, extensions, extra)
        elif kind is not None:
            record = (received, severity.value, message, kind)
        else:
            record = (received, severity.value, message)
        key = pack_time(time + _TIME_SIGN) + source.encode() + b"\0" + pack_number(number + _NUMBER_SIGN)
        yield key, pack(record)


def decode_pair(key: bytes, record: bytes) -> Event:
    """Return the event of a key and a record."""
    (time,) = _TIME.unpack_from(key)
    (number,) = _NUMBER.unpack_from(key, len(key) - 4)
    received, severity, message, *rest = msgpack.unpackb(record)
    return Event(
        message,
        key[8:-5].decode(),
        SEVERITIES[severity],
        rest[0] if rest else None,
        time - _TIME_SIGN,
        number - _NUMBER_SIGN,
        received,
        *rest[1:],
    )

"""One event's record <-> bytes: the form of young and of late events; pure.

The body is a msgpack array, cut after its last value that is not the default:

    [commit, reception delay in us, severity code, message, type=nil, created_by=nil, extensions="", extra={}]

Time, source and number are in the key; the reception delay is reception minus generation time.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from zlib import crc32

import msgpack

from yamcs_archive.event import SEVERITIES, Event
from yamcs_archive.storage.checksums import CHECKSUM_BYTES, Sealer
from yamcs_archive.storage.columns import Columns
from yamcs_archive.storage.keys import decode_key

_SEALER = Sealer("rows")
_DEFAULTS: tuple[Any, ...] = (None, None, b"", {})
_FIELDS_MIN = 4


class Row(NamedTuple):
    """A stored event and the number of the commit that stored it."""

    event: Event
    commit: int


def encode_rows(keys: list[bytes], columns: Columns, commit: int) -> list[tuple[bytes, bytes]]:
    """Return the pairs to put for complete events under their encoded ``keys``, all of one commit.

    >>> from yamcs_archive.storage.columns import prepare
    >>> event = Event("a", source="A", generation_time=0, seq_number=0, reception_time=7)
    >>> from yamcs_archive.storage.keys import encode_key
    >>> [(key, value)] = encode_rows([encode_key(0, "A", 0)], prepare([event], int), commit=3)
    >>> decode_row(key, value) == Row(event, 3)
    True
    """
    start = _SEALER.start
    pack = msgpack.Packer().pack
    pairs = []
    for key, message, severity, kind, generated, received, user, extensions, extra in zip(
        keys,
        columns.message,
        bytes(columns.severity),  # plain ints: msgpack would ask an enumeration's own comparisons
        columns.type,
        columns.generation_time,
        columns.reception_time,
        columns.created_by,
        columns.extensions,
        columns.extra,
        strict=True,
    ):
        record: tuple[Any, ...] = (commit, received - generated, severity, message)
        if extra:
            record += (kind, user, extensions, extra)
        elif extensions:
            record += (kind, user, extensions)
        elif user is not None:
            record += (kind, user)
        elif kind is not None:
            record += (kind,)
        body = pack(record)
        pairs.append((key, crc32(body, crc32(key, start)).to_bytes(CHECKSUM_BYTES, "big") + body))
    return pairs


def decode_row(key: bytes, value: bytes) -> Row:
    """Return the event under ``key``; :class:`~yamcs_archive.errors.DamagedError` if it cannot be trusted."""
    generation_time, source, seq_number = decode_key(key)
    body = _SEALER.open(key, value)
    try:
        record = msgpack.unpackb(body)
        commit, delay, severity, message = record[:_FIELDS_MIN]
        rest = tuple(record[_FIELDS_MIN:])
        kind, user, extensions, extra = rest + _DEFAULTS[len(rest) :]
        event = Event(
            message,
            source,
            SEVERITIES[severity],
            kind,
            generation_time,
            seq_number,
            generation_time + delay,
            user,
            extensions,
            dict(extra),
        )
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise _SEALER.damaged(key, f"its record cannot be read: {error}") from None
    return Row(event, commit)

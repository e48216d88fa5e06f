"""Rows <-> bytes: an event under its key, the form of young and of late events; pure.

The body is a msgpack array, cut after its last value that is not the default:

    [commit, reception delay in us, severity code, message, type=nil, created_by=nil, extensions="", extra={}]

Time, source and number are in the key; the reception delay is reception minus generation time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from operator import sub
from typing import Annotated, Any, NamedTuple
from zlib import crc32

import msgspec
import numpy as np

from yamcs_archive.columns import Columns
from yamcs_archive.errors import DamagedError
from yamcs_archive.event import SEVERITIES, Event
from yamcs_archive.event_vectors import DictColumn, StoredVectors, dict_encode, int64s
from yamcs_archive.storage.format.checksum import CHECKSUM_BYTES, Checksummed, Pair
from yamcs_archive.storage.format.keys import Keys, decode_key, decode_keys, encode_key


class _Rows(Checksummed):
    def damaged(self, key: bytes, reason: str) -> DamagedError:
        """Return the error for a row, which says of which event."""
        error = super().damaged(key, reason)
        with suppress(DamagedError):
            error.first = error.last = decode_key(key)
            error.events = 1
        return error


_CHECKSUMMED = _Rows("rows")
_ARRAY32, _ARRAY32_BYTES = b"\xdd", 4


_Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class _Record(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """The fields of an event that are not in its key."""

    commit: _Int64
    delay: _Int64
    severity: int
    message: str
    type: str | None = None
    created_by: str | None = None
    extensions: bytes = b""
    extra: dict[str, str] | None = None


# For such small records msgspec takes a third of the time of msgpack.
_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(_Record).decode
_decode_all = msgspec.msgpack.Decoder(list[_Record]).decode


class Row(NamedTuple):
    """A stored event and the number of the commit that stored it."""

    event: Event
    commit: int


def encode_rows(events: Columns[int] | StoredVectors, commit: int | Sequence[int]) -> list[Pair]:
    """Return the pairs to put for complete events, of one commit, or each of the commit given for it.

    >>> event = Event("a", source="A", generation_time=0, seq_number=0, reception_time=7)
    >>> [(key, value)] = encode_rows(Columns.of([event]), commit=3)
    >>> decode_row(key, value) == Row(event, 3)
    True
    """
    start = _CHECKSUMMED.start
    pairs = []
    keys = _encoded_keys(events)
    commits = [commit] * len(keys) if isinstance(commit, int) else commit
    for key, number, delay, severity, message, kind, user, extensions, extra in zip(
        keys, commits, *_fields(events), strict=True
    ):
        if extra:
            body = _encode((number, delay, severity, message, kind, user, extensions, extra))
        elif extensions:
            body = _encode((number, delay, severity, message, kind, user, extensions))
        elif user is not None:
            body = _encode((number, delay, severity, message, kind, user))
        elif kind is not None:
            body = _encode((number, delay, severity, message, kind))
        else:
            body = _encode((number, delay, severity, message))
        pairs.append((key, crc32(body, crc32(key, start)).to_bytes(CHECKSUM_BYTES, "big") + body))
    return pairs


def _encoded_keys(events: Columns[int] | StoredVectors) -> list[bytes]:
    if isinstance(events, StoredVectors):
        return Keys.of(events).encoded()
    return [encode_key(*key) for key in events.keys()]  # noqa: SIM118  # a method, not a mapping


def _fields(events: Columns[int] | StoredVectors) -> tuple[Iterable[Any], ...]:
    """Return the fields of records but for the commit's number, column by column."""
    if isinstance(events, Columns):
        return (
            map(sub, events.reception_time, events.generation_time),
            bytes(events.severity),  # plain ints: an enumeration would be asked for its value
            events.message,
            events.type,
            events.created_by,
            events.extensions,
            events.extra,
        )
    return (
        (events.received - events.times).tolist(),
        events.severities.tobytes(),
        events.messages,
        events.types.decoded(),
        events.users.decoded(),
        events.extensions or [b""] * events.size,
        events.extra or [{}] * events.size,
    )


def decode_row(key: bytes, value: bytes) -> Row:
    """Return the event under ``key``; :class:`~yamcs_archive.errors.DamagedError` if it cannot be trusted."""
    generation_time, source, seq_number = decode_key(key)
    body = _CHECKSUMMED.unwrap(key, value)
    try:
        record = _decode(body)
        event = Event(
            record.message,
            source,
            SEVERITIES[record.severity],
            record.type,
            generation_time,
            seq_number,
            generation_time + record.delay,
            record.created_by,
            record.extensions,
            record.extra or {},
        )
    except (ValueError, TypeError, IndexError, msgspec.DecodeError) as error:
        raise _CHECKSUMMED.damaged(key, f"its record cannot be read: {error}") from None
    return Row(event, record.commit)


def decode_rows(pairs: Sequence[Pair]) -> StoredVectors:
    """Return the events of many rows, in their order; DamagedError as :func:`decode_row` does.

    >>> event = Event("a", source="A", generation_time=0, seq_number=0, reception_time=7)
    >>> pairs = encode_rows(Columns.of([event]), commit=3)
    >>> list(decode_rows(pairs).events()) == [event], decode_rows(pairs).commits.tolist()
    (True, [3])
    """
    start = _CHECKSUMMED.start
    try:
        times, names, numbers = decode_keys([key for key, _ in pairs])
        bodies = [value[CHECKSUM_BYTES:] for _, value in pairs]
        sums = [crc32(body, crc32(key, start)) for (key, _), body in zip(pairs, bodies, strict=True)]
        said = np.frombuffer(b"".join([value[:CHECKSUM_BYTES] for _, value in pairs]), ">u4")
        if len(said) != len(sums) or (said != np.array(sums)).any():
            raise ValueError("a checksum is wrong")
        records = _decode_all(b"".join((_ARRAY32, len(bodies).to_bytes(_ARRAY32_BYTES, "big"), *bodies)))
        severities = np.frombuffer(bytes([record.severity for record in records]), np.uint8)
        if severities.max(initial=0) >= len(SEVERITIES):
            raise ValueError("a severity is no code")
        sources = dict_encode(names)
        extensions = [record.extensions for record in records]
        extra = [record.extra for record in records]
        return StoredVectors(
            times,
            numbers,
            times + int64s([record.delay for record in records]),
            int64s([record.commit for record in records]),
            severities,
            DictColumn([name.decode() for name in sources.values], sources.codes),
            dict_encode([record.type for record in records]),
            dict_encode([record.created_by for record in records]),
            [record.message for record in records],
            extensions if any(extensions) else None,
            [more or {} for more in extra] if any(extra) else None,
        )
    except (ValueError, TypeError, IndexError, OverflowError, msgspec.DecodeError) as error:
        for key, value in pairs:
            decode_row(key, value)  # which names the damaged one
        raise DamagedError("rows", f"their records cannot be read: {error}") from None

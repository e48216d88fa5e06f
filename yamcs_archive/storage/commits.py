"""Arrival order: commit records and cursors <-> bytes; pure.

1. A commit's record says where its events are: *runs*, each the first and last key of a stretch that
   was new and contiguous when it was written, or one key alone. Later commits may put events between
   the two, so whoever walks a run takes only the events that carry this commit's number.
2. The key is the commit's number as uint64 big-endian; numbers begin at 1 and have no gaps.
3. The body is a msgpack array [0, time in us since 1970, events, runs]; the first value is the kind of
   record (other kinds are for packed commits), a run is a key, or an array of two keys.
4. A cursor is opaque to users: url-safe base64 of lineage, commit, position and a CRC-32 over the three.
   Position is how many events of that commit, in key order, have been seen. It is refused, never misread.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from typing import NamedTuple

import msgpack

from yamcs_archive.errors import BadCursorError
from yamcs_archive.storage.checksums import Sealer

_SEALER = Sealer("commits")
_NUMBER = struct.Struct(">Q")
_CURSOR = struct.Struct(">8sQI")
LINEAGE_BYTES = 8
_SINGLE = 0


class Run(NamedTuple):
    """A stretch of keys, both ends included."""

    first: bytes
    last: bytes


class Commit(NamedTuple):
    """One commit: its number, when (microseconds since 1970), how many events, and where they are."""

    number: int
    time: int
    events: int
    runs: tuple[Run, ...]


def commit_key(number: int) -> bytes:
    """Return the key of a commit's record.

    >>> commit_key(1).hex()
    '0000000000000001'
    """
    return _NUMBER.pack(number)


def encode_commit(commit: Commit) -> tuple[bytes, bytes]:
    """Return the pair to put for a commit.

    >>> commit = Commit(1, 0, 3, (Run(b"a", b"c"), Run(b"x", b"x")))
    >>> decode_commit(*encode_commit(commit)) == commit
    True
    """
    key = commit_key(commit.number)
    runs = [run.first if run.first == run.last else run for run in commit.runs]
    return key, _SEALER.seal(key, msgpack.packb((_SINGLE, commit.time, commit.events, runs)))


def decode_commit(key: bytes, value: bytes) -> Commit:
    """Return a commit; :class:`~yamcs_archive.errors.DamagedError` if it cannot be trusted."""
    body = _SEALER.open(key, value)
    try:
        kind, time, events, runs = msgpack.unpackb(body)
        if kind != _SINGLE:
            raise ValueError(f"kind {kind}")
        (number,) = _NUMBER.unpack(key)
        return Commit(
            number,
            time,
            events,
            tuple(Run(run, run) if isinstance(run, bytes) else Run(*run) for run in runs),
        )
    except (ValueError, TypeError, struct.error, msgpack.UnpackException) as error:
        raise _SEALER.damaged(key, f"its record cannot be read: {error}") from None


class Cursor(NamedTuple):
    """A place in the arrival order: after the first ``position`` events of commit number ``commit``."""

    lineage: bytes
    commit: int
    position: int


def encode_cursor(cursor: Cursor) -> str:
    """Return the text of a cursor: 32 characters that need no escaping in a URL.

    >>> text = encode_cursor(Cursor(b"lineage!", 7, 2))
    >>> len(text), decode_cursor(text) == Cursor(b"lineage!", 7, 2)
    (32, True)
    """
    body = _CURSOR.pack(*cursor)
    return base64.urlsafe_b64encode(body + zlib.crc32(body).to_bytes(4, "big")).decode()


def decode_cursor(text: str) -> Cursor:
    """Return the cursor of its text; :class:`~yamcs_archive.errors.BadCursorError` for anything else.

    >>> decode_cursor("made up")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.BadCursorError: cursor 'made up': is not a cursor that this archive gave out
    """
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
        if (
            zlib.crc32(raw[:-4]).to_bytes(4, "big") != raw[-4:]
            or encode_cursor(Cursor(*_CURSOR.unpack(raw[:-4]))) != text
        ):
            raise ValueError("checksum")
    except (ValueError, TypeError, binascii.Error, struct.error):
        raise BadCursorError("cursor", text, "is not a cursor that this archive gave out") from None
    return Cursor(*_CURSOR.unpack(raw[:-4]))

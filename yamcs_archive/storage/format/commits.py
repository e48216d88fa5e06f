"""Arrival order: commit records and cursors <-> bytes; pure.

1. A record says where the events of a commit are: *runs*, each the first and last key of new events between
   which nothing else was stored, or one key alone. Later commits may store events between the two, so of a
   run only the events with the commit's number count.
2. The key is the commit's number as uint64 big-endian; numbers begin at 1 and have no gaps.
3. The body is a msgpack array. One commit: [0, time in us since 1970, events, runs]. Several neighbours, as
   checkpoints pack them: [1, commits, first time, times as deltas, events, runs], times and events as columns
   of integers, runs merged where nothing else lies between. A run is a key, or an array of two keys.
4. A cursor is opaque to users: url-safe base64, without padding, of commit, position, the commit's
   fingerprint, lineage and a CRC-32 over the four. Position is the number of events of that commit, in key
   order, that have been seen. A cursor is refused, never misread. The number comes first because its first
   bits are 0: a cursor that began with a hyphen would be taken for an option on a command line.
5. A fingerprint is 32 bits made of a commit's number, its time and its number of events, which every record
   has, packed or not. An archive that was put back to an older state keeps its lineage, and its later commits
   have the same numbers with other times. So the fingerprint tells a cursor of a lost commit from one of a
   stored commit. Cursors of the first form have none, are four bytes shorter, and begin with the lineage.
"""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from itertools import accumulate, chain
from operator import sub
from typing import NamedTuple

import msgpack
import msgspec

from yamcs_archive.errors import BadCursorError, DamagedError
from yamcs_archive.storage.format.checksum import CHECKSUM_BYTES, Checksummed, Pair
from yamcs_archive.storage.format.integers import pack_integers, unpack_integers

_CHECKSUMMED = Checksummed("commits")
_NUMBER = struct.Struct(">Q")
_UNMARKED, _CURSOR = struct.Struct(">8sQI"), struct.Struct(">QII8s")
_TIMES = range(-(1 << 63), 1 << 63)
_FACTS = struct.Struct(">QqQ")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
LINEAGE_BYTES = 8
COMMIT_KEY_BYTES = _NUMBER.size
_SINGLE, _PACKED = 0, 1
_NUMBERS_END = 1 << 62
_encode = msgspec.msgpack.Encoder().encode


class Run(NamedTuple):
    """A range of keys, both ends included."""

    first: bytes
    last: bytes


class CommitRecord(NamedTuple):
    """One commit, or several neighbours: when each was (microseconds since 1970), and how many events."""

    first: int
    """The number of the first of them."""
    times: tuple[int, ...]
    events: tuple[int, ...]
    runs: tuple[Run, ...]
    """Where the events of all of them are, in key order."""

    @property
    def last(self) -> int:
        """The number of the last of them."""
        return self.first + len(self.times) - 1

    def fingerprint(self, number: int) -> int:
        """Return the fingerprint of one of them."""
        at = number - self.first
        return fingerprint(number, self.times[at], self.events[at])


def commit_key(number: int) -> bytes:
    """Return the key of a commit's record.

    >>> commit_key(1).hex()
    '0000000000000001'
    """
    return _NUMBER.pack(number)


def commit_number(key: bytes) -> int:
    """Return the number of the first commit of a record, from its key. Raises DamagedError.

    >>> commit_number(commit_key(1))
    1
    """
    number = int.from_bytes(key, "big")
    if len(key) != _NUMBER.size or number >= _NUMBERS_END:
        raise DamagedError(f"commits {key.hex()}", "this is the number of no commit")
    return number


def encode_commit(record: CommitRecord) -> Pair:
    """Return the pair to put for a record.

    >>> one = CommitRecord(1, (0,), (3,), (Run(b"a", b"c"), Run(b"x", b"x")))
    >>> several = CommitRecord(2, (5, 9), (1, 2), (Run(b"d", b"e"),))
    >>> decode_commit(*encode_commit(one)) == one, decode_commit(*encode_commit(several)) == several
    (True, True)
    """
    key = commit_key(record.first)
    runs = [run.first if run.first == run.last else run for run in record.runs]
    times, events = record.times, record.events
    if len(times) == 1:
        return key, _CHECKSUMMED.wrap(key, _encode((_SINGLE, times[0], events[0], runs)))
    deltas = pack_integers(list(map(sub, times[1:], times)))
    body = (_PACKED, len(times), times[0], deltas, pack_integers(events), runs)
    return key, _CHECKSUMMED.wrap(key, _encode(body))


def decode_commit(key: bytes, value: bytes) -> CommitRecord:
    """Return a record; :class:`~yamcs_archive.errors.DamagedError` if it cannot be trusted."""
    body = _CHECKSUMMED.unwrap(key, value)
    try:
        kind, *rest, packed = msgpack.unpackb(body)
        runs = tuple(Run(run, run) if isinstance(run, bytes) else Run(*run) for run in packed)
        (number,) = _NUMBER.unpack(key)
        if kind == _SINGLE:
            time, events = rest
            return _checked(CommitRecord(number, (time,), (events,), runs))
        if kind == _PACKED:
            count, first, deltas, packed_events = rest
            times = tuple(accumulate(unpack_integers(deltas, count - 1).tolist(), initial=first))
            counts = tuple(unpack_integers(packed_events, count).tolist())
            return _checked(CommitRecord(number, times, counts, runs))
    except (ValueError, TypeError, struct.error, msgpack.UnpackException) as error:
        raise _CHECKSUMMED.damaged(key, f"its record cannot be read: {error}") from None
    raise _CHECKSUMMED.damaged(key, f"its record is of kind {kind}")


def _checked(record: CommitRecord) -> CommitRecord:
    """Return a record whose values have the types and sizes that they should have; ValueError for others."""
    times, counts = record.times, record.events
    if len(times) != len(counts):
        raise ValueError(f"it has {len(times)} times, and {len(counts)} numbers of events")
    if not (type(times[0]) is type(counts[0]) is int) or {*map(type, chain.from_iterable(record.runs))} - {
        bytes
    }:
        raise ValueError("its time or number of events is no integer, or a key is no bytes")
    if min(times) not in _TIMES or max(times) not in _TIMES or min(counts) < 0 or max(counts) not in _TIMES:
        raise ValueError("its times or numbers of events are out of bounds")
    return record


def fingerprint(number: int, time: int, events: int) -> int:
    """Return 32 bits that differ between commits of the same number in two histories.

    >>> fingerprint(7, 5, 2) == fingerprint(7, 5, 2), fingerprint(7, 5, 2) == fingerprint(7, 6, 2)
    (True, False)
    """
    return zlib.crc32(_FACTS.pack(number, time, events))


class Cursor(NamedTuple):
    """A position in the arrival order: after the first ``position`` events of commit number ``commit``."""

    lineage: bytes
    commit: int
    position: int
    fingerprint: int | None = None
    """Of that commit; None if unknown: in cursors of the first form, and for pruned commits."""

    @property
    def order(self) -> tuple[int, int]:
        """Commit and position, by which the cursors of one history are ordered."""
        return self.commit, self.position


def encode_cursor(cursor: Cursor) -> str:
    """Return the text of a cursor: 38 characters that need no escaping in a URL, 32 without a fingerprint.

    >>> text = encode_cursor(Cursor(b"lineage!", 7, 2, fingerprint(7, 5, 2)))
    >>> len(text), decode_cursor(text) == Cursor(b"lineage!", 7, 2, fingerprint(7, 5, 2))
    (38, True)
    """
    lineage, commit, position, mark = cursor
    if mark is None:
        body = _UNMARKED.pack(lineage, commit, position)
    else:
        body = _CURSOR.pack(commit, position, mark, lineage)
    # Not by base64.urlsafe_b64encode(), which takes longer: each event of changes() has a cursor.
    coded = binascii.b2a_base64(body + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big"), newline=False)
    return coded.translate(_URL_SAFE).rstrip(b"=").decode()


def decode_cursor(text: str) -> Cursor:
    """Return the cursor of its text; :class:`~yamcs_archive.errors.BadCursorError` for anything else.

    >>> decode_cursor("made up")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.BadCursorError: cursor 'made up': is not a cursor that this archive gave out
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        body = raw[:-CHECKSUM_BYTES]
        if zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big") != raw[-CHECKSUM_BYTES:]:
            raise ValueError("checksum")
        if len(body) == _UNMARKED.size:
            cursor = Cursor(*_UNMARKED.unpack(body))
        else:
            commit, position, mark, lineage = _CURSOR.unpack(body)
            cursor = Cursor(lineage, commit, position, mark)
        if encode_cursor(cursor) != text:
            raise ValueError("not as it was given out")
    except (ValueError, TypeError, binascii.Error, struct.error):
        raise BadCursorError("cursor", text, "is not a cursor that this archive gave out") from None
    return cursor

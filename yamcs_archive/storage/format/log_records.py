"""What a commit decided <-> the payload of a record of the commit log; pure.

1. A record has all that replay needs, and replay decides nothing: events with their numbers, the source
   states after them, new request ids, changed facts of the instance.
2. A record is one sync. Most have one commit; a page that is taken over from another archive has several, and
   request ids of events that were stored before have none.
3. The decoder trusts nothing: what is not of the form is DamagedError. The checksum is checked before, with
   the frame around the payload (:mod:`log_segments`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from yamcs_archive.columns import Columns
from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.commits import CommitRecord, Run
from yamcs_archive.storage.format.event_columns import (
    EventColumns,
    from_event_columns,
    pack_int64s,
    to_event_columns,
    unpack_int64s,
)
from yamcs_archive.storage.format.keys import encode_key
from yamcs_archive.storage.format.source_states import SourceState


class LoggedCommit(NamedTuple):
    """One commit, as it was decided."""

    number: int
    time: int
    """Microseconds since 1970."""
    events: Columns[int] | StoredVectors
    """The new events, in key order; at least one."""
    runs: Sequence[tuple[int, int]]
    """The indexes of the first and the last event of each run, in order. All events are in one."""

    @property
    def record(self) -> CommitRecord:
        """The record that a checkpoint stores."""
        key = self.events.key
        runs = [Run(encode_key(*key(first)), encode_key(*key(last))) for first, last in self.runs]
        return CommitRecord(self.number, (self.time,), (self.events.size,), tuple(runs))


class Carried(NamedTuple):
    """Events that a checkpoint left out of blocks."""

    events: Columns[int] | StoredVectors
    """In key order; at least one."""
    commits: Sequence[int]
    """The number of each event's commit."""
    before: int = 0
    """The number of an earlier record whose events are carried on as well; 0: there is none."""


class LogRecord(NamedTuple):
    """The content of one record."""

    sequence: int
    """Its number: 1 more than that of the record before."""
    commits: Sequence[LoggedCommit]
    sources: Sequence[tuple[str, SourceState]] = ()
    """The changed sources, with their states after this record."""
    requests: Sequence[Pair] = ()
    """New records of request ids, as they are stored."""
    facts: Sequence[Pair] = ()
    """Changed facts of the instance, as they are stored."""
    carried: Carried | None = None
    """Late events of commits that LMDB has without them. The record has nothing else then, and counts only if
    LMDB's checkpoint names it, or another one that counts does."""


class _Commit(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    number: int
    time: int
    runs: list[int] | None
    events: EventColumns


class _Payload(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    commits: list[_Commit]
    sources: list[tuple[str, SourceState]]
    requests: list[tuple[bytes, bytes]]
    facts: list[tuple[bytes, bytes]]
    carried: tuple[EventColumns, bytes, int] | None


_ONE_RUN = ((0, 0),)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Payload).decode


def encode_payload(record: LogRecord) -> bytes:
    """Return the payload of a record.

    >>> from yamcs_archive import Event
    >>> events = Columns.of([Event("a", "S", generation_time=1, seq_number=2, reception_time=3)])
    >>> record = LogRecord(7, [LoggedCommit(5, 9, events, [(0, 0)])], [("S", SourceState(1, 2, 1))])
    >>> found = decode_payload(7, encode_payload(record))
    >>> found.commits[0].record == record.commits[0].record, found.sources
    (True, [('S', SourceState(events=1, greatest_number=2, greatest_time=1, duplicates=0, conflicts=0,
    expired=0))])
    """
    commits = [
        (
            commit.number,
            commit.time,
            None if len(commit.runs) == 1 else list(chain.from_iterable(commit.runs)),
            to_event_columns(commit.events),
        )
        for commit in record.commits
    ]
    carried = record.carried
    left = None
    if carried is not None:
        left = to_event_columns(carried.events), pack_int64s(carried.commits), carried.before
    return _encode((commits, record.sources, record.requests, record.facts, left))


def decode_payload(sequence: int, payload: bytes | memoryview) -> LogRecord:
    """Return the record of a payload whose checksum is right; DamagedError if it has another form."""
    try:
        found = _decode(payload)
        commits = [_commit(commit) for commit in found.commits]
        carried = None if found.carried is None else _carried(*found.carried)
        return LogRecord(sequence, commits, found.sources, found.requests, found.facts, carried)
    except (ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise DamagedError(f"record {sequence} of the log", f"it cannot be read: {error}") from None


def _carried(events: EventColumns, commits: bytes, before: int) -> Carried:
    return Carried(from_event_columns(events), unpack_int64s(commits, events.size), before)


def _commit(found: _Commit) -> LoggedCommit:
    events = from_event_columns(found.events)
    if found.runs is None and found.events.size == 1:  # as most records of a log of many
        return LoggedCommit(found.number, found.time, events, _ONE_RUN)
    ends = [0, events.size - 1] if found.runs is None else found.runs
    runs = list(zip(ends[::2], ends[1::2], strict=True))
    before = -1
    for first, last in runs:
        if not before < first <= last < events.size:
            raise ValueError(f"the runs {ends} of {events.size} events")
        before = last
    return LoggedCommit(found.number, found.time, events, runs)

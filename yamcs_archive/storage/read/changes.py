"""Reading in arrival order: every stored event once, in commit order, however late its time.

A cursor is lineage, commit, position, and the fingerprint of the commit. Position counts the events of the
commit in key order, so events that later commits store between them do not move a cursor. A cursor belongs to
this history if the commit that is stored here under its number has its fingerprint.

Pruning may go on while changes are read. The records of commits of which nothing is left are deleted, so a
reader goes on at the next one that is there. Pruned events of a commit come first in key order and are only
deleted after the horizon was moved past them; so if the horizon is the same after a read as before it, the
positions of the events that were read are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from heapq import merge
from typing import NamedTuple

from yamcs_archive.errors import BadCursorError, CursorGoneError, DamagedError, OtherHistoryError
from yamcs_archive.event import Event, event_bytes
from yamcs_archive.limits import READ_BYTES_MAX
from yamcs_archive.storage.disk.environment import Environment, Snapshot
from yamcs_archive.storage.format.commits import (
    CommitRecord,
    Cursor,
    Run,
    commit_key,
    commit_number,
    decode_commit,
    decode_cursor,
    encode_cursor,
    fingerprint,
)
from yamcs_archive.storage.format.keys import encode_key, time_bound
from yamcs_archive.storage.format.meta import Meta
from yamcs_archive.storage.format.zone_maps import commit_filter
from yamcs_archive.storage.read.metadata import head_commit, newest_key, seek_commit
from yamcs_archive.storage.read.range_reader import RangeReader
from yamcs_archive.storage.read.skipping_reader import ToldOnce, reader_for


def head_cursor(environment: Environment, meta: Meta) -> Cursor:
    """Return the cursor after the newest event."""
    with environment.snapshot() as snapshot:
        newest = head_commit(environment, snapshot)
    return cursor_after(meta, newest)


def cursor_after(meta: Meta, newest: CommitRecord | None) -> Cursor:
    """Return the cursor after the last event of the newest record; None: there is none yet."""
    return _beginning(meta) if newest is None else _cursor_at(meta, newest, newest.last, newest.events[-1])


Facts = Callable[[], Meta]
"""Returns the facts of the instance as they are now: the horizon may move while changes are read."""


def has_event_after(environment: Environment, meta: Meta, cursor: Cursor) -> bool:
    """Return whether an event is left after a cursor, judging by commit records.

    The last key of a run is that of an event, so a run that ends above the horizon has an event left. Events
    are read only where records cannot tell: within a packed record that was pruned in part, and where all of
    the newest record was pruned.
    """
    with environment.snapshot() as snapshot:
        earlier = cursor.commit < newest_key(environment, snapshot)
        if earlier and meta.horizon is None:
            return True
        newest = None
        with suppress(*((DamagedError,) if earlier else ())):  # it is not needed for an earlier cursor
            newest = head_commit(environment, snapshot)
    if not earlier and (newest is None or cursor.order >= (newest.last, newest.events[-1])):
        return False
    if meta.horizon is None:
        return True
    horizon = time_bound(meta.horizon)
    if newest is not None and (cursor.commit < newest.first or newest.first == newest.last):
        if any(run.last >= horizon for run in newest.runs):
            return True
    elif newest is not None and newest.runs[0].first >= horizon:
        return True
    return next(changes(environment, lambda: meta, cursor, 1), None) is not None


def start_cursor(
    environment: Environment,
    meta: Meta,
    after: str | None,
    skipped: Callable[[DamagedError], None] | None = None,
) -> Cursor:
    """Return the cursor of that text; without one, the cursor before the oldest event.

    ``skipped`` is called for young events that are damaged: a commit that may be one of theirs is not
    compared then.

    Raises BadCursorError for text that is no cursor; OtherHistoryError if its lineage, or its commit's
    fingerprint, is another one here, or if its commit is beyond the head; CursorGoneError if events after it
    were pruned.
    """
    if after is None:
        return _beginning(meta)
    cursor = decode_cursor(after)
    if cursor.lineage != meta.lineage:
        raise OtherHistoryError
    pruned = cursor.commit < meta.horizon_commit
    met: list[DamagedError] = []

    def left_out(error: DamagedError) -> None:
        met.append(error)

    try:
        record = commit_of(environment, cursor, None if skipped is None else left_out)
    except OtherHistoryError as error:
        if not met or error.commit is None:
            raise
        record = None
    except DamagedError:
        if not pruned:  # otherwise it is not needed
            raise
    if pruned:
        raise CursorGoneError(encode_cursor(_oldest(environment, meta)))
    if met and record is None:
        return cursor
    if cursor.position > (0 if record is None else record.events[cursor.commit - record.first]):
        raise BadCursorError("cursor", after, "lies beyond the last event of its commit")
    return cursor


def commit_of(
    environment: Environment, cursor: Cursor, left_out: Callable[[DamagedError], None] | None = None
) -> CommitRecord | None:
    """Return the record of a cursor's commit; OtherHistoryError if another commit has that number.

    None before the first commit, and for a commit that was deleted, or is ``left_out`` as damaged.
    """
    number = cursor.commit
    with environment.snapshot(left_out) as snapshot:
        # The newest record is not read for a cursor before it: it may be damaged.
        if number < newest_key(environment, snapshot):
            record = _record_in(environment, snapshot, number)
        else:
            record = head_commit(environment, snapshot)
            if number > (0 if record is None else record.last):
                # Its checksum and lineage say that it was given out here, so its commit was stored once.
                raise OtherHistoryError(number)
    if record is None:
        return None
    at = number - record.first
    known = cursor.fingerprint
    if record.events[at] < cursor.position if known is None else known != record.fingerprint(number):
        raise OtherHistoryError(number)
    return record


def renewed(environment: Environment, meta: Meta, text: str) -> str:
    """Return the same cursor with a fingerprint.

    If it has one it is returned unchecked. Raises as :func:`start_cursor` does.
    """
    if decode_cursor(text).fingerprint is not None:
        return text
    cursor = start_cursor(environment, meta, text)
    record = _record(environment, cursor.commit)
    if record is None:
        return encode_cursor(_beginning(meta)) if cursor.commit == 0 else text
    return encode_cursor(_cursor_at(meta, record, *cursor.order))


def _beginning(meta: Meta) -> Cursor:
    """Return the cursor before the first commit."""
    return Cursor(meta.lineage, 0, 0, fingerprint(0, 0, 0))


def _oldest(environment: Environment, meta: Meta) -> Cursor:
    """Return the oldest cursor after which nothing was pruned."""
    number = meta.horizon_commit
    with suppress(DamagedError):
        record = _record(environment, number)
        if record is not None:
            return _cursor_at(meta, record, number, 0)
    return Cursor(meta.lineage, number, 0)


def _cursor_at(meta: Meta, record: CommitRecord, number: int, position: int) -> Cursor:
    return Cursor(meta.lineage, number, position, record.fingerprint(number))


def changes(
    environment: Environment,
    facts: Facts,
    after: Cursor,
    batch_events_max: int,
    skipped: Callable[[DamagedError], None] | None = None,
) -> Iterator[tuple[Event, Cursor]]:
    """Yield the events after a cursor in arrival order, each with the cursor after it.

    Ends at the newest commit; call it again with the last cursor for later events. ``skipped`` is called for
    what is damaged, which is then left out: the positions in the commits concerned count readable events.
    """
    for commit in _walk(environment, facts, after, batch_events_max, skipped):
        begin = after.position if commit.number == after.commit else 0
        for position, event in commit.events:
            if position > begin:
                yield event, Cursor(after.lineage, commit.number, position, commit.fingerprint)


def commits(
    environment: Environment, facts: Facts, after: Cursor, batch_events_max: int
) -> Iterator[tuple[int, list[Event], Cursor]]:
    """Yield the commits after a cursor: when each was (microseconds since 1970), its events in key order, and
    the cursor after it. A commit that the cursor is within comes with its remaining events.
    """
    for commit in _walk(environment, facts, after, batch_events_max):
        begin = after.position if commit.number == after.commit else 0
        found = [(position, event) for position, event in commit.events if position > begin]
        if found:
            cursor = Cursor(after.lineage, commit.number, found[-1][0], commit.fingerprint)
            yield commit.time, [event for _, event in found], cursor


class _Commit(NamedTuple):
    number: int
    time: int
    fingerprint: int
    events: Iterable[tuple[int, Event]]
    """Those that are left, each with its position. Pruned events, the first ones by key, count too, so that
    the others keep their positions."""


class _Source(NamedTuple):
    """What commits are read from."""

    environment: Environment
    reader: RangeReader
    facts: Facts

    def bound(self) -> bytes:
        """Return the bound below which events are pruned."""
        horizon = self.facts().horizon
        return b"" if horizon is None else time_bound(horizon)


def _walk(
    environment: Environment,
    facts: Facts,
    after: Cursor,
    batch_events_max: int,
    skipped: Callable[[DamagedError], None] | None = None,
) -> Iterator[_Commit]:
    """Yield the commits from that of a cursor on."""
    number = max(after.commit, 1)
    if skipped is not None:
        skipped = ToldOnce(skipped)
    source = _Source(environment, reader_for(environment, batch_events_max, skipped=skipped), facts)
    while True:
        try:
            record = _record_from(environment, number, skipped)
        except DamagedError as error:
            if skipped is None:
                raise
            skipped(error)
            if (following := _next_record(environment, number, skipped)) is None:
                return
            number = following
            continue
        if record is None:
            return
        yield from _commits_of(source, record, max(number, record.first))
        number = record.last + 1


def _commits_of(source: _Source, record: CommitRecord, number: int) -> Iterator[_Commit]:
    """Yield the commits of a record from ``number`` on, each with its events in key order."""
    if record.first == record.last:
        yield _Commit(number, record.times[0], record.fingerprint(number), _events_of(source, record, number))
        return
    lowest = number
    while lowest <= record.last:
        bound = source.bound()
        greatest, by_commit = _of_first_commits(source.reader, record, lowest, bound)
        if source.bound() != bound:
            continue  # some may have been deleted meanwhile
        for commit, found in sorted(by_commit.items()):
            at = commit - record.first
            gone = record.events[at] - len(found)
            yield _Commit(
                commit, record.times[at], record.fingerprint(commit), list(enumerate(found, gone + 1))
            )
        lowest = greatest + 1


def _events_of(source: _Source, record: CommitRecord, number: int) -> Iterator[tuple[int, Event]]:
    """Yield the events of a commit with a record of its own, which may be large, each with its position.

    They are read as they are used, unless some of them are pruned: then their number must be known first.
    """
    bound = source.bound()
    position = 0
    if record.runs and record.runs[0].first >= bound:
        for found in _slices_of(source.reader, record.runs, bound, number):
            if source.bound() != bound:
                break
            for _, event in found:
                position += 1
                yield position, event
        else:
            return
    while True:
        bound = source.bound()
        left = [event for part in _slices_of(source.reader, record.runs, bound, number) for _, event in part]
        if source.bound() == bound:
            break
    gone = record.events[0] - len(left)
    yield from ((at, event) for at, event in enumerate(left, gone + 1) if at > position)


def _of_first_commits(
    reader: RangeReader, record: CommitRecord, lowest: int, horizon: bytes
) -> tuple[int, dict[int, list[Event]]]:
    """Return the last commit that fits into memory, and by commit the events from ``lowest`` up to it.

    Events are stored in key order, so each call goes over all runs; unless events are large, one is enough.
    """
    greatest, size_bytes = record.last, 0
    found: dict[int, list[Event]] = {}
    for run in record.runs:
        begin = run.first
        while begin <= run.last:
            before = greatest
            for commit, event in _in_run(reader, Run(begin, run.last), horizon, lowest, greatest):
                found.setdefault(commit, []).append(event)
                size_bytes += event_bytes(event)
                while size_bytes > READ_BYTES_MAX and len(found) > 1:
                    greatest = max(found) - 1
                    size_bytes -= sum(map(event_bytes, found.pop(greatest + 1)))
                if greatest < before:  # blocks with events of dropped commits only are not read
                    begin = encode_key(*event.key) + b"\0"
                    break
            else:
                break
    return greatest, found


def _slices_of(
    reader: RangeReader, runs: Iterable[Run], horizon: bytes, number: int
) -> Iterator[list[tuple[int, Event]]]:
    """Yield the events of a commit, slice by slice."""
    for run in runs:
        yield from _slices_in_run(reader, run, horizon, number, number)


def _in_run(
    reader: RangeReader, run: Run, horizon: bytes, lowest: int, greatest: int
) -> Iterator[tuple[int, Event]]:
    """Yield the events of a run that the commits from ``lowest`` to ``greatest`` stored, in key order."""
    for found in _slices_in_run(reader, run, horizon, lowest, greatest):
        yield from found


def _slices_in_run(
    reader: RangeReader, run: Run, horizon: bytes, lowest: int, greatest: int
) -> Iterator[list[tuple[int, Event]]]:
    """Yield the same, slice by slice."""
    wanted = commit_filter(lowest, greatest)
    for slice_ in reader.slices(max(run.first, horizon), run.last + b"\0", wanted=wanted):
        young = [
            (commit, event)
            for commit, event in zip(slice_.young.commit_numbers(), slice_.young.events(), strict=True)
            if lowest <= commit <= greatest
        ]
        block = slice_.block
        if block is None:
            yield young
            continue
        within = slice_.block_indexes
        indexes = [index for index in block.indexes_of_commits(lowest, greatest) if index in within]
        events = block.events.take(indexes).events() if indexes else ()
        found = [(int(block.commits[index]), event) for index, event in zip(indexes, events, strict=True)]
        yield list(merge(found, young, key=lambda pair: pair[1].key)) if young else found


def _record(environment: Environment, number: int) -> CommitRecord | None:
    """Return the record that holds a commit, or None when there is no such commit yet."""
    with environment.snapshot() as snapshot:
        return _record_in(environment, snapshot, number)


def _next_record(
    environment: Environment, number: int, left_out: Callable[[DamagedError], None] | None
) -> int | None:
    """Return the first commit of the record after the one that holds a commit, None at the end."""
    with environment.snapshot(left_out) as (transaction, young):
        cursor = transaction.cursor(environment.databases["commits"])
        if cursor.set_range(commit_key(number + 1)):
            return commit_number(cursor.key())
        following = next(young.commits(number + 1), None)
    return None if following is None else following.first


def _record_from(
    environment: Environment, number: int, left_out: Callable[[DamagedError], None] | None
) -> CommitRecord | None:
    """Return the record that holds a commit, or else the next one that is there; None after the newest."""
    with environment.snapshot(left_out) as (transaction, young):
        if young.has_commits_from(number):  # what LMDB has is not read: it may be damaged
            return next(young.commits(number), None)
        cursor = transaction.cursor(environment.databases["commits"])
        if seek_commit(cursor, number):
            record = decode_commit(*cursor.item())
            if number <= record.last:
                return record
            placed = cursor.next()
        else:  # the first records are gone
            placed = cursor.first()
        return decode_commit(*cursor.item()) if placed else next(young.commits(number), None)


def _record_in(environment: Environment, snapshot: Snapshot, number: int) -> CommitRecord | None:
    transaction, young = snapshot
    if young.has_commits_from(number):
        return young.commit(number)
    cursor = transaction.cursor(environment.databases["commits"])
    if not seek_commit(cursor, number):
        return None
    record = decode_commit(*cursor.item())
    return record if record.first <= number <= record.last else None

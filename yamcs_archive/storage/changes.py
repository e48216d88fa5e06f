"""Reading in arrival order: every stored event once, in commit order, however late its time.

A cursor is (lineage, commit, position). The events of a commit come in key order, and position counts
them, so nothing that later commits put between them moves a cursor.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge

from yamcs_archive.errors import BadCursorError, CursorGoneError, OtherHistoryError
from yamcs_archive.event import Event
from yamcs_archive.storage.commits import (
    Commit,
    Cursor,
    commit_key,
    decode_commit,
    decode_cursor,
    encode_cursor,
)
from yamcs_archive.storage.environment import Environment
from yamcs_archive.storage.keys import time_bound
from yamcs_archive.storage.meta import Meta
from yamcs_archive.storage.pieces import Reader
from yamcs_archive.storage.rows import decode_row
from yamcs_archive.storage.state import head_commit


def head_cursor(environment: Environment, meta: Meta) -> Cursor:
    """Return the cursor behind the newest event."""
    with environment.read() as transaction:
        newest = head_commit(environment, transaction)
    return Cursor(meta.lineage, newest.number, newest.events) if newest else Cursor(meta.lineage, 0, 0)


def start_cursor(environment: Environment, meta: Meta, after: str | None) -> Cursor:
    """Return where to go on behind the cursor of that text; without one, at the oldest event left.

    Raises BadCursorError for no cursor or one beyond the head, OtherHistoryError for another lineage,
    CursorGoneError for one older than what was pruned.
    """
    if after is None:
        return Cursor(meta.lineage, 0, 0)
    cursor = decode_cursor(after)
    if cursor.lineage != meta.lineage:
        raise OtherHistoryError
    if cursor.commit < meta.horizon_commit:
        raise CursorGoneError(encode_cursor(Cursor(meta.lineage, meta.horizon_commit, 0)))
    if cursor > head_cursor(environment, meta):
        raise BadCursorError("cursor", after, "lies beyond the newest commit of this archive")
    return cursor


def changes(
    environment: Environment, meta: Meta, after: Cursor, batch_events_max: int
) -> Iterator[tuple[Event, Cursor]]:
    """Yield the events behind a cursor in arrival order, each with the cursor behind it.

    Ends at the newest commit; call again with the last cursor for what came meanwhile.
    """
    number, seen = max(after.commit, 1), after.position if after.commit else 0
    reader = Reader(environment, batch_events_max)
    horizon = b"" if meta.horizon is None else time_bound(meta.horizon)
    while (commit := _commit(environment, number)) is not None:
        position = 0
        for run in commit.runs:
            for event in _events_of(reader, max(run.first, horizon), run.last + b"\0", number):
                position += 1
                if position > seen:
                    yield event, Cursor(meta.lineage, number, position)
        number, seen = number + 1, 0


def _events_of(reader: Reader, lower: bytes, upper: bytes, commit: int) -> Iterator[Event]:
    """Yield the events with ``lower <= key < upper`` that a commit stored, in key order."""
    for piece in reader.pieces(lower, upper):
        rows = [row.event for key, value in piece.rows if (row := decode_row(key, value)).commit == commit]
        block = piece.block
        if block is None:
            yield from rows
            continue
        places = [
            place
            for place in block.by_commit.get(commit, ())
            if piece.lower <= block.encoded_key(place) < piece.upper
        ]
        found = block.columns.take(places).events() if places else []
        yield from merge(found, rows, key=lambda event: event.key) if rows else found


def _commit(environment: Environment, number: int) -> Commit | None:
    key = commit_key(number)
    with environment.read() as transaction:
        value = transaction.get(key, db=environment.databases["commits"])
    return None if value is None else decode_commit(key, value)

"""SQLite from the standard library: a table without rowid, with the same key; and one with indexes.

Its pragmas are the fastest with durable commits: WAL with synchronous=FULL syncs the log at each commit.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.contenders.base import Contender
from yamcs_archive import Event, Severity
from yamcs_archive.event import SEVERITIES

_TABLE = """
create table if not exists events (
    generation_time integer not null, source text not null, seq_number integer not null,
    reception_time integer not null, severity integer not null, type text, message text not null,
    created_by text, extensions blob, extra text,
    primary key (generation_time, source, seq_number)
) without rowid
"""
_INDEXES = (
    "create index if not exists by_source on events (source, generation_time, seq_number)",
    "create index if not exists by_severity on events (severity)",
)
_PRAGMAS = (
    "journal_mode = wal",
    "synchronous = full",
    "cache_size = -65536",  # KiB; the default of 2 MiB would evict the inner pages of the table
    "mmap_size = 1073741824",
    "temp_store = memory",
    "wal_autocheckpoint = 16000",  # pages; batches of 10,000 are 8 % faster than with the default of 1,000
)
# Both are in the order of Event's constructor, except for the columns of the key.
_COMPLETE = attrgetter(
    "generation_time", "source", "seq_number", "reception_time", "severity.value", "type", "message"
)
_INSERT_COMPLETE = """
insert or ignore into events
    (generation_time, source, seq_number, reception_time, severity, type, message)
    values (?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_ALL = "insert or ignore into events values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = """select message, source, severity, type, generation_time, seq_number, reception_time,
    created_by, extensions, extra from"""
_NAMES = [name.strip() for name in _SELECT.removeprefix("select").removesuffix("from").split(",")]
_DESCENDING = "order by generation_time desc, source desc, seq_number desc limit ?"
_FETCH_ROWS = 1_000


class Sqlite(Contender[list[Event]]):
    """A table of events whose primary key is the archive's."""

    durability = "WAL, synchronous=FULL: fdatasync of the log at each commit"
    _indexes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._connection = sqlite3.connect(
            directory / "events.sqlite", isolation_level=None, check_same_thread=False
        )
        self._lock = threading.Lock()
        for pragma in _PRAGMAS:
            self._connection.execute(f"pragma {pragma}").fetchall()
        for statement in (_TABLE, *self._indexes):
            self._connection.execute(statement)

    def versions(self) -> dict[str, str]:
        """See the base class."""
        return {"SQLite": sqlite3.sqlite_version}

    def ready(self, events: list[Event]) -> list[Event]:
        """Return the events unchanged."""
        return events

    def append(self, batch: list[Event]) -> None:
        """Insert a batch in one transaction, with a statement prepared once and executed in C."""
        statement, rows = _insertion(batch)
        with self._lock:  # one connection: SQLite has one writer, and waits for it by polling
            self._connection.execute("begin immediate")
            self._connection.executemany(statement, rows)
            self._connection.execute("commit")

    def append_one(self, batch: list[Event]) -> None:
        """Insert the event by a statement that is a transaction of its own."""
        statement, rows = _insertion(batch)
        with self._lock:
            self._connection.execute(statement, next(rows))

    def rest(self) -> None:
        """Rewrite the database without free pages, and move the log into it."""
        self._connection.execute("vacuum")
        self._connection.execute("pragma wal_checkpoint(truncate)").fetchall()

    def scan(self) -> Iterator[Event]:
        """See the base class."""
        return self._select("order by generation_time, source, seq_number")

    def newest(
        self, limit: int, *, source: str | None = None, min_severity: Severity | None = None
    ) -> list[Event]:
        """Use one statement; the planner uses an index if there is one."""
        if source is not None:
            return list(self._select(f"where source = ? {_DESCENDING}", source, limit))
        if min_severity is not None:
            # The codes of ERROR and SEVERE are the two greatest, and only these two share a rank.
            return list(self._select(f"where severity >= ? {_DESCENDING}", min_severity.rank, limit))
        return list(self._select(_DESCENDING, limit))

    def find_text(self, text: str) -> list[Event]:
        """Use LIKE, which ignores the case of ASCII letters."""
        return list(
            self._select("where message like ? order by generation_time, source, seq_number", f"%{text}%")
        )

    def table(self, *, in_order: bool = True) -> Any:
        """Return a frame of pandas: rows to Arrow without it would take another way of the same kind."""
        return self._frame("order by generation_time, source, seq_number" if in_order else "")

    def frame(self, source: str, min_severity: Severity) -> Any:
        """See :class:`~benchmarks.contenders.base.Tabular`."""
        rest = "where source = ? and severity >= ? order by generation_time, source, seq_number"
        return self._frame(rest, source, min_severity.rank)

    def _frame(self, rest: str, *values: object) -> Any:
        from pandas import DataFrame  # noqa: PLC0415  # only this needs it

        rows = self._connection.execute(f"{_SELECT} events {rest}", values)
        return DataFrame.from_records(rows, columns=_NAMES)

    def close(self) -> None:
        """See the base class."""
        self._connection.close()

    def _select(self, rest: str, *values: object, table: str = "events") -> Iterator[Event]:
        cursor = self._connection.execute(f"{_SELECT} {table} {rest}", values)
        while rows := cursor.fetchmany(_FETCH_ROWS):
            yield from _events(rows)


class SqliteIndexed(Sqlite):
    """The same table with indexes on source and severity."""

    _indexes = _INDEXES

    def newest(
        self, limit: int, *, source: str | None = None, min_severity: Severity | None = None
    ) -> list[Event]:
        """Find the newest events of each sufficient severity by the index, and of those the newest.

        With ``severity >= ?`` the planner scans the table backwards instead, 500 times slower.
        """
        if min_severity is None:
            return super().newest(limit, source=source)
        codes = [severity.value for severity in SEVERITIES if severity >= min_severity]
        parts = " union all ".join(
            [f"select * from (select * from events where severity = ? {_DESCENDING})"] * len(codes)
        )
        values = [value for code in codes for value in (code, limit)]
        return list(self._select(_DESCENDING, *values, limit, table=f"({parts})"))


def _insertion(batch: list[Event]) -> tuple[str, Iterator[tuple[Any, ...]]]:
    """Return the statement that inserts the batch, and its rows; short if no event needs all columns."""
    if any(event.extra or event.extensions or event.created_by is not None for event in batch):
        return _INSERT_ALL, map(_all_columns, batch)
    return _INSERT_COMPLETE, map(_COMPLETE, batch)


def _all_columns(event: Event) -> tuple[Any, ...]:
    extra = json.dumps(event.extra) if event.extra else None
    return (*_COMPLETE(event), event.created_by, event.extensions or None, extra)


def _events(rows: Iterable[tuple[Any, ...]]) -> list[Event]:
    return [
        Event(message, source, SEVERITIES[severity], kind, time, number, received, user,
              extensions or b"", json.loads(extra) if extra else {})
        for message, source, severity, kind, time, number, received, user, extensions, extra in rows
    ]  # fmt: skip

"""DuckDB: one table without indexes, filled from Arrow; the columnar store that an analyst would take.

A primary key would make it refuse retries, but its index takes more room than the events and most of the time
of an insertion. So events that come late or twice are put in order once, by :meth:`DuckDb.settle`, whose time
counts; the first of two with one key stays.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.contenders.arrow_columns import KEY, SCHEMA, ArrivalOrder, events_of, table_of
from benchmarks.contenders.base import Contender
from yamcs_archive import Event, Severity

_COLUMNS = ", ".join(SCHEMA.names)
_TABLE = """
create table if not exists events (
    generation_time bigint not null, source varchar not null, seq_number integer not null,
    reception_time bigint not null, type varchar, message varchar not null, created_by varchar,
    severity utinyint not null, extensions blob, extra map(varchar, varchar)
)
"""
_KEY = ", ".join(KEY)
_IN_ORDER = f"""
create table sorted as select {_COLUMNS} from (
    select *, row_number() over (partition by {_KEY} order by rowid) as copy from events
) where copy = 1 order by {_KEY}
"""
_DESCENDING = "order by generation_time desc, source desc, seq_number desc limit ?"
_FETCH_ROWS = 10_000


class DuckDb(Contender[list[Event]]):
    """A table of events, in the order in which they came until it is settled."""

    durability = "its write-ahead log, fsync at each commit"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._connection = duckdb.connect(directory / "events.duckdb")
        self._lock = threading.Lock()
        self._order = ArrivalOrder()
        self._connection.execute("set preserve_insertion_order = true")
        self._connection.execute(_TABLE)

    def versions(self) -> dict[str, str]:
        """See the base class."""
        return {"duckdb": version("duckdb"), "pyarrow": version("pyarrow")}

    def ready(self, events: list[Event]) -> list[Event]:
        """Return the events unchanged."""
        return events

    def append(self, batch: list[Event]) -> None:
        """Insert the batch from an Arrow table, in one transaction."""
        with self._lock:
            self._order.note(batch)
            found = table_of(batch)
            self._connection.register("batch", found)
            self._connection.execute(f"insert into events select {_COLUMNS} from batch")
            self._connection.unregister("batch")

    def settle(self) -> None:
        """Put the events in order, and drop those that came again, if any came out of order."""
        if not self._order.rises:
            self._connection.execute("begin")
            self._connection.execute(_IN_ORDER)
            self._connection.execute("drop table events")
            self._connection.execute("alter table sorted rename to events")
            self._connection.execute("commit")
            self._order.rises = True

    def rest(self) -> None:
        """Move the log into the database, and give free blocks back."""
        self._connection.execute("force checkpoint")

    def scan(self) -> Iterator[Event]:
        """Read batches of Arrow, in the order of keys."""
        return self._select(f"order by {_KEY}")

    def newest(
        self, limit: int, *, source: str | None = None, min_severity: Severity | None = None
    ) -> list[Event]:
        """Use one statement; blocks are skipped by their least and greatest values."""
        if source is not None:
            return list(self._select(f"where source = ? {_DESCENDING}", source, limit))
        if min_severity is not None:
            # The codes of ERROR and SEVERE are the two greatest, and only these two share a rank.
            return list(self._select(f"where severity >= ? {_DESCENDING}", min_severity.rank, limit))
        return list(self._select(_DESCENDING, limit))

    def find_text(self, text: str) -> list[Event]:
        """Use ILIKE, which ignores the case of letters."""
        return list(self._select(f"where message ilike ? order by {_KEY}", f"%{text}%"))

    def table(self, *, in_order: bool = True) -> Any:
        """See :class:`~benchmarks.contenders.base.Tabular`."""
        order = f"order by {_KEY}" if in_order else ""
        return self._connection.sql(f"select {_COLUMNS} from events {order}").to_arrow_table()

    def frame(self, source: str, min_severity: Severity) -> Any:
        """See :class:`~benchmarks.contenders.base.Tabular`."""
        wanted = f"where source = ? and severity >= ? order by {_KEY}"
        asked = (source, min_severity.rank)
        return self._connection.sql(f"select {_COLUMNS} from events {wanted}", params=asked).df()

    def close(self) -> None:
        """See the base class."""
        self._connection.close()

    def _select(self, rest: str, *values: object) -> Iterator[Event]:
        found = self._connection.cursor().sql(
            f"select {_COLUMNS} from events {rest}",
            params=values,
        )
        for batch in found.to_arrow_reader(_FETCH_ROWS):
            yield from events_of(batch)

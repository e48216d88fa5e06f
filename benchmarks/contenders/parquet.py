"""Parquet files through pyarrow: one for each batch, and one for all at rest; what a data lake would take.

It is no store: nobody refuses a retry, and a file cannot grow. So events that come late or twice are put in
order once, by :meth:`Parquet.settle`, whose time counts; the first of two with one key stays.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.contenders.arrow_columns import KEY, ArrivalOrder, events_of, table_of
from benchmarks.contenders.base import Contender
from yamcs_archive import Event, Severity

_GROUP_ROWS = 50_000
"""Rows of a row group: a query reads whole ones, and compression gains little beyond."""
_ORDER = [(name, "ascending") for name in KEY]


class Parquet(Contender[list[Event]]):
    """A folder of files whose names are in the order in which they came."""

    durability = "a new file for each batch: fsync of file and folder"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._files = sorted(directory.glob("*.parquet"))
        self._count = len(self._files)
        self._lock = threading.Lock()
        self._order = ArrivalOrder()

    def versions(self) -> dict[str, str]:
        """See the base class."""
        return {"pyarrow": version("pyarrow")}

    def ready(self, events: list[Event]) -> list[Event]:
        """Return the events unchanged."""
        return events

    def append(self, batch: list[Event]) -> None:
        """Write a file with the events."""
        with self._lock:
            self._order.note(batch)
            self._files.append(self._written(table_of(batch)))

    def _written(self, table: pa.Table) -> Path:
        path = self.directory / f"{self._count:09}.parquet"
        self._count += 1
        draft = path.with_suffix(".draft")
        pq.write_table(table, draft, compression="zstd", row_group_size=_GROUP_ROWS)
        for name, flags in ((draft, os.O_RDWR), (self.directory, os.O_RDONLY)):
            descriptor = os.open(name, flags)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if name == draft:
                draft.rename(path)
        return path

    def settle(self) -> None:
        """Put the events in order, and drop those that came again, if any came out of order."""
        if not self._order.rises:
            self.rest()
            self._order.rises = True

    def rest(self) -> None:
        """Rewrite everything as one file, in order, the first of each key."""
        if not self._files:
            return
        table = pq.read_table(self._files)
        table = table.append_column("place", pa.array(range(table.num_rows)))
        table = table.sort_by([*_ORDER, ("place", "ascending")])
        keys = [table.column(name).combine_chunks() for name in KEY]
        same = pc.equal(keys[0][1:], keys[0][:-1])
        for key in keys[1:]:
            same = pc.and_(same, pc.equal(key[1:], key[:-1]))
        first = pa.chunked_array([pa.array([True]), pc.invert(same)])
        whole = table.filter(first).drop_columns(["place"])
        old, self._files = self._files, [self._written(whole)]
        for path in old:
            path.unlink()

    def scan(self) -> Iterator[Event]:
        """Read row group after row group."""
        for path in self._files:
            for batch in pq.ParquetFile(path).iter_batches():
                yield from events_of(batch)

    def newest(
        self, limit: int, *, source: str | None = None, min_severity: Severity | None = None
    ) -> list[Event]:
        """Read row groups backwards, of each only the column of the condition, until enough events match."""
        found: list[Event] = []
        for path in reversed(self._files):
            file = pq.ParquetFile(path)
            for group in reversed(range(file.num_row_groups)):
                matching = _matching(file, group, source, min_severity)
                rows = matching[-(limit - len(found)) :]
                if len(rows):
                    found += reversed(events_of(file.read_row_group(group).take(rows)))
                if len(found) == limit:
                    return found
        return found

    def find_text(self, text: str) -> list[Event]:
        """Look at the messages of each row group, and read the others' columns where one matches."""
        found: list[Event] = []
        for path in self._files:
            file = pq.ParquetFile(path)
            for group in range(file.num_row_groups):
                messages = file.read_row_group(group, columns=["message"]).column("message")
                rows = pc.indices_nonzero(pc.match_substring(messages, text, ignore_case=True))
                if len(rows):
                    found += events_of(file.read_row_group(group).take(rows))
        return found

    def close(self) -> None:
        """Nothing is open."""


def _matching(
    file: pq.ParquetFile, group: int, source: str | None, min_severity: Severity | None
) -> pa.UInt64Array:
    """Return the indexes of the rows of a group that match."""
    value: str | int
    if source is not None:
        column, comparison, value = "source", "equal", source
    elif min_severity is not None:
        # The codes of ERROR and SEVERE are the two greatest, and only these two share a rank.
        column, comparison, value = "severity", "greater_equal", min_severity.rank
    else:
        return pa.array(range(file.metadata.row_group(group).num_rows), pa.uint64())
    values = file.read_row_group(group, columns=[column]).column(column)
    return pc.indices_nonzero(pc.call_function(comparison, [values, pa.scalar(value)]))

"""Table: some events of an instance as a lazy table, which other libraries read by the Arrow protocol.

1. It holds no events. Each read is a new one, of the archive as it is then; no transaction is open between
   two batches.
2. What is read in batches takes memory for a few batches, whatever the number of events: the protocol itself,
   :meth:`Table.batches`, :meth:`Table.to_parquet`. What returns all events needs memory for all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from yamcs_archive import notebook
from yamcs_archive.errors import ArchiveError
from yamcs_archive.frames.columns import Selection
from yamcs_archive.frames.library import load
from yamcs_archive.frames.parquet import ParquetSink
from yamcs_archive.frames.schema import SEVERITY_NAMES, schema_of
from yamcs_archive.user_paths import given_path
from yamcs_archive.whole_files import whole_file

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow


class Table:
    """Some events of an instance, as columns; read when it is asked for, and anew each time.

    Get one from :meth:`yamcs_archive.Instance.table`. Give it to ``pyarrow.table``, ``polars.DataFrame``,
    ``pandas.DataFrame.from_arrow``, or name it in a query of duckdb. Its methods raise what reading the
    events does; the libraries that read it by the Arrow protocol wrap that in an error of their own.

    >>> _ = sim.append(Event("Wheel 3 over speed", source="AOCS", generation_time=0, seq_number=15))
    >>> table = sim.table(columns=["source", "seq_number", "level"])
    >>> table
    Table('sim', columns=('source', 'seq_number', 'level'))
    >>> table.to_arrow().to_pylist()
    [{'source': 'AOCS', 'seq_number': 15, 'level': 0}]
    """

    def __init__(
        self,
        name: str,
        selection: Selection,
        batches: Callable[[], Iterator[pyarrow.RecordBatch]],
        count: Callable[[], int],
    ) -> None:
        """``batches`` begins a new read each time, ``count`` counts the events that it would give."""
        self._name, self._selection, self._batches, self._count = name, selection, batches, count
        load()  # or the error would only come with the first read
        self._schema = schema_of(selection)

    def __repr__(self) -> str:
        return f"Table({self._name!r}, columns={self._selection.names})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the first events."""
        rows: list[dict[str, Any]] = []
        try:
            for batch in self._batches():
                rows += batch.slice(0, notebook.ROWS_MAX + 1 - len(rows)).to_pylist()
                if len(rows) > notebook.ROWS_MAX:
                    break
        except ArchiveError as error:
            return notebook.plain(f"{self!r}: {error}")
        more = "and more" if len(rows) > notebook.ROWS_MAX else "all of them"
        cells = ([row[name] for name in self._selection.names] for row in rows[: notebook.ROWS_MAX])
        return notebook.table(f"{self!r}: the first events", self._selection.names, cells, more)

    @property
    def schema(self) -> pyarrow.Schema:
        """The names and Arrow types of the columns."""
        return self._schema

    def __arrow_c_schema__(self) -> object:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._reader().__arrow_c_stream__(requested_schema)

    def _reader(self) -> Any:
        return load().RecordBatchReader.from_batches(self._schema, self._batches())

    def batches(self) -> Iterator[pyarrow.RecordBatch]:
        """Return an iterator over record batches of some thousand events, in key order; none is empty.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n) for n in range(5))
        >>> [batch.num_rows for batch in sim.table(start=1).batches()]
        [4]
        """
        return self._batches()

    def count(self) -> int:
        """Return the number of events, without reading more than that needs.

        >>> sim.table(text="wheel").count()
        0
        """
        return self._count()

    def to_arrow(self) -> pyarrow.Table:
        """Return all events as a table of pyarrow, whose chunks share their dictionaries."""
        return load().Table.from_batches(list(self._batches()), self._schema).unify_dictionaries()

    def to_pandas(self) -> pandas.DataFrame:
        """Return all events as a DataFrame of pandas.

        Severities are an ordered categorical, sources, types and users categoricals; each ``extra`` is a
        dict.

        >>> _ = sim.append(Event("Wheel 3 over speed", severity=Severity.WARNING, extra={"torque": "0.3"}))
        >>> frame = sim.table().to_pandas()
        >>> frame[frame.severity >= "WATCH"].message.to_list(), frame.extra[0]
        (['Wheel 3 over speed'], {'torque': '0.3'})
        """
        load("pandas")
        return self.to_arrow().to_pandas(maps_as_pydicts="strict", split_blocks=True, self_destruct=True)

    def to_polars(self) -> polars.DataFrame:
        """Return all events as a DataFrame of polars, severities as an Enum, which compares them by rank.

        >>> import polars as pl
        >>> _ = sim.append(Event("Wheel 3 over speed", severity=Severity.WARNING))
        >>> sim.table().to_polars().filter(pl.col("severity") >= "WATCH")["message"].to_list()
        ['Wheel 3 over speed']
        """
        pl = load("polars")
        frame: polars.DataFrame = pl.DataFrame(self)
        if "severity" not in self._selection.columns:
            return frame
        return frame.with_columns(pl.col("severity").cast(pl.Enum(SEVERITY_NAMES)))

    def to_parquet(self, path: str | os.PathLike[str]) -> int:
        """Write all events to a Parquet file, and return their number; memory does not grow with it.

        The file gets its name once it is whole and durable; a file of that name is replaced. With the columns
        that are chosen by default nothing is lost. Raises OutOfSpaceError if the medium is full,
        UnavailableError for any other fault of it, and what reading the events does.

        >>> _ = sim.append_many(Event(f"Step {n}") for n in range(5))
        >>> sim.table().to_parquet(directory / "day.parquet")
        5
        """
        with (
            whole_file(given_path(path)) as file,
            ParquetSink(file.write, self._schema) as sink,
        ):
            for batch in self._batches():
                sink.add(batch)
        return sink.events

"""Record batches -> a Parquet file, row group by row group, so that memory does not grow with the file.

1. A row group has about :data:`GROUP_EVENTS` events or :data:`GROUP_BYTES` of memory, whichever comes first.
2. The file keeps the Arrow schema, so that pyarrow reads the same types again; other readers see text,
   numbers, a map. It is a Parquet file only once it was finished: what was cut short has no footer, and no
   reader takes it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from yamcs_archive.frames.library import load

if TYPE_CHECKING:
    import pyarrow

GROUP_EVENTS, GROUP_BYTES = 1 << 16, 32 << 20
"""Readers skip whole groups by their least and greatest values; larger groups compress little better."""
COMPRESSION = "zstd"


class ParquetSink:
    """Writes record batches of one schema through ``write``, a function that takes bytes.

    It is used in a ``with`` statement. If that ends by an exception, the footer is not written.

    >>> from io import BytesIO
    >>> pa, pq, file = load(), load("pyarrow.parquet"), BytesIO()
    >>> batch = pa.record_batch({"number": pa.array([1, 2])})
    >>> with ParquetSink(file.write, batch.schema) as sink:
    ...     sink.add(batch)
    >>> pq.read_table(file)["number"].to_pylist(), sink.events
    ([1, 2], 2)
    """

    def __init__(
        self, write: Callable[[Any], object], schema: pyarrow.Schema, *, group_bytes: int = GROUP_BYTES
    ) -> None:
        self._pa = load()
        self._group_bytes_max = group_bytes
        self._schema = schema
        self._group: list[Any] = []
        self._group_events = self._group_bytes = 0
        self.events = 0
        """The number of events that were taken."""
        self._gate = _Gate(write)
        self._writer = load("pyarrow.parquet").ParquetWriter(self._gate, schema, compression=COMPRESSION)

    def add(self, batch: pyarrow.RecordBatch) -> None:
        """Take a batch; once there are enough of them for a row group, write it."""
        self.events += batch.num_rows
        self._group.append(batch)
        self._group_events += batch.num_rows
        self._group_bytes += batch.nbytes
        if self._group_events >= GROUP_EVENTS or self._group_bytes >= self._group_bytes_max:
            self._flush()

    def finish(self) -> None:
        """Write what is left, and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._group:
            group, events = self._pa.Table.from_batches(self._group, self._schema), self._group_events
            self._group, self._group_events, self._group_bytes = [], 0, 0
            self._writer.write_table(group, row_group_size=events)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            self._gate.closed = True


class _Gate:
    """A file that takes nothing any more once it is closed: the writer's destructor would write a footer."""

    def __init__(self, write: Callable[[Any], object]) -> None:
        self._write = write
        self.closed = False

    def write(self, data: Any) -> int:
        if not self.closed:
            self._write(data)
        return len(data)

    def flush(self) -> None:
        """Leave that to the owner of the file."""

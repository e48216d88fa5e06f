"""The events of a served instance as a table: read as an Arrow stream, in batches of bounded memory.

1. Unlike the other reads over HTTP a table loses nothing: ERROR stays ERROR, extensions and users are there.
2. A stream that breaks off after some events is followed by another one that begins after the last of these.
   For that the columns of the key are read too, if they were not chosen, and dropped again.
3. What the server finds beside what was asked for (:attr:`Query.is_exact`) is left out here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from yamcs_archive.client.event_streams import continued, event_stream
from yamcs_archive.client.queries import Query
from yamcs_archive.client.transport import Transport
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import AnySeverity, EventKey
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.times import Time

if TYPE_CHECKING:
    import pyarrow

    from yamcs_archive.frames.columns import Selection
    from yamcs_archive.frames.table import Table

ARROW = "application/vnd.apache.arrow.stream"
_KEY = ("time", "source", "seq_number")
_MESSAGE = "message"


class RemoteTables(ABC):
    """The method of an instance that gives its events as a table."""

    name: str
    _transport: Transport

    def table(
        self,
        *,
        columns: Iterable[str] | None = None,
        extra_columns: Iterable[str] = (),
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,
        skip_damaged: bool = False,
    ) -> Table:
        """Return the events of :meth:`events` as a lazy table for pandas, polars, duckdb and pyarrow.

        See :meth:`Instance.table <yamcs_archive.Instance.table>`: nothing is read yet, and each use of the
        table asks the server anew. It loses nothing on the way, not even ERROR. Client and server need the
        extra ``arrow``; without it on the server, reading raises ServerRefusedError.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n, seq_number=n) for n in range(5))
        >>> sim.table(columns=["message", "level"], start=3).to_arrow().to_pydict()
        {'message': ['Step 3', 'Step 4'], 'level': [0, 0]}
        """
        # numpy and pyarrow, which other programs over HTTP do without
        from yamcs_archive.frames.columns import Selection  # noqa: PLC0415
        from yamcs_archive.frames.table import Table  # noqa: PLC0415

        selection = Selection.of(columns, extra_columns)
        query = Query.of(*(start, stop, sources, min_severity, text, filter), skip_damaged=skip_damaged)

        def count() -> int:
            return self.count(
                start=start,
                stop=stop,
                sources=query.sources,
                min_severity=min_severity,
                text=text,
                filter=query.filter,
                skip_damaged=skip_damaged,
            )

        return Table(self.name, selection, lambda: self._batches(query, selection), count)

    @abstractmethod
    def count(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,
        skip_damaged: bool = False,
    ) -> int:
        """Return the number of events of the table."""

    def _batches(self, query: Query, selection: Selection) -> Iterator[pyarrow.RecordBatch]:
        text = None if query.is_exact else query.text
        needed = (*_KEY, *(() if text is None else (_MESSAGE,)))
        unread = [name for name in needed if name not in selection.columns]
        if hidden := [name for name in unread if name in selection.extra]:
            raise InvalidInputError(
                "extra_columns", hidden[0], "cannot be read from a server without the column"
            )
        read = selection._replace(columns=(*selection.columns, *unread))

        def chosen(asked: Query, batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch | None:
            found = _after(batch, asked.after_key)
            if text is not None:
                found = _containing(found, text)
            if not found.num_rows:
                return None
            return found.select(list(selection.names)) if unread else found

        if not query.is_empty:
            yield from continued(query, partial(self._table_stream, read=read), _last_key, chosen)

    def _table_stream(self, query: Query, *, read: Selection) -> Iterator[pyarrow.RecordBatch]:
        from yamcs_archive.frames.arrow_stream import read_stream  # noqa: PLC0415  # as in table()
        from yamcs_archive.frames.library import load  # noqa: PLC0415  # likewise

        asked = [("columns", ",".join(read.columns)), *(("extra_columns", key) for key in read.extra)]
        with event_stream(self._transport, self.name, query, ARROW, *asked) as pieces:
            try:
                yield from filter(len, read_stream(pieces))
            except load().ArrowInvalid as error:
                raise self._transport.strange(f"it streams what is no table: {error}") from None


def _last_key(batch: pyarrow.RecordBatch) -> EventKey:
    return _key(batch, batch.num_rows - 1)


def _key(batch: pyarrow.RecordBatch, row: int) -> EventKey:
    time, source, number = (batch.column(name)[row] for name in _KEY)
    return EventKey(time.value, source.as_py(), number.as_py())


def _after(batch: pyarrow.RecordBatch, key: EventKey | None) -> pyarrow.RecordBatch:
    """Return the events of a batch that come after a key; few do not, so they are looked at one by one."""
    if key is None:
        return batch
    first = next((row for row in range(batch.num_rows) if _key(batch, row) > key), batch.num_rows)
    return batch.slice(first)


def _containing(batch: pyarrow.RecordBatch, text: str) -> pyarrow.RecordBatch:
    """Return the events whose message contains a case-folded text."""
    return batch.filter([text in message.casefold() for message in batch.column(_MESSAGE).to_pylist()])

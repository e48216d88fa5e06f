"""Rows of Arrow, of a Parquet file or another one -> events: what the readers of these forms share.

A row that is no event can be rejected. A column of the wrong type, a missing one and an unknown one end the
reading, because they concern all rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from yamcs_archive.columns import Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.files.reading import Ordinals, ReadOptions, Rejected
from yamcs_archive.frames.events import PART_EVENTS, check_schema, columns_of
from yamcs_archive.frames.library import load

_PANDAS_INDEX = re.compile(r"__index_level_[0-9]+__")
"""The column in which pandas keeps the numbers of rows; it is none of an event."""


class Rows:
    """Reads the events of record batches; ``begin`` returns their schema, and an iterator over them."""

    def __init__(self, begin: Callable[[], tuple[Any, Iterator[Any]]], options: ReadOptions) -> None:
        self._begin = begin
        self._options = options
        self._rows = Ordinals()
        self._position = 0

    def parts(self) -> Iterator[Columns[int | None]]:
        try:
            schema, batches = self._begin()
            names = [name for name in schema.names if not _PANDAS_INDEX.fullmatch(name)]
            is_whole = len(names) == len(schema.names)
            check_schema(schema if is_whole else schema.empty_table().select(names).schema)
            for found in batches:
                batch = found if is_whole else found.select(names)
                for start in range(0, batch.num_rows, PART_EVENTS):
                    yield from self._events(batch.slice(start, PART_EVENTS))
        except InvalidInputError as error:
            if error.position is None:
                error.position = self._position
            raise

    def place(self, position: int) -> str:
        return f"row {self._rows.of(position)}"

    def _events(self, batch: Any) -> Iterator[Columns[int | None]]:
        while batch.num_rows:
            try:
                events = columns_of(batch)
            except InvalidInputError as error:
                if error.position is None:
                    raise
                row = error.position
                if row:
                    yield from self._events(batch.slice(0, row))
                self._refuse(batch.slice(row, 1), error)
                batch = batch.slice(row + 1)
            else:
                self._position += events.size
                yield events
                return

    def _refuse(self, row: Any, error: InvalidInputError) -> None:
        error.position = self._position
        if self._options.reject is None:
            raise error
        place = self.place(self._position)
        self._rows.skip(self._position)
        self._options.reject(Rejected(place, repr(row.to_pylist()[0]).encode(), str(error)))


def arrow_faults() -> tuple[type[Exception], ...]:
    """Return the errors by which pyarrow says that a file cannot be read."""
    return (load().ArrowException, OSError)

"""Parquet, with the columns of :mod:`~yamcs_archive.frames.columns`; needs the extra ``arrow``.

1. It is written in row groups of bounded size, compressed with zstd. Its index is at its end: what was cut
   short cannot be read, nor can it be continued.
2. It is read from a file, because the index comes first: what comes from a pipe is put into a temporary one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.files.reading import EventReader, ReadOptions, Source
from yamcs_archive.files.tables import Rows, arrow_faults
from yamcs_archive.files.writing import EventWriter
from yamcs_archive.frames.batches import BatchMaker
from yamcs_archive.frames.columns import Selection
from yamcs_archive.frames.events import PART_EVENTS
from yamcs_archive.frames.library import load
from yamcs_archive.frames.parquet import ParquetSink
from yamcs_archive.frames.texts import message_array

_BUFFER_BYTES = 1 << 20


class ParquetWriter:
    """Writes it."""

    def __init__(self) -> None:
        self._maker = BatchMaker(Selection.of(None))
        self._written: list[bytes] = []
        self._sink = ParquetSink(self._take, self._maker.schema)

    def _take(self, data: Any) -> None:
        self._written.append(bytes(data))

    def _taken(self) -> bytes:
        found = b"".join(self._written)
        self._written.clear()
        return found

    def head(self) -> bytes:
        return self._taken()

    def encode(self, events: StoredVectors) -> bytes:
        self._sink.add(self._maker.batch([events], [message_array(events)]))
        return self._taken()

    def tail(self) -> bytes:
        self._sink.finish()
        return self._taken()


def _batches(source: Source) -> tuple[Any, Iterator[Any]]:
    parquet = load("pyarrow.parquet")
    try:
        file = parquet.ParquetFile(source.seekable(), buffer_size=_BUFFER_BYTES, pre_buffer=False)
        return file.schema_arrow, _guarded(source, file.iter_batches(PART_EVENTS, use_threads=False))
    except arrow_faults() as error:
        source.close()
        rule = f"is no whole Parquet file, so nothing of it can be read: {error}"
        raise InvalidInputError("file", source.name, rule) from None


def _guarded(source: Source, batches: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from batches
    except arrow_faults() as error:
        raise InvalidInputError("file", source.name, f"is damaged from here on: {error}") from None
    finally:
        source.close()


def open_reader(source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a file."""
    load()
    return Rows(lambda: _batches(source), options)


def open_writer() -> EventWriter:
    """Return a writer of a file."""
    return ParquetWriter()

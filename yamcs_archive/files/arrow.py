"""Arrow's two forms, that of files and that of streams, with zstd; needs the extra ``arrow``.

1. Sources, types and users are plain text here: a file may have one dictionary for each column, and it cannot
   grow.
2. A file is a stream between two marks, with an index after it. From a pipe, and without the index because
   it was cut short, it is read as a stream, up to the cut; a cut is known, because both have an end. Other
   programs may leave gaps in a file that only its index tells: such a one has to be given as a file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.files.reading import EventReader, ReadOptions, Source
from yamcs_archive.files.tables import Rows, arrow_faults
from yamcs_archive.files.writing import EventWriter
from yamcs_archive.frames.batches import BatchMaker
from yamcs_archive.frames.columns import Selection
from yamcs_archive.frames.library import load
from yamcs_archive.frames.texts import message_array

_MARK = b"ARROW1"
_BEGIN = _MARK + b"\0\0"
_ENDS = (_MARK, b"\xff\xff\xff\xff\0\0\0\0", b"\0\0\0\0")
"""How a whole file ends, and a whole stream, of today and of old."""
_READ_BYTES = 1 << 20
_PLAIN = ("source", "type", "created_by")


class ArrowWriter:
    """Writes either form."""

    def __init__(self, form: str) -> None:
        """``form`` is that of a "file" or of a "stream"."""
        pa, ipc = load(), load("pyarrow.ipc")
        self._pa = pa
        self._maker = BatchMaker(Selection.of(None))
        fields = [
            pa.field(field.name, pa.string()) if field.name in _PLAIN else field
            for field in self._maker.schema
        ]
        self._schema = pa.schema(fields, self._maker.schema.metadata)
        self._held = io.BytesIO()
        open_ = ipc.new_file if form == "file" else ipc.new_stream
        self._writer = open_(self._held, self._schema, options=ipc.IpcWriteOptions(compression="zstd"))

    def _taken(self) -> bytes:
        """Return what was written since the last call. The writer keeps its own count of all of it."""
        found = self._held.getvalue()
        self._held.seek(0)
        self._held.truncate()
        return found

    def head(self) -> bytes:
        return self._taken()

    def encode(self, events: StoredVectors) -> bytes:
        batch = self._maker.batch([events], [message_array(events)])
        columns = [
            column.dictionary_decode() if field.name in _PLAIN else column
            for field, column in zip(self._schema, batch.columns, strict=True)
        ]
        self._writer.write_batch(self._pa.RecordBatch.from_arrays(columns, schema=self._schema))
        return self._taken()

    def tail(self) -> bytes:
        self._writer.close()
        return self._taken()


class _Chunks(io.RawIOBase):
    """Chunks of bytes as a file that is read from its beginning to its end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = memoryview(b"")
        self.last = b""
        """The last bytes that were read."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._held:
            self._held = memoryview(next(filter(None, self._chunks), b""))
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        if size:
            self.last = (self.last + bytes(self._held[max(0, size - len(_BEGIN)) : size]))[-len(_BEGIN) :]
        self._held = self._held[size:]
        return size

    def read_on(self) -> None:
        """Read up to the end."""
        while self.read(1 << 20):
            pass


def _batches(source: Source) -> tuple[Any, Iterator[Any]]:
    if source.path is None:
        return _streamed(source, source.chunks())
    file = source.seekable()
    if file.read(len(_MARK)) == _MARK:
        file.seek(0)
        try:
            reader = load("pyarrow.ipc").open_file(load().PythonFile(file, mode="r"))
        except arrow_faults():
            pass  # without its index it is read as a stream, up to where it was cut
        else:
            batches = (reader.get_batch(nth) for nth in range(reader.num_record_batches))
            return reader.schema, _of_file(source, batches)
    file.seek(0)
    return _streamed(source, iter(partial(file.read, _READ_BYTES), b""))


def _of_file(source: Source, batches: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from batches
    except arrow_faults() as error:
        raise InvalidInputError("file", source.name, f"is damaged here: {error}") from None
    finally:
        source.close()


def _streamed(source: Source, chunks: Iterator[bytes]) -> tuple[Any, Iterator[Any]]:
    first = next(chunks, b"")
    while len(first) < len(_BEGIN) and (more := next(chunks, b"")):
        first += more
    file = _Chunks(chain([first.removeprefix(_BEGIN)], chunks))
    try:
        reader = load("pyarrow.ipc").open_stream(load().PythonFile(io.BufferedReader(file), mode="r"))
    except arrow_faults() as error:
        raise InvalidInputError("file", source.name, f"is no Arrow file or stream: {error}") from None
    return reader.schema, _guarded(source, reader, file)


def _guarded(source: Source, batches: Iterator[Any], file: _Chunks) -> Iterator[Any]:
    try:
        yield from batches
    except arrow_faults() as error:
        raise InvalidInputError("file", source.name, f"is cut short, or damaged, here: {error}") from None
    file.read_on()
    if not file.last.endswith(_ENDS):
        raise InvalidInputError("file", source.name, "is cut short: it has no end")


def open_reader(source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a file or a stream."""
    load()
    return Rows(partial(_batches, source), options)


def open_writer() -> EventWriter:
    """Return a writer of a file."""
    return ArrowWriter("file")

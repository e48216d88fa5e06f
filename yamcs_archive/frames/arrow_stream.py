"""Record batches -> the Arrow stream format, each as it comes; and such a stream -> record batches.

1. A dictionary is written before the first batch that has it, and again, whole, before one that has another:
   every reader takes that, differences only some.
2. The format has an end of its own, but readers take a stream without it for a whole one. So what carries a
   stream must show that it broke off; HTTP does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from yamcs_archive.frames.library import load

if TYPE_CHECKING:
    import pyarrow


class ArrowSink:
    """Writes record batches of one schema through ``write``, a function that takes bytes.

    It is used in a ``with`` statement. If that ends by an exception, the end of the stream is not written.

    >>> from io import BytesIO
    >>> pa, file = load(), BytesIO()
    >>> batch = pa.record_batch({"number": pa.array([1, 2])})
    >>> with ArrowSink(file.write, batch.schema) as sink:
    ...     sink.add(batch)
    >>> [read.num_rows for read in read_stream(iter([file.getvalue()]))]
    [2]
    """

    def __init__(self, write: Callable[[Any], object], schema: pyarrow.Schema) -> None:
        pa = load()
        # pyarrow's sinks call close(), which must not end what ``write`` belongs to.
        self._file = pa.PythonFile(_Written(write), mode="w")
        self._writer = load("pyarrow.ipc").new_stream(self._file, schema)

    def add(self, batch: pyarrow.RecordBatch) -> None:
        """Write a batch."""
        self._writer.write_batch(batch)

    def finish(self) -> None:
        """Write the end."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()


class _Written:
    """What pyarrow takes for a file that is open for writing."""

    closed = False

    def __init__(self, write: Callable[[Any], object]) -> None:
        self._write = write

    def write(self, data: Any) -> int:
        self._write(data)
        return len(data)

    def flush(self) -> None:
        """Leave that to the owner of ``write``."""

    def close(self) -> None:
        """Leave that too."""


def read_stream(pieces: Iterator[bytes]) -> Iterator[pyarrow.RecordBatch]:
    """Yield the record batches of a stream that comes in pieces; what ``pieces`` raises is raised.

    Raises ``pyarrow.ArrowInvalid`` for bytes that are no stream, also for none at all.
    """
    pa = load()
    with load("pyarrow.ipc").open_stream(pa.PythonFile(_Read(pieces), mode="r")) as reader:
        yield from reader


class _Read:
    """What pyarrow takes for a file that is open for reading."""

    closed = False

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer at the end only."""
        found = bytearray()
        while len(found) < size:
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._rest = memoryview(piece)
            part = self._rest[: size - len(found)]
            found += part
            self._rest = self._rest[len(part) :]
        return bytes(found)

    def close(self) -> None:
        """Leave that to the owner of the pieces."""

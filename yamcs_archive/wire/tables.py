"""Events as tables in a body: the Arrow stream format and Parquet, in chunks as they are made; pure.

1. These forms keep what JSON and protobuf do not: ERROR stays ERROR, and times keep their microseconds.
2. A Parquet file is made row group by row group, of :data:`GROUP_BYTES`: so much memory, and some more for
   its compression, is all that an answer of any length takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from yamcs_archive.frames.arrow_stream import ArrowSink
from yamcs_archive.frames.parquet import ParquetSink

if TYPE_CHECKING:
    import pyarrow

ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
GROUP_BYTES = 8 << 20
ENDINGS = {ARROW: "arrows", PARQUET: "parquet"}
"""How the names of files of each form end."""


def encode_table(
    media: str, schema: pyarrow.Schema, batches: Iterator[pyarrow.RecordBatch]
) -> Iterator[bytes]:
    """Yield the body of a table in one of the two forms, as its batches come.

    >>> from yamcs_archive.frames.library import load
    >>> batch = load().record_batch({"number": load().array([1, 2])})
    >>> b"".join(encode_table(PARQUET, batch.schema, iter([batch])))[-4:]
    b'PAR1'
    """
    pieces: list[Any] = []
    with _sink(media, pieces.append, schema) as sink:
        for batch in batches:
            sink.add(batch)
            if pieces:
                yield b"".join(pieces)
                pieces.clear()
    yield b"".join(pieces)


def _sink(media: str, write: Callable[[Any], object], schema: pyarrow.Schema) -> ArrowSink | ParquetSink:
    makers: dict[str, Callable[[Callable[[Any], object], pyarrow.Schema], ArrowSink | ParquetSink]] = {
        ARROW: ArrowSink,
        PARQUET: partial(ParquetSink, group_bytes=GROUP_BYTES),
    }
    return makers[media](write, schema)

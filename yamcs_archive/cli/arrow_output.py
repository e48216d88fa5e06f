"""``--format arrow``: events as an Arrow IPC stream on stdout. Needs the extra ``arrow``.

1. A stream is bytes: it is refused on a terminal, before anything is read.
2. Each batch is written as it is full, so memory is that of a few thousand events, whatever their number.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice

from yamcs_archive.cli.log_columns import extra_key
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.columns import Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.frames.batches import batches
from yamcs_archive.frames.columns import Selection
from yamcs_archive.frames.library import load
from yamcs_archive.frames.schema import schema_of

_CHUNK_EVENTS = 4_096


def selection_of(columns: Sequence[str] | None) -> Selection:
    """Return the columns of the stream; an ``extra.KEY`` is a column called KEY, after the others.

    Raises UsageError if a key is called as a column that is chosen too, and on a terminal.

    >>> selection_of(["time", "extra.torque"]).names
    ('time', 'torque')
    """
    if sys.stdout.isatty():
        raise UsageError("an Arrow stream is no text: redirect stdout to a file or a pipe")
    if columns is None:
        return Selection.of()
    keys = [extra_key(name) for name in columns]
    try:
        return Selection.of(
            [name for name, key in zip(columns, keys, strict=True) if key is None],
            [key for key in keys if key is not None],
        )
    except InvalidInputError as error:
        raise UsageError(f"--columns {error}") from None


def write_stream(events: Iterator[Event], selection: Selection) -> None:
    """Write the events to stdout as one stream. Raises MissingPackageError, BrokenPipeError."""
    output = sys.stdout.buffer
    with load("pyarrow.ipc").new_stream(output, schema_of(selection)) as stream:
        for batch in batches(_parts(events), selection):
            stream.write_batch(batch)
    output.flush()


def _parts(events: Iterator[Event]) -> Iterator[StoredVectors]:
    while chunk := list(islice(events, _CHUNK_EVENTS)):
        yield StoredVectors.of(Columns.of(chunk), commit=0)  # commits are no column of the log

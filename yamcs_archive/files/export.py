"""Writes events to a file, or to the standard output, in one of the forms; knows no archive.

1. Batches come with the mark after which an interrupted export goes on. Events and bytes of one batch are in
   memory, and for Parquet those of a row group.
2. A part is certain up to its last checkpoint, each of which ends a member or frame of a compressed file.
   Forms that have an index at their end have no checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, Protocol

from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.files.compression import Compressor
from yamcs_archive.files.forms import FORMS, open_writer

CHECKPOINT_S = 5.0
"""Seconds between two checkpoints: what an interrupted export does at most again."""


class Batch(NamedTuple):
    """Some events, at least one, and the mark to go on after them: a value of JSON."""

    events: StoredVectors
    after: Any


class Output(Protocol):
    """Takes the bytes of a file."""

    def write(self, data: bytes, /) -> object:
        """Take all of some more bytes."""


@dataclass(frozen=True)
class Kind:
    """The form of a file, and how it is compressed.

    >>> Kind("jsonl", "zstd").is_appendable
    True
    """

    form: str
    compression: str | None = None

    @property
    def is_appendable(self) -> bool:
        """Whether an unfinished file can be continued."""
        return FORMS[self.form].is_appendable


def write_events(
    batches: Iterable[Batch],
    kind: Kind,
    output: Output,
    *,
    checkpoint: Callable[[int, Any], object] | None = None,
    events_before: int = 0,
    say: Callable[[int], object] = lambda _: None,
    checkpoint_s: float = CHECKPOINT_S,
) -> int:
    """Write a file, or go on with one that has ``events_before`` already; return the number of its events.

    ``checkpoint`` is called now and then with the number of events so far and the mark after them, once their
    bytes were written. ``say`` gets the number of events after each batch. Raises MissingPackageError if the
    form needs a package, and what ``batches`` and the output raise.

    >>> import io
    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.event import Event
    >>> event = Event("Wheel", generation_time=0, seq_number=0, reception_time=0)
    >>> file = io.BytesIO()
    >>> write_events([Batch(StoredVectors.of(Columns.of([event]), commit=0), None)], Kind("jsonl"), file)
    1
    """
    writer, packer = open_writer(kind.form), Compressor(kind.compression)
    events = events_before
    if not events:
        output.write(packer.compress(writer.head()))
    noted_s = time.monotonic()
    for batch in batches:
        output.write(packer.compress(writer.encode(batch.events)))
        events += batch.events.size
        say(events)
        if checkpoint is not None and time.monotonic() - noted_s >= checkpoint_s:
            output.write(packer.finish())
            checkpoint(events, batch.after)
            noted_s = time.monotonic()
    output.write(packer.compress(writer.tail()))
    output.write(packer.finish())
    return events


class Stream:
    """An output that is open already, as the standard output.

    >>> import io
    >>> stream = Stream(io.BytesIO())
    >>> stream.write(b"events"), stream.size_bytes
    (None, 6)
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size_bytes = 0
        """How much was written."""

    def write(self, data: bytes) -> None:
        """Write all of some bytes; OSError, BrokenPipeError once the reader is gone."""
        self._stream.write(data)
        self.size_bytes += len(data)

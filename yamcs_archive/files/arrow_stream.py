"""Arrow's form of streams: as ``arrow``, but written without the marks and the index of a file."""

from __future__ import annotations

from yamcs_archive.files.arrow import ArrowWriter, open_reader
from yamcs_archive.files.writing import EventWriter

__all__ = ["open_reader", "open_writer"]


def open_writer() -> EventWriter:
    """Return a writer of a stream."""
    return ArrowWriter("stream")

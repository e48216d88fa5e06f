"""Maps of msgpack, one after another, with the fields of the objects in ``jsonl``."""

from __future__ import annotations

from collections.abc import Iterator

from yamcs_archive.columns import Columns
from yamcs_archive.files.reading import EventReader, ReadOptions, Source
from yamcs_archive.wire import batch


class Maps:
    """Reads them. The creator and the extensions of an event are taken as given."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def parts(self) -> Iterator[Columns[int | None]]:
        for _, events in batch.from_msgpack(self._source.chunks(), own=True):
            yield events

    def place(self, position: int) -> str:
        return f"element {position + 1}"


def open_reader(source: Source, _options: ReadOptions) -> EventReader:
    """Return the reader of a file."""
    return Maps(source)

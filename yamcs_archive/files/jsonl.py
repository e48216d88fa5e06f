"""Lines of JSON: each an event as answers of the API show it, or a request for one, in either form."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from yamcs_archive.columns import Columns
from yamcs_archive.files.reading import EventReader, Ordinals, ReadOptions, Source
from yamcs_archive.wire import batch


class JsonLines:
    """Reads them. The creator and the extensions of an event are taken as given."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._empty = array("q")

    def parts(self) -> Iterator[Columns[int | None]]:
        for _, events in batch.from_ndjson(self._source.chunks(), own=True, empty=self._empty):
            yield events

    def place(self, position: int) -> str:
        lines = Ordinals()
        for before in self._empty:
            lines.skip(before)
        return f"line {lines.of(position)}"


def open_reader(source: Source, _options: ReadOptions) -> EventReader:
    """Return the reader of a file."""
    return JsonLines(source)

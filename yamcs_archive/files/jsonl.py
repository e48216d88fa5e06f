"""Lines of JSON: each an event as answers of the API show it, or a request for one, in either form.

1. Pieces whose lines are all common ones are decoded at once; the lines of any other piece one by one.
2. The creator and the extensions of an event are taken as given. SEVERE may mean ERROR, as in every answer of
   the API, where ERROR has no name; where lines were exported, ERROR keeps its name.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from yamcs_archive.columns import Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.files.lines import LongLine, text_lines
from yamcs_archive.files.reading import EventReader, Ordinals, ReadOptions, Rejected, Source
from yamcs_archive.files.utf8 import decoded
from yamcs_archive.files.writing import EventWriter, Records
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.wire import bulk
from yamcs_archive.wire.framing import too_long
from yamcs_archive.wire.json import decode_event


class JsonLines:
    """Reads them; empty lines are passed over.

    >>> import io
    >>> file = io.BytesIO(b'{"message": "a"}\\n\\n{"message": "b"}\\n')
    >>> reader = JsonLines(Source(file, "a.jsonl"), ReadOptions())
    >>> [part.message for part in reader.parts()], reader.place(1)
    ([['a', 'b']], 'line 3')
    """

    def __init__(self, source: Source, options: ReadOptions) -> None:
        self._source = source
        self._options = options
        self._lines = Ordinals()
        self._position = 0

    def parts(self) -> Iterator[Columns[int | None]]:
        try:
            for piece in text_lines(self._source.chunks(), BODY_BYTES_MAX):
                if isinstance(piece, LongLine):
                    self._refuse(piece.beginning, too_long(piece.size_bytes))
                    continue
                events = bulk.decode_json_lines(piece, own=True)
                if events is not None:
                    self._position += events.size
                    del piece  # so that it is not held while its events are stored
                    yield events
                else:
                    yield from self._line_by_line(piece.split(b"\n"))
        except InvalidInputError as error:
            if error.position is None:
                error.position = self._position
            raise

    def place(self, position: int) -> str:
        return f"line {self._lines.of(position)}"

    def _line_by_line(self, lines: list[bytes]) -> Iterator[Columns[int | None]]:
        found: list[Event] = []
        try:
            for line in lines:
                if not line.strip():
                    self._lines.skip(self._position)
                    continue
                try:
                    event = self._event(line)
                except InvalidInputError as error:
                    self._refuse(line, error)
                else:
                    found.append(event)
                    self._position += 1
        except InvalidInputError:
            if found:
                yield Columns.of(found)
            raise
        if found:
            yield Columns.of(found)

    def _event(self, line: bytes) -> Event:
        if not self._options.keep_invalid_utf8:
            return decode_event(line, own=True)[1]
        text, kept = decoded(line, "line", keep=True)
        event = decode_event(text.encode(), own=True)[1]
        return replace(event, extra=event.extra | kept) if kept else event

    def _refuse(self, line: bytes, error: InvalidInputError) -> None:
        if self._options.reject is None:
            error.position = self._position
            raise error
        place = self.place(self._position)
        self._lines.skip(self._position)
        self._options.reject(Rejected(place, line, str(error)))


def open_reader(source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a file."""
    return JsonLines(source, options)


def open_writer() -> EventWriter:
    """Return a writer of a file."""
    return Records(bulk.encode_json_lines)

"""Imports a file of events: lines as printed by ``events log --format jsonl``, or msgpack; may be repeated.

1. Elements are as in ``events:batch``, but each must have its time and its number: without them an event
   would be stored again each time that the file is imported.
2. The creator and the extensions of an event are stored as given, because a file comes from the owner of the
   archive.
3. All events before a bad element are stored and counted, none after it; the error gives its line.
4. This module imports no archive and no client: :func:`import_events` gets a function that stores. A new
   format needs only a reader.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import BinaryIO

from yamcs_archive.chunked_append import gathered
from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError, InvalidInputError
from yamcs_archive.event import validate
from yamcs_archive.importers.yamcs import Imported
from yamcs_archive.results import AppendCounts
from yamcs_archive.wire import batch
from yamcs_archive.wire.framing import gunzipped

_READ_BYTES = 256 << 10
_GZIP = b"\x1f\x8b"
FORMATS = ("jsonl", "msgpack")
"""The formats of a file: one JSON object in each line, or maps of msgpack one after another."""
SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".msgpack": "msgpack"}
"""The format of a file, by the end of its name."""
_OWN_KEY = (
    "is missing: without a time and a number of its own an event would be stored again each time that the"
    " file is imported; give it both, or POST it to events:batch"
)


def format_of(name: str) -> str | None:
    """Return the format that a file's name indicates, compressed or not; None if it indicates none.

    >>> format_of("pass-17.JSONL.gz"), format_of("events.csv")
    ('jsonl', None)
    """
    bare = name.lower().removesuffix(".gz")
    return next((kind for suffix, kind in SUFFIXES.items() if bare.endswith(suffix)), None)


def chunks_of(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a file; a gzip file, recognised by its first bytes, is decompressed.

    >>> import gzip, io
    >>> b"".join(chunks_of(io.BytesIO(gzip.compress(b"events"))))
    b'events'
    """
    chunks = iter(partial(stream.read, _READ_BYTES), b"")
    first = next(chunks, b"")
    whole = chain([first], chunks)
    return gunzipped(whole) if first.startswith(_GZIP) else whole


class EventFile:
    """The events of a file, as they are read, with the position of each.

    >>> line = b'{"message": "a", "generationTime": "1970-01-01T00:00:01Z", "seqNumber": 5}'
    >>> file = EventFile([line, b"\\n\\n", line], "jsonl")
    >>> file.begin(), sum(part.size for part in file.parts()), file.place(1)
    (True, 2, 'line 3')
    """

    def __init__(self, chunks: Iterable[bytes], kind: str) -> None:
        """``kind`` is one of :data:`FORMATS`."""
        self._kind = kind
        self._empty = array("q")
        read = (
            partial(batch.from_ndjson, own=True, empty=self._empty)
            if kind == "jsonl"
            else partial(batch.from_msgpack, own=True)
        )
        self._parts = _with_keys(read(chunks))

    def begin(self) -> bool:
        """Read up to the first event and check it; False if there is none.

        Raises :class:`~yamcs_archive.errors.InvalidInputError`, with its position, if it is not valid. Called
        before an instance is made, so that none is made for a file without events.
        """
        first = next(self._parts, None)
        if first is None:
            return False
        try:
            validate(first.cut(0, 1).events()[0])
        except InvalidInputError as error:
            error.position = 0
            raise
        self._parts = chain([first], self._parts)
        return True

    def parts(self) -> Iterator[Columns[int | None]]:
        """Yield the events, many at once; after those before a bad element, raise InvalidInputError."""
        return self._parts

    def place(self, position: int) -> str:
        """Return the line or element of the event at a position, counted from 1."""
        if self._kind == "jsonl":
            return f"line {position + 1 + bisect_right(self._empty, position)}"
        return f"element {position + 1}"


def _with_keys(parts: Iterable[batch.Part]) -> Iterator[Columns[int | None]]:
    """Yield the events up to the first that has no key of its own."""
    before = 0
    for _, events in parts:
        at, field = _first_without_key(events)
        if field:
            if at:
                yield events.cut(0, at)
            error = InvalidInputError(field, None, _OWN_KEY)
            error.position = before + at
            raise error
        yield events
        before += events.size


def _first_without_key(events: Columns[int | None]) -> tuple[int, str]:
    found = []
    for column, field in ((events.generation_time, "generationTime"), (events.seq_number, "seqNumber")):
        if type(column) is not array and None in column:
            found.append((column.index(None), field))
    return min(found, default=(0, ""))


def import_events(
    file: EventFile,
    store: Callable[[Columns[int | None]], AppendCounts],
    done: Imported,
    say: Callable[[Imported], None] = lambda _: None,
) -> None:
    """Store the events of a file, and count their outcomes in ``done``, also when an error ends the import.

    ``store`` stores some thousand events at once, durably, and may raise the errors of
    :meth:`~yamcs_archive.Instance.append_columns`; ``say`` is called after each of its calls. Positions, also
    those of errors, count the events of the file from 0. Importing a file again adds nothing.

    >>> file = EventFile([b'{"message": "a", "time": "1970-01-01T00:00:01Z", "sequenceNumber": 5}'], "jsonl")
    >>> import_events(file, lambda part: sim.append_columns([part]), done := Imported())
    >>> done.stored, done.whole
    (1, True)
    """
    for chunk in gathered(file.parts()):
        before = done.read
        try:
            counts = store(chunk)
        except ArchiveError as error:
            if error.position is not None:
                error.position += before
            if isinstance(error.counts, AppendCounts):
                done.add(error.counts)
            raise
        done.add(counts)
        say(done)

"""A file of events: lines as ``events log --format jsonl`` prints them, or msgpack; may be imported again.

1. Elements are what ``events:batch`` takes, but each has its time and its number: without them it would be
   stored once more when the file is given again.
2. Who created an event is kept, and its extensions as they are: a file comes from the owner of the archive.
3. All before a bad element is stored and counted, nothing from there on; the error has its line.
4. Knows no archive and no URL: :func:`import_events` gets a function that stores. Another format is one more
   reader.
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
from yamcs_archive.results import AppendCounts, Conflict
from yamcs_archive.wire import batch

_READ_BYTES = 256 << 10
_GZIP = b"\x1f\x8b"
_SHOWN_MAX = 10
FORMATS = ("jsonl", "msgpack")
"""What a file may hold: a JSON object a line, or maps of msgpack one after another."""
SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".msgpack": "msgpack"}
"""The format of a file, by the end of its name."""
_OWN_KEY = (
    "is missing: without a time and a number of its own an event would be stored again each time that the"
    " file is imported; give it both, or POST it to events:batch"
)


def format_of(name: str) -> str | None:
    """Return the format that a file's name says, compressed or not; None if it says nothing.

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
    return batch.gunzipped(whole) if first.startswith(_GZIP) else whole


class EventFile:
    """The events of a file, as they are read, with the place of each.

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

        Raises :class:`~yamcs_archive.errors.InvalidInputError` with its position. So nothing is made for a
        file that has no events.
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
        """Yield the events, many at once; a bad element is an InvalidInputError after them."""
        return self._parts

    def place(self, position: int) -> str:
        """Return the line or element of the event at a position, counted from 1."""
        if self._kind == "jsonl":
            return f"line {position + 1 + bisect_right(self._empty, position)}"
        return f"element {position + 1}"


def _with_keys(parts: Iterable[batch.Part]) -> Iterator[Columns[int | None]]:
    """Yield the events up to the first that has no key of its own."""
    before = 0
    for part in parts:
        offered = part if isinstance(part, Columns) else Columns.of([event for _, event in part])
        at, field = _first_without_key(offered)
        if field:
            if at:
                yield offered.cut(0, at)
            error = InvalidInputError(field, None, _OWN_KEY)
            error.position = before + at
            raise error
        yield offered
        before += offered.size


def _first_without_key(offered: Columns[int | None]) -> tuple[int, str]:
    found = []
    for column, field in ((offered.generation_time, "generationTime"), (offered.seq_number, "seqNumber")):
        if type(column) is not array and None in column:
            found.append((column.index(None), field))
    return min(found, default=(0, ""))


def import_events(
    file: EventFile,
    store: Callable[[Columns[int | None]], AppendCounts],
    done: Imported,
    say: Callable[[Imported], None] = lambda _: None,
) -> None:
    """Store the events of a file, and count in ``done`` what became of them, errors included.

    ``store`` stores some thousand events at once, durably, and may raise what
    :meth:`~yamcs_archive.Instance.append_columns` raises; ``say`` is called after each call. Positions, those
    of errors too, count the events of the file from 0. To import a file again is harmless.

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
                _count(done, error.counts)
            raise
        _count(done, counts)
        say(done)


def _count(done: Imported, counts: AppendCounts) -> None:
    for one in counts.conflicts[: _SHOWN_MAX - len(done.conflicts)]:
        done.conflicts.append(Conflict(done.read + one.position, one.stored, one.offered))
    done.stored += counts.stored
    done.duplicates += counts.duplicates
    done.expired += counts.expired
    done.conflict_count += counts.conflict_count
    done.read += counts.stored + counts.duplicates + counts.expired + counts.conflict_count

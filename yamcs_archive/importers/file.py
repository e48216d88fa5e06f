"""A file of events, as ``events log --format jsonl`` writes it or in msgpack; to be repeated without harm.

1. Elements are what ``events:batch`` takes, but each brings its time and its number: without them it would be
   stored once more when the file is given again.
2. Who created an event is kept, and its extensions as they are: a file comes from whoever owns the archive.
3. All before a bad element is stored and counted, nothing from there on; the error says in which line it is.
4. Knows no archive and no URL: :func:`import_events` is given what stores. Another format is one more reader.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import BinaryIO

from yamcs_archive.appending import gathered
from yamcs_archive.errors import ArchiveError, InvalidInputError
from yamcs_archive.event import validate
from yamcs_archive.importers.yamcs import Imported
from yamcs_archive.offered import Offered
from yamcs_archive.results import AppendCounts, Conflict
from yamcs_archive.wire import batch

_READ_BYTES = 256 << 10
_GZIP = b"\x1f\x8b"
_SHOWN_MAX = 10
FORMATS = ("jsonl", "msgpack")
"""What a file may hold: a JSON object a line, or maps of msgpack one behind another."""
SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".msgpack": "msgpack"}
"""What the names of files say that they hold."""
_OWN_KEY = (
    "is missing: without a time and a number of its own an event would be stored again each time that the"
    " file is imported; give it both, or POST it to events:batch"
)


def format_of(name: str) -> str | None:
    """Return what a file's name says that it holds, compressed or not; None where it says nothing.

    >>> format_of("pass-17.JSONL.gz"), format_of("events.csv")
    ('jsonl', None)
    """
    bare = name.lower().removesuffix(".gz")
    return next((kind for suffix, kind in SUFFIXES.items() if bare.endswith(suffix)), None)


def chunks_of(stream: BinaryIO) -> Iterator[bytes]:
    """Yield what a file holds; of a gzip file, told by its first bytes, what it was made of.

    >>> import gzip, io
    >>> b"".join(chunks_of(io.BytesIO(gzip.compress(b"events"))))
    b'events'
    """
    chunks = iter(partial(stream.read, _READ_BYTES), b"")
    first = next(chunks, b"")
    whole = chain([first], chunks)
    return batch.gunzipped(whole) if first.startswith(_GZIP) else whole


class EventFile:
    """The events of a file as they come, with the place of each.

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
        """Read up to the first event and check it; False where there is none.

        Raises :class:`~yamcs_archive.errors.InvalidInputError` with its position. So nothing need be made for
        a file that is none.
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

    def parts(self) -> Iterator[Offered]:
        """Return the events, many at once; an element that is none is an InvalidInputError behind them."""
        return self._parts

    def place(self, position: int) -> str:
        """Return where in the file the event at a position is, counted from 1."""
        if self._kind == "jsonl":
            return f"line {position + 1 + bisect_right(self._empty, position)}"
        return f"element {position + 1}"


def _with_keys(parts: Iterable[batch.Part]) -> Iterator[Offered]:
    """Yield the events up to the first that has no key of its own."""
    before = 0
    for part in parts:
        offered = part if isinstance(part, Offered) else Offered.of([event for _, event in part])
        at, field = _first_without_key(offered)
        if field:
            if at:
                yield offered.cut(0, at)
            error = InvalidInputError(field, None, _OWN_KEY)
            error.position = before + at
            raise error
        yield offered
        before += offered.size


def _first_without_key(offered: Offered) -> tuple[int, str]:
    found = []
    for column, field in ((offered.generation_time, "generationTime"), (offered.seq_number, "seqNumber")):
        if type(column) is not array and None in column:
            found.append((column.index(None), field))
    return min(found, default=(0, ""))


def import_events(
    file: EventFile,
    store: Callable[[Offered], AppendCounts],
    done: Imported,
    say: Callable[[Imported], None] = lambda _: None,
) -> None:
    """Store the events of a file, and count in ``done`` what became of them, whatever happens.

    ``store`` stores some thousand at once, durably, and may raise as
    :meth:`~yamcs_archive.Instance.append_offered` does; ``say`` is called after each time. Positions, also
    those of the errors that are raised, count the events of the file from 0. To give it again is harmless.

    >>> file = EventFile([b'{"message": "a", "time": "1970-01-01T00:00:01Z", "sequenceNumber": 5}'], "jsonl")
    >>> import_events(file, lambda part: sim.append_offered([part]), done := Imported())
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

"""Imports a file of events in any format of :mod:`~yamcs_archive.importers.formats`; may be repeated.

1. Each event must have its time and its number: without them it would be stored again each time that the file
   is imported.
2. The creator and the extensions of an event are stored as given, because a file comes from the owner of the
   archive.
3. Without a reject function, all events before a bad element are stored and counted, none after it; the error
   gives its line. With one, it gets each bad element, and all others are stored.
4. This module imports no archive and no client: :func:`import_events` gets a function that stores.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from yamcs_archive.chunked_append import gathered
from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError, InvalidInputError
from yamcs_archive.event import Event, validate
from yamcs_archive.files.reading import EventReader, Ordinals, Reject, Rejected
from yamcs_archive.importers.yamcs import Imported
from yamcs_archive.results import AppendCounts
from yamcs_archive.wire.json import encode_line, sent

_OWN_KEY = (
    "is missing: without a time and a number of its own an event would be stored again each time that the"
    " file is imported; give it both, or POST it to events:batch"
)


class EventFile:
    """The events of a file that can be stored, as they are read, with the place of each.

    >>> import io
    >>> from yamcs_archive.files.reading import ReadOptions, Source
    >>> from yamcs_archive.importers.formats import open_reader
    >>> line = b'{"message": "a", "generationTime": "1970-01-01T00:00:01Z", "seqNumber": 5}'
    >>> source = Source(io.BytesIO(line + b"\\n\\n" + line), "a.jsonl")
    >>> file = EventFile(open_reader("jsonl", source, ReadOptions()))
    >>> file.begin(), sum(part.size for part in file.parts()), file.place(1)
    (True, 2, 'line 3')
    """

    def __init__(self, reader: EventReader, reject: Reject | None = None, *, skip: int = 0) -> None:
        """``reject`` gets the events that cannot be stored. The reader has one of its own.

        The first ``skip`` events are read and passed over; positions count from the one after them.
        """
        self._reader = reader
        self._reject = reject
        self._skip = skip
        self._numbers = Ordinals()
        self._accepted = 0
        checked = self._checked(reader.parts())
        self._parts = self._after_skipped(checked) if skip else checked

    def begin(self) -> bool:
        """Read up to the first event and check it; False if there is none.

        Raises :class:`~yamcs_archive.errors.InvalidInputError`, with its position, if it cannot be stored.
        Called before an instance is made, so that none is made for a file without events.
        """
        first = next(self._parts, None)
        if first is None:
            return False
        error = _fault(first.event(0))
        if error is not None:
            error.position = 0
            raise error
        self._parts = chain([first], self._parts)
        return True

    def parts(self) -> Iterator[Columns[int | None]]:
        """Yield the events, many at once; after those before a bad element, raise InvalidInputError."""
        return self._parts

    def place(self, position: int) -> str:
        """Return the line or element of the event at a position, counted as events are yielded."""
        return self._reader.place(self._numbers.of(self._skip + position) - 1)

    def _after_skipped(self, parts: Iterator[Columns[int | None]]) -> Iterator[Columns[int | None]]:
        left = self._skip
        try:
            for events in parts:
                passed = min(left, events.size)
                left -= passed
                if passed < events.size:
                    yield events.cut(passed, events.size) if passed else events
        except InvalidInputError as error:
            if error.position is not None:
                error.position -= self._skip
            raise

    def _checked(self, parts: Iterator[Columns[int | None]]) -> Iterator[Columns[int | None]]:
        """Yield the events up to the first without a key of its own, or all that can be stored."""
        before = 0
        for events in parts:
            if self._reject is not None:
                found = self._without_faults(events, before, self._reject)
                before += found.size
                if found.size:
                    yield found
                continue
            at, field = _first_without_key(events)
            if field:
                if at:
                    yield events.cut(0, at)
                error = InvalidInputError(field, None, _OWN_KEY)
                error.position = before + at
                raise error
            before += events.size
            yield events

    def _without_faults(
        self, events: Columns[int | None], before: int, reject: Reject
    ) -> Columns[int | None]:
        kept: list[int] = []
        for at, event in enumerate(events.events()):
            error = _key_fault(event) or _fault(event)
            if error is None:
                kept.append(at)
                continue
            position = before + len(kept)
            place = self._reader.place(self._numbers.of(position) - 1)
            self._numbers.skip(position)
            reject(Rejected(place, _raw(event), str(error)))
        return events if len(kept) == events.size else events.take(kept)


def _first_without_key(events: Columns[int | None]) -> tuple[int, str]:
    found = []
    for column, field in ((events.generation_time, "generationTime"), (events.seq_number, "seqNumber")):
        if type(column) is not array and None in column:
            found.append((column.index(None), field))
    return min(found, default=(0, ""))


def _key_fault(event: Event) -> InvalidInputError | None:
    for value, field in ((event.generation_time, "generationTime"), (event.seq_number, "seqNumber")):
        if value is None:
            return InvalidInputError(field, None, _OWN_KEY)
    return None


def _fault(event: Event) -> InvalidInputError | None:
    try:
        validate(event)
    except InvalidInputError as error:
        return error
    return None


def _raw(event: Event) -> bytes:
    """Return an event that may be invalid as a line of JSON."""
    fields = sent(event)
    if event.generation_time is None:
        del fields["generationTime"]
    try:
        return encode_line(fields)
    except (UnicodeEncodeError, TypeError, ValueError):  # a lone surrogate
        return ascii(fields).encode() + b"\n"


def import_events(
    file: EventFile,
    store: Callable[[Columns[int | None]], AppendCounts],
    done: Imported,
    say: Callable[[Imported], None] = lambda _: None,
    *,
    keep_order: bool = False,
) -> None:
    """Store the events of a file, and count their outcomes in ``done``, also when an error ends the import.

    ``store`` stores some thousand events at once, durably, and may raise the errors of
    :meth:`~yamcs_archive.Instance.append_columns`; ``say`` is called after each of its calls. Positions, also
    those of errors, count the events of the file from 0. Importing a file again adds nothing.

    With ``keep_order``, ``store`` gets only events in the order of keys, so that they arrive in the order of
    the file: within a commit, events are in that order. A file in the order of time needs no more calls for
    that; one in the order of commits needs about one for each of its commits.

    >>> import io
    >>> from yamcs_archive.files.reading import ReadOptions, Source
    >>> from yamcs_archive.importers.formats import open_reader
    >>> line = b'{"message": "a", "time": "1970-01-01T00:00:01Z", "sequenceNumber": 5}'
    >>> file = EventFile(open_reader("jsonl", Source(io.BytesIO(line), "-"), ReadOptions()))
    >>> import_events(file, lambda part: sim.append_columns([part]), done := Imported())
    >>> done.stored, done.whole
    (1, True)
    """
    chunks = gathered(file.parts())
    for chunk in chain.from_iterable(map(ascending, chunks)) if keep_order else chunks:
        before = done.read - done.refused_count
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


def ascending(events: Columns[int | None]) -> Iterator[Columns[int | None]]:
    """Cut events wherever one has a lower key than the one before it.

    >>> events = [Event("a", generation_time=time, seq_number=0) for time in (5, 6, 1, 2)]
    >>> [list(part.generation_time) for part in ascending(Columns.of(events))]
    [[5, 6], [1, 2]]
    """
    keys: Any = events.keys()
    start = 0
    for at in range(1, events.size):
        if keys[at] < keys[at - 1]:
            yield events.cut(start, at)
            start = at
    yield events.cut(start, events.size) if start else events

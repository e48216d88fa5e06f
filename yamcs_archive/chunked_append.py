"""Cuts many events into chunks for an append, and adds up the outcomes of the chunks; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice

from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError, InvalidInputError
from yamcs_archive.event import Event, event_bytes
from yamcs_archive.limits import CHUNK_BYTES_MAX, CHUNK_EVENTS_MAX, GATHERED_BYTES_MAX
from yamcs_archive.results import AppendCounts, Conflict, first_conflicts
from yamcs_archive.storage.write.outcomes import Outcome

_STEP_EVENTS = 32
"""Largest number of events between two checks of a chunk's size: at most 32 MiB of messages."""


class Tally:
    """Adds up the outcomes of chunks."""

    def __init__(self) -> None:
        self._stored = self._duplicates = self._expired = self._conflict_count = 0
        self._conflicts: list[Conflict] = []

    def add(self, start: int, result: Callable[[], Outcome], store_first: Callable[[int], Outcome]) -> None:
        """Add the outcome of the chunk that begins at position ``start``; give its error position and counts.

        A chunk that fails because of one of its events is not stored at all. Then ``store_first(n)`` stores
        its first n events, those before the bad one.
        """
        try:
            outcome = result()
        except ArchiveError as error:
            within = error.position or 0
            if within:
                self.add(start, partial(store_first, within), store_first)
            error.position = start + within
            error.counts = self.counts()
            raise
        self._add(start, outcome)

    def _add(self, start: int, outcome: Outcome) -> None:
        self._stored += outcome.stored
        self._duplicates += len(outcome.duplicates)
        self._expired += len(outcome.expired)
        self._conflict_count += len(outcome.conflicts.positions)
        if outcome.conflicts.positions:
            more = [
                replace(conflict, position=start + conflict.position) for conflict in outcome.conflicts.first
            ]
            self._conflicts = first_conflicts([*self._conflicts, *more])

    def counts(self) -> AppendCounts:
        """Return the sums of all chunks so far."""
        return AppendCounts(
            self._stored,
            self._duplicates,
            self._expired,
            self._conflict_count,
            tuple(self._conflicts),
        )


def chunks(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Yield the events in lists of up to 10,000 events; from an iterable also of about 2 MiB of text.

    A list is cut only by number, because all its events are in memory already; its columns are cut by size
    later.
    """
    if not isinstance(events, list):
        yield from _gathered(events)
        return
    for start in range(0, len(events), CHUNK_EVENTS_MAX):
        yield events[start : start + CHUNK_EVENTS_MAX]


def gathered(parts: Iterable[Columns[int | None]]) -> Iterator[Columns[int | None]]:
    """Join parts, and cut them, into chunks of 10,000 events, or of fewer events with much text.

    >>> parts = [Columns.of([Event("a")] * size) for size in (6_000, 0, 15_000)]
    >>> [chunk.size for chunk in gathered(parts)]
    [10000, 10000, 1000]
    """
    held: list[Columns[int | None]] = []
    events = size_bytes = 0
    try:
        for part in parts:
            if not isinstance(part, Columns):
                raise InvalidInputError("parts", part, "must be Columns: events as columns")
            part.check_form()
            start = 0
            while start < part.size:
                room = CHUNK_EVENTS_MAX - events
                more = part.cut(start, start + room) if start or part.size > room else part
                start += more.size
                held.append(more)
                events += more.size
                with suppress(Exception):  # a field without a length is refused later
                    size_bytes += more.text_bytes
                if events == CHUNK_EVENTS_MAX or size_bytes >= GATHERED_BYTES_MAX:
                    events = size_bytes = 0
                    yield _one_chunk(held)
    except Exception:
        if held:
            yield Columns.concat(held)
        raise
    if held:
        yield Columns.concat(held)


def _one_chunk(held: list[Columns[int | None]]) -> Columns[int | None]:
    """Return the collected parts as one chunk, and clear the list, which would keep the parts in memory."""
    found = Columns.concat(held)
    held.clear()
    return found


def _gathered(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Yield the events of an iterable in lists, taking a few at a time."""
    supply = iter(events)
    chunk: list[Event] = []
    size_bytes = 0
    try:
        while True:
            seen = len(chunk)
            chunk += islice(supply, _STEP_EVENTS)  # keeps the earlier events if the supply fails
            if len(chunk) == seen:
                break
            with suppress(Exception):  # likewise
                size_bytes += sum(event_bytes(event) for event in chunk[seen:] if type(event) is Event)
            if len(chunk) >= CHUNK_EVENTS_MAX or size_bytes >= CHUNK_BYTES_MAX:
                yield chunk
                chunk, size_bytes = [], 0
    except Exception:
        if chunk:
            yield chunk
        raise
    if chunk:
        yield chunk

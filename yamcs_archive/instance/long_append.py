"""An append of many events: chunks that its caller makes are stored one after the other, and counted."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import partial

from yamcs_archive.chunked_append import Tally
from yamcs_archive.columns import Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.limits import CHUNK_BYTES_MAX
from yamcs_archive.results import AppendCounts
from yamcs_archive.storage.event_store import EventStore
from yamcs_archive.storage.format.requests import RequestIds, check_request_id, request_ids
from yamcs_archive.storage.write.outcomes import Outcome
from yamcs_archive.storage.write.validation import early_times, prepare
from yamcs_archive.time_units import MILLISECONDS_MAX, CallSite, looks_like, warn_of_unit

Chunk = list[Event] | Columns[int | None]


class LongAppend:
    """The chunks of one append; one thread at a time may add them."""

    def __init__(
        self,
        store: EventStore,
        clock: Callable[[], int],
        request_id: str | None,
        site: CallSite | None = None,
    ) -> None:
        """``site`` is the line to be warned of times in another unit, if other threads add the chunks."""
        self._store = store
        self._clock = clock
        self._request_id = None if request_id is None else check_request_id(request_id)
        self._site = site
        self._tally = Tally()
        self._position = 0

    def counts(self) -> AppendCounts:
        """Return the outcomes of all chunks so far."""
        return self._tally.counts()

    def add(self, chunk: Chunk, stamps: array[int] | None = None) -> None:
        """Store the next chunk; on return it is durable. ``stamps``: a reading of the clock for each event.

        Raises what :meth:`Instance.append_many` does, with the position of the event.
        """
        position, bad = self._position, None
        try:
            columns = prepare(chunk, stamps or self._clock)
        except InvalidInputError as error:
            # The events before the bad one are stored, as earlier chunks were.
            bad, within = error, error.position or 0
            columns = prepare(_events(chunk)[:within], stamps[:within] if stamps else self._clock)
        warn_of_units(chunk, columns, self._site)
        ids = None
        if self._request_id is not None:
            try:
                ids = request_ids(_events(chunk)[: columns.size], self._request_id, position)
            except InvalidInputError as error:  # the event is valid, but cannot have an id
                bad, within = error, error.position or 0
                columns = columns.cut(0, within)
                ids = request_ids(_events(chunk)[:within], self._request_id, position)
        start = 0
        for part in columns.cut_by_size(CHUNK_BYTES_MAX):
            mine = ids and ids.cut(start, start + part.size)
            store = partial(self._store.append_now, part, _as_it_is, mine)
            self._tally.add(position + start, store, partial(self._store_first, part, mine))
            start += part.size
        self._position = position + start
        if bad is not None:
            bad.position = self._position
            raise bad

    def _store_first(self, columns: Columns[int], asked: RequestIds | None, count: int) -> Outcome:
        """Store the first ``count`` events of a chunk."""
        return self._store.append_now(columns.cut(0, count), _as_it_is, asked and asked.cut(0, count))


def _events(chunk: Chunk) -> list[Event]:
    return chunk.events() if isinstance(chunk, Columns) else chunk


def _as_it_is(outcome: Outcome) -> Outcome:
    return outcome


def warn_of_units(
    given: Sequence[Event] | Columns[int | None], columns: Columns[int], site: CallSite | None = None
) -> None:
    """Warn of times that look like seconds or milliseconds, unless they are the clock's."""
    times = columns.generation_time
    if len(times) == 1 and times[0] >= MILLISECONDS_MAX:  # as nearly all
        return
    for at in early_times(times, MILLISECONDS_MAX):
        time = given.generation_time[at] if isinstance(given, Columns) else given[at].generation_time
        if time is not None and looks_like(int(time)):
            warn_of_unit(int(time), "generation_time", site)
            return

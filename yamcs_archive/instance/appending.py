"""The methods of an instance that append: one event, or many in chunks."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future

from yamcs_archive import arguments
from yamcs_archive.chunked_append import chunks, gathered
from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError, ConflictError, ExpiredError
from yamcs_archive.event import Event, as_stored
from yamcs_archive.gathering import hand_over_gathered
from yamcs_archive.instance.base import OpenInstance
from yamcs_archive.instance.long_append import LongAppend, warn_of_units
from yamcs_archive.results import (
    AppendCounts,
    Appended,
)
from yamcs_archive.storage.format.requests import request_ids
from yamcs_archive.storage.write.outcomes import Outcome
from yamcs_archive.storage.write.validation import prepare
from yamcs_archive.time_units import CallSite, call_site


class Appending(OpenInstance):
    """Appends events, durably."""

    def append(self, event: Event, *, request_id: str | None = None) -> Appended:
        """Store one event; on return it is fsynced.

        A number or a time that is None is filled in. A retry of a stored event adds nothing, and the result
        says so. For an event without a number, ``request_id`` makes a retry safe: an append with the same id
        within 24 hours, also after a restart, adds nothing and returns the event that was stored the first
        time. An id is a text of 1 to 200 bytes; each user has ids of their own. The id of a refused request
        can be used again.

        Raises :class:`~yamcs_archive.errors.ConflictError` if another event has its key, RequestIdError if
        the id was used for another event, RequestIdsFullError if a million ids are stored, InvalidInputError
        if the event breaks a rule of the event model, ExpiredError below the prune horizon,
        NumbersExhaustedError if the source has used the largest int32, OutOfSpaceError (nothing was stored),
        OutcomeUnknownError (retry with its ``events``), ReadOnlyError, ClosedError, ForkedError.

        >>> done = sim.append(Event("Wheel 3 over speed", source="AOCS", generation_time=0))
        >>> done.event.seq_number, done.duplicate
        (0, False)
        >>> sim.append(done.event).duplicate
        True
        >>> done = sim.append(Event("Boot"), request_id="boot-17")
        >>> sim.append(Event("Boot"), request_id="boot-17") == Appended(done.event, duplicate=True)
        True
        """
        self._check_open()
        columns = prepare((event,), self._options.clock)
        warn_of_units((event,), columns)
        return self._store.append_now(columns, _appended, request_ids((event,), request_id))

    def submit(self, event: Event, *, request_id: str | None = None) -> Future[Appended]:
        """Submit one event without waiting. The future is done when the event is durable.

        Raises InvalidInputError, ReadOnlyError, ClosedError and ForkedError at once; the other errors
        of :meth:`append` come through the future. Its callbacks run on the thread that commits, so append()
        and settle() cannot be called there; call submit() instead.

        >>> sim.submit(Event("Wheel 3 nominal", source="AOCS")).result().event.seq_number
        0
        """
        self._check_open()
        columns = prepare((event,), self._options.clock)
        warn_of_units((event,), columns)
        return self._store.append(columns, _appended, request_ids((event,), request_id))

    def check_writable(self) -> None:
        """Raise the error that an append would meet now, if it can be known in advance; takes 10 us.

        Raises :class:`~yamcs_archive.errors.OutOfSpaceError` if less than 2 MiB is free on the file system or
        left below the process's limit of a file's size, GoneError if the file is no longer at its path or the
        archive's lock was removed, MirrorError, ReadOnlyError, ClosedError, ForkedError.

        >>> sim.check_writable()
        """
        self._check_open()
        self._store.check_writable()

    @property
    def writer_ended(self) -> bool:
        """Whether a fault of this package has ended the writer: close the archive, and open it again.

        >>> sim.writer_ended
        False
        """
        return self._store.writer_ended

    def append_many(self, events: Iterable[Event], *, request_id: str | None = None) -> AppendCounts:
        """Store events from any iterable, in chunks. Each chunk is durable before the next one is stored.

        A chunk has up to 10,000 events or 2 MiB of text, so memory is bounded however many events there are.
        From a slow iterable, such as a generator that waits for a device, chunks are smaller: an event waits
        at most a quarter of a second for others, and then for its commit, while the iterable runs on. Events
        without a time get that of the moment when they were taken from it; those of a list, when their chunk
        is stored.

        Duplicates, conflicts and expired events are counted, not raised. With a ``request_id`` the event at
        position n has the id ``request_id/n``: if an append breaks off, append the same events again to
        complete it, even if they have no numbers.

        An event that breaks a rule ends the append with InvalidInputError; the other errors of :meth:`append`
        end it too. The error's ``position`` is the event's index (for an error of a whole chunk, the index of
        its first event). All events before that position were processed, and the error's ``counts`` counts
        them; none of the others was. Append again from that position. If ``events`` itself raises, the events
        before that are stored first.

        >>> sim.append_many(Event(f"Step {n}", generation_time=n, seq_number=n) for n in range(3)).stored
        3
        """
        if isinstance(events, list):
            return self._append_chunks(chunks(events), request_id)
        return self._append_gathered(arguments.several("events", events, "events"), request_id)

    def append_columns(
        self, parts: Iterable[Columns[int | None]], *, request_id: str | None = None
    ) -> AppendCounts:
        """Store events as :meth:`append_many` does, from parts that hold many events each, as columns.

        >>> from yamcs_archive.columns import Columns
        >>> sim.append_columns([Columns.of([Event("a", seq_number=1), Event("b", seq_number=2)])]).stored
        2
        """
        return self._append_chunks(gathered(arguments.several("parts", parts, "Columns")), request_id)

    def _append_chunks(
        self, supply: Iterable[list[Event] | Columns[int | None]], request_id: str | None
    ) -> AppendCounts:
        # Preparing a chunk while the writer's thread commits the one before is slower: two threads that work
        # with numpy pass the interpreter's lock to and fro.
        append = self._long_append(request_id)
        try:
            for chunk in supply:
                append.add(chunk)
                del chunk  # frees its memory before the next one is gathered
        except ArchiveError as error:
            error.counts = append.counts()
            raise
        return append.counts()

    def _append_gathered(self, events: Iterable[Event], request_id: str | None) -> AppendCounts:
        self._store.refuse_within_callback()  # the writer's thread cannot wait for another one
        append = self._long_append(request_id, call_site())
        try:
            hand_over_gathered(events, self._options.clock, append.add)
        except ArchiveError as error:
            error.counts = append.counts()
            raise
        return append.counts()

    def _long_append(self, request_id: str | None, site: CallSite | None = None) -> LongAppend:
        self._check_open()
        return LongAppend(self._store, self._options.clock, request_id, site)

    def _submit_if_room(self, event: Event, request_id: str | None) -> Future[Appended] | None:
        """Do what :meth:`submit` does; return None where that would wait for room in the queue."""
        self._check_open()
        columns = prepare((event,), self._options.clock)
        warn_of_units((event,), columns)
        return self._store.append_if_room(columns, _appended, request_ids((event,), request_id))


def _appended(outcome: Outcome) -> Appended:
    """Turn the outcome of one event into the result or the error of :meth:`Instance.append`."""
    if outcome.conflicts.positions:
        refused = outcome.conflicts.first[0]
        raise ConflictError(refused.stored, refused.offered)
    if outcome.expired:
        raise ExpiredError(outcome.columns.event(0))
    if outcome.duplicate_of is not None:
        return Appended(as_stored(outcome.duplicate_of), duplicate=True)
    return Appended(as_stored(outcome.columns.event(0)), duplicate=False)

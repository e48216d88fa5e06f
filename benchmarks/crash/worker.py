"""A worker on an archive, of one thread, and the book of all that is offered and acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random

from benchmarks.crash.ledger import Entry, Ledger
from benchmarks.crash.offers import Answered, Done, Note, Offer, Offered, Stored, Wrong
from yamcs_archive import Instance
from yamcs_archive.client.instance import RemoteInstance
from yamcs_archive.errors import ConflictError, ExpiredError
from yamcs_archive.results import AppendCounts, Appended

BEGIN_US = 1_700_000_000_000_000
"""Generation time of tag 0, in microseconds, where an operation gives times: before the clock's."""
STEP_US = 1_000
"""Difference of the generation times of two neighbouring tags."""


class Book:
    """The ledger of several threads, and where their notes go. Safe to use from many threads."""

    def __init__(self, ledger: Ledger, send: Callable[[Note], None]) -> None:
        self.ledger = ledger
        self._send = send
        self._guard = threading.Lock()
        self.faults: list[str] = []

    def note(self, note: Note) -> None:
        """Take note of something, and send the note."""
        with self._guard:
            self.faults += self.ledger.apply(note)
            self._send(note)

    def offer(self, kind: str, offers: Sequence[Offer], **more: bool | str | None) -> int:
        """Note a request that is sent next; return its number."""
        with self._guard:
            request = self.ledger.new_request()
            offered = Offered(request, kind, tuple(offers), **more)  # type: ignore[arg-type]
            self.faults += self.ledger.apply(offered)
            self._send(offered)
        return request

    def done(self, kind: str) -> None:
        """Note the end of something that changes no event."""
        self.note(Done(kind))

    def check(self, find_faults: Callable[[Ledger], Iterable[str]]) -> None:
        """Note what a function finds wrong, while the ledger stays as it is."""
        with self._guard:
            faults = list(find_faults(self.ledger))
        for fault in faults:
            self.note(Wrong(fault))

    def new_tags(self, count: int) -> range:
        """Return tags that no event has."""
        with self._guard:
            return self.ledger.new_tags(count)

    def some(self, rng: Random, count: int = 1) -> list[Entry]:
        """Return some events that must be stored, with their keys."""
        with self._guard:
            return self.ledger.some(rng, count)


class Worker:
    """One thread's work on one archive."""

    def __init__(self, sim: Instance | RemoteInstance, book: Book, rng: Random, copies: Path) -> None:
        """``copies`` is the folder of its backups."""
        self.sim, self.book, self.rng, self.copies = sim, book, rng, copies

    def new(
        self, count: int = 1, *, size: int = 0, automatic: bool = False, shift_us: int = 0
    ) -> list[Offer]:
        """Return new events: with times of their own, unless ``automatic``; half of them with numbers."""
        source = self.rng.choice("ABC") if automatic else self.rng.choice(("A", "N1", "N2"))
        return [
            Offer(
                tag,
                source,
                size,
                None if automatic else BEGIN_US + tag * STEP_US + shift_us,
                tag if source.startswith("N") else None,
            )
            for tag in self.book.new_tags(count)
        ]

    def append(
        self, kind: str, offer: Offer, *, request_id: str | None = None, again: bool = False
    ) -> Appended | ConflictError | ExpiredError:
        """Append one event; return the answer, or the error if it was refused."""
        request = self.book.offer(kind, [offer], request_id=request_id, again=again)
        try:
            done = self.sim.append(offer.event(), request_id=request_id)
        except (ConflictError, ExpiredError) as refused:
            self.book.note(Answered(request, refused=True, expired=int(isinstance(refused, ExpiredError))))
            return refused
        self.book.note(Answered(request, stored=(Stored.of(offer.tag, done.event),)))
        return done

    def append_many(
        self, kind: str, offers: Sequence[Offer], *, request_id: str | None = None, whole: bool = True
    ) -> AppendCounts:
        """Append events of which some may be stored already; all others are new."""
        request = self.book.offer(kind, offers, request_id=request_id, whole=whole)
        counts = self.sim.append_many([offer.event() for offer in offers], request_id=request_id)
        if counts.conflict_count:
            self.wrong(f"{kind}: {counts} for {len(offers)} events without a conflict")
        self.book.note(Answered(request, expired=counts.expired))
        return counts

    def wrong(self, text: str) -> None:
        """Tell of an answer that breaks a promise."""
        self.book.note(Wrong(text))

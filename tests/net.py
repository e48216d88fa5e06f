"""An archive that receives batches by one way in, beside a dictionary that predicts each outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from tests.http.feeds import whole
from tests.sizes import around, made
from tests.storage.test_model import Model
from tests.ways import NOW, WAYS, Batch, Shown, Told, Way
from yamcs_archive import Archive, ConflictError, Event, EventKey, Options
from yamcs_archive.errors import RequestIdError
from yamcs_archive.event import event_bytes, same_content
from yamcs_archive.http.application import Application
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.limits import CONFLICTS_KEPT_BYTES_MAX
from yamcs_archive.wire.codec import PROTOBUF
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

OPTIONS = Options(maintenance=False, clock=lambda: NOW)
PAGES = around(["http.limits.PAGE_EVENTS_DEFAULT", "limits.PAGE_EVENTS_MAX"])
ORDERS = ("rising", "equal", "mixed")
SLOT_US = 1 << 20
"""Microseconds between the first times of two batches: more than the largest batch spans."""


class Sent(NamedTuple):
    """A batch that was sent."""

    request_id: str
    given: Sequence[Event]
    stored: Sequence[Event]
    mixture: Sequence[Event]
    """Further events at the same times, of which some were refused."""


@dataclass
class Net:
    """An archive that receives batches by one way in, beside a dictionary."""

    directory: Path
    way: str
    sources: int
    options: Options = OPTIONS
    model: Model = field(default_factory=Model)
    sent: list[Sent] = field(default_factory=list)
    looks: int = 0

    @contextmanager
    def opened(self) -> Iterator[None]:
        with Archive.open(self.directory / "archive", options=self.options) as archive:
            self.archive = archive
            self.sim = archive.instance("sim", create=True)
            self.into: Way = WAYS[self.way](archive, self.directory)
            yield

    def send(self, events: Sequence[Event], request_id: str) -> Told:
        """Send events, and compare their outcomes and the counts with the dictionary's."""
        outcomes = [self.model.offer(event, NOW) for event in events]
        kinds = [kind for kind, _ in outcomes]
        told = self.into.send(events, request_id)
        conflicts = [
            (position, there) for position, (kind, there) in enumerate(outcomes) if kind == "conflict"
        ]
        shown = [Shown(position, there.message, events[position].message) for position, there in conflicts]
        if not self.into.singly:
            texts = (event_bytes(there) + event_bytes(events[position]) for position, there in conflicts)
            fit = max(1, sum(reached <= CONFLICTS_KEPT_BYTES_MAX for reached in accumulate(texts)))
            if self.into.batches:  # the first of each batch, as many as fit
                assert len(told.shown) >= min(fit, len(shown), self.into.shown_max)
                first, later = shown[:fit], iter(shown[fit:])
                shown = [*first, *(each for each in told.shown[fit:] if each in later)]
            else:
                shown = shown[:fit]
        expected = tuple(map(kinds.count, ("stored", "duplicate", "conflict")))
        assert (told.stored, told.duplicates, told.conflict_count) == expected
        assert told.expired == 0
        assert told.shown == shown[: self.into.shown_max]
        assert self.counted() == self.expected_counts
        return told

    def counted(self) -> tuple[int, int, int, int]:
        stats = self.sim.stats()
        return stats.events, stats.duplicates, stats.conflicts, stats.expired

    @property
    def next_time(self) -> int:
        """The first time of the next batch: in turns after all stored events, and before them."""
        turn = len(self.sent)
        return (turn if turn % 2 else -turn) * SLOT_US

    @property
    def expected_counts(self) -> tuple[int, int, int, int]:
        return len(self.model.events), self.model.duplicates, self.model.conflicts, 0

    def fresh(self, size: int) -> Sent:
        """Send a batch as :meth:`fresh_of` does, with its events in one of the orders."""
        order = ORDERS[len(self.sent) % len(ORDERS)]
        return self.fresh_of(
            made(size, self.sources, time=self.next_time, order=order, numbered=not self.into.ids)
        )

    def fresh_of(self, given: Sequence[Event]) -> Sent:
        """Send a batch that breaks off in its middle, and complete it; each event is stored once."""
        if self.way == "import":
            given = sorted(given, key=_time)
        rising = all(one.generation_time < other.generation_time for one, other in pairwise(given))  # type: ignore[operator]  # not None
        cursor, request_id = self.sim.cursor(), f"batch {len(self.sent)}"
        half = len(given) // 2
        if half:
            self.into.break_off(given, half, request_id)
        stored = [self.model.offer(event, NOW)[1] for event in given]
        told = self.into.send(given, request_id)
        assert (told.stored, told.conflict_count, told.expired) == (len(given) - half, 0, 0)
        # An import that was cut off begins at the time that it had reached.
        assert told.duplicates == half or (self.way == "import" and 1 <= told.duplicates <= half)
        self.model.duplicates += told.duplicates
        arrived = [change.event for change in self.sim.changes(after=cursor)]
        assert _by_key(arrived) == _by_key(stored)
        assert not rising or keys_of(arrived) == keys_of(stored)
        self.model.arrivals += arrived
        self.sent.append(Sent(request_id, given, stored, self._mixture(stored)))
        return self.sent[-1]

    def _mixture(self, stored: Sequence[Event]) -> Sequence[Event]:
        """Return events at the times of a batch: repeated, in conflict, new, and new twice."""
        found: list[Event] = []
        for at, event in enumerate(stored):
            new = replace(event, seq_number=(event.seq_number or 0) + 1_000_000, message=f"More {at}")
            if at % 4 == 1 and not self.into.mirrors:
                found.append(replace(event, message=f"Other {at}"))
            elif at % 4 == 2:
                found.append(new)
            else:
                found.append(found[-1] if at % 4 == 3 else event)
        return found

    def again(self, batch: Sent) -> None:
        """Send a batch again: nothing is new."""
        told = self.into.send(batch.given, batch.request_id)
        assert (told.stored, told.duplicates) == (0, len(batch.given))
        assert (told.conflict_count, told.expired) == (0, 0)
        self.model.duplicates += len(batch.given)

    def in_conflict(self, batch: Sent) -> None:
        """Send other events with the keys of a batch: all are refused, and the first conflicts are shown."""
        others = [replace(event, message=f"Other {at}") for at, event in enumerate(batch.stored)]
        if not self.into.mirrors:
            self.send(others, f"{batch.request_id} in conflict")
        else:
            with pytest.raises(ConflictError) as caught:
                self.into.send(others, "")
            assert (caught.value.stored, caught.value.offered.key) == (
                self.model.events[caught.value.offered.key],
                caught.value.stored.key,
            )
        if self.into.ids:
            with pytest.raises(RequestIdError):
                self.into.send([replace(event, message="Another") for event in batch.given], batch.request_id)
        assert self.counted() == self.expected_counts

    def mixed(self, batch: Sent) -> None:
        """Send events of which some are new, twice."""
        cursor, known = self.sim.cursor(), len(self.model.events)
        self.send(batch.mixture, f"{batch.request_id} mixed")
        arrived = [change.event for change in self.sim.changes(after=cursor)]
        assert len(arrived) == len(self.model.events) - known
        assert all(self.model.events[event.key].message == event.message for event in arrived)
        self.model.arrivals += arrived

    def mixed_again(self, batch: Sent) -> None:
        self.send(batch.mixture, f"{batch.request_id} mixed")

    def expired(self, horizon: int) -> None:
        """Send everything again to an archive with that horizon: events before it are not stored."""
        for batch in self.sent:
            before = sum(event.generation_time < horizon for event in batch.stored)  # type: ignore[operator]  # not None
            told = self.into.send(batch.given, batch.request_id)
            assert (told.stored, told.duplicates) == (0, len(batch.given) - before)
            assert (told.conflict_count, told.expired) == (0, before)
        states = self.sim.stats().sources
        for sources, size in ((1, 64), (2, 65)):  # what was refused of a source leaves it without a number
            late = made(size, sources, time=horizon - SLOT_US)
            told = self.into.send(
                [replace(event, source=f"L{event.source}") for event in late], f"late {size}"
            )
            assert (told.stored, told.duplicates, told.conflict_count) == (0, 0, 0)
        left = [event for event in self.model.in_order() if event.key.generation_time >= horizon]
        assert keys_of(list(self.sim.events())) == keys_of(left)
        assert self.sim.stats().sources == states
        if not self.into.mirrors:
            assert self.sim.append(Event("now", source="LS0")).event.seq_number == 0

    def read(self) -> None:
        """Read everything by every method, and compare it with the dictionary."""
        sim, expected = self.sim, self.model.in_order()
        found = list(sim.events())
        assert keys_of(found) == keys_of(expected)
        assert all(map(same_content, found, expected))
        assert {event.reception_time for event in found} <= {NOW}
        changes = list(sim.changes())
        assert keys_of([change.event for change in changes]) == keys_of(self.model.arrivals)
        pages = self.pages_over_http if isinstance(self.into, Batch) else self.pages
        self.looks += 1
        limit, descending = PAGES[self.looks % len(PAGES)], self.looks % 2 == 0
        assert list(pages(limit, descending=descending)) == keys_of(found)[:: -1 if descending else 1]
        assert list(sim.events(descending=True)) == found[::-1]
        assert [event for part in sim.event_vectors() for event in part.events()] == found
        assert all(sim.get(event.key) == event for event in found[:: max(1, len(found) // 50)])
        assert self.counted() == self.expected_counts
        assert {name: state.greatest_number for name, state in sim.stats().sources.items()} == (
            self.model.greatest
        )
        middle = len(changes) // 2
        assert list(sim.changes(after=changes[middle].cursor)) == changes[middle + 1 :]
        some = {f"S{n}" for n in range(0, self.sources, 2)}
        named = list(sim.events(sources=some, text="more"))
        assert named == [event for event in found if event.source in some and "More" in event.message]

    def pages(self, limit: int, *, descending: bool) -> Iterator[EventKey]:
        after: EventKey | None = None
        while page := keys_of(list(self.sim.events(limit=limit, after_key=after, descending=descending))):
            assert len(page) <= limit
            yield from page
            after = page[-1]

    def pages_over_http(self, limit: int, *, descending: bool) -> Iterator[EventKey]:
        core, token, order = Application(self.archive), "", "desc" if descending else "asc"
        while True:
            query = f"limit={limit}&order={order}&next={token}"
            call = core.begin(Head("GET", "/api/archive/sim/events", query, {"accept": PROTOBUF}))
            assert isinstance(call, Exchange)
            answer = call.run(b"")
            assert isinstance(answer, Response)
            page = today.ListEventsResponse.FromString(whole(answer))
            for event in page.events:
                yield EventKey(event.generationTime.ToMicroseconds(), event.source, event.seqNumber)
            token = page.continuationToken
            if not token:
                return


def keys_of(events: Sequence[Event]) -> list[EventKey]:
    return [event.key for event in events]


def _by_key(events: Sequence[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event.key)


def _time(event: Event) -> int:
    return event.generation_time or 0


def promises(net: Net, batch_sizes: Sequence[int], more: Sequence[Sequence[Event]] = ()) -> None:
    """Try every promise with batches of these sizes, and then with those of ``more``."""
    with net.opened():
        for batch in chain(map(net.fresh, batch_sizes), map(net.fresh_of, more)):
            net.again(batch)
            net.in_conflict(batch)
            net.mixed(batch)
        net.read()
        net.sim.settle()
        for batch in net.sent:
            net.again(batch)
            net.mixed_again(batch)
        net.read()
    with net.opened():
        for batch in net.sent[::-2]:
            net.again(batch)
        net.read()
    horizon = net.model.in_order()[len(net.model.events) // 2].key.generation_time
    with net.opened():
        net.sim.prune(before=horizon)
        net.expired(horizon)

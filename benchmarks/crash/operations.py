"""The operations of the lab: one function for each kind of work, in one table.

An operation gets a :class:`~benchmarks.crash.worker.Worker`, which tells what is offered and acknowledged. To
add a kind of work, write its function and add a line to :data:`OPERATIONS`. What is neither an append nor
changes an event says that it has ended with ``worker.book.done(kind)``.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from random import Random
from typing import Literal, NamedTuple

from benchmarks.crash.comparison import compare_copy
from benchmarks.crash.ledger import Entry, State
from benchmarks.crash.offers import (
    Answered,
    Copied,
    Copying,
    Offer,
    Pruned,
    Pruning,
    Stored,
)
from benchmarks.crash.worker import BEGIN_US, STEP_US, Worker
from yamcs_archive import Archive, Instance
from yamcs_archive.errors import ArchiveError, ConflictError, ExpiredError
from yamcs_archive.limits import CHUNK_EVENTS_MAX, GATHERED_BYTES_MAX
from yamcs_archive.results import Appended

_LATE_US = 400 * STEP_US
_PRUNED_TIMES = 5
"""Of so many events that have times of their own, the oldest one gives a horizon."""
_ONE_ID = "one-"
"""The ids of requests of one event begin so."""


def single(worker: Worker) -> None:
    """Append an event without time and number."""
    [offer] = worker.new(automatic=True)
    worker.append("single", offer)


def stamped(worker: Worker) -> None:
    """Append an event with a time, and perhaps a number, of its own."""
    [offer] = worker.new()
    worker.append("stamped", offer)


def late(worker: Worker) -> None:
    """Append an event that lies among stored ones: late, or from a clock that is years off."""
    shift_us = -worker.rng.randrange(1, _LATE_US) | 1
    if worker.rng.random() < 0.1:
        shift_us = worker.rng.choice((-(10**15), 2 * 10**15))
    [offer] = worker.new(shift_us=shift_us)
    worker.append("late", offer)


def batch(worker: Worker) -> None:
    """Append a few events at once."""
    automatic = worker.rng.random() < 0.3
    offers = worker.new(worker.rng.randint(2, 40), automatic=automatic)
    worker.append_many("batch", offers)


def run(worker: Worker) -> None:
    """Append so many rising events that they become blocks at once."""
    worker.append_many("run", worker.new(worker.rng.randint(256, 400)))


def late_batch(worker: Worker) -> None:
    """Append several late events at once, which belong to many blocks."""
    offers = worker.new(worker.rng.randint(2, 30))
    shifted = [
        Offer(each.tag, each.source, 0, (each.time or 0) - worker.rng.randrange(_LATE_US) | 1, each.number)
        for each in offers
    ]
    worker.append_many("late batch", shifted)


def many(worker: Worker) -> None:
    """Append more events than one commit has: the first chunk may be stored without the second."""
    offers = worker.new(CHUNK_EVENTS_MAX + worker.rng.randint(1, 200))
    worker.append_many("many", offers, whole=False)


def large(worker: Worker) -> None:
    """Append an event that fills many pages."""
    size = worker.rng.choice((2_000, 5_000, 70_000, 70_000, 300_000, (1 << 20) - 100))
    [offer] = worker.new(size=size, automatic=worker.rng.random() < 0.5)
    worker.append("large", offer)


def large_batch(worker: Worker) -> None:
    """Append more text than one commit has."""
    worker.append_many("large batch", worker.new(5, size=500_000), whole=False)


def submitted(worker: Worker) -> None:
    """Submit events without waiting, so that groups are committed."""
    assert isinstance(worker.sim, Instance)
    waiting: list[tuple[int, Offer, Future[Appended]]] = []
    for offer in worker.new(worker.rng.randint(2, 12), automatic=worker.rng.random() < 0.5):
        request = worker.book.offer("submitted", [offer])
        waiting.append((request, offer, worker.sim.submit(offer.event())))
    unknown: ArchiveError | None = None
    for request, offer, future in waiting:
        try:
            stored = Stored.of(offer.tag, future.result().event)
        except ExpiredError:
            worker.book.note(Answered(request, refused=True, expired=1))
        except ArchiveError as error:  # the others are still on their way, and may be stored later
            unknown = error
        else:
            worker.book.note(Answered(request, stored=(stored,)))
    if unknown is not None:
        raise unknown


def again(worker: Worker) -> None:
    """Append a stored event again: it must be a duplicate, or expired if it is pruned meanwhile."""
    for entry in worker.book.some(worker.rng):
        done = worker.append("again", _keyed(entry), again=True)
        if not _recognised(done):
            worker.wrong(f"{entry.offer}, stored as {entry.stored}, was offered again and answered {done}")


def batch_again(worker: Worker) -> None:
    """Append stored and new events in one batch."""
    known = [_keyed(entry) for entry in worker.book.some(worker.rng, 10)]
    new = worker.new(worker.rng.randint(1, 10))
    offers = [*known, *new]
    # With a large event among the known ones it may be more text than one commit has.
    size_bytes = sum(len(offer.event().message) for offer in offers)
    worker.append_many("batch again", offers, whole=size_bytes < GATHERED_BYTES_MAX)


def conflict(worker: Worker) -> None:
    """Append another event under the key of a stored one: it must be refused."""
    for entry in worker.book.some(worker.rng):
        known = _keyed(entry)
        other = Offer(known.tag, known.source, known.size, known.time, known.number, variant=1)
        if isinstance(worker.append("conflict", other, again=True), Appended):
            worker.wrong(f"another event was stored under the key of {entry.stored}")


def with_id(worker: Worker) -> None:
    """Append an event, most of them without a number, with a request id."""
    [offer] = worker.new(automatic=worker.rng.random() < 0.5)
    worker.append("with id", offer, request_id=f"{_ONE_ID}{offer.tag}")


def id_again(worker: Worker) -> None:
    """Repeat a request by its id: it must be answered with the event of the first answer, or be expired."""
    ids = worker.book.ledger.ids
    if ids:
        request_id, tag = worker.rng.choice(ids)
        offer = worker.book.ledger.entries[tag].offer
        done = worker.append("id again", offer, request_id=request_id, again=True)
        if not _recognised(done):
            worker.wrong(f"the request {request_id} was repeated, and answered {done}")


def batch_with_id(worker: Worker) -> None:
    """Append events without numbers in a batch with a request id, twice: the second adds nothing."""
    offers = worker.new(worker.rng.randint(2, 9), automatic=True)
    for _ in range(2):
        worker.append_many("batch with id", offers, request_id=f"batch-{offers[0].tag}")


def last_id_again(worker: Worker) -> None:
    """Repeat the last request with an id, which may have had no answer: what is stored is not stored anew."""
    offered = worker.book.ledger.last_with_id
    if offered is None:
        return
    entries = [worker.book.ledger.entries[offer.tag] for offer in offered.offers]
    due = sum(entry.state is State.DUE for entry in entries)
    if (offered.request_id or "").startswith(_ONE_ID):
        [offer] = offered.offers
        done = worker.append("last id again", offer, request_id=offered.request_id, again=bool(due))
        duplicates = int(isinstance(done, Appended) and done.duplicate)
    else:
        counts = worker.append_many("last id again", offered.offers, request_id=offered.request_id)
        duplicates = counts.duplicates
    if duplicates != due:
        worker.wrong(f"of {offered}, {due} were stored, and {duplicates} recognised when it was repeated")


def read(worker: Worker) -> None:
    """Read some events, so that blocks are kept in memory while they are replaced."""
    with suppress(StopIteration):
        events = worker.sim.events(descending=worker.rng.random() < 0.5, limit=50)
        while True:
            next(events)


def settle(worker: Worker) -> None:
    """Put all young events into blocks, merge late events, close groups and pack commits."""
    assert isinstance(worker.sim, Instance)
    worker.sim.settle()
    worker.book.done("settle")


def compact(worker: Worker) -> None:
    """Replace the generation by a dense copy."""
    worker.sim.compact()
    worker.book.done("compact")


def prune(worker: Worker) -> None:
    """Prune some of the events that have times of their own."""
    end = BEGIN_US + worker.book.ledger.next_tag * STEP_US
    times = [entry.offer.time for entry in worker.book.some(worker.rng, _PRUNED_TIMES)]
    horizon = min((time for time in times if time is not None and BEGIN_US <= time < end), default=None)
    if horizon is None:
        return
    horizon += worker.rng.randrange(2)  # the event goes as well, or is the oldest that stays
    worker.book.note(Pruning(horizon))
    done = worker.sim.prune(before=horizon)
    worker.book.note(Pruned(horizon))
    if done.horizon is None or done.horizon < horizon:
        worker.wrong(f"after pruning before {horizon} the horizon is {done.horizon}")
    worker.book.done("prune")


def backup(worker: Worker) -> None:
    """Make a backup, incremental or full, and delete older ones."""
    worker.book.note(Copying())
    incremental, keep = worker.rng.random() < 0.6, worker.rng.choice((None, 1, 2))
    done = worker.sim.backup(worker.copies, incremental=incremental, keep=keep)
    worker.book.note(Copied(done.manifest.commit))
    worker.book.done("backup")


def restore(worker: Worker) -> None:
    """Restore the newest backup into a new archive, and compare that."""
    if worker.book.ledger.copied_at is None:
        return
    directory = worker.copies / "restored"
    shutil.rmtree(directory, ignore_errors=True)  # what a kill has left
    with Archive.open(directory) as archive:
        [done] = archive.restore(worker.copies)
        copy = archive.instance(done.instance)
        events = list(copy.events())
        worker.book.check(lambda ledger: compare_copy(copy, events, ledger))
    shutil.rmtree(directory)
    worker.book.done("restore")


def _recognised(done: Appended | ConflictError | ExpiredError) -> bool:
    """Return whether a stored event was recognised; where it may be expired is checked by the ledger."""
    return done.duplicate if isinstance(done, Appended) else isinstance(done, ExpiredError)


def _keyed(entry: Entry) -> Offer:
    """Return a stored event as it was offered, with the key that it has got."""
    offer, stored = entry.offer, entry.stored
    assert stored is not None
    return Offer(offer.tag, offer.source, offer.size, stored.time, stored.number)


Place = Literal["alone", "server", "client"]
"""Where it is done: in a process that has the archive alone, in one that also serves it, or over HTTP."""


class Operation(NamedTuple):
    """A kind of work, and how often it is done."""

    run: Callable[[Worker], None]
    weight: float
    maintains: bool = False
    """It is maintenance, which one thread at most does; a server and its clients have one each."""
    places: tuple[Place, ...] = ("alone", "client")


OPERATIONS: Mapping[str, Operation] = {
    "single": Operation(single, 8),
    "stamped": Operation(stamped, 6),
    "late": Operation(late, 4),
    "batch": Operation(batch, 6),
    "run": Operation(run, 0.6),
    "late batch": Operation(late_batch, 2),
    "many": Operation(many, 0.01),
    "large": Operation(large, 0.4),
    "large batch": Operation(large_batch, 0.03),
    "submitted": Operation(submitted, 2, places=("alone",)),
    "again": Operation(again, 2),
    "batch again": Operation(batch_again, 1),
    "conflict": Operation(conflict, 1),
    "with id": Operation(with_id, 2),
    "id again": Operation(id_again, 1),
    "batch with id": Operation(batch_with_id, 0.5),
    "read": Operation(read, 1),
    "settle": Operation(settle, 3, maintains=True, places=("alone", "server")),
    "compact": Operation(compact, 1, maintains=True),
    "prune": Operation(prune, 2, maintains=True),
    "backup": Operation(backup, 2, maintains=True),
    "restore": Operation(restore, 1, maintains=True, places=("alone",)),
}
"""Every kind of work, by name."""

AFTER_A_START = (again, again, conflict, id_again, last_id_again, single, stamped)
"""What every reopened archive must do first: recognise retries, refuse conflicts, take events."""


def drawn(rng: Random, *, maintains: bool, place: Place) -> Operation:
    """Return an operation, drawn by its weight."""
    fit = [each for each in OPERATIONS.values() if each.maintains == maintains and place in each.places]
    [found] = rng.choices(fit, [each.weight for each in fit])
    return found

"""An archive beside its ledger: every difference is a fault, told in a sentence.

It reads the archive by the public doors: :meth:`~yamcs_archive.Instance.verify`, all events by key, all
changes by arrival, and the counts. It changes neither of the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from benchmarks.crash.ledger import Entry, Ledger, State
from benchmarks.crash.offers import Checked, Offered, Stored, tag_of
from yamcs_archive import Event, EventKey, Instance

FAULTS_MAX = 20
"""Largest number of faults that are told."""


def compare(sim: Instance, ledger: Ledger) -> Checked:
    """Compare a reopened archive with what its clients were told."""
    verified = sim.verify()
    faults = [f"verify: {fault}" for fault in verified.faults] if verified is not None else []
    found: dict[int, Stored] = {}
    faults += _events(sim.events(), ledger, found)
    faults += [
        f"lost: {entry.offer} was {'acknowledged' if entry.acknowledged_at is not None else 'there'}"
        f" ({entry.stored})"
        for entry in ledger.due()
        if entry.offer.tag not in found
    ]
    for opened in ledger.requests.values():
        faults += _half(opened.offered, ledger, found)
    faults += _arrivals([tag_of(change.event.message)[0] for change in sim.changes()], ledger, found)
    faults += _counts(sim, ledger, found)
    news = tuple(stored for tag, stored in found.items() if ledger.entries[tag].stored is None)
    return Checked(tuple(faults[:FAULTS_MAX]), news, len(found))


def _events(events: Iterable[Event], ledger: Ledger, found: dict[int, Stored]) -> Iterator[str]:
    """Fill ``found`` with the stored events; yield the fault of each that should not be there as it is."""
    before: EventKey | None = None
    for event in events:
        if before is not None and event.key <= before:
            yield f"order: {event.key} follows {before}"
        before = event.key
        tag, variant = tag_of(event.message)
        entry = ledger.entries.get(tag)
        if entry is None or not _is_of(event, entry, variant):
            yield f"phantom: nobody offered {event.key}, {event.message[:60]!r}"
        elif tag in found:
            yield f"doubled: {entry.offer} is stored as {found[tag]} and {event.key}"
        elif entry.state is State.ABSENT:
            yield f"phantom: {entry.offer} was not stored after a restart, and now is"
        else:
            found[tag] = stored = Stored.of(tag, event)
            if entry.stored is not None and entry.stored != stored:
                yield f"changed: {entry.offer} was {entry.stored} and is {stored}"


def _is_of(event: Event, entry: Entry, variant: int) -> bool:
    """Return whether an event is what was offered, in every field that its client chose."""
    offered = entry.offer.event()
    return (
        not variant
        and event.message == offered.message
        and event.source == offered.source
        and event.severity == offered.severity
        and event.type == offered.type
        and event.extra == offered.extra
        and event.generation_time is not None
        and offered.generation_time in (None, event.generation_time)
        and offered.seq_number in (None, event.seq_number)
    )


def _half(offered: Offered, ledger: Ledger, found: dict[int, Stored]) -> Iterator[str]:
    """Yield the fault of a request without an answer of which a part is stored that must not be alone."""
    there = [
        offer.tag in found for offer in offered.offers if ledger.entries[offer.tag].request == offered.request
    ]
    stored = sum(there)
    if offered.whole and 0 < stored < len(there):
        yield f"half: of {len(there)} events of a {offered.kind}, {stored} are stored"
    if not all(there[:stored]):
        yield f"half: of {len(there)} events of a {offered.kind}, later ones are stored, earlier ones not"


def _arrivals(tags: list[int], ledger: Ledger, found: dict[int, Stored]) -> Iterator[str]:
    """Yield the faults of the order of arrival.

    An event that was acknowledged before another one was offered comes before it.
    """
    if Counter(tags) != Counter(dict.fromkeys(found, 1)):
        missing = [ledger.entries[tag].offer for tag in found.keys() - set(tags)]
        yield f"changes: {len(tags)} of {len(found)} events come by arrival; missing {missing[:3]}"
    latest: Entry | None = None
    for tag in tags:
        entry = ledger.entries.get(tag)
        if entry is None:
            continue
        if (
            latest is not None
            and entry.acknowledged_at is not None
            and entry.acknowledged_at < latest.offered_at
        ):
            yield f"changes: {latest.offer} comes before {entry.offer}, acknowledged before that was sent"
        if latest is None or entry.offered_at > latest.offered_at:
            latest = entry


def _counts(sim: Instance, ledger: Ledger, found: dict[int, Stored]) -> Iterator[str]:
    """Yield the faults of the counts of events, all and by source."""
    stats = sim.stats()
    if stats.events != len(found):
        yield f"counts: {stats.events} by the counts, {len(found)} are read"
    wanted = Counter(ledger.entries[tag].offer.source for tag in found)
    counted = {name: state.events for name, state in stats.sources.items() if state.events}
    if counted != dict(wanted):
        yield f"counts: by source {counted}, read {dict(wanted)}"

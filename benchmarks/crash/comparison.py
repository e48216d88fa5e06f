"""An archive beside its ledger: every difference is a fault, told in a sentence.

It reads the archive by the public doors: :meth:`~yamcs_archive.Instance.verify`, all events by key, all
changes by arrival, and the counts. It changes neither of the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.crash.ledger import Entry, Ledger, State
from benchmarks.crash.offers import Checked, Offered, Stored, tag_of
from yamcs_archive import Event, EventKey, Instance
from yamcs_archive.backups import list_backups, verify_backup
from yamcs_archive.limits import TIME_MIN_US

FAULTS_MAX = 20
"""Largest number of faults that are told."""


def copies_of(directory: Path) -> Path:
    """Return the folder of an archive's backups: beside its directory."""
    return directory.with_name(f"{directory.name}-copies")


def compare(sim: Instance, ledger: Ledger, copies: Path) -> Checked:
    """Compare a reopened archive, and its backups, with what its clients were told."""
    faults = [*_verified(sim), *_backups(copies, ledger)]
    horizon = _horizon(sim)
    if horizon != ledger.horizon and horizon not in ledger.prunings:
        asked = "".join(f" or {later}, which was asked for" for later in ledger.prunings)
        faults.append(f"horizon: it is {horizon}, not {ledger.horizon}{asked}")
    found: dict[int, Stored] = {}
    faults += _events(sim.events(), ledger, found, horizon)
    faults += [
        f"lost: {entry.offer} was {'acknowledged' if entry.acknowledged_at is not None else 'there'}"
        f" ({entry.stored})"
        for entry in ledger.due()
        if entry.offer.tag not in found and not _is_before(entry, horizon)
    ]
    for opened in ledger.requests.values():
        faults += _half(opened.offered, ledger, found, horizon)
    faults += _arrivals([tag_of(change.event.message)[0] for change in sim.changes()], ledger, found)
    faults += _counts(sim, ledger, found)
    news = tuple(stored for tag, stored in found.items() if ledger.entries[tag].stored is None)
    return Checked(tuple(faults[:FAULTS_MAX]), news, len(found), horizon)


def compare_copy(copy: Instance, events: Iterable[Event], ledger: Ledger) -> Iterator[str]:
    """Yield the faults of what was restored from the newest backup, ``events``: it may have been long ago."""
    yield from _verified(copy)
    found: dict[int, Stored] = {}
    horizon = _horizon(copy)  # pruning that was refused midway may have moved it
    yield from _events(events, ledger, found, horizon)
    for entry in ledger.due():
        if (
            entry.acknowledged_at is not None
            and ledger.copied_at is not None
            and entry.acknowledged_at <= ledger.copied_at
            and entry.offer.tag not in found
            and not _is_before(entry, horizon)
        ):
            yield f"lost: {entry.offer} was acknowledged before the backup, and is not in it"


def _verified(sim: Instance) -> list[str]:
    verified = sim.verify()
    return [f"verify: {fault}" for fault in verified.faults] if verified is not None else []


def _horizon(sim: Instance) -> int:
    """Return where the horizon is; the beginning of time if nothing was pruned."""
    horizon = sim.prune(before=TIME_MIN_US, dry_run=True).horizon
    return TIME_MIN_US if horizon is None else horizon


def _is_before(entry: Entry, horizon: int) -> bool:
    return entry.time is not None and entry.time < horizon


def _backups(copies: Path, ledger: Ledger) -> Iterator[str]:
    """Yield the faults of the backups: each must be whole, and the last acknowledged one be there."""
    newest = 0
    if copies.exists():
        checks = verify_backup(copies)
        yield from (f"backup: {check.where}: {check.fault}" for check in checks if check.fault is not None)
        if all(check.fault is None for check in checks):
            newest = max((backup.manifest.commit for backup in list_backups(copies)), default=0)
    if newest < ledger.copied_commit:
        yield f"backup: one had commit {ledger.copied_commit}, now {newest} is the last there"


def _events(events: Iterable[Event], ledger: Ledger, found: dict[int, Stored], horizon: int) -> Iterator[str]:
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
        elif event.key.generation_time < horizon:
            yield f"phantom: {entry.offer} is before the horizon, {horizon}, and is read"
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


def _half(offered: Offered, ledger: Ledger, found: dict[int, Stored], horizon: int) -> Iterator[str]:
    """Yield the fault of a request without an answer of which a part is stored that must not be alone."""
    entries = [ledger.entries[offer.tag] for offer in offered.offers]
    there = [
        entry.offer.tag in found
        for entry in entries
        if entry.request == offered.request and not _is_before(entry, horizon)
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

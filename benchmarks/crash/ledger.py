"""The ledger: what an archive must, may and must not hold, by what its clients were told; no I/O.

1. An event is *due* once its storage was acknowledged, or once a restarted archive has shown it. It must be
   there from then on, under the same key.
2. An event that was offered and not answered is *open*: it is stored whole or not at all. The next start
   decides: it is due if it is found, and *absent* otherwise. An absent one must not appear later.
3. Events of one request that are stored together are found together.
4. A number that the archive has given out is never given out again, even if its event is pruned meanwhile.
5. What is before the horizon is *pruned*: it must not be there, and is refused when it is offered again. A
   horizon that was asked for and not acknowledged is there or not; an event that is refused, or the next
   start, tells.
6. A backup that was acknowledged is there, or a later one; it has what was acknowledged before it was begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random

from benchmarks.crash.offers import (
    Answered,
    Checked,
    Copied,
    Copying,
    Note,
    Offer,
    Offered,
    Pruned,
    Pruning,
    Stored,
    Wrong,
)
from yamcs_archive.limits import TIME_MIN_US

LAST_IDS = 200
"""Requests with an id that may be repeated."""


class State(Enum):
    """Whether an event must be stored."""

    OPEN = auto()
    DUE = auto()
    ABSENT = auto()
    PRUNED = auto()


@dataclass(slots=True)
class Entry:
    """An event that was offered."""

    offer: Offer
    request: int
    offered_at: int
    """Number of the note that offered it first."""
    state: State = State.OPEN
    acknowledged_at: int | None = None
    stored: Stored | None = None
    """Its key and times, once the archive has told them."""

    @property
    def time(self) -> int | None:
        """Its generation time, if that is known."""
        return self.offer.time if self.stored is None else self.stored.time


@dataclass(slots=True)
class Open:
    """A request that was not answered yet."""

    offered: Offered
    greatest: dict[str, int]
    """The greatest number given out for each of its sources before it was sent."""
    horizon: int
    """The horizon that was acknowledged before it was sent."""


@dataclass
class Ledger:
    """What is known of one archive."""

    entries: dict[int, Entry] = field(default_factory=dict)
    requests: dict[int, Open] = field(default_factory=dict)
    """Those that were not answered."""
    ids: list[tuple[str, int]] = field(default_factory=list)
    """Ids of the last requests with an id, and the tag of the event of each."""
    last_with_id: Offered | None = None
    """The last new request with an id, answered or not."""
    acknowledged: int = 0
    """Number of events whose storage was acknowledged."""
    horizon: int = TIME_MIN_US
    """The latest horizon that was acknowledged or seen."""
    prunings: list[int] = field(default_factory=list)
    """Later horizons that were asked for and not acknowledged."""
    copied_at: int | None = None
    """Number of the note after which the last backup that was acknowledged was begun."""
    copied_commit: int = 0
    """The last commit that is in it."""
    _copying_at: int = 0
    _known: list[int] = field(default_factory=list)
    """Tags of due events whose keys are known."""
    _numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    """The tag for which each number was given out, by source."""
    _greatest: dict[str, int] = field(default_factory=dict)
    _notes: int = 0
    _next_tag: int = 0
    _next_request: int = 0

    @property
    def moment(self) -> int:
        """A number that grows with what is offered and with what is acknowledged."""
        return len(self.entries) + self.acknowledged

    @property
    def next_tag(self) -> int:
        """The tag that the next new event will have."""
        return self._next_tag

    def new_tags(self, count: int) -> range:
        """Return tags that no event has."""
        first, self._next_tag = self._next_tag, self._next_tag + count
        return range(first, self._next_tag)

    def new_request(self) -> int:
        """Return a number that no request has."""
        self._next_request += 1
        return self._next_request - 1

    def some(self, rng: Random, count: int = 1) -> list[Entry]:
        """Return some of the events that must be stored under a known key; each once."""
        tags = {rng.choice(self._known) for _ in range(count)} if self._known else set()
        return [self.entries[tag] for tag in sorted(tags)]

    def due(self) -> Iterator[Entry]:
        """Yield the events that must be stored."""
        return (entry for entry in self.entries.values() if entry.state is State.DUE)

    def apply(self, note: Note) -> list[str]:
        """Take note of something; return the faults that show in it."""
        self._notes += 1
        match note:
            case Offered():
                self._offered(note)
            case Answered():
                return self._answered(note)
            case Pruning(horizon) if horizon > self.horizon:
                self.prunings.append(horizon)
            case Pruned(horizon):
                self._move(horizon)
            case Copying():
                self._copying_at = self._notes
            case Copied(commit):
                self.copied_at, self.copied_commit = self._copying_at, commit
            case Checked():
                return [*note.faults, *self._checked(note)]
            case Wrong():
                return [note.text]
        return []

    def _offered(self, note: Offered) -> None:
        self._next_request = max(self._next_request, note.request + 1)
        sources = {offer.source for offer in note.offers}
        greatest = {name: self._greatest[name] for name in sources if name in self._greatest}
        self.requests[note.request] = Open(note, greatest, self.horizon)
        if note.request_id is not None and not note.again:
            self.last_with_id = note
        for offer in note.offers:
            self._next_tag = max(self._next_tag, offer.tag + 1)
            known = self.entries.get(offer.tag)
            if known is None or known.state is State.ABSENT:
                self.entries[offer.tag] = Entry(offer, note.request, self._notes)

    def _answered(self, note: Answered) -> list[str]:
        opened = self.requests.pop(note.request)
        offered, faults = opened.offered, self._expired(opened, note.expired)
        for offer in offered.offers:
            entry = self.entries[offer.tag]
            if entry.time is not None and entry.time < self.horizon:
                entry.state = State.PRUNED
            elif not note.refused:
                entry.state = State.DUE
                if entry.acknowledged_at is None:
                    entry.acknowledged_at = self._notes
                    self.acknowledged += 1
        if note.refused:
            return faults
        for stored in note.stored:
            entry = self.entries[stored.tag]
            faults += self._learn(entry, stored)
            before = opened.greatest.get(entry.offer.source, -1)
            if entry.offer.number is None and not offered.again and stored.number <= before:
                faults.append(f"{stored} got a number that is not above {before}, given out before")
        if offered.request_id is not None and len(offered.offers) == 1:
            self.ids = [*self.ids[-LAST_IDS:], (offered.request_id, offered.offers[0].tag)]
        return faults

    def _expired(self, opened: Open, expired: int) -> list[str]:
        """Learn from the number of events of a request that were refused as expired where the horizon is."""
        times = [offer.time for offer in opened.offered.offers if offer.time is not None]

        def before(horizon: int) -> int:
            return sum(time < horizon for time in times)

        least, most = before(opened.horizon), before(max(self.horizon, *self.prunings, opened.horizon))
        if not least <= expired <= most:
            kind = opened.offered.kind
            return [f"expired: {expired} of {len(times)} events of a {kind}, but {least} to {most} may be"]
        if expired > before(self.horizon):
            self._move(min(horizon for horizon in self.prunings if before(horizon) >= expired))
        return []

    def _move(self, horizon: int) -> None:
        """Take note that the horizon is there, or later."""
        self.prunings = [later for later in self.prunings if later > horizon]
        if horizon <= self.horizon:
            return
        self.horizon = horizon
        for entry in self.due():
            if entry.time is not None and entry.time < horizon:
                entry.state = State.PRUNED
        self._known = [tag for tag in self._known if self.entries[tag].state is State.DUE]

    def _learn(self, entry: Entry, stored: Stored) -> list[str]:
        """Keep what the archive says of an event; return the faults that show."""
        if entry.stored is not None:
            same = entry.stored == stored
            return [] if same else [f"answered as {stored}, but stored before as {entry.stored}"]
        entry.stored = stored
        if entry.state is State.DUE:
            self._known.append(stored.tag)
        source = entry.offer.source
        self._greatest[source] = max(stored.number, self._greatest.get(source, stored.number))
        other = self._numbers.setdefault((source, stored.number), stored.tag)
        if other != stored.tag and entry.offer.number is None:
            return [f"{stored} has the number that {self.entries[other].stored} of {source} got before"]
        return []

    def _checked(self, note: Checked) -> list[str]:
        """Decide what is open, by what a restarted archive holds."""
        faults = []
        self._move(note.horizon)
        self.prunings.clear()
        for stored in note.found:
            entry = self.entries[stored.tag]
            entry.state = State.DUE
            faults += self._learn(entry, stored)
        for opened in self.requests.values():
            for offer in opened.offered.offers:
                entry = self.entries[offer.tag]
                if entry.state is State.OPEN:
                    entry.state = State.ABSENT
        self.requests.clear()
        return faults

"""Verification: everything that is stored is read, and each part is compared with what the others say of it.

1. It changes nothing, and holds no transaction for long: others read, append and make checkpoints meanwhile.
   It covers the commits up to the newest one at its beginning.
2. Whatever is wrong is noted, and reading goes on after it. What damage makes unreadable is missing
   elsewhere: once something is, only what is there too often counts as a fault of counts.
3. Pruned events are not read, and not counted. If the horizon moves meanwhile, events may be missing where
   they are counted; so again only what is there too often is a fault.
4. The parts: the commit log (in ``young_check``), events (checksums, forms, strict key order, no key twice),
   zone maps (in ``zone_map_check``), sources (numbers and times against the events), commits (in
   ``arrival_check``), request ids (in ``request_check``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import EventKey
from yamcs_archive.event_vectors import DictColumn, Int64s, StoredVectors
from yamcs_archive.results import Fault, Verification
from yamcs_archive.storage.disk.environment import Environment, Snapshot
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.keys import BEFORE_ALL, BEYOND_ALL, encode_key, time_bound
from yamcs_archive.storage.format.meta import Meta
from yamcs_archive.storage.format.source_states import SourceState, decode_source
from yamcs_archive.storage.format.zone_maps import ZoneMap
from yamcs_archive.storage.maintain.arrival_check import check_arrival
from yamcs_archive.storage.maintain.faults import FAULTS_KEPT_MAX, Faults, VerifyScope, noted_before
from yamcs_archive.storage.maintain.page_check import check_pages
from yamcs_archive.storage.maintain.quick_check import check_quickly
from yamcs_archive.storage.maintain.request_check import check_requests
from yamcs_archive.storage.maintain.text_filter_check import check_text_filters
from yamcs_archive.storage.maintain.young_check import check_young
from yamcs_archive.storage.maintain.zone_map_check import check_zone_map, check_zone_maps
from yamcs_archive.storage.read.block_index import BlockIndex, stored_block
from yamcs_archive.storage.read.metadata import head_commit, newest_key
from yamcs_archive.storage.read.range_reader import RangeReader, Slice
from yamcs_archive.storage.young.views import YoungEvents


class _CancelledError(Exception):
    """The verification was cancelled."""


def verify(
    environment: Environment,
    facts: Callable[[], Meta],
    events_max: int,
    progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> Verification | None:
    """Read and compare everything; None if it was cancelled.

    ``facts`` returns the facts of the instance as they are now. ``progress`` is called with the number of
    events read so far, and with that of all.
    """
    began_s = time.monotonic()
    broken = check_pages(environment)
    if broken:
        seconds = time.monotonic() - began_s
        return Verification(0, 0, 0, 0, 0, seconds, len(broken), tuple(broken[:FAULTS_KEPT_MAX]))
    run = _Run(environment, facts, events_max, progress, cancelled)
    try:
        scope = VerifyScope(environment, facts, events_max, run.go_on, run.faults)
        check_young(environment, run.faults)
        run.check_events()
        check_zone_maps(scope)
        check_text_filters(scope)
        commits = check_arrival(scope, run.head)
        run.check_head()
        run.check_sources()
        check_requests(scope)
    except _CancelledError:
        return None
    return Verification(
        run.events,
        run.young,
        run.blocks,
        commits,
        len(run.states),
        time.monotonic() - began_s,
        run.faults.count,
        tuple(run.faults.kept),
    )


def verify_quickly(environment: Environment) -> Verification:
    """Read the first and the last values only; the counts are those of what was read, not of events."""
    began_s = time.monotonic()
    faults = Faults()
    read = check_quickly(environment, faults)
    seconds = time.monotonic() - began_s
    young, blocks, commits, sources = (read[name] for name in ("young", "blocks", "commits", "sources"))
    return Verification(0, young, blocks, commits, sources, seconds, faults.count, tuple(faults.kept))


class _Seen:
    """What the events say of one source."""

    __slots__ = ("events", "greatest_number", "greatest_time")

    def __init__(self) -> None:
        self.events = 0
        self.greatest_number = self.greatest_time = -(1 << 63)


class _Run:
    def __init__(
        self,
        environment: Environment,
        facts: Callable[[], Meta],
        events_max: int,
        progress: Callable[[int, int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._environment, self._facts, self._events_max = environment, facts, events_max
        self._progress, self._cancelled = progress, cancelled
        self.faults = Faults()
        self.events = self.young = self.blocks = 0
        self.states: dict[str, SourceState]
        self._seen: dict[str, _Seen] = {}
        self._opener = _Opener(self.faults)
        self._lost = b""  # the first key of the last block that could not be read
        self._checked: Block | None = None
        self._greatest_commit = 0
        self._is_state_missing = False  # True once the state of a source cannot be read
        self._horizon, pairs = self._begin()
        for key, value in pairs:
            try:
                name, state = decode_source(key, value)
            except DamagedError as error:
                self.faults.add_value(error)
                self._is_state_missing = True
            else:
                self.states.setdefault(name, state)
        self._all = sum(state.events for state in self.states.values())

    def _begin(self) -> tuple[int | None, list[Pair]]:
        """Note the newest commit; return the horizon and the states of sources at the same moment."""
        while True:
            horizon = self._facts().horizon
            with self._environment.snapshot(noted_before) as snapshot:
                self.head = self._newest_commit(snapshot)
                pairs = list(snapshot.transaction.cursor(self._environment.databases["sources"]))
                self.states = snapshot.young.sources()
            if self._facts().horizon == horizon:
                return horizon, pairs

    def _newest_commit(self, snapshot: Snapshot) -> int:
        with suppress(DamagedError):  # it is noted with the other records
            newest = head_commit(self._environment, snapshot)
            return newest.last if newest else 0
        return newest_key(self._environment, snapshot)

    def go_on(self) -> None:
        """Raise _CancelledError once the verification is cancelled."""
        if self._cancelled():
            raise _CancelledError

    def check_events(self) -> None:
        """Read every young event and every block."""
        reader = RangeReader(self._environment, self._events_max, cache=self._opener, left_out=noted_before)
        lower = BEFORE_ALL if self._horizon is None else time_bound(self._horizon)
        while lower < BEYOND_ALL:
            try:
                for slice_ in reader.slices(lower, BEYOND_ALL):
                    self.go_on()
                    self._check_slice(slice_)
                    lower = slice_.upper
                    self._progress(self.events, self._all)
                return
            except DamagedError as error:
                lower = self._pass_over(lower, error)

    def _check_slice(self, slice_: Slice) -> None:
        self._check_young(slice_.young, slice_.block)
        block, zone_map = slice_.block, slice_.zone_map
        lost, self._opener.error = self._opener.error, None
        if zone_map is not None and lost is not None and zone_map.first != self._lost:
            self.faults.lose(lost, zone_map.first, zone_map)
            self._lost = zone_map.first
        if block is None or zone_map is None:
            return
        if block is not self._checked:
            if self._checked is None or self._checked.key != block.key:
                self.blocks += 1  # otherwise a checkpoint added late events to it meanwhile
            self._checked = block
            check_zone_map(block, zone_map, self.faults)
        self._count(block.events, slice_.block_indexes.start, slice_.block_indexes.stop)

    def _check_young(self, young: YoungEvents, block: Block | None) -> None:
        self.young += len(young)
        if not young:
            return
        events = young.vectors()
        self._count(events, 0, events.size)
        if block is not None:
            keys = list(map(events.key, range(events.size)))
            for key, index in zip(keys, block.indexes_of_keys(keys), strict=True):
                if index >= 0:
                    at = EventKey(*key)
                    where = f"key {encode_key(*key).hex()}"
                    self.faults.add(Fault(where, "the event is young and in a block as well", at, at, 1))

    def _count(self, events: StoredVectors, start: int, stop: int) -> None:
        """Add events to what is known of their sources."""
        part = events.cut(start, stop)
        self.events += part.size
        self._greatest_commit = max(self._greatest_commit, int(part.commits.max(initial=0)))
        old = part.commits <= self.head
        if not old.all():  # stored after this began, so the states of sources do not have them
            part = part.take(np.flatnonzero(old))
        if part.size:
            self._count_sources(part.sources, part.numbers, part.times)

    def _count_sources(self, sources: DictColumn, numbers: Int64s, times: Int64s) -> None:
        order = sources.codes.argsort(kind="stable")
        codes = sources.codes[order]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        greatest = (np.maximum.reduceat(column[order], starts).tolist() for column in (numbers, times))
        counts = np.diff(starts, append=len(codes)).tolist()
        for code, count, number, moment in zip(codes[starts].tolist(), counts, *greatest, strict=True):
            seen = self._seen.setdefault(sources.values[code], _Seen())
            seen.events += count
            seen.greatest_number = max(seen.greatest_number, number)
            seen.greatest_time = max(seen.greatest_time, moment)

    def _pass_over(self, lower: bytes, error: DamagedError) -> bytes:
        """Note a block that cannot be found, read the young events up to the next one, and return its first
        key.
        """
        with self._environment.read() as transaction:
            blocks = self._environment.databases["blocks"]
            index = BlockIndex(
                transaction.cursor(self._environment.databases["summaries"]),
                lambda first: Block(first, stored_block(transaction, blocks, first)),
            )
            bad, beyond = lower, index.first_from(lower)
            if beyond is not None and _is_sound(index, lower):
                bad, beyond = beyond, index.first_from(beyond + b"\0")
            zone_map = _zone_map_of(index, bad)
        upper = BEYOND_ALL if beyond is None else beyond
        self.faults.lose(error, bad, zone_map)
        while lower < upper:
            with self._environment.snapshot(noted_before) as (_, young):
                found, more = young.find(lower, upper, descending=False, events_max=self._events_max)
            self._check_young(found, None)
            lower = found.keys[-1] + b"\0" if more else upper
        return upper

    def check_head(self) -> None:
        """Compare the greatest number of a commit that an event has with that of the newest commit."""
        with self._environment.snapshot(noted_before) as snapshot:
            head = self._newest_commit(snapshot)
        if self._greatest_commit > head and not self.faults.count:
            reason = f"an event has number {self._greatest_commit}, the newest record has {head}"
            self.faults.add(Fault(f"commits {self._greatest_commit}", reason))

    def check_sources(self) -> None:
        """Compare the states of sources with their events."""
        less = self.faults.are_events_missing or self._facts().horizon != self._horizon
        for name in sorted(self.states.keys() | self._seen.keys()):
            state, seen = self.states.get(name), self._seen.get(name, _Seen())
            if state is None:
                if not self.faults.are_events_missing:  # otherwise it may be the state that cannot be read
                    self.faults.add(
                        Fault(f"sources {name}", "it has events but no state", events=seen.events)
                    )
                continue
            if seen.events > state.events or (seen.events < state.events and not less):
                reason = f"it has {seen.events} events, its state says {state.events}"
                self.faults.add(Fault(f"sources {name}", reason, events=seen.events))
            elif seen.events and (
                seen.greatest_number > _known(state.greatest_number)
                or seen.greatest_time > _known(state.greatest_time)
            ):
                reason = "an event has a greater number or a later time than its state says"
                self.faults.add(Fault(f"sources {name}", reason, events=seen.events))


class _Opener:
    """Opens blocks for a reader, every column decoded; one that is damaged is left out."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.error: DamagedError | None = None
        """Why the last block was left out."""

    def open(self, key: bytes, value: bytes) -> Block | None:
        """Return the block, None if it is damaged."""
        try:
            block = Block(key, value)
            block.check_body()
            events = block.events
        except DamagedError as error:
            self.error = error
            return None
        out_of_order = first_out_of_order(events)
        if out_of_order is not None:
            at = EventKey(*events.key(out_of_order))
            reason = "its events are not in strict key order"
            self._faults.add(Fault(f"blocks {key.hex()}", reason, at, at, events.size))
        return block


def first_out_of_order(events: StoredVectors) -> int | None:
    """Return the index of the first event whose key is not greater than that of the one before."""
    steps = np.diff(events.times)
    for index in np.flatnonzero(steps <= 0).tolist():
        if steps[index] < 0 or encode_key(*events.key(index)) >= encode_key(*events.key(index + 1)):
            return int(index) + 1
    return None


def _zone_map_of(index: BlockIndex, first: bytes) -> ZoneMap | None:
    """Return the zone map of a block; None if there is none that can be read."""
    with suppress(DamagedError):
        found = index.before(first + b"\0")
        return found if found is not None and found.first == first else None
    return None


def _is_sound(index: BlockIndex, lower: bytes) -> bool:
    """Return whether the block before a key can be found, if there is one."""
    try:
        index.before(lower)
    except DamagedError:
        return False
    return True


def _known(greatest: int | None) -> int:
    return -(1 << 63) if greatest is None else greatest

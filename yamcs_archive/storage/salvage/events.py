"""The events that were found, wherever they are: first counted by commit, then read commit by commit.

1. All of them do not fit into memory. So each leaf of rows and each block is read once to learn which commits
   its events are of, and how much they are; and again when it is the turn of one of these commits.
2. What cannot be read is noted the first time.
3. Events below the prune horizon were deleted, and are left out. A stray leaf may have events of a commit
   that failed: those that the record of their commit does not know are left out too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from yamcs_archive.event_vectors import Int64s, StoredVectors
from yamcs_archive.storage.disk.lmdb_pages import Node, PageError, PageFile
from yamcs_archive.storage.format.keys import Key, Keys, time_bound
from yamcs_archive.storage.format.zone_maps import ZoneMap
from yamcs_archive.storage.maintain.faults import key_or_none
from yamcs_archive.storage.salvage.commits import Commits
from yamcs_archive.storage.salvage.losses import Losses
from yamcs_archive.storage.salvage.readable import Unread, read_block, read_rows
from yamcs_archive.storage.salvage.trees import Leaf

WINDOW_EVENTS_MAX = 50_000
WINDOW_BYTES_MAX = 32 << 20
"""Events, and bytes of text, that are in memory together; more only if one commit has more."""


class _Place(NamedTuple):
    """Where events are: all rows of a leaf, or one block, or in memory, as the log has them."""

    file: PageFile | None
    page: int
    block: Node | None
    is_stray: bool
    young: StoredVectors | None = None


class _Block(NamedTuple):
    """What is known of a block."""

    readable: int
    """Events that can be read."""
    lost: int
    """Events that cannot be read and whose keys are known."""
    unread: str
    """Why a part of which not even the keys are known cannot be read; empty if there is none."""


_SOUND = _Block(0, 0, "")


class Events:
    """Events by commit."""

    def __init__(self, losses: Losses, commits: Commits, horizon: int | None) -> None:
        self._losses, self._commits, self._horizon = losses, commits, horizon
        self._places: list[_Place] = []
        self._of_places: list[Int64s] = []
        """For each place its commits, the number of events of each, and their bytes, as rows."""
        self._blocks: dict[bytes, _Block] = {}

    def add_rows(self, leaf: Leaf) -> None:
        """Note the events of a leaf of rows."""
        pairs = list(leaf.pairs(self._lose_row if not leaf.is_stray else _ignore))
        events, damaged = read_rows(pairs)
        if not leaf.is_stray:
            for key, error in damaged:
                self._lose_row(key, error.reason)
        self._add(_Place(leaf.file, leaf.number, None, leaf.is_stray), events)

    def add_young(self, events: StoredVectors) -> None:
        """Note the events of a log."""
        self._add(_Place(None, 0, None, is_stray=False, young=events), events)

    def _lose_row(self, key: bytes, reason: object) -> None:
        found = key_or_none(key)
        where = f"rows {key.hex()}"
        if found is None:
            self._losses.add_range(where, str(reason), None, None, 1)
        else:
            key_ = (found.generation_time, found.source, found.seq_number)
            self._lose_keys(where, str(reason), [key_])

    def _lose_keys(self, where: str, reason: str, keys: Sequence[Key]) -> None:
        """Note lost events; those below the horizon are no loss."""
        lost = [key for key in keys if self._horizon is None or key[0] >= self._horizon]
        if lost:
            self._losses.add_keys(where, reason, lost)

    def add_blocks(self, leaf: Leaf) -> None:
        """Note the events of the blocks of a leaf."""
        for node in leaf.nodes:
            try:
                value = leaf.file.value(leaf.page, node)
            except PageError as error:
                if not leaf.is_stray:
                    self._blocks[node.key] = _Block(0, 0, str(error))
                continue
            events, unread = read_block(node.key, value)
            if not leaf.is_stray:
                self._note_block(node.key, events, unread)
            self._add(_Place(leaf.file, leaf.number, node, leaf.is_stray), events)

    def _note_block(self, key: bytes, events: StoredVectors, unread: Sequence[Unread]) -> None:
        nameless, lost = "", 0
        for part in unread:
            if part.keys is None:
                nameless = part.reason
                continue
            lost += len(part.keys)
            self._lose_keys(f"blocks {key.hex()}", part.reason, part.keys)
        if unread:
            self._blocks[key] = _Block(events.size, lost, nameless)
        else:
            self._blocks[key] = _SOUND

    def _add(self, place: _Place, events: StoredVectors) -> None:
        events = self._wanted(events, place)
        if not events.size:
            return
        commits, at = np.unique(events.commits, return_inverse=True)
        counts = np.bincount(at)
        sizes = np.bincount(at, weights=events.sizes()).astype(np.int64)
        self._places.append(place)
        self._of_places.append(np.stack([commits, counts, sizes]))

    def _wanted(self, events: StoredVectors, place: _Place) -> StoredVectors:
        if self._horizon is not None and events.size:
            events = events.take(np.flatnonzero(events.times >= self._horizon))
        if place.is_stray and events.size:
            keys = Keys.of(events)
            encoded = keys.encoded()
            numbers = events.commits.tolist()
            known = [self._commits.may_have(*each) for each in zip(numbers, encoded, strict=True)]
            if not all(known):
                events = events.take(np.flatnonzero(known))
        return events

    def settle_blocks(self, zone_maps: Iterable[ZoneMap]) -> None:
        """Note what is lost of blocks, given the zone maps that can be read."""
        expected = {zone_map.first: zone_map for zone_map in zone_maps}
        for key in sorted(self._blocks.keys() | expected.keys()):
            self._settle_block(key, self._blocks.get(key), expected.get(key))

    def _settle_block(self, key: bytes, block: _Block | None, zone_map: ZoneMap | None) -> None:
        reason = "there is a zone map of it but no block" if block is None else block.unread
        if not reason:
            return
        last, lost = None, None
        if zone_map is not None:
            readable = 0 if block is None else block.readable + block.lost
            last, lost = zone_map.last, max(0, zone_map.events - readable)
            if self._is_pruned(last):
                return
        self._losses.add_range(f"blocks {key.hex()}", reason, key, last, lost)

    def _is_pruned(self, key: bytes) -> bool:
        return self._horizon is not None and key < time_bound(self._horizon)

    @property
    def total(self) -> int:
        """The number of events that can be read, counting one that is found twice twice."""
        return sum(int(table[1].sum()) for table in self._of_places)

    def windows(self) -> Iterator[StoredVectors]:
        """Yield all events in the order of their commits, some whole commits at a time."""
        if not self._places:
            return
        lows = np.array([table[0][0] for table in self._of_places])
        highs = np.array([table[0][-1] for table in self._of_places])
        for lowest, greatest in self._windows():
            overlapping = np.flatnonzero((lows <= greatest) & (highs >= lowest)).tolist()
            parts = [self._read(self._places[nth], lowest, greatest) for nth in overlapping]
            events = StoredVectors.concat(parts)
            yield events.take(np.argsort(events.commits, kind="stable"))

    def _windows(self) -> Iterator[tuple[int, int]]:
        """Yield the first and the last commit of each window."""
        every = np.concatenate(self._of_places, axis=1)
        commits, at = np.unique(every[0], return_inverse=True)
        counts, sizes = (np.bincount(at, weights=column) for column in every[1:])
        reached_events, reached_bytes = np.cumsum(counts), np.cumsum(sizes)
        start = 0
        while start < len(commits):
            before = (reached_events[start - 1], reached_bytes[start - 1]) if start else (0, 0)
            stop = min(
                int(reached_events.searchsorted(before[0] + WINDOW_EVENTS_MAX, "right")),
                int(reached_bytes.searchsorted(before[1] + WINDOW_BYTES_MAX, "right")),
            )
            stop = max(stop, start + 1)
            yield int(commits[start]), int(commits[stop - 1])
            start = stop

    def _read(self, place: _Place, lowest: int, greatest: int) -> StoredVectors:
        try:
            events = self._read_all(place)
        except PageError as error:  # the medium gave it a moment ago
            self._losses.add_range("events", str(error), None, None, None)
            return StoredVectors.concat([])
        return events.take(np.flatnonzero((lowest <= events.commits) & (events.commits <= greatest)))

    def _read_all(self, place: _Place) -> StoredVectors:
        if place.young is not None or place.file is None:
            return StoredVectors.concat([]) if place.young is None else self._wanted(place.young, place)
        page = place.file.page(place.page)
        if place.block is None:
            leaf = Leaf.of(place.file, place.page, page, is_stray=place.is_stray)
            events, _ = read_rows(list(leaf.pairs(_ignore)))
        else:
            events, _ = read_block(place.block.key, place.file.value(page, place.block))
        return self._wanted(events, place)


def _ignore(_key: bytes, _reason: object) -> None:
    pass

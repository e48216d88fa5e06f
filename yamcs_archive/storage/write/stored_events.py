"""The stored events as a commit looks them up: memory tables and blocks, which together are in one order of
keys.

Blocks are read in a transaction that begins when it is needed: events beyond the greatest key of all blocks,
as nearly all are, need none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from yamcs_archive.event import Event
from yamcs_archive.event_vectors import Indexes, StoredVectors
from yamcs_archive.storage.disk.environment import Environment, LazyRead
from yamcs_archive.storage.format.keys import Key, Keys, encode_key
from yamcs_archive.storage.format.source_states import SourceState
from yamcs_archive.storage.write.transaction import StoredBlocks
from yamcs_archive.storage.write.writer_cache import LEAST_KEY, WriterCache
from yamcs_archive.storage.young.memory_table import MemoryTable


class StoredEvents:
    """What is stored, for the thread that commits; see :class:`~.key_lookup.Existing`."""

    def __init__(
        self, tables: Sequence[MemoryTable], environment: Environment, read: LazyRead, cache: WriterCache
    ) -> None:
        self.tables = tables
        self._environment, self._read, self._cache = environment, read, cache
        self._blocks: StoredBlocks | None = None

    @property
    def blocks(self) -> StoredBlocks:
        """The blocks; reading begins."""
        if self._blocks is None:
            self._blocks = StoredBlocks(self._environment, self._read.transaction, self._cache)
        return self._blocks

    def next_key(self, key: Key) -> Key | None:
        """Return the least stored key that is not below ``key``, or None."""
        young = [table.first_from(key) for table in self.tables]
        found = min((following for following in young if following is not None), default=None)
        greatest = self._cache.greatest or self.blocks.greatest_key()
        if key > greatest:
            return found
        in_block = self.blocks.next_key(key, encode_key(*key))
        return in_block if found is None or (in_block is not None and in_block < found) else found

    def greatest_key(self) -> Key | None:
        """Return the greatest stored key, or None."""
        young = [table.greatest for table in self.tables if table.greatest is not None]
        greatest = max([*young, self._cache.greatest or self.blocks.greatest_key()])
        return None if greatest == LEAST_KEY else greatest

    def stored_among(self, keys: Keys) -> Indexes:
        """Return the indexes of those keys that are stored; the keys are in order."""
        found = [self.blocks.stored_among(keys), *(at for at, _, _ in self._young_among(keys))]
        return found[0] if len(found) == 1 else np.sort(np.concatenate(found))

    def rows(self, keys: Keys) -> Iterator[tuple[Indexes, StoredVectors]]:
        """Yield the events stored under ``keys``, which are in order and all stored, a block or a table at a
        time, with the indexes of their keys.
        """
        left = np.arange(keys.size)
        for at, table, indexes in self._young_among(keys):
            yield at, StoredVectors.of(table.columns(indexes), 0)
            left = np.setdiff1d(left, at, assume_unique=True)
        if len(left):
            for start, events in self.blocks.rows(keys.take(left)):
                yield left[start : start + events.size], events

    def _young_among(self, keys: Keys) -> Iterator[tuple[Indexes, MemoryTable, list[int]]]:
        """Yield each table that has some of the keys, with the indexes of these and of their events."""
        encoded = cache(keys.encoded)
        for table in self.tables:
            if table.events:
                found = table.indexes_among(keys, encoded)
                at = np.flatnonzero(found >= 0)
                if len(at):
                    yield at, table, found[at].tolist()

    def events(self, keys: Sequence[Key]) -> list[Event]:
        """Return the events stored under ``keys``, which are in order."""
        found: list[Event | None] = [self._young(key) for key in keys]
        left = [at for at, event in enumerate(found) if event is None]
        if left:
            for at, event in zip(left, self.blocks.events([keys[at] for at in left]), strict=True):
                found[at] = event
        return [event for event in found if event is not None]

    def _young(self, key: Key) -> Event | None:
        for table in self.tables:
            if (index := table.index_of(key)) is not None:
                return table.columns([index]).event(0)
        return None

    def source(self, name: str) -> SourceState:
        """Return the state of a source."""
        for table in reversed(self.tables):
            if (found := table.sources.get(name)) is not None:
                return found
        return self.blocks.source(name) or SourceState()

    def request(self, key: bytes) -> bytes | None:
        """Return the record of a request's id, as it is stored."""
        for table in reversed(self.tables):
            if (found := table.requests.get(key)) is not None:
                return found
        return self.blocks.request(key)

    def requests(self) -> int:
        """Return about how many ids are stored: one that is in LMDB and anew in a table counts twice."""
        return self.blocks.requests() + sum(len(table.requests) for table in self.tables)

"""One transaction of the writer's: look-ups of stored events, and, in a write transaction, changes of blocks.

1. Only the thread that commits uses it. Decoded blocks are cached from one transaction to the next, because
   only the writer changes blocks; the cache is dropped when a transaction fails.
2. Blocks never overlap: a block is put only if its range overlaps no other block's, or after the blocks that
   it replaces were deleted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

import lmdb
import numpy as np

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import Event
from yamcs_archive.event_vectors import Indexes, StoredVectors
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.lmdb_open import TEXTS
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.block import Block, EncodedBlock, checksums_of
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.commits import (
    CommitRecord,
    commit_key,
    commit_number,
    decode_commit,
    encode_commit,
)
from yamcs_archive.storage.format.keys import BEYOND_ALL, Key, Keys, decode_key, encode_key
from yamcs_archive.storage.format.source_states import SourceState, decode_source
from yamcs_archive.storage.format.zone_maps import (
    BLOCK_LEVEL,
    GROUP_LEVEL,
    ZoneMap,
    decode_zone_map,
    encode_zone_map,
)
from yamcs_archive.storage.read.block_index import BlockIndex, stored_block
from yamcs_archive.storage.write.writer_cache import LEAST_KEY, WriterCache


class OverlapError(Exception):
    """A block would overlap another one: the store has changed after the block was made."""


class StoredBlocks:
    """The blocks of an instance, within a transaction of its writer: what is looked up."""

    def __init__(
        self, environment: Environment, transaction: lmdb.Transaction[bytes], cache: WriterCache
    ) -> None:
        self._databases = environment.databases
        self._transaction = transaction
        self.cache = cache
        self.index = BlockIndex(transaction.cursor(self._databases["summaries"]), self.block)
        self._around: Block | None = None
        """The block in which the last key was looked up. Keys come in order, so the next may be in it too."""

    def next_key(self, key: Key, encoded: bytes) -> Key | None:
        """Return the least key in a block that is not below ``key``, or None."""
        around = self._block_around(key, encoded)
        if around is not None:
            return around.key_of(around.index_of(key))
        following = self.index.first_from(encoded)
        return None if following is None else decode_key(following)

    def _block_around(self, key: Key, encoded: bytes) -> Block | None:
        """Return the block whose range holds a key, or None."""
        around = self._around
        if around is not None and around.key_of(0) <= key <= around.key_of(-1):
            return around
        found = self.index.around(encoded)
        if found is None:
            return None
        self._around = block = self.block(found.first)
        return block

    def greatest_key(self) -> Key:
        """Return the greatest key in a block, or LEAST_KEY."""
        if self.cache.greatest is None:
            block = self.index.before(BEYOND_ALL)
            self.cache.greatest = LEAST_KEY if block is None else decode_key(block.last)
        return self.cache.greatest

    def stored_among(self, keys: Keys) -> Indexes:
        """Return the indexes of those keys that are in blocks; the keys are in order.

        Meant for many keys among many stored ones: each block that may have some of them is read once.
        """
        found = [np.empty(0, np.intp)]
        at = 0
        while at < keys.size:
            lowest = encode_key(*keys.key(at))
            block = self.index.around(lowest)
            if block is None:
                following = self.index.first_from(lowest)
                at = keys.size if following is None else keys.below(following)
                continue
            stop = keys.below(block.last, or_equal=True)
            times = self.cache.times(block.first)
            if times is None:
                times = self.block(block.first).times
                self.cache.keep_times(block.first, times)
            asked = keys.times[at:stop]
            alike = at + np.flatnonzero(times[times.searchsorted(asked)] == asked)
            if len(alike):
                found.append(alike[self.block(block.first).indexes_among(keys.take(alike)) >= 0])
            at = stop
        return np.concatenate(found)

    def rows(self, keys: Keys) -> Iterator[tuple[int, StoredVectors]]:
        """Yield the events in blocks under ``keys``, which are in order, block by block.

        With those of each block comes the index of the first one's key. For many keys: each block is read
        once, and decoded whole where many of its events are asked for.
        """
        at = 0
        while at < keys.size:
            lowest = encode_key(*keys.key(at))
            around = self.index.around(lowest)
            if around is None:
                raise _gone(lowest)
            stop = keys.below(around.last, or_equal=True)
            block = self.block(around.first)
            indexes = block.indexes_among(keys.take(slice(at, stop)))
            if (missing := np.flatnonzero(indexes < 0)).size:
                raise _gone(encode_key(*keys.key(at + int(missing[0]))))
            self.cache.read_again(block)
            yield at, block.take(indexes.tolist())
            at = stop

    def value(self, key: bytes) -> bytes:
        """Return the bytes of the block whose first key is ``key``."""
        return stored_block(self._transaction, self._databases["blocks"], key)

    def block(self, key: bytes) -> Block:
        """Return the block whose first key is ``key``."""
        found = self.cache.get(key)
        if found is None:
            found = Block(key, self.value(key))
            self.cache.keep(found)
        return found

    def events(self, keys: Sequence[Key]) -> list[Event]:
        """Return the events in blocks under ``keys``, which are in order and may repeat; each block is read
        once.
        """
        encoded = [encode_key(*key) for key in keys]
        found: list[Event] = []
        while len(found) < len(keys):
            at = len(found)
            around = self.index.around(encoded[at])
            if around is None:
                raise _gone(encoded[at])
            stop = bisect_right(encoded, around.last, at)
            block = self.block(around.first)
            indexes = block.indexes_of_keys(keys[at:stop])
            if -1 in indexes:
                raise _gone(encoded[at + indexes.index(-1)])
            self.cache.read_again(block)
            repeat = len(set(indexes)) < len(indexes)
            found += block.take(indexes).events() if repeat else block.some_events(indexes)
        return found

    def request(self, key: bytes) -> bytes | None:
        """Return the record of a request's id, as it is stored."""
        return self._transaction.get(key, db=self._databases["requests"])

    def requests(self) -> int:
        """Return the number of ids that are stored."""
        return self._transaction.stat(self._databases["requests"])["entries"]

    def source(self, name: str) -> SourceState | None:
        """Return the state of a source."""
        key = name.encode()
        value = self._transaction.get(key, db=self._databases["sources"])
        return None if value is None else decode_source(key, value)[1]


class WriteTransaction(StoredBlocks):
    """The blocks of an instance, and all else that a write transaction changes."""

    def block_checksums(self, key: bytes) -> bytes | None:
        """Return the checksums of the block whose first key is ``key``, or None if there is none."""
        value = self._transaction.get(key, db=self._databases["blocks"])
        return None if value is None else checksums_of(value)

    def blocks_after_groups(self, blocks_max: int) -> list[ZoneMap]:
        """Return the zone maps of the first blocks after the last closed group.

        Damaged groups after that one are deleted; they are closed again from their blocks.
        """
        end = b""
        while (pair := self.index.last_group()) is not None:
            try:
                end = decode_zone_map(*pair).last + b"\0"
                break
            except DamagedError:
                self.delete_groups_from(pair[0])
        return list(islice(self.index.blocks_from(end), blocks_max))

    def follows(self, before: bytes, after: bytes) -> bool:
        """Return whether no event is in a block between two stored keys."""
        low, high = decode_key(before), decode_key(after)
        around = self._block_around(low, before)
        if around is not None and low < around.key_of(-1):
            index = around.index_of(low)
            return around.key_of(index + (around.key_of(index) == low)) >= high
        following = self.index.first_from(before + b"\0")
        return following is None or following >= after

    def put_pairs(self, database: str, pairs: Sequence[Pair]) -> None:
        """Put pairs into a sub-database, in place of those with their keys."""
        self._transaction.cursor(self._databases[database]).putmulti(pairs)

    def pop_commits(self, first: int, last: int) -> list[CommitRecord]:
        """Delete the records of the commits from ``first`` to ``last`` and return them."""
        cursor = self._transaction.cursor(self._databases["commits"])
        found: list[CommitRecord] = []
        more = cursor.set_key(commit_key(first))
        while more and commit_number(cursor.key()) <= last:  # later records may be damaged
            found.append(decode_commit(*cursor.item()))
            more = cursor.delete() and bool(cursor.key())  # deleting moves to the next one
        if not found or found[-1].last != last:
            raise DamagedError(f"commits {first} to {last}", "their records do not follow one another")
        return found

    def put_commits(self, record: CommitRecord) -> None:
        """Put the record of one or more commits, under a key that has none."""
        pair = encode_commit(record)
        if not self._transaction.put(*pair, overwrite=False, db=self._databases["commits"]):
            raise AssertionError(f"commit {record.first} is there already")

    def replace_requests(self, changes: Sequence[tuple[bytes, bytes, bytes | None]]) -> None:
        """Replace records of requests, or delete those whose new value is None.

        Records that have changed meanwhile are left as they are: an expired id may be in use again.
        """
        database = self._databases["requests"]
        for key, value, new_value in changes:
            if self._transaction.get(key, db=database) != value:
                continue
            if new_value is None:
                self._transaction.delete(key, db=database)
            else:
                self._transaction.put(key, new_value, db=database)

    def delete_fact(self, name: str) -> None:
        """Delete a fact of the instance, which must have it no longer."""
        self._transaction.delete(name.encode("ascii"), db=self._databases["meta"])

    def delete_keys(self, database: str, keys: Iterable[bytes]) -> None:
        """Delete the values of some keys of a sub-database."""
        for key in keys:
            self._transaction.delete(key, db=self._databases[database])

    def delete_commits(self, keys: Iterable[bytes]) -> None:
        """Delete the records of commits of which nothing is left."""
        for key in keys:
            self._transaction.delete(key, db=self._databases["commits"])

    def put_block(self, block: EncodedBlock) -> None:
        """Put a block and its zone map; a block with the same first key is replaced.

        Raises OverlapError if it would overlap another block; the transaction must then be aborted.
        """
        before = self.index.before(block.key)
        following = self.index.first_from(block.key + b"\0")
        if (before is not None and before.last >= block.key) or (
            following is not None and following <= block.zone_map.last
        ):
            raise OverlapError(block.key.hex())
        zone_map = block.zone_map
        self._around = None
        self._change_group(block.key, zone_map)
        self._drop_filter(BLOCK_LEVEL, block.key)
        self._transaction.put(block.key, block.value, db=self._databases["blocks"])
        failpoint("block-half-put")
        self._transaction.put(*encode_zone_map(BLOCK_LEVEL, zone_map), db=self._databases["summaries"])
        self.cache.forget([block.key])
        self.cache.met(decode_key(zone_map.last))
        failpoint("block-put")

    def delete_block(self, key: bytes) -> None:
        """Delete a block and its zone map. The zone map of its group may still cover it: that is allowed."""
        self._around = None
        self._change_group(key, None)
        self._drop_filter(BLOCK_LEVEL, key)
        self._transaction.delete(key, db=self._databases["blocks"])
        failpoint("block-half-deleted")
        self._transaction.delete(BLOCK_LEVEL + key, db=self._databases["summaries"])
        self.cache.forget([key])

    def narrow_groups(self, lower: bytes, upper: bytes) -> None:
        """Let the groups from one key to another begin with their first block again.

        Call it after blocks there were deleted. A group without any is deleted, and so is a damaged one.
        """
        group, _, _ = self.index.group_of(lower)
        at = lower if group is None else group.first
        cursor = self._transaction.cursor(self._databases["summaries"])
        while cursor.set_range(GROUP_LEVEL + at) and (key := cursor.key()) < GROUP_LEVEL + upper:
            value = cursor.value()
            at = key[len(GROUP_LEVEL) :] + b"\0"
            first = self.index.first_from(key[len(GROUP_LEVEL) :])
            left: ZoneMap | None = None
            with suppress(DamagedError):
                group = decode_zone_map(key, value)
                if first == group.first:
                    continue
                if first is not None and first <= group.last:
                    left = group._replace(first=first)
            self._transaction.delete(key, db=self._databases["summaries"])
            self._drop_filter(GROUP_LEVEL, key[len(GROUP_LEVEL) :])
            if left is not None:
                self.put_group(left)

    def _change_group(self, key: bytes, new: ZoneMap | None) -> None:
        """Change the zone map of the group in which a block is about to be put, or deleted if None."""
        group, _, _ = self.index.group_of(key)
        if group is None:
            return
        old: ZoneMap | None = None
        stored = self._transaction.get(BLOCK_LEVEL + key, db=self._databases["summaries"])
        if stored is not None:
            try:
                old = decode_zone_map(BLOCK_LEVEL + key, stored)
            except DamagedError:
                group = group._replace(severity_counts=())  # it is made anew after the next opening
        self.put_group(group.after_change(old, new))

    def put_group(self, group: ZoneMap) -> None:
        """Put the zone map of a closed group, whose text filter is then to be made anew."""
        self._drop_filter(GROUP_LEVEL, group.first)
        self._transaction.put(*encode_zone_map(GROUP_LEVEL, group), db=self._databases["summaries"])

    def put_zone_maps(self, changes: Sequence[tuple[bytes, bytes, ZoneMap]]) -> None:
        """Replace zone maps of blocks: (key, value, new zone map). One whose value has changed is left."""
        database = self._databases["summaries"]
        for key, value, zone_map in changes:
            if self._transaction.get(key, db=database) == value:
                self._transaction.put(*encode_zone_map(BLOCK_LEVEL, zone_map), db=database)

    def delete_groups_from(self, key: bytes) -> None:
        """Delete the zone maps of the groups from a key in ``summaries`` on. They are closed again later."""
        cursor = self._transaction.cursor(self._databases["summaries"])
        more = cursor.set_range(key)
        while more:
            self._drop_filter(GROUP_LEVEL, cursor.key()[len(GROUP_LEVEL) :])
            more = cursor.delete() and bool(cursor.key())

    def _drop_filter(self, level: bytes, first: bytes) -> None:
        """Delete the text filter of a block or a group that is put or deleted: it is made anew at rest."""
        self._transaction.delete(level + first, db=self._databases[TEXTS])

    def value_in(self, database: str, key: bytes) -> bytes | None:
        """Return the value under a key of a sub-database, or None."""
        return self._transaction.get(key, db=self._databases[database])


def _gone(key: bytes) -> DamagedError:
    return DamagedError(f"key {key.hex()}", "it was found a moment ago and is gone")

"""One write transaction: look-ups and changes of rows and blocks, which together are in one order of keys.

1. Only the writer's thread uses it. Decoded blocks are cached from one transaction to the next, because only
   the writer changes blocks; the cache is dropped when a transaction fails.
2. Blocks never overlap: a block is put only if its range overlaps no other block's, or after the blocks that
   it replaces were deleted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice, takewhile

import lmdb
import numpy as np

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import Event
from yamcs_archive.event_vectors import Int64s
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.block import Block, EncodedBlock, checksums_of
from yamcs_archive.storage.format.commits import (
    CommitRecord,
    commit_key,
    commit_number,
    decode_commit,
    encode_commit,
)
from yamcs_archive.storage.format.keys import BEYOND_ALL, Key, Keys, decode_key, encode_key
from yamcs_archive.storage.format.rows import decode_row
from yamcs_archive.storage.format.zone_maps import (
    BLOCK_LEVEL,
    GROUP_LEVEL,
    ZoneMap,
    decode_zone_map,
    encode_zone_map,
)
from yamcs_archive.storage.read.block_index import BlockIndex, stored_block
from yamcs_archive.storage.write.writer_cache import WriterCache

_ROWS_LOOKED_THROUGH, _ROWS_KNOWN_MAX = 64, 1 << 21
"""The times of all rows are loaded if there are at most 64 rows for each key looked up, and at most 2 Mi rows
(16 MB)."""


class OverlapError(Exception):
    """A block would overlap another one: the store has changed after the block was made."""


class WriteTransaction:
    """The rows and blocks of an instance, within a transaction of its writer."""

    def __init__(
        self, environment: Environment, transaction: lmdb.Transaction[bytes], cache: WriterCache
    ) -> None:
        self._databases = environment.databases
        self._transaction = transaction
        self.cache = cache
        self._rows = transaction.cursor(self._databases["rows"])
        self.index = BlockIndex(transaction.cursor(self._databases["summaries"]), self.block)
        self._around: Block | None = None
        """The block in which the last key was looked up. Keys come in order, so the next may be in it too."""

    def next_key(self, key: Key) -> Key | None:
        """Return the least stored key that is not below ``key``, or None."""
        greatest = self.greatest_key()
        if greatest is None or key > greatest:
            return None
        encoded = encode_key(*key)
        row = decode_key(self._rows.key()) if self._rows.set_range(encoded) else None
        in_block = self._next_in_blocks(key, encoded)
        if row is None or in_block is None:
            return row if in_block is None else in_block
        return min(row, in_block)

    def _next_in_blocks(self, key: Key, encoded: bytes) -> Key | None:
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

    def greatest_key(self) -> Key | None:
        """Return the greatest stored key, or None."""
        if self.cache.greatest is not None:
            return self.cache.greatest
        row = self._rows.key() if self._rows.last() else None
        block = self.index.before(BEYOND_ALL)
        keys = [decode_key(key) for key in (row, None if block is None else block.last) if key is not None]
        self.cache.greatest = max(keys, default=None)
        return self.cache.greatest

    def stored_among(self, keys: Keys) -> list[int]:
        """Return the indexes of those keys that are stored; the keys are in order.

        Meant for many keys among many stored ones: each block that may have some of them is read once.
        """
        # Not with getmulti(): it would hold all values in memory, and that of a repeated key several times.
        is_row = self._rows.set_key
        found = {index for index in self._maybe_rows(keys.times) if is_row(encode_key(*keys.key(index)))}
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
            alike: list[int] = (at + np.flatnonzero(times[times.searchsorted(asked)] == asked)).tolist()
            if alike:
                in_block = self.block(block.first).indexes_of_keys([keys.key(index) for index in alike])
                found.update(index for index, there in zip(alike, in_block, strict=True) if there >= 0)
            at = stop
        return sorted(found)

    def _maybe_rows(self, times: Int64s) -> Sequence[int]:
        """Return the indexes of those times that rows may have."""
        rows = self.cache.rows
        maybe = rows.may_have(times)
        if maybe is not None:
            return maybe
        count = self._transaction.stat(self._databases["rows"])["entries"]
        if not len(times) * _ROWS_LOOKED_THROUGH >= count <= _ROWS_KNOWN_MAX:
            return range(len(times))
        rows.learn(self._rows.iternext(values=False) if self._rows.first() else ())
        return self._maybe_rows(times)

    def row_between(self, lower: bytes, upper: bytes) -> bool:
        """Return whether a row is stored with ``lower < key < upper``."""
        return bool(self._rows.set_range(lower + b"\0")) and self._rows.key() < upper

    def block(self, key: bytes) -> Block:
        """Return the block whose first key is ``key``."""
        found = self.cache.get(key)
        if found is None:
            found = Block(key, stored_block(self._transaction, self._databases["blocks"], key))
            self.cache.keep(found)
        return found

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

    def events(self, keys: Sequence[Key]) -> list[Event]:
        """Return the events stored under ``keys``, which are in order; each block is read once."""
        encoded = [encode_key(*key) for key in keys]
        rows = self._rows.getmulti(dict.fromkeys(encoded))
        found = {key: decode_row(key, value).event for key, value in rows}
        left = [at for at, key in enumerate(encoded) if key not in found]
        while left:
            around = self.index.around(encoded[left[0]])
            if around is None:
                raise _gone(encoded[left[0]])
            inside = bisect_right(left, around.last, key=encoded.__getitem__)
            block = self.block(around.first)
            indexes = block.indexes_of_keys([keys[at] for at in left[:inside]])
            if -1 in indexes:
                raise _gone(encoded[left[indexes.index(-1)]])
            events = block.some_events(indexes)
            found.update(zip((encoded[at] for at in left[:inside]), events, strict=True))
            del left[:inside]
        return [found[key] for key in encoded]

    def follows(self, before: bytes, after: bytes) -> bool:
        """Return whether no event is stored between two stored keys."""
        if self.row_between(before, after):
            return False
        low, high = decode_key(before), decode_key(after)
        around = self._block_around(low, before)
        if around is not None and low < around.key_of(-1):
            index = around.index_of(low)
            return around.key_of(index + (around.key_of(index) == low)) >= high
        following = self.index.first_from(before + b"\0")
        return following is None or following >= after

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

    def put_rows(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Put new rows, in key order."""
        consumed, added = self._rows.putmulti(pairs, overwrite=False)
        if not consumed == added == len(pairs):
            raise AssertionError(f"{len(pairs)} new rows, {consumed} consumed, {added} added")
        self.cache.rows.put(key for key, _ in pairs)

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

    def delete_rows(self, keys: Sequence[bytes]) -> bool:
        """Delete rows, given in key order; return False if one is missing."""
        cursor, at = self._transaction.cursor(self._databases["rows"]), b""
        for key in keys:
            if at != key and not cursor.set_key(key):
                return False
            cursor.delete()
            at = cursor.key()  # of the next row, which often is the next to delete
        self.cache.rows.gone(len(keys))
        return True

    def row_keys_below(self, bound: bytes, rows_max: int) -> list[bytes]:
        """Return the keys of the first rows below a bound."""
        placed = self._rows.first()
        found = islice(self._rows.iternext(values=False), rows_max) if placed else ()
        return list(takewhile(lambda key: key < bound, found))

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
        self._transaction.put(block.key, block.value, db=self._databases["blocks"])
        failpoint("block-half-put")
        self._transaction.put(*encode_zone_map(BLOCK_LEVEL, zone_map), db=self._databases["summaries"])
        self.cache.forget([block.key])
        failpoint("block-put")

    def delete_block(self, key: bytes) -> None:
        """Delete a block and its zone map. The zone map of its group may still cover it: that is allowed."""
        self._around = None
        self._change_group(key, None)
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
        """Put the zone map of a closed group."""
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
            more = cursor.delete() and bool(cursor.key())


def _gone(key: bytes) -> DamagedError:
    return DamagedError(f"key {key.hex()}", "it was found a moment ago and is gone")

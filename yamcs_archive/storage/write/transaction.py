"""What the writer looks up and changes in one write transaction: rows and blocks as one order of keys.

1. Only the writer's thread uses it. Decoded blocks are kept from one transaction to the next, because
   nobody else changes blocks; they are forgotten when a transaction fails.
2. Blocks never overlap: a block is put only where no other block's range begins or reaches, or in the
   place of those that it replaces.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import lmdb
import numpy as np

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import Event
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.block import Block, EncodedBlock, checksums_of, zone_map_of
from yamcs_archive.storage.format.columns import Key
from yamcs_archive.storage.format.commits import (
    CommitRecord,
    commit_key,
    commit_number,
    decode_commit,
    encode_commit,
)
from yamcs_archive.storage.format.integers import Int64s
from yamcs_archive.storage.format.key_order import Keys
from yamcs_archive.storage.format.keys import decode_key, encode_key
from yamcs_archive.storage.format.rows import decode_row
from yamcs_archive.storage.format.zone_maps import (
    BLOCK_LEVEL,
    GROUP_LEVEL,
    ZoneMap,
    decode_zone_map,
    encode_zone_map,
    merged,
)
from yamcs_archive.storage.write.cache import WriterCache

_BEYOND_ALL = b"\xff" * 9
_ROWS_LOOKED_THROUGH, _ROWS_KNOWN_MAX = 64, 1 << 21
"""All rows are looked through for their times when there are no more of them for each key that is looked up,
and their times, 8 bytes each, take 16 MB at the most."""


class OverlapError(Exception):
    """A block would overlap another one: the store has changed since the block was made."""


class WriteTransaction:
    """Rows and blocks, in the writer's transaction."""

    def __init__(
        self, environment: Environment, transaction: lmdb.Transaction[bytes], cache: WriterCache
    ) -> None:
        self._databases = environment.databases
        self._transaction = transaction
        self._cache = cache
        self._rows = transaction.cursor(self._databases["rows"])
        self._summaries = transaction.cursor(self._databases["summaries"])
        self._around: Block | None = None
        """The block in which the last key was looked up: keys come in order, so the next may be there too."""

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
        around = self._around
        if around is not None and around.key_of(0) <= key <= around.key_of(-1):
            return around.key_of(around.place_of(key))
        before = self.block_before(encoded + b"\0")
        if before is not None and before.last >= encoded:
            self._around = block = self.block(before.first)
            return block.key_of(block.place_of(key))
        following = self.first_block_from(encoded)
        return None if following is None else decode_key(following)

    def greatest_key(self) -> Key | None:
        """Return the greatest stored key, or None."""
        if self._cache.greatest is not None:
            return self._cache.greatest
        row = self._rows.key() if self._rows.last() else None
        block = self.block_before(_BEYOND_ALL)
        keys = [decode_key(key) for key in (row, None if block is None else block.last) if key is not None]
        self._cache.greatest = max(keys, default=None)
        return self._cache.greatest

    def stored_among(self, keys: Keys) -> list[int]:
        """Return the places of the keys, which are in order, that are stored.

        For many keys among many stored ones: each block that may hold some is looked at once.
        """
        # Not by getmulti(), which would hold all values, and that of a key as often as it is asked for.
        there = self._rows.set_key
        found = {place for place in self._maybe_rows(keys.times) if there(encode_key(*keys.key(place)))}
        at = 0
        while at < keys.size:
            lowest = encode_key(*keys.key(at))
            block = self.block_before(lowest + b"\0")
            if block is None or block.last < lowest:
                following = self.first_block_from(lowest)
                at = keys.size if following is None else keys.below(following)
                continue
            stop = keys.below(block.last, or_equal=True)
            times = self._cache.times(block.first)
            if times is None:
                times = self.block(block.first).times
                self._cache.keep_times(block.first, times)
            asked = keys.times[at:stop]
            alike: list[int] = (at + np.flatnonzero(times[times.searchsorted(asked)] == asked)).tolist()
            if alike:
                places = self.block(block.first).places_of_keys([keys.key(place) for place in alike])
                found.update(place for place, there in zip(alike, places, strict=True) if there >= 0)
            at = stop
        return sorted(found)

    def _maybe_rows(self, times: Int64s) -> Sequence[int]:
        """Return the places of the times that rows may have."""
        rows = self._cache.rows
        maybe = rows.may_have(times)
        if maybe is not None:
            return maybe
        count = self._transaction.stat(self._databases["rows"])["entries"]
        if not len(times) * _ROWS_LOOKED_THROUGH >= count <= _ROWS_KNOWN_MAX:
            return range(len(times))
        rows.learn(self._rows.iternext(values=False) if self._rows.first() else ())
        return self._maybe_rows(times)

    def first_block_from(self, key: bytes) -> bytes | None:
        """Return the first key of the first block that begins at ``key`` or behind it."""
        if (
            self._summaries.set_range(BLOCK_LEVEL + key)
            and (found := self._summaries.key())[:1] == BLOCK_LEVEL
        ):
            return found[1:]
        return None

    def block_before(self, key: bytes) -> ZoneMap | None:
        """Return the summary of the last block that begins below ``key``."""
        placed = (
            self._summaries.prev() if self._summaries.set_range(BLOCK_LEVEL + key) else self._summaries.last()
        )
        while placed and self._summaries.key()[:1] != BLOCK_LEVEL:  # beyond the last block stand the groups
            placed = self._summaries.set_range(GROUP_LEVEL) and self._summaries.prev()
        return self._block_summary() if placed else None

    def _block_summary(self) -> ZoneMap:
        """Return the summary of a block at which the cursor is; made from the block if it is damaged."""
        key, value = self._summaries.item()
        try:
            return decode_zone_map(key, value)
        except DamagedError as error:
            try:
                return zone_map_of(self.block(key[len(BLOCK_LEVEL) :]))
            except DamagedError:
                raise error from None

    def row_between(self, lower: bytes, upper: bytes) -> bool:
        """Say whether a row stands with ``lower < key < upper``."""
        return bool(self._rows.set_range(lower + b"\0")) and self._rows.key() < upper

    def block(self, key: bytes) -> Block:
        """Return the block of that first key."""
        found = self._cache.get(key)
        if found is None:
            value = self._transaction.get(key, db=self._databases["blocks"])
            if value is None:
                raise DamagedError(f"blocks {key.hex()}", "there is a summary of it but no block")
            found = Block(key, value)
            self._cache.keep(found)
        return found

    def block_checksums(self, key: bytes) -> bytes | None:
        """Return the checksums of the block of that first key, or None."""
        value = self._transaction.get(key, db=self._databases["blocks"])
        return None if value is None else checksums_of(value)

    def blocks_behind_groups(self, blocks_max: int) -> list[ZoneMap]:
        """Return the summaries of the first blocks after the last closed group.

        Damaged groups after that one are deleted: they are made anew from their blocks.
        """
        behind = BLOCK_LEVEL
        while self._summaries.last() and self._summaries.key()[:1] == GROUP_LEVEL:
            try:
                behind += decode_zone_map(*self._summaries.item()).last + b"\0"
                break
            except DamagedError:
                self._summaries.delete()
        found: list[ZoneMap] = []
        placed = self._summaries.set_range(behind)
        while placed and len(found) < blocks_max and self._summaries.key()[:1] == BLOCK_LEVEL:
            found.append(self._block_summary())
            placed = self._summaries.next()
        return found

    def events(self, keys: Sequence[Key]) -> list[Event]:
        """Return the events stored under ``keys``, which come in order: of each block all at once."""
        encoded = [encode_key(*key) for key in keys]
        rows = self._rows.getmulti(dict.fromkeys(encoded))
        found = {key: decode_row(key, value).event for key, value in rows}
        left = [at for at, key in enumerate(encoded) if key not in found]
        while left:
            before = self.block_before(encoded[left[0]] + b"\0")
            inside = 0 if before is None else bisect_right(left, before.last, key=encoded.__getitem__)
            block = self.block(before.first) if before is not None and inside else None
            places = [-1] if block is None else block.places_of_keys([keys[at] for at in left[:inside]])
            if block is None or -1 in places:
                gone = encoded[left[max(0, places.index(-1))]]
                raise DamagedError(f"key {gone.hex()}", "it was found a moment ago and is gone")
            events = block.take(places).events()
            found.update(zip((encoded[at] for at in left[:inside]), events, strict=True))
            del left[:inside]
        return [found[key] for key in encoded]

    def follows(self, before: bytes, after: bytes) -> bool:
        """Say whether nothing is stored between two stored keys."""
        if self.row_between(before, after):
            return False
        low, high = decode_key(before), decode_key(after)
        around = self._around
        if around is None or not around.key_of(0) <= low <= around.key_of(-1):
            summary = self.block_before(before + b"\0")
            around = None
            if summary is not None and summary.last >= before:
                around = self._around = self.block(summary.first)
        if around is not None and low < around.key_of(-1):
            place = around.place_of(low)
            return around.key_of(place + (around.key_of(place) == low)) >= high
        following = self.first_block_from(before + b"\0")
        return following is None or following >= after

    def take_commits(self, first: int, last: int) -> list[CommitRecord]:
        """Delete the records of the commits from ``first`` to ``last`` and return them."""
        cursor = self._transaction.cursor(self._databases["commits"])
        found: list[CommitRecord] = []
        placed = cursor.set_key(commit_key(first))
        while placed and commit_number(cursor.key()) <= last:  # the records after it may be damaged
            found.append(decode_commit(*cursor.item()))
            placed = cursor.delete() and bool(cursor.key())  # which moves to the next one
        if not found or found[-1].last != last:
            raise DamagedError(f"commits {first} to {last}", "their records do not follow one another")
        return found

    def put_commits(self, record: CommitRecord) -> None:
        """Put the record of one commit or several, whose place must be free."""
        pair = encode_commit(record)
        if not self._transaction.put(*pair, overwrite=False, db=self._databases["commits"]):
            raise AssertionError(f"commit {record.first} is there already")

    def put_rows(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Put new rows, in key order."""
        taken, added = self._rows.putmulti(pairs, overwrite=False)
        if not taken == added == len(pairs):
            raise AssertionError(f"{len(pairs)} new rows, {taken} taken, {added} added")
        self._cache.rows.put(key for key, _ in pairs)

    def keep(self, block: Block) -> None:
        """Keep a block that was just put, so that the next append need not read it back."""
        self._cache.keep(block)

    def keep_times(self, key: bytes, times: Int64s) -> None:
        """Keep the times of a block that was just put, for what comes late."""
        self._cache.keep_new_times(key, times)

    def replace_requests(self, changes: Sequence[tuple[bytes, bytes, bytes | None]]) -> None:
        """Replace records of requests, or delete those whose new value is None.

        Only those that are unchanged: an old id may be in use again.
        """
        database = self._databases["requests"]
        for key, value, instead in changes:
            if self._transaction.get(key, db=database) != value:
                continue
            if instead is None:
                self._transaction.delete(key, db=database)
            else:
                self._transaction.put(key, instead, db=database)

    def delete_rows(self, keys: Sequence[bytes]) -> bool:
        """Delete rows, given in key order; False when one is not there."""
        cursor, at = self._transaction.cursor(self._databases["rows"]), b""
        for key in keys:
            if at != key and not cursor.set_key(key):
                return False
            cursor.delete()
            at = cursor.key()  # of the next row, which is often the next to go
        self._cache.rows.gone(len(keys))
        return True

    def put_block(self, block: EncodedBlock) -> None:
        """Put a block and its summary, in the place of the one with the same first key if there is one.

        Raises OverlapError when it would overlap another block; the transaction must end then.
        """
        before = self.block_before(block.key)
        following = self.first_block_from(block.key + b"\0")
        if (before is not None and before.last >= block.key) or (
            following is not None and following <= block.zone_map.last
        ):
            raise OverlapError(block.key.hex())
        summary = block.zone_map
        self._around = None
        self._transaction.put(block.key, block.value, db=self._databases["blocks"])
        failpoint("block-half-put")
        self._transaction.put(*encode_zone_map(BLOCK_LEVEL, summary), db=self._databases["summaries"])
        self._cache.forget([block.key])
        failpoint("block-put")
        group = self._group_around(block.key)
        if group is not None:
            widened = merged([group, summary])
            self._transaction.put(*encode_zone_map(GROUP_LEVEL, widened), db=self._databases["summaries"])

    def delete_block(self, key: bytes) -> None:
        """Delete a block and its summary. A group that held it may go on saying so: that is allowed."""
        self._around = None
        self._transaction.delete(key, db=self._databases["blocks"])
        failpoint("block-half-deleted")
        self._transaction.delete(BLOCK_LEVEL + key, db=self._databases["summaries"])
        self._cache.forget([key])

    def _group_around(self, key: bytes) -> ZoneMap | None:
        if not self._summaries.set_range(GROUP_LEVEL + key):
            placed = self._summaries.last()
        else:
            placed = self._summaries.key() == GROUP_LEVEL + key or self._summaries.prev()
        if not placed or self._summaries.key()[:1] != GROUP_LEVEL:
            return None
        try:
            group = decode_zone_map(*self._summaries.item())
        except DamagedError:  # nothing relies on it
            return None
        return group if group.last >= key else None

    def put_group(self, group: ZoneMap) -> None:
        """Put the summary of a closed group."""
        self._transaction.put(*encode_zone_map(GROUP_LEVEL, group), db=self._databases["summaries"])

    def delete_group(self, key: bytes) -> None:
        """Delete the record of a closed group; its blocks are in no group then."""
        self._transaction.delete(key, db=self._databases["summaries"])

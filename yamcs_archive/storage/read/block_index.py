"""The zone maps of an instance in key order, through one cursor: which block holds a key, which come next.

1. A damaged zone map is made again from its block. If that is damaged too, the zone map's error is raised.
2. The blocks of a damaged group are examined one by one, which is slower, but right.
3. A block, or a group, that a text filter excludes is passed over; a filter that is missing excludes
   nothing.
4. An index lives as long as the transaction of its cursor. Each call moves the cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import lmdb

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.format.block import Block, zone_map_of
from yamcs_archive.storage.format.block_part_decoder import locate
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.keys import BEYOND_ALL
from yamcs_archive.storage.format.text_filters import excludes
from yamcs_archive.storage.format.zone_maps import (
    BLOCK_LEVEL,
    GROUP_LEVEL,
    BlockFilter,
    ZoneMap,
    decode_if_matching,
    decode_zone_map,
)


class BlockIndex:
    """The blocks and the closed groups of blocks, by first key.

    ``open_block`` is called where a zone map is damaged: it returns the block with a first key, or raises
    DamagedError. Without it the zone map's error is raised. ``texts`` is at the text filters, if there are
    any.
    """

    def __init__(
        self,
        cursor: lmdb.Cursor[bytes],
        open_block: Callable[[bytes], Block] | None = None,
        texts: lmdb.Cursor[bytes] | None = None,
    ) -> None:
        self._cursor = cursor
        self._texts = texts
        self._open_block = open_block

    def before(self, key: bytes) -> ZoneMap | None:
        """Return the zone map of the last block that begins below ``key``."""
        pair = self.pair_before(key)
        return None if pair is None else self._decoded(pair)

    def pair_before(self, key: bytes) -> Pair | None:
        """Return the same as it is stored."""
        return self._cursor.item() if self._seek_before(key) else None

    def around(self, key: bytes) -> ZoneMap | None:
        """Return the zone map of the block whose range holds ``key``."""
        found = self.before(key + b"\0")
        return None if found is None or found.last < key else found

    def first_from(self, key: bytes) -> bytes | None:
        """Return the first key of the first block that begins at ``key`` or after it."""
        cursor = self._cursor
        if cursor.set_range(BLOCK_LEVEL + key) and (found := cursor.key())[:1] == BLOCK_LEVEL:
            return found[1:]
        return None

    def blocks_from(self, key: bytes) -> Iterator[ZoneMap]:
        """Yield the zone maps of the blocks that begin at ``key`` or after it."""
        cursor = self._cursor
        placed = cursor.set_range(BLOCK_LEVEL + key)
        while placed and cursor.key()[:1] == BLOCK_LEVEL:
            yield self._decoded(cursor.item())
            placed = cursor.next()

    def first_match(self, lower: bytes, upper: bytes, wanted: BlockFilter | None) -> ZoneMap | None:
        """Return the first block that may hold something wanted with ``lower <= key < upper``."""
        cursor = self._cursor
        placed = cursor.set_range(BLOCK_LEVEL + lower)
        if not placed or cursor.key() != BLOCK_LEVEL + lower:
            # The block before may reach into the range.
            if cursor.prev() if placed else cursor.last():
                before = self._decoded(cursor.item())
                if before.last >= lower and (
                    wanted is None
                    or (before.may_match(wanted) and not self._excluded(BLOCK_LEVEL + before.first, wanted))
                ):
                    return before
                placed = cursor.next()
            else:
                placed = cursor.set_range(BLOCK_LEVEL + lower)
        beyond = b""
        while placed and cursor.key()[:1] == BLOCK_LEVEL:
            key = cursor.key()
            first = key[1:]
            if first >= upper:
                return None
            found = self._if_matching(wanted)
            if found is not None:
                return found
            if wanted is not None and first >= beyond:
                group, _, beyond = self.group_of(first)
                if group is not None and self._has_nothing(group, wanted):
                    placed = cursor.set_range(BLOCK_LEVEL + beyond)
                    continue
                cursor.set_key(key)
            placed = cursor.next()
        return None

    def last_match(self, lower: bytes, upper: bytes, wanted: BlockFilter | None) -> ZoneMap | None:
        """Return the last block that may hold something wanted with ``lower <= key < upper``."""
        cursor = self._cursor
        placed = self._seek_before(upper)
        begin = BEYOND_ALL
        while placed:
            found = self._if_matching(wanted)
            if found is not None:
                return found if found.last >= lower else None
            key = cursor.key()
            first = key[1:]
            if first <= lower:
                return None
            if wanted is not None and first < begin:
                group, begin, _ = self.group_of(first)
                if group is not None and self._has_nothing(group, wanted):
                    placed = self._seek_before(begin)
                    continue
                cursor.set_key(key)
            placed = cursor.prev()
        return None

    def group_of(self, key: bytes) -> tuple[ZoneMap | None, bytes, bytes]:
        """Return the closed group whose range holds ``key``, or None, and the range in which that is so.

        The range begins at the first key returned and ends before the second. The newest blocks, hundreds of
        them, are in no group: with the range they need not be looked up one by one.
        """
        cursor, beyond = self._cursor, BEYOND_ALL
        if not cursor.set_range(GROUP_LEVEL + key):
            placed = cursor.last()
        elif cursor.key() == GROUP_LEVEL + key:
            placed = True
        else:
            beyond = cursor.key()[1:]
            placed = cursor.prev()
        if not placed or cursor.key()[:1] != GROUP_LEVEL:
            return None, b"", beyond
        try:
            group = decode_zone_map(*cursor.item())
        except DamagedError:
            return None, cursor.key()[1:], beyond
        end = group.last + b"\0"
        return (group, group.first, end) if key < end else (None, end, beyond)

    def last_group(self) -> Pair | None:
        """Return the last closed group as it is stored."""
        found = self._cursor.last() and self._cursor.key()[:1] == GROUP_LEVEL
        return self._cursor.item() if found else None

    def _seek_before(self, key: bytes) -> bool:
        """Move to the last block that begins below ``key``; groups, if there are any, come after all
        blocks."""
        cursor = self._cursor
        return cursor.prev() if cursor.set_range(BLOCK_LEVEL + key) else cursor.last()

    def _if_matching(self, wanted: BlockFilter | None) -> ZoneMap | None:
        """Return the zone map that the cursor is at, unless its block has nothing that is wanted."""
        key, value = self._cursor.item()
        if wanted is not None and wanted.trigrams and self._excluded(key, wanted):
            return None
        try:
            return decode_if_matching(key, value, wanted)
        except DamagedError as error:
            return self._made_again(key, error)

    def _has_nothing(self, group: ZoneMap, wanted: BlockFilter) -> bool:
        return not group.may_match(wanted) or self._excluded(GROUP_LEVEL + group.first, wanted)

    def _excluded(self, key: bytes, wanted: BlockFilter) -> bool:
        """Return whether the text filter of a block or a group, by its key, excludes what is wanted."""
        if not wanted.trigrams or self._texts is None or not self._texts.set_key(key):
            return False
        return excludes(*self._texts.item(), wanted.trigrams)

    def _decoded(self, pair: Pair) -> ZoneMap:
        try:
            return decode_zone_map(*pair)
        except DamagedError as error:
            return self._made_again(pair[0], error)

    def _made_again(self, key: bytes, error: DamagedError) -> ZoneMap:
        locate(error, key[len(BLOCK_LEVEL) :], None, None)
        if self._open_block is None:
            raise error
        try:
            return zone_map_of(self._open_block(key[len(BLOCK_LEVEL) :]))
        except DamagedError:
            raise error from None


def stored_block(transaction: lmdb.Transaction[bytes], blocks: lmdb._Database, first: bytes) -> bytes:
    """Return the bytes of a block that has a zone map, by its first key; DamagedError if it is not there."""
    value = transaction.get(first, db=blocks)
    if value is None:
        raise DamagedError(f"blocks {first.hex()}", "there is a zone map of it but no block")
    return value

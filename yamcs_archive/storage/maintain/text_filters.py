"""Text filters are made of blocks that have none: at rest, and a few in each round of maintenance.

1. Whoever puts or deletes a block deletes its text filter and that of its group, in the same transaction. So
   a filter that is there is right, and one that is missing excludes nothing: appending waits for none.
2. A filter takes two milliseconds: it has every byte of the block's text. The filter of a group is
   joined of those of its blocks.
3. While commits come, the last blocks are left out, which still change.
4. A damaged filter is deleted once after each opening, and so made anew. A block that cannot be read gets
   none; others tell of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.lmdb_open import TEXTS
from yamcs_archive.storage.format.block import Block, checksums_of, text_filter_of
from yamcs_archive.storage.format.text_filters import TextFilter, WorkSpace, decode_filter
from yamcs_archive.storage.format.zone_maps import BLOCK_LEVEL, GROUP_LEVEL, decode_zone_map
from yamcs_archive.storage.write.transaction import WriteTransaction

_AT_ONCE = 16
"""Filters that are put in one transaction: some 30 ms of work for it, without the writer."""
_KEYS_AT_ONCE, _VALUES_AT_ONCE = 10_000, 1_000
"""Keys that are compared, and filters that are read, in one read transaction."""
CHANGING_BLOCKS = 2
"""The newest blocks, which are left out while commits come."""

Damaged = Callable[[DamagedError], None]


class BlockTexts(NamedTuple):
    """The text filter of a block."""

    first: bytes
    """The block's first key."""
    checksums: bytes
    """Those of the block of which it was made."""
    texts: TextFilter


def are_missing(environment: Environment, most: int = 0) -> bool:
    """Return whether more than ``most`` blocks and groups have no filter. It reads nothing but two counts."""
    with environment.read() as transaction:
        zone_maps = transaction.stat(environment.databases["summaries"])["entries"]
        filters = transaction.stat(environment.databases[TEXTS])["entries"]
    return zone_maps > filters + most


def of_blocks(environment: Environment, left_out: int = 0) -> Iterator[list[BlockTexts]]:
    """Yield the filters of blocks that have none, some at a time; not those of the ``left_out`` last
    blocks.
    """
    due = _without_filter(environment, BLOCK_LEVEL)
    if left_out:
        newest = _newest(environment, left_out)
        due = [first for first in due if first not in newest]
    space = WorkSpace()
    for at in range(0, len(due), _AT_ONCE):
        found = []
        for first in due[at : at + _AT_ONCE]:
            with environment.read() as transaction:
                value = transaction.get(first, db=environment.databases["blocks"])
            if value is not None:  # else it was replaced meanwhile
                with suppress(DamagedError):
                    block = Block(first, value)
                    found.append(BlockTexts(first, checksums_of(value), text_filter_of(block, space)))
        yield found


def groups_without(environment: Environment) -> list[bytes]:
    """Return the first keys of the groups that have no filter."""
    return _without_filter(environment, GROUP_LEVEL)


def damaged_filters(environment: Environment, damaged: Damaged) -> list[bytes]:
    """Return the keys of the filters that cannot be read, in ``texts``; ``damaged`` is called for each."""
    found: list[bytes] = []
    after, more = b"", True
    while more:
        with environment.read() as transaction:
            cursor = transaction.cursor(environment.databases[TEXTS])
            more = cursor.set_range(after + b"\0")
            for _ in range(_VALUES_AT_ONCE):
                if not more:
                    break
                after, value = cursor.item()
                try:
                    decode_filter(after, value)
                except DamagedError as error:
                    damaged(error)
                    found.append(after)
                more = cursor.next()
    return found


def put(found: list[BlockTexts], stored: WriteTransaction) -> None:
    """Put the filters of blocks, in the writer's transaction; those of blocks that have changed are left."""
    same = [each for each in found if stored.block_checksums(each.first) == each.checksums]
    stored.put_pairs(TEXTS, [each.texts.encode(BLOCK_LEVEL, each.first) for each in same])


def drop(keys: list[bytes], stored: WriteTransaction) -> None:
    """Delete filters, in the writer's transaction."""
    stored.delete_keys(TEXTS, keys)


def join_group(first: bytes, stored: WriteTransaction) -> bool:
    """Make the filter of a group, in the writer's transaction; False if not all of its blocks have one."""
    with suppress(DamagedError):
        if (joined := _joined(first, stored)) is not None:
            stored.put_pairs(TEXTS, [joined.encode(GROUP_LEVEL, first)])
            return True
    return False


def _joined(group: bytes, stored: WriteTransaction) -> TextFilter | None:
    zone_map = stored.value_in("summaries", GROUP_LEVEL + group)
    if zone_map is None:
        return None
    last = decode_zone_map(GROUP_LEVEL + group, zone_map).last
    joined = TextFilter()
    first: bytes | None = group
    while first is not None and first <= last and not joined.anything:
        value = stored.value_in(TEXTS, BLOCK_LEVEL + first)
        if value is None:
            return None
        joined.join(decode_filter(BLOCK_LEVEL + first, value))
        first = stored.index.first_from(first + b"\0")
    return joined


def _newest(environment: Environment, count: int) -> set[bytes]:
    with environment.read() as transaction:
        cursor = transaction.cursor(environment.databases["blocks"])
        placed = cursor.last()
        found: set[bytes] = set()
        while placed and len(found) < count:
            found.add(cursor.key())
            placed = cursor.prev()
        return found


def _without_filter(environment: Environment, level: bytes) -> list[bytes]:
    """Return the first keys of the blocks or groups that have no filter."""
    found: list[bytes] = []
    after, more = level, True
    while more:
        with environment.read() as transaction:
            zone_maps = transaction.cursor(environment.databases["summaries"])
            texts = transaction.cursor(environment.databases[TEXTS])
            more = zone_maps.set_range(after + b"\0")
            for _ in range(_KEYS_AT_ONCE):
                more = more and zone_maps.key().startswith(level)
                if not more:
                    break
                after = zone_maps.key()
                if not texts.set_key(after):
                    found.append(after[len(level) :])
                more = zone_maps.next()
    return found

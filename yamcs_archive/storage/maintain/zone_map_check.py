"""The check of zone maps: each against its block, those of groups against those of blocks.

A zone map may claim more than its block has: queries then read the block in vain. It must never claim less.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import lmdb

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.format.block import Block, zone_map_of
from yamcs_archive.storage.format.zone_maps import (
    BLOCK_LEVEL,
    GROUP_LEVEL,
    ZoneMap,
    block_filter,
    decode_zone_map,
)
from yamcs_archive.storage.maintain.faults import Faults, VerifyScope
from yamcs_archive.storage.read.block_index import BlockIndex

_BLOCKS_AT_ONCE = 1_000
"""Largest number of blocks whose zone maps are read in one transaction."""
_MISSING = "there is a block but no zone map of it, so that its events are not found"


def check_zone_map(block: Block, zone_map: ZoneMap, faults: Faults) -> None:
    """Compare a block with its zone map, both as one transaction saw them."""
    try:
        right = zone_map_of(block)
    except DamagedError as error:
        faults.lose(error, zone_map.first, zone_map)
        return
    exact = zone_map.first, zone_map.last, zone_map.events
    is_exact = exact == (right.first, right.last, right.events) and _counts(zone_map, right)
    if not is_exact or not _covers(zone_map, right):
        faults.add_range(zone_map, "summaries", "its zone map is not that of its events")


def check_zone_maps(scope: VerifyScope) -> None:
    """Compare the zone maps with the blocks that there are, and those of groups with those of blocks."""
    after: bytes | None = b""
    while after is not None:
        scope.go_on()
        after = _check_some_blocks(scope, after)
    after = GROUP_LEVEL
    while after is not None:
        scope.go_on()
        after = _check_some_groups(scope, after)
    with scope.environment.read() as transaction:
        cursor = transaction.cursor(scope.environment.databases["summaries"])
        strange = list(_beyond_levels(cursor))
    for key in strange:
        scope.faults.add_value(DamagedError(f"summaries {key.hex()}", "it is of no known level"), key[1:])


def _beyond_levels(cursor: lmdb.Cursor[bytes]) -> Iterator[bytes]:
    """Yield the keys that are of no level, the first ones of them."""
    if cursor.set_range(bytes([GROUP_LEVEL[0] + 1])):
        yield from islice(cursor.iternext(values=False), _BLOCKS_AT_ONCE)


def _check_some_blocks(scope: VerifyScope, after: bytes) -> bytes | None:
    """Check the zone maps of the blocks after one; return the first key of the last, None at the end."""
    with scope.environment.read() as transaction:
        databases = scope.environment.databases
        blocks, zone_maps = (transaction.cursor(databases[name]) for name in ("blocks", "summaries"))
        last = b""
        if not (blocks.set_range(after) if after else blocks.first()):
            return None
        if after and blocks.key() == after:  # noted before
            if zone_maps.set_key(BLOCK_LEVEL + after):
                with suppress(DamagedError):
                    last = decode_zone_map(*zone_maps.item()).last
            if not blocks.next():
                return None
        for first in islice(blocks.iternext(values=False), _BLOCKS_AT_ONCE):
            after = first
            if not zone_maps.set_key(BLOCK_LEVEL + first):
                scope.faults.lose(DamagedError(f"blocks {first.hex()}", _MISSING), first)
                continue
            zone_map = _decoded(scope, *zone_maps.item())
            if zone_map is not None:
                if zone_map.first <= last:
                    scope.faults.add_range(zone_map, "blocks", "it begins before the one before it ends")
                last = zone_map.last
    return after


def _decoded(scope: VerifyScope, key: bytes, value: bytes) -> ZoneMap | None:
    try:
        return decode_zone_map(key, value)
    except DamagedError as error:  # it can be made again
        scope.faults.add_value(error, key[1:])
        return None


def _check_some_groups(scope: VerifyScope, after: bytes) -> bytes | None:
    """Compare the next group from a key on with its blocks; return where to go on, None at the end."""
    with scope.environment.read() as transaction:
        cursor = transaction.cursor(scope.environment.databases["summaries"])
        if not cursor.set_range(after) or cursor.key()[:1] != GROUP_LEVEL:
            return None
        key, value = cursor.item()
        group = _decoded(scope, key, value)
        if group is not None:
            with suppress(DamagedError):  # noted already
                parts = list(_within(BlockIndex(cursor), group))
                right = ZoneMap.merge(parts) if parts else None
                if right is None:
                    pass
                elif group.last < right.last or not _covers(group, right):
                    reason = "the zone map of a group does not cover its blocks"
                    scope.faults.add_range(group, "summaries", reason)
                elif not _counts(group, right):
                    reason = "the zone map of a group counts other events than its blocks have"
                    scope.faults.add_range(group, "summaries", reason)
    return key + b"\0"


def _within(index: BlockIndex, group: ZoneMap) -> Iterator[ZoneMap]:
    for zone_map in index.blocks_from(group.first):
        if zone_map.first > group.last:
            return
        yield zone_map


def _counts(zone_map: ZoneMap, right: ZoneMap) -> bool:
    """Return whether the severity counts are right, if there are any: earlier versions wrote none."""
    if not zone_map.severity_counts:
        return True
    known = not right.severity_counts or zone_map.severity_counts == right.severity_counts
    return known and zone_map.events == sum(zone_map.severity_counts)


def _covers(zone_map: ZoneMap, right: ZoneMap) -> bool:
    """Return whether a zone map misses nothing of the right one: it may claim more."""
    if zone_map.lowest_commit > right.lowest_commit or zone_map.greatest_commit < right.greatest_commit:
        return False
    if right.severities & ~zone_map.severities:
        return False
    if zone_map.sources == right.sources or right.sources[:1] == b"\1":
        return zone_map.sources == right.sources
    names = right.sources[1:-1].decode().split("\0")
    return all(zone_map.may_match(block_filter(frozenset([name]), None)) for name in names)

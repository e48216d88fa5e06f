"""Repair, once after each opening: blocks with too large frames and damaged zone maps are rewritten.

1. Versions before the first release wrote larger frames for large late events than later ones do. Such a
   block can be read up to the bound for reading, but reading one event decompresses the whole frame. It is
   split into new blocks.
2. A damaged zone map is made anew from its block. A damaged zone map of a group is deleted; the group is
   closed again later. A damaged block is left as it is.
3. New blocks are stored as in sealing: they are read back first, put in one transaction, and dropped if the
   old block changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from yamcs_archive.errors import DamagedError
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.block import Block, EncodedBlock, has_large_frames, zone_map_of
from yamcs_archive.storage.format.zone_maps import BLOCK_LEVEL, GROUP_LEVEL, decode_zone_map
from yamcs_archive.storage.maintain.sealing import Found, Plan, SealScope, Step, encoded
from yamcs_archive.storage.write.placement import split_into_blocks

_DATABASES = ("blocks", "summaries")
_BLOCKS_READ_MAX = 1_000
"""Blocks whose headers and zone maps are read in one transaction."""


class _Due(NamedTuple):
    """A block that must be rewritten."""

    key: bytes
    large: bool
    """True if a frame is too large; False if the zone map is damaged or missing."""


def steps(environment: Environment, options: Options, scope: SealScope) -> Iterator[list[Step]]:
    """Yield the steps that rewrite blocks, one at a time, because a step may be very large."""
    for due in _due(environment, scope):
        with environment.read() as transaction:
            value = transaction.get(due.key, db=environment.databases["blocks"])
        if value is None:
            continue
        try:
            block = Block(due.key, value)
            zone_map = zone_map_of(block)
            if due.large:
                plan = Plan([], Found(block, value, zone_map), list(split_into_blocks(block.events, options)))
                made = encoded([plan], scope)
            else:
                made = [Step([], block, [EncodedBlock(due.key, value, zone_map)])]
        except DamagedError as error:
            scope.damaged(error)
        else:
            yield made


def damaged_groups(environment: Environment, scope: SealScope) -> list[bytes]:
    """Return the keys of the groups' zone maps that are damaged."""
    found: list[bytes] = []
    with environment.read() as transaction:
        cursor = transaction.cursor(environment.databases["summaries"])
        for key, value in cursor.iternext() if cursor.set_range(GROUP_LEVEL) else ():
            try:
                decode_zone_map(key, value)
            except DamagedError as error:
                scope.damaged(error)
                found.append(key)
    return found


def _due(environment: Environment, scope: SealScope) -> Iterator[_Due]:
    after, more = b"", True
    while more:
        found: list[_Due] = []
        # The inner transaction gives buffers, so that only a block's headers and the frame that lists the
        # message chunks of its late events are read; the outer one keeps the environment open.
        with environment.read(), environment.lmdb.begin(buffers=True) as transaction:
            blocks, zone_maps = (transaction.cursor(environment.databases[name]) for name in _DATABASES)
            more = blocks.set_range(after + b"\0")
            for _ in range(_BLOCKS_READ_MAX):
                if not more:
                    break
                after = bytes(blocks.key())
                try:
                    large = has_large_frames(after, blocks.value())
                    if large or not _has_zone_map(zone_maps, BLOCK_LEVEL + after, scope):
                        found.append(_Due(after, large))
                except DamagedError as error:
                    scope.damaged(error)
                more = blocks.next()
        yield from found


def _has_zone_map(zone_maps: Any, key: bytes, scope: SealScope) -> bool:
    if not zone_maps.set_key(key):
        return False
    try:
        decode_zone_map(key, bytes(zone_maps.value()))
    except DamagedError as error:
        scope.damaged(error)
        return False
    return True

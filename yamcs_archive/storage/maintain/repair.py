"""Repair, once after each opening: blocks with too large frames and poor zone maps are rewritten.

1. Versions before the first release wrote larger frames for large late events than later ones do. Such a
   block can be read up to the bound for reading, but reading one event decompresses the whole frame. It is
   split into new blocks.
2. A damaged zone map is made anew from its block, and so is one without severity counts, as earlier versions
   wrote them. If the zone map of a group is such a one, it and those of all later groups are deleted, and
   these groups are closed again. A damaged block is left as it is.
3. New blocks are stored as in a checkpoint: they are read back first, put in one transaction, and dropped if
   the old block changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from yamcs_archive.errors import DamagedError
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.block import Block, EncodedBlock, has_large_frames, zone_map_of
from yamcs_archive.storage.format.zone_maps import BLOCK_LEVEL, GROUP_LEVEL, ZoneMap, decode_zone_map
from yamcs_archive.storage.read.block_index import stored_block
from yamcs_archive.storage.write.block_steps import Found, Plan, Step, encoded_if_sound
from yamcs_archive.storage.write.placement import split_into_blocks
from yamcs_archive.storage.write.transaction import WriteTransaction

Damaged = Callable[[DamagedError], None]
"""Called with the error of each record that cannot be read; the record is left as it is."""
_DATABASES = ("blocks", "summaries")
_BLOCKS_READ_MAX = 1_000
"""Blocks whose headers and zone maps are read in one transaction."""
_COUNTED_AT_ONCE = 100
"""Largest number of blocks whose events are counted in one transaction: some 10 ms."""


class _Due(NamedTuple):
    """A block that must be rewritten."""

    key: bytes
    large: bool
    """True if a frame is too large; False if the zone map is damaged or missing."""


class ZoneMapChange(NamedTuple):
    """A zone map of a block, to be replaced if its value is still the same."""

    key: bytes
    """In ``summaries``."""
    value: bytes
    new: ZoneMap


def steps(environment: Environment, options: Options, damaged: Damaged) -> Iterator[list[Step]]:
    """Yield the steps that rewrite blocks, one at a time, because a step may be very large."""
    for due in _due(environment, damaged):
        with environment.read() as transaction:
            value = transaction.get(due.key, db=environment.databases["blocks"])
        if value is None:
            continue
        try:
            block = Block(due.key, value)
            zone_map = zone_map_of(block)
            if due.large:
                plan = Plan(Found(block, value, zone_map), list(split_into_blocks(block.events, options)))
                made = encoded_if_sound([plan], damaged)
            else:
                made = [Step(block, [EncodedBlock(due.key, value, zone_map)])]
        except DamagedError as error:
            damaged(error)
        else:
            yield made


def counted_zone_maps(environment: Environment, damaged: Damaged) -> Iterator[list[ZoneMapChange]]:
    """Yield the changes of zone maps that have no severity counts, some blocks at a time."""
    after: bytes | None = BLOCK_LEVEL
    while after is not None:
        changes, after = _some_counted(environment, damaged, after)
        if changes:
            yield changes


def _some_counted(
    environment: Environment, damaged: Damaged, after: bytes
) -> tuple[list[ZoneMapChange], bytes | None]:
    """Return the changes among the next zone maps, and the key after which there may be more, or None."""
    found: list[ZoneMapChange] = []
    with environment.read() as transaction:
        blocks, zone_maps = (environment.databases[name] for name in _DATABASES)
        cursor = transaction.cursor(zone_maps)
        more = cursor.set_range(after + b"\0")
        for _ in range(_BLOCKS_READ_MAX):
            if not more or cursor.key()[:1] != BLOCK_LEVEL:
                return found, None
            after, value = cursor.item()
            try:
                if not decode_zone_map(after, value).severity_counts:
                    first = after[len(BLOCK_LEVEL) :]
                    block = Block(first, stored_block(transaction, blocks, first))
                    found.append(ZoneMapChange(after, value, zone_map_of(block)))
            except DamagedError as error:
                damaged(error)
            if len(found) == _COUNTED_AT_ONCE:
                break
            more = cursor.next()
    return found, after


def put_zone_maps(changes: Sequence[ZoneMapChange], stored: WriteTransaction) -> None:
    """Replace zone maps, in the writer's transaction."""
    stored.put_zone_maps(changes)


def first_poor_group(environment: Environment, damaged: Damaged) -> bytes | None:
    """Return the key of the first group whose zone map is damaged or has no severity counts, or None."""
    with environment.read() as transaction:
        cursor = transaction.cursor(environment.databases["summaries"])
        for key, value in cursor.iternext() if cursor.set_range(GROUP_LEVEL) else ():
            try:
                if not decode_zone_map(key, value).severity_counts:
                    return key
            except DamagedError as error:
                damaged(error)
                return key
    return None


def _due(environment: Environment, damaged: Damaged) -> Iterator[_Due]:
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
                    if large or not _has_zone_map(zone_maps, BLOCK_LEVEL + after, damaged):
                        found.append(_Due(after, large))
                except DamagedError as error:
                    damaged(error)
                more = blocks.next()
        yield from found


def _has_zone_map(zone_maps: Any, key: bytes, damaged: Damaged) -> bool:
    if not zone_maps.set_key(key):
        return False
    try:
        decode_zone_map(key, bytes(zone_maps.value()))
    except DamagedError as error:
        damaged(error)
        return False
    return True

"""What is written anew once after each opening: blocks with too large frames, and damaged summaries.

1. Versions before the first release wrote, for large late events, blocks with larger frames than are written
   today. They can be read up to the bound for reading, but reading one event decompresses the whole frame.
   They are cut anew.
2. A damaged summary is made anew from its block. A damaged group of summaries is deleted, and is closed again
   later. A damaged block stays as it is.
3. New blocks are stored as sealed ones are: read back first, in one transaction, and dropped if something
   changed meanwhile.
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

_LOOKED_AT_ONCE = 1_000
"""Blocks whose headers and summaries are looked at in one read transaction."""


class _Due(NamedTuple):
    """A block that is to be written anew."""

    key: bytes
    large: bool


def steps(environment: Environment, options: Options, aim: SealScope) -> Iterator[list[Step]]:
    """Yield the steps that write blocks anew, each alone, because it may hold very much."""
    for due in _due(environment, aim):
        with environment.read() as transaction:
            value = transaction.get(due.key, db=environment.databases["blocks"])
        if value is None:
            continue
        try:
            block = Block(due.key, value)
            summary = zone_map_of(block)
            if due.large:
                plan = Plan([], Found(block, value, summary), list(split_into_blocks(block.events, options)))
                made = encoded([plan], aim)
            else:
                made = [Step([], block, [EncodedBlock(due.key, value, summary)])]
        except DamagedError as error:
            aim.damaged(error)
        else:
            yield made


def damaged_groups(environment: Environment, aim: SealScope) -> list[bytes]:
    """Return the keys of the damaged groups."""
    found: list[bytes] = []
    with environment.read() as transaction:
        cursor = transaction.cursor(environment.databases["summaries"])
        for key, value in cursor.iternext() if cursor.set_range(GROUP_LEVEL) else ():
            try:
                decode_zone_map(key, value)
            except DamagedError as error:
                aim.damaged(error)
                found.append(key)
    return found


def _due(environment: Environment, aim: SealScope) -> Iterator[_Due]:
    behind: bytes | None = b""
    while behind is not None:
        # A transaction with buffers, within one that keeps the environment open: of a block only its headers
        # are read, and the frame that lists the stretches of late events.
        with environment.read(), environment.lmdb.begin(buffers=True) as transaction:
            blocks, summaries = (transaction.cursor(environment.databases[name]) for name in _LOOKED_AT)
            found, behind = _of_some(blocks, summaries, behind, aim)
        yield from found


_LOOKED_AT = ("blocks", "summaries")


def _of_some(blocks: Any, summaries: Any, behind: bytes, aim: SealScope) -> tuple[list[_Due], bytes | None]:
    """Return those among the next blocks, and the key after which there may be more."""
    found: list[_Due] = []
    placed = blocks.set_range(behind + b"\0")
    for _ in range(_LOOKED_AT_ONCE):
        if not placed:
            return found, None
        behind = bytes(blocks.key())
        try:
            if has_large_frames(behind, blocks.value()):
                found.append(_Due(behind, large=True))
            elif not _has_summary(summaries, BLOCK_LEVEL + behind, aim):
                found.append(_Due(behind, large=False))
        except DamagedError as error:
            aim.damaged(error)
        placed = blocks.next()
    return found, behind


def _has_summary(summaries: Any, key: bytes, aim: SealScope) -> bool:
    if not summaries.set_key(key):
        return False
    try:
        decode_zone_map(key, bytes(summaries.value()))
    except DamagedError as error:
        aim.damaged(error)
        return False
    return True

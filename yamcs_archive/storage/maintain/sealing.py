"""Sealing: rows become blocks. The steps are planned outside the writer, and stored by it.

1. Rows and a block are read in a read transaction, new blocks are built outside of it, and the writer stores
   the step in one transaction: it deletes the rows, replaces the block, and puts blocks and zone maps. A
   crash leaves each event as a row or in a block, never both and never neither.
2. The writer first checks that the rows and the block are still those from which the step was made. If not,
   the step is dropped, and the next round plans anew.
3. A row belongs to the last block whose first key is below it. Rows before the first block become new
   blocks. So rows are planned in slices that end where a block begins, and no two blocks overlap.
4. Late rows within a block's range wait until the archive is idle, and then become its late part. The block
   is rewritten only when its late events are an eighth of the others, or have enough text to fill a block:
   otherwise one late event in a hundred would rewrite every block.
5. For the same reason rows after a block that is not full wait until they are an eighth of it, or until the
   archive is idle: otherwise each round would rewrite the newest block for a few events.
6. A damaged block and the rows within its range are left as they are; so is a damaged row. All other rows are
   sealed.
7. Each new block is read back in full and compared with its events before the writer gets it, because the
   rows and the block that hold the events are deleted next. If the block differs, they are kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.limits import GROUP_BLOCKS_MAX, SEAL_ROWS_MAX
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.block import (
    Block,
    EncodedBlock,
    encode_blocks,
    encode_late,
    read_back,
    zone_map_of,
)
from yamcs_archive.storage.format.block_part_encoder import fits
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.keys import BEYOND_ALL, in_key_order
from yamcs_archive.storage.format.rows import decode_row, decode_rows
from yamcs_archive.storage.format.zone_maps import BLOCK_LEVEL, ZoneMap, decode_zone_map
from yamcs_archive.storage.read.block_index import BlockIndex
from yamcs_archive.storage.read.range_reader import fetch
from yamcs_archive.storage.write.placement import split_into_blocks, well_filled
from yamcs_archive.storage.write.transaction import OverlapError, WriteTransaction

_TOGETHER_BYTES = 2 << 20
"""Bytes of text that are encoded and stored together: an fsync for each block would double the cost."""


class Step(NamedTuple):
    """Rows that become blocks, and a block that is replaced, if any."""

    rows: list[bytes]
    replaced: Block | None
    blocks: list[EncodedBlock]


class Found(NamedTuple):
    """The block to which rows belong."""

    block: Block
    value: bytes
    zone_map: ZoneMap


class Plan(NamedTuple):
    """A step before its blocks are encoded: either the events of each new block, or a block's late events."""

    rows: list[bytes]
    replaced: Found | None
    runs: list[StoredVectors]
    late: StoredVectors | None = None
    more: bool = False
    """True if more rows of the same slice follow, whose plan depends on this step."""


class SealScope(NamedTuple):
    """Which rows are sealed."""

    upto_commit: int
    """The last commit whose rows are sealed."""
    include_partial: bool
    """True to seal even a few late rows, and a few rows after a block that has room for them."""
    damaged: Callable[[DamagedError], None]
    """Called with the error of each record that cannot be read; the record is skipped."""


def steps(environment: Environment, options: Options, scope: SealScope) -> Iterator[list[Step]]:
    """Yield the steps that seal rows, in key order, in lists to be stored together."""
    together: list[Plan] = []
    size_bytes = 0
    for plan in _plans(environment, options, scope):
        together.append(plan)
        size_bytes += sum(map(StoredVectors.text_bytes, plan.runs))
        size_bytes += 0 if plan.late is None else plan.late.text_bytes()
        size_bytes += len(plan.replaced.value) if plan.replaced is not None else 0
        if plan.more or size_bytes >= _TOGETHER_BYTES:
            if made := encoded(together, scope):
                yield made
            together, size_bytes = [], 0
    if together and (made := encoded(together, scope)):
        yield made


def encoded(plans: list[Plan], scope: SealScope) -> list[Step]:
    """Encode plans; return the steps, without those whose blocks cannot be read back."""
    try:
        return _made(plans)
    except (RuntimeError, DamagedError) as error:
        if len(plans) > 1:
            return [step for plan in plans for step in encoded([plan], scope)]
        [plan] = plans
        first = plan.rows[0] if plan.replaced is None else plan.replaced.block.key
        scope.damaged(DamagedError(f"blocks {first.hex()}", f"its events cannot be sealed: {error}"))
        return []


def _made(plans: list[Plan]) -> list[Step]:
    blocks = _blocks([run for plan in plans for run in plan.runs])
    late = [
        (plan.replaced, plan.late) for plan in plans if plan.replaced is not None and plan.late is not None
    ]
    with_late = iter(encode_late([found for found, _ in late], [events for _, events in late]))
    steps = []
    for plan in plans:
        made = list(islice(blocks, len(plan.runs)))
        if plan.late is not None:
            made.append(block := next(with_late))
            read_back(block, plan.late, part=1)  # part 0 is the stored block's own
        steps.append(Step(plan.rows, None if plan.replaced is None else plan.replaced.block, made))
    return steps


def _blocks(runs: list[StoredVectors]) -> Iterator[EncodedBlock]:
    """Yield the block of each run, read back; a few at a time, because a rewritten block may be large."""
    together: list[StoredVectors] = []
    size_bytes = 0
    for run in (*runs, None):
        if run is None or size_bytes >= _TOGETHER_BYTES:
            for block, events in zip(encode_blocks(together), together, strict=True):
                read_back(block, events)
                yield block
            together, size_bytes = [], 0
        if run is not None:
            together.append(run)
            size_bytes += run.text_bytes()


def _plans(environment: Environment, options: Options, scope: SealScope) -> Iterator[Plan]:
    lower = b""
    while lower < BEYOND_ALL:
        with environment.read() as transaction:
            rows = transaction.cursor(environment.databases["rows"])
            if not rows.set_range(lower or b"\0"):
                return
            first = rows.key()
            index = BlockIndex(transaction.cursor(environment.databases["summaries"]))
            pair, upper = index.pair_before(first), index.first_from(first) or BEYOND_ALL
            value = None
            if pair is not None:
                value = transaction.get(pair[0][len(BLOCK_LEVEL) :], db=environment.databases["blocks"])
            zone_map = _zone_map(pair, value, scope)
            if pair is not None and zone_map is None:  # the end of its block is not known
                lower = upper
                continue
            pairs, more = fetch(rows, first, upper, False, SEAL_ROWS_MAX)
        lower = pairs[-1][0] + b"\0" if more else upper
        for plan in _plans_of_slice(pairs, zone_map, value, options, scope):
            yield plan._replace(more=more)


def _zone_map(pair: Pair | None, value: bytes | None, scope: SealScope) -> ZoneMap | None:
    """Return the zone map of a block, if any; a damaged one is made anew from the block."""
    if pair is None:
        return None
    try:
        return decode_zone_map(*pair)
    except DamagedError as error:
        scope.damaged(error)
        try:
            return None if value is None else zone_map_of(Block(pair[0][len(BLOCK_LEVEL) :], value))
        except DamagedError as other:
            scope.damaged(other)
            return None


def _plans_of_slice(
    pairs: list[Pair], zone_map: ZoneMap | None, value: bytes | None, options: Options, scope: SealScope
) -> list[Plan]:
    """Return the plans for rows that all belong to one block, or to none; leave a damaged block as it is."""
    if zone_map is None:
        return _plan(pairs, None, options, scope)
    inside = bisect_right(pairs, zone_map.last, key=itemgetter(0))
    try:
        if value is None:
            raise DamagedError(f"blocks {zone_map.first.hex()}", "there is a zone map of it but no block")
        found = Found(Block(zone_map.first, value), value, zone_map)
        found.block.check_body()
        return _plans_beside(pairs, inside, found, options, scope)
    except DamagedError as error:
        scope.damaged(error)
        return _plan(pairs[inside:], None, options, scope)


def _plans_beside(
    pairs: list[Pair], inside: int, found: Found, options: Options, scope: SealScope
) -> list[Plan]:
    """Return the plans for rows that belong to a sound block; the first ``inside`` are within its range."""
    main, *late = found.block.parts
    if inside and (inside + sum(part.count for part in late)) * options.late_share >= main.count:
        return _plan(pairs, found, options, scope)
    if not inside and _has_room(found.block, options):
        enough = scope.include_partial or len(pairs) * options.late_share >= found.block.count
        return _plan(pairs, found, options, scope) if enough else []
    within = _late_plan(pairs[:inside], found, options, scope) if scope.include_partial else []
    return within + _plan(pairs[inside:], None, options, scope)


def _has_room(block: Block, options: Options) -> bool:
    return block.count < well_filled(options.block_events_max) and block.events.text_bytes() < well_filled(
        options.block_text_bytes_max
    )


def _plan(pairs: list[Pair], found: Found | None, options: Options, scope: SealScope) -> list[Plan]:
    """Return the plan that seals rows together with all events of a block, if a row is due."""
    keys, events = _due(pairs, scope)
    return [] if events is None else [_planned(keys, found, events, options)]


def _planned(keys: list[bytes], found: Found | None, events: StoredVectors, options: Options) -> Plan:
    if found is not None:
        events = in_key_order(StoredVectors.concat([found.block.events, events]))
    return Plan(keys, found, list(split_into_blocks(events, options)))


def _late_plan(pairs: list[Pair], found: Found, options: Options, scope: SealScope) -> list[Plan]:
    """Return the plan that adds rows to the late part of a block, if a row is due.

    If the late part would have more text than a block may have, the block is rewritten instead: a part is
    never split.
    """
    keys, events = _due(pairs, scope)
    if events is None:
        return []
    late = in_key_order(StoredVectors.concat([*(part.events for part in found.block.parts[1:]), events]))
    text_bytes = late.text_bytes()
    if text_bytes > options.block_text_bytes_max or not fits(late, text_bytes):
        return [_planned(keys, found, events, options)]
    return [Plan(keys, found, [], late)]


def _due(pairs: list[Pair], scope: SealScope) -> tuple[list[bytes], StoredVectors | None]:
    """Return the keys and the events of the rows that are due; None for the events if no row is."""
    if not pairs:
        return [], None
    try:
        events = decode_rows(pairs)
    except DamagedError as error:
        sound = [pair for pair in pairs if _is_sound(pair, scope)]
        if len(sound) == len(pairs):  # no row is damaged by itself: all of them are left
            scope.damaged(error)
            return [], None
        return _due(sound, scope)
    due = np.flatnonzero(events.commits <= scope.upto_commit).tolist()
    if len(due) < len(pairs):
        pairs, events = [pairs[at] for at in due], events.take(due)
    return [key for key, _ in pairs], events if due else None


def _is_sound(pair: Pair, scope: SealScope) -> bool:
    try:
        decode_row(*pair)
    except DamagedError as error:
        scope.damaged(error)
        return False
    return True


def put_steps(steps: list[Step], stored: WriteTransaction) -> bool:
    """Store steps, in the writer's transaction; return False if one is stale: then it must be aborted."""
    return all(put_step(step, stored) for step in steps)


def put_step(step: Step, stored: WriteTransaction) -> bool:
    """Store a step; return False if it is stale: the transaction must then be aborted."""
    failpoint("seal-begun")
    if step.replaced is not None:
        if stored.block_checksums(step.replaced.key) != step.replaced.checksums:
            return False
        stored.delete_block(step.replaced.key)
        failpoint("seal-block-deleted")
    if not stored.delete_rows(step.rows):
        return False
    failpoint("seal-rows-deleted")
    try:
        for block in step.blocks:
            stored.put_block(block)
    except OverlapError:
        return False
    failpoint("seal-blocks-put")
    return True


def close_groups(stored: WriteTransaction) -> bool:
    """Close the next full group of blocks; return False if there is none.

    A group is closed when twice its number of blocks follow the last closed group, so that the newest
    blocks, which still change, are in no group.
    """
    found = stored.blocks_after_groups(2 * GROUP_BLOCKS_MAX)
    if len(found) < 2 * GROUP_BLOCKS_MAX:
        return False
    group = ZoneMap.merge(found[:GROUP_BLOCKS_MAX])
    failpoint("group-merged")
    stored.put_group(group)
    failpoint("group-put")
    return True

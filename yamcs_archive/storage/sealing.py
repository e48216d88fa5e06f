"""Sealing: rows become blocks. Planned outside the writer, put in by it.

1. A step reads rows and a block in a read transaction, builds new blocks outside of it, and is put in by
   the writer in one transaction: rows deleted, block replaced, blocks and summaries put. A crash
   leaves either form, never both and never neither.
2. The writer first sees that the rows and the block are still what the step was made from; else the
   step is dropped, and the next round plans anew.
3. A row belongs to the last block that begins below it; before the first block, rows make blocks of
   their own. So a sealed stretch is cut at every block, and no two blocks overlap.
4. Late rows within a block's range wait until they are an eighth of it, or the archive is idle: merging
   each at once would rewrite everything for one event in a hundred.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import lmdb
import numpy as np

from yamcs_archive.limits import GROUP_BLOCKS_MAX, SEAL_ROWS_MAX
from yamcs_archive.options import Options
from yamcs_archive.storage.blocks import Block, OpenBlock, encode_blocks
from yamcs_archive.storage.environment import Environment
from yamcs_archive.storage.keys import encode_key
from yamcs_archive.storage.pieces import Pair, fetch
from yamcs_archive.storage.placing import cuts, filled
from yamcs_archive.storage.points import reach
from yamcs_archive.storage.rows import decode_rows
from yamcs_archive.storage.stored import OverlapError, Stored
from yamcs_archive.storage.summaries import BLOCK_LEVEL
from yamcs_archive.storage.summaries import joined as joined_summaries
from yamcs_archive.storage.vectors import Vectors, joined

_LATE_SHARE = 8
"""Late rows are merged into a block when they are an eighth of its events."""
_BEYOND_ALL = b"\xff" * 9


_TOGETHER_EVENTS = 20_000
"""About so many events are encoded and put in together: an fsync a block would cost as much as the rest."""


class Step(NamedTuple):
    """Rows that become blocks, together with a block that is replaced."""

    rows: list[bytes]
    replaced: OpenBlock | None
    blocks: list[Block]


class _Plan(NamedTuple):
    """A step whose blocks are not encoded yet."""

    rows: list[bytes]
    replaced: OpenBlock | None
    parts: list[Vectors]


def steps(
    environment: Environment, options: Options, upto_commit: int, *, all_late: bool
) -> Iterator[list[Step]]:
    """Yield steps that seal the rows of commits up to ``upto_commit``, in key order, a few at a time.

    ``all_late`` merges late rows however few they are.
    """
    together: list[_Plan] = []
    for plan in _plans(environment, options, upto_commit, all_late):
        together.append(plan)
        if sum(part.size for other in together for part in other.parts) >= _TOGETHER_EVENTS:
            yield _encoded(together)
            together = []
    if together:
        yield _encoded(together)


def _encoded(plans: list[_Plan]) -> list[Step]:
    blocks = iter(encode_blocks([part for plan in plans for part in plan.parts]))
    return [Step(plan.rows, plan.replaced, list(islice(blocks, len(plan.parts)))) for plan in plans]


def _plans(environment: Environment, options: Options, upto_commit: int, all_late: bool) -> Iterator[_Plan]:
    lower = b""
    while lower < _BEYOND_ALL:
        with environment.read() as transaction:
            rows = transaction.cursor(environment.databases["rows"])
            if not rows.set_range(lower or b"\0"):
                return
            first = rows.key()
            own, upper = _neighbours(transaction.cursor(environment.databases["summaries"]), first)
            pairs, more = fetch(rows, first, upper, False, SEAL_ROWS_MAX)
            value = None if own is None else transaction.get(own, db=environment.databases["blocks"])
        lower = pairs[-1][0] + b"\0" if more else upper
        block = None if own is None or value is None else OpenBlock(own, value)
        plan = _plan(pairs, block, options, upto_commit, all_late)
        if plan is not None:
            yield plan


def _neighbours(summaries: lmdb.Cursor[bytes], key: bytes) -> tuple[bytes | None, bytes]:
    """Return the first keys of the block that a row belongs to, if any, and of the one after it."""
    following = _BEYOND_ALL
    placed = summaries.set_range(BLOCK_LEVEL + key)
    if placed and summaries.key()[:1] == BLOCK_LEVEL:
        following = summaries.key()[1:]
    placed = summaries.prev() if placed else summaries.last()
    while placed and summaries.key()[:1] != BLOCK_LEVEL:
        placed = summaries.prev()
    return (summaries.key()[1:] if placed else None), following


def _plan(
    pairs: list[Pair], block: OpenBlock | None, options: Options, upto_commit: int, all_late: bool
) -> _Plan | None:
    """Return the plan for rows that all belong to one block, or to none."""
    replaced = None
    if block is not None:
        inside = bisect_right(pairs, encode_key(*block.key_of(-1)), key=_key)
        merges = inside and (all_late or inside * _LATE_SHARE >= block.count)
        room = block.count < filled(options.block_events_max) and block.events.text_bytes() < filled(
            options.block_text_bytes_max
        )
        if merges or (len(pairs) > inside == 0 and room):
            replaced = block
        else:
            pairs = pairs[inside:]
    if not pairs:
        return None
    events = decode_rows(pairs)
    due = np.flatnonzero(events.commits <= upto_commit).tolist()
    if not due:
        return None
    if len(due) < len(pairs):
        pairs, events = [pairs[at] for at in due], events.take(due)
    if replaced is not None:
        events = joined([replaced.events, events]).in_key_order()
    return _Plan(list(map(_key, pairs)), replaced, list(cuts(events, options)))


def _key(pair: Pair) -> bytes:
    return pair[0]


def put_all(steps: list[Step], stored: Stored) -> bool:
    """Put steps in; False when one of them no longer fits, and nothing may be kept."""
    return all(put(step, stored) for step in steps)


def put(step: Step, stored: Stored) -> bool:
    """Put a step in, in the writer's transaction; False when it no longer fits, and nothing may be kept."""
    reach("seal-begun")
    if step.replaced is not None:
        if stored.block_checksums(step.replaced.key) != step.replaced.checksums:
            return False
        stored.delete_block(step.replaced.key)
    if not stored.delete_rows(step.rows):
        return False
    reach("seal-rows-deleted")
    try:
        for block in step.blocks:
            stored.put_block(block)
    except OverlapError:
        return False
    reach("seal-blocks-put")
    return True


def close_groups(stored: Stored) -> bool:
    """Close the next group of blocks that is full; False when there is none.

    A group is closed when twice its number of blocks stand behind the last closed one, so that the
    newest blocks, which still change, stay out of it.
    """
    found = stored.blocks_behind_groups(2 * GROUP_BLOCKS_MAX)
    if len(found) < 2 * GROUP_BLOCKS_MAX:
        return False
    stored.put_group(joined_summaries(found[:GROUP_BLOCKS_MAX]))
    return True

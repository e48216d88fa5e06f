"""Sealing: rows become blocks. Planned outside the writer, put in by it.

1. A step reads rows and a block in a read transaction, builds new blocks outside of it, and is put in by
   the writer in one transaction: rows deleted, block replaced, blocks and summaries put. A crash
   leaves either form, never both and never neither.
2. The writer first sees that the rows and the block are still what the step was made from; else the
   step is dropped, and the next round plans anew.
3. A row belongs to the last block that begins below it; before the first block, rows make blocks of
   their own. So a sealed stretch is cut at every block, and no two blocks overlap.
4. Late rows within a block's range wait until the archive is idle, and then stand in the block as a part of
   their own. All is encoded anew only when what is late is an eighth of the rest: doing that for
   each would rewrite everything for one event in a hundred.
5. For the same reason rows wait for the block before them that is not full, until they are an eighth of it or
   the archive is idle: else each look would write the newest block anew for a few events.
6. A damaged block is left as it is, and the rows within its range beside it. What lies behind goes on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import lmdb
import numpy as np

from yamcs_archive.errors import DamagedError
from yamcs_archive.limits import GROUP_BLOCKS_MAX, SEAL_ROWS_MAX
from yamcs_archive.options import Options
from yamcs_archive.storage.blocks import Block, OpenBlock, encode_blocks, encode_late
from yamcs_archive.storage.environment import Environment
from yamcs_archive.storage.pieces import Pair, fetch
from yamcs_archive.storage.placing import cuts, filled
from yamcs_archive.storage.points import reach
from yamcs_archive.storage.rows import decode_rows
from yamcs_archive.storage.stored import OverlapError, Stored
from yamcs_archive.storage.summaries import BLOCK_LEVEL, Summary, decode_summary
from yamcs_archive.storage.summaries import joined as joined_summaries
from yamcs_archive.storage.vectors import Vectors, joined

_BEYOND_ALL = b"\xff" * 9


_TOGETHER_BYTES = 2 << 20
"""About so much is encoded and put in together: an fsync for each block would cost as much as the rest."""


class Step(NamedTuple):
    """Rows that become blocks, together with a block that is replaced."""

    rows: list[bytes]
    replaced: OpenBlock | None
    blocks: list[Block]


class _Found(NamedTuple):
    """The block that rows belong to."""

    block: OpenBlock
    value: bytes
    summary: Summary


class _Plan(NamedTuple):
    """A step whose blocks are not encoded yet: either runs of events, or what is late in a block."""

    rows: list[bytes]
    replaced: _Found | None
    runs: list[Vectors]
    late: Vectors | None = None
    more: bool = False
    """More rows of the same stretch follow: what is planned for them depends on this step."""


class Aim(NamedTuple):
    """What shall be sealed."""

    upto_commit: int
    """Rows of commits up to this one."""
    few: bool
    """However few they are: late ones, and those that a block before them has room for."""
    damaged: Callable[[DamagedError], None]
    """Told of what cannot be read, and is passed over."""


def steps(environment: Environment, options: Options, aim: Aim) -> Iterator[list[Step]]:
    """Yield steps that seal rows, in key order, a few at a time."""
    together: list[_Plan] = []
    size_bytes = 0
    for plan in _plans(environment, options, aim):
        together.append(plan)
        size_bytes += sum(map(Vectors.text_bytes, plan.runs))
        size_bytes += len(plan.replaced.value) if plan.replaced is not None else 0
        if plan.more or size_bytes >= _TOGETHER_BYTES:
            yield _encoded(together)
            together, size_bytes = [], 0
    if together:
        yield _encoded(together)


def _encoded(plans: list[_Plan]) -> list[Step]:
    blocks = iter(encode_blocks([run for plan in plans for run in plan.runs]))
    late = [
        (plan.replaced, plan.late) for plan in plans if plan.replaced is not None and plan.late is not None
    ]
    with_late = iter(encode_late([found for found, _ in late], [events for _, events in late]))
    return [
        Step(
            plan.rows,
            None if plan.replaced is None else plan.replaced.block,
            [*islice(blocks, len(plan.runs)), *islice(with_late, 0 if plan.late is None else 1)],
        )
        for plan in plans
    ]


def _plans(environment: Environment, options: Options, aim: Aim) -> Iterator[_Plan]:
    lower = b""
    while lower < _BEYOND_ALL:
        with environment.read() as transaction:
            rows = transaction.cursor(environment.databases["rows"])
            if not rows.set_range(lower or b"\0"):
                return
            first = rows.key()
            pair, upper = _neighbours(transaction.cursor(environment.databases["summaries"]), first)
            try:
                summary = None if pair is None else decode_summary(*pair)
            except DamagedError as error:  # where its block ends is not known
                aim.damaged(error)
                lower = upper
                continue
            pairs, more = fetch(rows, first, upper, False, SEAL_ROWS_MAX)
            value = None
            if summary is not None:
                value = transaction.get(summary.first, db=environment.databases["blocks"])
        lower = pairs[-1][0] + b"\0" if more else upper
        for plan in _of_stretch(pairs, summary, value, options, aim):
            yield plan._replace(more=more)


def _of_stretch(
    pairs: list[Pair], summary: Summary | None, value: bytes | None, options: Options, aim: Aim
) -> list[_Plan]:
    """Return the plans for rows that all belong to one block, or to none; damage is passed over."""
    if summary is None:
        return list(_stretch(pairs, None, options, aim))
    try:
        if value is None:
            raise DamagedError(f"blocks {summary.first.hex()}", "there is a summary of it but no block")
        found = _Found(OpenBlock(summary.first, value), value, summary)
        found.block.check_body()
        return list(_stretch(pairs, found, options, aim))
    except DamagedError as error:
        aim.damaged(error)
        behind = bisect_right(pairs, summary.last, key=_key)
        return list(_plan(pairs[behind:], None, options, aim.upto_commit))


def _neighbours(summaries: lmdb.Cursor[bytes], key: bytes) -> tuple[Pair | None, bytes]:
    """Return the summary of the block that a row belongs to, if any, and the next one's first key."""
    following = _BEYOND_ALL
    placed = summaries.set_range(BLOCK_LEVEL + key)
    if placed and summaries.key()[:1] == BLOCK_LEVEL:
        following = summaries.key()[1:]
    placed = summaries.prev() if placed else summaries.last()
    while placed and summaries.key()[:1] != BLOCK_LEVEL:
        placed = summaries.prev()
    return (summaries.item() if placed else None), following


def _stretch(pairs: list[Pair], found: _Found | None, options: Options, aim: Aim) -> Iterator[_Plan]:
    """Yield the plans for rows that all belong to one block, or to none."""
    upto_commit = aim.upto_commit
    if found is None:
        yield from _plan(pairs, None, options, upto_commit)
        return
    inside = bisect_right(pairs, found.summary.last, key=_key)
    main, *late = found.block.parts
    if inside and (inside + sum(part.count for part in late)) * options.late_share >= main.count:
        yield from _plan(pairs, found, options, upto_commit)
        return
    if not inside and _has_room(found.block, options):
        if aim.few or len(pairs) * options.late_share >= found.block.count:
            yield from _plan(pairs, found, options, upto_commit)
        return
    if aim.few:
        yield from _late_plan(pairs[:inside], found, upto_commit)
    yield from _plan(pairs[inside:], None, options, upto_commit)


def _has_room(block: OpenBlock, options: Options) -> bool:
    return block.count < filled(options.block_events_max) and block.events.text_bytes() < filled(
        options.block_text_bytes_max
    )


def _plan(pairs: list[Pair], found: _Found | None, options: Options, upto_commit: int) -> Iterator[_Plan]:
    """Yield the plan that makes blocks of rows and of all that is in a block, if there is something to do."""
    keys, events = _due(pairs, upto_commit)
    if events is not None:
        if found is not None:
            events = joined([found.block.events, events]).in_key_order()
        yield _Plan(keys, found, list(cuts(events, options)))


def _late_plan(pairs: list[Pair], found: _Found, upto_commit: int) -> Iterator[_Plan]:
    """Yield the plan that puts rows beside a block's own events, if there are any."""
    keys, events = _due(pairs, upto_commit)
    if events is not None:
        late = [part.events for part in found.block.parts[1:]]
        yield _Plan(keys, found, [], joined([*late, events]).in_key_order())


def _due(pairs: list[Pair], upto_commit: int) -> tuple[list[bytes], Vectors | None]:
    """Return the keys and the events of the rows that are due, or None where there are none."""
    if not pairs:
        return [], None
    events = decode_rows(pairs)
    due = np.flatnonzero(events.commits <= upto_commit).tolist()
    if len(due) < len(pairs):
        pairs, events = [pairs[at] for at in due], events.take(due)
    return list(map(_key, pairs)), events if due else None


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
        reach("seal-block-deleted")
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
    group = joined_summaries(found[:GROUP_BLOCKS_MAX])
    reach("group-joined")
    stored.put_group(group)
    reach("group-put")
    return True

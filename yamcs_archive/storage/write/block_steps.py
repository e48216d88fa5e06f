"""Steps that change blocks: each replaces a block, or puts new ones; planned anywhere, stored by the writer.

1. New blocks are planned and encoded outside the writer's transaction. The writer first checks that a block
   that is replaced is still the one from which the step was made; if not, the step is dropped, and planned
   anew.
2. Each new block is read back in full and compared with its events before the writer gets it, because the
   other copies of these events are deleted next. If the block differs, they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.block import Block, EncodedBlock, encode_blocks, encode_late, read_back
from yamcs_archive.storage.format.zone_maps import ZoneMap
from yamcs_archive.storage.write.transaction import OverlapError, WriteTransaction

TOGETHER_BYTES = 2 << 20
"""Bytes of text that are encoded and stored together: an fsync for each block would double the cost."""


class Step(NamedTuple):
    """A block that is replaced, if any, and the blocks that are put."""

    replaced: Block | None
    blocks: list[EncodedBlock]


class Found(NamedTuple):
    """A block as it is stored."""

    block: Block
    value: bytes
    zone_map: ZoneMap


class Plan(NamedTuple):
    """A step before its blocks are encoded: either the events of each new block, or a block's late events."""

    replaced: Found | None
    runs: list[StoredVectors]
    late: StoredVectors | None = None
    added: int = 0
    """The number of events that were in no block before."""

    @property
    def text_bytes(self) -> int:
        """The bytes of text that are encoded."""
        size = sum(map(StoredVectors.text_bytes, self.runs))
        return size + (0 if self.late is None else self.late.text_bytes())


def encoded(plans: list[Plan]) -> list[Step]:
    """Encode plans, and read the new blocks back.

    Raises RuntimeError if one differs from its events, DamagedError for a block that cannot be read.
    """
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
        steps.append(Step(None if plan.replaced is None else plan.replaced.block, made))
    return steps


def encoded_if_sound(plans: list[Plan], damaged: Callable[[DamagedError], None]) -> list[Step]:
    """Encode plans that only put stored events in another form; those that cannot be are left out, and
    told.
    """
    try:
        return encoded(plans)
    except (RuntimeError, DamagedError) as error:
        if len(plans) > 1:
            return [step for plan in plans for step in encoded_if_sound([plan], damaged)]
        where = "" if plans[0].replaced is None else plans[0].replaced.block.key.hex()
        damaged(DamagedError(f"blocks {where}", f"its events cannot be stored anew: {error}"))
        return []


def _blocks(runs: list[StoredVectors]) -> Iterator[EncodedBlock]:
    """Yield the block of each run, read back; a few at a time, because a rewritten block may be large."""
    together: list[StoredVectors] = []
    size_bytes = 0
    for run in (*runs, None):
        if run is None or size_bytes >= TOGETHER_BYTES:
            for block, events in zip(encode_blocks(together), together, strict=True):
                read_back(block, events)
                yield block
            together, size_bytes = [], 0
        if run is not None:
            together.append(run)
            size_bytes += run.text_bytes()


def put_steps(steps: list[Step], stored: WriteTransaction) -> bool:
    """Store steps, in the writer's transaction; return False if one is stale: then it must be aborted."""
    return all(_put_step(step, stored) for step in steps)


def _put_step(step: Step, stored: WriteTransaction) -> bool:
    failpoint("step-begun")
    if step.replaced is not None:
        if stored.block_checksums(step.replaced.key) != step.replaced.checksums:
            return False
        stored.delete_block(step.replaced.key)
        failpoint("step-block-deleted")
    try:
        for block in step.blocks:
            stored.put_block(block)
    except OverlapError:
        return False
    failpoint("step-blocks-put")
    return True

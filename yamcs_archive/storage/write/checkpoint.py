"""A checkpoint: memory tables become blocks, commit records, source states and request ids in LMDB.

1. A table goes into LMDB whole, in one transaction, which also moves the number of the last record that LMDB
   has. A crash leaves the table in the log, or in LMDB. Late events may be left out of blocks: before that
   transaction the log gets a record that carries them, and the transaction names it.
2. Blocks are planned and encoded from a state of LMDB that may have changed until they are put. So the
   transaction checks that the blocks that it replaces are unchanged; if not, nothing is stored, and the plan
   is made anew.
3. The records of commits are packed as they are put: a thousand commits in one record.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.limits import PACK_COMMITS_MAX, PACK_EVENTS_MAX
from yamcs_archive.options import Options
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.commits import CommitRecord, Run
from yamcs_archive.storage.format.keys import encode_key, in_key_order
from yamcs_archive.storage.format.log_records import Carried, LogRecord, encode_payload
from yamcs_archive.storage.format.meta import Checkpoint, encode_checkpoint
from yamcs_archive.storage.format.source_states import SourceState, encode_source
from yamcs_archive.storage.read.block_index import BlockIndex
from yamcs_archive.storage.write.block_steps import TOGETHER_BYTES, Plan, Step, encoded, put_steps
from yamcs_archive.storage.write.placement import place
from yamcs_archive.storage.write.transaction import WriteTransaction
from yamcs_archive.storage.young.arrivals import memory_of
from yamcs_archive.storage.young.memory_table import MemoryTable
from yamcs_archive.storage.young.views import YoungView


class KnownBlocks(NamedTuple):
    """How stored blocks are found, in one transaction."""

    by_key: BlockIndex
    value_of: Callable[[bytes], bytes]
    """Returns the bytes of the block with a first key."""


class Left(NamedTuple):
    """Late events that are left out, and what else the writer would have to find out during its turn."""

    events: Carried
    payload: bytes
    """That of the record that carries them."""
    memory_bytes: int

    @classmethod
    def of(cls, late: StoredVectors) -> Left:
        """Return some events, in key order."""
        carried = Carried(late, late.commits.tolist())
        return cls(carried, encode_payload(LogRecord(0, (), carried=carried)), memory_of(late))


class TableImage(NamedTuple):
    """All that tables put into LMDB, and what is left of them."""

    last: int
    """The number of the last record of the tables."""
    left: Left | None
    """Events that are not put into blocks: the log must carry them before this is stored."""
    damaged: list[DamagedError]
    """Why some of them cannot be."""
    steps: list[Step]
    commits: list[CommitRecord]
    sources: dict[str, SourceState]
    requests: list[Pair]
    facts: list[Pair]


def made_from(
    tables: Sequence[MemoryTable],
    last: int,
    blocks: KnownBlocks,
    options: Options,
    *,
    left_max: int,
    pause: Callable[[], None] = lambda: None,
) -> TableImage:
    """Return what tables, which have no more records added meanwhile, put into LMDB; ``last`` is their last
    record.

    Up to ``left_max`` late events are left out; ``pause`` is
    called between two steps.
    """
    view = YoungView(tuple((table, table.extent) for table in tables))
    steps: list[Step] = []
    commits: list[CommitRecord] = []
    sources: dict[str, SourceState] = {}
    requests: dict[bytes, bytes] = {}
    facts: dict[bytes, bytes] = {}
    left: Left | None = None
    damaged: list[DamagedError] = []
    for table in tables:
        sources.update(table.sources)
        requests.update(table.requests)
        facts.update(table.facts)
    if view.events:
        events = in_key_order(StoredVectors.concat([table.vectors() for table in tables if table.events]))
        pause()
        carried = view.events - view.uncounted
        placed = place(events, blocks.by_key, blocks.value_of, options, left_max=left_max, carried=carried)
        damaged = placed.damaged
        staying = list(placed.left)
        for part in _together(placed.plans):
            plans, ranges = placed.plans[part.start : part.stop], placed.ranges[part.start : part.stop]
            made, refused = _encoded(plans, ranges, events, damaged)
            steps += made
            staying += refused
            pause()
        if staying:
            at = sorted(number for part in staying for number in part)
            left = Left.of(events.take(at))
            pause()
        stretches = np.zeros(events.size, np.int64)
        stretches[placed.starts[1:]] = 1
        pause()
        commits = list(_packed(view, events, np.cumsum(stretches)))
    return TableImage(
        last, left, damaged, steps, commits, sources, list(requests.items()), list(facts.items())
    )


def _encoded(
    plans: list[Plan], ranges: list[range], events: StoredVectors, damaged: list[DamagedError]
) -> tuple[list[Step], list[range]]:
    """Encode plans; return the steps, and the indexes of events whose blocks cannot be made or read back."""
    try:
        return encoded(plans), []
    except (RuntimeError, DamagedError) as error:
        if len(plans) == 1:
            where = f"key {encode_key(*events.key(ranges[0].start)).hex()}"
            damaged.append(DamagedError(where, f"the events from it on cannot be put into blocks: {error}"))
            return [], ranges
        parts = [_encoded([plan], [own], events, damaged) for plan, own in zip(plans, ranges, strict=True)]
        return [step for steps, _ in parts for step in steps], [own for _, left in parts for own in left]


def _together(plans: Sequence[Plan]) -> Iterator[range]:
    """Yield the indexes of plans, some at a time: what is encoded together takes memory, and time without a
    pause.
    """
    start = size_bytes = 0
    for at, plan in enumerate(plans, 1):
        size_bytes += plan.text_bytes
        if size_bytes >= TOGETHER_BYTES or at == len(plans):
            yield range(start, at)
            start, size_bytes = at, 0


def _packed(
    view: YoungView, events: StoredVectors, stretches: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> Iterator[CommitRecord]:
    """Yield the records of commits, of which neighbouring ones are packed into one.

    A packed record has a run for each stretch that has events of it; ``stretches`` has the number of each
    event's stretch. Between the events of a stretch no other block begins, so that a run over all of them
    leads to few blocks in vain.
    """
    tables = [table for table, extent in view.parts if extent.commits]
    times: list[int] = []
    sizes: list[int] = []
    for table in tables:
        more_times, more_sizes = table.commit_columns()
        times += more_times
        sizes += more_sizes
    for start, stop in _packs(sizes):
        first = tables[0].first_commit + start
        last = first + stop - start - 1
        if first == last and (single := view.commit(first)) is not None:
            yield single
            continue
        own = np.flatnonzero((first <= events.commits) & (events.commits <= last))
        ends = np.flatnonzero(np.diff(stretches[own])).tolist()
        begins = [0, *(end + 1 for end in ends)]
        bounds = zip(own[begins].tolist(), own[[*ends, len(own) - 1]].tolist(), strict=True)
        runs = [Run(encode_key(*events.key(begin)), encode_key(*events.key(end))) for begin, end in bounds]
        yield CommitRecord(first, tuple(times[start:stop]), tuple(sizes[start:stop]), tuple(runs))


def _packs(sizes: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the bounds of each pack of commits, whose numbers of events are given.

    >>> list(_packs([1, 1, PACK_EVENTS_MAX - 2, 1, PACK_EVENTS_MAX + 1, 1]))
    [(0, 3), (3, 4), (4, 5), (5, 6)]
    """
    reached = list(accumulate(sizes, initial=0))
    start = 0
    while start < len(sizes):
        within = bisect_right(reached, reached[start] + PACK_EVENTS_MAX) - 1
        stop = max(start + 1, min(within, start + PACK_COMMITS_MAX))
        yield start, stop
        start = stop


def put(image: TableImage, checkpoint: Checkpoint, stored: WriteTransaction) -> bool:
    """Store what tables have, in the writer's transaction; False if it is stale: then it must be aborted.

    ``checkpoint`` says what LMDB has after it.
    """
    failpoint("checkpoint-begun")
    if not put_steps(image.steps, stored):
        return False
    failpoint("checkpoint-blocks-put")
    for record in image.commits:
        stored.put_commits(record)
    stored.put_pairs("sources", [encode_source(name, state) for name, state in image.sources.items()])
    stored.put_pairs("requests", image.requests)
    stored.put_pairs("meta", [*image.facts, encode_checkpoint(checkpoint)])
    failpoint("checkpoint-put")
    return True

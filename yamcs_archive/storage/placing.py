"""Where new events go: as blocks at once, or as rows that are sealed later.

1. A stretch of at least 256 new events that lies between two blocks, no row among them, becomes blocks at
   once, wherever that is: history imported beside live events, or one event with a clock in 2099, must
   not spoil the fast path. All else becomes rows.
2. The block before such a stretch is filled up first, when it is not full and no row stands between: a
   partial block, not rows, is what a bulk append leaves at its end.
3. A block is full at so many events or so much text, whichever comes first; an event that is larger
   than that makes a block of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from yamcs_archive.options import Options
from yamcs_archive.storage.blocks import Block, OpenBlock, encode_block
from yamcs_archive.storage.columns import Columns, has_attached, joined, sizes
from yamcs_archive.storage.keys import encode_key
from yamcs_archive.storage.outcomes import Group
from yamcs_archive.storage.rows import encode_rows
from yamcs_archive.storage.stored import Stored


def place(group: Group, stored: Stored, commit: int, options: Options) -> None:
    """Put the new events of a group under their keys, as blocks or as rows."""
    rows: list[int] = []
    for start, stop in group.stretches:
        if stop - start >= options.run_events_min:
            first = encode_key(*group.columns.key(start))
            if _is_between_blocks(stored, first):
                columns = group.columns
                if stop - start < len(columns.message):
                    columns = columns.cut(start, stop)
                _put_blocks(first, columns, stored, commit, options)
                continue
        rows.extend(range(start, stop))
    if rows:
        columns = group.columns if len(rows) == len(group.columns.message) else group.columns.take(rows)
        keys = [encode_key(*key) for key in columns.keys()]  # noqa: SIM118  # a method, not a mapping
        stored.put_rows(encode_rows(keys, columns, commit))


def _is_between_blocks(stored: Stored, first: bytes) -> bool:
    # No stored key lies within the stretch, so it is between blocks if its first key is.
    before = stored.block_before(first)
    return before is None or before.last < first


def _put_blocks(first: bytes, columns: Columns, stored: Stored, commit: int, options: Options) -> None:
    commits = [commit] * len(columns.message)
    before = stored.block_before(first)
    if (
        before is not None
        and before.events < options.block_events_max
        and not stored.row_between(before.last, first)
    ):
        partial = stored.block(before.first)
        if sum(sizes(partial.columns)) < options.block_text_bytes_max:
            columns, commits = joined([partial.columns, columns]), [*partial.commits, *commits]
    for start, stop in cuts(columns, options):
        part, own = columns.cut(start, stop), commits[start:stop]
        block = encode_block(part, own)
        stored.put_block(block, min(own), max(own))
        if stop == len(commits) and block.events < options.block_events_max:
            stored.keep(OpenBlock.known(block, part, own))


def cuts(columns: Columns, options: Options) -> Iterator[tuple[int, int]]:
    """Yield where to cut columns into blocks.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.storage.columns import prepare
    >>> list(cuts(prepare([Event("abc")] * 5, int), Options(block_events_max=2)))
    [(0, 2), (2, 4), (4, 5)]
    """
    attached = has_attached(columns)
    start = 0
    while part := columns.message[start : start + options.block_events_max]:
        stop = start + len(part)
        # Joining a block's messages is the cheapest way to measure them: a third of summing lengths.
        if attached or len("".join(part)) > options.block_text_bytes_max:
            reached = list(accumulate(sizes(columns.cut(start, stop))))
            stop = start + max(1, bisect_right(reached, options.block_text_bytes_max))
        yield start, stop
        start = stop


def encoded_blocks(
    columns: Columns, commits: list[int], options: Options
) -> Iterator[tuple[Block, int, int]]:
    """Yield the blocks of events in key order, each with its lowest and greatest commit."""
    for start, stop in cuts(columns, options):
        own = commits[start:stop]
        yield encode_block(columns.cut(start, stop), own), min(own), max(own)

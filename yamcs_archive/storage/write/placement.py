"""Placement of new events: in blocks at once, or as rows that are sealed later.

1. A run of at least 256 new events between two blocks, with no row among them, becomes blocks at once, at any
   time in the archive: the fast path must also work for history imported beside live events, and after one
   event from a clock in 2099. All other events become rows.
2. The block before such a run is filled up first, if it is not full and no row is between it and the run. So
   a bulk append leaves a partial block at its end, not rows.
3. A block is full at the option's number of events or bytes of text, whichever is reached first, and before
   any of its frames exceeds the limit. A larger event gets a block of its own.
4. A block that replaces a partial block has events that were acknowledged before, so each of its frames is
   decompressed and compared with its source. Of other new blocks only the bounds are checked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from math import ceil

from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.options import Options
from yamcs_archive.storage.format.block import Block, encode_blocks
from yamcs_archive.storage.format.block_part_encoder import fits
from yamcs_archive.storage.format.keys import encode_key
from yamcs_archive.storage.format.rows import encode_rows
from yamcs_archive.storage.write.outcomes import Group
from yamcs_archive.storage.write.transaction import WriteTransaction


def write_events(group: Group, stored: WriteTransaction, commit: int, options: Options) -> None:
    """Store the new events of a group, as blocks or as rows."""
    rows: list[int] = []
    events = group.events
    for start, stop, alone in group.new_runs:
        if alone and stop - start >= options.run_events_min:
            first = encode_key(*events.key(start))
            # No stored key is within the run, so it is between blocks if its first key is.
            if stored.index.around(first) is None:
                run = events.cut(start, stop)
                run = run if isinstance(run, StoredVectors) else StoredVectors.of(run, commit)
                _put_blocks(first, run.stored_by(commit), stored, options)
                continue
        rows.extend(range(start, stop))
    if rows:
        left = events if len(rows) == events.size else events.take(rows)
        stored.put_rows(encode_rows(left, commit))


def _put_blocks(first: bytes, events: StoredVectors, stored: WriteTransaction, options: Options) -> None:
    before = stored.index.before(first)
    replaced = 0
    if (
        before is not None
        and before.events < well_filled(options.block_events_max)
        and not stored.row_between(before.last, first)
    ):
        try:
            partial = stored.block(before.first).events
        except DamagedError:
            # It is left as it is; new events must not fail because of it.
            partial = None
        if partial is not None and partial.text_bytes() < well_filled(options.block_text_bytes_max):
            replaced = partial.size
            events = StoredVectors.concat([partial, events])
    parts = list(split_into_blocks(events, options))
    before_each = accumulate((part.size for part in parts), initial=0)
    blocks = encode_blocks(parts, compared=sum(reached < replaced for reached in before_each))
    for block, part in zip(blocks, parts, strict=True):
        stored.put_block(block)
        stored.cache.keep_new_times(block.key, part.times)
    if blocks[-1].zone_map.events < options.block_events_max:
        # The next append then fills it up without reading it back.
        stored.cache.keep(Block.known(blocks[-1], parts[-1]))


def well_filled(bound: int) -> int:
    """Return the size from which on a block is not filled up further: three quarters of its bound.

    >>> well_filled(5000), well_filled(1)
    (3750, 1)
    """
    return ceil(bound * 3 / 4)


def split_into_blocks(events: StoredVectors, options: Options) -> Iterator[StoredVectors]:
    """Yield the events of each block.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.columns import Columns
    >>> events = [Event("abc", generation_time=n, seq_number=n, reception_time=n) for n in range(5)]
    >>> many = StoredVectors.of(Columns.of(events), commit=1)
    >>> [part.size for part in split_into_blocks(many, Options(block_events_max=2))]
    [2, 2, 1]
    """
    # The blocks get equal sizes if that fills them well enough. Then no chunk of a long append leaves a block
    # for the next chunk to fill up, which would encode a fifth of all events twice.
    start = 0
    while start < events.size:
        left = events.size - start
        even = ceil(left / ceil(left / options.block_events_max))
        part = events.cut(
            start,
            start + (even if even >= well_filled(options.block_events_max) else options.block_events_max),
        )
        text_bytes = part.text_bytes()
        if text_bytes > options.block_text_bytes_max:
            reached = list(accumulate(part.sizes()))
            part = part.cut(0, max(1, bisect_right(reached, options.block_text_bytes_max)))
            text_bytes = reached[part.size - 1]
        # With default options no block comes near the limit: that takes tens of thousands of types and users,
        # which do not count as text.
        while part.size > 1 and not fits(part, text_bytes):
            part = part.cut(0, part.size // 2)
        yield part
        start += part.size

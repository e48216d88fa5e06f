"""Where new events go: as blocks at once, or as rows that are sealed later.

1. A run of at least 256 new events between two blocks, with no row among them, becomes blocks at once,
   wherever that is: history imported beside live events, or one event with a clock in 2099, must not spoil
   the fast path. All other events become rows.
2. The block before such a run is filled up first, when it is not full and no row is stored between: a bulk
   append leaves a partial block at its end, not rows.
3. A block is full at the option's number of events or bytes of text, whichever comes first, and before a
   frame of it is above the limit; a larger event makes a block of its own.
4. A block that replaces a partial block has events that were acknowledged before, so each of its frames is
   decompressed again and compared with what it was made of. For new blocks the bounds are checked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from math import ceil

from yamcs_archive.errors import DamagedError
from yamcs_archive.options import Options
from yamcs_archive.storage.format.block import Block, encode_blocks
from yamcs_archive.storage.format.block_encoder import fits
from yamcs_archive.storage.format.keys import encode_key
from yamcs_archive.storage.format.rows import encode_rows
from yamcs_archive.storage.format.vectors import Vectors
from yamcs_archive.storage.write.outcomes import Group
from yamcs_archive.storage.write.transaction import WriteTransaction


def write_events(group: Group, stored: WriteTransaction, commit: int, options: Options) -> None:
    """Put the new events of a group under their keys, as blocks or as rows."""
    rows: list[int] = []
    events = group.events
    for start, stop, alone in group.new_runs:
        if alone and stop - start >= options.run_events_min:
            first = encode_key(*events.key(start))
            if _is_between_blocks(stored, first):
                run = events.cut(start, stop)
                run = run if isinstance(run, Vectors) else Vectors.of(run, commit)
                _put_blocks(first, run.stored_by(commit), stored, options)
                continue
        rows.extend(range(start, stop))
    if rows:
        left = events if len(rows) == events.size else events.take(rows)
        stored.put_rows(encode_rows(left, commit))


def _is_between_blocks(stored: WriteTransaction, first: bytes) -> bool:
    # No stored key lies within the stretch, so it is between blocks if its first key is.
    return stored.index.around(first) is None


def _put_blocks(first: bytes, events: Vectors, stored: WriteTransaction, options: Options) -> None:
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
            # It stays as it is until somebody repairs it; new events must not wait for that.
            partial = None
        if partial is not None and partial.text_bytes() < well_filled(options.block_text_bytes_max):
            replaced = partial.size
            events = Vectors.concat([partial, events])
    parts = list(split_into_blocks(events, options))
    before_each = accumulate((part.size for part in parts), initial=0)
    blocks = encode_blocks(parts, compared=sum(reached < replaced for reached in before_each))
    for block, part in zip(blocks, parts, strict=True):
        stored.put_block(block)
        stored.keep_times(block.key, part.times)
    if blocks[-1].zone_map.events < options.block_events_max:
        stored.keep(Block.known(blocks[-1], parts[-1]))


def well_filled(bound: int) -> int:
    """Return how much makes a block full enough to be left as it is: three quarters of its bound.

    >>> well_filled(5000), well_filled(1)
    (3750, 1)
    """
    return ceil(bound * 3 / 4)


def split_into_blocks(events: Vectors, options: Options) -> Iterator[Vectors]:
    """Yield what goes into each block.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.columns import Columns
    >>> events = [Event("abc", generation_time=n, seq_number=n, reception_time=n) for n in range(5)]
    >>> many = Vectors.of(Columns.of(events), commit=1)
    >>> [part.size for part in split_into_blocks(many, Options(block_events_max=2))]
    [2, 2, 1]
    """
    # Of one size where that fills them well enough, so that a long append's chunks leave no block for the
    # next one to fill up: a fifth of all events would be encoded twice.
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
        # With default options none comes near: it takes tens of thousands of types and users, which
        # do not count as text.
        while part.size > 1 and not fits(part, text_bytes):
            part = part.cut(0, part.size // 2)
        yield part
        start += part.size

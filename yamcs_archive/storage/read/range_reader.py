"""Rows and blocks of a stretch of keys, side by side, one short read transaction at a time.

1. A piece is what one transaction saw of a stretch: its rows, and at most one block. Every stored event
   of the stretch is in it, in one of the two forms, never in both: a crash or a seal moves events between
   them within one transaction.
2. The next piece begins where the last one ended, so pieces neither overlap nor leave a gap.
3. Blocks that cannot hold what is wanted are passed over by their summaries, whole groups of them by
   the group's; rows are never passed over. If a summary is damaged, the block itself says what it said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

import lmdb

from yamcs_archive.limits import READ_BYTES_MAX
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.block import Block, checksums_of
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.zone_maps import BlockFilter
from yamcs_archive.storage.read.block_cache import BlockCache
from yamcs_archive.storage.read.block_index import BlockIndex, stored_block

_FIRST_ROWS = 64
"""The first piece has few rows, so that a page of a few events costs little; each one doubles it."""

_TOGETHER, _SMALL_BYTES = 16, 4096
"""Rows that are read between two looks at their keys and sizes, when those before them were no larger."""


class Slice(NamedTuple):
    """What is stored with ``lower <= key < upper``; the block's events may reach beyond on either side."""

    lower: bytes
    upper: bytes
    rows: list[Pair]
    """In the direction of the scan."""
    block: Block | None
    whole: bool
    """True: all events of the block are within."""


class RangeReader:
    """Reads slices; keeps the last decoded block, and uses it again while its checksums are unchanged.

    ``cancelled`` is called before each slice: once it returns True there are no more. Small reads give a
    ``cache``, through which they share decoded blocks.
    """

    def __init__(
        self,
        environment: Environment,
        rows_max: int,
        cancelled: Callable[[], bool] | None = None,
        cache: BlockCache | None = None,
    ) -> None:
        self._open = Block if cache is None else cache.open
        self._environment = environment
        self._rows_max = rows_max
        self._cancelled = cancelled
        self._kept: Block | None = None

    def slices(
        self, lower: bytes, upper: bytes, *, descending: bool = False, ask: BlockFilter | None = None
    ) -> Iterator[Slice]:
        """Yield the pieces of ``lower <= key < upper``; no transaction is held between two of them."""
        rows = min(_FIRST_ROWS, self._rows_max)
        while lower < upper and not (self._cancelled is not None and self._cancelled()):
            piece = self._slice(lower, upper, descending, ask, rows)
            yield piece
            if descending:
                upper = piece.lower
            else:
                lower = piece.upper
            rows = min(2 * rows, self._rows_max)

    def _slice(
        self, lower: bytes, upper: bytes, descending: bool, ask: BlockFilter | None, rows_max: int
    ) -> Slice:
        with self._environment.read() as transaction:
            databases = self._environment.databases
            stored = partial(stored_block, transaction, databases["blocks"])
            cursor = transaction.cursor(databases["summaries"])
            index = BlockIndex(cursor, lambda first: Block(first, stored(first)))
            summary = (index.last_match if descending else index.first_match)(lower, upper, ask)
            if summary is not None:
                if descending:
                    lower = max(lower, summary.first)
                else:
                    upper = min(upper, summary.last + b"\0")
            pairs, more = fetch(transaction.cursor(databases["rows"]), lower, upper, descending, rows_max)
            if more and descending:
                lower = pairs[-1][0]
            elif more:
                upper = pairs[-1][0] + b"\0"
            value = None
            if summary is not None and summary.first < upper and summary.last >= lower:
                value = stored(summary.first)
        block = None
        if summary is not None and value is not None:
            block = self._kept
            if block is None or block.key != summary.first or block.checksums != checksums_of(value):
                block = self._kept = self._open(summary.first, value)
        whole = summary is not None and lower <= summary.first and summary.last < upper
        return Slice(lower, upper, pairs, block, whole)


def fetch(
    cursor: lmdb.Cursor[bytes], lower: bytes, upper: bytes, descending: bool, pairs_max: int
) -> tuple[list[Pair], bool]:
    """Return the pairs with ``lower <= key < upper``, a batch at most, and whether there may be more."""
    if descending:
        placed = cursor.prev() if cursor.set_range(upper) else cursor.last()
        pairs = cursor.iterprev() if placed else iter(())
    else:
        pairs = cursor.iternext() if cursor.set_range(lower) else iter(())
    fetched: list[Pair] = []
    size_bytes, together = 0, 1
    while len(fetched) < pairs_max and size_bytes < READ_BYTES_MAX:
        some = list(islice(pairs, min(together, pairs_max - len(fetched))))
        if not some or (some[-1][0] < lower if descending else some[-1][0] >= upper):
            return fetched + [pair for pair in some if lower <= pair[0] < upper], False
        fetched += some
        more_bytes = sum([len(value) for _, value in some])
        size_bytes += more_bytes
        together = _TOGETHER if more_bytes < _TOGETHER * _SMALL_BYTES else 1
    return fetched, True

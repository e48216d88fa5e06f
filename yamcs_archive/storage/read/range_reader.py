"""Reading a range of keys, young events and blocks side by side, in slices of one short snapshot each.

1. A slice is what one snapshot saw of a part of the range: its young events, and at most one block. Every
   event stored there is in the slice, in one of the two forms, never in both: a snapshot has of the memory
   tables what its transaction does not have.
2. The next slice begins where the last one ended, so slices neither overlap nor leave a gap.
3. Blocks that cannot hold a wanted event are passed over by their zone maps and text filters, whole groups
   of them by the group's. Young events of sources that are not wanted are left out by their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Protocol

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.lmdb_open import TEXTS
from yamcs_archive.storage.format.block import Block, checksums_of
from yamcs_archive.storage.format.block_part_decoder import locate
from yamcs_archive.storage.format.zone_maps import BlockFilter, ZoneMap
from yamcs_archive.storage.read.block_index import BlockIndex, stored_block
from yamcs_archive.storage.young.views import LeftOut, YoungEvents

_FIRST_YOUNG = 64
"""Most young events of the first slice, so that a page of a few events costs little; each slice doubles
it.
"""


class Slice(NamedTuple):
    """All events with ``lower <= key < upper``; the block may have others below and above."""

    lower: bytes
    upper: bytes
    young: YoungEvents
    """Those of wanted sources, in the direction of the scan."""
    block: Block | None
    whole: bool
    """True: all events of the block are within the bounds."""
    zone_map: ZoneMap | None = None
    """That of the block."""

    @property
    def block_indexes(self) -> range:
        """The indexes of the block's events that are within the bounds."""
        block = self.block
        if block is None or self.whole:  # known without decoding its times
            return range(0 if block is None else block.count)
        return range(block.index_of_bound(self.lower), block.index_of_bound(self.upper))


class BlockOpener(Protocol):
    """What a reader opens blocks with: a cache, or a check that passes over blocks that cannot be read."""

    def open(self, key: bytes, value: bytes) -> Block | None:
        """Return the block of these bytes; None to read on without it."""


class RangeReader:
    """Reads slices; keeps the last decoded block, and uses it again while its checksums are unchanged.

    ``cancelled`` is called before each slice: once it returns True there are no more. Small reads give a
    ``cache``, through which they share decoded blocks.
    """

    def __init__(
        self,
        environment: Environment,
        events_max: int,
        cancelled: Callable[[], bool] | None = None,
        cache: BlockOpener | None = None,
        *,
        left_out: LeftOut | None = None,
    ) -> None:
        """``left_out`` is called for young events that are damaged; without it that is an error."""
        self._left_out = left_out
        self._open: Callable[[bytes, bytes], Block | None] = Block if cache is None else cache.open
        self._environment = environment
        self._events_max = events_max
        self._cancelled = cancelled
        self._last_block: Block | None = None

    def slices(
        self, lower: bytes, upper: bytes, *, descending: bool = False, wanted: BlockFilter | None = None
    ) -> Iterator[Slice]:
        """Yield the slices of ``lower <= key < upper``; no transaction is held between two of them.

        Blocks that have nothing ``wanted`` are passed over, and young events of other sources; None: all are
        wanted.
        """
        most = min(_FIRST_YOUNG, self._events_max)
        while lower < upper and not (self._cancelled is not None and self._cancelled()):
            slice_ = self._slice(lower, upper, descending, wanted, most)
            if slice_.lower >= upper if descending else slice_.upper <= lower:
                raise _not_in_order(lower)
            yield slice_
            if descending:
                upper = slice_.lower
            else:
                lower = slice_.upper
            most = min(2 * most, self._events_max)

    def _opened(self, zone_map: ZoneMap, value: bytes) -> Block | None:
        try:
            block = self._open(zone_map.first, value)
        except DamagedError as error:
            locate(error, zone_map.first, zone_map.last, zone_map.events)
            raise
        return None if block is None else reaching(block, zone_map)

    def _slice(
        self, lower: bytes, upper: bytes, descending: bool, wanted: BlockFilter | None, events_max: int
    ) -> Slice:
        with self._environment.snapshot(self._left_out) as (transaction, young):
            databases = self._environment.databases
            stored = partial(stored_block, transaction, databases["blocks"])
            cursor = transaction.cursor(databases["summaries"])
            texts = databases.get(TEXTS) if wanted is not None and wanted.trigrams else None
            index = BlockIndex(
                cursor,
                lambda first: Block(first, stored(first)),
                None if texts is None else transaction.cursor(texts),
            )
            zone_map = (index.last_match if descending else index.first_match)(lower, upper, wanted)
            if zone_map is not None:
                if descending:
                    lower = max(lower, zone_map.first)
                else:
                    upper = min(upper, zone_map.last + b"\0")
            found, more = young.find(lower, upper, descending=descending, events_max=events_max)
            if more and descending:
                lower = found.keys[-1]
            elif more:
                upper = found.keys[-1] + b"\0"
            value = None
            if zone_map is not None and zone_map.first < upper and zone_map.last >= lower:
                try:
                    value = stored(zone_map.first)
                except DamagedError as error:
                    locate(error, zone_map.first, zone_map.last, zone_map.events)
                    raise
        block: Block | None = None
        if zone_map is not None and value is not None:
            block = self._last_block
            if block is None or block.key != zone_map.first or block.checksums != checksums_of(value):
                block = self._last_block = self._opened(zone_map, value)
        if wanted is not None and wanted.sources is not None:
            found = found.of_sources(wanted.sources)
        whole = zone_map is not None and lower <= zone_map.first and zone_map.last < upper
        return Slice(lower, upper, found, block, whole, zone_map)


def reaching(block: Block, zone_map: ZoneMap) -> Block:
    """Return a block whose errors say how far it reaches."""
    for part in block.parts:
        part.reaches = zone_map.last, zone_map.events
    return block


def _not_in_order(lower: bytes) -> DamagedError:
    """Return the error where reading on would never end."""
    return DamagedError(f"the keys from {lower.hex()}", "they are not in order: a page of LMDB is damaged")

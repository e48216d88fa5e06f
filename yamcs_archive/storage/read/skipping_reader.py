"""Reading round what is damaged: a reader whose slices have only blocks that can be read.

It decodes every block whole before it gives them out, so that no damage shows later. That is
slower than :class:`RangeReader`, whose readers decode what they need; it is used only on request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import lmdb

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.block_part_decoder import locate
from yamcs_archive.storage.format.keys import BEYOND_ALL
from yamcs_archive.storage.format.zone_maps import BLOCK_LEVEL, BlockFilter, decode_zone_map
from yamcs_archive.storage.read.range_reader import BlockOpener, RangeReader, Slice

Skipped = Callable[[DamagedError], None]


class ToldOnce:
    """Tells each damage once: several slices may lead to one block, and each has all young events."""

    def __init__(self, skipped: Skipped) -> None:
        self._skipped = skipped
        self._told: set[str] = set()

    def __call__(self, error: DamagedError) -> None:
        """Tell of a damage, unless it was told."""
        if error.where not in self._told:
            self._told.add(error.where)
            self._skipped(error)


def reader_for(
    environment: Environment,
    events_max: int,
    cancelled: Callable[[], bool] | None = None,
    cache: BlockOpener | None = None,
    *,
    skipped: Skipped | None = None,
) -> RangeReader:
    """Return a reader; with ``skipped``, one that calls it for what is damaged, and reads on after it."""
    if skipped is None:
        return RangeReader(environment, events_max, cancelled, cache)
    return SkippingReader(environment, events_max, cancelled, skipped)


class SkippingReader(RangeReader):
    """Reads slices of what is sound."""

    def __init__(
        self,
        environment: Environment,
        events_max: int,
        cancelled: Callable[[], bool] | None,
        skipped: Skipped,
    ) -> None:
        self._opener = _Opener()
        self._tell = skipped if isinstance(skipped, ToldOnce) else ToldOnce(skipped)
        super().__init__(environment, events_max, cancelled, self._opener, left_out=self._tell)

    def slices(
        self, lower: bytes, upper: bytes, *, descending: bool = False, wanted: BlockFilter | None = None
    ) -> Iterator[Slice]:
        """Yield the slices of ``lower <= key < upper``; see :meth:`RangeReader.slices`."""
        while lower < upper:
            try:
                for slice_ in super().slices(lower, upper, descending=descending, wanted=wanted):
                    yield self._sound(slice_)
                    lower, upper = (lower, slice_.lower) if descending else (slice_.upper, upper)
                return
            except DamagedError as error:
                place = self._place(lower, upper, descending=descending)
                if place is None:
                    raise
                self._tell(error)
            # Nothing says where the block ends: up to the next one, only young events are read.
            bad, beyond = max(lower, place[0]), min(place[1], upper)
            if descending:
                yield from self.slices(beyond, upper, descending=True, wanted=wanted)
            else:
                yield from self.slices(lower, bad, wanted=wanted)
            yield from self._young_alone(bad, beyond, descending=descending)
            lower, upper = (lower, bad) if descending else (beyond, upper)

    def _young_alone(self, lower: bytes, upper: bytes, *, descending: bool) -> Iterator[Slice]:
        more = lower < upper
        while more:
            with self._environment.snapshot(self._tell) as (_, young):
                found, more = young.find(lower, upper, descending=descending, events_max=self._events_max)
            begin, end = lower, upper
            if more and descending:
                begin = upper = found.keys[-1]
            elif more:
                end = lower = found.keys[-1] + b"\0"
            yield Slice(begin, end, found, None, whole=False)

    def _place(self, lower: bytes, upper: bytes, *, descending: bool) -> tuple[bytes, bytes] | None:
        """Return the first key of the first block on the way that cannot be found, and that of the next.

        None if all can be found.
        """
        with self._environment.read() as transaction:
            databases = self._environment.databases
            zone_maps = transaction.cursor(databases["summaries"])
            stored = transaction.cursor(databases["blocks"])
            at = BLOCK_LEVEL + (upper if descending else lower)
            placed = zone_maps.set_range(at)
            if descending or not placed or zone_maps.key() != at:  # the block before may reach into the range
                before = zone_maps.prev() if placed else zone_maps.last()
                placed = before or (not descending and zone_maps.set_range(at))
            while placed and zone_maps.key()[:1] == BLOCK_LEVEL:
                first = zone_maps.key()[1:]
                if not descending and first >= upper:
                    return None
                if not _is_there(zone_maps, stored):
                    following = zone_maps.next() and zone_maps.key()[:1] == BLOCK_LEVEL
                    return first, zone_maps.key()[1:] if following else BEYOND_ALL
                if descending and first <= lower:
                    return None
                placed = zone_maps.prev() if descending else zone_maps.next()
        return None

    def _sound(self, slice_: Slice) -> Slice:
        error, self._opener.error = self._opener.error, None
        zone_map = slice_.zone_map
        if error is not None and zone_map is not None:
            locate(error, zone_map.first, zone_map.last, zone_map.events)
            self._tell(error)
        return slice_


class _Opener:
    """Opens blocks of which everything can be read; keeps why the last one was left out."""

    def __init__(self) -> None:
        self.error: DamagedError | None = None

    def open(self, key: bytes, value: bytes) -> Block | None:
        try:
            block = Block(key, value)
            _ = block.events
        except DamagedError as error:
            self.error = error
            return None
        return block


def _is_there(zone_maps: lmdb.Cursor[bytes], stored: lmdb.Cursor[bytes]) -> bool:
    """Return whether a block can be found: by its zone map, or else by its own keys."""
    key = zone_maps.key()
    if not stored.set_key(key[1:]):
        return False
    try:
        decode_zone_map(key, zone_maps.value())
    except DamagedError:
        try:
            return len(Block(key[1:], stored.value()).times) > 0
        except DamagedError:
            return False
    return True

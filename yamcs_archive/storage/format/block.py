"""Blocks <-> events: many events, compressed by column; bytes in, vectors out. No LMDB, no clock, no HTTP.

A block has events in key order. Nearly every block is one part. A few late events between its first and last
key may be in a second part, its *late part*: to encode all events again for each late one would halve the
rate of a stream in which one event in a hundred is late.

Here all columns are in key order, whichever part the events are in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import SEVERITIES, Event
from yamcs_archive.event_vectors import DictColumn, Indexes, Int64s, StoredVectors
from yamcs_archive.limits import BLOCK_FRAME_BYTES_MAX
from yamcs_archive.storage.format.block_part_decoder import BlockPart
from yamcs_archive.storage.format.block_part_encoder import (
    CHECKSUMS_BYTES,
    HEADER,
    LATE,
    MAIN,
    encode_parts,
    end_of,
)
from yamcs_archive.storage.format.block_pick import ONE_BY_ONE_MAX, pick_events, pick_vectors
from yamcs_archive.storage.format.keys import (
    Key,
    Keys,
    decode_bound,
    encode_key,
    in_key_order,
    index_among,
    indexes_in,
    key_order,
)
from yamcs_archive.storage.format.text_filters import TextFilter, WorkSpace
from yamcs_archive.storage.format.text_search import TextMatcher
from yamcs_archive.storage.format.zone_maps import ZoneMap, pack_sources

_PICKED_SHARE = 16
"""Up to 1 in 16 events of a block are picked out of it; for more, all are decoded."""


class EncodedBlock(NamedTuple):
    """An encoded block: the value to put under ``key``, and its zone map."""

    key: bytes
    """The first event's key."""
    value: bytes
    zone_map: ZoneMap


def encode_blocks(runs: Sequence[StoredVectors], compared: int = 0) -> list[EncodedBlock]:
    """Return the blocks of several runs of events, each in strict key order.

    ``compared`` is as for :func:`~yamcs_archive.storage.format.block_part_encoder.encode_parts`.

    >>> from yamcs_archive.columns import Columns
    >>> events = [Event(f"{n}", generation_time=n, seq_number=n, reception_time=9) for n in range(3)]
    >>> [block] = encode_blocks([StoredVectors.of(Columns.of(events), commit=1)])
    >>> list(Block(block.key, block.value).events.events()) == events
    True
    """
    zone_maps = list(map(zone_map_of, runs))
    keys = [zone_map.first for zone_map in zone_maps]
    values = encode_parts(runs, keys, MAIN, compared)
    return [EncodedBlock(*block) for block in zip(keys, values, zone_maps, strict=True)]


def encode_late(
    blocks: Sequence[tuple[Block, bytes, ZoneMap]], late: Sequence[StoredVectors]
) -> list[EncodedBlock]:
    """Return blocks, given with their bytes and zone maps, with new late parts.

    ``late`` has for each block all events of its late part, in key order, between its first and last key.
    """
    added = encode_parts(late, [block.key for block, _, _ in blocks], LATE)
    found = []
    for (block, value, zone_map), part, events in zip(blocks, added, late, strict=True):
        main = block.parts[0]
        main_map = zone_map._replace(events=main.count, severity_counts=_severity_counts(main.severities))
        merged = ZoneMap.merge([main_map, zone_map_of(events)])
        found.append(EncodedBlock(block.key, value[: end_of(value)] + part, merged))
    return found


def read_back(block: EncodedBlock, events: StoredVectors, part: int = 0) -> None:
    """Raise RuntimeError unless a part of a new block reads back as the events that it was made of.

    Called before other copies of these events are deleted: an event that cannot be read back would be lost.
    """
    try:
        read = Block(block.key, block.value).parts[part].events
    except (DamagedError, IndexError) as error:
        raise RuntimeError(f"block {block.key.hex()} cannot be read back: {error}") from error
    if not read.same_as(events):
        raise RuntimeError(f"block {block.key.hex()} reads back as other events than it was made of")


def has_large_frames(key: bytes, value: bytes | memoryview) -> bool:
    """Return whether a block has frames above the limit, as versions before the first release wrote them.

    In a first part only the key frame and the body frame can be so large. Their sizes are in the header, so
    little is read.
    """
    end = end_of(value)
    if len(value) < HEADER.size or max(HEADER.unpack_from(value)[-2:]) > BLOCK_FRAME_BYTES_MAX:
        return True
    late = bytes(value[end:])
    return bool(late) and BlockPart(key, late, LATE).largest_frame_bytes > BLOCK_FRAME_BYTES_MAX


def zone_map_of(events: StoredVectors | Block) -> ZoneMap:
    """Return the zone map of events in key order, or of a block: of that only key columns are decoded.

    >>> from yamcs_archive.columns import Columns
    >>> event = Event("a", generation_time=1, seq_number=1, reception_time=1)
    >>> [block] = encode_blocks([StoredVectors.of(Columns.of([event]), commit=1)])
    >>> zone_map_of(Block(block.key, block.value)) == block.zone_map
    True
    """
    keys = Keys(events.times, events.sources, events.numbers)
    counts = _severity_counts(events.severities)
    return ZoneMap(
        encode_key(*keys.key(0)),
        encode_key(*keys.key(-1)),
        keys.size,
        pack_sources(events.sources.used().values),
        sum(1 << code for code, count in enumerate(counts) if count),
        int(events.commits.min()),
        int(events.commits.max()),
        counts,
    )


def text_filter_of(block: Block, space: WorkSpace | None = None) -> TextFilter:
    """Return the text filter of a block; raises DamagedError if its texts cannot be read.

    Many blocks share a ``space``.

    >>> from yamcs_archive.columns import Columns
    >>> event = Event("Wheel 3", "AOCS", generation_time=1, seq_number=1, reception_time=1)
    >>> [block] = encode_blocks([StoredVectors.of(Columns.of([event]), commit=1)])
    >>> from yamcs_archive.storage.format.text_filters import trigrams
    >>> found = text_filter_of(Block(block.key, block.value))
    >>> [found.may_hold(trigrams([text])) for text in ("wheel 3", "aocs", "wheel 4")]
    [True, True, False]
    """
    found = TextFilter()
    for part in block.parts:
        found.add(part.texts(), space)
    return found


def _severity_counts(severities: npt.NDArray[np.uint8]) -> tuple[int, ...]:
    """Return the number of events of each severity code."""
    return tuple(np.bincount(severities, minlength=len(SEVERITIES)).tolist())


def checksums_of(value: bytes) -> bytes:
    """Return the checksums of all parts of a block: equal ones mean an equal block."""
    end = end_of(value)
    return value[:CHECKSUMS_BYTES] + value[end : end + CHECKSUMS_BYTES]


def _in_order_of_keys(name: str) -> Any:
    """Return a cached property of a block: the column with that name of its parts, in key order."""

    def column(block: Block) -> Any:
        columns = [getattr(part, name) for part in block.parts]
        return columns[0] if len(columns) == 1 else np.concatenate(columns)[block.order]

    return cached_property(column)


class Block:
    """A block as it was read: its columns are decoded when they are used.

    Raises :class:`~yamcs_archive.errors.DamagedError`, at construction or at first use of a column.
    """

    def __init__(self, key: bytes, value: bytes) -> None:
        self.key = key
        self.checksums = checksums_of(value)
        self.size_bytes = len(value)
        end = end_of(value)
        self.parts = [BlockPart(key, value[:end], MAIN)]
        if end < len(value):
            self.parts.append(BlockPart(key, value[end:], LATE))
        self.count = sum(part.count for part in self.parts)

    @classmethod
    def known(cls, block: EncodedBlock, events: StoredVectors) -> Block:
        """Return a block whose events are in memory already, so that they need no decoding."""
        found = cls(block.key, block.value)
        # The events may be cut out of many, and others are added later: dictionary values that no event here
        # has must not pile up.
        found.events = events = events.trimmed()
        found.times, found.numbers, found.commits = events.times, events.numbers, events.commits
        found.sources, found.severities = events.sources, events.severities
        return found

    def check_body(self) -> None:
        """Raise DamagedError when a checksum of body or messages is wrong; no message is decompressed."""
        for part in self.parts:
            part.check_body()

    @cached_property
    def order(self) -> Indexes | None:
        """The key order of the events of both parts, one after the other; None for one part."""
        if len(self.parts) == 1:
            return None
        main, late = self.parts

        def rest(at: int) -> tuple[str, int]:
            part, index = (main, at) if at < main.count else (late, at - main.count)
            return part.sources.values[part.sources.codes[index]], int(part.numbers[index])

        return key_order(np.concatenate((main.times, late.times)), rest)

    times: Int64s = _in_order_of_keys("times")
    """Generation times, microseconds since 1970."""
    numbers: Int64s = _in_order_of_keys("numbers")
    """Each event's sequence number."""
    commits: Int64s = _in_order_of_keys("commits")
    """The number of the commit that stored each event."""
    severities: npt.NDArray[np.uint8] = _in_order_of_keys("severities")
    """Each event's severity code."""

    @cached_property
    def sources(self) -> DictColumn:
        """Each event's source."""
        if len(self.parts) == 1:
            return self.parts[0].sources
        found = DictColumn.concat([part.sources for part in self.parts])
        return found._replace(codes=found.codes[self.order])

    @cached_property
    def events(self) -> StoredVectors:
        """All events as vectors."""
        if len(self.parts) == 1:
            return self.parts[0].events
        return in_key_order(StoredVectors.concat([part.events for part in self.parts]))

    def key_of(self, at: int) -> Key:
        """Return one event's key: time, source, number."""
        return int(self.times[at]), self.sources.values[self.sources.codes[at]], int(self.numbers[at])

    def index_of(self, key: Key) -> int:
        """Return the index of a key, or of the next greater one: how many events have a lesser key."""
        return index_among(self.times, key, self.key_of)

    def indexes_of_keys(self, keys: Sequence[Key]) -> list[int]:
        """Return the index of each key, -1 for a key that the block does not have; fast for many.

        Times are looked up all at once; keys one by one, only among events of equal times.
        """
        found = []
        lows: list[int] = self.times.searchsorted([time for time, _, _ in keys]).tolist()
        for low, key in zip(lows, keys, strict=True):
            at = low
            if low < self.count and self.key_of(low) != key:
                at = self.index_of(key)
            found.append(at if at < self.count and self.key_of(at) == key else -1)
        return found

    def indexes_among(self, keys: Keys) -> Indexes:
        """Return the index of each key, -1 for a key that the block does not have; fastest for very many."""
        return indexes_in(Keys(self.times, self.sources, self.numbers), keys)

    def index_of_bound(self, bound: bytes) -> int:
        """Return how many events are below a bound of a range of encoded keys."""
        if bound <= self.key:
            return 0
        time, rest = decode_bound(bound)
        low = int(self.times.searchsorted(time))
        if not rest:
            return low
        # Among events of equal times the whole key decides.
        high = int(self.times.searchsorted(time, "right"))
        return bisect_left(range(high), bound, low, high, key=lambda at: encode_key(*self.key_of(at)))

    def indexes_of_commits(self, lowest: int, greatest: int) -> list[int]:
        """Return the indexes of the events that the commits from ``lowest`` to ``greatest`` stored."""
        found: list[int] = np.flatnonzero((lowest <= self.commits) & (self.commits <= greatest)).tolist()
        return found

    def containing(self, matcher: TextMatcher) -> list[int]:
        """Return the indexes of the events whose messages contain the texts, in their order."""
        found = [part.containing(matcher) for part in self.parts]
        if self.order is None:
            return found[0]
        stored = [*found[0], *(index + self.parts[0].count for index in found[1])]
        return np.flatnonzero(np.isin(self.order, stored)).tolist()

    def take(self, indexes: Sequence[int]) -> StoredVectors:
        """Return the events at some indexes; if these are few, no other message is built."""
        if len(self.parts) > 1 or len(indexes) * _PICKED_SHARE > self.count or "events" in vars(self):
            return self.events.take(indexes)
        return pick_vectors(self.parts[0], indexes)

    def some_events(self, indexes: Sequence[int], *, descending: bool = False) -> Iterator[Event]:
        """Yield the events at some different indexes, in order, from the last one on if ``descending``."""
        if len(indexes) <= ONE_BY_ONE_MAX and len(self.parts) == 1 and "events" not in vars(self):
            return iter(pick_events(self.parts[0], indexes[::-1] if descending else indexes))
        events = self.events if len(indexes) == self.count else self.take(indexes)
        return events.events(descending=descending)

"""Compressed columnar blocks <-> events; bytes in, vectors out. No LMDB, no clock, no HTTP.

A block is a run of events in key order. Nearly always it is one part; a few late events between its first
and last key may stand in a second part behind it, because to encode everything anew for one event
in a hundred would halve the rate of a stream in which a few come late.

Everything here is in the order of keys, whichever part it comes from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import Event
from yamcs_archive.limits import BLOCK_FRAME_BYTES_MAX
from yamcs_archive.storage.format.block_encoder import (
    CHECKSUMS_BYTES,
    HEADER,
    LATE,
    MAIN,
    encode_parts,
    end_of,
)
from yamcs_archive.storage.format.block_part import BlockPart
from yamcs_archive.storage.format.dictionary import DictColumn, joined_codes
from yamcs_archive.storage.format.integers import Int64s
from yamcs_archive.storage.format.keys import Key, decode_bound, encode_key, key_order, place_among
from yamcs_archive.storage.format.messages import TextMatcher
from yamcs_archive.storage.format.vectors import Vectors, joined, same
from yamcs_archive.storage.format.zone_maps import ZoneMap, pack_sources
from yamcs_archive.storage.format.zone_maps import merged as joined_summaries

_FEW = 16
"""One event in so many, or fewer, are taken out of the text of all one by one."""

_ONE_BY_ONE = 4
"""So many events are built one by one; more of them by column."""


class EncodedBlock(NamedTuple):
    """An encoded block: what is put under ``key``, and its summary."""

    key: bytes
    """The first event's key."""
    value: bytes
    zone_map: ZoneMap


def encode_block(events: Vectors) -> EncodedBlock:
    """Return the block of events in strict key order.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.storage.format.vectors import vectors
    >>> events = [Event(f"{n}", generation_time=n, seq_number=n, reception_time=9) for n in range(3)]
    >>> block = encode_block(vectors(Columns.of(events), commit=1))
    >>> list(Block(block.key, block.value).events.events()) == events
    True
    """
    return encode_blocks([events])[0]


def encode_blocks(runs: Sequence[Vectors], compared: int = 0) -> list[EncodedBlock]:
    """Return the blocks of several runs of events, each in strict key order.

    ``compared`` is as :func:`~yamcs_archive.storage.format.block_encoder.encode_parts` has it.
    """
    keys = [encode_key(*run.key(0)) for run in runs]
    values = encode_parts(runs, keys, MAIN, compared)
    return [EncodedBlock(*pair) for pair in zip(keys, values, map(_summary, runs), strict=True)]


def encode_late(
    blocks: Sequence[tuple[Block, bytes, ZoneMap]], late: Sequence[Vectors]
) -> list[EncodedBlock]:
    """Return blocks, given with their bytes and summaries, that hold late events as well, in a second part.

    ``late`` has for each block all that shall stand there, in key order, between its first and last key.
    """
    added = encode_parts(late, [block.key for block, _, _ in blocks], LATE)
    found = []
    for (block, value, summary), part, events in zip(blocks, added, late, strict=True):
        there = summary._replace(events=block.parts[0].count)
        found.append(
            EncodedBlock(
                block.key, value[: end_of(value)] + part, joined_summaries([there, _summary(events)])
            )
        )
    return found


def read_back(block: EncodedBlock, events: Vectors, part: int = 0) -> None:
    """Raise RuntimeError unless a part of a new block reads back as the events that it was made of.

    Called before other copies of these events are deleted: what cannot be read then is lost.
    """
    try:
        read = Block(block.key, block.value).parts[part].events
    except (DamagedError, IndexError) as error:
        raise RuntimeError(f"block {block.key.hex()} cannot be read back: {error}") from error
    if not same(read, events):
        raise RuntimeError(f"block {block.key.hex()} reads back as other events than it was made of")


def has_large_frames(key: bytes, value: bytes | memoryview) -> bool:
    """Return whether a block has frames above the limit, as versions before the first release wrote them.

    In a first part only key and body frame can be, and their sizes are in the header, so little is read.
    """
    end = end_of(value)
    if len(value) < HEADER.size or max(HEADER.unpack_from(value)[-2:]) > BLOCK_FRAME_BYTES_MAX:
        return True
    late = bytes(value[end:])
    return bool(late) and BlockPart(key, late, LATE).largest_frame_bytes > BLOCK_FRAME_BYTES_MAX


def _summary(events: Vectors) -> ZoneMap:
    return ZoneMap(
        encode_key(*events.key(0)),
        encode_key(*events.key(-1)),
        events.size,
        pack_sources(events.sources.used().values),
        _bits(events.severities),
        int(events.commits.min()),
        int(events.commits.max()),
    )


def zone_map_of(block: Block) -> ZoneMap:
    """Return the summary of a block, whose own is lost.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.storage.format.vectors import vectors
    >>> event = Event("a", generation_time=1, seq_number=1, reception_time=1)
    >>> block = encode_block(vectors(Columns.of([event]), commit=1))
    >>> zone_map_of(Block(block.key, block.value)) == block.zone_map
    True
    """
    return ZoneMap(
        block.key,
        encode_key(*block.key_of(block.count - 1)),
        block.count,
        pack_sources(block.sources.values),
        _bits(block.severities),
        int(block.commits.min()),
        int(block.commits.max()),
    )


def _bits(severities: npt.NDArray[np.uint8]) -> int:
    return sum(1 << code for code in np.flatnonzero(np.bincount(severities)).tolist())


def checksums_of(value: bytes) -> bytes:
    """Return the checksums in a block's bytes, of all its parts: equal ones mean an equal block."""
    end = end_of(value)
    return value[:CHECKSUMS_BYTES] + value[end : end + CHECKSUMS_BYTES]


class Block:
    """A block as it was read: its columns are decoded when they are asked for.

    Raises :class:`~yamcs_archive.errors.DamagedError`, at construction or at first use of a column.
    """

    def __init__(self, key: bytes, value: bytes) -> None:
        self.key = key
        self.checksums = checksums_of(value)
        end = end_of(value)
        self.parts = [BlockPart(key, value[:end], MAIN)]
        if end < len(value):
            self.parts.append(BlockPart(key, value[end:], LATE))
        self.count = sum(part.count for part in self.parts)

    @classmethod
    def known(cls, block: EncodedBlock, events: Vectors) -> Block:
        """Return the open form of a block whose events are at hand, so that they need no decoding."""
        found = cls(block.key, block.value)
        # Cut out of many, and joined with more later: what the others had must not pile up in the tables.
        found.events = events = events.trimmed()
        found.times, found.numbers, found.commits = events.times, events.numbers, events.commits
        found.sources, found.severities = events.sources, events.severities
        return found

    def check_body(self) -> None:
        """Raise DamagedError when a checksum of body or messages is wrong; no message is decompressed."""
        for part in self.parts:
            part.check_body()

    @cached_property
    def _order(self) -> npt.NDArray[np.intp] | None:
        """The key order of the events of all parts; None where they are in order as they stand."""
        if len(self.parts) == 1:
            return None
        times, numbers = (
            np.concatenate([getattr(part, name) for part in self.parts]) for name in ("times", "numbers")
        )
        names = [name for part in self.parts for name in part.sources.decoded()]
        return key_order(times, lambda at: (names[at], int(numbers[at])))

    def _merged(self, name: str) -> Any:
        if len(self.parts) == 1:
            return getattr(self.parts[0], name)
        return np.concatenate([getattr(part, name) for part in self.parts])[self._order]

    @cached_property
    def times(self) -> Int64s:
        """Generation times, microseconds since 1970."""
        return self._merged("times")  # type: ignore[no-any-return]  # as the parts have it

    @cached_property
    def numbers(self) -> Int64s:
        """Each event's sequence number."""
        return self._merged("numbers")  # type: ignore[no-any-return]  # likewise

    @cached_property
    def commits(self) -> Int64s:
        """The number of the commit that stored each event."""
        return self._merged("commits")  # type: ignore[no-any-return]  # likewise

    @cached_property
    def severities(self) -> npt.NDArray[np.uint8]:
        """Each event's severity code."""
        return self._merged("severities")  # type: ignore[no-any-return]  # likewise

    @cached_property
    def sources(self) -> DictColumn:
        """The sources that occur, and each event's place among them."""
        if len(self.parts) == 1:
            return self.parts[0].sources
        found = joined_codes([part.sources for part in self.parts])
        return found._replace(codes=found.codes[self._order])

    def key_of(self, at: int) -> Key:
        """Return one event's key: time, source, number."""
        return int(self.times[at]), self.sources.values[self.sources.codes[at]], int(self.numbers[at])

    def place_of(self, key: Key) -> int:
        """Return how many of the events have a lesser key."""
        return place_among(self.times, key, self.key_of)

    def places_of_keys(self, keys: Sequence[Key]) -> list[int]:
        """Return the place of each key, -1 where it is none of the block's; the faster for being many.

        The times of all are looked for at once; only among events of one time each key is looked for.
        """
        found = []
        lows: list[int] = self.times.searchsorted([time for time, _, _ in keys]).tolist()
        for low, key in zip(lows, keys, strict=True):
            place = low
            if low < self.count and self.key_of(low) != key:
                place = self.place_of(key)
            found.append(place if place < self.count and self.key_of(place) == key else -1)
        return found

    def place_of_bound(self, bound: bytes) -> int:
        """Return how many of the events lie below a bound of a range of encoded keys."""
        if bound <= self.key:
            return 0
        time, rest = decode_bound(bound)
        low = int(self.times.searchsorted(time))
        if rest:
            # Among the events of that very time the whole key decides.
            while low < self.count and self.times[low] == time and encode_key(*self.key_of(low)) < bound:
                low += 1
        return low

    def places_of(self, lowest: int, greatest: int) -> list[int]:
        """Return the places of the events that the commits from ``lowest`` to ``greatest`` stored."""
        found: list[int] = np.flatnonzero((lowest <= self.commits) & (self.commits <= greatest)).tolist()
        return found

    def containing(self, sought: TextMatcher) -> list[int]:
        """Return the places of the events whose messages contain what is sought, in their order."""
        found = [part.containing(sought) for part in self.parts]
        if self._order is None:
            return found[0]
        places = [*found[0], *(place + self.parts[0].count for place in found[1])]
        return np.flatnonzero(np.isin(self._order, places)).tolist()

    @cached_property
    def events(self) -> Vectors:
        """All events as vectors."""
        if len(self.parts) == 1:
            return self.parts[0].events
        return joined([part.events for part in self.parts]).in_key_order()

    def take(self, places: Sequence[int]) -> Vectors:
        """Return the events at some places; where these are few, no other message is built for it."""
        if len(self.parts) > 1 or len(places) * _FEW > self.count or "events" in self.__dict__:
            return self.events.take(places)
        return self.parts[0].take(places)

    def some_events(self, places: Sequence[int], *, descending: bool = False) -> Iterator[Event]:
        """Yield the events at some places, in order, from the last one on if ``descending``."""
        if len(places) <= _ONE_BY_ONE and len(self.parts) == 1 and "events" not in self.__dict__:
            return iter(self.parts[0].few(places[::-1] if descending else places))
        events = self.events if len(places) == self.count else self.take(places)
        return events.events(descending=descending)

"""What queries found in blocks where it was few: displays ask for the newest events of a source every second.

1. To find one event among thousands, most of a block is decompressed. Where a query found few events in a
   block, they are kept, so the same query need not decode that block again.
2. They are used only while the checksums of the stored block are those of the block they were found in. Only
   blocks that are whole within the bounds of the query count, so its bounds and its order are of no matter.
3. It is bounded by a number of answers, each of bounded size. Each open store has one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from yamcs_archive.event import Event, Severity
from yamcs_archive.storage.format.block import Block, checksums_of
from yamcs_archive.storage.read.block_cache import BlockCache

FEW_MAX = 8
"""Most events of one block that are kept for a query."""
ANSWERS_MAX = 1_000
"""Number of answers that are kept, one for each query and block: about 1 KB each, and 20 KB at most."""
CHARACTERS_MAX = 4_096
"""Most characters of messages, and bytes of extensions, in an answer that is kept; and most of its text."""
SOURCES_MAX = 16
"""Most names in a query whose answers are kept."""


class Selection(NamedTuple):
    """Which events a query wants, whenever they were."""

    sources: frozenset[str] | None
    min_severity: Severity | None
    text: str | None
    """Case-folded."""

    @property
    def is_small(self) -> bool:
        """Whether it is small enough to be kept with each answer, and compared with others."""
        return len(self.sources or ()) <= SOURCES_MAX and len(self.text or "") <= CHARACTERS_MAX


class FewFound:
    """Few events of blocks, by query; the most recently used last. Safe to use from many threads.

    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.event_vectors import StoredVectors
    >>> from yamcs_archive.storage.format.block import encode_blocks
    >>> event = Event("a", generation_time=1, seq_number=1, reception_time=1)
    >>> [made] = encode_blocks([StoredVectors.of(Columns.of([event]), commit=1)])
    >>> block, few, wanted = Block(made.key, made.value), FewFound(), Selection(None, Severity.WARNING, None)
    >>> few.keep(block, wanted, [])
    >>> few.recall(block, wanted), few.recall(block, Selection(None, Severity.INFO, None))
    ([], None)
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._found: OrderedDict[tuple[bytes, Selection], tuple[bytes, tuple[Event, ...]]] = OrderedDict()

    def recall(self, block: Block, wanted: Selection) -> list[Event] | None:
        """Return the wanted events of a block, in key order; None if they are not kept."""
        kept = self._kept(block.key, block.checksums, wanted)
        # Each caller gets a dict of its own, which it may change.
        return None if kept is None else [replace(event, extra={}) for event in kept]

    def keep(self, block: Block, wanted: Selection, found: Sequence[Event]) -> None:
        """Keep the wanted events of a whole block, unless they are many, or large, or have extra."""
        if (
            len(found) > FEW_MAX
            or sum(len(event.message) + len(event.extensions) for event in found) > CHARACTERS_MAX
            or any(event.extra for event in found)
        ):
            return
        with self._guard:
            self._found[block.key, wanted] = block.checksums, tuple(found)
            self._found.move_to_end((block.key, wanted))
            if len(self._found) > ANSWERS_MAX:
                self._found.popitem(last=False)

    def has(self, key: bytes, value: bytes, wanted: Selection) -> bool:
        """Say whether the wanted events of the block with that key and those bytes are kept."""
        return self._kept(key, checksums_of(value), wanted) is not None

    def _kept(self, key: bytes, checksums: bytes, wanted: Selection) -> tuple[Event, ...] | None:
        with self._guard:
            kept = self._found.get((key, wanted))
            if kept is None or kept[0] != checksums:
                return None
            self._found.move_to_end((key, wanted))
            return kept[1]


class Opener:
    """Opens blocks by a cache, but those of which only what is kept is needed take no place in it."""

    def __init__(self, few: FewFound, wanted: Selection, cache: BlockCache) -> None:
        self._few, self._cache, self._wanted = few, cache, wanted

    def open(self, key: bytes, value: bytes) -> Block:
        """Return the block with that key and those bytes. Raises DamagedError."""
        if self._few.has(key, value, self._wanted):
            return Block(key, value)
        return self._cache.open(key, value)

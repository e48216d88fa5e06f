"""The writer's cache of stored blocks, from one transaction to the next; pure.

Only the writer changes blocks, so cached data stays valid until the writer changes them itself:

| cache | holds | when it is stale |
|---|---|---|
| ``get`` | decoded blocks, by first key, and how often they were read | never: an entry is dropped when its
block is put or deleted |
| ``times`` | generation times of blocks | never: likewise |
| ``greatest`` | the greatest key in a block | never: each block that is put may raise it, and nothing lowers
it |

After a transaction that did not commit, and when the environment is opened anew, everything is dropped. The
source states are apart (:mod:`~yamcs_archive.storage.write.source_cache`). The readers have a block cache of
their own (:mod:`~yamcs_archive.storage.read.block_cache`), because they must also notice commits of another
process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress

from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import Int64s
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.keys import Key

_BLOCKS_CACHED_MAX = 32
"""Decoded blocks in the cache: enough for the late events of a group, which cluster; some 100 MB at most."""

_READS_MAX = 8
"""Reads of events after which a cached block is decoded whole, for its next ones: that takes as long as 12
reads of one event, or 3 of ten, whose messages may lie in all its chunks."""

_TIMES_CACHED_MAX = 1024
"""Blocks whose times are cached for events that are scattered among stored ones: 40 MB."""
_NEW_TIMES_CACHED_MAX = 64
"""Blocks whose times are cached when they are put: 2.6 MB."""


LEAST_KEY: Key = (-(1 << 63), "", -(1 << 31))
"""Less than every key: the greatest key of no block at all."""


class WriterCache:
    """The caches of the table above. Of decoded blocks, the most recently used ones are cached."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()
        self._reads: dict[bytes, int] = {}
        self._times: dict[bytes, Int64s] = {}
        self._new_times: OrderedDict[bytes, Int64s] = OrderedDict()
        self.greatest: Key | None = None
        """The greatest key in a block (LEAST_KEY: there is none), or None if that is not known. Keys above it
        are not looked up there."""

    def get(self, key: bytes) -> Block | None:
        """Return the block if it is cached."""
        found = self._blocks.get(key)
        if found is not None:
            self._blocks.move_to_end(key)
        return found

    def keep(self, block: Block) -> None:
        """Cache a block; drop the least recently used one if there are too many."""
        self._blocks[block.key] = block
        self._reads[block.key] = 0
        if len(self._blocks) > _BLOCKS_CACHED_MAX:
            dropped, _ = self._blocks.popitem(last=False)
            self._reads.pop(dropped, None)

    def read_again(self, block: Block) -> None:
        """Note that events of a cached block are about to be read; it is decoded whole if they often are."""
        reads = self._reads.get(block.key, 0)
        self._reads[block.key] = reads + 1
        if reads == _READS_MAX:
            with suppress(DamagedError):  # the events that are wanted may be readable
                _ = block.events

    def met(self, key: Key) -> None:
        """Raise the greatest key, after a block was put that has ``key``."""
        if self.greatest is not None and key > self.greatest:
            self.greatest = key

    def times(self, key: bytes) -> Int64s | None:
        """Return the generation times of a block if they are cached."""
        found = self._times.get(key)
        return self._new_times.get(key) if found is None else found

    def keep_times(self, key: bytes, times: Int64s) -> None:
        """Cache the generation times of a block."""
        if len(self._times) >= _TIMES_CACHED_MAX:
            self._times.clear()
        self._times[key] = times

    def keep_new_times(self, key: bytes, times: Int64s) -> None:
        """Cache the generation times of a block that was just put: most late events are a little late."""
        self._new_times[key] = times
        if len(self._new_times) > _NEW_TIMES_CACHED_MAX:
            self._new_times.popitem(last=False)

    def forget(self, keys: Iterable[bytes] | None = None) -> None:
        """Drop some blocks and their times, or everything."""
        if keys is None:
            self._blocks.clear()
            self._reads.clear()
            self._times.clear()
            self._new_times.clear()
            self.greatest = None
        else:
            for key in keys:
                self._blocks.pop(key, None)
                self._reads.pop(key, None)
                self._times.pop(key, None)
                self._new_times.pop(key, None)

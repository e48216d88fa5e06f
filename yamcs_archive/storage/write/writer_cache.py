"""The writer's cache of stored rows and blocks, from one transaction to the next; pure.

Only the writer changes rows and blocks, so cached data stays valid until the writer changes them itself:

| cache | holds | when it is stale |
|---|---|---|
| ``get`` | decoded blocks, by first key | never: an entry is dropped when its block is put or deleted |
| ``times`` | generation times of blocks | never: likewise |
| ``rows`` | generation times of all rows | it may have times of deleted rows, but has those of all rows |
| ``greatest`` | the greatest stored key | never: each commit may raise it, and nothing lowers it |

After a transaction that did not commit, and when the environment is opened anew, everything is dropped. So is
the other cache of the writer, the committer's source states. The readers have a block cache of their own
(:mod:`~yamcs_archive.storage.read.block_cache`), because they must also notice commits of another process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np

from yamcs_archive.event_vectors import Int64s
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.keys import TIME_BYTES, Key, decode_times

_BLOCKS_CACHED_MAX = 32
"""Decoded blocks in the cache: enough for the late events of a group, which cluster; some 100 MB at most."""

_TIMES_CACHED_MAX = 1024
"""Blocks whose times are cached for events that are scattered among stored ones: 40 MB."""
_NEW_TIMES_CACHED_MAX = 64
"""Blocks whose times are cached when they are put: 2.6 MB."""
_ROWS_PUT_MAX = 1_000
"""Row batches that may be written before the cached row times are used again; after more they are dropped."""


class RowTimeIndex:
    """The generation times of all rows, if they are loaded, and perhaps of some deleted rows.

    >>> from yamcs_archive.storage.format.keys import encode_key
    >>> rows = RowTimeIndex()
    >>> rows.learn([encode_key(time, "A", 0) for time in (1, 5)])
    >>> rows.put([encode_key(3, "A", 0)])
    >>> rows.may_have(np.array([2, 3, 9]))
    [1]
    """

    def __init__(self) -> None:
        self._times: Int64s | None = None
        self._put: list[bytes] = []
        self._gone = 0

    def forget(self) -> None:
        """Drop the times."""
        self._times, self._put, self._gone = None, [], 0

    def learn(self, keys: Iterable[bytes]) -> None:
        """Load the times from the keys of all rows, which are in order."""
        self.forget()
        self._times = decode_times(b"".join([key[:TIME_BYTES] for key in keys]))

    def put(self, keys: Iterable[bytes]) -> None:
        """Add the times of new rows, given by their keys."""
        if self._times is not None:
            self._put.append(b"".join([key[:TIME_BYTES] for key in keys]))
            if len(self._put) > _ROWS_PUT_MAX:
                self.forget()

    def gone(self, count: int) -> None:
        """Count deleted rows; if they are more than half of all, the times are dropped."""
        self._gone += count
        if self._times is not None and 2 * self._gone > len(self._times):
            self.forget()

    def may_have(self, times: Int64s) -> Sequence[int] | None:
        """Return the indexes of all times that a row may have; None if the times are not loaded."""
        if self._times is None:
            return None
        if self._put:
            parts = [self._times, *map(decode_times, self._put)]
            self._times, self._put = np.sort(np.concatenate(parts), kind="stable"), []
        if not len(self._times):
            return ()
        nearest = np.minimum(self._times.searchsorted(times), len(self._times) - 1)
        found: list[int] = np.flatnonzero(self._times[nearest] == times).tolist()
        return found


class WriterCache:
    """The caches of the table above. Of decoded blocks, the most recently used ones are cached."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()
        self._times: dict[bytes, Int64s] = {}
        self._new_times: OrderedDict[bytes, Int64s] = OrderedDict()
        self.rows = RowTimeIndex()
        self.greatest: Key | None = None
        """The greatest stored key, or None if it is not known. Keys above it are not looked up."""

    def get(self, key: bytes) -> Block | None:
        """Return the block if it is cached."""
        found = self._blocks.get(key)
        if found is not None:
            self._blocks.move_to_end(key)
        return found

    def keep(self, block: Block) -> None:
        """Cache a block; drop the least recently used one if there are too many."""
        self._blocks[block.key] = block
        if len(self._blocks) > _BLOCKS_CACHED_MAX:
            self._blocks.popitem(last=False)

    def met(self, key: Key) -> None:
        """Raise the greatest key, after an event was stored under ``key``."""
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
            self._times.clear()
            self._new_times.clear()
            self.rows.forget()
            self.greatest = None
        else:
            for key in keys:
                self._blocks.pop(key, None)
                self._times.pop(key, None)
                self._new_times.pop(key, None)

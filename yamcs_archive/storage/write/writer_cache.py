"""What the writer carries in memory of the stored rows and blocks, from one transaction to the next; pure.

Only the writer changes rows and blocks, so what it carries stays true until it changes them itself:

| cache | holds | when it is stale |
|---|---|---|
| ``get`` | decoded blocks, by first key | never: an entry is dropped when its block is put or deleted |
| ``times`` | generation times of blocks | never: likewise |
| ``rows`` | generation times of all rows | it may have times of deleted rows, never lacks one of a row |
| ``greatest`` | the greatest stored key | never: each commit raises it, and nothing lowers it |

After a transaction that did not commit, and when the environment is opened anew, all of it is dropped.
The writer's other caches: the committer's source states, likewise; the readers' block cache is one of its own
(:mod:`~yamcs_archive.storage.read.block_cache`), because readers must also notice what another process wrote.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np

from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.integers import Int64s
from yamcs_archive.storage.format.keys import TIME_BYTES, Key, decode_times

_BLOCKS_KEPT_MAX = 32
"""Decoded blocks in the cache: enough for the late events of a group, which cluster; about 100 MB at most."""

_TIMES_KEPT_MAX = 1024
"""Blocks whose times are cached for events that are scattered among stored ones: 40 MB."""
_NEW_TIMES_KEPT_MAX = 64
"""Blocks whose times are cached when they are put: 2.6 MB."""
_ROWS_PUT_MAX = 1_000
"""Row batches that may be written before the cached row times are used again; after that they are dropped."""


class RowTimeIndex:
    """The generation times of all rows, if they are known, and perhaps some of deleted rows.

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
        """Take in the keys of all rows, in order."""
        self.forget()
        self._times = decode_times(b"".join([key[:TIME_BYTES] for key in keys]))

    def put(self, keys: Iterable[bytes]) -> None:
        """Take in the keys of new rows."""
        if self._times is not None:
            self._put.append(b"".join([key[:TIME_BYTES] for key in keys]))
            if len(self._put) > _ROWS_PUT_MAX:
                self.forget()

    def gone(self, count: int) -> None:
        """Note the number of rows that were deleted; once these are half of all, the times are dropped."""
        self._gone += count
        if self._times is not None and 2 * self._gone > len(self._times):
            self.forget()

    def may_have(self, times: Int64s) -> Sequence[int] | None:
        """Return the indices of the times that a row may have, none left out; None if that is not known."""
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
    """The caches of the table above. Blocks are the most recently used ones."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()
        self._times: dict[bytes, Int64s] = {}
        self._new_times: OrderedDict[bytes, Int64s] = OrderedDict()
        self.rows = RowTimeIndex()
        self.greatest: Key | None = None
        """The greatest stored key, or None if it is not known: for keys beyond it nothing is looked up."""

    def get(self, key: bytes) -> Block | None:
        """Return the block if it is cached."""
        found = self._blocks.get(key)
        if found is not None:
            self._blocks.move_to_end(key)
        return found

    def keep(self, block: Block) -> None:
        """Cache a block, and drop the least recently used one."""
        self._blocks[block.key] = block
        if len(self._blocks) > _BLOCKS_KEPT_MAX:
            self._blocks.popitem(last=False)

    def met(self, key: Key) -> None:
        """Note that a key is stored now."""
        if self.greatest is not None and key > self.greatest:
            self.greatest = key

    def times(self, key: bytes) -> Int64s | None:
        """Return the generation times of a block if they are cached."""
        found = self._times.get(key)
        return self._new_times.get(key) if found is None else found

    def keep_times(self, key: bytes, times: Int64s) -> None:
        """Cache the generation times of a block."""
        if len(self._times) >= _TIMES_KEPT_MAX:
            self._times.clear()
        self._times[key] = times

    def keep_new_times(self, key: bytes, times: Int64s) -> None:
        """Cache the generation times of a block that was just put: most late events are late by little."""
        self._new_times[key] = times
        if len(self._new_times) > _NEW_TIMES_KEPT_MAX:
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

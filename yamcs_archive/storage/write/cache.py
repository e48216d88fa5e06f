"""What the writer keeps in memory of what is stored, from one transaction to the next; pure.

Nobody else changes rows and blocks. After a transaction that failed all of it is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np

from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.integers import Int64s
from yamcs_archive.storage.format.keys import TIME_BYTES, Key, decode_times

_BLOCKS_KEPT_MAX = 32
"""Decoded blocks kept: enough for the late events of a group, which cluster; about 100 MB at the most."""

_TIMES_KEPT_MAX = 1024
"""Blocks whose times are kept for events that are scattered among stored ones: 40 MB."""
_NEW_TIMES_KEPT_MAX = 64
"""Blocks whose times are kept from when they were put: 2.6 MB."""
_ROWS_PUT_MAX = 1_000
"""Times so often that rows may be put between two looks at their times; beyond it those are forgotten."""


class RowTimeIndex:
    """The generation times of all rows, if they are known, and perhaps some of rows that are gone.

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
        """Know them no longer."""
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
        """Note that so many rows were deleted; when these are many, all is forgotten."""
        self._gone += count
        if self._times is not None and 2 * self._gone > len(self._times):
            self.forget()

    def may_have(self, times: Int64s) -> Sequence[int] | None:
        """Return the places of the times that a row may have, none left out; None while that is not known."""
        if self._times is None:
            return None
        if self._put:
            parts = [self._times, *map(decode_times, self._put)]
            self._times, self._put = np.sort(np.concatenate(parts), kind="stable"), []
        if not len(self._times):
            return ()
        places = np.minimum(self._times.searchsorted(times), len(self._times) - 1)
        found: list[int] = np.flatnonzero(self._times[places] == times).tolist()
        return found


class WriterCache:
    """Decoded blocks by key, the most recently used ones; times of blocks and of rows."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()
        self._times: dict[bytes, Int64s] = {}
        self._new_times: OrderedDict[bytes, Int64s] = OrderedDict()
        self.rows = RowTimeIndex()
        self.greatest: Key | None = None
        """The greatest stored key, if it is known: beyond it nothing need be looked up."""

    def get(self, key: bytes) -> Block | None:
        """Return the block if it is kept."""
        found = self._blocks.get(key)
        if found is not None:
            self._blocks.move_to_end(key)
        return found

    def keep(self, block: Block) -> None:
        """Keep a block, and let the one go that was not used for longest."""
        self._blocks[block.key] = block
        if len(self._blocks) > _BLOCKS_KEPT_MAX:
            self._blocks.popitem(last=False)

    def met(self, key: Key) -> None:
        """Note that a key is stored now."""
        if self.greatest is not None and key > self.greatest:
            self.greatest = key

    def times(self, key: bytes) -> Int64s | None:
        """Return the generation times of a block if they are kept."""
        found = self._times.get(key)
        return self._new_times.get(key) if found is None else found

    def keep_times(self, key: bytes, times: Int64s) -> None:
        """Keep the generation times of a block."""
        if len(self._times) >= _TIMES_KEPT_MAX:
            self._times.clear()
        self._times[key] = times

    def keep_new_times(self, key: bytes, times: Int64s) -> None:
        """Keep the generation times of a block that was just put: what is late is mostly late by little."""
        self._new_times[key] = times
        if len(self._new_times) > _NEW_TIMES_KEPT_MAX:
            self._new_times.popitem(last=False)

    def forget(self, keys: Iterable[bytes] | None = None) -> None:
        """Forget some blocks, or all."""
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

"""Cache of the blocks that were decoded last, so that paging and repeated reads do not decode them again.

1. A cached block is used only if the checksums of the stored block are those of the cached one; so a block
   that was replaced, or one of another generation, is never taken for it.
2. It is bounded by a number of blocks, each of bounded size (``limits``). Each open store has one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from yamcs_archive.errors import DamagedError
from yamcs_archive.limits import RECENT_BLOCKS_MAX
from yamcs_archive.storage.format.block import Block, checksums_of


class BlockCache:
    """Decoded blocks by key, the most recently used last. Safe to use from many threads.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.storage.format.block import encode_blocks
    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.event_vectors import StoredVectors
    >>> event = Event("a", generation_time=1, seq_number=1, reception_time=1)
    >>> [made] = encode_blocks([StoredVectors.of(Columns.of([event]), commit=1)])
    >>> cache = BlockCache()
    >>> cache.open(made.key, made.value) is cache.open(made.key, made.value)
    True
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._blocks: OrderedDict[bytes, Block] = OrderedDict()

    def open(self, key: bytes, value: bytes) -> Block:
        """Return the block with that key and those bytes. Raises DamagedError."""
        with self._guard:
            known = self._blocks.get(key)
            if known is not None and known.checksums == checksums_of(value):
                self._blocks.move_to_end(key)
            else:
                known = None
        if known is not None:
            try:
                # At the second use all of it is decoded, rather than a part again for each few events.
                _ = known.events
            except DamagedError:
                with self._guard:
                    self._blocks.pop(key, None)
            else:
                return known
        opened = Block(key, value)
        with self._guard:
            self._blocks[key] = opened
            self._blocks.move_to_end(key)
            if len(self._blocks) > RECENT_BLOCKS_MAX:
                self._blocks.popitem(last=False)
        return opened

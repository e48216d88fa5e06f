"""The blocks from which pages were read last, decoded: who turns pages, or looks again, decodes none.

1. A block is known by its key and its checksums, so that one that was replaced is never taken for another.
2. Few are kept, each of bounded size (``limits``); they go with their environment.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from yamcs_archive.errors import DamagedError
from yamcs_archive.limits import RECENT_BLOCKS_MAX
from yamcs_archive.storage.format.block import Block, checksums_of


class BlockCache:
    """Open blocks by key, the one used last at the end. For any thread.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.storage.format.block import encode_block
    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.storage.format.vectors import vectors
    >>> event = Event("a", generation_time=1, seq_number=1, reception_time=1)
    >>> made = encode_block(vectors(Columns.of([event]), commit=1))
    >>> recent = BlockCache()
    >>> recent.open(made.key, made.value) is recent.open(made.key, made.value)
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
                # The second time all of it: what a few events need is not decoded for each few again.
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

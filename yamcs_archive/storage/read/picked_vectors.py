"""Some events of a block as vectors, each of which is decoded when it is first asked for.

1. Whoever needs times and severities only pays for the block's key frame: neither body nor messages are read.
2. The block has one part; the events of others are in another order than each part's columns.
3. They are the events that :meth:`Block.take` returns, column by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import DictColumn, Int64s, PackedMessages, pick_values
from yamcs_archive.storage.format.block import Block

Number = TypeVar("Number", np.int64, np.uint8)
_PACKED_MIN = 8
"""Fewer messages are cut out of their chunks one by one."""


class PickedVectors:
    """The events of a block at ``indexes``; None: all of them. DamagedError when a vector is decoded."""

    def __init__(self, block: Block, indexes: Sequence[int] | None) -> None:
        [self._part] = block.parts
        self.held_bytes = block.size_bytes + self._part.frames_bytes
        self._indexes = None if indexes is None else np.asarray(indexes, np.intp)
        self.size = block.count if indexes is None else len(indexes)

    @property
    def times(self) -> Int64s:
        """Generation times, microseconds since 1970."""
        return self._picked(self._part.times)

    @property
    def numbers(self) -> Int64s:
        """Sequence numbers."""
        return self._part.numbers if self._indexes is None else self._part.numbers_at(self._indexes)

    @property
    def received(self) -> Int64s:
        """Reception times, microseconds since 1970."""
        return self._part.received if self._indexes is None else self._part.received_at(self._indexes)

    @property
    def commits(self) -> Int64s:
        """The numbers of the commits that stored the events."""
        return self._picked(self._part.commits)

    @property
    def severities(self) -> npt.NDArray[np.uint8]:
        """Numbers of severities."""
        return self._picked(self._part.severities)

    @property
    def sources(self) -> DictColumn:
        """Each event's source."""
        return self._picked_texts(self._part.sources)

    @property
    def types(self) -> DictColumn:
        """Each event's type."""
        return self._picked_texts(self._part.types)

    @property
    def users(self) -> DictColumn:
        """The user that created each event."""
        return self._picked_texts(self._part.users)

    @cached_property
    def messages(self) -> list[str]:
        """Each event's message; only the chunks that have them are read."""
        if self._indexes is None:
            return self._part.messages
        with self._part.reading("columns"):
            at = self._part.message_indexes
            return self._part.messages_at((self._indexes if at is None else at[self._indexes]).tolist())

    @property
    def packed_messages(self) -> PackedMessages | None:
        """Each event's message, in chunks of the block; None: there are few, which are cheaper as texts."""
        return None if self.size < _PACKED_MIN else self._part.packed_messages(self._indexes)

    @property
    def extensions(self) -> list[bytes] | None:
        """Each event's extensions; None: no event of the block has any."""
        return self._picked_values(self._part.body_frame.extensions)

    @property
    def extra(self) -> list[dict[str, str]] | None:
        """Each event's extra; None: no event of the block has any."""
        return self._picked_values(self._part.body_frame.extra)

    def _picked(self, column: npt.NDArray[Number]) -> npt.NDArray[Number]:
        return column if self._indexes is None else column[self._indexes]

    def _picked_texts(self, column: DictColumn) -> DictColumn:
        return column if self._indexes is None else column._replace(codes=column.codes[self._indexes])

    def _picked_values(self, column: list[Any] | None) -> list[Any] | None:
        return column if self._indexes is None or column is None else pick_values(column, self._indexes)

"""Several small parts of a table as one: the events of many blocks that have a few each.

To make a record batch of each, and to join those, would take as long as decoding. So their vectors are
joined, each when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import DictColumn, Int64s, Vectors


class JoinedVectors:
    """The events of all parts, in the order of the parts, of which there is at least one."""

    packed_messages = None

    def __init__(self, parts: Sequence[Vectors]) -> None:
        self._parts = parts
        self.size = sum(part.size for part in parts)
        self.held_bytes = sum(part.held_bytes for part in parts)

    @property
    def times(self) -> Int64s:
        """Generation times, microseconds since 1970."""
        return np.concatenate([part.times for part in self._parts])

    @property
    def numbers(self) -> Int64s:
        """Sequence numbers."""
        return np.concatenate([part.numbers for part in self._parts])

    @property
    def received(self) -> Int64s:
        """Reception times, microseconds since 1970."""
        return np.concatenate([part.received for part in self._parts])

    @property
    def commits(self) -> Int64s:
        """Numbers of commits."""
        return np.concatenate([part.commits for part in self._parts])

    @property
    def severities(self) -> npt.NDArray[np.uint8]:
        """Numbers of severities."""
        return np.concatenate([part.severities for part in self._parts])

    @property
    def sources(self) -> DictColumn:
        """Each event's source."""
        return self._texts(lambda part: part.sources)

    @property
    def types(self) -> DictColumn:
        """Each event's type."""
        return self._texts(lambda part: part.types)

    @property
    def users(self) -> DictColumn:
        """The user that created each event."""
        return self._texts(lambda part: part.users)

    @property
    def messages(self) -> list[str]:
        """Each event's message."""
        return [message for part in self._parts for message in part.messages]

    @property
    def extensions(self) -> list[bytes] | None:
        """Each event's extensions; None: no event has any."""
        return self._values(lambda part: part.extensions, b"")

    @property
    def extra(self) -> list[dict[str, str]] | None:
        """Each event's extra; None: no event has any."""
        return self._values(lambda part: part.extra, {})

    def _texts(self, column: Callable[[Vectors], DictColumn]) -> DictColumn:
        return DictColumn.concat([column(part) for part in self._parts])

    def _values(self, column: Callable[[Vectors], list[Any] | None], nothing: Any) -> list[Any] | None:
        columns = [column(part) for part in self._parts]
        if all(values is None for values in columns):
            return None
        return [
            value
            for part, values in zip(self._parts, columns, strict=True)
            for value in (values if values is not None else [nothing] * part.size)
        ]

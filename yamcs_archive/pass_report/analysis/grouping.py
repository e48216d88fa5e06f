"""The events of a window, grouped by source: what the measures work on; pure.

1. Within a source the order is that of keys: time, then number. Sources have numbers from 0, their rows.
2. Work on a window is a few calls of numpy for all sources together, not for each.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import Indexes, Int64s
from yamcs_archive.pass_report.analysis.rounded_counts import with_rows

_SHORT = 1 << 15
"""Fewer rows fit into an int16, which numpy sorts several times as fast."""


class Grouped(NamedTuple):
    """Events grouped by source; there is at least one."""

    rows: npt.NDArray[np.int32]
    """The source of each event."""
    times: Int64s
    numbers: Int64s
    received: Int64s
    commits: Int64s
    severities: npt.NDArray[np.uint8]
    starts: Indexes
    """Where each group begins; there are no empty ones."""

    @classmethod
    def of(cls, rows: npt.NDArray[np.int32], *columns: npt.NDArray[Any]) -> Grouped:
        """Group events that are in key order; ``columns`` are the others, in the order of the fields.

        >>> column = np.array([5, 6, 7])
        >>> found = Grouped.of(np.array([1, 0, 1], np.int32), column, column, column, column, column)
        >>> found.times.tolist(), found.starts.tolist(), found.groups.tolist(), found.lasts.tolist()
        ([6, 5, 7], [0, 1], [0, 1], [0, 2])
        """
        if len(rows) > 1 and (rows[1:] != rows[:-1]).any():
            keys = rows.astype(np.int16) if int(rows.max()) < _SHORT else rows
            order = np.argsort(keys, kind="stable")
            rows = rows[order]
            columns = tuple(column[order] for column in columns)
        starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
        return cls._make((rows, *columns, starts))

    @property
    def groups(self) -> npt.NDArray[np.int32]:
        """The source of each group."""
        return self.rows[self.starts]

    @property
    def stops(self) -> Indexes:
        """Where each group ends."""
        return np.append(self.starts[1:], len(self.rows))

    @property
    def lasts(self) -> Indexes:
        """Where the last event of each group is."""
        return self.stops - 1


class Greatest:
    """The greatest value of each row, with what belongs to it; of equal ones the one added first.

    >>> found = Greatest(1)
    >>> rows = np.array([0, 0, 0])
    >>> found.add(rows, np.array([1, 3, 3]), np.array([10, 20, 30]))
    >>> found.add(rows[:1], np.array([3]), np.array([40]))
    >>> found.of(0)
    (3, 20)
    """

    def __init__(self, attached: int) -> None:
        self._found: npt.NDArray[np.int64] = np.empty((0, 1 + attached), np.int64)

    def add(self, rows: npt.NDArray[Any], values: Int64s, *attached: npt.NDArray[Any]) -> None:
        """Compare values that are not negative, each of its row; rows do not fall."""
        if not len(rows):
            return
        self._found = with_rows(self._found, int(rows[-1]) + 1, -1)
        starts = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
        groups, greatest = rows[starts], np.maximum.reduceat(values, starts)
        stops = np.append(starts[1:], len(rows))
        for group in np.flatnonzero(greatest > self._found[groups, 0]).tolist():
            at = int(starts[group]) + int(values[starts[group] : stops[group]].argmax())  # the first one
            self._found[groups[group]] = (values[at], *(vector[at] for vector in attached))

    def of(self, row: int) -> tuple[int, ...] | None:
        """Return the greatest value of a row and what belongs to it; None if it has none."""
        if row >= len(self._found) or self._found[row, 0] < 0:
            return None
        return tuple(self._found[row].tolist())

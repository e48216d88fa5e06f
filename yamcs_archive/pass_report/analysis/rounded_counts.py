"""How often each value occurs, for many sources, in bounded memory: values are rounded to six bits; pure.

1. A value loses all but its six most significant bits: it stays exact below 64, and loses less than 3.2 %
   beyond. Rounding keeps the order, so the median of rounded values is the rounded median.
2. A value has a bucket: 0, or one more than the exponent and the next five bits of a float64 that equals it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import Int64s

_BITS = 5
_FRACTION_BITS, _EXPONENT_OFFSET = 52, 1023
"""Of a float64."""
_FLOAT_EXACT = 1 << 53
"""Integers up to this one are floats as they are."""


def buckets_of(values: Int64s) -> Int64s:
    """Return the bucket of each value, from 0 to 2**62.

    >>> buckets_of(np.array([0, 1, 2, 63, 64, 65, 66, (1 << 58) - 1])).tolist()
    [0, 1, 33, 192, 193, 193, 194, 1856]
    """
    if len(values) and int(values.max()) > _FLOAT_EXACT:
        # A float would be rounded up, perhaps to the next bucket: only bits that stay are left.
        values = np.where(values > _FLOAT_EXACT, values & ~0x3FF, values)
    bits = values.astype(np.float64).view(np.int64)
    bits >>= _FRACTION_BITS - _BITS
    bits -= (_EXPONENT_OFFSET << _BITS) - 1
    return np.maximum(bits, 0, out=bits)


def value_of(bucket: int) -> int:
    """Return the least value of a bucket.

    >>> [value_of(bucket) for bucket in (0, 1, 192, 193, 194)]
    [0, 1, 63, 64, 66]
    """
    if not bucket:
        return 0
    exponent, rest = divmod(bucket - 1, 1 << _BITS)
    return ((1 << _BITS) + rest) << exponent >> _BITS


def rounded(value: int) -> int:
    """Return a value as it is counted.

    >>> rounded(63), rounded(65), rounded(1001)
    (63, 64, 992)
    """
    shift = max(0, value.bit_length() - _BITS - 1)
    return value >> shift << shift


_COUNTED_SHARE = 4
"""Up to 4 cells for each value all of them are counted anew, which takes a fifth of the time for a value."""


class RoundedCounts:
    """Counts of values for each of some rows, which are sources.

    >>> counts = RoundedCounts(1 << 59)
    >>> counts.add(np.array([0, 0, 0, 1]), np.array([5, 1, 1000, 7]))
    >>> counts.percentile(0, 50), counts.percentile(0, 100), counts.above(0, 4), counts.percentile(1, 50)
    (5, 992, 2, 7)
    """

    def __init__(self, values_max: int) -> None:
        self._width = int(buckets_of(np.array([values_max]))[0]) + 1
        self._counts: npt.NDArray[np.uint32] = np.zeros((0, self._width), np.uint32)

    def add(self, rows: npt.NDArray[Any], values: Int64s) -> None:
        """Count values, each for its row."""
        if not len(rows):
            return
        self._counts = with_rows(self._counts, int(rows.max()) + 1)
        cells = rows.astype(np.int64) * self._width
        cells += buckets_of(values)
        if self._counts.size <= _COUNTED_SHARE * len(cells):
            found = np.bincount(cells, minlength=self._counts.size)
            self._counts += found.reshape(self._counts.shape).astype(np.uint32)
        else:
            np.add.at(self._counts.reshape(-1), cells, 1)

    def total(self, row: int) -> int:
        """Return the number of values of a row."""
        return int(self._counts[row].sum()) if row < len(self._counts) else 0

    def percentile(self, row: int, percent: int) -> int:
        """Return the rounded value of the nearest rank: the least that so many percent do not exceed."""
        reached = np.cumsum(self._counts[row], dtype=np.int64)
        rank = max(1, -(-percent * int(reached[-1]) // 100))
        return value_of(int(reached.searchsorted(rank)))

    def above(self, row: int, least: int) -> int:
        """Return how many values of a row are greater than ``least``, both rounded."""
        if row >= len(self._counts):
            return 0
        bucket = int(buckets_of(np.array([least]))[0])
        return int(self._counts[row, bucket + 1 :].sum())


def with_rows(array: npt.NDArray[Any], rows: int, fill: int = 0) -> npt.NDArray[Any]:
    """Return an array with at least so many rows; new ones, and some to spare, have one value.

    >>> with_rows(np.zeros(1, np.int64), 2, 7)[:2].tolist()
    [0, 7]
    """
    if rows <= len(array):
        return array
    more = np.full((max(rows, 2 * len(array), 16) - len(array), *array.shape[1:]), fill, array.dtype)
    return np.concatenate((array, more))

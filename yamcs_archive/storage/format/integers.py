"""Columns of integers <-> bytes; pure.

1. The first byte is the width of a value in bytes: 0, 1, 2, 4 or 8. Width 0: all values are equal, and
   the value follows as int64 big-endian. Else the values follow as two's complement, split into planes:
   all lowest bytes, then all second bytes, and so on. The high planes of small numbers are runs of one
   byte, which zstd reduces to nothing; taking planes apart and together is a copy in C.
2. With 128 added to the width, a divisor follows the first byte, as int64 big-endian, and the values are
   multiples of it: times in whole milliseconds need a third less.
3. No length is trusted: a column that does not have exactly the bytes of its count is a ValueError.
4. One value or a sum is read without the others being unpacked.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import Indexes, Int64s, int64s

_INT64 = struct.Struct(">q")
_WIDTHS = (1, 2, 4, 8)
_DIVIDED = 0x80
_SAMPLE = 16
"""Values from which a divisor is guessed; it is used if it divides all values."""


def pack_integers(values: Sequence[int] | Int64s) -> bytes:
    """Return the bytes of a column of int64 values.

    >>> pack_integers([1, 2, -1]).hex(), pack_integers([7, 7]).hex(), pack_integers([600, 0]).hex()
    ('010102ff', '000000000000000007', '8100000000000002580100')
    """
    column = values if isinstance(values, np.ndarray) else int64s(values)
    if not len(column):
        return b"\0" + _INT64.pack(0)
    low, high = int(column.min()), int(column.max())
    if low == high:
        return b"\0" + _INT64.pack(low)
    divisor = int(np.gcd.reduce(column[:_SAMPLE]))
    prefix = b""
    if divisor > 1 and low > -(2**63) and not (column % divisor).any():
        column, low, high = column // divisor, low // divisor, high // divisor
        prefix = _INT64.pack(divisor)
    width = next(width for width in _WIDTHS if -(1 << (8 * width - 1)) <= low and high < 1 << (8 * width - 1))
    planes = column.astype(f"<i{width}").view(np.uint8).reshape(-1, width).T
    return bytes((width | (_DIVIDED if prefix else 0),)) + prefix + planes.tobytes()


def unpack_integers(packed: bytes, count: int, only: Indexes | slice | None = None) -> Int64s:
    """Return the ``count`` values of a column, or only some; ValueError when its bytes are not those of one.

    >>> unpack_integers(pack_integers([1, 300, -1]), 3), unpack_integers(pack_integers([7, 7]), 2)
    (array([  1, 300,  -1]), array([7, 7]))
    >>> unpack_integers(pack_integers([1, 300, -1]), 3, slice(2))
    array([  1, 300])
    """
    width, divisor, planes = _planes(packed, count)
    if only is not None:
        planes = planes[:, only]
        count = planes.shape[1]
    if not width:
        return np.full(count, divisor, np.int64)
    column: Int64s
    if width <= 2:
        column = planes[-1].view(np.int8).astype(np.int64)
        for plane in planes[-2::-1]:
            column <<= 8
            column |= plane
    else:  # plane by plane, in half of the time that transposing all at once takes
        values = np.empty((count, width), np.uint8)
        for nth, plane in enumerate(planes):
            values[:, nth] = plane
        column = values.view(f"<i{width}").reshape(count).astype(np.int64)
    if divisor != 1:
        column *= divisor
    return column


def integer_at(packed: bytes, count: int, at: int) -> int:
    """Return one value of a column of ``count``; ValueError as for :func:`unpack_integers`.

    >>> integer_at(pack_integers([1, 300, -1]), 3, 1), integer_at(pack_integers([7, 7]), 2, 1)
    (300, 7)
    """
    width, divisor, start = _layout(packed, count)
    if not 0 <= at < count:
        raise ValueError(f"{count} integers have none at {at}")
    if not width:
        return divisor
    # One byte of each plane, the lowest first.
    return int.from_bytes(packed[start + at :: count], "little", signed=True) * divisor


def sum_integers(packed: bytes, count: int, first: int) -> int:
    """Return the sum of the ``first`` values of a column; ValueError as for :func:`unpack_integers`.

    The values are not unpacked: the sum is made of the sums of the planes.

    >>> sum_integers(pack_integers([1, 300, -1]), 3, 2), sum_integers(pack_integers([7, 7]), 2, 2)
    (301, 14)
    """
    width, divisor, planes = _planes(packed, count)
    if not width:
        return divisor * first
    found = int(np.add.reduce(planes[-1, :first].view(np.int8), dtype=np.int64)) << 8 * (width - 1)
    for nth in range(width - 1):
        found += int(np.add.reduce(planes[nth, :first], dtype=np.int64)) << 8 * nth
    return found * divisor


def _planes(packed: bytes, count: int) -> tuple[int, int, npt.NDArray[np.uint8]]:
    """Return a column's width, divisor and planes; for width 0 its value instead of the divisor."""
    width, divisor, start = _layout(packed, count)
    if not width:
        return 0, divisor, np.empty((0, count), np.uint8)
    return width, divisor, np.frombuffer(packed, np.uint8, offset=start).reshape(width, count)


def _layout(packed: bytes, count: int) -> tuple[int, int, int]:
    """Return a column's width, its divisor (for width 0 its value), and the offset of its planes."""
    width, start, divisor = packed[0] if packed else -1, 1, 1
    if width == 0 and len(packed) == start + _INT64.size:
        return 0, int.from_bytes(packed[start:], "big", signed=True), len(packed)
    if width > 0 and width & _DIVIDED and len(packed) >= start + _INT64.size:
        divisor, start, width = _INT64.unpack_from(packed, start)[0], start + _INT64.size, width ^ _DIVIDED
    if width not in _WIDTHS or len(packed) != start + width * count:
        raise ValueError(f"{len(packed)} bytes are no column of {count} integers")
    return width, divisor, start

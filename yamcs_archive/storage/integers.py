"""Columns of integers <-> bytes; pure.

1. The first byte is the width of a value in bytes: 0, 1, 2, 4 or 8. Width 0: all values are equal, and
   the value follows as int64 big-endian. Else the values follow as two's complement, split into planes:
   all lowest bytes, then all second bytes, and so on. The high planes of small numbers are runs of one
   byte, which zstd reduces to nothing; taking planes apart and together is a copy in C.
2. No length is trusted: a column that does not have exactly the bytes of its count is a ValueError.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Sequence

_CONSTANT = struct.Struct(">q")
_WIDTHS = (("b", 1), ("h", 2), ("i", 4), ("q", 8))
_TYPECODES = {width: typecode for typecode, width in _WIDTHS}


def pack_integers(values: Sequence[int]) -> bytes:
    """Return the bytes of a column of int64 values.

    >>> pack_integers([1, 2, -1]).hex(), pack_integers([7, 7]).hex()
    ('010102ff', '000000000000000007')
    """
    low, high = (min(values), max(values)) if values else (0, 0)
    if low == high:
        return b"\0" + _CONSTANT.pack(low)
    typecode, width = next(
        (typecode, width)
        for typecode, width in _WIDTHS
        if -(1 << (8 * width - 1)) <= low and high < 1 << (8 * width - 1)
    )
    column = array(typecode, values)
    if sys.byteorder == "big":
        column.byteswap()
    raw = column.tobytes()
    return b"".join((bytes((width,)), *(raw[plane::width] for plane in range(width))))


def unpack_integers(packed: bytes, count: int) -> list[int]:
    """Return the ``count`` values of a column; ValueError when its bytes are not those of a column.

    >>> unpack_integers(pack_integers([1, 300, -1]), 3), unpack_integers(pack_integers([7, 7]), 2)
    ([1, 300, -1], [7, 7])
    """
    width = packed[0] if packed else -1
    if width == 0 and len(packed) == 1 + _CONSTANT.size:
        return [_CONSTANT.unpack_from(packed, 1)[0]] * count
    if width not in _TYPECODES or len(packed) != 1 + width * count:
        raise ValueError(f"{len(packed)} bytes are no column of {count} integers")
    raw = bytearray(width * count)
    for plane in range(width):
        raw[plane::width] = packed[1 + plane * count : 1 + (plane + 1) * count]
    column = array(_TYPECODES[width])
    column.frombytes(raw)
    if sys.byteorder == "big":
        column.byteswap()
    return column.tolist()

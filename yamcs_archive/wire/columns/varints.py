"""Many integers at once -> varints; pure.

A varint is made in a 64-bit word of numpy, whose lowest byte is the first of the varint; one call makes
``bytes`` of all words.
"""

from __future__ import annotations

from functools import cache
from typing import cast

import numpy as np
import numpy.typing as npt

from yamcs_archive.wire.columns.byte_columns import BytesColumn, Ints, bytes_column
from yamcs_archive.wire.protobuf_scan import varint

_INT64 = (1 << 64) - 1
_WORD_BITS = 56
"""Bits of a value whose varint fills the eight bytes of a word."""
_SMALL_BITS = 14
_FEW_VALUES = 16
"""Up to this number of values, to encode each on its own is as fast as numpy's calls."""


def varints(values: Ints) -> list[bytes]:
    """Return int64 values as varints.

    >>> [part.hex() for part in varints(np.array([0, 1, 1 << 29]))], varints(np.array([-1]))[0].hex()
    (['00', '01', '8080808002'], 'ffffffffffffffffff01')
    """
    least, greatest = values.min(initial=0), values.max(initial=0)
    if len(values) <= _FEW_VALUES or least < 0 or greatest >> _WORD_BITS:
        return [varint(value & _INT64) for value in values.tolist()]
    if not greatest >> _SMALL_BITS:
        return cast(list[bytes], _small()[values].tolist())
    parts = bytes_of_words(varint_words(values))
    return [part or b"\x00" for part in parts] if 0 in values else parts


@cache
def _small() -> BytesColumn:
    """Return the varints of one and two bytes, by value."""
    return bytes_column(map(varint, range(1 << _SMALL_BITS)))


def varint_words(values: Ints) -> npt.NDArray[np.uint64]:
    """Return values below ``2**56`` as varints in words, the lowest byte of a word first."""
    left = values.astype(np.uint64)
    found = left & np.uint64(127)
    bits, greatest = 7, int(values.max(initial=0))
    for nth in range(1, 8):
        if not greatest >> bits:
            break
        found |= (left & np.uint64(127 << bits)) << np.uint64(nth)
        found |= (left >= np.uint64(1 << bits)).astype(np.uint64) << np.uint64(8 * nth - 1)
        bits += 7
    return found


def bytes_of_words(words: npt.NDArray[np.uint64]) -> list[bytes]:
    """Return words as bytes, without the zeros at their ends: no varint but that of 0 ends in one."""
    return cast(list[bytes], words.astype("<u8", copy=False).view("S8").tolist())


def varint_bytes(values: Ints) -> Ints:
    """Return the length in bytes of the varint of each int64.

    >>> varint_bytes(np.array([0, 127, 128, 1 << 28, -1])).tolist()
    [1, 1, 2, 5, 10]
    """
    found = np.ones(len(values), np.int64)
    bound, greatest = 1 << 7, int(values.max(initial=0))
    while bound <= greatest:  # a comparison for each length: ten times as fast as searchsorted
        found += values >= bound
        bound <<= 7
    return np.where(values < 0, 10, found) if values.min(initial=0) < 0 else found

"""Pairs of a sub-database, a bounded number and size of them at a time."""

from __future__ import annotations

from itertools import islice

import lmdb

from yamcs_archive.limits import READ_BYTES_MAX
from yamcs_archive.storage.format.checksum import Pair


def first_pairs(
    cursor: lmdb.Cursor[bytes], lower: bytes, upper: bytes, pairs_max: int
) -> tuple[list[Pair], bool]:
    """Return the first pairs with ``lower <= key < upper``, and whether there may be more.

    They are at most ``pairs_max``, and about READ_BYTES_MAX bytes.
    """
    found: list[Pair] = []
    size_bytes = 0
    for pair in islice(cursor.iternext(), pairs_max) if cursor.set_range(lower) else ():
        if pair[0] >= upper:
            return found, False
        found.append(pair)
        size_bytes += len(pair[1])
        if size_bytes >= READ_BYTES_MAX:
            return found, True
    return found, len(found) == pairs_max

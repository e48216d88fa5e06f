"""Dictionary-encoded columns of texts <-> bytes: the codes of the events; pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import DictColumn
from yamcs_archive.storage.format.integers import pack_integers, unpack_integers

SMALL_TABLE_MAX = 256
"""Most values whose codes take a byte each; the codes of more are a column of integers."""


def pack_codes(column: DictColumn) -> bytes:
    """Return the codes of a column as bytes.

    >>> from yamcs_archive.event_vectors import dict_encode
    >>> unpack_codes(["a", "b"], pack_codes(dict_encode(["a", "b", "a"])), 3).decoded()
    ['a', 'b', 'a']
    """
    if len(column.values) <= SMALL_TABLE_MAX:
        return column.codes.astype(np.uint8).tobytes()
    return pack_integers(column.codes.astype(np.int64))


def unpack_codes(values: list[Any], packed: bytes, count: int) -> DictColumn:
    """Return a column of ``count`` events; ValueError when the bytes are not codes of these values."""
    codes: npt.NDArray[Any]
    if len(values) <= SMALL_TABLE_MAX:
        codes = np.frombuffer(packed, np.uint8)
        fits = len(codes) == count and int(codes.max()) < len(values)
    else:
        codes = unpack_integers(packed, count)
        fits = int(codes.max()) < len(values) and int(codes.min()) >= 0
    if not fits:
        raise ValueError("an index does not fit its table")
    return DictColumn(values, codes.astype(np.int32))

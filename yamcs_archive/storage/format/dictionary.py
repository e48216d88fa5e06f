"""Dictionary encoding: a column of few distinct texts as a list of values and a code for each event; pure.

A column may be empty and still have values: of a batch in which nothing is new, all values are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class DictColumn(NamedTuple):
    """A column of texts, or None, of which few are distinct."""

    values: list[Any]
    codes: npt.NDArray[np.int32]
    """The index of each event's value."""

    @classmethod
    def concat(cls, parts: Sequence[DictColumn]) -> DictColumn:
        """Return the columns of all parts as one.

        >>> DictColumn.concat([dict_encode(["a"]), dict_encode(["b", "a"])]).decoded()
        ['a', 'b', 'a']
        """
        code: dict[Any, int] = {}
        codes = [np.zeros(0, np.int32)]
        for part in parts:
            new = [code.setdefault(text, len(code)) for text in part.values]
            codes.append(np.array(new, np.int32)[part.codes])
        return cls(list(code), np.concatenate(codes))

    def decoded(self) -> list[Any]:
        """Return the column."""
        if len(self.values) == 1:
            return self.values * len(self.codes)
        found: list[Any] = np.array(self.values, dtype=object)[self.codes].tolist()
        return found

    def used(self) -> DictColumn:
        """Return the same column without the values that no event has.

        >>> dict_encode(["a", "b"])._replace(codes=np.zeros(0, np.int32)).used().values
        []
        """
        if len(self.values) == 1 and len(self.codes):
            return self
        kept = np.flatnonzero(np.bincount(self.codes, minlength=len(self.values)))
        return self if len(kept) == len(self.values) else self._with_values(kept)

    def in_order(self) -> DictColumn:
        """Return the same column with sorted values."""
        order = sorted(range(len(self.values)), key=self.values.__getitem__)
        return self._with_values(np.array(order, np.intp))

    def _with_values(self, kept: npt.NDArray[np.intp]) -> DictColumn:
        """Return the same column with the values at these indexes only, in that order."""
        new_code = np.empty(int(kept.max(initial=-1)) + 1, np.int32)
        new_code[kept] = np.arange(len(kept), dtype=np.int32)
        return DictColumn([self.values[index] for index in kept.tolist()], new_code[self.codes])


def dict_encode(column: Sequence[Any]) -> DictColumn:
    """Return a column, encoded.

    >>> dict_encode(["b", None, "b"])
    DictColumn(values=['b', None], codes=array([0, 1, 0], dtype=int32))
    """
    if column and column[0] is None and column.count(None) == len(column):
        return DictColumn([None], np.zeros(len(column), np.int32))
    code = _Codes()
    try:  # as bytes: in half of the time that numpy takes to fetch ints
        codes = np.frombuffer(bytes(map(code.__getitem__, column)), np.uint8).astype(np.int32)
    except ValueError:  # more than 256 distinct values
        codes = np.fromiter(map(code.__getitem__, column), np.int32, len(column))
    return DictColumn(list(code), codes)


class _Codes(dict[Any, int]):
    """Gives each new value the next code."""

    def __missing__(self, value: Any) -> int:
        self[value] = code = len(self)
        return code

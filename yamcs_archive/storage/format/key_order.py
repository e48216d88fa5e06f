"""The keys of many events, and their order; pure.

What decides which events are new, and where they go, needs their keys only: of late and scattered events
all else is moved once, when it is known.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yamcs_archive.storage.format.columns import Key
from yamcs_archive.storage.format.dictionary import DictColumn
from yamcs_archive.storage.format.integers import Int64s
from yamcs_archive.storage.format.keys import decode_key, encode_keys

Places = npt.NDArray[np.intp]
"""Places of events in a column."""


class Keys(NamedTuple):
    """The keys of some events.

    >>> from yamcs_archive.storage.format.dictionary import dict_encode
    >>> keys = Keys(np.array([3, 5]), dict_encode(["A", "B"]), np.array([0, 7]))
    >>> keys.key(1), keys.take(np.array([1, 0])).key(1)
    ((5, 'B', 7), (3, 'A', 0))
    >>> [keys.below(keys.encoded()[1]), keys.below(keys.encoded()[1], or_equal=True)]
    [1, 2]
    """

    times: Int64s
    """Generation times, microseconds since 1970."""
    sources: DictColumn
    numbers: Int64s

    @property
    def size(self) -> int:
        """How many events there are."""
        return len(self.times)

    def key(self, at: int) -> Key:
        """Return the key of one event."""
        return int(self.times[at]), self.sources.values[self.sources.codes[at]], int(self.numbers[at])

    def encoded(self) -> list[bytes]:
        """Return the key of each event in its stored form."""
        names = [name.encode() for name in self.sources.values]
        return encode_keys(self.times, [names[place] for place in self.sources.codes.tolist()], self.numbers)

    def below(self, encoded: bytes, *, or_equal: bool = False) -> int:
        """Return how many of the keys, which are in order, lie below one, or below it or at it."""
        time, source, number = decode_key(encoded)
        key: Key = time, source, number
        low, high = (int(self.times.searchsorted(time, side)) for side in ("left", "right"))
        find = bisect_right if or_equal else bisect_left
        return find(range(high), key, low, high, key=self.key)

    def take(self, places: Places | slice) -> Keys:
        """Return the keys of the events at ``places``, in that order."""
        sources = self.sources._replace(codes=self.sources.codes[places])
        return Keys(self.times[places], sources, self.numbers[places])


def place_among(times: Int64s, key: Key, key_of: Callable[[int], Key]) -> int:
    """Return how many events, which are in key order, have a lesser key; ``key_of(place)`` gives each one's.

    >>> place_among(np.array([1, 3, 3]), (3, "B", 0), [(1, "A", 0), (3, "A", 0), (3, "B", 0)].__getitem__)
    2
    """
    low, high = (int(times.searchsorted(key[0], side)) for side in ("left", "right"))
    return bisect_left(range(high), key, low, high, key=key_of)


def key_order(times: Int64s, rest: Any) -> npt.NDArray[np.intp] | None:
    """Return the order of keys, of which times decide but for few: then ``rest(place)`` does.

    Equal keys stay in the order in which they are; None when all are in order.

    >>> key_order(np.array([5, 3, 5]), [2, 0, 1].__getitem__).tolist()
    [1, 2, 0]
    """
    if (times[1:] > times[:-1]).all():
        return None
    order = np.argsort(times, kind="stable")
    in_order = times[order]
    ties = np.flatnonzero(in_order[1:] == in_order[:-1])
    if len(ties):
        begins = ties[np.flatnonzero(np.diff(ties, prepend=-2) > 1)]
        ends = ties[np.flatnonzero(np.diff(ties, append=len(times) + 1) > 1)] + 2
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            order[begin:end] = sorted(order[begin:end].tolist(), key=rest)
    return order

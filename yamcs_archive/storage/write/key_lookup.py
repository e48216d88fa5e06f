"""Finds the new events of a group by looking up their keys among the stored ones; otherwise pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from yamcs_archive.columns import Columns
from yamcs_archive.event import Event
from yamcs_archive.event_vectors import Indexes, Int64s
from yamcs_archive.storage.format.keys import Key, Keys, index_among

_LOOKS_MAX, _SCATTERED = 16, 4
"""If 16 look-ups have found fewer than 4 new events each, the remaining events are looked up together."""
_COMPARED_AT_ONCE = 64
"""Stored events that are read together to be compared with offered ones: 64 MiB of messages at most."""


class Existing(Protocol):
    """The stored events, as the look-up needs them."""

    def next_key(self, key: Key) -> Key | None:
        """Return the least stored key that is not below ``key``, or None."""

    def greatest_key(self) -> Key | None:
        """Return the greatest stored key, or None."""

    def stored_among(self, keys: Keys) -> list[int]:
        """Return the indexes of those keys that are stored; the keys are in order."""

    def events(self, keys: Sequence[Key]) -> list[Event]:
        """Return the events stored under ``keys``, which come in order."""


class NewRun(NamedTuple):
    """A range of new events, which a commit's record gives by its first and last key."""

    start: int
    stop: int
    alone: bool
    """True if no event was stored between its keys before; False if that was not checked."""


class KeyLookup:
    """Finds the new events among those whose keys are given in order, and the runs of new events.

    A look-up finds the next stored key; all keys of the group below it are new. So a group of any size after
    the newest event takes one look-up. If each look-up finds only an event or two, the events are scattered
    among stored ones, and the remaining ones are looked up together.
    """

    def __init__(
        self,
        keys: Columns[int] | Keys,
        times: Int64s,
        existing: Existing,
        refuse: Callable[[int, Event | int], None],
    ) -> None:
        """``refuse(index, first)`` is called for each event that is not new; ``first`` is the stored event of
        its key, or the index of the group's first event of that key."""
        self._keys, self._times, self._existing, self._refuse = keys, times, existing, refuse
        alike = np.flatnonzero(times[1:] == times[:-1]).tolist()
        self._repeated = [at + 1 for at in alike if keys.key(at) == keys.key(at + 1)]
        self._new: list[range] = []
        self._new_count = 0
        self._runs: list[NewRun] = []

    def run(self) -> tuple[Indexes, list[NewRun]]:
        """Return the indexes of the new events, and their runs, which count the new events only."""
        index = look_ups = 0
        while index < self._keys.size:
            key = self._keys.key(index)
            following = self._existing.next_key(key)
            look_ups += 1
            if following == key:
                self._refuse_stored([index])
                index += 1
            else:
                stop = self._keys.size if following is None else self._index_of(following)
                self._accept(index, stop, [], alone=True)
                index = stop
            if look_ups == _LOOKS_MAX and index < _SCATTERED * look_ups and isinstance(self._keys, Keys):
                index = self._accept_scattered(index, self._keys)
        new = [np.arange(part.start, part.stop) for part in self._new]
        return np.concatenate(new or [np.empty(0, np.intp)]), self._runs

    def _accept_scattered(self, index: int, keys: Keys) -> int:
        """Accept the new events from ``index`` to the greatest stored key; return the index after them."""
        greatest = self._existing.greatest_key()
        stop = keys.size if greatest is None else self._index_of(greatest)
        if stop > index:
            stored = self._existing.stored_among(keys.take(slice(index, stop)))
            self._accept(index, stop, [index + offset for offset in stored], alone=False)
        return max(index, stop)

    def _accept(self, start: int, stop: int, stored: Sequence[int], *, alone: bool) -> None:
        """Accept the events from ``start`` to ``stop`` as one run, except those that are stored already."""
        begin = self._new_count
        first, last = (bisect_left(self._repeated, bound) for bound in (start, stop))
        index = start
        if stored or first < last:
            there = set(stored)
            for here in sorted(there.union(self._repeated[first:last])):
                self._add(range(index, here))
                index = here + 1
                if here not in there:
                    self._refuse(here, self._new[-1][-1])
            self._refuse_stored(stored)
        self._add(range(index, stop))
        if self._new_count > begin:
            self._runs.append(NewRun(begin, self._new_count, alone))

    def _add(self, part: range) -> None:
        if part:
            self._new.append(part)
            self._new_count += len(part)

    def _refuse_stored(self, indexes: Sequence[int]) -> None:
        """Refuse the events whose keys are stored, a few at a time, because stored events may be large."""
        for start in range(0, len(indexes), _COMPARED_AT_ONCE):
            part = indexes[start : start + _COMPARED_AT_ONCE]
            stored = self._existing.events([self._keys.key(index) for index in part])
            for index, event in zip(part, stored, strict=True):
                self._refuse(index, event)

    def _index_of(self, key: Key) -> int:
        return index_among(self._times, key, self._keys.key)

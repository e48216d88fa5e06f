"""Which events of a group are new: their keys looked up among those that are stored; pure but for that."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from yamcs_archive.columns import Columns
from yamcs_archive.event import Event
from yamcs_archive.storage.format.integers import Int64s
from yamcs_archive.storage.format.keys import Indexes, Key, Keys, index_among

_LOOKS_MAX, _SCATTERED = 16, 4
"""Look-ups, and new events for each, below which the other events are looked up all together."""
_COMPARED_AT_ONCE = 64
"""Stored events in memory at once for comparison with the offered ones: at most 64 MiB of messages."""


class Existing(Protocol):
    """Where the stored keys are looked up."""

    def next_key(self, key: Key) -> Key | None:
        """Return the least stored key that is not below ``key``, or None."""

    def greatest_key(self) -> Key | None:
        """Return the greatest stored key, or None."""

    def stored_among(self, keys: Keys) -> list[int]:
        """Return the indexes of those keys that are stored; the keys are in order."""

    def events(self, keys: Sequence[Key]) -> list[Event]:
        """Return the events stored under ``keys``, which come in order."""


class NewRun(NamedTuple):
    """New events that a commit's record names by their first and last key."""

    start: int
    stop: int
    alone: bool
    """True: nothing was stored between its keys before. False: that was not checked."""


class KeyLookup:
    """Finds which events, given by their keys in order, are new, and the runs that they make.

    One look-up finds the next stored key, and all keys below that are new: a group beyond the newest event
    takes one look-up, however large it is. If each look-up finds an event or two, the events are scattered
    among stored ones, and the rest are looked up together.
    """

    def __init__(
        self,
        keys: Columns[int] | Keys,
        times: Int64s,
        existing: Existing,
        refuse: Callable[[int, Event | int], None],
    ) -> None:
        """``refuse(index, first)`` is called for each event that is not new, with the stored event of its key
        or the index of the first event of that key in the group."""
        self._keys, self._times, self._existing, self._refuse = keys, times, existing, refuse
        alike = np.flatnonzero(times[1:] == times[:-1]).tolist()
        self._repeated = [at + 1 for at in alike if keys.key(at) == keys.key(at + 1)]
        self._new: list[range] = []
        self._new_count = 0
        self._runs: list[NewRun] = []

    def run(self) -> tuple[Indexes, list[NewRun]]:
        """Return the indexes of the new events, and the runs that they make in their own order."""
        index = looked = 0
        while index < self._keys.size:
            key = self._keys.key(index)
            following = self._existing.next_key(key)
            looked += 1
            if following == key:
                self._refuse_held([index])
                index += 1
            else:
                stop = self._keys.size if following is None else self._place_of(following)
                self._take(index, stop, [], alone=True)
                index = stop
            if looked == _LOOKS_MAX and index < _SCATTERED * looked and isinstance(self._keys, Keys):
                index = self._take_scattered(index, self._keys)
        new = [np.arange(part.start, part.stop) for part in self._new]
        return np.concatenate(new or [np.empty(0, np.intp)]), self._runs

    def _take_scattered(self, index: int, keys: Keys) -> int:
        """Accept the events from ``index`` to the greatest stored key; return the first index beyond it."""
        greatest = self._existing.greatest_key()
        stop = keys.size if greatest is None else self._place_of(greatest)
        if stop > index:
            held = self._existing.stored_among(keys.take(slice(index, stop)))
            self._take(index, stop, [index + place for place in held], alone=False)
        return max(index, stop)

    def _take(self, start: int, stop: int, held: Sequence[int], *, alone: bool) -> None:
        """Accept the events from ``start`` to ``stop`` as one run, except those that are stored already."""
        begin = self._new_count
        first, last = (bisect_left(self._repeated, bound) for bound in (start, stop))
        index = start
        if held or first < last:
            there = set(held)
            for here in sorted(there.union(self._repeated[first:last])):
                self._add(range(index, here))
                index = here + 1
                if here not in there:
                    self._refuse(here, self._new[-1][-1])
            self._refuse_held(held)
        self._add(range(index, stop))
        if self._new_count > begin:
            self._runs.append(NewRun(begin, self._new_count, alone))

    def _add(self, part: range) -> None:
        if part:
            self._new.append(part)
            self._new_count += len(part)

    def _refuse_held(self, places: Sequence[int]) -> None:
        """Refuse the events whose keys are stored, some at a time, because stored events may be large."""
        for start in range(0, len(places), _COMPARED_AT_ONCE):
            part = places[start : start + _COMPARED_AT_ONCE]
            stored = self._existing.events([self._keys.key(place) for place in part])
            for place, event in zip(part, stored, strict=True):
                self._refuse(place, event)

    def _place_of(self, key: Key) -> int:
        return index_among(self._times, key, self._keys.key)

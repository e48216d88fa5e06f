"""Finds the new events of a group by looking up their keys among the stored ones; otherwise pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from yamcs_archive.event import Event
from yamcs_archive.event_vectors import Indexes, Int64s, StoredVectors
from yamcs_archive.storage.format.keys import Key, Keys, index_among

_LOOKS_MAX, _SCATTERED = 16, 4
"""If 16 look-ups have found fewer than 4 new events each, the remaining events are looked up together."""


class Existing(Protocol):
    """The stored events, as the look-up needs them."""

    def next_key(self, key: Key) -> Key | None:
        """Return the least stored key that is not below ``key``, or None."""

    def greatest_key(self) -> Key | None:
        """Return the greatest stored key, or None."""

    def stored_among(self, keys: Keys) -> Indexes:
        """Return the indexes of those keys that are stored; the keys are in order."""

    def events(self, keys: Sequence[Key]) -> list[Event]:
        """Return the events stored under ``keys``, which come in order."""

    def rows(self, keys: Keys) -> Iterator[tuple[Indexes, StoredVectors]]:
        """Yield the events stored under ``keys``, which come in order, in parts of bounded size.

        With each part come the indexes of its keys; the numbers of commits in it need not be right.
        """


class NewRun(NamedTuple):
    """A range of new events, which a commit's record gives by its first and last key."""

    start: int
    stop: int
    alone: bool
    """True if no event was stored between its keys before; False if that was not checked."""


class Found(NamedTuple):
    """What the look-up found, by indexes of keys in their order."""

    new: Indexes
    stored: Indexes
    """The events whose keys are stored already."""
    runs: list[NewRun]
    """The runs of new events, which count the new events only."""


class Few(NamedTuple):
    """The same for a few events."""

    new: list[int]
    stored: list[int]
    runs: list[NewRun]


def look_up_few(keys: Sequence[Key], existing: Existing, refuse: Callable[[int, int], None]) -> Few:
    """Do what :class:`KeyLookup` does, for a few events, whose keys are given in order: in a fifth of the
    time.

    >>> class Nothing:
    ...     def next_key(self, key):
    ...         return None
    >>> look_up_few([(1, "A", 1), (2, "A", 2)], Nothing(), lambda index, first: None)
    Few(new=[0, 1], stored=[], runs=[NewRun(start=0, stop=2, alone=True)])
    """
    new: list[int] = []
    stored: list[int] = []
    runs: list[NewRun] = []
    index = 0
    while index < len(keys):
        following = existing.next_key(keys[index])
        if following == keys[index]:
            stored.append(index)
            index += 1
            continue
        stop = len(keys) if following is None else bisect_left(keys, following, index)
        begin, first = len(new), index
        new.append(first)
        for at in range(index + 1, stop):
            if keys[at] == keys[first]:
                refuse(at, first)
            else:
                new.append(at)
                first = at
        runs.append(NewRun(begin, len(new), alone=True))
        index = stop
    return Few(new, stored, runs)


class KeyLookup:
    """Finds the new events among those whose keys are given in order, and the runs of new events.

    A look-up finds the next stored key; all keys of the group below it are new. So a group of any size after
    the newest event takes one look-up. If each look-up finds only an event or two, the events are scattered
    among stored ones, and the remaining ones are looked up together.
    """

    def __init__(
        self,
        keys: Keys,
        times: Int64s,
        existing: Existing,
        refuse: Callable[[int, int], None],
    ) -> None:
        """``refuse(index, first)`` is called for each event whose key is not stored but in the group before;
        ``first`` is the index of the group's first event of that key."""
        self._keys, self._times, self._existing, self._refuse = keys, times, existing, refuse
        alike = np.flatnonzero(times[1:] == times[:-1]).tolist()
        self._repeated = [at + 1 for at in alike if keys.key(at) == keys.key(at + 1)]
        self._new: list[Indexes] = [np.empty(0, np.intp)]
        self._stored: list[Indexes] = [np.empty(0, np.intp)]
        self._new_count = 0
        self._runs: list[NewRun] = []

    def run(self) -> Found:
        """Return which events are new, and which are stored."""
        index = look_ups = 0
        while index < self._keys.size:
            key = self._keys.key(index)
            following = self._existing.next_key(key)
            look_ups += 1
            if following == key:
                self._stored.append(np.array([index]))
                index += 1
            else:
                stop = self._keys.size if following is None else self._index_of(following)
                self._accept(index, stop, alone=True)
                index = stop
            if look_ups == _LOOKS_MAX and index < _SCATTERED * look_ups:
                index = self._accept_scattered(index)
        return Found(np.concatenate(self._new), np.concatenate(self._stored), self._runs)

    def _accept_scattered(self, index: int) -> int:
        """Accept the new events from ``index`` to the greatest stored key; return the index after them."""
        keys, greatest = self._keys, self._existing.greatest_key()
        stop = keys.size if greatest is None else self._index_of(greatest)
        if stop > index:
            stored = index + self._existing.stored_among(keys.take(slice(index, stop)))
            self._stored.append(stored)
            self._accept(index, stop, stored, alone=False)
        return max(index, stop)

    def _accept(self, start: int, stop: int, stored: Indexes | None = None, *, alone: bool) -> None:
        """Accept the events from ``start`` to ``stop`` as one run, except those that are stored already."""
        new = np.arange(start, stop)
        first, last = (bisect_left(self._repeated, bound) for bound in (start, stop))
        if stored is not None or first < last:
            is_new = np.ones(stop - start, np.bool_)
            if stored is not None:
                is_new[stored - start] = False
            repeated = np.array(self._repeated[first:last], np.intp)
            repeated = repeated[is_new[repeated - start]]
            is_new[repeated - start] = False
            new = new[is_new]
            # Equal keys are neighbours, so the last new event before a repeated one is the first of its key.
            firsts = new[new.searchsorted(repeated) - 1]
            for index, of in zip(repeated.tolist(), firsts.tolist(), strict=True):
                self._refuse(index, of)
        if len(new):
            begin = self._new_count
            self._new.append(new)
            self._new_count += len(new)
            self._runs.append(NewRun(begin, self._new_count, alone))

    def _index_of(self, key: Key) -> int:
        return index_among(self._times, key, self._keys.key)

"""The numbers of texts that were seen before: a hash table of numpy vectors, for thousands at once; pure.

1. A text is a row of as many bytes as the longest may have, with zeros after its end. Texts have no NUL.
2. What decides is whether rows are equal; their hashes only say where to look. Of two texts with one hash the
   first is known.
3. Slots are tried one after the other, and at most a quarter of them are used. Once as many texts as there
   may be are known, all are forgotten.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import Indexes, Int64s

UNKNOWN = -1
Rows = npt.NDArray[np.uint64]
"""Texts, eight bytes in each word."""
Hashes = npt.NDArray[np.uint64]
_FIRST_TEXTS = 1 << 10
_SLOTS_SHARE = 4
"""Least number of slots for each text."""


class KnownTexts:
    """Up to ``texts_max`` texts of up to ``width`` bytes, a multiple of 64, each with a number.

    >>> known = KnownTexts(64, texts_max=2)
    >>> text = np.frombuffer(b"Wheel" + bytes(64), np.uint8)
    >>> rows = known.rows(text, np.array([0, 1]), np.array([5, 4]))
    >>> len(known.add(rows[:1], np.array([7])))
    0
    >>> known.find(rows).tolist()
    [7, -1]
    """

    def __init__(self, width: int, texts_max: int) -> None:
        self.width = width
        self._whole = f"V{width}"
        """The type of a row as one value."""
        self._texts_max = texts_max
        # Drawn anew each time, so that nobody can send messages that all want the same slots.
        self._multipliers = np.frombuffer(os.urandom(width), np.uint64) | 1
        self._kept = np.tri(width + 1, width, -1, np.uint8) * 0xFF
        """For each length the bytes of a row that are the text's."""
        self._forget(_FIRST_TEXTS)

    def _forget(self, room: int) -> None:
        """Begin anew, with room for so many texts."""
        # The text 0 is none: its number is UNKNOWN, and slots without a text have it.
        self._size = 1
        self._rows: Rows = np.zeros((room, self.width // 8), np.uint64)
        self._hashes: Hashes = np.zeros(room, np.uint64)
        self._numbers: Int64s = np.full(room, UNKNOWN, np.int64)
        self._slots: npt.NDArray[np.int32] = np.zeros(_SLOTS_SHARE * room, np.int32)

    def rows(self, text: npt.NDArray[np.uint8], starts: Indexes, lengths: Indexes) -> Rows:
        """Return texts of at most ``width`` bytes; after the last, ``text`` has as many bytes more."""
        cut = np.ndarray(len(text) - self.width + 1, self._whole, text, strides=(1,))[starts]
        found: Rows = cut.view(np.uint64).reshape(-1, self.width // 8)  # a copy
        np.bitwise_and(found, self._taken(self._kept, lengths), out=found)
        return found

    def find(self, rows: Rows) -> Int64s:
        """Return the number of each text, or UNKNOWN."""
        texts = self._of_hashes(rows @ self._multipliers)
        found = self._numbers[texts]
        differs = rows != self._taken(self._rows, texts)
        if differs.any():
            # Eight flags in a word: there are fewer to look at.
            found[differs.view(np.uint64).any(axis=1)] = UNKNOWN
        return found

    def _taken(self, rows: npt.NDArray[Any], indexes: Indexes) -> Rows:
        """Return the rows at some indexes; each is copied as one value, which takes half of the time."""
        taken: Rows = rows.view(self._whole).ravel().take(indexes).view(np.uint64)
        return taken.reshape(-1, self.width // 8)

    def add(self, rows: Rows, numbers: Int64s) -> Indexes:
        """Remember texts that are not known, each once; return the indexes of those for which that failed."""
        hashes, firsts = np.unique(rows @ self._multipliers, return_index=True)
        new = np.flatnonzero(self._of_hashes(hashes) == 0)
        if self._size - 1 + len(new) > self._texts_max:
            self._forget(_FIRST_TEXTS)
            new = np.arange(min(len(hashes), self._texts_max))
        hashes, firsts = hashes[new], firsts[new]
        stop = self._size + len(new)
        self._make_room(stop)
        added = np.arange(self._size, stop, dtype=np.int32)
        self._rows[added], self._hashes[added], self._numbers[added] = rows[firsts], hashes, numbers[firsts]
        self._size = stop
        self._place(added)
        if len(added) == len(rows):
            return np.zeros(0, np.intp)
        failed = np.ones(len(rows), np.bool_)
        failed[firsts] = False
        return np.flatnonzero(failed)

    def _make_room(self, texts: int) -> None:
        if texts <= len(self._rows):
            return
        room = len(self._rows)
        while room < texts:
            room *= 2
        known = slice(1, self._size)
        rows, hashes, numbers = self._rows[known], self._hashes[known], self._numbers[known]
        size = self._size
        self._forget(room)
        self._rows[1:size], self._hashes[1:size], self._numbers[1:size] = rows, hashes, numbers
        self._size = size
        self._place(np.arange(1, size, dtype=np.int32))

    def _place(self, texts: npt.NDArray[np.int32]) -> None:
        """Give each text the first slot that is free; no two have one hash."""
        slots = self._first_slots(self._hashes[texts])
        while len(texts):
            is_free = self._slots[slots] == 0
            self._slots[slots[is_free]] = texts[is_free]  # of several that want one, the last has it
            left = self._slots[slots] != texts
            texts, slots = texts[left], (slots[left] + 1) % len(self._slots)

    def _of_hashes(self, hashes: Hashes) -> Indexes:
        """Return the text with each hash; 0 for none."""
        slots = self._first_slots(hashes)
        found = self._slots[slots].astype(np.intp)
        going = np.flatnonzero((self._hashes[found] != hashes) & (found != 0))
        while len(going):
            slots[going] = (slots[going] + 1) % len(self._slots)
            tried = self._slots[slots[going]]
            found[going] = tried
            going = going[(self._hashes[tried] != hashes[going]) & (tried != 0)]
        return found

    def _first_slots(self, hashes: Hashes) -> Indexes:
        # The highest bits depend on all bytes.
        return (hashes >> np.uint64(65 - len(self._slots).bit_length())).astype(np.intp)

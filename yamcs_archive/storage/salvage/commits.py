"""The commit records that were found: the time of each commit, and which events it may have.

A record is decoded when it is asked for: commits are asked for in their order, so each is decoded once.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import NamedTuple

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.lmdb_pages import Node, PageError, PageFile
from yamcs_archive.storage.format.commits import CommitRecord, commit_key, decode_commit
from yamcs_archive.storage.salvage.losses import Losses
from yamcs_archive.storage.salvage.trees import Leaf

_DECODED_MAX = 64


class _Place(NamedTuple):
    first: int
    last: int
    is_stray: bool
    file: PageFile
    page: int
    node: Node


class Commits:
    """Commits by their numbers."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._places: list[_Place] = []
        self._firsts: list[int] = []
        self._unread: set[int] = set()
        self.events = 0
        """The number of events of all commits whose records can be read."""
        self.is_whole = True
        """No record is missing or damaged, as far as records can tell."""
        self._logged: dict[int, CommitRecord] = {}
        self._decoded = lru_cache(_DECODED_MAX)(self._decode)

    def add(self, leaf: Leaf) -> None:
        """Note the records of a leaf."""
        for node in leaf.nodes:
            try:
                record = decode_commit(node.key, leaf.file.value(leaf.page, node))
            except (DamagedError, PageError):
                if not leaf.is_stray:
                    self.is_whole = False
                continue
            self._places.append(
                _Place(record.first, record.last, leaf.is_stray, leaf.file, leaf.number, node)
            )
            if not leaf.is_stray:
                self.events += sum(record.events)

    def add_logged(self, record: CommitRecord) -> None:
        """Note the record of a commit that the log has."""
        self._logged[record.first] = record
        self.events += sum(record.events)

    def settle(self) -> None:
        """Order the records; call this once all were added. A stray one counts only where no other does."""
        kept: list[_Place] = []
        reached = 0
        for place in sorted(self._places, key=lambda place: (place.is_stray, place.first)):
            if not place.is_stray:
                self.is_whole &= place.first == reached + 1
                reached = place.last
            kept.append(place)
        firm = sorted(place for place in kept if not place.is_stray)
        starts = [place.first for place in firm]
        for place in kept:
            if place.is_stray and not _overlaps(firm, starts, place):
                firm.insert(at := bisect_right(starts, place.first), place)
                starts.insert(at, place.first)
        self._places, self._firsts = firm, starts

    def time_of(self, number: int) -> int | None:
        """Return when a commit was made, microseconds since 1970; None if its record cannot be read."""
        record = self._record(number)
        return None if record is None else record.times[number - record.first]

    def may_have(self, number: int, key: bytes) -> bool:
        """Return whether the event of a key may be of a commit: the commit's record has it, or is lost."""
        record = self._record(number)
        if record is None:
            return self._may_be_lost(number)
        at = bisect_right(record.runs, key, key=lambda run: run.first) - 1
        return at >= 0 and key <= record.runs[at].last

    def _may_be_lost(self, number: int) -> bool:
        """Return whether there may have been a commit of that number: none is after the newest."""
        newest = max([*self._logged, *(place.last for place in self._places[-1:])], default=0)
        return not self.is_whole or not newest or number <= newest

    def _record(self, number: int) -> CommitRecord | None:
        if (logged := self._logged.get(number)) is not None:
            return logged
        at = bisect_right(self._firsts, number) - 1
        if at < 0 or self._places[at].last < number:
            return None
        return self._decoded(at)

    def _decode(self, at: int) -> CommitRecord | None:
        place = self._places[at]
        try:
            value = place.file.value(place.file.page(place.page), place.node)
            return decode_commit(commit_key(place.first), value)
        except (PageError, DamagedError):  # the medium gave it a moment ago
            return None


def _overlaps(places: list[_Place], starts: list[int], place: _Place) -> bool:
    """Return whether commits of a place are in one of the others already."""
    before = bisect_right(starts, place.last) - 1
    return before >= 0 and places[before].last >= place.first

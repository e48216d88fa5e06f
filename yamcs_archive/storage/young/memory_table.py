"""A memory table: the records of a stretch of the commit log, with their events in key order; pure.

1. Events have an index, in the order of their arrival (:mod:`arrivals`). One list has an *entry* for each, in
   key order: the encoded key, and the event's index in four bytes. No key is the beginning of another, so
   entries are in the order of their keys. A late event moves pointers, never columns. Entries are made when
   somebody looks for a key among the events: a stream that nobody reads goes into blocks without any. A few
   large commits are searched as they came, without entries too.
2. One thread adds; others read at the same time. A reader takes the bounds of what it may see
   (:class:`Extent`) first, and passes over what came later. The list of entries is changed by single calls
   into C, under a lock that readers take to search it: an interrupt leaves it whole.
3. A table is dropped after an addition that did not end: it may then have a part of that.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from itertools import compress
from operator import lt, sub
from typing import NamedTuple

import numpy as np

from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import Indexes, StoredVectors, int64s
from yamcs_archive.limits import READ_BYTES_MAX, TABLE_BYTES_MAX, TABLE_RECORDS_MAX
from yamcs_archive.storage.format.commits import CommitRecord, Run
from yamcs_archive.storage.format.keys import (
    Key,
    Keys,
    decode_key,
    encode_indexed_key,
    encode_key,
    encode_keys,
    indexes_in,
)
from yamcs_archive.storage.format.log_records import Carried, LoggedCommit, LogRecord
from yamcs_archive.storage.format.source_states import SourceState
from yamcs_archive.storage.young.arrivals import Arrivals, memory_of, memory_of_one

_SOURCE_BYTES = 400
"""Memory of the state of a source that changed."""
_SORTED_SHARE = 128
"""Fewer keys than 1 for 128 that are held are put in their places one by one; for more, all are sorted."""
_INDEX_BYTES = 4
_VECTOR_EVENTS_MIN = 40
"""Fewest events whose keys are encoded as vectors."""


class Extent(NamedTuple):
    """How much of a table a reader sees."""

    events: int
    commits: int
    last: int
    """The sequence number of the last record."""


class MemoryTable:
    """The records after ``after``, up to :attr:`last`."""

    def __init__(self, after: int) -> None:
        """``after`` is the sequence number of the record before the table's first one."""
        self.after = after
        self.extent = Extent(0, 0, after)
        self.begun = after
        """The number of the last record of which anything may be here."""
        self.size_bytes = 0
        self.segments: list[int] = []
        """The numbers of the log's segments that have its records, once no more are added."""
        self.first_commit = 0
        """The number of the first commit, once there is one."""
        self.sources: dict[str, SourceState] = {}
        self.requests: dict[bytes, bytes] = {}
        self.facts: dict[bytes, bytes] = {}
        self._lock = threading.Lock()
        self._entries: list[bytes] = []
        self._greatest: Key | None = None
        self._commit_times, self._commit_starts = array("q"), array("q")
        self._runs: dict[int, Sequence[tuple[int, int]]] = {}  # of commits with several, by their place
        self._arrivals = Arrivals()

    @classmethod
    def of_carried(cls, number: int, carried: Carried, memory_bytes: int | None = None) -> MemoryTable:
        """Return a table of the events that record ``number`` carries; it has no commits.

        ``memory_bytes``: the memory that they take, if it is known.
        """
        table = cls(number)
        table.add_carried(number, carried, memory_bytes)
        return table

    def add_carried(self, number: int, carried: Carried, memory_bytes: int | None = None) -> None:
        """Add the events that record ``number`` carries to those of an earlier one."""
        count, events = self.extent.events, carried.events
        self.begun = number
        self.size_bytes += memory_of(events) if memory_bytes is None else memory_bytes
        self._add_events(events, carried.commits)
        self.extent = Extent(count + events.size, 0, number)

    @property
    def last(self) -> int:
        """The sequence number of the last record."""
        return self.extent.last

    @property
    def events(self) -> int:
        """The number of events."""
        return self.extent.events

    @property
    def is_empty(self) -> bool:
        """True if its records have nothing that LMDB is to have, so that they only carry late events."""
        return not (self.extent.commits or self.sources or self.requests or self.facts)

    def add(self, record: LogRecord) -> None:
        """Add a record, which must be the next one."""
        events, commits, last = self.extent
        if record.sequence != last + 1:
            raise AssertionError(f"record {record.sequence} after {last}")
        self.begun = record.sequence
        size_bytes, sources = self.size_bytes, len(self.sources)
        for commit in record.commits:
            added = commit.events
            if isinstance(added, Columns) and len(added.message) == 1:
                self._add_one(added, commit, events)
                size_bytes += memory_of_one(added)
                events += 1
            else:
                self._add_events(added, [commit.number] * added.size)
                if len(commit.runs) > 1:
                    self._runs[len(self._commit_times)] = commit.runs
                self._note(commit, events)
                size_bytes += memory_of(added)
                events += added.size
        self.sources.update(record.sources)
        size_bytes += _SOURCE_BYTES * (len(self.sources) - sources)
        if record.requests:
            self.requests.update(record.requests)
            size_bytes += sum([len(key) + len(value) + 200 for key, value in record.requests])
        self.facts.update(record.facts)
        self.size_bytes = size_bytes
        self.extent = Extent(events, commits + len(record.commits), record.sequence)

    def _add_events(self, events: Columns[int] | StoredVectors, commits: Sequence[int]) -> None:
        """Add events in key order, with the numbers of their commits."""
        self._arrivals.add(events, commits)
        self._reach(events.key(-1))

    def _add_one(self, one: Columns[int], commit: LoggedCommit, count: int) -> None:
        """Add a commit of one event."""
        self._arrivals.add_one(one, commit.number)
        self._reach(one.key(0))
        self._note(commit, count)

    def _reach(self, key: Key) -> None:
        if self._greatest is None or key > self._greatest:
            self._greatest = key

    def _note(self, commit: LoggedCommit, start: int) -> None:
        if not self._commit_times:
            self.first_commit = commit.number
        elif commit.number != self.first_commit + len(self._commit_times):
            raise AssertionError(f"commit {commit.number} after {len(self._commit_times)} others")
        self._commit_times.append(commit.time)
        self._commit_starts.append(start)

    def commit(self, number: int, extent: Extent) -> CommitRecord | None:
        """Return the record of a commit, or None."""
        at = number - self.first_commit
        if not 0 <= at < extent.commits:
            return None
        start = self._commit_starts[at]
        stop = self._commit_starts[at + 1] if at + 1 < extent.commits else extent.events
        runs = self._runs.get(at, ((0, stop - start - 1),))
        self._arrivals.join()
        found = [Run(self._key(start + first), self._key(start + last)) for first, last in runs]
        return CommitRecord(number, (self._commit_times[at],), (stop - start,), tuple(found))

    def commit_columns(self) -> tuple[array[int], list[int]]:
        """Return the times of all commits, and their numbers of events. No more are added meanwhile."""
        starts = self._commit_starts
        stops = [*starts[1:], self.extent.events] if starts else []
        return self._commit_times, list(map(sub, stops, starts))

    def _key(self, at: int) -> bytes:
        return encode_key(*self._arrivals.key(at))

    def _make_entries(self, stop: int) -> None:
        """Make those of the events before index ``stop`` that are not made yet; with the lock held.

        They are made in the order of arrival, so their number says which are there, after an interrupt too.
        """
        held = self._entries
        if len(held) >= stop:
            return
        entries = self._entries_between(len(held), stop)
        in_order = all(map(lt, entries, entries[1:]))
        if in_order and (not held or held[-1] < entries[0]):
            held.extend(entries)
        elif len(entries) * _SORTED_SHARE < len(held):
            for entry in entries:
                insort(held, entry)
        else:
            held[:] = sorted(held + entries)  # sorted elsewhere: an interrupt leaves this list in order

    def _entries_between(self, start: int, stop: int) -> list[bytes]:
        return _entries(*self._arrivals.keys(start, stop), start)

    @property
    def greatest(self) -> Key | None:
        """The greatest key. For the thread that adds."""
        return self._greatest

    def first_from(self, key: Key) -> Key | None:
        """Return the least key that is not below ``key``. For the thread that adds."""
        if self._greatest is None or self._greatest < key:  # as nearly all keys that are asked for
            return None
        if (parts := self._arrivals.unjoined()) is not None:
            places = [(keys, keys.index_from(key)) for _, keys in parts]
            return min(keys.key(at) for keys, at in places if at < keys.size)
        entries = self._all_entries()
        return decode_key(entries[self._bound(encode_key(*key))][:-_INDEX_BYTES])

    def index_of(self, key: Key) -> int | None:
        """Return the index of the event with a key. For the thread that adds."""
        if self._greatest is None or self._greatest < key:
            return None
        if (parts := self._arrivals.unjoined()) is not None:
            places = [(start, keys.index_of(key)) for start, keys in parts]
            return next((start + at for start, at in places if at >= 0), None)
        [found] = self._indexes_of([encode_key(*key)])
        return None if found < 0 else found

    def indexes_among(self, keys: Keys, encoded: Callable[[], list[bytes]]) -> Indexes:
        """Return the index of the event with each key, -1 for a key that is not here. For the thread that
        adds.

        ``encoded`` returns the keys in their stored form.
        """
        parts = self._arrivals.unjoined()
        if parts is None:
            return np.array(self._indexes_of(encoded()), np.intp)
        found = np.full(keys.size, -1, np.intp)
        for start, own in parts:
            at = indexes_in(own, keys)
            found[at >= 0] = start + at[at >= 0]
        return found

    def _indexes_of(self, keys: Sequence[bytes]) -> list[int]:
        found = [-1] * len(keys)
        entries = self._all_entries()
        size = len(entries)
        for place, key in enumerate(keys):
            at = bisect_left(entries, key)
            if at < size and (entry := entries[at])[:-_INDEX_BYTES] == key:
                found[place] = int.from_bytes(entry[-_INDEX_BYTES:], "big")
        return found

    def _all_entries(self) -> list[bytes]:
        if len(self._entries) < self.extent.events:
            with self._lock:
                self._make_entries(self.extent.events)
        return self._entries

    def _bound(self, bound: bytes) -> int:
        """Return how many entries have a key below a bound, which may be a key and a NUL: then that one
        too.
        """
        entries = self._entries
        at = bisect_left(entries, bound)
        # The entry of a key is above the key and a NUL, unlike the key.
        return at + (at < len(entries) and entries[at][:-_INDEX_BYTES] < bound)

    def find(
        self, lower: bytes, upper: bytes, extent: Extent, *, descending: bool, events_max: int
    ) -> tuple[list[bytes], list[int], bool]:
        """Return keys and indexes of the first events with ``lower <= key < upper``, and whether more follow.

        ``descending``: of the last ones, from the greatest key on. Events beyond the extent are left out.
        They are at most ``events_max``, and have about READ_BYTES_MAX bytes of text.
        """
        while True:
            with self._lock:
                self._make_entries(extent.events)
                begin, end = self._bound(lower), self._bound(upper)
                more = end - begin > events_max
                if more:
                    begin, end = (end - events_max, end) if descending else (begin, begin + events_max)
                found = self._entries[begin:end]
            indexes = [int.from_bytes(entry[-_INDEX_BYTES:], "big") for entry in found]
            keys = [entry[:-_INDEX_BYTES] for entry in found]
            if indexes and max(indexes) >= extent.events:
                seen = [index < extent.events for index in indexes]
                if more and not any(seen):  # all of these came later: look further
                    lower, upper = (lower, keys[0]) if descending else (keys[-1] + b"\0", upper)
                    continue
                keys, indexes = list(compress(keys, seen)), list(compress(indexes, seen))
            if descending:
                keys, indexes = keys[::-1], indexes[::-1]
            if self.size_bytes > READ_BYTES_MAX and (fitting := self._arrivals.fitting(indexes)) < len(
                indexes
            ):
                return keys[:fitting], indexes[:fitting], True
            return keys, indexes, more

    def vectors(self) -> StoredVectors:
        """Return all events, in the order of their arrival. No more are added meanwhile."""
        return self._arrivals.vectors()

    def columns(self, indexes: Sequence[int]) -> Columns[int]:
        """Return the events at some indexes, which were found by key, in that order."""
        return self._arrivals.columns(indexes)

    def commit_numbers(self, indexes: Sequence[int]) -> list[int]:
        """Return the number of the commit of each of these events."""
        return self._arrivals.commits(indexes)


def is_full(table: MemoryTable, events_max: int) -> bool:
    """Return whether a table is to be put into blocks."""
    return (
        table.events >= events_max
        or table.size_bytes >= TABLE_BYTES_MAX
        or table.last - table.after >= TABLE_RECORDS_MAX
    )


def _entries(times: Sequence[int], sources: list[str], numbers: Sequence[int], first: int) -> list[bytes]:
    """Return the entries of events, whose indexes rise from ``first`` on."""
    if len(sources) < _VECTOR_EVENTS_MIN:
        return list(map(encode_indexed_key, times, sources, numbers, range(first, first + len(sources))))
    indexes = np.arange(first, first + len(sources))
    names = {source: source.encode() for source in set(sources)}
    return encode_keys(int64s(times), list(map(names.__getitem__, sources)), int64s(numbers), indexes)

"""A memory table: the records of a stretch of the commit log, with their events in key order; pure.

1. Events are in columns, in the order of their arrival. One list has an *entry* for each, in key order: the
   encoded key, and the event's index in four bytes. No key is the beginning of another, so entries are in the
   order of their keys. A late event moves pointers, never columns, and a column only grows: an index stays
   valid. Entries are made when somebody looks for a key among the events, or a late one comes: a stream in
   order goes into blocks without any.
2. One thread adds; others read at the same time. A reader takes the bounds of what it may see
   (:class:`Extent`) first, and passes over what came later. The list of keys is changed by single calls into
   C, under a lock that readers take to search it: an interrupt leaves it whole.
3. A table is dropped after an addition that did not end: its columns may then differ in length.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from itertools import accumulate, compress
from operator import sub
from sys import getsizeof
from typing import Any, NamedTuple

import numpy as np

from yamcs_archive.columns import NO_EXTENSIONS, NO_EXTRA, Columns
from yamcs_archive.event import SEVERITIES, Severity
from yamcs_archive.event_vectors import StoredVectors, int64s
from yamcs_archive.limits import READ_BYTES_MAX, TABLE_BYTES_MAX, TABLE_RECORDS_MAX
from yamcs_archive.storage.format.commits import CommitRecord, Run
from yamcs_archive.storage.format.keys import (
    Key,
    decode_key,
    encode_indexed_key,
    encode_key,
    encode_keys,
)
from yamcs_archive.storage.format.log_records import Carried, LoggedCommit, LogRecord
from yamcs_archive.storage.format.source_states import SourceState

_EVENT_BYTES = 250
"""Memory of an event without its texts: its entry, references in columns, integers."""
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
        self._times, self._numbers, self._received = array("q"), array("q"), array("q")
        self._numbers_of_commits = array("q")
        self._commit_times, self._commit_starts = array("q"), array("q")
        self._runs: dict[int, Sequence[tuple[int, int]]] = {}  # of commits with several, by their place
        self._severities = bytearray()
        self._messages: list[str] = []
        self._source_names: list[str] = []
        self._types: list[str | None] = []
        self._users: list[str | None] = []
        self._extensions: list[bytes] = []
        self._extra: list[dict[str, str]] = []

    @classmethod
    def of_carried(cls, number: int, carried: Carried) -> MemoryTable:
        """Return a table of the events that record ``number`` carries; it has no commits."""
        table = cls(number)
        table.add_carried(number, carried)
        return table

    def add_carried(self, number: int, carried: Carried) -> None:
        """Add the events that record ``number`` carries to those of an earlier one."""
        count = self.extent.events
        self.begun = number
        self.size_bytes += self._add(LoggedCommit(0, 0, carried.events, ()), count, carried.commits)
        self.extent = Extent(count + carried.events.size, 0, number)

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
                size_bytes += self._add_one(added, commit, events)
                events += 1
            else:
                size_bytes += self._add(commit, events)
                events += added.size
        self.sources.update(record.sources)
        size_bytes += _SOURCE_BYTES * (len(self.sources) - sources)
        if record.requests:
            self.requests.update(record.requests)
            size_bytes += sum([len(key) + len(value) + 200 for key, value in record.requests])
        self.facts.update(record.facts)
        self.size_bytes = size_bytes
        self.extent = Extent(events, commits + len(record.commits), record.sequence)

    def _add(self, commit: LoggedCommit, count: int, commits: Sequence[int] | None = None) -> int:
        """Add the events of a commit after ``count`` others; return the bytes of memory that they take.

        With ``commits``, the number of each event's commit, they are of commits that LMDB has."""
        events = commit.events
        if isinstance(events, StoredVectors):
            self._add_vectors(events)
        else:
            numbers: Any = events.seq_number
            self._times.extend(events.generation_time)
            self._numbers.extend(numbers)
            self._received.extend(events.reception_time)
            self._severities += bytes(events.severity)
            self._source_names += events.source
            self._types += events.type
            self._users += events.created_by
            self._extensions += events.extensions
            self._extra += events.extra
        self._messages += events.messages if isinstance(events, StoredVectors) else events.message
        self._numbers_of_commits.extend([commit.number] * events.size if commits is None else commits)
        self._note_keys(events.key(0), events.key(-1), count)
        if commits is not None:
            return self._memory_bytes(count)
        if len(commit.runs) > 1:
            self._runs[len(self._commit_times)] = commit.runs
        self._note(commit, count)
        return self._memory_bytes(count)

    def _add_one(self, one: Columns[int], commit: LoggedCommit, count: int) -> int:
        """Do the same for a commit of one event, in a third of the time."""
        message, source, severity, kind, time, number, received, user, extensions, extra = one
        numbered: Any = number[0]
        self._times.append(time[0])
        self._numbers.append(numbered)
        self._received.append(received[0])
        self._numbers_of_commits.append(commit.number)
        self._severities.append(severity[0])
        self._messages.append(message[0])
        self._source_names.append(source[0])
        self._types.append(kind[0])
        self._users.append(user[0])
        self._extensions.append(extensions[0])
        self._extra.append(extra[0])
        key = time[0], source[0], numbered
        self._note_keys(key, key, count)
        self._note(commit, count)
        if user[0] is None and not extensions[0] and not extra[0]:
            return _EVENT_BYTES + getsizeof(message[0]) + (0 if kind[0] is None else getsizeof(kind[0]))
        return self._memory_bytes(count)

    def _add_vectors(self, events: StoredVectors) -> None:
        self._times.frombytes(events.times.tobytes())
        self._numbers.frombytes(events.numbers.tobytes())
        self._received.frombytes(events.received.tobytes())
        self._severities += events.severities.tobytes()
        self._source_names += events.sources.decoded()
        self._types += events.types.decoded()
        self._users += events.users.decoded()
        self._extensions += events.extensions or [NO_EXTENSIONS] * events.size
        self._extra += events.extra or [NO_EXTRA] * events.size

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
        found = [Run(self._key(start + first), self._key(start + last)) for first, last in runs]
        return CommitRecord(number, (self._commit_times[at],), (stop - start,), tuple(found))

    def commit_columns(self) -> tuple[array[int], list[int]]:
        """Return the times of all commits, and their numbers of events. No more are added meanwhile."""
        starts = self._commit_starts
        stops = [*starts[1:], self.extent.events] if starts else []
        return self._commit_times, list(map(sub, stops, starts))

    def _key(self, at: int) -> bytes:
        return encode_key(self._times[at], self._source_names[at], self._numbers[at])

    def _note_keys(self, first: Key, last: Key, start: int) -> None:
        """Take note of the keys of events that were added from index ``start`` on: they are in order."""
        greatest = self._greatest
        if greatest is None or first > greatest:
            self._greatest = last
            return
        with self._lock:
            self._make_entries(start)
            self._insert(self._entries_between(start, len(self._times)))
        self._greatest = max(greatest, last)

    def _make_entries(self, stop: int) -> None:
        """Make those of the events before index ``stop`` that are not made yet; with the lock held.

        These came in order, after all others."""
        made = len(self._entries)
        if made < stop:
            self._entries.extend(self._entries_between(made, stop))

    def _entries_between(self, start: int, stop: int) -> list[bytes]:
        times, sources = self._times[start:stop], self._source_names[start:stop]
        return _entries(times, sources, self._numbers[start:stop], start)

    def _insert(self, entries: list[bytes]) -> None:
        """Put entries, which are in order, in their places."""
        held = self._entries
        if len(entries) * _SORTED_SHARE < len(held):
            for entry in entries:
                insort(held, entry)
        else:
            held[:] = sorted(held + entries)  # sorted elsewhere: an interrupt leaves this list in order

    def _memory_bytes(self, start: int) -> int:
        messages = self._messages[start:]
        size = _EVENT_BYTES * len(messages) + sum(map(getsizeof, messages))
        for column in (self._types[start:], self._users[start:]):
            if column.count(None) < len(column):
                size += sum(map(getsizeof, column))
        extensions, extra = self._extensions[start:], self._extra[start:]
        if any(extensions):
            size += sum(map(getsizeof, extensions))
        for more in extra:
            if more:
                size += getsizeof(more) + sum(map(getsizeof, more)) + sum(map(getsizeof, more.values()))
        return size

    @property
    def greatest(self) -> Key | None:
        """The greatest key. For the thread that adds."""
        return self._greatest

    def first_from(self, key: Key) -> Key | None:
        """Return the least key that is not below ``key``. For the thread that adds."""
        if self._greatest is None or self._greatest < key:  # as nearly all keys that are asked for
            return None
        entries = self._all_entries()
        return decode_key(entries[self._bound(encode_key(*key))][:-_INDEX_BYTES])

    def index_of(self, key: Key) -> int | None:
        """Return the index of the event with a key. For the thread that adds."""
        if self._greatest is None or self._greatest < key:
            return None
        return next((at for at in self.indexes_of([encode_key(*key)]) if at >= 0), None)

    def indexes_of(self, keys: Sequence[bytes]) -> list[int]:
        """Return the index of the event with each key, -1 for a key that is not here. For the thread that
        adds.
        """
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
            if self.size_bytes > READ_BYTES_MAX and (fitting := self._fitting(indexes)) < len(indexes):
                return keys[:fitting], indexes[:fitting], True
            return keys, indexes, more

    def _fitting(self, indexes: Sequence[int]) -> int:
        """Return how many events, the first in any case, are read together."""
        messages, extensions, extra = self._messages, self._extensions, self._extra
        texts = [len(messages[at]) + len(extensions[at]) for at in indexes]
        for place, at in enumerate(indexes):
            if more := extra[at]:
                texts[place] += sum([len(name) + len(value) for name, value in more.items()])
        if sum(texts) <= READ_BYTES_MAX:
            return len(indexes)
        return max(1, bisect_right(list(accumulate(texts)), READ_BYTES_MAX))

    def vectors(self) -> StoredVectors:
        """Return all events, in the order of their arrival. No more are added meanwhile."""
        events = StoredVectors.of(self._cut(0, self.extent.events), 0)
        return events._replace(commits=int64s(self._numbers_of_commits[: events.size]))

    def columns(self, indexes: Sequence[int]) -> Columns[int]:
        """Return the events at some indexes, in that order."""
        size = len(indexes)
        if size and indexes[-1] - indexes[0] == size - 1 and _rising(indexes):
            return self._cut(indexes[0], indexes[0] + size)
        severities = self._severities
        return Columns(
            [self._messages[at] for at in indexes],
            [self._source_names[at] for at in indexes],
            [SEVERITIES[severities[at]] for at in indexes],
            [self._types[at] for at in indexes],
            array("q", [self._times[at] for at in indexes]),
            array("q", [self._numbers[at] for at in indexes]),
            array("q", [self._received[at] for at in indexes]),
            [self._users[at] for at in indexes],
            [self._extensions[at] for at in indexes],
            [self._extra[at] for at in indexes],
        )

    def _cut(self, start: int, stop: int) -> Columns[int]:
        severities: list[Severity] = [SEVERITIES[code] for code in self._severities[start:stop]]
        return Columns(
            self._messages[start:stop],
            self._source_names[start:stop],
            severities,
            self._types[start:stop],
            self._times[start:stop],
            self._numbers[start:stop],
            self._received[start:stop],
            self._users[start:stop],
            self._extensions[start:stop],
            self._extra[start:stop],
        )

    def commit_numbers(self, indexes: Sequence[int]) -> list[int]:
        """Return the number of the commit of each event."""
        numbers = self._numbers_of_commits
        return [numbers[at] for at in indexes]


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
    return encode_keys(int64s(times), [source.encode() for source in sources], int64s(numbers), indexes)


def _rising(indexes: Sequence[int]) -> bool:
    return len(indexes) == 1 or list(indexes) == list(range(indexes[0], indexes[0] + len(indexes)))

"""Young events in the order of their arrival, as columns that only grow: an index stays valid; pure.

1. What is added waits as it came, as columns or vectors of a whole commit. It is joined to the columns when
   somebody asks for single events: a stream that nobody reads meanwhile goes into blocks as it came.
2. One thread adds; others read what was there before. Columns are changed by calls into C under a lock. A
   join that was interrupted is done again by the next one: each part has its own place in the columns.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import accumulate, compress, groupby
from operator import not_
from sys import getsizeof
from typing import Any, NamedTuple

from yamcs_archive.columns import NO_EXTENSIONS, NO_EXTRA, Columns
from yamcs_archive.event import SEVERITIES, Severity
from yamcs_archive.event_vectors import StoredVectors, int64s
from yamcs_archive.limits import READ_BYTES_MAX
from yamcs_archive.storage.format.keys import Key, Keys

_EVENT_BYTES = 250
"""Memory of an event without its texts: its key, references in columns, integers."""
_SEARCHED_PARTS_MAX = 8
"""Most vectors that are searched one after the other."""
_TEXT_BYTES = getsizeof("")
"""Memory of a text of ASCII beside its characters."""


class _Part(NamedTuple):
    """Events that were added together, and the index of the first one."""

    start: int
    events: Columns[int] | StoredVectors
    commits: Sequence[int]

    @property
    def in_vectors(self) -> bool:
        return isinstance(self.events, StoredVectors)


class Arrivals:
    """The events of a memory table, by index."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Part] = deque()
        self._added = 0
        self._times, self._numbers, self._received = array("q"), array("q"), array("q")
        self._commits = array("q")
        self._severities = bytearray()
        self._messages: list[str] = []
        self._sources: list[str] = []
        self._types: list[str | None] = []
        self._users: list[str | None] = []
        self._extensions: list[bytes] = []
        self._extra: list[dict[str, str]] = []

    def add(self, events: Columns[int] | StoredVectors, commits: Sequence[int]) -> None:
        """Add events, which have the numbers of their commits."""
        self._waiting.append(_Part(self._added, events, commits))
        self._added += events.size

    def add_one(self, one: Columns[int], commit: int) -> None:
        """Add an event at once: as a part by itself it would take three times the memory."""
        self.join()
        message, source, severity, kind, time, number, received, user, extensions, extra = one
        numbered: Any = number[0]
        self._times.append(time[0])
        self._numbers.append(numbered)
        self._received.append(received[0])
        self._commits.append(commit)
        self._severities.append(severity[0])
        self._messages.append(message[0])
        self._sources.append(source[0])
        self._types.append(kind[0])
        self._users.append(user[0])
        self._extensions.append(extensions[0])
        self._extra.append(extra[0])
        self._added += 1

    def join(self) -> None:
        """Join what waits to the columns, as all that follows asks for."""
        if self._waiting:
            with self._lock:
                while self._waiting:
                    self._put(self._waiting[0])
                    self._waiting.popleft()

    def _put(self, part: _Part) -> None:
        events = part.events
        columns = _decoded(events) if isinstance(events, StoredVectors) else events
        message, source, severity, kind, time, number, received, user, extensions, extra = columns
        numbered: Any = number
        own = slice(part.start, part.start + len(message))
        self._times[own] = _int64s(time)
        self._numbers[own] = _int64s(numbered)
        self._received[own] = _int64s(received)
        self._commits[own] = _int64s(part.commits)
        self._severities[own] = bytes(severity)
        self._messages[own] = message
        self._sources[own] = source
        self._types[own] = kind
        self._users[own] = user
        self._extensions[own] = extensions
        self._extra[own] = extra

    def unjoined(self) -> list[tuple[int, Keys]] | None:
        """Return the keys of all events, if they wait as a few vectors: the index of the first event of each,
        and its keys, which are in order.
        """
        with self._lock:
            waiting = list(self._waiting)
        if not waiting or waiting[0].start or len(waiting) > _SEARCHED_PARTS_MAX:
            return None
        found = [
            (part.start, Keys.of(part.events)) for part in waiting if isinstance(part.events, StoredVectors)
        ]
        return found if len(found) == len(waiting) else None

    def key(self, at: int) -> Key:
        """Return the key of an event."""
        return self._times[at], self._sources[at], self._numbers[at]

    def keys(self, start: int, stop: int) -> tuple[array[int], list[str], array[int]]:
        """Return times, sources and numbers of the events from ``start`` up to ``stop``."""
        self.join()
        return self._times[start:stop], self._sources[start:stop], self._numbers[start:stop]

    def columns(self, indexes: Sequence[int]) -> Columns[int]:
        """Return the events at some indexes, in that order."""
        self.join()
        size = len(indexes)
        if size and indexes[-1] - indexes[0] == size - 1 and _rising(indexes):
            return self._cut(indexes[0], indexes[0] + size)
        severities = self._severities
        return Columns(
            [self._messages[at] for at in indexes],
            [self._sources[at] for at in indexes],
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
            self._sources[start:stop],
            severities,
            self._types[start:stop],
            self._times[start:stop],
            self._numbers[start:stop],
            self._received[start:stop],
            self._users[start:stop],
            self._extensions[start:stop],
            self._extra[start:stop],
        )

    def commits(self, indexes: Sequence[int]) -> list[int]:
        """Return the number of the commit of each event."""
        self.join()
        numbers = self._commits
        return [numbers[at] for at in indexes]

    def vectors(self) -> StoredVectors:
        """Return all events. No more are added meanwhile; what waits goes on waiting."""
        with self._lock:
            waiting = list(self._waiting)
            joined = waiting[0].start if waiting else self._added
            parts = []
            if joined:
                parts.append(_Part(0, self._cut(0, joined), self._commits[:joined]))
        parts += waiting
        found = []
        for in_vectors, group in groupby(parts, lambda part: part.in_vectors):
            together = list(group)
            events = [part.events for part in together]
            if in_vectors:
                vectors = StoredVectors.concat([each for each in events if isinstance(each, StoredVectors)])
            else:
                columns = Columns.concat([each for each in events if isinstance(each, Columns)])
                vectors = StoredVectors.of(columns, 0)
            commits = array("q", b"".join([_int64s(part.commits).tobytes() for part in together]))
            found.append(vectors._replace(commits=int64s(commits)))
        return StoredVectors.concat(found)

    def fitting(self, indexes: Sequence[int]) -> int:
        """Return how many events, the first in any case, are read together."""
        messages, extensions, extra = self._messages, self._extensions, self._extra
        texts = [len(messages[at]) + len(extensions[at]) for at in indexes]
        for place, at in enumerate(indexes):
            if more := extra[at]:
                texts[place] += sum([len(name) + len(value) for name, value in more.items()])
        if sum(texts) <= READ_BYTES_MAX:
            return len(indexes)
        return max(1, bisect_right(list(accumulate(texts)), READ_BYTES_MAX))


def memory_of(events: Columns[int] | StoredVectors) -> int:
    """Return the bytes of memory that events take in a table."""
    if isinstance(events, StoredVectors):
        messages, kinds, users = events.messages, events.types.values, events.users.values
        attached: tuple[Sequence[bytes], Sequence[dict[str, str]]] = (
            events.extensions or (),
            events.extra or (),
        )
    else:
        messages, kinds, users = events.message, events.type, events.created_by
        attached = events.extensions, events.extra
    size = _EVENT_BYTES * len(messages) + _memory_of_texts(messages)
    for texts in (kinds, users):
        if not (texts and texts[0] is None and texts.count(None) == len(texts)):
            size += _memory_of_texts([text for text in texts if text is not None])
    if any(attached[0]):
        size += sum(map(getsizeof, attached[0]))
    for more in attached[1]:
        if more:
            size += getsizeof(more) + sum(map(getsizeof, more)) + sum(map(getsizeof, more.values()))
    return size


def memory_of_one(one: Columns[int]) -> int:
    """Return the same for one event, in a third of the time."""
    if one.created_by[0] is not None or one.extensions[0] or one.extra[0]:
        return memory_of(one)
    kind = one.type[0]
    return _EVENT_BYTES + getsizeof(one.message[0]) + (0 if kind is None else getsizeof(kind))


def _memory_of_texts(texts: Sequence[str]) -> int:
    """Return the bytes of memory of some texts, in a fifth of the time of asking for the size of each."""
    size = _TEXT_BYTES * len(texts) + sum(map(len, texts))
    are_ascii = list(map(str.isascii, texts))
    for text in compress(texts, map(not_, are_ascii)) if not all(are_ascii) else ():
        size += getsizeof(text) - _TEXT_BYTES - len(text)
    return size


def _decoded(events: StoredVectors) -> Columns[int]:
    nothing: list[Any] = [NO_EXTENSIONS] * events.size
    no_extra: list[Any] = [NO_EXTRA] * events.size
    severities: Any = events.severities
    return Columns(
        events.messages,
        events.sources.decoded(),
        severities,
        events.types.decoded(),
        array("q", events.times.tobytes()),
        array("q", events.numbers.tobytes()),
        array("q", events.received.tobytes()),
        events.users.decoded(),
        events.extensions or nothing,
        events.extra or no_extra,
    )


def _int64s(values: Sequence[int]) -> array[int]:
    return values if type(values) is array else array("q", values)


def _rising(indexes: Sequence[int]) -> bool:
    return len(indexes) == 1 or list(indexes) == list(range(indexes[0], indexes[0] + len(indexes)))

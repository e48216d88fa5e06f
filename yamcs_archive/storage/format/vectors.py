"""Events as vectors: what blocks are made from and decoded to; pure.

1. One numpy vector for each field that is a number, a table and an index for each that is one of few
   texts, plain lists for the rest. Whatever is done to thousands of events is one call for each field:
   the interpreter's share of an event's way into a block is a few hundred nanoseconds.
2. Events that are complete (each has its numbers and times) and their commits' numbers; of any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yamcs_archive.columns import TABLE_TEXT_MAX, Columns
from yamcs_archive.event import SEVERITIES, Event
from yamcs_archive.storage.format.dictionary import DictColumn, dict_encode, joined_codes
from yamcs_archive.storage.format.integers import Int64s, int64s
from yamcs_archive.storage.format.keys import Key, Keys, key_order

_SEVERITIES = np.array(SEVERITIES, dtype=object)
_NUMBERS = ("times", "numbers", "received", "commits", "severities")
_TEXTS = ("sources", "types", "users")
_FEW = 8
"""Of a list of so many more, values are picked one by one; else all at once, by numpy."""


def picked(values: list[Any], places: npt.NDArray[np.intp]) -> list[Any]:
    """Return the values at some places, in that order.

    >>> picked(["a", "b"], np.array([1, 0, 1]))
    ['b', 'a', 'b']
    """
    if len(places) * _FEW < len(values):
        return [values[place] for place in places.tolist()]
    found: list[Any] = np.array(values, dtype=object)[places].tolist()
    return found


class Vectors(NamedTuple):
    """The fields of some events, and the number of the commit that stored each."""

    times: Int64s
    """Generation times, microseconds since 1970."""
    numbers: Int64s
    received: Int64s
    """Reception times, microseconds since 1970."""
    commits: Int64s
    severities: npt.NDArray[np.uint8]
    sources: DictColumn
    types: DictColumn
    users: DictColumn
    messages: list[str]
    extensions: list[bytes] | None
    """None: no event has any."""
    extra: list[dict[str, str]] | None
    """None: no event has any."""

    @property
    def size(self) -> int:
        """How many events there are."""
        return len(self.times)

    def trimmed(self) -> Vectors:
        """Return the same events with nothing in the tables that none of them has."""
        return self._replace(sources=self.sources.used(), types=self.types.used(), users=self.users.used())

    def stored_by(self, commit: int) -> Vectors:
        """Return the same events with one commit's number."""
        return self._replace(commits=np.full(self.size, commit, np.int64))

    def key(self, at: int) -> Key:
        """Return the key of one event."""
        return self.keys.key(at)

    @property
    def keys(self) -> Keys:
        """The keys of all events."""
        return Keys(self.times, self.sources, self.numbers)

    def cut(self, start: int, stop: int) -> Vectors:
        """Return the events from ``start`` up to ``stop``."""
        return self._each(lambda column: column[start:stop])

    def take(self, places: Sequence[int] | npt.NDArray[np.intp]) -> Vectors:
        """Return the events at ``places``, in that order."""
        order = np.asarray(places, np.intp)
        return self._each(lambda column: picked(column, order) if isinstance(column, list) else column[order])

    def _each(self, part: Any) -> Vectors:
        return Vectors._make(
            None
            if column is None
            else column._replace(codes=part(column.codes))
            if isinstance(column, DictColumn)
            else part(column)
            for column in self
        )

    def in_key_order(self) -> Vectors:
        """Return the events in the order of their keys."""
        order = key_order(self.times, partial(_source_and_number, self))
        return self if order is None else self.take(order)

    def event(self, at: int) -> Event:
        """Return one event."""
        return next(self.take([at]).events())

    def events(self, *, descending: bool = False) -> Iterator[Event]:
        """Yield the events one by one, from the last to the first if ``descending``."""
        fields: list[list[Any]] = [
            self.messages,
            self.sources.decoded(),
            _SEVERITIES[self.severities].tolist(),
            self.types.decoded(),
            self.times.tolist(),
            self.numbers.tolist(),
            self.received.tolist(),
        ]
        if self.users.values != [None] or self.extensions or self.extra:
            fields += [
                self.users.decoded(),
                self.extensions or [b""] * self.size,
                # Copies, because these may be encoded again while somebody has the event.
                list(map(dict, self.extra or [{}] * self.size)),
            ]
        # What no event has is left to the defaults: to hand it over costs a third of a whole scan.
        return map(Event, *map(reversed, fields)) if descending else map(Event, *fields)

    def sizes(self) -> list[int]:
        """Return about how many bytes of text each event has; characters count as one."""
        found = list(map(len, self.messages))
        for column in (self.types, self.users):
            if _has_long_text(column):
                found = [size + len(text or "") for size, text in zip(found, column.decoded(), strict=True)]
        if self.extensions is not None:
            found = [size + len(more) for size, more in zip(found, self.extensions, strict=True)]
        if self.extra is not None:
            found = [
                size + sum(len(name) + len(value) for name, value in more.items())
                for size, more in zip(found, self.extra, strict=True)
            ]
        return found

    def text_bytes(self) -> int:
        """Return about how many bytes of text all events have; characters count as one."""
        if self.has_attached():
            return sum(self.sizes())
        # Joining messages is the cheapest way to measure them: a third of summing lengths.
        return len("".join(self.messages))

    def has_attached(self) -> bool:
        """Say whether events have more than their messages that counts: extra, extensions, long texts."""
        attached = self.extensions is not None or self.extra is not None
        return attached or _has_long_text(self.types) or _has_long_text(self.users)


def same(one: Vectors, other: Vectors) -> bool:
    """Return whether two have the same events, in the same order and of the same commits.

    >>> from yamcs_archive import Event
    >>> events = [Event(name, generation_time=1, seq_number=1, reception_time=1) for name in ("a", "b")]
    >>> one, other = (vectors(Columns.of([event]), commit=1) for event in events)
    >>> same(one, one.trimmed()), same(one, other), same(one, one.stored_by(2))
    (True, False, False)
    """
    return (
        all(_same_numbers(getattr(one, name), getattr(other, name)) for name in _NUMBERS)
        and all(_same_texts(getattr(one, name), getattr(other, name)) for name in _TEXTS)
        and one.messages == other.messages
        and (one.extensions or [b""] * one.size) == (other.extensions or [b""] * other.size)
        and (one.extra or [{}] * one.size) == (other.extra or [{}] * other.size)
    )


def _same_numbers(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    return np.array_equal(one, other)


def _same_texts(one: DictColumn, other: DictColumn) -> bool:
    place = {text: at for at, text in enumerate(one.values)}
    there = np.array([place.get(text, -1) for text in other.values], np.int32)
    return len(one.codes) == len(other.codes) and bool((there[other.codes] == one.codes).all())


def _has_long_text(column: DictColumn) -> bool:
    return any(text is not None and len(text) > TABLE_TEXT_MAX for text in column.values)


def _source_and_number(vectors: Vectors, at: int) -> tuple[str, int]:
    return vectors.key(at)[1:]


def vectors(columns: Columns[int], commit: int) -> Vectors:
    """Return complete events that one commit stores, as vectors.

    >>> from yamcs_archive import Event
    >>> event = Event("a", generation_time=1, seq_number=2, reception_time=3)
    >>> list(vectors(Columns.of([event]), commit=4).events()) == [event]
    True
    """
    numbers: Any = columns.seq_number
    return Vectors(
        int64s(columns.generation_time),
        int64s(numbers),
        int64s(columns.reception_time),
        np.full(len(columns.message), commit, np.int64),
        np.frombuffer(bytes(columns.severity), np.uint8),
        dict_encode(columns.source),
        dict_encode(columns.type),
        dict_encode(columns.created_by),
        columns.message,
        columns.extensions if any(columns.extensions) else None,
        columns.extra if any(columns.extra) else None,
    )


def joined(parts: Sequence[Vectors]) -> Vectors:
    """Return the events of all parts, one after another; there may be none.

    >>> from yamcs_archive import Event
    >>> events = [Event(name, name, generation_time=1, seq_number=1, reception_time=1) for name in ("a", "b")]
    >>> parts = [vectors(Columns.of([event]), commit=1) for event in events]
    >>> joined(parts).sources.decoded(), joined(parts).messages
    (['a', 'b'], ['a', 'b'])
    """
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return vectors(Columns._make([] for _ in Columns._fields), commit=0)
    return Vectors(
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.received for part in parts]),
        np.concatenate([part.commits for part in parts]),
        np.concatenate([part.severities for part in parts]),
        joined_codes([part.sources for part in parts]),
        joined_codes([part.types for part in parts]),
        joined_codes([part.users for part in parts]),
        [message for part in parts for message in part.messages],
        _joined_lists([(part.extensions, part.size) for part in parts], bytes),
        _joined_lists([(part.extra, part.size) for part in parts], dict),
    )


def _joined_lists(parts: Sequence[tuple[list[Any] | None, int]], nothing: Any) -> list[Any] | None:
    if all(part is None for part, _ in parts):
        return None
    return [value for part, size in parts for value in (part or (nothing() for _ in range(size)))]

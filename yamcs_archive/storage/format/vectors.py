"""Events as vectors: the form in which blocks are encoded and decoded; pure.

1. A numpy vector for each field that is a number, dictionary encoding for texts of which few are distinct,
   plain lists for the rest. Work on thousands of events is one call for each field, so the interpreter's
   share of an event's way into a block is a few hundred nanoseconds.
2. Events are complete (each has its number and times), with the numbers of their commits; in any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yamcs_archive.columns import TABLE_TEXT_MAX, Columns
from yamcs_archive.event import SEVERITIES, Event
from yamcs_archive.storage.format.dictionary import DictColumn, dict_encode
from yamcs_archive.storage.format.integers import Int64s, int64s
from yamcs_archive.storage.format.keys import Indexes, Key, Keys, key_order

_SEVERITIES = np.array(SEVERITIES, dtype=object)
_NUMBERS = ("times", "numbers", "received", "commits", "severities")
_TEXTS = ("sources", "types", "users")
_PICKED_SHARE = 8
"""Less than 1 in 8 values of a list are picked one by one, more all at once, by numpy."""


def pick_values(values: list[Any], indexes: Indexes) -> list[Any]:
    """Return the values at some indexes, in that order.

    >>> pick_values(["a", "b"], np.array([1, 0, 1]))
    ['b', 'a', 'b']
    """
    if len(indexes) * _PICKED_SHARE < len(values):
        return [values[index] for index in indexes.tolist()]
    found: list[Any] = np.array(values, dtype=object)[indexes].tolist()
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

    @classmethod
    def of(cls, columns: Columns[int], commit: int) -> Vectors:
        """Return the vectors of complete events that one commit stores.

        >>> event = Event("a", generation_time=1, seq_number=2, reception_time=3)
        >>> list(Vectors.of(Columns.of([event]), commit=4).events()) == [event]
        True
        """
        numbers: Any = columns.seq_number
        return cls(
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

    @classmethod
    def concat(cls, parts: Sequence[Vectors]) -> Vectors:
        """Return the events of all parts, in the order of the parts; there may be none.

        >>> events = [Event(name, name, generation_time=1, seq_number=1, reception_time=1) for name in "ab"]
        >>> both = Vectors.concat([Vectors.of(Columns.of([event]), commit=1) for event in events])
        >>> both.sources.decoded(), both.messages
        (['a', 'b'], ['a', 'b'])
        """
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.of(Columns.of([]), commit=0)
        return cls(
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.received for part in parts]),
            np.concatenate([part.commits for part in parts]),
            np.concatenate([part.severities for part in parts]),
            DictColumn.concat([part.sources for part in parts]),
            DictColumn.concat([part.types for part in parts]),
            DictColumn.concat([part.users for part in parts]),
            [message for part in parts for message in part.messages],
            _concat([(part.extensions, part.size) for part in parts], bytes),
            _concat([(part.extra, part.size) for part in parts], dict),
        )

    @property
    def size(self) -> int:
        """The number of events."""
        return len(self.times)

    def trimmed(self) -> Vectors:
        """Return the same events without dictionary values that none of them has."""
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

    def take(self, indexes: Sequence[int] | Indexes) -> Vectors:
        """Return the events at ``indexes``, in that order."""
        order = np.asarray(indexes, np.intp)
        return self._each(
            lambda column: pick_values(column, order) if isinstance(column, list) else column[order]
        )

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
        """Yield the events, from the last to the first if ``descending``."""
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
                # Copies, because a caller may change the event's, and these may be encoded again.
                list(map(dict, self.extra or [{}] * self.size)),
            ]
        # A field that no event has is left to its default: to pass it would cost a third of a whole scan.
        return map(Event, *map(reversed, fields)) if descending else map(Event, *fields)

    def same_as(self, other: Vectors) -> bool:
        """Return whether the other has the same events, in the same order and of the same commits.

        >>> events = [Event(name, generation_time=1, seq_number=1, reception_time=1) for name in "ab"]
        >>> one, other = (Vectors.of(Columns.of([event]), commit=1) for event in events)
        >>> one.same_as(one.trimmed()), one.same_as(other), one.same_as(one.stored_by(2))
        (True, False, False)
        """
        return (
            all(np.array_equal(getattr(self, name), getattr(other, name)) for name in _NUMBERS)
            and all(_same_texts(getattr(self, name), getattr(other, name)) for name in _TEXTS)
            and self.messages == other.messages
            and (self.extensions or [b""] * self.size) == (other.extensions or [b""] * other.size)
            and (self.extra or [{}] * self.size) == (other.extra or [{}] * other.size)
        )

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


def _same_texts(one: DictColumn, other: DictColumn) -> bool:
    code = {text: at for at, text in enumerate(one.values)}
    codes = np.array([code.get(text, -1) for text in other.values], np.int32)
    return len(one.codes) == len(other.codes) and bool((codes[other.codes] == one.codes).all())


def _has_long_text(column: DictColumn) -> bool:
    return any(text is not None and len(text) > TABLE_TEXT_MAX for text in column.values)


def _source_and_number(vectors: Vectors, at: int) -> tuple[str, int]:
    return vectors.key(at)[1:]


def _concat(parts: Sequence[tuple[list[Any] | None, int]], nothing: Any) -> list[Any] | None:
    if all(part is None for part, _ in parts):
        return None
    return [value for part, size in parts for value in (part or (nothing() for _ in range(size)))]

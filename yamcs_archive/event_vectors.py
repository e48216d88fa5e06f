"""Many stored events as vectors: a numpy vector or a list for each field; pure.

1. Numbers are numpy vectors, texts of which few are distinct are dictionary-encoded, and the rest are plain
   lists. Work on thousands of events is one call for each field, so the interpreter's share of an event's way
   into a block, or out of it, is a few hundred nanoseconds.
2. Events are complete (each has its number and times), with the numbers of their commits; in any order.
3. The storage reads and writes blocks in this form, streams and pages are encoded from it, and
   :meth:`~yamcs_archive.Instance.event_vectors` yields it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import yamcs_archive.signal_safe_numpy  # noqa: F401  # before numpy

# isort: split

import numpy as np
import numpy.typing as npt

from yamcs_archive.columns import TABLE_TEXT_MAX, Columns
from yamcs_archive.event import SEVERITIES, Event

Int64s = npt.NDArray[np.int64]
"""A column of integers, as numpy holds it."""
Indexes = npt.NDArray[np.intp]
"""Indexes of events in a column."""

_SEVERITIES = np.array(SEVERITIES, dtype=object)
_NUMBERS = ("times", "numbers", "received", "commits", "severities")
_TEXTS = ("sources", "types", "users")
_PICKED_SHARE = 2
"""Less than half of the values of a list are picked one by one, more by numpy, which reads all."""


def int64s(values: Sequence[int]) -> Int64s:
    """Return integers as numpy holds them; an ``array("q")`` is shared, not copied.

    Raises TypeError for a value that is no int, OverflowError beyond int64.

    >>> int64s([1, 2]).tolist()
    [1, 2]
    """
    # Through an array, which reads a list twice as fast as numpy does.
    return np.frombuffer(values if type(values) is array else array("q", values), np.int64)


def pick_values(values: list[Any], indexes: Indexes) -> list[Any]:
    """Return the values at some indexes, in that order.

    >>> pick_values(["a", "b"], np.array([1, 0, 1]))
    ['b', 'a', 'b']
    """
    if len(indexes) * _PICKED_SHARE < len(values):
        return [values[index] for index in indexes.tolist()]
    found: list[Any] = np.array(values, dtype=object)[indexes].tolist()
    return found


class DictColumn(NamedTuple):
    """A column of texts, or None, of which few are distinct."""

    values: list[Any]
    codes: npt.NDArray[np.int32]
    """The index of each event's value."""

    @classmethod
    def concat(cls, parts: Sequence[DictColumn]) -> DictColumn:
        """Return the columns of all parts as one.

        >>> DictColumn.concat([dict_encode(["a"]), dict_encode(["b", "a"])]).decoded()
        ['a', 'b', 'a']
        """
        code = Codes()
        codes = [np.zeros(0, np.int32)]
        values: list[Any] | None = None
        for part in parts:
            if part.values != values:  # neighbours often have the same, such as all sources
                values = part.values
                new = np.fromiter(map(code.__getitem__, values), np.int32, len(values))
            codes.append(new.take(part.codes))
        return cls(list(code), np.concatenate(codes))

    def decoded(self) -> list[Any]:
        """Return the column."""
        if len(self.values) == 1:
            return self.values * len(self.codes)
        found: list[Any] = np.array(self.values, dtype=object)[self.codes].tolist()
        return found

    def used(self) -> DictColumn:
        """Return the same column without the values that no event has.

        >>> dict_encode(["a", "b"])._replace(codes=np.zeros(0, np.int32)).used().values
        []
        """
        if len(self.values) == 1 and len(self.codes):
            return self
        kept = np.flatnonzero(np.bincount(self.codes, minlength=len(self.values)))
        return self if len(kept) == len(self.values) else self._with_values(kept)

    def in_order(self) -> DictColumn:
        """Return the same column with sorted values."""
        order = sorted(range(len(self.values)), key=self.values.__getitem__)
        return self._with_values(np.array(order, np.intp))

    def _with_values(self, kept: npt.NDArray[np.intp]) -> DictColumn:
        """Return the same column with the values at these indexes only, in that order."""
        new_code = np.empty(int(kept.max(initial=-1)) + 1, np.int32)
        new_code[kept] = np.arange(len(kept), dtype=np.int32)
        return DictColumn([self.values[index] for index in kept.tolist()], new_code[self.codes])


def dict_encode(column: Sequence[Any]) -> DictColumn:
    """Return a column, encoded.

    >>> dict_encode(["b", None, "b"])
    DictColumn(values=['b', None], codes=array([0, 1, 0], dtype=int32))
    """
    if column and column[0] is None and column.count(None) == len(column):
        return DictColumn([None], np.zeros(len(column), np.int32))
    code = Codes()
    try:  # as bytes: in half of the time that numpy takes to fetch ints
        codes = np.frombuffer(bytes(map(code.__getitem__, column)), np.uint8).astype(np.int32)
    except ValueError:  # more than 256 distinct values
        codes = np.fromiter(map(code.__getitem__, column), np.int32, len(column))
    return DictColumn(list(code), codes)


class Codes(dict[Any, int]):
    """Gives each new value the next code.

    >>> code = Codes()
    >>> [code[text] for text in "aba"], list(code)
    ([0, 1, 0], ['a', 'b'])
    """

    def __missing__(self, value: Any) -> int:
        self[value] = code = len(self)
        return code


class PackedMessages(NamedTuple):
    """The messages of some events as they are stored, for who wants no Python text of each."""

    text: npt.NDArray[np.uint8]
    """A JSON array of texts, in UTF-8."""
    size: int
    """The number of texts."""
    order: Indexes | None
    """The index of each event's message among all of these; None: they are those of the events."""
    escaped: bool
    """Whether anything in the text is escaped."""
    memory: npt.NDArray[np.uint8] | None = None
    """The text, and as many bytes after it which mean nothing; None: there are none."""


class Vectors(Protocol):
    """The fields of some events, read one by one: what is asked for may be decoded only then.

    They are those of :class:`StoredVectors`, which is the same with all of them at hand.
    """

    @property
    def size(self) -> int:
        """The number of events."""

    @property
    def held_bytes(self) -> int:
        """About the bytes of memory that are held as long as the events are, without messages that are
        packed."""

    @property
    def times(self) -> Int64s:
        """Generation times, microseconds since 1970."""

    @property
    def numbers(self) -> Int64s:
        """Sequence numbers."""

    @property
    def received(self) -> Int64s:
        """Reception times, microseconds since 1970."""

    @property
    def commits(self) -> Int64s:
        """Numbers of commits."""

    @property
    def severities(self) -> npt.NDArray[np.uint8]:
        """Numbers of severities, 0 to 6."""

    @property
    def sources(self) -> DictColumn:
        """Each event's source."""

    @property
    def types(self) -> DictColumn:
        """Each event's type."""

    @property
    def users(self) -> DictColumn:
        """The user that created each event."""

    @property
    def messages(self) -> list[str]:
        """Each event's message."""

    @property
    def packed_messages(self) -> PackedMessages | None:
        """The messages in another form, if the storage has it at hand; it is read before ``messages``."""

    @property
    def extensions(self) -> list[bytes] | None:
        """Each event's extensions; None: no event has any."""

    @property
    def extra(self) -> list[dict[str, str]] | None:
        """Each event's extra; None: no event has any."""


class StoredVectors(NamedTuple):
    """The fields of some events, and the number of the commit that stored each.

    >>> event = Event("Wheel", source="AOCS", generation_time=1, seq_number=2, reception_time=3)
    >>> found = StoredVectors.of(Columns.of([event]), commit=4)
    >>> found.size, found.times.tolist(), found.sources.decoded(), found.messages
    (1, [1], ['AOCS'], ['Wheel'])
    """

    times: Int64s
    """Generation times, microseconds since 1970."""
    numbers: Int64s
    """Sequence numbers."""
    received: Int64s
    """Reception times, microseconds since 1970."""
    commits: Int64s
    """Numbers of commits, from 1; 0 where the commit is not known, or not made yet."""
    severities: npt.NDArray[np.uint8]
    """Numbers of severities, 0 to 6."""
    sources: DictColumn
    types: DictColumn
    users: DictColumn
    """The users that created the events; None for an event without one."""
    messages: list[str]
    extensions: list[bytes] | None
    """None: no event has any."""
    extra: list[dict[str, str]] | None
    """None: no event has any."""

    @classmethod
    def of(cls, columns: Columns[int], commit: int) -> StoredVectors:
        """Return the vectors of complete events that one commit stores."""
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
    def concat(cls, parts: Sequence[StoredVectors]) -> StoredVectors:
        """Return the events of all parts, in the order of the parts; there may be none.

        >>> events = [Event(name, name, generation_time=1, seq_number=1, reception_time=1) for name in "ab"]
        >>> both = StoredVectors.concat([StoredVectors.of(Columns.of([event]), commit=1) for event in events])
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

    @property
    def packed_messages(self) -> None:
        """See :class:`Vectors`: they are at hand as texts."""
        return

    @property
    def held_bytes(self) -> int:
        """See :class:`Vectors`."""
        return self.text_bytes()

    def trimmed(self) -> StoredVectors:
        """Return the same events without dictionary values that none of them has."""
        return self._replace(sources=self.sources.used(), types=self.types.used(), users=self.users.used())

    def stored_by(self, commit: int) -> StoredVectors:
        """Return the same events with one commit's number."""
        return self._replace(commits=np.full(self.size, commit, np.int64))

    def key(self, at: int) -> tuple[int, str, int]:
        """Return the key of one event: time, source, number."""
        return int(self.times[at]), self.sources.values[self.sources.codes[at]], int(self.numbers[at])

    def cut(self, start: int, stop: int) -> StoredVectors:
        """Return the events from ``start`` up to ``stop``."""
        return self._each(lambda column: column[start:stop])

    def take(self, indexes: Sequence[int] | Indexes) -> StoredVectors:
        """Return the events at ``indexes``, in that order."""
        order = np.asarray(indexes, np.intp)
        return self._each(
            lambda column: pick_values(column, order) if isinstance(column, list) else column[order]
        )

    def _each(self, part: Any) -> StoredVectors:
        return StoredVectors._make(
            None
            if column is None
            else column._replace(codes=part(column.codes))
            if isinstance(column, DictColumn)
            else part(column)
            for column in self
        )

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

    def same_as(self, other: StoredVectors) -> bool:
        """Return whether the other has the same events, in the same order and of the same commits.

        >>> events = [Event(name, generation_time=1, seq_number=1, reception_time=1) for name in "ab"]
        >>> one, other = (StoredVectors.of(Columns.of([event]), commit=1) for event in events)
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
        attached = self.extensions is not None or self.extra is not None
        if attached or _has_long_text(self.types) or _has_long_text(self.users):
            return sum(self.sizes())
        # Joining messages is the cheapest way to measure them: a third of summing lengths.
        return len("".join(self.messages))


def same_texts(one: DictColumn, other: DictColumn) -> npt.NDArray[np.bool_]:
    """Return for each event whether two columns of equal length have the same text.

    >>> same_texts(dict_encode(["a", None, "b"]), dict_encode(["b", None, "b"])).tolist()
    [False, True, True]
    """
    code = {text: at for at, text in enumerate(one.values)}
    codes = np.array([code.get(text, -1) for text in other.values], np.int32)
    found: npt.NDArray[np.bool_] = codes[other.codes] == one.codes
    return found


def _same_texts(one: DictColumn, other: DictColumn) -> bool:
    return len(one.codes) == len(other.codes) and bool(same_texts(one, other).all())


def _has_long_text(column: DictColumn) -> bool:
    return any(text is not None and len(text) > TABLE_TEXT_MAX for text in column.values)


def _concat(parts: Sequence[tuple[list[Any] | None, int]], nothing: Any) -> list[Any] | None:
    if all(part is None for part, _ in parts):
        return None
    return [value for part, size in parts for value in (part or (nothing() for _ in range(size)))]

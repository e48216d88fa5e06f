"""Many events as columns: one sequence for each field of an event; pure.

1. The columns are in the order of the fields of :class:`~yamcs_archive.event.Event`, so that
   ``map(Event, *columns)`` builds events in C. Columns are processed as a whole, by functions written in C: a
   Python statement for each event would take longer than the event's share of a durable commit.
2. Columns as a caller makes them (``Columns[int | None]``) are unchecked, and their times may be None.
   :func:`~yamcs_archive.storage.write.validation.prepare` checks them and fills in the times; only its
   results (``Columns[int]``) are stored. Automatic numbers stay None until the writer assigns them.
3. A column of ints without None may be an ``array("q")``: the check of bounds makes one, and numpy reads it
   in place.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from sys import getsizeof
from typing import Any, Generic, NamedTuple, TypeVar, cast

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event, Severity, event_bytes, extra_bytes

NO_EXTENSIONS, NO_EXTRA = b"", dict[str, str]()
"""The values of an event without extensions and extra; never changed, and fastest to compare by identity."""
TABLE_TEXT_MAX = 64
"""Longest type or user that budgets ignore, in characters: a block stores each distinct one once."""
_SLOTS_BYTES, _INT_BYTES = 10 * 8, 32
"""Memory of an event's references in its ten columns, and of an int object, in bytes."""

Time_co = TypeVar("Time_co", bound=int | None, covariant=True)


class Columns(NamedTuple, Generic[Time_co]):
    """The fields of some events. Rules and defaults are those of :class:`~yamcs_archive.event.Event`.

    >>> columns = Columns.of([Event("a"), Event("b", source="AOCS")])
    >>> columns.source, columns.seq_number
    (['User', 'AOCS'], [None, None])
    """

    message: list[str]
    source: list[str]
    severity: list[Severity]
    type: list[str | None]
    generation_time: Sequence[Time_co]
    """Microseconds since 1970; None, only before ``prepare``: the archive's clock."""
    seq_number: Sequence[int | None]
    """None: the archive assigns the next number of the source."""
    reception_time: Sequence[Time_co]
    """Microseconds since 1970; None, only before ``prepare``: the archive's clock."""
    created_by: list[str | None]
    extensions: list[bytes]
    extra: list[dict[str, str]]

    @classmethod
    def common(
        cls,
        message: list[str],
        source: list[str],
        severity: list[Severity],
        type: list[str | None],
        *,
        generation_time: Sequence[int | None],
        seq_number: Sequence[int | None],
        extra: list[dict[str, str]] | None = None,
    ) -> Columns[int | None]:
        """Return events that have these fields only; ``extra`` None: no event has any.

        >>> Columns.common(["a"], ["S"], [Severity.INFO], [None], generation_time=[5], seq_number=[7]).extra
        [{}]
        """
        size = len(message)
        nothing: list[Any] = [None] * size
        bare = [NO_EXTRA] * size if extra is None else extra
        ints = generation_time, seq_number
        return Columns(message, source, severity, type, *ints, nothing, nothing, [NO_EXTENSIONS] * size, bare)

    @classmethod
    def of(cls, events: Sequence[Event], *, bare: bool = False) -> Columns[Any]:
        """Return the columns of events as they are; ``bare``: no event has a user, extensions or extra."""
        # A comprehension for each field: four times as fast as msgspec's astuple and zip, which builds
        # and takes apart a tuple for each event.
        return Columns(
            [event.message for event in events],
            [event.source for event in events],
            [event.severity for event in events],
            [event.type for event in events],
            [event.generation_time for event in events],
            [event.seq_number for event in events],
            [event.reception_time for event in events],
            [None] * len(events) if bare else [event.created_by for event in events],
            [NO_EXTENSIONS] * len(events) if bare else [event.extensions for event in events],
            [NO_EXTRA] * len(events) if bare else [event.extra for event in events],
        )

    @classmethod
    def concat(cls, parts: Sequence[Columns[Time_co]]) -> Columns[Time_co]:
        """Return the events of all parts, in the order of the parts; there may be none.

        >>> Columns.concat([Columns.of([Event("a")]), Columns.of([Event("b")])]).message
        ['a', 'b']
        """
        if len(parts) == 1:
            return parts[0]
        return Columns._make(_concat([part[nth] for part in parts]) for nth in range(len(cls._fields)))

    @property
    def size(self) -> int:
        """The number of events."""
        return len(self.message)

    @property
    def numbered(self) -> bool:
        """True if each event has its number."""
        return type(self.seq_number) is array or None not in self.seq_number

    def check_form(self) -> None:
        """Raise InvalidInputError unless each column has a value for each event.

        The rules of events are checked by ``prepare``.

        >>> Columns.of([Event("a")])._replace(source=[]).check_form()
        Traceback (most recent call last):
          ...
        yamcs_archive.errors.InvalidInputError: source []: must be a column of 1 values
        """
        for name, column in zip(self._fields, self, strict=True):
            if not (type(column) is list or (type(column) is array and column.typecode == "q")):
                raise InvalidInputError(name, column, "must be a column: a list, or of ints an array('q')")
            if len(column) != self.size:
                raise InvalidInputError(name, column, f"must be a column of {self.size} values")

    def event(self, index: int) -> Event:
        """Return one event."""
        fields: list[Any] = [column[index] for column in self]
        fields[-1] = dict(fields[-1])  # the extra, which the event's owner may change
        return Event(*fields)

    def events(self) -> list[Event]:
        """Return all events; unchecked ones too."""
        owned = [dict(extra) if type(extra) is dict else extra for extra in self.extra]
        columns: list[Any] = [*self[:-1], owned]
        return list(map(Event, *columns))

    def key(self, index: int) -> tuple[Time_co, str, int]:
        """Return the key of one event, which must be numbered: time, source, number."""
        number: Any = self.seq_number[index]
        return self.generation_time[index], self.source[index], number

    def keys(self) -> list[tuple[Time_co, str, int]]:
        """Return the key of each event, which must all be numbered: time, source, number."""
        columns: tuple[Sequence[Time_co], list[str], Any] = self.generation_time, self.source, self.seq_number
        return list(zip(*columns, strict=True))

    def cut(self, start: int, stop: int) -> Columns[Time_co]:
        """Return the events from ``start`` up to ``stop``."""
        return Columns._make([column[start:stop] for column in self])

    def take(self, indexes: Sequence[int]) -> Columns[Time_co]:
        """Return the events at ``indexes``, in that order."""
        if len(indexes) == 1:
            return Columns._make([[column[indexes[0]]] for column in self])
        pick: Callable[[Any], Iterable[Any]] = itemgetter(*indexes) if indexes else lambda _: ()

        return Columns._make(
            [array("q", pick(column)) if type(column) is array else list(pick(column)) for column in self]
        )

    def attached(self) -> Iterator[int]:
        """Yield the indexes of events that have extensions or extra, or an invalid value for either."""
        size = self.size
        if self.extensions.count(NO_EXTENSIONS) == size and self.extra.count(NO_EXTRA) == size:
            return iter(())
        both = zip(self.extensions, self.extra, strict=True)
        return (at for at, (extensions, extra) in enumerate(both) if extensions != b"" or extra != {})

    def has_attached(self) -> bool:
        """Return whether budgets count more texts of the events than messages: extra, extensions, long texts.

        >>> Columns.of([Event("abc", type="short")]).has_attached()
        False
        """
        if next(self.attached(), None) is not None:
            return True
        texts = (distinct(self.type), distinct(self.created_by))
        return any(len(text) > TABLE_TEXT_MAX for column in texts for text in column)

    def sizes(self) -> list[int]:
        """Return the approximate bytes of text of each event, as ``event_bytes`` counts, without its source.

        >>> Columns.of([Event("abc"), Event("a", type="b" * 100)]).sizes()
        [3, 101]
        """
        found = list(map(len, self.message))
        if self.has_attached():
            for index, (kind, user, extensions, extra) in enumerate(
                zip(self.type, self.created_by, self.extensions, self.extra, strict=True)
            ):
                found[index] += len(kind or "") + len(user or "") + len(extensions)
                found[index] += extra_bytes(extra)
        return found

    @property
    def text_bytes(self) -> int:
        """The approximate bytes of text of all events, for budgets; each character counts as one.

        >>> from yamcs_archive.event import EXTRA_PAIR_BYTES
        >>> Columns.of([Event("abc", extra={"a": "bc"})] * 2).text_bytes == 2 * (6 + EXTRA_PAIR_BYTES)
        True
        """
        if len(self.message) == 1:
            if not (self.extensions[0] or self.extra[0]):  # in a third of the time
                more = len(self.type[0] or "") + len(self.created_by[0] or "")
                return len(self.message[0]) + len(self.source[0]) + more
            return event_bytes(self.event(0))
        return sum(self.sizes() if self.has_attached() else map(len, self.message))

    @property
    def memory_bytes(self) -> int:
        """The approximate bytes of memory of the events: their texts as Python objects, and their columns.

        >>> few, many = [Columns.of([Event("a") for _ in range(size)]) for size in (1, 1000)]
        >>> few.memory_bytes > 200, many.memory_bytes > 100 * 1000
        (True, True)
        """
        if len(self.message) == 1 and not (self.extensions[0] or self.extra[0]):  # in a fifth of the time
            only = (self.message[0], self.source[0], self.type[0], self.created_by[0])
            return _SLOTS_BYTES + 3 * _INT_BYTES + sum([getsizeof(text) for text in only if text is not None])
        ints = (self.generation_time, self.seq_number, self.reception_time)
        size = self.size * _SLOTS_BYTES
        size += sum(_INT_BYTES for column in ints if type(column) is not array) * self.size
        size += sum(sum(map(getsizeof, column)) for column in (self.message, self.source))
        for texts in (self.type, self.created_by):
            if texts.count(None) < len(texts):
                size += sum(map(getsizeof, texts))
        for extensions, extra in zip(self.extensions, self.extra, strict=True):
            if extensions or extra:
                size += getsizeof(extensions) + getsizeof(extra)
                size += sum(map(getsizeof, chain(extra, extra.values())))
        return size

    def cut_by_size(self, bytes_max: int) -> Iterator[Columns[Time_co]]:
        """Yield the events in parts of about ``bytes_max`` bytes of text; a larger event is a part by itself.

        >>> [part.size for part in Columns.of([Event("abc") for _ in range(5)]).cut_by_size(10)]
        [3, 2]
        """
        if len(self.message) == 1 or (not self.has_attached() and sum(map(len, self.message)) <= bytes_max):
            yield self
            return
        start = size_bytes = 0
        for at, more in enumerate(self.sizes()):
            if size_bytes and size_bytes + more > bytes_max:
                yield self.cut(start, at)
                start, size_bytes = at, 0
            size_bytes += more
        yield self.cut(start, self.size)


def distinct(column: list[str | None]) -> set[str]:
    """Return the texts that occur in a column.

    >>> distinct(["a", None, "a"])
    {'a'}
    """
    if column and column[0] is None and column.count(None) == len(column):
        return set()
    found = set(column)
    found.discard(None)
    return cast(set[str], found)


def _concat(parts: list[Sequence[Any]]) -> Sequence[Any]:
    """Return the values of all parts of a column: an ``array("q")`` where each part is one."""
    if parts and all(type(part) is array for part in parts):
        return array("q", b"".join(map(bytes, parts)))
    found: list[Any] = []
    for part in parts:
        found += part
    return found

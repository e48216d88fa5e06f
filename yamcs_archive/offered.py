"""Many events as columns, as they are offered to the archive: nothing is checked yet; pure.

Whoever reads thousands of events at once has them as columns, and the storage wants columns: to build an
event of each in between, only to take it apart again, would cost as much as reading it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event, Severity, extra_bytes

NO_EXTENSIONS, NO_EXTRA = b"", dict[str, str]()
"""What an event without extensions and extra has; never changed. To be told by identity costs the least."""


class Offered(NamedTuple):
    """The fields of some events, in the order of those of :class:`~yamcs_archive.event.Event`.

    Columns of ints that hold no None may be ``array("q")``. Rules and defaults are those of events.

    >>> Offered.of([Event("a"), Event("b", source="AOCS")]).source
    ['User', 'AOCS']
    """

    message: list[str]
    source: list[str]
    severity: list[Severity]
    type: list[str | None]
    generation_time: Sequence[int | None]
    """Microseconds since 1970; None: the archive's clock."""
    seq_number: Sequence[int | None]
    reception_time: Sequence[int | None]
    """Microseconds since 1970; None: the archive's clock."""
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
    ) -> Offered:
        """Return events that have no more than these fields; ``extra`` None: none has any.

        >>> Offered.common(["a"], ["S"], [Severity.INFO], [None], generation_time=[5], seq_number=[7]).extra
        [{}]
        """
        size = len(message)
        nothing: list[Any] = [None] * size
        bare = [NO_EXTRA] * size if extra is None else extra
        ints = generation_time, seq_number
        return cls(message, source, severity, type, *ints, nothing, nothing, [NO_EXTENSIONS] * size, bare)

    @classmethod
    def of(cls, events: Sequence[Event], *, bare: bool = False) -> Offered:
        """Return the columns of events; ``bare``: none has user, extensions or extra."""
        # A comprehension for each field: four times as fast as msgspec's astuple and zip, which builds
        # and takes apart a tuple for each event.
        return cls(
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

    @property
    def size(self) -> int:
        """How many events there are."""
        return len(self.message)

    @property
    def text_bytes(self) -> int:
        """About the number of their bytes, for budgets, as :func:`~yamcs_archive.event.event_bytes` counts,
        without types and users, of which there are few different ones.

        >>> from yamcs_archive.event import EXTRA_PAIR_BYTES
        >>> Offered.of([Event("abc", extra={"a": "bc"})]).text_bytes == 6 + EXTRA_PAIR_BYTES
        True
        """
        size = sum(map(len, self.message)) + sum(map(len, self.extensions))
        if self.extra.count(NO_EXTRA) < len(self.extra):
            size += sum(map(extra_bytes, self.extra))
        return size

    def check_form(self) -> None:
        """Raise InvalidInputError unless there is a value in each column for each event.

        The rules of events are checked when they are stored.

        >>> Offered.of([Event("a")])._replace(source=[]).check_form()
        Traceback (most recent call last):
          ...
        yamcs_archive.errors.InvalidInputError: source []: must be a column of 1 values
        """
        for name, column in zip(self._fields, self, strict=True):
            if not (type(column) is list or (type(column) is array and column.typecode == "q")):
                raise InvalidInputError(name, column, "must be a column: a list, or of ints an array('q')")
            if len(column) != self.size:
                raise InvalidInputError(name, column, f"must be a column of {self.size} values")

    def events(self) -> list[Event]:
        """Return the events."""
        columns: list[Any] = list(self)
        return list(map(Event, *columns))

    def cut(self, start: int, stop: int) -> Offered:
        """Return the events from ``start`` up to ``stop``."""
        return Offered._make(column[start:stop] for column in self)


def joined(parts: Sequence[Offered]) -> Offered:
    """Return the events of all parts, one part after another; there may be none.

    >>> joined([Offered.of([Event("a")]), Offered.of([Event("b")])]).message
    ['a', 'b']
    """
    return parts[0] if len(parts) == 1 else Offered._make(joined_columns(parts, len(Offered._fields)))


def joined_columns(parts: Sequence[tuple[Any, ...]], count: int) -> Iterator[Sequence[Any]]:
    """Yield each column with the values of all parts; there may be no parts.

    >>> list(joined_columns([(["a"], [1]), (["b"], [2])], 2)), list(joined_columns([], 2))
    ([['a', 'b'], [1, 2]], [[], []])
    """
    return (joined_column([part[nth] for part in parts]) for nth in range(count))


def joined_column(parts: Iterable[Sequence[Any]]) -> Sequence[Any]:
    """Return the values of all parts of a column, as an ``array("q")`` where each of them is one.

    >>> joined_column([["a"], ["b"]])
    ['a', 'b']
    """
    columns = list(parts)
    if columns and all(type(column) is array for column in columns):
        return array("q", b"".join(map(bytes, columns)))
    found: list[Any] = []
    for column in columns:
        found += column
    return found

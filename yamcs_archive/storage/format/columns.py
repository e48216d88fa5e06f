"""Events as columns: what a caller hands over, what a group commit sorts, what a scan decodes; pure.

1. Ten lists of one length, in the order of the fields of :class:`~yamcs_archive.event.Event`, so that
   ``map(Event, *columns)`` builds events in C. Work is done by column, with functions written in C:
   a Python statement for each event would cost more than the event's share of a durable commit.
2. Columns that a writer receives have passed the rules of the event model; numbers alone may be None.
3. Columns of ints may be ``array("q")``: checking their bounds makes one, and numpy works on it as it is.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from sys import getsizeof
from typing import Any, NamedTuple, cast

import numpy as np

from yamcs_archive.coercion import validated
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import SOURCE_DEFAULT, Event, Severity, event_bytes, extra_bytes, validate
from yamcs_archive.limits import (
    ATTACHED_BYTES_MAX,
    SEQ_NUMBER_MAX,
    SEQ_NUMBER_MIN,
    SOURCE_BYTES_MAX,
    TIME_MAX_US,
    TIME_MIN_US,
)
from yamcs_archive.offered import NO_EXTENSIONS, NO_EXTRA, Offered, joined_columns
from yamcs_archive.storage.format.keys import encode_key
from yamcs_archive.storage.write.validation import all_of, are_messages, bounded, is_text

Key = tuple[int, str, int]
"""An :class:`~yamcs_archive.event.EventKey` as a plain tuple: millions are made, and order the same."""

_EVENT_OVERHEAD_BYTES = 64
"""What an event counts towards a byte budget beside its texts."""
_PLACES_BYTES, _INT_BYTES = 10 * 8, 32
"""Bytes of an event's ten places in its columns, and of one number that is an object of its own."""
TABLE_TEXT_MAX = 64
"""Texts of few different values stand in a block once; so small ones need not be counted."""
_PLAIN_EVENTS_MIN = 16
_PLAIN_ATTACHED_MAX = ATTACHED_BYTES_MAX // 4


class Columns(NamedTuple):
    """The columns of some events; ``seq_number`` may hold None until the writer numbers it.

    >>> columns = prepare([Event("a"), Event("b", source="AOCS")], clock=lambda: 5)
    >>> columns.source, columns.generation_time, columns.seq_number
    (['User', 'AOCS'], [5, 5], [None, None])
    """

    message: list[str]
    source: list[str]
    severity: list[Severity]
    type: list[str | None]
    generation_time: Sequence[int]
    seq_number: Sequence[int | None]
    reception_time: Sequence[int]
    created_by: list[str | None]
    extensions: list[bytes]
    extra: list[dict[str, str]]

    @property
    def size(self) -> int:
        """How many events there are."""
        return len(self.message)

    @property
    def numbered(self) -> bool:
        """True when each event has its number."""
        return type(self.seq_number) is array or None not in self.seq_number

    def event(self, index: int) -> Event:
        """Return one event."""
        fields: list[Any] = [column[index] for column in self]
        fields[-1] = dict(fields[-1])  # the extra, which the event's owner may change
        return Event(*fields)

    def key(self, index: int) -> Key:
        """Return the key of one event, once it is numbered."""
        number: Any = self.seq_number[index]
        return self.generation_time[index], self.source[index], number

    def keys(self) -> list[Key]:
        """Return the key of each event, once all are numbered: time, source, number."""
        columns: tuple[Sequence[int], list[str], Any] = self.generation_time, self.source, self.seq_number
        return list(zip(*columns, strict=True))

    def encoded_keys(self) -> list[bytes]:
        """Return the key of each event in its stored form."""
        return [encode_key(*key) for key in self.keys()]

    def events(self) -> list[Event]:
        """Return all events."""
        columns: list[Any] = [*self[:-1], list(map(dict, self.extra))]
        return list(map(Event, *columns))

    def cut(self, start: int, stop: int) -> Columns:
        """Return the columns of the events from ``start`` up to ``stop``."""
        parts: list[Any] = [column[start:stop] for column in self]
        return Columns(*parts)

    def take(self, indexes: Sequence[int]) -> Columns:
        """Return the columns of the events at ``indexes``, in that order."""
        if len(indexes) == 1:
            return Columns(*([column[indexes[0]]] for column in self))  # type: ignore[arg-type]  # zip of fields
        pick: Callable[[Any], Iterable[object]] = itemgetter(*indexes) if indexes else lambda _: ()

        def taken(column: Any) -> Sequence[Any]:
            if type(column) is array:
                return array("q", np.frombuffer(column, np.int64)[indexes].tobytes())
            return list(pick(column))

        return Columns(*map(taken, self))  # type: ignore[arg-type]  # each of its own kind


def joined(parts: Sequence[Columns]) -> Columns:
    """Return the columns of all parts, one after another; there may be none.

    >>> joined([prepare([Event("a")], int), prepare([Event("b")], int)]).message
    ['a', 'b']
    """
    return parts[0] if len(parts) == 1 else Columns._make(joined_columns(parts, len(Columns._fields)))


def prepare(events: Sequence[Event] | Offered, clock: Callable[[], int]) -> Columns:
    """Check events and return their columns, with sources and times filled in.

    Times that are None become ``clock()`` (microseconds since 1970), an empty source ``User``. Raises
    :class:`~yamcs_archive.errors.InvalidInputError` for the first event that breaks a rule; its
    ``position`` is the event's index.
    """
    if isinstance(events, Offered):
        plain = _checked(Columns(*events), clock) if events.size >= _PLAIN_EVENTS_MIN else None  # type: ignore[arg-type]  # None among times
        if plain is not None:
            return plain
        events = events.events()
    if len(events) == 1:
        return _single(events[0], clock)
    plain = _plain_columns(events, clock)
    if plain is not None:
        return plain
    try:
        for event in events:
            validate(event)
    except InvalidInputError:  # named with its position, or taken with exact types
        events = list(_validated(events))
    columns = transposed(events)
    now = clock()
    return columns._replace(
        extra=list(map(dict, columns.extra)),  # of its own: what was checked must not change
        source=[source or SOURCE_DEFAULT for source in columns.source],
        generation_time=[now if time is None else time for time in columns.generation_time],
        reception_time=[now if time is None else time for time in columns.reception_time],
    )


def _validated(events: Sequence[Event]) -> Iterator[Event]:
    for position, event in enumerate(events):
        try:
            yield validated(event)
        except InvalidInputError as error:
            error.position = position
            raise


def _single(event: Event, clock: Callable[[], int]) -> Columns:
    """Return what :func:`prepare` does for one event, in a third of the time."""
    try:
        event = validated(event)
    except InvalidInputError as error:
        error.position = 0
        raise
    time, received = event.generation_time, event.reception_time
    if time is None or received is None:
        now = clock()
        time, received = now if time is None else time, now if received is None else received
    return Columns(
        [event.message],
        [event.source or SOURCE_DEFAULT],
        [event.severity],
        [event.type],
        [time],
        [event.seq_number],
        [received],
        [event.created_by],
        [event.extensions],
        [dict(event.extra)],
    )


def sizes(columns: Columns) -> list[int]:
    """Return about how many bytes each event takes, as :func:`~yamcs_archive.event.event_bytes` counts.

    >>> sizes(prepare([Event("abc"), Event("a", type="b" * 100)], int))
    [3, 101]
    """
    found = list(map(len, columns.message))
    if has_attached(columns):
        for index, (kind, user, extensions, extra) in enumerate(
            zip(columns.type, columns.created_by, columns.extensions, columns.extra, strict=True)
        ):
            found[index] += len(kind or "") + len(user or "") + len(extensions)
            found[index] += extra_bytes(extra)
    return found


def cut_by_size(columns: Columns, bytes_max: int) -> Iterator[Columns]:
    """Yield the events in parts of about that many bytes: as they are, unless they have much more.

    >>> columns = prepare([Event("abc") for _ in range(5)], int)
    >>> [part.size for part in cut_by_size(columns, 10)]
    [3, 2]
    """
    if not has_attached(columns) and sum(map(len, columns.message)) <= bytes_max:
        yield columns
        return
    start = size_bytes = 0
    for at, more in enumerate(sizes(columns)):
        if size_bytes and size_bytes + more > bytes_max:
            yield columns.cut(start, at)
            start, size_bytes = at, 0
        size_bytes += more
    yield columns.cut(start, columns.size)


def has_attached(columns: Columns) -> bool:
    """Say whether events have more than their messages that counts: extra, extensions, long texts.

    >>> has_attached(prepare([Event("abc", type="short")], int))
    False
    """
    if next(_attached(columns), None) is not None:
        return True
    texts = (_texts(columns.type), _texts(columns.created_by))
    return any(len(text) > TABLE_TEXT_MAX for column in texts for text in column)


def text_bytes(columns: Columns) -> int:
    """Return about how many bytes the events take in memory, for budgets (characters count as one).

    >>> text_bytes(prepare([Event("abc")], int)) >= 3
    True
    """
    if len(columns.message) == 1:
        return event_bytes(columns.event(0)) + _EVENT_OVERHEAD_BYTES
    size = sum(sizes(columns)) if has_attached(columns) else sum(map(len, columns.message))
    return size + len(columns.message) * _EVENT_OVERHEAD_BYTES


def held_bytes(columns: Columns) -> int:
    """Return about how many bytes of memory the events take: texts as Python objects, and their columns.

    >>> few, many = [prepare([Event("a") for _ in range(size)], int) for size in (1, 1000)]
    >>> held_bytes(few) > 200, held_bytes(many) > 100 * 1000
    (True, True)
    """
    if len(columns.message) == 1 and not (
        columns.extensions[0] or columns.extra[0]
    ):  # in a fifth of the time
        texts_ = (columns.message[0], columns.source[0], columns.type[0], columns.created_by[0])
        return _PLACES_BYTES + 3 * _INT_BYTES + sum([getsizeof(text) for text in texts_ if text is not None])
    ints = (columns.generation_time, columns.seq_number, columns.reception_time)
    size = columns.size * _PLACES_BYTES
    size += sum(_INT_BYTES for column in ints if type(column) is not array) * columns.size
    size += sum(sum(map(getsizeof, column)) for column in (columns.message, columns.source))
    for texts in (columns.type, columns.created_by):
        if texts.count(None) < len(texts):
            size += sum(map(getsizeof, texts))
    for extensions, extra in zip(columns.extensions, columns.extra, strict=True):
        if extensions or extra:
            size += getsizeof(extensions) + getsizeof(extra)
            size += sum(map(getsizeof, chain(extra, extra.values())))
    return size


def transposed(events: Sequence[Event], *, bare: bool = False) -> Columns:
    """Return the columns of events as they are, unchecked; ``bare``: none has user, extensions or extra.

    >>> transposed([Event("a"), Event("b")]).message
    ['a', 'b']
    """
    return Columns(*Offered.of(events, bare=bare))  # type: ignore[arg-type]  # None until prepare() fills it in


def _plain_columns(events: Sequence[Event], clock: Callable[[], int]) -> Columns | None:
    """Return the columns of many valid events, times filled in; None where only a closer look can tell.

    One event takes longer this way than by :func:`validate`, a thousand take a tenth of it. Events that
    have extra or extensions, which are few, are looked at one by one.
    """
    if len(events) < _PLAIN_EVENTS_MIN or not all_of(events, Event):
        return None
    # Few events have more than these fields, so the others' columns are not looked at. The bytes and the
    # dict that are no constants of ours, if only by type, are looked at below.
    try:
        more = [
            event
            for event in events
            if event.extensions is not NO_EXTENSIONS
            or event.created_by is not None
            or event.extra != NO_EXTRA
        ]
    except Exception:  # a foreign type may compare in its own way, as numpy's arrays do
        return None
    return _checked(transposed(events, bare=not more), clock, bare=not more)


def _checked(columns: Columns, clock: Callable[[], int], *, bare: bool = False) -> Columns | None:
    """Return the columns of valid events, times filled in; None where only a closer look can tell."""
    try:
        sources = set(columns.source)
        attached = [] if bare else list(_attached(columns))
        valid = (
            are_messages(columns.message)
            and all_of(columns.severity, Severity)
            # A set keeps one of several equal texts; the others may be of another type.
            and all_of(columns.source, str)
            and all(is_text(source, SOURCE_BYTES_MAX) for source in sources)
            and all(is_text(kind, _PLAIN_ATTACHED_MAX) for kind in _exact_texts(columns.type))
            and (bare or all(is_text(user, _PLAIN_ATTACHED_MAX) for user in _exact_texts(columns.created_by)))
            and all(validate(Event(*(column[at] for column in columns))) for at in attached)  # type: ignore[arg-type]  # each of its own kind
        )
        if attached:  # of its own, because what was checked must not change in the caller's hands
            columns = columns._replace(extra=list(map(dict, columns.extra)))
        if "" in sources:
            columns = columns._replace(source=[source or SOURCE_DEFAULT for source in columns.source])
        now = clock()
        return (
            columns._replace(
                generation_time=bounded(columns.generation_time, TIME_MIN_US, TIME_MAX_US, now),
                seq_number=bounded(columns.seq_number, SEQ_NUMBER_MIN, SEQ_NUMBER_MAX, None),
                reception_time=bounded(columns.reception_time, TIME_MIN_US, TIME_MAX_US, now),
            )
            if valid
            else None
        )
    except Exception:  # a foreign type may raise anything; validate() names the field and the event
        return None


def _exact_texts(column: list[str | None]) -> set[str]:
    """Return the texts of a column; TypeError if one is not exactly a str."""
    if column and column[0] is None and column.count(None) == len(column):
        return set()
    kinds = list(map(type, column))
    texts = kinds.count(str)
    if texts != len(column) and texts + kinds.count(type(None)) != len(column):
        raise TypeError("not all are text")
    return _texts(column)


def _texts(column: list[str | None]) -> set[str]:
    if column and column[0] is None and column.count(None) == len(column):
        return set()
    found = set(column)
    found.discard(None)
    return cast(set[str], found)


def _attached(columns: Columns) -> Iterator[int]:
    """Yield the places of events that have extensions or extra, or something that is neither."""
    size = columns.size
    if columns.extensions.count(NO_EXTENSIONS) == size and columns.extra.count(NO_EXTRA) == size:
        return iter(())
    both = zip(columns.extensions, columns.extra, strict=True)
    return (at for at, (extensions, extra) in enumerate(both) if extensions != b"" or extra != {})

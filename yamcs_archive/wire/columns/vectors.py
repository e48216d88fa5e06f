"""Many events by field: what the encoders of streams and pages are given; pure.

1. Numbers are numpy's vectors; texts of which there are few come as a table and each event's place in it.
2. The archive has its events so (``storage.vectors``); :func:`by_field` makes it of events that are at hand.
3. What is written for many events is made of columns of bytes, one for each field that is written: whatever
   is done to thousands of events is one call for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from yamcs_archive.event import Event

_Made = TypeVar("_Made")

Ints = npt.NDArray[np.int64]
Parts = npt.NDArray[np.object_]
"""A column of what is written: ``bytes`` for each event."""


class DictColumn(Protocol):
    """A column of texts, or None, of which there are few different ones."""

    @property
    def values(self) -> list[Any]:
        """The different ones."""

    @property
    def codes(self) -> npt.NDArray[np.int32]:
        """Each event's place in the table."""


class EventVectors(Protocol):
    """Events that are complete, field by field. Times are microseconds since 1970."""

    @property
    def times(self) -> Ints:
        """Generation times."""

    @property
    def numbers(self) -> Ints:
        """Sequence numbers."""

    @property
    def received(self) -> Ints:
        """Reception times."""

    @property
    def severities(self) -> npt.NDArray[np.uint8]:
        """Codes of severities."""

    @property
    def sources(self) -> DictColumn:
        """Sources."""

    @property
    def types(self) -> DictColumn:
        """Types."""

    @property
    def users(self) -> DictColumn:
        """Who created them."""

    @property
    def messages(self) -> list[str]:
        """Messages."""

    @property
    def extensions(self) -> list[bytes] | None:
        """Extensions; None where no event has any."""

    @property
    def extra(self) -> list[dict[str, str]] | None:
        """Further text by name; None where no event has any."""

    def event(self, at: int) -> Event:
        """Return one event."""

    def events(self) -> Iterator[Event]:
        """Yield all events."""


class _Table(NamedTuple):
    values: list[Any]
    codes: npt.NDArray[np.int32]


class _Events(NamedTuple):
    times: Ints
    numbers: Ints
    received: Ints
    severities: npt.NDArray[np.uint8]
    sources: _Table
    types: _Table
    users: _Table
    messages: list[str]
    extensions: list[bytes] | None
    extra: list[dict[str, str]] | None
    listed: Sequence[Event]

    def event(self, at: int) -> Event:
        return self.listed[at]

    def events(self) -> Iterator[Event]:
        return iter(self.listed)


def by_field(events: Sequence[Event]) -> EventVectors:
    """Return stored events field by field.

    >>> by_field([Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)]).sources.values
    ['S']
    """
    return _Events(
        np.array([event.generation_time or 0 for event in events], np.int64),
        np.array([event.seq_number or 0 for event in events], np.int64),
        np.array([event.reception_time or 0 for event in events], np.int64),
        np.frombuffer(bytes([event.severity for event in events]), np.uint8),
        _coded([event.source for event in events]),
        _coded([event.type for event in events]),
        _coded([event.created_by for event in events]),
        [event.message for event in events],
        [event.extensions for event in events] if any(event.extensions for event in events) else None,
        [event.extra for event in events] if any(event.extra for event in events) else None,
        events,
    )


def _coded(texts: list[Any]) -> _Table:
    if texts and texts.count(texts[0]) == len(texts):
        return _Table(texts[:1], np.zeros(len(texts), np.int32))
    places: dict[str | None, int] = {}
    found = [places.setdefault(text, len(places)) for text in texts]
    return _Table(list(places), np.array(found, np.int32))


def uncommon(events: EventVectors) -> Iterator[int]:
    """Yield the places of events that have more than the common fields.

    >>> [*uncommon(by_field([Event("a"), Event("b", created_by="operator"), Event("c", extra={"k": "v"})]))]
    [1, 2]
    """
    if events.users.values == [None] and events.extensions is None and events.extra is None:
        return
    count = len(events.messages)
    users = [events.users.values[place] for place in events.users.codes.tolist()]
    for at, more in enumerate(
        zip(users, events.extensions or [b""] * count, events.extra or [{}] * count, strict=True)
    ):
        if more[0] is not None or more[1] or more[2]:
            yield at


def parts_of(parts: Iterable[bytes]) -> Parts:
    """Return parts as a column.

    >>> parts_of([b"a", b"b"])[np.array([1, 0, 1])].tolist()
    [b'b', b'a', b'b']
    """
    listed = list(parts)
    found = np.empty(len(listed), object)
    found[:] = listed
    return found


def column(kept: Memo[bytes], coded: DictColumn) -> Parts:
    """Return what is kept of each event's text.

    >>> column(Memo(str.encode), by_field([Event("a", source="S")]).sources).tolist()
    [b'S']
    """
    return parts_of(map(kept.__getitem__, coded.values))[coded.codes]


def lengths(parts: Iterable[bytes], count: int) -> Ints:
    """Return how long each of so many parts is.

    >>> lengths([b"a", b"", b"bcd"], 3).tolist()
    [1, 0, 3]
    """
    return np.fromiter(map(len, parts), np.int64, count)


def woven(
    columns: Sequence[Parts | list[bytes] | bytes], count: int, others: Iterable[tuple[int, bytes]] = ()
) -> list[bytes]:
    """Return the parts of all columns event by event: joined, they are what is written.

    ``bytes`` stand for a column that has the same for each of ``count`` events. ``others`` are what is
    written instead for the events at some places.

    >>> b"".join(woven([[b"a", b"b"], b"-", parts_of([b"1", b"2"]), b" "], 2))
    b'a-1 b-2 '
    >>> woven([[b"a", b"b"], b"-"], 2, [(1, b"c")])
    [b'a', b'-', b'c', b'']
    """
    width = len(columns)
    # To put a column into every so manieth place takes a fifth of the time of going through all with zip.
    found = [b""] * (width * count)
    for nth, parts in enumerate(columns):
        if isinstance(parts, bytes):
            found[nth::width] = [parts] * count
        else:
            found[nth::width] = parts if isinstance(parts, list) else parts.tolist()
    for at, part in others:
        found[at * width : (at + 1) * width] = [part] + [b""] * (width - 1)
    return found


def each(woven_parts: list[bytes], width: int) -> list[bytes]:
    """Return what is written for each event, of what :func:`woven` returned for so many columns.

    >>> each([b"a", b"-", b"b", b"-"], 2)
    [b'a-', b'b-']
    """
    return [b"".join(woven_parts[at : at + width]) for at in range(0, len(woven_parts), width)]


class Memo(dict[Any, _Made]):
    """What is made of a text or a number: when it is first asked for, and kept while they are few.

    >>> kept = Memo(str)
    >>> kept[5], kept
    ('5', {5: '5'})
    """

    _KEPT_MAX, _CHARACTERS_MAX = 4_096, 256

    def __init__(self, make: Callable[[Any], _Made]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Any) -> _Made:
        made = self._make(key)
        if not isinstance(key, str) or len(key) <= self._CHARACTERS_MAX:
            if len(self) >= self._KEPT_MAX:
                self.clear()
            self[key] = made
        return made

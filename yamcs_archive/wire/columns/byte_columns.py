"""Events field by field, and columns of bytes that are joined into one answer: the encoder's tools; pure.

Each field of many events becomes a column of bytes first, and then the columns become one text. So thousands
of events take one call for each field, not one for each event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from yamcs_archive.columns import Columns
from yamcs_archive.event import Event
from yamcs_archive.event_vectors import DictColumn, StoredVectors

_Made = TypeVar("_Made")

Ints = npt.NDArray[np.int64]
BytesColumn = npt.NDArray[np.object_]
"""``bytes`` for each event."""


def vectors_of(events: Sequence[Event]) -> StoredVectors:
    """Return stored events field by field.

    >>> event = Event("a", source="S", generation_time=0, seq_number=3, reception_time=0)
    >>> vectors_of([event]).sources.values
    ['S']
    """
    return StoredVectors.of(Columns.of(events), commit=0)


def rare(events: StoredVectors, listed: Sequence[Event] | None = None) -> Iterator[tuple[int, Event]]:
    """Yield each event that has a rare field (a user, extensions or ``extra``) with its index.

    They are taken from ``listed``, which has the same events, or else built.

    >>> times = {"generation_time": 0, "seq_number": 3, "reception_time": 0}
    >>> events = [Event("a", **times), Event("b", created_by="operator", **times)]
    >>> list(rare(vectors_of(events))) == [(1, events[1])]
    True
    """
    if events.users.values == [None] and events.extensions is None and events.extra is None:
        return
    fields = zip(
        events.users.decoded(),
        events.extensions or [b""] * events.size,
        events.extra or [{}] * events.size,
        strict=True,
    )
    found = [
        at for at, (user, extensions, extra) in enumerate(fields) if user is not None or extensions or extra
    ]
    yield from zip(
        found, events.take(found).events() if listed is None else map(listed.__getitem__, found), strict=True
    )


def bytes_column(parts: Iterable[bytes]) -> BytesColumn:
    """Return ``bytes`` as a column, which numpy can index.

    >>> bytes_column([b"a", b"b"])[np.array([1, 0, 1])].tolist()
    [b'b', b'a', b'b']
    """
    listed = list(parts)
    found = np.empty(len(listed), object)
    found[:] = listed
    return found


def looked_up(memo: Memo[bytes], texts: DictColumn) -> BytesColumn:
    """Return for each event the bytes that ``memo`` has for its text.

    >>> from yamcs_archive.event_vectors import dict_encode
    >>> looked_up(Memo(str.encode), dict_encode(["S"])).tolist()
    [b'S']
    """
    return bytes_column(map(memo.__getitem__, texts.values))[texts.codes]


def lengths(parts: Iterable[bytes | str], count: int) -> Ints:
    """Return the length of each of ``count`` parts.

    >>> lengths([b"a", b"", b"bcd"], 3).tolist()
    [1, 0, 3]
    """
    return np.fromiter(map(len, parts), np.int64, count)


def interleave(
    columns: Sequence[BytesColumn | list[bytes] | bytes], count: int, others: Iterable[tuple[int, bytes]] = ()
) -> list[bytes]:
    """Return the parts of all columns event by event; joined, they are the text of ``count`` events.

    A column that is ``bytes`` is the same for each event. ``others`` are indexes of events, each with the
    bytes of this event that take the place of its parts.

    >>> b"".join(interleave([[b"a", b"b"], b"-", bytes_column([b"1", b"2"]), b" "], 2))
    b'a-1 b-2 '
    >>> interleave([[b"a", b"b"], b"-"], 2, [(1, b"c")])
    [b'a', b'-', b'c', b'']
    """
    width = len(columns)
    # Slice assignment with a stride is five times as fast as zip.
    found = [b""] * (width * count)
    for nth, column in enumerate(columns):
        if isinstance(column, bytes):
            found[nth::width] = [column] * count
        else:
            found[nth::width] = column if isinstance(column, list) else column.tolist()
    for at, part in others:
        found[at * width : (at + 1) * width] = [part] + [b""] * (width - 1)
    return found


def per_event(interleaved: list[bytes], width: int) -> list[bytes]:
    """Return the text of each event, from the parts that :func:`interleave` returned for ``width`` columns.

    >>> per_event([b"a", b"-", b"b", b"-"], 2)
    [b'a-', b'b-']
    """
    return [b"".join(interleaved[at : at + width]) for at in range(0, len(interleaved), width)]


class Memo(dict[Any, _Made]):
    """Remembers what a function returned for each of up to 4,096 texts or numbers; then it starts afresh.

    >>> memo = Memo(str)
    >>> memo[5], memo
    ('5', {5: '5'})
    """

    _ENTRIES_MAX, _CHARACTERS_MAX = 4_096, 256

    def __init__(self, make: Callable[[Any], _Made]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Any) -> _Made:
        made = self._make(key)
        if not isinstance(key, str) or len(key) <= self._CHARACTERS_MAX:
            if len(self) >= self._ENTRIES_MAX:
                self.clear()
            self[key] = made
        return made

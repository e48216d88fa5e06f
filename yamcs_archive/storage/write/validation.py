"""The check of events before they are stored; pure.

1. :func:`prepare` checks by column if possible: thousands of events are checked at once, in C, in a tenth of
   the time that :func:`~yamcs_archive.event.validate` takes for all of them. If a column is not plainly
   valid, each event is checked alone, and the error names the first bad one.
2. The check by column accepts only events that ``validate`` accepts too. It accepts exact types only, so that
   no value can change after it was checked.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
import numpy as np

from yamcs_archive.coercion import validated
from yamcs_archive.columns import NO_EXTENSIONS, NO_EXTRA, Columns, distinct
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import SOURCE_DEFAULT, Event, Severity, validate
from yamcs_archive.limits import (
    ATTACHED_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    SEQ_NUMBER_MAX,
    SEQ_NUMBER_MIN,
    SOURCE_BYTES_MAX,
    TIME_MAX_US,
    TIME_MIN_US,
)

_COLUMN_EVENTS_MIN = 16
"""Fewest events that are checked by column; fewer are faster one by one."""
_PLAIN_ATTACHED_MAX = ATTACHED_BYTES_MAX // 4
"""Longest type or user that the check by column accepts, in bytes."""
_PLAIN_SOURCE_CHARACTERS = 64
"""Longest source or type that is plainly valid, in characters."""
_UTF8_BYTES_MAX = 4
_MESSAGE_CHARACTERS = 4096
"""Longest message that is encoded together with others, in characters; this bounds the memory used."""
_TOGETHER = 1_000
"""Messages encoded together."""
_encoder = msgspec.msgpack.Encoder()


class _ShortTexts(msgspec.Struct):
    """Messages that are checked together.

    This is a type of its own because msgspec hashes a list's type in Python: that swallows a
    KeyboardInterrupt, and takes longer than checking a few messages.
    """

    texts: list[Annotated[str, msgspec.Meta(max_length=_MESSAGE_CHARACTERS)]]


_TIMES_MIN, _ARRAY_HEAD_BYTES = 1_000, 3
"""Fewest times that are encoded together, and the bytes that msgpack writes before 16 to 65,535 values."""
_UINT64_TAG = 0xCF
_uint64 = np.dtype([("tag", "u1"), ("value", ">u8")])
"""A msgpack value of 2^32 to 2^64 - 1, as all times after 1970-01-01T01:11:35Z are in microseconds."""


Clock: TypeAlias = "Callable[[], int] | array[int]"
"""What times that are None become: a clock, read once for all events, or a time for each of them."""


def prepare(events: Sequence[Event] | Columns[int | None], clock: Clock) -> Columns[int]:
    """Check events and return their columns, with sources and times filled in.

    Times that are None become those of ``clock`` (microseconds since 1970), an empty source ``User``. Raises
    :class:`~yamcs_archive.errors.InvalidInputError` for the first event that breaks a rule; its
    ``position`` is the event's index.

    >>> columns = prepare([Event("a"), Event("b", source="AOCS")], clock=lambda: 5)
    >>> columns.source, columns.generation_time, columns.seq_number
    (['User', 'AOCS'], [5, 5], [None, None])
    """
    if isinstance(events, Columns):
        plain = _checked(events, clock) if events.size >= _COLUMN_EVENTS_MIN else None
        if plain is not None:
            return plain
        events = events.events()
    if len(events) == 1:
        return _single(events[0], clock)
    plain = _checked_by_column(events, clock)
    if plain is not None:
        return plain
    try:
        for event in events:
            if not _is_plain(event):
                validate(event)
    except InvalidInputError:  # it is raised again with its position, or the values get exact types
        events = list(_validated(events))
    columns = Columns.of(events)
    stamps = _readings(clock, columns.size)
    return columns._replace(
        extra=list(map(dict, columns.extra)),  # copies, because checked values must not change
        source=[source or SOURCE_DEFAULT for source in columns.source],
        generation_time=_filled(columns.generation_time, stamps),
        reception_time=_filled(columns.reception_time, stamps),
    )


def _filled(column: Sequence[int | None], stamps: array[int]) -> list[int]:
    return [other if value is None else value for value, other in zip(column, stamps, strict=True)]


def _readings(clock: Clock, size: int) -> array[int]:
    return clock if isinstance(clock, array) else array("q", [clock()]) * size


def _validated(events: Sequence[Event]) -> Iterator[Event]:
    for position, event in enumerate(events):
        try:
            yield validated(event)
        except InvalidInputError as error:
            error.position = position
            raise


def _is_plain(event: Event) -> bool:
    """Return whether an event is plainly valid, as nearly all are: ``validate`` accepts it too.

    It is one expression, without calls into Python: it takes a third of the time of ``validate``.
    """
    if type(event) is not Event:
        return False
    message, source, kind, number = event.message, event.source, event.type, event.seq_number
    time, received = event.generation_time, event.reception_time
    return (
        type(message) is str
        and type(source) is str
        and len(message) <= _MESSAGE_CHARACTERS
        and len(source) <= _PLAIN_SOURCE_CHARACTERS
        and message.isascii()
        and source.isascii()
        and "\0" not in source
        and type(event.severity) is Severity
        and (
            kind is None
            or (
                type(kind) is str
                and len(kind) <= _PLAIN_SOURCE_CHARACTERS
                and kind.isascii()
                and "\0" not in kind
            )
        )
        and (number is None or (type(number) is int and SEQ_NUMBER_MIN <= number <= SEQ_NUMBER_MAX))
        and (time is None or (type(time) is int and TIME_MIN_US <= time <= TIME_MAX_US))
        and (received is None or (type(received) is int and TIME_MIN_US <= received <= TIME_MAX_US))
        and event.created_by is None
        and type(event.extensions) is bytes
        and not event.extensions
        and type(event.extra) is dict
        and not event.extra
    )


def _single(event: Event, clock: Clock) -> Columns[int]:
    """Return the same as :func:`prepare` for one event, in a third of the time."""
    if not _is_plain(event):
        try:
            event = validated(event)
        except InvalidInputError as error:
            error.position = 0
            raise
    time, received = event.generation_time, event.reception_time
    if time is None or received is None:
        now = clock[0] if isinstance(clock, array) else clock()
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


def _checked_by_column(events: Sequence[Event], clock: Clock) -> Columns[int] | None:
    """Return the columns of many valid events, times filled in; None if each event must be checked.

    For one event this is slower than :func:`validate`, for a thousand it takes a tenth of the time. The few
    events that have extra or extensions are checked one by one.
    """
    if len(events) < _COLUMN_EVENTS_MIN or not all_of(events, Event):
        return None
    # Few events set these three fields, and if none does their columns are not read. Values other than the
    # constants, even if only the type differs, are checked below.
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
    return _checked(Columns.of(events, bare=not more), clock, bare=not more)


def _checked(columns: Columns[int | None], clock: Clock, *, bare: bool = False) -> Columns[int] | None:
    """Return the columns of valid events, times filled in; None if each event must be checked."""
    try:
        sources = set(columns.source)
        attached = [] if bare else list(columns.attached())
        valid = (
            are_messages(columns.message)
            and all_of(columns.severity, Severity)
            # A set keeps one of several equal texts; the others may be of another type.
            and all_of(columns.source, str)
            and _are_texts(sources, SOURCE_BYTES_MAX)
            and _are_texts(_exact_texts(columns.type), _PLAIN_ATTACHED_MAX)
            and (bare or _are_texts(_exact_texts(columns.created_by), _PLAIN_ATTACHED_MAX))
            and all(validate(Event(*(column[at] for column in columns))) for at in attached)  # type: ignore[arg-type]  # each of its own kind
        )
        if attached:  # copies, because the caller must not change checked values
            columns = columns._replace(extra=list(map(dict, columns.extra)))
        if "" in sources:
            columns = columns._replace(source=[source or SOURCE_DEFAULT for source in columns.source])
        stamps = _readings(clock, columns.size)
        filled: Columns[Any] = columns._replace(
            generation_time=bounded(columns.generation_time, TIME_MIN_US, TIME_MAX_US, stamps),
            seq_number=bounded(columns.seq_number, SEQ_NUMBER_MIN, SEQ_NUMBER_MAX, None),
            reception_time=bounded(columns.reception_time, TIME_MIN_US, TIME_MAX_US, stamps),
        )
        return filled if valid else None
    except Exception:  # a foreign type may raise any error; validate() names the field and the event
        return None


def _exact_texts(column: list[str | None]) -> set[str]:
    """Return the texts of a column; TypeError if one is not exactly a str."""
    if column and column[0] is None and column.count(None) == len(column):
        return set()
    kinds = list(map(type, column))
    texts = kinds.count(str)
    if texts != len(column) and texts + kinds.count(type(None)) != len(column):
        raise TypeError("not all are text")
    return distinct(column)


def all_of(column: Sequence[Any], kind: type) -> bool:
    """Return whether all values have exactly that type.

    >>> all_of(["a", "b"], str), all_of([1, True], int)
    (True, False)
    """
    return list(map(type, column)).count(kind) == len(column)  # takes two thirds of the time of a set


def are_messages(column: list[Any]) -> bool:
    """Return whether all values are valid messages: text that is not too long and can be encoded.

    >>> are_messages(["a", "°"]), are_messages(["a", b"b"]), are_messages(["\\ud800"])
    (True, False, False)
    """
    if not all_of(column, str):  # msgspec would accept members of a StrEnum
        return False
    try:
        msgspec.convert({"texts": column}, _ShortTexts)
    except msgspec.ValidationError:
        return all(len(text.encode()) <= MESSAGE_BYTES_MAX for text in column)
    try:
        for start in range(0, len(column), _TOGETHER):
            _encoder.encode(column[start : start + _TOGETHER])
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _are_texts(values: set[str], bytes_max: int) -> bool:
    """Return whether :func:`is_text` holds for each of some texts, which nearly all are plain ASCII."""
    if not values:
        return True
    together = "".join(values)
    if together.isascii() and "\0" not in together and max(map(len, values)) * _UTF8_BYTES_MAX <= bytes_max:
        return True
    return all(is_text(value, bytes_max) for value in values)


def is_text(value: object, bytes_max: int) -> bool:
    """Return whether a value is text without NUL that can be encoded and is certainly short enough.

    >>> is_text("AOCS", 255), is_text("A\\0", 255), is_text("A" * 255, 255)
    (True, False, False)
    """
    return (
        type(value) is str
        and len(value) * _UTF8_BYTES_MAX <= bytes_max
        and "\0" not in value
        and (value.isascii() or _can_be_encoded(value))
    )


def _can_be_encoded(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def bounded(column: Sequence[Any], low: int, high: int, absent: array[int] | None) -> Sequence[Any]:
    """Return a column of ints from ``low`` to ``high``, or raise ValueError.

    None is replaced by the value at its place in ``absent``.

    >>> bounded([1, None], 0, 5, array("q", [2, 3])), bounded([None, 1], 0, 5, None)
    (array('q', [1, 3]), [None, 1])
    """
    if absent is not None and column and column[0] is None and column.count(None) == len(column):
        column = absent
    try:
        found = column if type(column) is array and column.typecode == "q" else int_array(column)
    except ValueError:  # a value is None, or invalid
        kinds = set(map(type, column))
        if type(None) not in kinds or not kinds <= {int, type(None)}:
            raise ValueError(kinds) from None
        if absent is None:
            bounded([value for value in column if value is not None], low, high, None)
            return column
        found = int_array(_filled(column, absent))
    values = np.frombuffer(found, np.int64)
    if not len(values):
        return found
    least = np.minimum.reduce(values)  # in half of the time of min()
    if not (low <= least and np.maximum.reduce(values) <= high):
        raise ValueError(column)
    # True and False were accepted as 1 and 0, so these are checked; numbers of other types became ints.
    if (
        least <= 1
        and found is not column
        and any(type(column[at]) is bool for at in np.flatnonzero((values >> 1) == 0).tolist())
    ):
        raise ValueError(column)
    return found


def early_times(column: Sequence[int], stop: int) -> list[int]:
    """Return the places of the times before ``stop`` in a column that was checked.

    >>> early_times([9, 5, 1], 6), early_times(array("q", [9] * 20 + [5]), 6)
    ([1, 2], [20])
    """
    if len(column) < _COLUMN_EVENTS_MIN:
        return [at for at, time in enumerate(column) if time < stop]
    times = np.asarray(column, np.int64)
    return np.flatnonzero(times < stop).tolist() if times.min() < stop else []


def int_array(column: Sequence[Any]) -> array[int]:
    """Return ints as an array; raise ValueError if a value is not an int, or exceeds int64.

    Thousands of times are converted through msgpack, which writes them in one width: that is fastest.

    >>> int_array([5, -1]), int_array([1 << 40] * 1000) == array("q", [1 << 40] * 1000)
    (array('q', [5, -1]), True)
    """
    if len(column) >= _TIMES_MIN and type(column[0]) is int and column[0] >> 32 > 0:
        try:
            packed = _encoder.encode(column)
        except (TypeError, OverflowError):
            packed = b""
        if len(packed) == _ARRAY_HEAD_BYTES + len(column) * _uint64.itemsize:
            cells = np.frombuffer(packed, _uint64, offset=_ARRAY_HEAD_BYTES)
            if (cells["tag"] == _UINT64_TAG).all() and not (cells["value"] >> np.uint64(63)).any():
                return array("q", cells["value"].astype(np.int64).tobytes())
    try:
        return array("q", struct.pack(f"{len(column)}q", *column))
    except struct.error as error:
        raise ValueError(str(error)) from None

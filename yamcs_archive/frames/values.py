"""Arrays of Arrow -> lists of Python values; what does not fit is an InvalidInputError.

Foreign layouts are taken if they say the same (rule 2 of :mod:`~yamcs_archive.frames.events`). Many values
cost a call of C for each array, not a statement for each value.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import SEVERITIES, Severity
from yamcs_archive.frames.library import load
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.times import to_us

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_US = 1_000_000


def at_row(row: int, error: InvalidInputError) -> InvalidInputError:
    """Return the error with the row that is at fault."""
    error.position = row
    return error


def wrong_type(name: str, column: Any, rule: str) -> InvalidInputError:
    """Return the error for a column of a type that cannot be taken."""
    return InvalidInputError(name, str(column.type), rule)


def texts(name: str, column: Any) -> list[str | None]:
    """Return the texts of a column; None for null."""
    pa = load()
    kind = column.type
    if pa.types.is_null(kind):
        return [None] * len(column)
    if pa.types.is_dictionary(kind):
        values = np.array([*texts(name, column.dictionary), None], dtype=object)
        codes = column.indices.cast(pa.int64()).fill_null(len(values) - 1)
        return _listed(values[codes.to_numpy(zero_copy_only=False)])
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise wrong_type(name, column, "must be text")
    try:
        return _listed(column.cast(pa.large_string()).to_numpy(zero_copy_only=False))
    except (UnicodeDecodeError, pa.ArrowException) as error:
        raise _not_utf8(name, column.cast(pa.large_binary()).to_pylist()) from error


def _not_utf8(name: str, values: list[bytes | None]) -> InvalidInputError:
    for row, value in enumerate(values):
        try:
            (value or b"").decode()
        except UnicodeDecodeError as error:
            rule = f"must be UTF-8, and is not at byte {error.start}"
            return at_row(row, InvalidInputError(name, value, rule))
    return InvalidInputError(name, None, "cannot be read as text")


def _listed(values: Any) -> list[Any]:
    found: list[Any] = values.tolist()
    return found


def byte_strings(name: str, column: Any) -> list[bytes | None]:
    """Return the bytes of a column; None for null."""
    pa = load()
    kind = column.type
    if pa.types.is_null(kind):
        return [None] * len(column)
    if pa.types.is_dictionary(kind):
        return byte_strings(name, column.dictionary_decode())
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)):
        raise wrong_type(name, column, "must be bytes")
    return _listed(column.cast(pa.large_binary()).to_numpy(zero_copy_only=False))


def integers(name: str, column: Any) -> Sequence[int | None]:
    """Return the integers of a column: an ``array("q")``, or a list if some are null."""
    pa = load()
    if pa.types.is_null(column.type):
        return [None] * len(column)
    if pa.types.is_dictionary(column.type):
        return integers(name, column.dictionary_decode())
    if not pa.types.is_integer(column.type):
        raise wrong_type(name, column, "must be integers")
    try:
        return _int64s(column.cast(pa.int64()))
    except pa.ArrowInvalid as error:
        raise InvalidInputError(name, str(column.type), str(error)) from None


def _int64s(column: Any) -> Sequence[int | None]:
    if column.null_count:
        found: list[int | None] = column.to_pylist()
        return found
    return array("q", column.to_numpy(zero_copy_only=False).tobytes())


def times(name: str, column: Any) -> Sequence[int | None]:
    """Return times in microseconds since 1970; finer ones are cut off, also before 1970."""
    pa = load()
    kind = column.type
    if pa.types.is_dictionary(kind):
        return times(name, column.dictionary_decode())
    if pa.types.is_integer(kind) or pa.types.is_null(kind):
        return integers(name, column)
    if not pa.types.is_timestamp(kind):
        return _times_of_texts(name, column)
    if kind.tz is None:
        raise wrong_type(name, column, "has no time zone; say which one the times are in")
    ints = _int64s(column.cast(pa.int64()))
    per_second = _PER_SECOND[kind.unit]
    if per_second >= _US:
        step = per_second // _US
        return ints if step == 1 else _each(ints, lambda values: values // step, lambda value: value // step)
    step = _US // per_second
    present = [value for value in ints if value is not None]
    for bound in (min(present, default=0), max(present, default=0)):
        if not TIME_MIN_US <= bound * step <= TIME_MAX_US:
            error = InvalidInputError(name, bound, "is not in the years 0001 to 9999")
            raise at_row(ints.index(bound), error)
    return _each(ints, lambda values: values * step, lambda value: value * step)


def _each(
    ints: Sequence[int | None], all_at_once: Callable[[Any], Any], one: Callable[[int], int]
) -> Sequence[int | None]:
    if type(ints) is array:
        return array("q", all_at_once(np.frombuffer(ints, np.int64)).tobytes())
    return [None if value is None else one(value) for value in ints]


def _times_of_texts(name: str, column: Any) -> list[int | None]:
    try:
        given = texts(name, column)
    except InvalidInputError:
        rule = "must be timestamps with a time zone, RFC 3339 texts, or integers: microseconds since 1970"
        raise wrong_type(name, column, rule) from None
    found: list[int | None] = []
    for row, text in enumerate(given):
        try:
            found.append(None if text is None else to_us(text, name))
        except InvalidInputError as error:
            raise at_row(row, error) from None
    return found


def severities(name: str, column: Any) -> list[Severity]:
    """Return severities, given by name or number; INFO for null. A ``level`` is a rank."""
    pa = load()
    kind = column.type
    of_numbers = pa.types.is_integer(kind) or (
        pa.types.is_dictionary(kind) and pa.types.is_integer(kind.value_type)
    )
    values: Sequence[Any] = integers(name, column) if of_numbers else texts(name, column)
    severity: dict[Any, Severity] = {None: Severity.INFO}
    for value in dict.fromkeys(values):
        if value is None:
            continue
        try:
            severity[value] = (
                Severity.parse(value, name) if isinstance(value, str) else _numbered(name, value)
            )
        except InvalidInputError as error:
            raise at_row(values.index(value), error) from None
    return list(map(severity.__getitem__, values))


def _numbered(name: str, value: int) -> Severity:
    most = len(SEVERITIES) - 1 if name == "severity" else Severity.SEVERE.rank
    if not 0 <= value <= most:
        raise InvalidInputError(name, value, f"must be 0 to {most}, or a name")
    return SEVERITIES[value]

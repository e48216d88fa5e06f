"""Checks the arguments of the library's functions, except events, and returns them with exact types; pure.

Each error names the field and the value, and is raised by the call itself. So no caller gets one of Python's
own errors, or an error only with the first event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.scalars import plain_int, plain_text

T = TypeVar("T")

COUNT_MAX = 2**63 - 1
"""The largest count: Python's own counts end there, and so do the numbers on the medium."""


def whole(field: str, value: object, low: int, high: int) -> int:
    """Return an int from ``low`` to ``high``.

    >>> whole("limit", 5, 0, 9)
    5
    >>> whole("limit", True, 0, 9)
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: limit True: must be an int, 0 to 9
    """
    found = plain_int(value)
    if type(found) is not int or not low <= found <= high:
        raise InvalidInputError(field, value, f"must be an int, {low} to {high}")
    return found


def flag(field: str, value: object) -> bool:
    """Return a bool, which may be given as numpy's.

    >>> flag("descending", True)
    True
    >>> flag("descending", "no")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: descending 'no': must be True or False
    """
    if isinstance(value, bool):
        return value
    if type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise InvalidInputError(field, value, "must be True or False")


def text(field: str, value: object) -> str:
    """Return a text that UTF-8 can hold.

    >>> text("text", "Wheel")
    'Wheel'
    """
    found = plain_text(value)
    if not isinstance(found, str):
        raise InvalidInputError(field, value, "must be text")
    try:
        found.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            field, value, f"has a lone surrogate at character {error.start}, which UTF-8 cannot hold"
        ) from None
    return found


def names(field: str, values: object) -> frozenset[str]:
    """Return several names, from any iterable of them.

    >>> names("sources", ["AOCS"])
    frozenset({'AOCS'})
    >>> names("sources", "AOCS")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: sources 'AOCS': must be several names, as a list or a set
    """
    if isinstance(values, (str, bytes)):
        raise InvalidInputError(field, values, "must be several names, as a list or a set")
    listed = list(several(field, values, "names"))
    try:
        if list(map(type, listed)).count(str) == len(listed) and "".join(listed).encode() is not None:
            return frozenset(listed)  # thousands take a millisecond this way
    except UnicodeEncodeError:  # one of them is bad; text() names it
        pass
    return frozenset(text(field, name) for name in listed)


def several(field: str, values: object, what: str) -> Iterable[Any]:
    """Return an iterator over ``values``; ``what`` names their kind in the error.

    >>> several("events", 5, "events")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: events 5: must be an iterable of events
    """
    try:
        return iter(values)  # type: ignore[call-overload,no-any-return]  # iter() raises for other types
    except TypeError:
        raise InvalidInputError(field, values, f"must be an iterable of {what}") from None


def callback(field: str, value: Callable[..., T] | None) -> Callable[..., T] | None:
    """Return a function, or None.

    >>> callback("cancelled", print) is print
    True
    """
    if value is not None and not callable(value):
        raise InvalidInputError(field, value, "must be a function, or None")
    return value


def seconds(field: str, value: object, high: float) -> float:
    """Return seconds from 0 to ``high``.

    >>> seconds("timeout_s", 0.5, 9)
    0.5
    """
    try:
        found = None if isinstance(value, (bool, str, bytes)) else float(value)  # type: ignore[arg-type]  # or it raises
    except Exception:  # a foreign type may raise anything
        found = None
    if found is None or not 0 <= found <= high:
        raise InvalidInputError(field, value, f"must be seconds from 0 to {high:g}, or None")
    return found

"""Converts values that plainly are integers or texts to exact int and str. Imports nothing.

1. An integer of another type counts as an int: numpy's scalars, members of an IntEnum, any type that Python
   accepts as an index. A subclass of str counts as its text, and an enum member as its value.
2. True and False are no numbers, and a float is no integer: they are returned unchanged, and refused by the
   check that follows.
3. A converted value has an exact type, so its methods cannot change its value after the check.
"""

from __future__ import annotations

import enum
import operator


def plain_int(value: object) -> object:
    """Return the int that ``value`` plainly is, else ``value`` itself.

    >>> class Level(enum.IntEnum):
    ...     LOW = 5
    >>> plain_int(Level.LOW), type(plain_int(Level.LOW)), plain_int(True), plain_int(5.0)
    (5, <class 'int'>, True, 5.0)
    """
    if type(value) is int:
        return value
    found = value.value if isinstance(value, enum.Enum) else value
    if isinstance(found, bool):
        return value
    try:
        return operator.index(found)  # type: ignore[arg-type]  # index() raises for other types
    except Exception:  # a foreign type may raise anything
        return value


def plain_text(value: object) -> object:
    """Return the str that ``value`` plainly is, else ``value`` itself.

    >>> class Unit(enum.StrEnum):
    ...     AOCS = "AOCS"
    >>> plain_text(Unit.AOCS), type(plain_text(Unit.AOCS)), plain_text(b"AOCS")
    ('AOCS', <class 'str'>, b'AOCS')
    """
    if type(value) is str:
        return value
    found = value.value if isinstance(value, enum.Enum) else value
    return str.__str__(found) if isinstance(found, str) else value  # not str(), which the class may override

"""Lenient reading of single JSON values, as a Yamcs server reads them; pure.

A number or a boolean may be given for a text, a text for a number; 1.0 and 1e3 are integers. A value that
would lose something is refused: a fraction, an overflow, any float for the milliseconds of the 2016 form.
Functions raise :class:`~yamcs_archive.errors.InvalidInputError` with the field and the value.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from yamcs_archive.errors import InvalidInputError

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?")


def is_whole(text: str) -> bool:
    """Say whether a text is an integer, of any size.

    >>> is_whole("-12"), is_whole("1.0"), is_whole("")
    (True, False, False)
    """
    return _WHOLE.fullmatch(text) is not None


def as_text(value: Any, field: str) -> str:
    """Return a text; a number or a boolean as JSON writes it.

    >>> as_text("a", "type"), as_text(5, "type"), as_text(True, "type")
    ('a', '5', 'true')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    raise InvalidInputError(field, value, "must be text")


def as_integer(value: Any, field: str) -> int:
    """Return an integer of any size, from an int, a float without a fraction, or text of either.

    >>> as_integer("12", "sequenceNumber"), as_integer(1e3, "sequenceNumber")
    (12, 1000)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        number = Decimal(value)
        if number == number.to_integral_value():
            return int(number)
    raise InvalidInputError(field, value, "must be an integer")


def as_int32(value: Any, field: str) -> int:
    """Return an integer of 32 bits.

    >>> as_int32(2**31, "seqNumber")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: seqNumber 2147483648: must be -2147483648 to 2147483647
    """
    number = as_integer(value, field)
    if not -(2**31) <= number < 2**31:
        raise InvalidInputError(field, value, "must be -2147483648 to 2147483647")
    return number


def as_whole_ms(value: Any, field: str) -> int:
    """Return milliseconds of an int or its text, not of a float, which could have lost digits.

    >>> as_whole_ms("-5", "generationTime")
    -5
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise InvalidInputError(field, value, "must be whole milliseconds since 1970, as a number or text")

"""What is fuzzed: a name, valid inputs, and a function that takes any bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Target(NamedTuple):
    """Something that must stand any input."""

    name: str
    valid: tuple[bytes, ...]
    """Inputs from which others are made."""
    tokens: tuple[bytes, ...]
    """Pieces that occur in valid inputs, and critical ones, which are put into others."""
    start: Callable[[], Callable[[bytes], bool]]
    """Prepare, and return the function that takes an input.

    It returns whether the input was accepted. Any exception is a fault: AssertionError where an accepted
    input does not have the properties that it should have.
    """
    weight: int = 10
    """Rounds of this target among those of the others; small where an input takes milliseconds."""


def refused(error: Exception) -> bool:
    """Return False: not accepted. AssertionError if the error gives no reason."""
    assert str(error), repr(error)
    return False


CRITICAL = (
    *(bytes([value]) for value in (0, 1, 9, 10, 13, 32, 127, 128, 255)),
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\x7f" + b"\xff" * 7,
    b"\x80" + b"\x00" * 7,
    b"\xff" * 10,  # a varint that does not end in time
    b"-1",
    b"0",
    b"-0",
    b"1e400",
    b"1e3",
    b"1.0",
    b"NaN",
    b"Infinity",
    b"2147483647",
    b"2147483648",
    b"-2147483649",
    b"9223372036854775807",
    b"9223372036854775808",
    b"9" * 400,
    "é".encode(),
    "\U0001f680".encode(),
    "\u202e".encode(),
    b"\xed\xa0\x80",  # half a surrogate pair in UTF-8
    b"\xc0\x80",  # NUL in two bytes
    b"\\ud800",
    b"\\u0000",
    b"\\",
    b'"',
    b"'",
    b"[" * 2000,
    b'{"a":' * 1000,
    b"(" * 500,
    b"0001-01-01T00:00:00Z",
    b"9999-12-31T23:59:60.999999999Z",
    b"2026-02-30T24:00:00+24:00",
)
"""Pieces at which parsers of any kind fail."""

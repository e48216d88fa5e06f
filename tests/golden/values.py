"""Decodes the elements of values by docs/format.md: checksums, event keys, integers, indexes and texts.

Uses nothing of the package. A broken rule is a :class:`BrokenError`, never an assertion, because these bytes
come from a disk. The name of each form that is read is added to ``met``; :mod:`tests.golden.forms` lists them
all.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple
from zlib import crc32

import msgpack

INT64 = struct.Struct(">q")
INT64_MAX = 2**63 - 1
SMALL_TABLE_MAX = 256
KEY_BYTES_MIN = 14  # a time, one byte of source, NUL, a number

Met = set[str]
"""Names of forms."""


class BrokenError(Exception):
    """The stored bytes break a rule of docs/format.md."""


class Key(NamedTuple):
    """An event's key. ``source`` is UTF-8, so that these keys have the order of the stored ones."""

    time: int
    source: bytes
    number: int


def hold(condition: bool, what: str) -> None:
    """Raise BrokenError unless a condition holds."""
    if not condition:
        raise BrokenError(what)


def whole(value: Any, low: int = -(2**63), high: int = INT64_MAX) -> int:
    """Return an integer within bounds."""
    if type(value) is not int or not low <= value <= high:
        raise BrokenError(f"{value!r} is no integer from {low} to {high}")
    return value


def binary(value: Any) -> bytes:
    """Return a bin."""
    if type(value) is not bytes:
        raise BrokenError(f"{value!r} is no bin")
    return value


def text(value: Any) -> str:
    """Return a str."""
    if type(value) is not str:
        raise BrokenError(f"{value!r} is no str")
    return value


def text_or_nil(value: Any) -> str | None:
    """Return a str or nil."""
    return None if value is None else text(value)


def array(value: Any, size: int | None = None) -> list[Any]:
    """Return an array, of a size if one is given."""
    if type(value) is not list or size not in (None, len(value)):
        raise BrokenError(f"{value!r} is no array{'' if size is None else f' of {size}'}")
    return value


def extra_of(value: Any) -> dict[str, str]:
    """Return a map of text by name."""
    if type(value) is not dict:
        raise BrokenError(f"{value!r} is no map")
    return {text(name): text(more) for name, more in value.items()}


def unpacked(raw: bytes) -> Any:
    """Return the msgpack value of bytes that have exactly one."""
    try:
        return msgpack.unpackb(raw, strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:
        raise BrokenError(f"no msgpack value: {error}") from None


def body(name: str, key: bytes, value: bytes) -> Any:
    """Return the body of a value of any sub-database but ``blocks``."""
    right = crc32(name.encode() + b"\0" + key + value[4:])
    hold(value[:4] == right.to_bytes(4, "big"), f"the checksum of {name} {key.hex()} is wrong")
    return unpacked(value[4:])


def event_key(key: Any, met: Met) -> Key:
    """Return the parts of an event key."""
    if len(binary(key)) < KEY_BYTES_MIN or key[-5] or 0 in key[8:-5]:
        raise BrokenError(f"{key.hex()} is no event key")
    time = int.from_bytes(key[:8], "big") - 2**63
    number = int.from_bytes(key[-4:], "big") - 2**31
    decoded(key[8:-5])
    met.add("key: time before 1970" if time < 0 else "key: time from 1970 on")
    met.add("key: number below 0" if number < 0 else "key: number from 0 on")
    met.add("key: source of ASCII" if key[8:-5].isascii() else "key: source beyond ASCII")
    return Key(time, key[8:-5], number)


def decoded(raw: bytes) -> str:
    """Decode UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BrokenError(f"{raw.hex()} is no UTF-8") from None


def integers(packed: Any, count: int, met: Met) -> list[int]:
    """Return a column of ``count`` integers."""
    rest, divisor = binary(packed)[1:], 1
    first = packed[0] if packed else -1
    if first == 0:
        hold(len(rest) == INT64.size, f"integers of width 0 have {len(rest)} bytes")
        hold(count > 0 or not any(rest), "there is a value of no integers")
        met.add("integers: 0" if count else "integers: none")
        return [INT64.unpack(rest)[0]] * count
    hold(first & ~128 in (1, 2, 4, 8) and count > 0, f"{count} integers begin with {first}")
    width = first & ~128
    if first & 128:
        hold(len(rest) >= INT64.size, "integers end within their divisor")
        (divisor,) = INT64.unpack_from(rest)
        hold(divisor > 1, f"the divisor {divisor} divides nothing")
        rest = rest[INT64.size :]
    hold(len(rest) == width * count, f"{len(rest)} bytes of planes are not those of {count} integers")
    planes = [rest[at : at + count] for at in range(0, len(rest), count)]
    of_each = zip(*planes, strict=True)
    found = [divisor * int.from_bytes(bytes(each), "little", signed=True) for each in of_each]
    met.add(f"integers: {first}")
    if min(found) < 0:
        met.add(f"integers: {first}, below 0")
    return found


def index(packed: Any, table: list[Any], count: int, met: Met) -> list[int]:
    """Return a column of ``count`` indexes into a table."""
    if len(table) <= SMALL_TABLE_MAX:
        found = list(binary(packed))
        met.add("index: bytes, 256 entries" if len(table) == SMALL_TABLE_MAX else "index: bytes")
    else:
        found = integers(packed, count, met)
        met.add("index: integers")
    hold(
        len(found) == count and 0 <= min(found) <= max(found) < len(table),
        f"an index of {len(found)} places does not fit {count} events and {len(table)} entries",
    )
    return found


def texts(value: Any, count: int, met: Met) -> tuple[list[str | None], list[int]]:
    """Return the table of a column of texts, and ``count`` indexes into it."""
    if value is None:
        met.add("texts: nil")
        return [None], [0] * count
    entries, packed = array(value, 2)
    table = [text_or_nil(entry) for entry in array(entries)]
    hold(len(set(table)) == len(table) and table != [None], f"{table!r} is no table of texts")
    met.add("texts: a table with nil" if None in table else "texts: a table without nil")
    return table, index(packed, table, count, met)

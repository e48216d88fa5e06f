"""The export format of journald: entries of fields, text as ``NAME=VALUE``, bytes with their length. Pure.

1. An empty line ends an entry. A field of bytes is its name in a line, 64 bits of length, little-endian, the
   bytes, and a line feed. Bytes may hold empty lines, so that a field's length must be obeyed.
2. An entry of more than :data:`~yamcs_archive.limits.BODY_BYTES_MAX` bytes, a core dump perhaps, is passed
   over without being held; it is yielded with its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from yamcs_archive.importers.logs.forms import Record, Unfit
from yamcs_archive.importers.logs.lines import KEPT_BYTES
from yamcs_archive.limits import BODY_BYTES_MAX

_LENGTH_BYTES = 8
_END = b"\n\n"


def entries(chunks: Iterable[bytes]) -> Iterator[Record]:
    r"""Yield the entries of an export, counted from 1, each with the line feed of its last field.

    >>> binary = b"C\n" + (2).to_bytes(8, "little") + b"\n\n\n"
    >>> [record.raw for record in entries([b"A=1\nB=2\n\n" + binary + b"\n"])] == [b"A=1\nB=2\n", binary]
    True
    """
    stream = _Stream(chunks)
    number = 0
    while stream.begin():
        number += 1
        raw = stream.plain_entry()
        size = len(raw)
        if not raw:
            raw, size = stream.entry()
        yield Record(number, raw, size)


class _Stream:
    """The bytes of an export, of which some are held."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._supply = iter(chunks)
        self._held = b""
        self._at = 0

    def _more(self) -> bool:
        chunk = next(self._supply, None)
        if chunk is None:
            return False
        self._held = self._held[self._at :] + chunk
        self._at = 0
        return True

    def begin(self) -> bool:
        """Pass empty lines; False at the end."""
        while True:
            while self._held[self._at : self._at + 1] == b"\n":
                self._at += 1
            if self._at < len(self._held):
                return True
            if not self._more():
                return False

    def plain_entry(self) -> bytes:
        """Return the next entry if it is held and has no bytes, else nothing: most entries are of that
        kind."""
        end = self._held.find(_END, self._at)
        if end < 0:
            return b""
        raw = self._held[self._at : end + 1]
        if all(b"=" in line for line in raw[:-1].split(b"\n")):
            self._at = end + 1
            return raw
        return b""

    def entry(self) -> tuple[bytes, int]:
        """Return the next entry, field by field, and its size; only its beginning if it is too long."""
        kept: list[bytes] = []
        size = 0
        while True:
            line = self._line()
            if line in (b"\n", b""):
                break
            size += self._keep(kept, size, line)
            if b"=" in line or not line.endswith(b"\n"):
                continue
            head = self._take(_LENGTH_BYTES)
            size += self._keep(kept, size, head)
            if len(head) < _LENGTH_BYTES:
                break
            left = int.from_bytes(head, "little") + 1
            while left:
                part = self._take(min(left, KEPT_BYTES))
                if not part:
                    break
                left -= len(part)
                size += self._keep(kept, size, part)
        whole = b"".join(kept)
        return (whole if size <= BODY_BYTES_MAX else whole[:KEPT_BYTES]), size

    @staticmethod
    def _keep(kept: list[bytes], size: int, part: bytes) -> int:
        if size <= BODY_BYTES_MAX:
            kept.append(part)
        return len(part)

    def _line(self) -> bytes:
        """Return what is up to the next line feed; at most some 8 MiB of it."""
        searched = self._at
        while True:
            end = self._held.find(b"\n", searched)
            if end >= 0:
                return self._cut(end + 1)
            searched = len(self._held) - self._at
            if searched > BODY_BYTES_MAX or not self._more():
                return self._cut(len(self._held))

    def _take(self, size: int) -> bytes:
        while len(self._held) - self._at < size and self._more():
            pass
        return self._cut(min(len(self._held), self._at + size))

    def _cut(self, end: int) -> bytes:
        found = self._held[self._at : end]
        self._at = end
        return found


def fields_of(raw: bytes) -> dict[str, Any]:
    """Return the fields of an entry: text, bytes, or a list if there are several of one name.

    Raises :class:`~yamcs_archive.importers.logs.forms.Unfit` for an entry that is cut short.

    >>> fields_of(b"A=1\\nA=2\\nB=b\\n")
    {'A': ['1', '2'], 'B': 'b'}
    """
    if not raw.endswith(b"\n"):
        raise Unfit("is cut short")
    try:  # most entries are text, and have each field once
        pairs = [line.split("=", 1) for line in raw[:-1].decode().split("\n")]
        plain: dict[str, Any] = dict(pairs)  # ValueError: a line without a value
        if len(plain) == len(pairs):
            return plain
    except ValueError:
        pass
    found: dict[str, Any] = {}
    at = 0
    while at < len(raw):
        end = raw.index(b"\n", at)
        name, equals, value = raw[at:end].partition(b"=")
        at = end + 1
        if not equals:
            start = at + _LENGTH_BYTES
            end = start + int.from_bytes(raw[at:start], "little")
            if raw[end : end + 1] != b"\n":
                raise Unfit("is cut short, or a field's length is wrong")
            value, at = raw[start:end], end + 1
        _add(found, name.decode(errors="backslashreplace"), value)
    return found


def _add(found: dict[str, Any], name: str, raw: bytes) -> None:
    value: str | bytes
    try:
        value = raw.decode()
    except UnicodeDecodeError:
        value = raw
    if name not in found:
        found[name] = value
    elif isinstance(found[name], list):
        found[name].append(value)
    else:
        found[name] = [found[name], value]

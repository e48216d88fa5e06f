"""The lines of a file of text, many at once, whatever ends them; pure.

1. A line ends with a line feed, with a carriage return, or with both; a file may mix them. A file that has no
   end after its last line has that line too.
2. A byte order mark of UTF-8 at the beginning is passed over; a file in UTF-16 is refused.
3. A line longer than the longest that is wanted is never held: its beginning is given, and its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.wire.framing import pieces
from yamcs_archive.wire.json import BOM

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class LongLine:
    """A line that is too long."""

    beginning: bytes
    """At least as much as the longest line that is wanted."""
    size_bytes: int


def text_lines(chunks: Iterable[bytes], bytes_max: int) -> Iterator[bytes | LongLine]:
    """Yield the lines in pieces, of many lines each, separated by line feeds; the last has none after it.

    Each line, and each empty one, is there once. Raises InvalidInputError for a file in UTF-16.

    >>> list(text_lines([b"a\\r", b"\\nb\\rc\\n\\nd"], 10))
    [b'a\\nb\\nc\\n', b'd']
    >>> list(text_lines([b"a\\nlonger\\nb"], 5))
    [b'a', LongLine(beginning=b'longer', size_bytes=6), b'b']
    """
    held: list[bytes] = []
    size = 0
    beginning: bytes | None = None
    for chunk in unified(without_mark(pieces(chunks))):
        begin = 0
        if beginning is not None:
            end = chunk.find(b"\n")
            size += len(chunk) if end < 0 else end
            if end < 0:
                continue
            yield LongLine(beginning, size)
            beginning, size, begin = None, 0, end + 1
        end = chunk.rfind(b"\n", begin)
        if end >= 0:
            held.append(chunk[begin:end])
            yield from _cut_at_long(b"".join(held), bytes_max)
            held, size, begin = [], 0, end + 1
        if begin < len(chunk):
            held.append(chunk[begin:])
            size += len(held[-1])
        if size > bytes_max:
            beginning, held = b"".join(held), []
    if beginning is not None:
        yield LongLine(beginning, size)
    elif held:
        yield from _cut_at_long(b"".join(held), bytes_max)


def _cut_at_long(piece: bytes, bytes_max: int) -> Iterator[bytes | LongLine]:
    """Yield whole lines; those that are too long, which are rare, each by itself."""
    if len(piece) <= bytes_max:
        yield piece
        return
    short: list[bytes] = []
    for line in piece.split(b"\n"):
        if len(line) <= bytes_max:
            short.append(line)
            continue
        if short:
            yield b"\n".join(short)
            short = []
        yield LongLine(line, len(line))
    if short:
        yield b"\n".join(short)


def unified(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a text with line feeds alone, also where a chunk ends between the two bytes of an end.

    >>> b"".join(unified([b"a\\r", b"\\nb\\r", b"c\\r\\n"]))
    b'a\\nb\\nc\\n'
    """
    returned = False
    for chunk in chunks:
        if returned and chunk:
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]  # noqa: PLW2901  # the line feed of the return before
            returned = False
        if b"\r" in chunk:
            returned = chunk.endswith(b"\r")
            yield chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            yield chunk


def without_mark(stream: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a file without its byte order mark, which must be whole in the first piece; refuse UTF-16.

    >>> list(without_mark(iter([b"\\xef\\xbb\\xbfa"])))
    [b'a']
    """
    for first in stream:
        if first.startswith(_UTF_16):
            raise InvalidInputError("file", first[:2].hex(), "is in UTF-16: save it as UTF-8")
        yield first.removeprefix(BOM)
        break
    yield from stream

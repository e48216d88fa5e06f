"""Cuts logs into records: lines, and lines that end with a line feed alone. Pure.

1. Lines end as :func:`~yamcs_archive.files.lines.text_lines` says.
2. NULs at the head of a line are no part of it: a crash leaves them in files that were being written. A line
   of blanks and NULs alone counts, and is left out.
3. A line of more than :data:`~yamcs_archive.limits.BODY_BYTES_MAX` bytes is passed over without being held.
   Its first :data:`KEPT_BYTES` bytes are yielded, with its true size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from yamcs_archive.files.lines import LongLine, text_lines, without_mark
from yamcs_archive.importers.logs.forms import Record
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.wire.framing import pieces

KEPT_BYTES = 64 << 10
"""Bytes of a record that is too long that are kept, to be shown: 64 KiB."""
BLANKS = b" \t\r\n\x0b\x0c\0"


def records_of_lines(chunks: Iterable[bytes]) -> Iterator[Record]:
    r"""Yield the lines of a file that are not blank.

    >>> [(record.line, record.raw) for record in records_of_lines([b"a\r\n \n", b"\0\0b"])]
    [(1, b'a'), (3, b'b')]
    """
    number = 0
    for piece in text_lines(chunks, BODY_BYTES_MAX):
        if isinstance(piece, LongLine):
            number += 1
            yield Record(number, piece.beginning[:KEPT_BYTES], piece.size_bytes)
            continue
        for line in piece.split(b"\n"):
            number += 1
            raw = line.lstrip(b"\0") if line[:1] == b"\0" else line
            if raw and not raw.isspace() and raw.strip(BLANKS):
                yield Record(number, raw, len(raw))


def records_of_rows(chunks: Iterable[bytes]) -> Iterator[Record]:
    r"""Yield what ends with a line feed: rows, in which a carriage return is a character like others.

    >>> [record.raw for record in records_of_rows([b"a\rb\r\n", b"c"])]
    [b'a\rb\r', b'c']
    """
    number = 0
    held: list[bytes] = []  # the beginning of a row whose end was not read yet
    size = 0  # the bytes of that row so far
    for chunk in without_mark(pieces(chunks)):
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            number += 1
            if size:
                held.append(part)
                yield joined(number, held, size + len(part), b"")
                held, size = [], 0
            else:
                yield joined(number, [part], len(part))
        if rest:
            if size <= BODY_BYTES_MAX:
                held.append(rest)
            size += len(rest)
    if size:
        yield joined(number + 1, held, size, b"")


def joined(line: int, parts: list[bytes], size: int, between: bytes = b"\n") -> Record:
    """Return a record of several parts; ``size`` is that of all, of which some are missing if it is too
    long."""
    raw = parts[0] if len(parts) == 1 else between.join(parts)
    return Record(line, raw if size <= BODY_BYTES_MAX else raw[:KEPT_BYTES], size)

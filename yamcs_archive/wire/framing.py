"""Where the elements of a stream begin and end: gzip, lines, messages with their lengths; pure.

Only one piece of the stream and one unfinished element are held, however long the stream is. An element is at
most as long as the body of a single request may be.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.limits import BODY_BYTES_MAX

_OUTPUT_BYTES = 256 << 10
_PIECE_BYTES_MIN, _PIECE_BYTES_MAX = 256 << 10, 512 << 10
"""Bytes that are decoded together. A call for fewer elements would cost more than they do; and the more there
are, the more are decoded one by one if one is uncommon. Chunks of such a size need not be copied."""
_VARINT_BYTES_MAX = 10


def gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of gzip members in pieces of bounded size: a bomb is read no faster than it is used.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` for bytes that are not gzip, or are cut short.

    >>> import gzip
    >>> b"".join(gunzipped([gzip.compress(b"one "), gzip.compress(b"two")]))
    b'one two'
    """
    member: Any = None
    for chunk in chunks:
        rest = chunk
        while rest:
            if member is None:
                member = zlib.decompressobj(wbits=31)
            try:
                found = member.decompress(rest, _OUTPUT_BYTES)
            except zlib.error as error:
                raise InvalidInputError("body", rest[:20].hex(), f"is not gzip: {error}") from None
            if found:
                yield found
            rest = member.unconsumed_tail
            if member.eof:
                rest, member = member.unused_data, None
    if member is not None:
        raise InvalidInputError("body", "gzip", "is truncated")


def pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a stream in pieces of about the same size; if ``chunks`` fails, first the bytes before that."""
    held: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            for start in range(0, len(chunk), _PIECE_BYTES_MAX):
                part = chunk[start : start + _PIECE_BYTES_MAX]
                held.append(part)
                size += len(part)
                if size >= _PIECE_BYTES_MIN:
                    size = 0
                    yield _taken(held)
    except Exception:
        if held:
            yield b"".join(held)
        raise
    if held:
        yield b"".join(held)


def _taken(held: list[bytes]) -> bytes:
    """Return the parts that are held as one, and hold them no longer."""
    found = b"".join(held)
    held.clear()
    return found


def whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a stream in pieces of whole lines, each without its last line feed.

    >>> list(whole_lines([b"a\\nb\\nc", b"d"]))
    [b'a\\nb', b'cd']
    """
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        end = chunk.rfind(b"\n")
        if end >= 0:
            held.append(chunk[:end])
            size = 0
            yield _taken(held)
        if end + 1 < len(chunk):
            held.append(chunk[end + 1 :])
            size += len(held[-1])
            if size > BODY_BYTES_MAX:
                raise too_long(size)
    yield b"".join(held)


def delimited(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the messages of a stream in which each has its length before it, as a varint.

    >>> list(delimited([bytes.fromhex("0161"), bytes.fromhex("01")]))
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: body '01': ends within an element
    """
    for held, starts, stops in delimited_bounds(chunks):
        for start, stop in zip(starts, stops, strict=True):
            yield held[start:stop]


def delimited_bounds(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, list[int], list[int]]]:
    """Yield the same messages, many at once: bytes, and where in them each message starts and stops."""
    held = b""
    for chunk in chunks:
        held += chunk
        starts, stops, fault = _bounds(held)
        yield held, starts, stops
        if fault is not None:
            raise fault
        held = held[stops[-1] :] if stops else held
    if held:
        raise InvalidInputError("body", held[:20].hex(), "ends within an element")


def _bounds(held: bytes) -> tuple[list[int], list[int], InvalidInputError | None]:
    """Return where the complete messages start and stop, and the error in the bytes after them, or None."""
    starts: list[int] = []
    stops: list[int] = []
    at, size = 0, len(held)
    try:
        while at < size:
            length, begin = held[at], at + 1
            if length > 0x7F:  # most lengths have at most two bytes
                if begin < size and held[begin] < 0x80:
                    length, begin = length & 0x7F | held[begin] << 7, begin + 1
                elif (found := _length(held, at)) is None:
                    break
                else:
                    length, begin = found
            if length > BODY_BYTES_MAX:
                raise too_long(length)
            at = begin + length
            if at > size:
                break
            starts.append(begin)
            stops.append(at)
    except InvalidInputError as error:
        return starts, stops, error
    return starts, stops, None


def _length(held: bytes, at: int) -> tuple[int, int] | None:
    """Return the varint that begins at ``at``, and where it ends; None while it is incomplete."""
    value = 0
    for index in range(_VARINT_BYTES_MAX):
        if at + index >= len(held):
            return None
        byte = held[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise InvalidInputError("body", held[at : at + 20].hex(), "has no length of an element here")


def too_long(size_bytes: int) -> InvalidInputError:
    """Return the error of an element that has at least ``size_bytes``."""
    return InvalidInputError(
        "element", f"{size_bytes} bytes or more", f"must be at most {BODY_BYTES_MAX} bytes"
    )

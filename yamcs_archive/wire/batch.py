"""Streams of create bodies -> events: newline-delimited JSON, varint-delimited protobuf, msgpack maps; pure.

1. Elements are decoded as their bytes come; what is held is one element and one piece with its events,
   however long the stream is. An element is at most as long as the body of a single request may be.
2. Each element is in either form of the API, by the rules of a single body. In msgpack today's ``time``
   may be an int of microseconds; the 2016 times are milliseconds in every encoding. ``own``: as for
   :func:`~yamcs_archive.wire.json.decode_event`.
3. A piece whose elements are all common ones becomes columns at once; the elements of any other are decoded
   one by one, by the rules.
4. The error of an element has its position, from 0, and comes behind all elements before it.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import msgpack

from yamcs_archive.columns import Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.wire import json, protobuf
from yamcs_archive.wire.columns import decoder, protobuf_decoder
from yamcs_archive.wire.form import Form
from yamcs_archive.wire.msgpack_time import unreadable_field

Element = tuple[Form, Event]
Part = Columns[int | None] | list[Element]
"""Some elements of a stream, one at least: as columns, which are of today's form, or one by one."""

_OUTPUT_BYTES = 256 << 10
_PIECE_BYTES_MIN, _PIECE_BYTES_MAX = 256 << 10, 512 << 10
"""Bytes that are decoded together: for few elements, to begin costs more than they do; and where one is not
common, all of them are decoded one by one. What comes in such a size, as from granian, need not be copied."""
_REASONS: dict[type[Exception], str] = {
    msgpack.FormatError: "begins with a byte that begins nothing",
    msgpack.StackError: "is nested too deeply",
}
"""What msgpack raises without a word."""
_HELD_BYTES_MAX = BODY_BYTES_MAX + _OUTPUT_BYTES
"""Of msgpack that is no whole element yet."""
_VARINT_BYTES_MAX = 10


def gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what gzip members hold, in pieces of bounded size: a bomb is read no faster than it is used.

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


def from_ndjson(
    chunks: Iterable[bytes], *, own: bool = False, empty: array[int] | None = None
) -> Iterator[Part]:
    """Yield the elements of newline-delimited JSON; empty lines are passed over.

    For each of these ``empty`` gets the position of the element after it, so that lines can be counted.

    >>> [part.message for part in from_ndjson([b'{"message": "a"}\\n{"mess', b'age": "b"}'])]
    [['a'], ['b']]
    """
    position = 0
    decode = partial(json.decode_event, own=own)
    try:
        for lines in _lines(_without_bom(_pieces(chunks))):
            offered = decoder.of_lines(lines, own=own)
            if offered is not None:
                position += offered.size
                del lines  # so that it is not held while what it said is stored
                yield offered
                continue
            several = []
            for line in lines.split(b"\n"):
                if line.strip():
                    several.append(line)
                elif empty is not None:
                    empty.append(position + len(several))
            yield from _one_by_one(several, decode, position)
            position += len(several)
    except InvalidInputError as error:
        raise _placed(error, position) from None


def from_protobuf(chunks: Iterable[bytes]) -> Iterator[Part]:
    """Yield the elements of a stream of messages, each preceded by its length as a varint.

    >>> [part.message for part in from_protobuf([bytes.fromhex("031a0161"), bytes.fromhex("031a0162")])]
    [['a', 'b']]
    """
    position = 0
    try:
        for held, starts, stops in _delimited(_pieces(chunks)):
            offered = protobuf_decoder.of_messages(held, starts, stops)
            if offered is not None:
                yield offered
            else:
                several = (held[start:stop] for start, stop in zip(starts, stops, strict=True))
                yield from _one_by_one(several, _decode_message, position)
            position += len(starts)
    except InvalidInputError as error:
        raise _placed(error, position) from None


def _decode_message(body: bytes) -> Element:
    event = decoder.of_message(body)
    return protobuf.decode_event(body) if event is None else (Form.TODAY, event)


def from_msgpack(chunks: Iterable[bytes], *, own: bool = False) -> Iterator[Part]:
    """Yield the elements of a msgpack stream of maps.

    >>> import msgpack
    >>> [part.generation_time for part in from_msgpack([msgpack.packb({"message": "a", "time": 5})])]
    [array('q', [5])]
    """
    position = read = 0
    held, seen = b"", _unpacker()
    decode = partial(json.event_of_msgpack, own=own)
    try:
        for piece in _pieces(chunks):
            held += piece
            count, stop, whole = _skipped(seen, piece, read)
            elements, held = held[: stop - read], held[stop - read :]
            offered = decoder.of_maps(elements, count, own=own) if count else None
            if offered is not None:
                del piece, elements
                yield offered
            elif count:
                yield from _one_by_one(_maps(elements, read), decode, position)
            position, read = position + count, stop
            if not whole or len(held) > _HELD_BYTES_MAX:
                break
        if held:
            # What is wrong with it is said by who reads it.
            raise AssertionError(next(_maps(held, read, too_long=len(held) > _HELD_BYTES_MAX)))
    except InvalidInputError as error:
        raise _placed(error, position) from None


def _placed(error: InvalidInputError, position: int) -> InvalidInputError:
    """Give an error the position of the next element, unless it has that of its own."""
    if error.position is None:
        error.position = position
    return error


def _one_by_one(
    elements: Iterable[Any], decode: Callable[[Any], Element], before: int
) -> Iterator[list[Element]]:
    """Yield the elements; the error of one, counted from ``before``, comes behind those before it."""
    found: list[Element] = []
    try:
        found.extend(map(decode, elements))  # keeps what came before, should one fail
    except Exception as error:
        if isinstance(error, InvalidInputError):
            _placed(error, before + len(found))
        if found:
            yield found
        raise
    if found:
        yield found


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the stream in pieces of about one size; what came before an error comes before it here too."""
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


def _without_bom(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a stream of text without a byte order mark at its beginning."""
    for first in pieces:
        yield first.removeprefix(json.BOM)
        break
    yield from pieces


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the stream in pieces that end where a line does."""
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
                raise _too_long(size)
    yield b"".join(held)


def _taken(held: list[bytes]) -> bytes:
    """Return what is held as one, and hold it no longer."""
    found = b"".join(held)
    held.clear()
    return found


def delimited(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the messages of a stream in which each has its length before it, as a varint.

    >>> list(delimited([bytes.fromhex("0161"), bytes.fromhex("01")]))
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: body '01': ends within an element
    """
    for held, starts, stops in _delimited(chunks):
        for start, stop in zip(starts, stops, strict=True):
            yield held[start:stop]


def _delimited(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, list[int], list[int]]]:
    """Yield messages as they come: bytes, and where in them the messages begin and end."""
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


def _length(held: bytes, at: int) -> tuple[int, int] | None:
    """Return the varint at a place and where it ends; None while it is not whole."""
    value = 0
    for index in range(_VARINT_BYTES_MAX):
        if at + index >= len(held):
            return None
        byte = held[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise InvalidInputError("body", held[at : at + 20].hex(), "has no length of an element here")


def _bounds(held: bytes) -> tuple[list[int], list[int], InvalidInputError | None]:
    """Return where the whole messages begin and end, and what is wrong behind them, if anything is."""
    starts: list[int] = []
    stops: list[int] = []
    at, size = 0, len(held)
    try:
        while at < size:
            length, begin = held[at], at + 1
            if length > 0x7F:  # most are of two bytes at most
                if begin < size and held[begin] < 0x80:
                    length, begin = length & 0x7F | held[begin] << 7, begin + 1
                elif (found := _length(held, at)) is None:
                    break
                else:
                    length, begin = found
            if length > BODY_BYTES_MAX:
                raise _too_long(length)
            at = begin + length
            if at > size:
                break
            starts.append(begin)
            stops.append(at)
    except InvalidInputError as error:
        return starts, stops, error
    return starts, stops, None


def _unpacker() -> Any:
    return msgpack.Unpacker(max_buffer_size=_HELD_BYTES_MAX, strict_map_key=True)


def _skipped(seen: Any, piece: bytes, stop: int) -> tuple[int, int, bool]:
    """Return how many more elements are whole, where in the stream they end, and whether more may come.

    ``stop`` is where those before them end.
    """
    count = 0
    skip, tell = seen.skip, seen.tell
    try:
        for start in range(0, len(piece), _OUTPUT_BYTES):
            seen.feed(piece[start : start + _OUTPUT_BYTES])
            try:
                while True:
                    skip()
                    stop = tell()
                    count += 1
            except msgpack.OutOfData:
                pass
    except (ValueError, msgpack.UnpackException, msgpack.BufferFull):
        return count, stop, False
    return count, stop, True


def _maps(raw: bytes, before: int, *, too_long: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the maps of some elements that begin at that byte of the stream.

    ``too_long``: where they are cut short, that is because what was read is too long.
    """
    unpacker = _unpacker()
    read = 0
    for start in range(0, len(raw), _OUTPUT_BYTES):
        try:
            unpacker.feed(raw[start : start + _OUTPUT_BYTES])
            for element in unpacker:
                if not isinstance(element, dict):
                    raise InvalidInputError("element", element, "must be a map")
                read = unpacker.tell()
                yield element
        except msgpack.BufferFull:
            raise _too_long(BODY_BYTES_MAX + 1) from None
        except (ValueError, msgpack.UnpackException) as error:
            if isinstance(error, InvalidInputError):
                raise
            reason = _REASONS.get(type(error)) or f"cannot be read: {error}"
            if (name := unreadable_field(raw[read:])) is not None:
                raise InvalidInputError(name, f"msgpack from byte {before + read}", reason) from None
            raise InvalidInputError("body", f"msgpack from byte {before + read}", reason) from None
    if read != len(raw):
        raise (
            _too_long(len(raw))
            if too_long
            else InvalidInputError("body", f"byte {before + read}", "ends within an element")
        )


def _too_long(size: int) -> InvalidInputError:
    return InvalidInputError("element", f"{size} bytes or more", f"must be at most {BODY_BYTES_MAX} bytes")

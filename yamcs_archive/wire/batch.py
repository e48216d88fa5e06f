"""Streams of create bodies -> events: newline-delimited JSON, varint-delimited protobuf, msgpack maps; pure.

1. Elements are decoded as their bytes come; what is held is one element and one chunk with its events,
   however long the stream is. An element is at most as long as the body of a single request may be.
2. Each element is in either form of the API, by the rules of a single body. In msgpack today's ``time``
   may be an int of microseconds; the 2016 times are milliseconds in every encoding.
3. The error of an element has its position, from 0.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Any

import msgpack

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.wire import common, json, protobuf
from yamcs_archive.wire.forms import Form

Element = tuple[Form, Event]

_OUTPUT_BYTES = 256 << 10
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


def from_ndjson(chunks: Iterable[bytes]) -> Iterator[Element]:
    """Yield the elements of newline-delimited JSON; empty lines are passed over.

    >>> [event.message for _, event in from_ndjson([b'{"message": "a"}\\n{"mess', b'age": "b"}'])]
    ['a', 'b']
    """
    return chain.from_iterable(_of_lines(chunks))


def from_protobuf(chunks: Iterable[bytes]) -> Iterator[Element]:
    """Yield the elements of a stream of messages, each preceded by its length as a varint.

    >>> [event.message for _, event in from_protobuf([bytes.fromhex("031a0161"), bytes.fromhex("031a0162")])]
    ['a', 'b']
    """
    return _decoded(delimited(chunks), common.of_message, protobuf.decode_event)


def from_msgpack(chunks: Iterable[bytes]) -> Iterator[Element]:
    """Yield the elements of a msgpack stream of maps.

    >>> import msgpack
    >>> [event.generation_time for _, event in from_msgpack([msgpack.packb({"message": "a", "time": 5})])]
    [5]
    """
    return _decoded(_maps(chunks), common.of_map, json.event_of_msgpack)


def _decoded(
    elements: Iterable[Any],
    decode_common: Callable[[Any], Event | None],
    decode: Callable[[Any], Element],
    before: int = 0,
) -> Iterator[Element]:
    """Yield the elements; the error of one has its position, counted from ``before``."""
    position = before
    try:
        for position, element in enumerate(elements, before):  # it stays for the error
            event = decode_common(element)
            yield decode(element) if event is None else (Form.TODAY, event)
            position += 1  # noqa: PLW2901  # what fails from here on is the next one
    except InvalidInputError as error:
        if error.position is None:
            error.position = position
        raise


def _of_lines(chunks: Iterable[bytes]) -> Iterator[Iterable[Element]]:
    """Yield the elements of whole lines, a chunk at a time: at once, or one by one where need be."""
    position = 0
    try:
        for lines in _lines(chunks):
            events = common.of_lines(lines)
            if events is not None:
                position += len(events)
                yield zip(repeat(Form.TODAY), events)  # one of the two has no end
                continue
            several = [line for line in lines.split(b"\n") if line.strip()]
            yield _decoded(several, lambda _: None, json.decode_event, position)
            position += len(several)
    except InvalidInputError as error:  # of the stream; an element's own is raised where it is decoded
        if error.position is None:
            error.position = position
        raise


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the stream in pieces that end where a line does."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        whole, newline, rest = chunk.rpartition(b"\n")
        if newline:
            yield b"".join((*held, whole))
            held, size = [], 0
        if rest:
            held.append(rest)
            size += len(rest)
            if size > BODY_BYTES_MAX:
                raise _too_long(size)
    yield b"".join(held)


def delimited(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the messages of a stream in which each has its length before it, as a varint.

    >>> list(delimited([bytes.fromhex("0161"), bytes.fromhex("01")]))
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: body '01': ends within an element
    """
    held = bytearray()
    for chunk in chunks:
        held += chunk
        at = 0
        while (found := _length(held, at)) is not None:
            length, begin = found
            if length > BODY_BYTES_MAX:
                raise _too_long(length)
            if begin + length > len(held):
                break
            yield bytes(held[begin : begin + length])
            at = begin + length
        del held[:at]
    if held:
        raise InvalidInputError("body", held[:20].hex(), "ends within an element")


def _length(held: bytearray, at: int) -> tuple[int, int] | None:
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


def _maps(chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    unpacker = msgpack.Unpacker(max_buffer_size=BODY_BYTES_MAX + _OUTPUT_BYTES, strict_map_key=True)
    fed = read = 0
    for chunk in chunks:
        fed += len(chunk)
        for start in range(0, len(chunk), _OUTPUT_BYTES):
            try:
                unpacker.feed(chunk[start : start + _OUTPUT_BYTES])
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
                raise InvalidInputError("body", "msgpack", f"cannot be read: {error}") from None
    if read != fed:
        raise InvalidInputError("body", f"byte {read}", "ends within an element")


def _too_long(size: int) -> InvalidInputError:
    return InvalidInputError("element", f"{size} bytes or more", f"must be at most {BODY_BYTES_MAX} bytes")

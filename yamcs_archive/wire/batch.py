"""Streams of create bodies -> events: newline-delimited JSON, varint-delimited protobuf, msgpack maps; pure.

1. Elements are decoded as their bytes come (:mod:`~yamcs_archive.wire.framing` says in which pieces).
2. Each element is in either form of the API, by the rules of a single body; in msgpack by those of
   :mod:`~yamcs_archive.wire.msgpack`.
3. A piece whose elements are all common ones is decoded at once (:mod:`~yamcs_archive.wire.bulk`); the
   elements of any other piece are decoded one by one, by the rules.
4. The error of an element has its position, from 0, and comes after all elements before it.

``own`` and ``keeps_user`` are as for :func:`~yamcs_archive.wire.json.decode_event`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from yamcs_archive.columns import Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.wire import bulk, json, msgpack, protobuf
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.framing import delimited_bounds, pieces, whole_lines


class Part(NamedTuple):
    """Elements of a stream that follow one another and are in one form; at least one."""

    form: Form
    events: Columns[int | None]


def from_ndjson(
    chunks: Iterable[bytes],
    *,
    own: bool = False,
    keeps_user: bool = False,
) -> Iterator[Part]:
    """Yield the elements of newline-delimited JSON; empty lines are passed over.

    >>> [part.events.message for part in from_ndjson([b'{"message": "a"}\\n{"mess', b'age": "b"}'])]
    [['a'], ['b']]
    """
    position = 0
    decode = partial(json.decode_event, own=own, keeps_user=keeps_user)
    try:
        for lines in whole_lines(_without_bom(pieces(chunks))):
            events = bulk.decode_json_lines(lines, own=own, keeps_user=keeps_user)
            if events is not None:
                position += events.size
                del lines  # so that it is not held while its events are stored
                yield Part(Form.TODAY, events)
                continue
            several = [line for line in lines.split(b"\n") if line.strip()]
            yield from _one_by_one(several, decode, position)
            position += len(several)
    except InvalidInputError as error:
        raise _with_position(error, position) from None


def _without_bom(stream: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a stream of text without a byte order mark at its beginning."""
    for first in stream:
        yield first.removeprefix(json.BOM)
        break
    yield from stream


def from_protobuf(chunks: Iterable[bytes], *, keeps_user: bool = False) -> Iterator[Part]:
    """Yield the elements of a stream of messages, each with its length before it as a varint.

    >>> body = bytes.fromhex("031a0161 031a0162")
    >>> [part.events.message for part in from_protobuf([body])]
    [['a', 'b']]
    """
    position = 0
    try:
        for held, starts, stops in delimited_bounds(pieces(chunks)):
            events = bulk.decode_protobuf_messages(held, starts, stops)
            if events is not None:
                yield Part(Form.TODAY, events)
            else:
                several = (held[start:stop] for start, stop in zip(starts, stops, strict=True))
                decode = partial(protobuf.decode_event, keeps_user=keeps_user)
                yield from _one_by_one(several, decode, position)
            position += len(starts)
    except InvalidInputError as error:
        raise _with_position(error, position) from None


RejectElement = Callable[[Any, InvalidInputError], None]


def from_msgpack(
    chunks: Iterable[bytes],
    *,
    own: bool = False,
    keeps_user: bool = False,
    reject: RejectElement | None = None,
) -> Iterator[Part]:
    """Yield the elements of a msgpack stream of maps.

    ``reject`` gets each element that is msgpack, but no event, with its error; then positions count the
    others. Without it such an element ends the stream.

    >>> body = bytes.fromhex("82a76d657373616765a161a474696d6505")  # {"message": "a", "time": 5}
    >>> [part.events.generation_time for part in from_msgpack([body])]
    [array('q', [5])]
    """
    position = read = 0
    held, unpacker = b"", msgpack.unpacker()
    decode = partial(msgpack.event_of, own=own, keeps_user=keeps_user)
    try:
        for piece in pieces(chunks):
            held += piece
            count, stop, readable = msgpack.skip_elements(unpacker, piece, read)
            elements, held = held[: stop - read], held[stop - read :]
            events = (
                bulk.decode_msgpack_maps(elements, count, own=own, keeps_user=keeps_user) if count else None
            )
            read_before, read = read, stop
            if events is not None:
                del piece, elements  # as lines in from_ndjson
                yield Part(Form.TODAY, events)
                position += count
            elif count:
                each = msgpack.elements(elements, read_before)
                for part in (
                    _one_by_one(each, decode, position)
                    if reject is None
                    else _accepted(each, decode, position, reject)
                ):
                    position += part.events.size
                    yield part
            if not readable or len(held) > msgpack.HELD_BYTES_MAX:
                break
        if held:  # the rest is no element: reading it raises the error that gives the reason
            raise AssertionError(next(msgpack.elements(held, read)))
    except InvalidInputError as error:
        raise _with_position(error, position) from None


def _with_position(error: InvalidInputError, position: int) -> InvalidInputError:
    """Give an error the position of the next element, unless it has one of its own."""
    if error.position is None:
        error.position = position
    return error


def _one_by_one(
    elements: Iterable[Any], decode: Callable[[Any], tuple[Form, Event]], before: int
) -> Iterator[Part]:
    """Yield elements that follow ``before`` others; an error is raised after the elements before it."""
    found: list[tuple[Form, Event]] = []
    try:
        found.extend(map(decode, elements))  # on an error, those before it are kept
    except Exception as error:
        if isinstance(error, InvalidInputError):
            _with_position(error, before + len(found))
        yield from _parts(found)
        raise
    yield from _parts(found)


def _accepted(
    elements: Iterable[Any],
    decode: Callable[[Any], tuple[Form, Event]],
    before: int,
    reject: RejectElement,
) -> Iterator[Part]:
    """Yield those elements that are events; ``reject`` gets the others."""
    found: list[tuple[Form, Event]] = []
    for element in elements:
        try:
            found.append(decode(element))
        except InvalidInputError as error:
            reject(element, _with_position(error, before + len(found)))
    yield from _parts(found)


def _parts(elements: list[tuple[Form, Event]]) -> Iterator[Part]:
    for form, several in groupby(elements, itemgetter(0)):
        yield Part(form, Columns.of([event for _, event in several]))

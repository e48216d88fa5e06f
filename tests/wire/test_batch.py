"""Streams of events, read whole, byte by byte and in odd pieces, give equal results."""

from __future__ import annotations

import gzip
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive import Event, InvalidInputError
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.wire import batch
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.framing import gunzipped
from yamcs_archive.wire.pb import yamcs_archive_2016_pb2 as v2016
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import varint

Reader = Callable[[Iterable[bytes]], Iterator[batch.Part]]
READERS: list[Reader] = [batch.from_ndjson, batch.from_protobuf, batch.from_msgpack]
messages = st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=8)


def elements(parts: Iterable[batch.Part]) -> Iterator[tuple[Form, Event]]:
    """The elements of a stream, each with its form."""
    for form, events in parts:
        assert events.size
        yield from ((form, event) for event in events.events())


def delimited(bodies: Iterable[bytes]) -> bytes:
    return b"".join(varint(len(body)) + body for body in bodies)


def encoded(texts: list[str]) -> list[tuple[Reader, bytes]]:
    """The same events, alternately in both forms, in each encoding."""
    fields: list[dict[str, Any]] = [
        {"message": text, "source": "S", "seqNumber": n, "generationTime": n, "receptionTime": n}
        if n % 2
        else {"message": text, "source": "S", "sequenceNumber": n, "time": f"1970-01-01T00:00:00.{n:03}Z"}
        for n, text in enumerate(texts)
    ]
    bodies = []
    for n, text in enumerate(texts):
        if n % 2:
            bodies.append(
                v2016.Event(
                    source="S", generationTime=n, receptionTime=n, seqNumber=n, message=text
                ).SerializeToString()
            )
        else:
            body = today.CreateEventRequest(message=text, source="S", sequenceNumber=n)
            body.time.FromMilliseconds(n)
            bodies.append(body.SerializeToString())
    return [
        (batch.from_ndjson, b"\n".join(map(msgspec.json.encode, fields))),
        (batch.from_protobuf, delimited(bodies)),
        (batch.from_msgpack, b"".join(map(msgpack.packb, fields))),
    ]


def pieces(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


@given(messages, st.integers(2, 9))
def test_whole_bytewise_and_in_pieces_give_the_same_in_every_encoding(texts: list[str], size: int) -> None:
    for read, body in encoded(texts):
        whole = list(elements(read([body])))
        assert [event.message for _, event in whole] == texts
        assert [form for form, _ in whole] == [Form.V2016 if n % 2 else Form.TODAY for n in range(len(texts))]
        assert [event.generation_time for _, event in whole] == [n * 1000 for n in range(len(texts))]
        assert list(elements(read(pieces(body, 1)))) == list(elements(read(pieces(body, size)))) == whole
        zipped = gzip.compress(body)
        assert list(elements(read(gunzipped(pieces(zipped, size))))) == whole
        assert list(elements(read(gunzipped([zipped + gzip.compress(b"")])))) == whole


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_an_empty_stream_has_no_elements(read: Reader) -> None:
    assert list(read([])) == list(read([b""])) == []


def test_empty_lines_and_a_last_line_without_an_end_are_fine() -> None:
    body = b'\n\r\n{"message": "a"}\r\n  \n{"message": "b"}'
    assert [event.message for _, event in elements(batch.from_ndjson([body]))] == ["a", "b"]


GOOD_LINE, GOOD_BODY = b'{"message": "a"}\n', today.CreateEventRequest(message="a").SerializeToString()
GOOD_MAP = msgpack.packb({"message": "a"})


@pytest.mark.parametrize(
    ("read", "body", "field"),
    [
        (batch.from_ndjson, GOOD_LINE * 3 + b"{\n" + GOOD_LINE, "body"),
        (batch.from_ndjson, GOOD_LINE * 3 + b'{"message": "a", "seqNumber": 1.5}', "seqNumber"),
        (batch.from_ndjson, GOOD_LINE * 3 + b"[]\n", "body"),
        (batch.from_ndjson, GOOD_LINE * 3 + b'{"mess', "body"),
        (batch.from_ndjson, GOOD_LINE * 3 + b" " * (BODY_BYTES_MAX + 1), "element"),
        (batch.from_protobuf, delimited([GOOD_BODY] * 3) + varint(3) + b"\x1a\x01\xff", "message"),
        (batch.from_protobuf, delimited([GOOD_BODY] * 3) + varint(30) + GOOD_BODY, "body"),
        (batch.from_protobuf, delimited([GOOD_BODY] * 3) + varint(BODY_BYTES_MAX + 1), "element"),
        (batch.from_protobuf, delimited([GOOD_BODY] * 3) + b"\xff" * 12, "body"),
        (batch.from_protobuf, delimited([GOOD_BODY] * 3) + b"\x80", "body"),
        (batch.from_protobuf, delimited([GOOD_BODY] * 3) + varint(0), "body"),
        (batch.from_msgpack, GOOD_MAP * 3 + msgpack.packb([1]), "element"),
        (batch.from_msgpack, GOOD_MAP * 3 + GOOD_MAP[:-1], "body"),
        (batch.from_msgpack, GOOD_MAP * 3 + b"\xc1", "body"),
        (batch.from_msgpack, GOOD_MAP * 3 + msgpack.packb({1: 2}), "body"),
        (batch.from_msgpack, GOOD_MAP * 3 + msgpack.packb({"message": "a", b"x": 2}), "body"),
        (
            batch.from_msgpack,
            GOOD_MAP * 3 + msgpack.packb({"message": "a", "generationTime": "2026-01-01T00:00:00Z", b"x": 2}),
            "body",
        ),
        (batch.from_msgpack, GOOD_MAP * 3 + msgpack.packb({"message": "a", "extra": {b"k": "v"}}), "extra"),
        (batch.from_msgpack, GOOD_MAP * 3 + b"\x81\xa1a\xc6\x7f\xff\xff\xff", "body"),
        (batch.from_msgpack, GOOD_MAP * 3 + msgpack.packb({"message": "a", "time": 2**62}), "time"),
        (batch.from_msgpack, GOOD_MAP * 3 + msgpack.packb({"message": b"bytes"}), "message"),
        (
            batch.from_msgpack,
            GOOD_MAP * 3 + msgpack.packb({"message": "a", "extensions": b"\x08\x01"}),
            "extensions",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:40]),
)
def test_a_bad_element_is_named_with_its_position_and_those_before_it_are_given(
    read: Reader, body: bytes, field: str
) -> None:
    found = elements(read(pieces(body, 1 << 20)))
    assert [next(found)[1].message for _ in range(3)] == ["a"] * 3
    with pytest.raises(InvalidInputError) as caught:
        next(found)
    assert (caught.value.position, caught.value.field) == (3, field)


def test_msgpack_takes_microseconds_and_raw_extensions() -> None:
    body = msgpack.packb({"message": "a", "time": -5}) + msgpack.packb(
        {"message": "b", "generationTime": 7, "extensions": b"\xa0\x06\x01"}
    )
    first, second = (event for _, event in elements(batch.from_msgpack([body])))
    assert first.generation_time == -5
    assert (second.generation_time, second.extensions) == (7000, b"\xa0\x06\x01")


@pytest.mark.parametrize(
    "body",
    [b"not gzip", gzip.compress(b"abc")[:-4], gzip.compress(b"abc") + b"x"],
    ids=["none", "cut short", "trailing bytes"],
)
def test_a_body_that_is_not_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError, match="gzip"):
        list(gunzipped(pieces(body, 4)))


def test_a_gzip_bomb_comes_in_small_pieces() -> None:
    bomb = gzip.compress(bytes(50 << 20))
    sizes = [len(piece) for piece in gunzipped([bomb])]
    assert (sum(sizes), max(sizes) <= 1 << 20) == (50 << 20, True)
    with pytest.raises(InvalidInputError, match="must be at most"):
        list(batch.from_ndjson(gunzipped([bomb])))


class BrokenOffError(Exception):
    pass


def broken_off(chunks: list[bytes]) -> Iterator[bytes]:
    yield from chunks
    raise BrokenOffError


@given(messages, st.integers(1, 9), st.integers(0, 200))
def test_a_stream_that_breaks_off_gives_its_whole_elements_first(
    texts: list[str], size: int, stop: int
) -> None:
    for read, body in encoded(texts):
        whole = list(elements(read([body])))
        found: list[tuple[Form, Event]] = []
        with pytest.raises(BrokenOffError):
            found.extend(elements(read(broken_off(pieces(body[:stop], size)))))
        assert found == whole[: len(found)]
        # An element that lacks only its line feed may be left out.
        assert stop < len(body) or len(found) >= len(whole) - 1


def many(count: int) -> list[tuple[Reader, list[bytes]]]:
    """Common elements in each encoding, each with its separator."""
    fields = [{"message": f"m{n}" * 9, "source": "S", "sequenceNumber": n} for n in range(count)]
    bodies = [today.CreateEventRequest(**each).SerializeToString() for each in fields]  # type: ignore[arg-type]  # text and numbers
    return [
        (batch.from_ndjson, [msgspec.json.encode(each) + b"\n" for each in fields]),
        (batch.from_protobuf, [delimited([body]) for body in bodies]),
        (batch.from_msgpack, [msgpack.packb(each) for each in fields]),
    ]


UNUSUAL: dict[Reader, bytes] = {
    batch.from_ndjson: b'{"message": "odd", "sequenceNumber": "7"}\n',
    batch.from_protobuf: delimited(
        [today.CreateEventRequest(message="odd", sequenceNumber=7, instance="i").SerializeToString()]
    ),
    batch.from_msgpack: msgpack.packb({"message": "odd", "sequenceNumber": "7"}),
}


EMPTY: dict[Reader, bytes] = {
    batch.from_ndjson: b"{}\n",
    batch.from_protobuf: delimited([b""]),
    batch.from_msgpack: msgpack.packb({}),
}


def test_long_streams_become_columns_but_where_an_element_is_unusual() -> None:
    for read, bodies in many(40_000):
        usual = [event for _, event in elements(read([b"".join(bodies)]))]
        assert [event.seq_number for event in usual] == list(range(40_000))
        assert {type(part.events.seq_number) for part in read(pieces(b"".join(bodies), 70_001))} == {array}
        bodies[30_000] = UNUSUAL[read]
        parts = list(read(pieces(b"".join(bodies), 70_001)))
        assert {type(part.events.seq_number) for part in parts} == {array, list}
        events = [event for _, event in elements(parts)]
        assert (events[30_000].message, events[30_000].seq_number) == ("odd", 7)
        assert events[:30_000] + events[30_001:] == usual[:30_000] + usual[30_001:]


def test_the_position_of_an_error_counts_all_pieces_before_it() -> None:
    for read, bodies in many(40_000):
        bodies[35_000] = EMPTY[read]
        found: list[tuple[Form, Event]] = []
        with pytest.raises(InvalidInputError) as caught:
            found.extend(elements(read(pieces(b"".join(bodies), 70_001))))
        assert (len(found), caught.value.position) == (35_000, 35_000)


def test_msgpack_that_is_cut_short_says_at_which_byte_of_the_stream() -> None:
    body = GOOD_MAP * 100_000
    with pytest.raises(InvalidInputError) as caught:
        list(batch.from_msgpack(pieces(body[:-1], 70_001)))
    assert caught.value.value == f"byte {len(body) - len(GOOD_MAP)}"
    assert caught.value.position == 99_999


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"\xc1", "begins with a byte that begins nothing"),
        (b"\x81\xa1a" + b"\x91" * 3_000, "is nested too deeply"),
        (b"\x81\x01\x01", "cannot be read: int is not allowed for map key"),
    ],
)
def test_msgpack_that_is_none_says_why_and_at_which_byte(broken: bytes, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason) as caught:
        list(batch.from_msgpack([GOOD_MAP * 3 + broken]))
    assert caught.value.value == f"msgpack from byte {3 * len(GOOD_MAP)}"
    assert caught.value.position == 3


def test_a_msgpack_map_that_is_too_long_is_refused_before_it_is_whole() -> None:
    held = []

    def endless() -> Iterator[bytes]:
        yield b"\xdf\x00\x40\x00\x00"  # 4 Mi entries
        while True:
            held.append(1)
            yield b"\xa1a\xa1b" * 50_000

    with pytest.raises(InvalidInputError, match="must be at most"):
        list(batch.from_msgpack(endless()))
    assert len(held) * 200_000 < 2 * BODY_BYTES_MAX

"""Streams of events: fed whole, byte by byte and in odd pieces, the results are equal."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive import InvalidInputError
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.wire import batch
from yamcs_archive.wire.fields import varint
from yamcs_archive.wire.forms import Form
from yamcs_archive.wire.pb import yamcs_archive_2016_pb2 as v2016
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

Reader = Callable[[Iterable[bytes]], Iterator[batch.Element]]
messages = st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=8)


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
        whole = list(read([body]))
        assert [event.message for _, event in whole] == texts
        assert [form for form, _ in whole] == [Form.V2016 if n % 2 else Form.TODAY for n in range(len(texts))]
        assert [event.generation_time for _, event in whole] == [n * 1000 for n in range(len(texts))]
        assert list(read(pieces(body, 1))) == list(read(pieces(body, size))) == whole
        zipped = gzip.compress(body)
        assert list(read(batch.gunzipped(pieces(zipped, size)))) == whole
        assert list(read(batch.gunzipped([zipped + gzip.compress(b"")]))) == whole


@pytest.mark.parametrize(
    "read", [batch.from_ndjson, batch.from_protobuf, batch.from_msgpack], ids=lambda read: read.__name__
)
def test_an_empty_stream_has_no_elements(read: Reader) -> None:
    assert list(read([])) == list(read([b""])) == []


def test_empty_lines_and_a_last_line_without_an_end_are_fine() -> None:
    body = b'\n\r\n{"message": "a"}\r\n  \n{"message": "b"}'
    assert [event.message for _, event in batch.from_ndjson([body])] == ["a", "b"]


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
    elements = read(pieces(body, 1 << 20))
    assert [next(elements)[1].message for _ in range(3)] == ["a"] * 3
    with pytest.raises(InvalidInputError) as caught:
        next(elements)
    assert (caught.value.position, caught.value.field) == (3, field)


def test_msgpack_takes_microseconds_and_raw_extensions() -> None:
    body = msgpack.packb({"message": "a", "time": -5}) + msgpack.packb(
        {"message": "b", "generationTime": 7, "extensions": b"\xa0\x06\x01"}
    )
    first, second = (event for _, event in batch.from_msgpack([body]))
    assert first.generation_time == -5
    assert (second.generation_time, second.extensions) == (7000, b"\xa0\x06\x01")


@pytest.mark.parametrize(
    "body",
    [b"not gzip", gzip.compress(b"abc")[:-4], gzip.compress(b"abc") + b"x"],
    ids=["none", "cut short", "more behind"],
)
def test_what_is_not_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError, match="gzip"):
        list(batch.gunzipped(pieces(body, 4)))


def test_a_gzip_bomb_comes_in_small_pieces() -> None:
    bomb = gzip.compress(bytes(50 << 20))
    sizes = [len(piece) for piece in batch.gunzipped([bomb])]
    assert (sum(sizes), max(sizes) <= 1 << 20) == (50 << 20, True)
    with pytest.raises(InvalidInputError, match="must be at most"):
        list(batch.from_ndjson(batch.gunzipped([bomb])))

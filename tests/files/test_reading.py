"""What is no event in a file of JSON or msgpack is rejected at its place, and all others are read."""

from __future__ import annotations

import base64

import msgpack
import msgspec
import pytest

from tests.files.reading import places, read, sorted_out
from yamcs_archive import Event, InvalidInputError
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.wire.json import sent

GOOD = [
    Event(f"m{n}", generation_time=n, seq_number=n, reception_time=n, extra={"k": "v"} if n % 3 else {})
    for n in range(9)
]
LINES = [msgspec.json.encode(sent(event)) for event in GOOD]
MAPS = [msgpack.packb(sent(event)) for event in GOOD]


def test_bad_lines_are_rejected_with_their_bytes() -> None:
    bad = [b"{", b'{"message": "a"}', b"[]", LINES[0].replace(b"m0", b"\xff")]
    body = b"\r\n".join([b"", *LINES[:3], bad[0], b" ", *LINES[3:5], *bad[1:], *LINES[5:]])
    found, rejected = sorted_out(body, "jsonl")
    assert found == GOOD
    assert places(rejected) == ["line 5", "line 10", "line 11", "line 9"]  # a missing key is found last
    assert [each.raw for each in rejected if b"message" not in each.raw or b"\xff" in each.raw] == [
        bad[0],
        bad[2],
        bad[3],
    ]
    assert "is not UTF-8 at byte" in rejected[2].reason


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_any_way(ends: bytes) -> None:
    assert read(ends.join(LINES), "jsonl") == GOOD
    assert read(ends.join([*LINES[:4], b"\n".join(LINES[4:])]), "jsonl") == GOOD


def test_a_line_of_ten_megabytes_is_rejected_and_the_next_ones_are_read() -> None:
    long = b'{"message": "' + b"x" * (10 << 20) + b'"}'
    body = b"\n".join([LINES[0], long, *LINES[1:]])
    found, rejected = sorted_out(body, "jsonl")
    assert (found, places(rejected)) == (GOOD, ["line 2"])
    assert str(BODY_BYTES_MAX) in rejected[0].reason
    with pytest.raises(InvalidInputError, match=f"{len(long)} bytes or more") as caught:
        read(body, "jsonl")
    assert caught.value.position == 1


def test_bytes_that_are_no_utf_8_are_kept_by_request() -> None:
    line = LINES[1].replace(b"m1", b"caf\xe9")
    with pytest.raises(InvalidInputError, match=f"is not UTF-8 at byte {line.index(0xE9)}"):
        read(line, "jsonl")
    [event] = read(line, "jsonl", keep_invalid_utf8=True)
    assert event.message == "caf�"
    assert base64.b64decode(event.extra.pop("rawBase64")) == line
    assert event.extra == {"k": "v"}
    assert read(LINES[1], "jsonl", keep_invalid_utf8=True) == GOOD[1:2]


def test_maps_that_are_no_events_are_rejected() -> None:
    bad = [msgpack.packb(5), msgpack.packb({"message": "a"}), msgpack.packb({"message": 5, "time": 1})]
    found, rejected = sorted_out(b"".join([bad[0], *MAPS[:4], *bad[1:], *MAPS[4:]]), "msgpack")
    assert found == GOOD
    assert places(rejected) == ["element 1", "element 6", "element 7"]


@pytest.mark.parametrize("end", [MAPS[0][:-1], b"\xc1" + MAPS[0]])
def test_after_bytes_that_are_no_msgpack_nothing_is_found(end: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        sorted_out(b"".join(MAPS[:4]) + end, "msgpack")
    assert caught.value.position == 4

"""Lines are the same however the file is cut into chunks, and long ones are not held."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive import InvalidInputError
from yamcs_archive.files.lines import LongLine, text_lines

MARK = b"\xef\xbb\xbf"


def in_chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


def lines_of(chunks: Iterator[bytes], bytes_max: int = 1 << 20) -> list[bytes]:
    found = []
    for piece in text_lines(chunks, bytes_max):
        assert isinstance(piece, bytes)
        found += piece.split(b"\n")
    return found


@given(
    st.lists(st.binary(max_size=5).filter(lambda line: not {*b"\r\n"} & {*line}), min_size=1, max_size=9),
    st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=9, max_size=9),
    st.booleans(),
    st.integers(1, 9),
)
def test_any_mix_of_ends_gives_each_line_once(
    lines: list[bytes], ends: list[bytes], ended: bool, size: int
) -> None:
    # An empty line after a return that is followed by a line feed cannot be told from one end of two bytes.
    lines = [line or b"-" for line in lines]
    body = b"".join(line + end for line, end in zip(lines, ends, strict=False))
    if not ended:
        body = body[: -len(ends[len(lines) - 1])]
    if body.startswith((b"\xff\xfe", b"\xfe\xff", MARK)):
        return
    assert lines_of(in_chunks(body, size)) == lines
    assert lines_of(in_chunks(MARK + body, size << 18)) == lines


@pytest.mark.parametrize("size", [1 << 18, (1 << 18) + 1, 1 << 19])
def test_a_return_at_the_end_of_a_piece_is_one_end_with_its_line_feed(size: int) -> None:
    body = b"x" * ((1 << 18) - 1) + b"\r\n" + b"y" * 10
    assert list(map(len, lines_of(in_chunks(body, size)))) == [(1 << 18) - 1, 10]


@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("after", [b"", b"\n", b"\nb\n"])
def test_only_a_line_beyond_the_bound_is_long(more: int, after: bytes) -> None:
    bound = 3 << 18
    body = b"a\n" + b"x" * (bound + more) + after
    found = list(text_lines(in_chunks(body, 100_000), bound))
    long = [line for line in found if isinstance(line, LongLine)]
    assert [line.size_bytes for line in long] == ([bound + 1] if more > 0 else [])
    short = [line for piece in found if isinstance(piece, bytes) for line in piece.split(b"\n")]
    expected = [b"a"] + ([b"x" * (bound + more)] if more <= 0 else []) + ([b"b"] if b"b" in after else [])
    assert short == expected


def test_a_line_of_many_megabytes_is_never_held_whole() -> None:
    chunk = b"x" * (1 << 18)
    [beginning, rest] = text_lines((chunk if n < 100 else b"x\nrest" for n in range(101)), 1 << 20)
    assert isinstance(beginning, LongLine)
    assert beginning.size_bytes == 100 * (1 << 18) + 1
    assert len(beginning.beginning) < (1 << 20) + (1 << 19) + 2
    assert rest == b"rest"


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_utf_16_is_refused_by_its_name(mark: bytes) -> None:
    with pytest.raises(InvalidInputError, match="UTF-16"):
        list(text_lines([mark + "a".encode("utf-16-le")], 10))

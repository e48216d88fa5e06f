"""Texts of a JSON array are found where they are, whatever their lengths and commas; others are noticed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from yamcs_archive.text_bounds import text_bounds


def _array(texts: list[str]) -> bytes:
    return json.dumps(texts, separators=(",", ":"), ensure_ascii=False).encode()


def _cut(array: bytes, count: int) -> list[str] | None:
    found = text_bounds(np.frombuffer(array, np.uint8), count)
    if found is None:
        return None
    return [array[begin:end].decode() for begin, end in found.reshape(-1, 2).tolist()]


@given(st.lists(st.text(st.sampled_from("a,[]é"), max_size=40), min_size=1))
@example([","])  # a comma at an end of a text looks like a separator's
@example(["a,", "b", ",c"])
@example(["", "", ""])
def test_texts_are_found_where_they_are(texts: list[str]) -> None:
    assert _cut(_array(texts), len(texts)) == texts


@pytest.mark.parametrize("length", range(18))
@pytest.mark.parametrize("before", range(17))
def test_separators_are_told_apart_wherever_they_lie(before: int, length: int) -> None:
    # Sixteen bytes are looked at together; separators come one to five times in them, and at any place.
    texts = ["x" * before, *["y" * length] * 9, "z" * 40, ""]
    assert _cut(_array(texts), len(texts)) == texts


@pytest.mark.parametrize(
    ("array", "count"),
    [
        (b'["a","b"]', 1),
        (b'["a","b"]', 3),
        (b'["a","b', 2),
        (b'"a","b"]', 2),
        (b'["a","b"', 2),
        (b'["a,b","c]', 2),
        (b'["a",b"]', 2),
        (b"[]", 0),
        (b"[]", 1),
        (b"", 0),
        (b"", 1),
        (b'["', 1),
        (b'["]', 1),
    ],
)
def test_what_is_no_array_of_so_many_texts_is_noticed(array: bytes, count: int) -> None:
    assert _cut(array, count) is None

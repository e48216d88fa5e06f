"""Decodes and checks text filters by docs/format.md. Uses nothing of the package."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import zstandard

from tests.golden.blocks import Stored, folds_to_ascii
from tests.golden.values import BrokenError, Key, Met, binary, body, event_key, hold

BITMAP_BYTES = 8192
FACTORS = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35)
CASE_BIT = 0x20


class Filter(NamedTuple):
    """A text filter."""

    level: int
    first: Key
    bits: bytes | None
    """None: it may hold anything."""

    def lacks(self, text: str) -> bool:
        """Return whether it says that a text is nowhere, which is there."""
        if self.bits is None:
            return False
        bits = self.bits
        return any(not bits[number >> 3] >> (number & 7) & 1 for number in map(_number, _trigrams(text)))


def text_filter(key: bytes, value: bytes, met: Met) -> Filter:
    """Return a text filter."""
    hold(key[:1] in (b"\0", b"\1"), f"a text filter is of level {key[:1].hex()}")
    found = body("texts", key, value)
    met.add(f"texts: level {key[0]}, {'anything' if found is None else 'bits'}")
    bits = None if found is None else _decompressed(binary(found))
    return Filter(key[0], event_key(key[1:], met), bits)


def _decompressed(frame: bytes) -> bytes:
    try:
        hold(zstandard.frame_content_size(frame) == BITMAP_BYTES, "a text filter has another size")
        return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BrokenError(f"no zstd frame: {error}") from None


def _trigrams(text: str) -> set[bytes]:
    """Return the trigrams of a text: in one of a MiB, few are different."""
    raw = json.dumps(text, ensure_ascii=False)[1:-1].encode()
    different = set(zip(raw, raw[1:], raw[2:], strict=False))
    return {three for three in map(bytes, different) if three.isascii()}


@cache
def _number(three: bytes) -> int:
    """Return the number of a trigram."""
    lowered = (byte | CASE_BIT for byte in three)
    return sum(byte * factor for byte, factor in zip(lowered, FACTORS, strict=True)) >> 16 & 0xFFFF


def check(found: Filter, events: Iterable[Stored]) -> None:
    """Check that a filter excludes none of the texts of some events."""
    for event in events:
        for text in (event.message, event.key.source.decode(), event.type or ""):
            where = f"the text filter of level {found.level} at {found.first}"
            hold(not found.lacks(text), f"{where} excludes {text!r}")
            folds = any(map(folds_to_ascii, set(text)))
            hold(found.bits is None or not folds, f"{where} should hold anything, for {text!r}")

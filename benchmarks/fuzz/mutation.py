"""Makes inputs from valid ones: flips bits, removes, repeats and moves pieces, and puts critical ones in."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

_INPUT_BYTES_MAX = 1 << 16
"""Bytes of an input, beyond which nothing is added."""
_REPEATS_MAX = 1000
"""Most copies of a piece that are put in."""


def inputs(
    name: str, seed: int, count: int, valid: Sequence[bytes], tokens: Sequence[bytes]
) -> Iterator[bytes]:
    """Yield inputs; the same ones for the same arguments.

    >>> list(inputs("t", 7, 3, [b"abc"], [b"x"])) == list(inputs("t", 7, 3, [b"abc"], [b"x"]))
    True
    """
    chosen = random.Random(f"{name}:{seed}")
    for _ in range(count):
        text = bytearray(chosen.choice(valid))
        while True:
            chosen.choice(_CHANGES)(text, chosen, valid, tokens)
            if chosen.random() < 0.5:
                break
        yield bytes(text)


_Change = Callable[[bytearray, random.Random, Sequence[bytes], Sequence[bytes]], None]


def _span(text: bytearray, chosen: random.Random) -> tuple[int, int]:
    """Return the bounds of a piece: mostly a short one."""
    begin = chosen.randrange(len(text) + 1)
    length = chosen.choice((0, 1, 1, 2, 4, 8, 16, len(text)))
    return begin, min(begin + length, len(text))


def _flip(text: bytearray, chosen: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    if text:
        text[chosen.randrange(len(text))] ^= 1 << chosen.randrange(8)


def _set(text: bytearray, chosen: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    if text:
        text[chosen.randrange(len(text))] = chosen.randrange(256)


def _remove(text: bytearray, chosen: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    begin, end = _span(text, chosen)
    del text[begin:end]


def _cut(text: bytearray, chosen: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    del text[chosen.randrange(len(text) + 1) :]


def _repeat(text: bytearray, chosen: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    begin, end = _span(text, chosen)
    times = chosen.choice((1, 2, 10, _REPEATS_MAX))
    piece = bytes(text[begin:end])
    if len(text) + len(piece) * times <= _INPUT_BYTES_MAX:
        text[begin:begin] = piece * times


def _put(text: bytearray, chosen: random.Random, _: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    token = chosen.choice(tokens)
    if len(text) + len(token) <= _INPUT_BYTES_MAX:
        at = chosen.randrange(len(text) + 1)
        text[at:at] = token


def _replace(text: bytearray, chosen: random.Random, _: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    token = chosen.choice(tokens)
    if len(text) + len(token) <= _INPUT_BYTES_MAX:
        begin, end = _span(text, chosen)
        text[begin:end] = token


def _splice(text: bytearray, chosen: random.Random, valid: Sequence[bytes], _: Sequence[bytes]) -> None:
    other = chosen.choice(valid)
    begin, end = _span(text, chosen)
    other_begin, other_end = _span(bytearray(other), chosen)
    if len(text) + len(other) <= _INPUT_BYTES_MAX:
        text[begin:end] = other[other_begin:other_end]


def _exchange(text: bytearray, chosen: random.Random, _: Sequence[bytes], __: Sequence[bytes]) -> None:
    begin, end = _span(text, chosen)
    piece = bytes(text[begin:end])
    del text[begin:end]
    at = chosen.randrange(len(text) + 1)
    text[at:at] = piece


_CHANGES: tuple[_Change, ...] = (
    _flip, _set, _remove, _cut, _repeat, _put, _put, _replace, _replace, _splice, _exchange,
)  # fmt: skip

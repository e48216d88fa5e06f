"""Text search in chunks of messages, whatever the case of letters; pure.

1. Messages and the texts that are looked for are compared case-folded. But first the bytes of a chunk are
   compared, with the bit of the letter case set: most chunks are passed over without a message being built.
2. That is done in *plain* chunks only: they have no character beyond ASCII that folds to text with ASCII in
   it, as ß and ﬁ do. Whether a chunk is plain is stored with it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

_CASE_BIT = 0x20
_FOLDING_TO_ASCII = (
    *(b"\xc3\x9f", b"\xc4\xb0", b"\xc5\x89", b"\xc5\xbf", b"\xc7\xb0"),
    *(b"\xe1\xba", b"\xe2\x84\xaa", b"\xef\xac"),
)
"""The first bytes, in UTF-8, of the characters beyond ASCII that fold to text with ASCII in it.

Law: tests/storage/test_blocks.py::test_every_character_that_folds_to_ascii_is_known_by_its_first_bytes
"""
_LEAST_LEAD = min(begin[0] for begin in _FOLDING_TO_ASCII)
_FREQUENT = b"zqxjkvbywgpfumcdlhrsnioate "
"""Letters as they occur in text, the most frequent last; any other byte counts as rarer."""
_CLUES_MAX = 8
"""Bytes of a text that are compared; where three or four match, the whole text nearly always does."""
_ROOM_KEPT_BYTES_MAX = 1 << 20
"""Largest chunk, in bytes, for which a thread keeps its work space."""
_Bytes = npt.NDArray[np.uint8]
_Flags = npt.NDArray[np.bool_]
_scratch = threading.local()


def is_plain(chunk: bytes | bytearray) -> bool:
    """Say whether no character beyond ASCII folds to text with ASCII in it.

    >>> is_plain("Höhe".encode()), is_plain("Straße".encode())
    (True, False)
    """
    greatest = int(np.frombuffer(chunk, np.uint8).max(initial=0))
    return greatest < _LEAST_LEAD or not any(begin in chunk for begin in _FOLDING_TO_ASCII)


class TextMatcher:
    """Finds the messages that contain all of some texts, which are given case-folded.

    >>> matcher = TextMatcher({"wheel", "3"})
    >>> [matcher.may_match(chunk, plain=True) for chunk in (b'["Wheel 3"]', b'["wheels"]')]
    [True, False]
    >>> matcher.matches(["Wheels", "WHEEL 3", "3 Wheels"])
    [1, 2]
    """

    def __init__(self, folded: Iterable[str]) -> None:
        self._texts = tuple(folded)
        # Of a plain chunk, only ASCII folds to ASCII: a letter is one of two bytes, which the case bit makes
        # one. Other texts have no clues. Text is escaped as in a chunk, character by character.
        self._clues = [
            _clues((np.frombuffer(msgspec.json.encode(text)[1:-1], np.uint8) | _CASE_BIT).tobytes())
            for text in self._texts
            if text and text.isascii()
        ]

    def may_match(self, chunk: bytes, plain: bool) -> bool:
        """Say whether a message of a chunk may contain the texts: never falsely False."""
        if not plain or not self._clues:
            return True
        rooms, size = _rooms(len(chunk)), len(chunk)
        lowered = np.bitwise_or(np.frombuffer(chunk, np.uint8), _CASE_BIT, out=rooms.lowered[:size])
        return all(_may_match(lowered, clues, rooms) for clues in self._clues)

    def matches(self, messages: Sequence[str]) -> list[int]:
        """Return the indexes of the messages that contain the texts."""
        return [
            index
            for index, folded in enumerate(map(str.casefold, messages))
            if all(text in folded for text in self._texts)
        ]


class _Clues(NamedTuple):
    """Some bytes of a text, the rarest first, each with its offset in the text."""

    size: int
    """Bytes of the text."""
    bytes_at: tuple[tuple[int, int], ...]


def _clues(text: bytes) -> _Clues:
    rarest = sorted(range(len(text)), key=lambda at: _FREQUENT.find(text[at]))[:_CLUES_MAX]
    return _Clues(len(text), tuple((at, text[at]) for at in rarest))


class _Rooms(NamedTuple):
    """Work space for some bytes and two flags of each."""

    lowered: _Bytes
    hits: _Flags
    more: _Flags


def _may_match(lowered: _Bytes, clues: _Clues, rooms: _Rooms) -> bool:
    """Say whether somewhere each byte of the clues is found at its offset.

    A few comparisons of all bytes at once take half of the time of ``bytes.find``, or a quarter.
    """
    size = len(lowered) - clues.size + 1
    if size <= 0:
        return False
    hits, more = rooms.hits[:size], rooms.more[:size]
    for nth, (at, byte) in enumerate(clues.bytes_at):
        np.equal(lowered[at : at + size], byte, out=more if nth else hits)
        if nth:
            np.logical_and(hits, more, out=hits)
            if not hits[hits.argmax()]:  # the first flag that is set, if any is: known sooner than any()
                return False
    return bool(hits.any())


def _rooms(size: int) -> _Rooms:
    """Return work space for at least ``size`` bytes, this thread's own: new pages would cost more."""
    rooms: _Rooms | None = getattr(_scratch, "rooms", None)
    if rooms is None or len(rooms.lowered) < size:
        rooms = _Rooms(np.empty(size, np.uint8), np.empty(size, np.bool_), np.empty(size, np.bool_))
        if size <= _ROOM_KEPT_BYTES_MAX:
            _scratch.rooms = rooms
    return rooms

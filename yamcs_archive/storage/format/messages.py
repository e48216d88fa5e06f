"""The messages of a block <-> stretches of text, each read and searched by itself; pure.

1. A stretch is a JSON array of strings. Of what a few hundred messages can be kept in, it compresses best (as
   well as with one byte between them) and is built and read in C at nearly the rate of msgpack.
2. A search compares case-folded text. Where no character beyond ASCII folds to text with ASCII in it, as
   ß and ﬁ do (a stretch says so), bytes with the bit of the letter case set are enough to pass over it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

CHUNK_MESSAGES = 1_000
"""Messages in a stretch: fewer compress less well, more make a look at one event dearer."""
_CASE_BIT = 0x20
_FOLDING_TO_ASCII = (
    *(b"\xc3\x9f", b"\xc4\xb0", b"\xc5\x89", b"\xc5\xbf", b"\xc7\xb0"),
    *(b"\xe1\xba", b"\xe2\x84\xaa", b"\xef\xac"),
)
"""What the characters beyond ASCII begin with, in UTF-8, that fold to text with ASCII in it.

Law: tests/storage/test_blocks.py::test_every_character_that_folds_to_ascii_is_known_by_its_first_bytes
"""
_LEAST_LEAD = min(begin[0] for begin in _FOLDING_TO_ASCII)
_FREQUENT = b"zqxjkvbywgpfumcdlhrsnioate "
"""Letters as text has them, the most frequent last; anything else is taken as rarer."""
_CLUES_MAX = 8
"""Bytes of a text that are compared: with three or four a place that has them all is nearly always a find."""
_ROOM_KEPT_BYTES_MAX = 1 << 20
_ROOMS_KEPT_MAX = 32
_FEW, _LISTED_MAX = 2, 4096
"""So many messages are looked for one by one in a stretch, by halves of it until no more bytes are left."""
_Bytes = npt.NDArray[np.uint8]
_Flags = npt.NDArray[np.bool_]
_scratch = threading.local()
_decoder = msgspec.json.Decoder(list[str])


class Packer:
    """Makes stretches, in room that it keeps: to get new pages for each takes as long as to fill them.

    >>> Packer().pack(["Wheel", "°"]) == ['["Wheel","°"]'.encode()]
    True
    """

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._rooms: list[bytearray] = []
        self._used = 0

    def pack(self, messages: Sequence[str]) -> list[bytearray]:
        """Return messages as stretches of :data:`STRETCH_MESSAGES`, of which the last may have fewer.

        What is returned is good until :meth:`reuse`.
        """
        found = []
        for at in range(0, len(messages), CHUNK_MESSAGES):
            if self._used == len(self._rooms):
                self._rooms.append(bytearray())
            room = self._rooms[self._used]
            self._used += 1
            self._encoder.encode_into(messages[at : at + CHUNK_MESSAGES], room)
            found.append(room)
        return found

    def reuse(self) -> None:
        """Take back all room that was given out, and let go what was uncommonly much."""
        self._rooms = [room for room in self._rooms if len(room) <= _ROOM_KEPT_BYTES_MAX][:_ROOMS_KEPT_MAX]
        self._used = 0


def unpack_chunk(stretch: bytes) -> list[str]:
    """Return the messages of a stretch; ValueError when it is none.

    >>> unpack_chunk(b'["a", ""]')
    ['a', '']
    """
    try:
        return _decoder.decode(stretch)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None


def pick(stretch: bytes, places: Sequence[int], count: int) -> list[str] | None:
    """Return some of the messages of a stretch of ``count``, or None where something in it is escaped.

    ValueError when the stretch is none. Three times as fast as to build all messages.

    >>> pick(b'["a","","c"]', [2, 1], 3), pick(b'["a\\\\b"]', [0], 1)
    (['c', ''], None)
    """
    if b"\\" in stretch:
        return None
    quotes = np.frombuffer(stretch, np.uint8) == ord('"')
    found = np.count_nonzero(quotes)
    if found != 2 * count:
        raise ValueError(f"{found} quotes are not those of {count} messages")
    if len(places) > _FEW:
        ends = np.flatnonzero(quotes).reshape(count, 2)[places].tolist()
    else:
        ends = [_pair_at(quotes, 2 * place) for place in places]
    return [stretch[begin + 1 : end].decode() for begin, end in ends]


def _pair_at(flags: _Flags, nth: int) -> list[int]:
    """Return the places of the flag with ``nth`` before it and of the next one.

    By halves, because to count flags takes a fifth of the time of listing where they are.
    """
    start, stop = 0, len(flags)
    while stop - start > _LISTED_MAX:
        middle = (start + stop) // 2
        before = int(np.count_nonzero(flags[start:middle]))
        if nth + 1 < before:
            stop = middle
        elif nth >= before:
            start, nth = middle, nth - before
        else:
            break  # one on either side
    found: list[int] = (np.flatnonzero(flags[start:stop])[nth : nth + 2] + start).tolist()
    return found


def is_plain(stretch: bytes | bytearray) -> bool:
    """Say whether no character beyond ASCII folds to text with ASCII in it.

    >>> is_plain("Höhe".encode()), is_plain("Straße".encode())
    (True, False)
    """
    greatest = int(np.frombuffer(stretch, np.uint8).max(initial=0))
    return greatest < _LEAST_LEAD or not any(begin in stretch for begin in _FOLDING_TO_ASCII)


class TextMatcher:
    """Case-folded texts, all of which a message shall contain.

    >>> sought = TextMatcher({"wheel", "3"})
    >>> [sought.may_be_in(stretch, plain=True) for stretch in (b'["Wheel 3"]', b'["wheels"]')]
    [True, False]
    >>> sought.places(["Wheels", "WHEEL 3", "3 Wheels"])
    [1, 2]
    """

    def __init__(self, folded: Iterable[str]) -> None:
        self._texts = tuple(folded)
        # What an ASCII text is a folding of is written in two ways, of which a bit makes one; what any other
        # is, in several. Text is escaped as in a stretch, character by character, so that it is found there.
        self._clues = [
            _clues((np.frombuffer(msgspec.json.encode(text)[1:-1], np.uint8) | _CASE_BIT).tobytes())
            for text in self._texts
            if text and text.isascii()
        ]

    def may_be_in(self, stretch: bytes, plain: bool) -> bool:
        """Say whether a message of a stretch may contain the texts: never falsely no."""
        if not plain or not self._clues:
            return True
        rooms, size = _rooms(len(stretch)), len(stretch)
        lowered = np.bitwise_or(np.frombuffer(stretch, np.uint8), _CASE_BIT, out=rooms.lowered[:size])
        return all(_may_match(lowered, clues, rooms) for clues in self._clues)

    def places(self, messages: Sequence[str]) -> list[int]:
        """Return the places of the messages that contain the texts."""
        return [
            place
            for place, folded in enumerate(map(str.casefold, messages))
            if all(text in folded for text in self._texts)
        ]


class _Clues(NamedTuple):
    """Bytes of a text, the rarest first, each with where it stands in the text."""

    size: int
    bytes_at: tuple[tuple[int, int], ...]


def _clues(text: bytes) -> _Clues:
    rarest = sorted(range(len(text)), key=lambda at: _FREQUENT.find(text[at]))[:_CLUES_MAX]
    return _Clues(len(text), tuple((at, text[at]) for at in rarest))


class _Rooms(NamedTuple):
    """Room for some bytes and two flags of each."""

    lowered: _Bytes
    hits: _Flags
    more: _Flags


def _may_match(lowered: _Bytes, clues: _Clues, rooms: _Rooms) -> bool:
    """Say whether there is a place from which each byte of the clues stands where it stands in their text.

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
            if not hits[hits.argmax()]:  # the first that is set, if any is: sooner known than any()
                return False
    return bool(hits.any())


def _rooms(size: int) -> _Rooms:
    """Return room for so many bytes or more, this thread's own: new pages cost more."""
    rooms: _Rooms | None = getattr(_scratch, "rooms", None)
    if rooms is None or len(rooms.lowered) < size:
        rooms = _Rooms(np.empty(size, np.uint8), np.empty(size, np.bool_), np.empty(size, np.bool_))
        if size <= _ROOM_KEPT_BYTES_MAX:
            _scratch.rooms = rooms
    return rooms

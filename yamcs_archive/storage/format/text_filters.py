"""Text filters <-> bytes: which trigrams the texts of a block have; "texts" on disk. Pure.

1. A filter is a set of hashes of 16 bits, a bit each. It has those of all *trigrams*, three bytes one after
   the other, of the messages, sources and types of a block, or of all blocks of a group. A text that has a
   trigram that is not there is in none of them: the block is passed over unread.
2. Texts are hashed as they are compared (:mod:`text_search`): as bytes of JSON, with the bit of the letter
   case set. Only ASCII counts, because the folding of other letters depends on Python's version of Unicode.
   A text without three ASCII characters in a row is looked for in every block.
3. A block with a character beyond ASCII that folds to text with ASCII in it may hold anything, and so may its
   group. So may a filter in which most bits are set.
4. A filter may claim texts that its block does not have, and never misses one that it has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import msgpack
import msgspec
import numpy as np
import numpy.typing as npt

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.format.checksum import Checksummed, Pair
from yamcs_archive.storage.format.compression import compressed, decompressed
from yamcs_archive.storage.format.text_search import is_plain

_CHECKSUMMED = Checksummed("texts")
_CASE_BIT = 0x20
_TRIGRAM = 3
_BITS = 1 << 16
BITMAP_BYTES = _BITS // 8
"""Bytes of a filter's bits, before they are compressed."""
_FACTORS = np.array((0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35), np.uint32)
"""What each byte of a trigram is multiplied by; the hash is the upper half of the lower 32 bits of the
sum.
"""
_HASH_SHIFT = 16
_BEYOND = 0x80
"""The least byte beyond ASCII."""
_PIECE_TRIGRAMS = 32_768
"""Trigrams that are hashed together: work space for as many, 20 bytes for each, stays in the cache."""
_OF_ASCII = re.compile(r"[\0-\x7f]+")
_FULL_SHARE = 0.75
"""Share of set bits from which on a filter excludes too little to be kept."""
_decode = msgspec.msgpack.Decoder(bytes | None).decode

Flags = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.intp]


class TextFilter:
    """The hashes of the trigrams of some texts.

    >>> found = TextFilter()
    >>> found.add([b'["Wheel 3"]'])
    >>> found.may_hold(trigrams(["wheel"])), found.may_hold(trigrams(["wheels"]))
    (True, False)
    """

    def __init__(self, bits: Flags | None = None) -> None:
        self._bits: Flags = np.zeros(_BITS, np.bool_) if bits is None else bits
        self.anything = False
        """True if it may hold any text."""

    @property
    def share(self) -> float:
        """The share of its bits that are set."""
        return float(np.count_nonzero(self._bits)) / _BITS

    def add(self, chunks: Iterable[bytes | bytearray], space: WorkSpace | None = None) -> None:
        """Add texts, as JSON; a text does not go from one chunk to the next."""
        space = WorkSpace() if space is None else space
        for chunk in chunks:
            if not is_plain(chunk):
                self.anything = True
                return
            for found in _hashes(chunk, space):
                self._bits[found] = True

    def join(self, other: TextFilter) -> None:
        """Add all that another one has."""
        self.anything |= other.anything
        self._bits |= other._bits

    def may_hold(self, wanted: Sequence[int]) -> bool:
        """Say whether all of some trigrams may be here."""
        return self.anything or bool(self._bits[list(wanted)].all())

    def covers(self, other: TextFilter) -> bool:
        """Say whether it has all that another one has."""
        return self.anything or (not other.anything and not (other._bits & ~self._bits).any())

    def encode(self, level: bytes, first: bytes) -> Pair:
        """Return the pair to put, for a block or a group of a level with a first key."""
        key = level + first
        frame = None
        if not self.anything and self.share <= _FULL_SHARE:
            [frame] = compressed([np.packbits(self._bits, bitorder="little").tobytes()])
        return key, _CHECKSUMMED.wrap(key, msgpack.packb(frame))


def trigrams(texts: Iterable[str]) -> tuple[int, ...]:
    """Return the hashes of the trigrams that a text has which contains all of these, given case-folded.

    >>> len(trigrams(["wheel", "höhe", "ab"])), len(trigrams(["größe"]))
    (3, 0)
    """
    found: dict[int, None] = {}
    for text in texts:
        for run in _OF_ASCII.findall(text):
            encoded = msgspec.json.encode(run)[1:-1]
            for hashes in _hashes(encoded, WorkSpace(min(len(encoded), _PIECE_TRIGRAMS))):
                found.update(dict.fromkeys(hashes.tolist()))
    return tuple(found)


class WorkSpace:
    """Memory for the trigrams of one piece of text after the other, of one block after the other.

    New memory for each block would take a quarter as long as the work. Every array has the same meaning at
    the same index: the trigram that begins there.
    """

    def __init__(self, size: int = _PIECE_TRIGRAMS) -> None:
        """Take pieces of up to ``size`` trigrams, at least one."""
        self.size = size
        ends = size + _TRIGRAM - 1
        self.lowered = np.empty(ends, np.uint8)
        self.wide = np.empty(ends, np.uint32)
        self.sums, self.products = np.empty(size, np.uint32), np.empty(size, np.uint32)
        self.found = np.empty(size, np.intp)
        """Hashes as numpy takes indexes; of another type it would copy them first."""


def _hashes(text: bytes | bytearray, space: WorkSpace) -> Iterator[Hashes]:
    """Yield the hash of each trigram of a text that is of ASCII, by the piece; valid until the next piece."""
    read = np.frombuffer(text, np.uint8)
    for start in range(0, len(read) - _TRIGRAM + 1, space.size):
        yield _hashes_of(read[start : start + space.size + _TRIGRAM - 1], space)


def _hashes_of(piece: npt.NDArray[np.uint8], space: WorkSpace) -> Hashes:
    count = len(piece) - _TRIGRAM + 1
    lowered, wide = space.lowered[: len(piece)], space.wide[: len(piece)]
    sums, products, found = space.sums[:count], space.products[:count], space.found[:count]
    np.bitwise_or(piece, _CASE_BIT, out=lowered)
    np.copyto(wide, lowered)
    np.multiply(wide[:count], _FACTORS[0], out=sums)
    for at in range(1, _TRIGRAM):
        np.multiply(wide[at : at + count], _FACTORS[at], out=products)
        np.add(sums, products, out=sums)
    np.right_shift(sums, _HASH_SHIFT, out=sums)
    np.copyto(found, sums)
    if int(lowered.max()) < _BEYOND:
        return found
    of_ascii = lowered < _BEYOND
    return found[of_ascii[:count] & of_ascii[1 : count + 1] & of_ascii[2:]]


def decode_filter(key: bytes, value: bytes) -> TextFilter:
    """Return a filter; :class:`~yamcs_archive.errors.DamagedError` if it cannot be trusted."""
    bits = _decoded(key, value)
    if bits is None:
        found = TextFilter()
        found.anything = True
        return found
    return TextFilter(np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little").view(np.bool_))


def excludes(key: bytes, value: bytes, wanted: Sequence[int]) -> bool:
    """Say whether one of some trigrams is not there; a damaged filter excludes nothing.

    >>> found = TextFilter()
    >>> found.add([b'["Wheel 3"]'])
    >>> pair = found.encode(b"\\0", b"key")
    >>> excludes(*pair, trigrams(["wheel"])), excludes(*pair, trigrams(["wheels"]))
    (False, True)
    """
    try:
        bits = _decoded(key, value)
    except DamagedError:
        return False
    if bits is not None:
        for hash_ in wanted:
            if not bits[hash_ >> 3] >> (hash_ & 7) & 1:
                return True
    return False


def _decoded(key: bytes, value: bytes) -> bytes | None:
    body = _CHECKSUMMED.unwrap(key, value)
    try:
        frame = _decode(body)
        return None if frame is None else decompressed(frame, BITMAP_BYTES)
    except (ValueError, msgspec.MsgspecError) as error:
        raise _CHECKSUMMED.damaged(key, f"it cannot be read: {error}") from None

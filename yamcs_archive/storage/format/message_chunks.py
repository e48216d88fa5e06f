"""The messages of a part as they are stored: stretches, each checked, decompressed and read by itself; pure.

1. The part's body frame lists the stretches: bytes, bytes decompressed, whether it is plain, checksum.
2. A few messages are cut out of their stretch without the others being built, where nothing in it is escaped.
3. Whatever does not hold together is a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from zlib import crc32

from yamcs_archive.storage.format import messages
from yamcs_archive.storage.format.compression import decompressed
from yamcs_archive.storage.format.messages import TextMatcher

_MANY = 4
"""Of a stretch from which more than one message in so many is wanted, all are built."""


class MessageChunks:
    """The stretches of one part.

    >>> from yamcs_archive.storage.format.compression import compressed
    >>> [frame] = compressed([b'["a","b"]'])
    >>> stretches = MessageChunks(memoryview(frame), [(len(frame), 9, True, crc32(frame))], 2, 2, start=0)
    >>> stretches.all(), stretches.some([1]), stretches.containing(TextMatcher({"b"}))
    (['a', 'b'], ['b'], [1])
    """

    def __init__(
        self,
        stored: memoryview,
        listed: Sequence[tuple[int, int, bool, int]],
        each: int,
        count: int,
        start: int,
    ) -> None:
        """Take them in; ``each`` messages stand in one, ``count`` in all; checksums begin with ``start``."""
        self._each, self._count, self._start = each, count, start
        self._read: dict[int, list[str]] = {}
        self._frames: list[tuple[memoryview, int, bool, int]] = []
        at = 0
        for packed_bytes, raw_bytes, plain, checksum in listed:
            self._frames.append((stored[at : at + packed_bytes], raw_bytes, plain, checksum))
            at += packed_bytes
        if at != len(stored) or not (len(listed) - 1) * each < count <= len(listed) * each:
            raise ValueError(f"{len(listed)} stretches are not those of {count} messages")

    def check(self) -> None:
        """Compare the checksums of all; nothing is decompressed for it."""
        for at in range(len(self._frames)):
            self._packed(at)

    @property
    def largest_bytes(self) -> int:
        """Claimed bytes of the largest one, decompressed."""
        return max(raw_bytes for _, raw_bytes, _, _ in self._frames)

    def all(self) -> list[str]:
        """Return all messages."""
        found: list[str] = []
        for at in range(len(self._frames)):
            found += self._unpacked(at)
        return found

    def some(self, places: Sequence[int]) -> list[str]:
        """Return the messages at some places, reading no stretch in vain."""
        wanted: dict[int, dict[int, str]] = {}
        for place in places:
            wanted.setdefault(place // self._each, {})[place % self._each] = ""
        for at, texts in wanted.items():
            texts.update(self._picked(at, list(texts)))
        return [wanted[place // self._each][place % self._each] for place in places]

    def containing(self, sought: TextMatcher) -> list[int]:
        """Return the places of the messages that contain what is sought."""
        found: list[int] = []
        for at, (_, _, plain, _) in enumerate(self._frames):
            stretch = self._stretch(at)
            if sought.may_be_in(stretch, plain):
                found += (at * self._each + place for place in sought.places(self._unpacked(at, stretch)))
        return found

    def _packed(self, at: int) -> memoryview:
        found, _, _, checksum = self._frames[at]
        if crc32(found, self._start) != checksum:
            raise ValueError(f"the checksum of stretch {at} is wrong")
        return found

    def _stretch(self, at: int) -> bytes:
        return decompressed(self._packed(at), self._frames[at][1])

    def _size(self, at: int) -> int:
        return min(self._each, self._count - at * self._each)

    def _unpacked(self, at: int, stretch: bytes | None = None) -> list[str]:
        """Return the messages of a stretch, whose text may be at hand."""
        found = self._read.get(at)
        if found is None:
            found = messages.unpack_chunk(self._stretch(at) if stretch is None else stretch)
            if len(found) != self._size(at):
                raise ValueError(f"stretch {at} has {len(found)} messages")
            self._read[at] = found
        return found

    def _picked(self, at: int, places: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Return some messages of a stretch, each with its place there."""
        texts: Sequence[str] | None = None
        stretch: bytes | None = None
        if at not in self._read and len(places) * _MANY <= self._size(at):
            stretch = self._stretch(at)
            texts = messages.pick(stretch, places, self._size(at))
        if texts is None:
            unpacked = self._unpacked(at, stretch)
            texts = [unpacked[place] for place in places]
        return zip(places, texts, strict=True)

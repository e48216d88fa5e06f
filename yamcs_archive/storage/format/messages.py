"""The messages of a block part <-> chunks of text, each read and searched by itself; pure.

1. A chunk is a JSON array of strings. Of the forms that were tried it compresses best (as well as messages
   with one byte between them), and it is built and read in C at nearly the rate of msgpack.
2. The part's body frame lists its chunks: bytes, bytes decompressed, whether it is plain, checksum.
3. A few messages are cut out of their chunk, without the others being built, if nothing in it is escaped.
4. A chunk that is not as it was listed is a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import Indexes, PackedMessages
from yamcs_archive.storage.format.compression import decompressed
from yamcs_archive.storage.format.text_search import TextMatcher

CHUNK_MESSAGES = 1_000
"""Messages in a chunk: fewer compress less well, more make reading one event dearer."""
_BISECTED_MAX, _LISTED_BYTES_MAX = 2, 4096
"""Up to 2 messages are located by bisecting the chunk down to 4 KiB; for more, all quotes are listed."""
_BUILT_SHARE = 4
"""All messages of a chunk are built if more than one in 4 is wanted."""
_ROOM_KEPT_BYTES_MAX, _ROOMS_KEPT_MAX = 1 << 20, 32
"""Largest buffer that a packer keeps, in bytes, and the number of them."""
_COMMA = ord(",")
_decoder = msgspec.json.Decoder(list[str])


class ChunkPacker:
    """Makes chunks, in buffers that it keeps: new memory for each may take as long as filling it.

    >>> ChunkPacker().pack(["Wheel", "°"]) == ['["Wheel","°"]'.encode()]
    True
    """

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()
        self._rooms: list[bytearray] = []
        self._used = 0

    def pack(self, messages: Sequence[str]) -> list[bytearray]:
        """Return messages as chunks of :data:`CHUNK_MESSAGES`; the last may have fewer.

        What is returned is valid until :meth:`reuse`.
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
        """Take back all buffers, and drop those that are too large or too many."""
        self._rooms = [room for room in self._rooms if len(room) <= _ROOM_KEPT_BYTES_MAX][:_ROOMS_KEPT_MAX]
        self._used = 0


class MessageChunks:
    """The chunks of one part.

    >>> from yamcs_archive.storage.format.compression import compressed
    >>> [frame] = compressed([b'["a","b"]'])
    >>> chunks = MessageChunks(memoryview(frame), [(len(frame), 9, True, crc32(frame))], 2, 2, start=0)
    >>> chunks.all(), chunks.some([1]), chunks.containing(TextMatcher({"b"}))
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
        """Take the bytes of all chunks: of ``count`` messages, ``each`` in every chunk but the last.

        Checksums begin with ``start``.
        """
        self._each, self._count, self._start = each, count, start
        self._read: dict[int, list[str]] = {}
        self._frames: list[tuple[memoryview, int, bool, int]] = []
        at = 0
        for packed_bytes, raw_bytes, plain, checksum in listed:
            self._frames.append((stored[at : at + packed_bytes], raw_bytes, plain, checksum))
            at += packed_bytes
        if at != len(stored) or not (len(listed) - 1) * each < count <= len(listed) * each:
            raise ValueError(f"{len(listed)} chunks are not those of {count} messages")

    def check(self) -> None:
        """Compare the checksums of all chunks; none is decompressed."""
        for nth in range(len(self._frames)):
            self._packed(nth)

    @property
    def largest_bytes(self) -> int:
        """Claimed bytes of the largest chunk, decompressed."""
        return max(raw_bytes for _, raw_bytes, _, _ in self._frames)

    def all(self) -> list[str]:
        """Return all messages."""
        found: list[str] = []
        for nth in range(len(self._frames)):
            found += self._unpacked(nth)
        return found

    def packed(self, stored: Indexes | None) -> PackedMessages:
        """Return the messages at ``stored``, None for all, as they are; only their chunks are read."""
        wanted = np.arange(len(self._frames))
        order = stored
        if stored is not None and len(stored) < self._count:
            chunks = stored // self._each
            wanted = np.flatnonzero(np.bincount(chunks, minlength=len(self._frames)))
            if len(wanted) < len(self._frames):  # the index of each chunk's first message among those read
                first = np.zeros(len(self._frames), np.intp)
                first[wanted] = np.arange(len(wanted)) * self._each
                order = stored - chunks * self._each + first[chunks]
        # One after the other into one array, because joining them as bytes takes as long as decompressing
        # them. A comma takes the place of the brackets between two chunks. Half of the memory is not filled.
        sizes = [self._frames[nth][1] for nth in wanted.tolist()]
        text_bytes = sum(sizes) - len(sizes) + 1
        memory = np.empty(2 * text_bytes, np.uint8)
        at, escaped = 0, False
        for nth, size in zip(wanted.tolist(), sizes, strict=True):
            chunk = self._chunk(nth)
            memory[at : at + size] = np.frombuffer(chunk, np.uint8)
            if at:
                memory[at] = _COMMA
            at += size - 1
            escaped = escaped or b"\\" in chunk
        size = sum(map(self._size, wanted.tolist()))
        return PackedMessages(memory[:text_bytes], size, order, escaped, memory)

    def some(self, indexes: Sequence[int]) -> list[str]:
        """Return the messages at ``indexes``; only their chunks are read."""
        wanted: dict[int, dict[int, str]] = {}
        for index in indexes:
            wanted.setdefault(index // self._each, {})[index % self._each] = ""
        for nth, texts in wanted.items():
            texts.update(self._picked(nth, list(texts)))
        return [wanted[index // self._each][index % self._each] for index in indexes]

    def containing(self, matcher: TextMatcher) -> list[int]:
        """Return the indexes of the messages that contain the texts."""
        found: list[int] = []
        for nth, (_, _, plain, _) in enumerate(self._frames):
            chunk = self._chunk(nth)
            if matcher.may_match(chunk, plain):
                found += (nth * self._each + index for index in matcher.matches(self._unpacked(nth, chunk)))
        return found

    def texts(self) -> Iterator[bytes]:
        """Yield the chunks, decompressed."""
        for nth in range(len(self._frames)):
            yield self._chunk(nth)

    def _packed(self, nth: int) -> memoryview:
        found, _, _, checksum = self._frames[nth]
        if crc32(found, self._start) != checksum:
            raise ValueError(f"the checksum of chunk {nth} is wrong")
        return found

    def _chunk(self, nth: int) -> bytes:
        return decompressed(self._packed(nth), self._frames[nth][1])

    def _size(self, nth: int) -> int:
        return min(self._each, self._count - nth * self._each)

    def _unpacked(self, nth: int, chunk: bytes | None = None) -> list[str]:
        """Return the messages of a chunk, whose text may be at hand."""
        found = self._read.get(nth)
        if found is None:
            found = unpack_chunk(self._chunk(nth) if chunk is None else chunk)
            if len(found) != self._size(nth):
                raise ValueError(f"chunk {nth} has {len(found)} messages")
            self._read[nth] = found
        return found

    def _picked(self, nth: int, indexes: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Return some messages of a chunk, each with its index there."""
        texts: Sequence[str] | None = None
        chunk: bytes | None = None
        if nth not in self._read and len(indexes) * _BUILT_SHARE <= self._size(nth):
            chunk = self._chunk(nth)
            texts = pick_messages(chunk, indexes, self._size(nth))
        if texts is None:
            unpacked = self._unpacked(nth, chunk)
            texts = [unpacked[index] for index in indexes]
        return zip(indexes, texts, strict=True)


def joined_messages(main: PackedMessages, late: PackedMessages, order: Indexes) -> PackedMessages:
    """Return the messages of two parts; ``order`` says where each event's is when one follows the other.

    >>> texts = [np.frombuffer(text, np.uint8) for text in (b'["a","b"]', b'["c"]')]
    >>> parts = PackedMessages(texts[0], 2, None, False), PackedMessages(texts[1], 1, None, False)
    >>> found = joined_messages(*parts, np.array([0, 2, 1]))
    >>> found.text.tobytes(), found.order.tolist()
    (b'["a","b","c"]', [0, 2, 1])
    """
    text_bytes = len(main.text) + len(late.text) - 1
    memory = np.empty(2 * text_bytes, np.uint8)
    memory[: len(main.text)] = main.text
    memory[len(main.text) - 1 : text_bytes] = late.text
    memory[len(main.text) - 1] = _COMMA
    orders = [np.arange(part.size) if part.order is None else part.order for part in (main, late)]
    stored = np.concatenate((orders[0], orders[1] + main.size))
    size, escaped = main.size + late.size, main.escaped or late.escaped
    return PackedMessages(memory[:text_bytes], size, stored[order], escaped, memory)


def unpack_chunk(chunk: bytes) -> list[str]:
    """Return the messages of a chunk; ValueError for bytes that are none.

    >>> unpack_chunk(b'["a", ""]')
    ['a', '']
    """
    try:
        return _decoder.decode(chunk)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None


def pick_messages(chunk: bytes, indexes: Sequence[int], count: int) -> list[str] | None:
    """Return some of the ``count`` messages of a chunk, or None where something in it is escaped.

    ValueError for bytes that are no chunk. Three times as fast as building all messages.

    >>> pick_messages(b'["a","","c"]', [2, 1], 3), pick_messages(b'["a\\\\b"]', [0], 1)
    (['c', ''], None)
    """
    if b"\\" in chunk:
        return None
    quotes = np.frombuffer(chunk, np.uint8) == ord('"')
    found = np.count_nonzero(quotes)
    if found != 2 * count:
        raise ValueError(f"{found} quotes are not those of {count} messages")
    if len(indexes) > _BISECTED_MAX:
        ends = np.flatnonzero(quotes).reshape(count, 2)[indexes].tolist()
    else:
        ends = [_pair_at(quotes, 2 * index) for index in indexes]
    return [chunk[begin + 1 : end].decode() for begin, end in ends]


def _pair_at(flags: npt.NDArray[np.bool_], nth: int) -> list[int]:
    """Return the indexes of the flag with ``nth`` before it and of the next one.

    By bisection, because to count flags takes a fifth of the time of listing where they are.
    """
    start, stop = 0, len(flags)
    while stop - start > _LISTED_BYTES_MAX:
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

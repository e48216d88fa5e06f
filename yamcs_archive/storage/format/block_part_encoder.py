"""StoredVectors -> block parts: events in key order, as a header and frames.

:mod:`block_part_decoder` reads them.

1. The *key frame* has the columns that decide whether an event is wanted and when it arrived: times, sources,
   numbers, severities, commits. The *body frame* has the others, without the messages, which follow it in
   *chunks*, a frame each. So duplicates, arrival order and skipping need the key frame only, and reading one
   event needs one chunk.
2. A part is checked just before it is written: its events are in the order of their keys, and no frame is
   above the limit. :func:`fits` says beforehand whether that will be so.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from itertools import chain, islice
from typing import Any, NamedTuple
from zlib import crc32

import msgpack
import numpy as np
import numpy.typing as npt

from yamcs_archive.columns import TABLE_TEXT_MAX
from yamcs_archive.event import SEVERITIES
from yamcs_archive.event_vectors import DictColumn, Int64s, StoredVectors, pick_values
from yamcs_archive.limits import BLOCK_FRAME_BYTES_MAX, SOURCE_BYTES_MAX
from yamcs_archive.storage.format import messages
from yamcs_archive.storage.format.checksum import CHECKSUM_BYTES
from yamcs_archive.storage.format.compression import compare, compressed
from yamcs_archive.storage.format.integers import pack_integers
from yamcs_archive.storage.format.messages import ChunkPacker
from yamcs_archive.storage.format.text_search import is_plain

HEADER = struct.Struct(">IIIIIIII")
"""Checksums of keys and of body; count; bytes of key frame, body frame and all chunks; bytes of key frame and
body frame, decompressed."""
CHECKSUMS_BYTES = 2 * CHECKSUM_BYTES
"""Bytes of the checksums at the beginning of a part."""
SMALL_TABLE_MAX = 256
"""Most values of a dictionary column whose codes take a byte each; more codes are a column of integers."""
_CHARACTER_BYTES_MAX = 6
"""Most bytes of a character of text: six if a chunk escapes it, which also covers four in UTF-8 together with
msgpack's head of a short text."""
_COLUMN_BYTES_MAX = 8
"""Bytes of an event in a column of integers."""
_BEFORE_BYTES_MAX = 5
"""Bytes that msgpack writes before a text or a map."""
_ELSE_BYTES_MAX = 256
"""Most bytes of a frame that belong to no event and no text."""
_EVENT_BYTES_MAX = max(
    # In the key frame four columns, a severity and a source.
    4 * _COLUMN_BYTES_MAX + 1 + SOURCE_BYTES_MAX + _BEFORE_BYTES_MAX,
    # In the body frame three columns, the heads of extensions and extra, an empty name with an empty
    # value, and two texts that text_bytes() does not count. A chunk has three bytes beside each message.
    3 * _COLUMN_BYTES_MAX + 2 * _BEFORE_BYTES_MAX + 2 + 2 * (4 * TABLE_TEXT_MAX + _BEFORE_BYTES_MAX),
)
_buffers = threading.local()


class KeyFrame(NamedTuple):
    """The columns of a key frame, as they are packed."""

    first_time: int
    time_steps: bytes
    sources: list[str]
    source_codes: bytes
    first_number: int
    number_steps: bytes
    """In the order of sources, then of keys."""
    severities: bytes
    commits: bytes


class BodyFrame(NamedTuple):
    """The columns of a body frame, as they are packed."""

    absolute: bool
    """True: reception times follow; False: delays, reception minus generation time."""
    delays: bytes
    types: tuple[list[str | None], bytes] | None
    """Values and codes; None: no event has one."""
    chunk_messages: int
    chunks: list[tuple[int, int, bool, int]]
    """Bytes, bytes decompressed, whether it is plain, checksum."""
    users: tuple[list[str | None], bytes] | None
    """As for ``types``."""
    extensions: list[bytes] | None
    extra: list[dict[str, str]] | None


MAIN, LATE = crc32(b"blocks\0"), crc32(b"late\0")
"""The two kinds of parts. The checksums of a part begin with its kind: one is never taken for the other."""


def encode_parts(
    events: Sequence[StoredVectors], keys: Sequence[bytes], kind: int, compared: int = 0
) -> list[bytes]:
    """Return each run of events, in strict key order, as a part of the block under its key: MAIN or LATE.

    Each frame of the first ``compared`` runs is decompressed again and compared with what it was made of.
    Raises RuntimeError for events that are not in order, a frame above the limit, and one that differs.
    """
    packer: ChunkPacker | None = getattr(_buffers, "packer", None)
    if packer is None:
        packer = _buffers.packer = ChunkPacker()
    packer.reuse()
    texts = [packer.pack(_messages_by_kind(each)) for each in events]
    keys_raw = [_key_frame(each, each.sources.used().in_order()) for each in events]
    packed = iter(compressed([*keys_raw, *chain.from_iterable(texts)]))
    key_frames = list(islice(packed, len(events)))
    chunks = [list(islice(packed, len(each))) for each in texts]
    # The body frame has the sizes of the compressed chunks, so it is compressed after them; it is small.
    starts = [crc32(key, kind) for key in keys]
    bodies_raw = [_body_frame(*each) for each in zip(events, texts, chunks, starts, strict=True)]
    bodies = compressed(bodies_raw)
    for at in range(compared):
        compare((key_frames[at], bodies[at], *chunks[at]), (keys_raw[at], bodies_raw[at], *texts[at]))
    return [
        assembled(key, each.size, raw, (*frames, b"".join(texts)), kind)
        for key, each, raw, frames, texts in zip(
            keys,
            events,
            zip(keys_raw, bodies_raw, strict=True),
            zip(key_frames, bodies, strict=True),
            chunks,
            strict=True,
        )
    ]


def fits(events: StoredVectors, text_bytes: int) -> bool:
    """Return whether no frame of a part of these events is above the limit; they have ``text_bytes`` of text.

    It may be False wrongly, but never True.
    Law: tests/storage/test_large.py::test_no_frame_is_larger_than_its_bound

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.event_vectors import StoredVectors
    >>> large = [Event("m" * 1_000_000, generation_time=n, seq_number=n, reception_time=n) for n in range(4)]
    >>> events = [StoredVectors.of(Columns.of(large[:count]), 1) for count in (2, 4)]
    >>> [fits(each, each.text_bytes()) for each in events]
    [True, False]
    """
    most = _ELSE_BYTES_MAX + events.size * _EVENT_BYTES_MAX + text_bytes * _CHARACTER_BYTES_MAX
    return most <= BLOCK_FRAME_BYTES_MAX or _largest_frame_bytes(events) <= BLOCK_FRAME_BYTES_MAX


def _largest_frame_bytes(events: StoredVectors) -> int:
    """Return an upper bound for the bytes of each frame of a part of these events."""
    columns = _ELSE_BYTES_MAX + events.size * (4 * _COLUMN_BYTES_MAX + 1)
    key_frame = columns + _table_bytes(events.sources)
    body_frame = columns + _table_bytes(events.types) + _table_bytes(events.users)
    if events.extensions is not None:
        body_frame += sum(map(len, events.extensions)) + events.size * _BEFORE_BYTES_MAX
    if events.extra is not None:
        body_frame += events.size * _BEFORE_BYTES_MAX + sum(
            _text_bytes(name) + _text_bytes(value) for more in events.extra for name, value in more.items()
        )
    texts = _ELSE_BYTES_MAX + sum(map(len, events.messages)) * _CHARACTER_BYTES_MAX + 3 * events.size
    return max(key_frame, body_frame, texts)


def _table_bytes(column: DictColumn) -> int:
    return sum(_text_bytes(text or "") for text in column.used().values)


def _text_bytes(text: str) -> int:
    return 4 * len(text) + _BEFORE_BYTES_MAX


def assembled(key: bytes, count: int, raw: Sequence[bytes], packed: Sequence[bytes], kind: int) -> bytes:
    """Return a part of its compressed frames: keys, body, chunks. ``raw``: the first two, uncompressed."""
    start = crc32(key, kind)
    body_sum = crc32(packed[1], start)  # which has the checksums of the chunks
    # The first checksum covers the second, so that a key frame is never taken for that of another body.
    covered = HEADER.pack(0, body_sum, count, *map(len, packed), *map(len, raw))[CHECKSUM_BYTES:]
    key_sum = crc32(packed[0], crc32(covered, start))
    return b"".join((key_sum.to_bytes(CHECKSUM_BYTES, "big"), covered, *packed))


def end_of(value: bytes | memoryview) -> int:
    """Return the end of the first part of a block, as its header says; nothing is checked."""
    if len(value) < HEADER.size:
        return len(value)
    _, _, _, key_bytes, body_bytes, text_bytes, _, _ = HEADER.unpack_from(value)
    return HEADER.size + int(key_bytes) + int(body_bytes) + int(text_bytes)


def _key_frame(events: StoredVectors, sources: DictColumn) -> bytes:
    numbers = events.numbers[by_source(sources)]
    deltas = np.diff(events.times)
    _check_order(events, deltas)
    frame = KeyFrame(
        int(events.times[0]),
        pack_integers(deltas),
        sources.values,
        _pack_codes(sources),
        int(numbers[0]),
        pack_integers(np.diff(numbers)),
        events.severities.tobytes(),
        pack_integers(events.commits),
    )
    packed: bytes = msgpack.packb(frame)
    return packed


def _check_order(events: StoredVectors, deltas: Int64s) -> None:
    """Refuse events that could not be found again: a fault of this program, never of its caller."""
    if (deltas > 0).all():
        return
    for at in np.flatnonzero(deltas <= 0).tolist():
        if events.key(at) >= events.key(at + 1):
            raise RuntimeError(f"events {at} and {at + 1} of a block are not in the order of their keys")


def by_source(sources: DictColumn) -> npt.NDArray[np.intp]:
    """Return the indexes of the events source by source; those of one source stay in their order."""
    # numpy sorts small integers by radix, byte by byte, which is several times as fast.
    small = np.uint8 if len(sources.values) <= 1 << 8 else np.uint16
    return np.argsort(sources.codes.astype(small), kind="stable")


def _messages_by_kind(events: StoredVectors) -> list[str]:
    """Return the messages by type and severity: those are alike, and zstd finds more in neighbours."""
    kinds = kinds_of(events.types.used(), events.severities)
    return (
        events.messages if kinds is None else pick_values(events.messages, np.argsort(kinds, kind="stable"))
    )


def _body_frame(
    events: StoredVectors, texts: Sequence[bytearray], chunks: Sequence[bytes], start: int
) -> bytes:
    # A bulk append gives all its events one reception time; live events arrive with a small delay each.
    absolute = bool((events.received == events.received[0]).all())
    frame = BodyFrame(
        absolute,
        pack_integers(events.received if absolute else events.received - events.times),
        _pack_texts(events.types),
        messages.CHUNK_MESSAGES,
        [
            (len(chunk), len(text), is_plain(text), crc32(chunk, start))
            for chunk, text in zip(chunks, texts, strict=True)
        ],
        _pack_texts(events.users),
        events.extensions,
        events.extra,
    )
    packed: bytes = msgpack.packb(frame)
    return packed


def kinds_of(types: DictColumn, severities: npt.NDArray[np.uint8]) -> npt.NDArray[Any] | None:
    """Return a number for type and severity of each event; None when all have the same."""
    if len(severities) <= 1 or (len(types.values) == 1 and bool((severities == severities[0]).all())):
        return None
    if len(types.values) * len(SEVERITIES) <= 1 << 8:
        # Compared, and sorted by radix, in a quarter of the time of larger integers.
        return types.codes.astype(np.uint8) * np.uint8(len(SEVERITIES)) + severities
    kinds = types.codes * np.int32(len(SEVERITIES)) + severities
    # numpy sorts small integers by radix, which is several times as fast.
    return kinds.astype(np.uint16) if len(types.values) * len(SEVERITIES) <= 1 << 16 else kinds


def _pack_texts(column: DictColumn) -> tuple[list[str | None], bytes] | None:
    """Return a dictionary column as values and packed codes; None when all values are None."""
    column = column.used()
    return None if column.values == [None] else (column.values, _pack_codes(column))


def _pack_codes(column: DictColumn) -> bytes:
    if len(column.values) <= SMALL_TABLE_MAX:
        return column.codes.astype(np.uint8).tobytes()
    return pack_integers(column.codes.astype(np.int64))

"""Decodes blocks by docs/format.md: bytes in, events out. Uses nothing of the package.

1. No length is used, and no frame is decompressed, before its checksum has been verified.
2. Every rule of the page for blocks is checked, even if reading would not need it.
"""

from __future__ import annotations

import json
import struct
from itertools import accumulate, pairwise
from typing import Any, NamedTuple
from zlib import crc32

import zstandard

from tests.golden.values import (
    BrokenError,
    Key,
    Met,
    array,
    binary,
    decoded,
    event_key,
    extra_of,
    hold,
    index,
    integers,
    text,
    texts,
    unpacked,
    whole,
)

SEVERITIES = ("INFO", "WATCH", "WARNING", "DISTRESS", "CRITICAL", "SEVERE", "ERROR")
"""The severities, by code."""
HEADER = struct.Struct(">IIIIIIII")
MAIN, LATE = b"blocks\0", b"late\0"
EVENTS_MAX = 65_536
RAW_BYTES_MAX = 1 << 30
"""Largest decompressed size that is read; the package of today writes at most 16 MiB."""


class Stored(NamedTuple):
    """A stored event."""

    key: Key
    commit: int
    reception: int
    severity: int
    message: str
    type: str | None
    user: str | None
    extensions: bytes
    extra: dict[str, str]


class Header(NamedTuple):
    """The header of a part."""

    key_sum: int
    body_sum: int
    events: int
    key_bytes: int
    body_bytes: int
    text_bytes: int
    key_raw: int
    body_raw: int


def block(key: bytes, value: bytes, met: Met) -> list[Stored]:
    """Return the events of a block, in key order."""
    main, rest = _part(key, value, MAIN, met)
    hold(main[0].key == event_key(key, met), f"block {key.hex()} begins with another event")
    if not rest:
        met.add("block: one part")
        return main
    met.add("block: two parts")
    late, rest = _part(key, rest, LATE, met)
    hold(not rest, f"bytes after the second part of block {key.hex()}")
    within = main[0].key < late[0].key and late[-1].key < main[-1].key
    hold(within, f"late events of block {key.hex()} are not between its own first and last")
    events = sorted(main + late, key=lambda event: event.key)
    _check_order(events, key)
    return events


def _part(key: bytes, value: bytes, kind: bytes, met: Met) -> tuple[list[Stored], bytes]:
    """Return the events of a part, and the bytes after it."""
    where = f"{kind[:-1].decode()} {key.hex()}"
    hold(len(value) >= HEADER.size, f"{where} is shorter than a header")
    header = Header(*HEADER.unpack_from(value))
    start = crc32(kind + key)
    at = HEADER.size
    keys, at = value[at : at + header.key_bytes], at + header.key_bytes
    right = crc32(keys, crc32(value[4 : HEADER.size], start))
    hold(header.key_sum == right, f"the first checksum of {where} is wrong")
    hold(1 <= header.events <= EVENTS_MAX, f"{where} has {header.events} events")
    body, at = value[at : at + header.body_bytes], at + header.body_bytes
    hold(header.body_sum == crc32(body, start), f"the second checksum of {where} is wrong")
    chunks, at = value[at : at + header.text_bytes], at + header.text_bytes
    hold(len(value) >= at, f"{where} ends before its chunks do")
    events = _events(
        header.events,
        array(unpacked(_decompressed(keys, header.key_raw)), 8),
        array(unpacked(_decompressed(body, header.body_raw)), 8),
        _Text(chunks, start, where),
        met,
    )
    _check_order(events, key)
    met.add("block: one event" if header.events == 1 else "block: several events")
    return events, value[at:]


def _decompressed(frame: bytes, raw_bytes: int) -> bytes:
    hold(raw_bytes <= RAW_BYTES_MAX, f"a frame says that it has {raw_bytes} bytes")
    try:
        hold(zstandard.frame_content_size(frame) == raw_bytes, "a frame has another content size")
        return zstandard.ZstdDecompressor().decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BrokenError(f"no zstd frame: {error}") from None


def _check_order(events: list[Stored], key: bytes) -> None:
    rising = all(one.key < other.key for one, other in pairwise(events))
    hold(rising, f"the events of block {key.hex()} are not in the order of keys")


class _Text(NamedTuple):
    """The message chunks of a part, not yet split."""

    chunks: bytes
    start: int
    """The beginning of the bytes that their checksums cover."""
    where: str


def _events(count: int, keys: list[Any], body: list[Any], text_of: _Text, met: Met) -> list[Stored]:
    times = list(accumulate(integers(keys[1], count - 1, met), initial=whole(keys[0])))
    sources = [text(name).encode() for name in array(keys[2])]
    places = index(keys[3], sources, count, met)
    used = sources == sorted(set(sources)) and set(places) == set(range(len(sources)))
    hold(used, f"the sources of {text_of.where} are not those that occur, sorted")
    numbers = accumulate(integers(keys[5], count - 1, met), initial=whole(keys[4]))
    by_source = sorted(
        range(count), key=places.__getitem__
    )  # stable: the numbers of one source keep their order
    number_of = dict(zip(by_source, numbers, strict=True))
    severities = list(binary(keys[6]))
    fit = len(severities) == count and max(severities) < len(SEVERITIES)
    hold(fit, f"the severities of {text_of.where} are no codes, or not one for each event")
    met.update(f"block: {SEVERITIES[code]}" for code in severities)
    commits = integers(keys[7], count, met)
    hold(type(body[0]) is bool, f"{body[0]!r} does not say what reception times are")
    met.add("block: reception times" if body[0] else "block: reception delays")
    received = integers(body[1], count, met)
    types, type_at = texts(body[2], count, met)
    users, user_at = texts(body[5], count, met)
    messages = _messages(body[3], array(body[4]), count, text_of, met)
    by_kind = sorted(range(count), key=lambda place: (type_at[place], severities[place]))
    message_of = dict(zip(by_kind, messages, strict=True))
    if by_kind != sorted(by_kind):
        met.add("block: messages in another order than events")
    met.add("block: types nil" if body[2] is None else "block: types")
    met.add("block: users nil" if body[5] is None else "block: users")
    met.add("block: extensions nil" if body[6] is None else "block: extensions")
    met.add("block: extra nil" if body[7] is None else "block: extra")
    extensions = [b""] * count if body[6] is None else list(map(binary, array(body[6], count)))
    extra = [{}] * count if body[7] is None else list(map(extra_of, array(body[7], count)))
    return [
        Stored(
            Key(times[at], sources[places[at]], whole(number_of[at], -(2**31), 2**31 - 1)),
            whole(commits[at], 1),
            whole(received[at] + (0 if body[0] else times[at])),
            severities[at],
            message_of[at],
            types[type_at[at]],
            users[user_at[at]],
            extensions[at],
            extra[at],
        )
        for at in range(count)
    ]


def _messages(each: Any, listed: list[Any], count: int, text_of: _Text, met: Met) -> list[str]:
    """Return the messages of all chunks."""
    whole(each, 1)
    found: list[str] = []
    rest = text_of.chunks
    for said in listed:
        packed, raw_bytes, plain, checksum = array(said, 4)
        frame, rest = rest[: whole(packed, 1)], rest[packed:]
        right = checksum == crc32(frame, text_of.start)
        hold(right, f"the checksum of a chunk of {text_of.where} is wrong")
        chunk = _chunk(_decompressed(frame, whole(raw_bytes, 0)))
        size = min(each, count - len(found))
        hold(len(chunk) == size, f"a chunk of {text_of.where} has {len(chunk)} messages, not {size}")
        hold(type(plain) is bool, f"{plain!r} does not say whether a chunk is plain")
        folds = any(map(folds_to_ascii, set().union(*chunk)))
        hold(not (plain and folds), f"a chunk of {text_of.where} is not plain")
        met.add("chunk: plain" if plain else "chunk: not plain")
        if not chunk[0].isascii() and plain:
            met.add("chunk: plain, with text beyond ASCII")
        met.add("chunk: full" if size == each else "chunk: fewer")
        found += chunk
    hold(not rest, f"the chunks of {text_of.where} are fewer than their bytes")
    hold(len(found) == count, f"the chunks of {text_of.where} have {len(found)} messages")
    met.add("block: one chunk" if len(listed) == 1 else "block: several chunks")
    return found


def _chunk(raw: bytes) -> list[str]:
    """Return the messages of a chunk, which is written in one way only."""
    try:
        found = [text(message) for message in array(json.loads(decoded(raw)))]
    except ValueError as error:
        raise BrokenError(f"no JSON: {error}") from None
    again = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    hold(again.encode() == raw, "a chunk is JSON, but not in the form of a message chunk")
    return found


def folds_to_ascii(character: str) -> bool:
    """Return whether a character beyond ASCII folds to text with ASCII in it."""
    return not character.isascii() and any(folded.isascii() for folded in character.casefold())

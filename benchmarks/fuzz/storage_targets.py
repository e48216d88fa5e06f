"""The decoders of what is stored: keys, records, blocks and cursors, each with a right checksum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import msgpack

from benchmarks.fuzz.targets import CRITICAL, Target
from yamcs_archive import Event, Severity
from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError, DamagedError, FormatVersionError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.results import MirrorState
from yamcs_archive.storage.format.block import Block, encode_blocks, zone_map_of
from yamcs_archive.storage.format.block_part_encoder import HEADER, MAIN, assembled
from yamcs_archive.storage.format.checksum import Checksummed
from yamcs_archive.storage.format.commits import (
    CommitRecord,
    Cursor,
    Run,
    commit_key,
    decode_commit,
    decode_cursor,
    encode_commit,
    encode_cursor,
)
from yamcs_archive.storage.format.compression import compressed, decompressed
from yamcs_archive.storage.format.keys import decode_key, decode_keys, encode_key, encode_keys
from yamcs_archive.storage.format.meta import Meta, decode_meta, encode_meta
from yamcs_archive.storage.format.requests import RequestRecord, decode_record, encode_record
from yamcs_archive.storage.format.rows import decode_row, decode_rows, encode_rows
from yamcs_archive.storage.format.source_states import SourceState, decode_source, encode_source
from yamcs_archive.storage.format.text_filters import TextFilter, decode_filter, excludes, trigrams
from yamcs_archive.storage.format.text_search import TextMatcher
from yamcs_archive.storage.format.zone_maps import (
    BLOCK_LEVEL,
    ZoneMap,
    block_filter,
    decode_if_matching,
    decode_zone_map,
    encode_zone_map,
    pack_sources,
)

_EVENTS = tuple(
    Event(
        f"Battery {n % 5} voltage is {n} V" if n % 7 else "é\U0001f680\0",
        source=f"S{n % 3}",
        type=("T", None)[n % 2],
        severity=list(Severity)[n % 7],
        generation_time=(n - 20) * 1_000_003,
        seq_number=n - 9,
        reception_time=n * 1_000_003,
        created_by="me" if n == 3 else None,
        extensions=bytes.fromhex("a00601") if n == 4 else b"",
        extra={"unit": "V"} if n == 5 else {},
    )
    for n in range(40)
)
_KEY = encode_key(5, "AOCS", 7)
_TYPES = (
    b"\xc0",
    b"\xc2",
    b"\xc3",
    b"\x90",
    b"\x91",
    b"\x80",
    b"\xa0",
    b"\xc4\0",
    b"\xcb" + bytes(8),
    b"\xd4\0\0",
)
"""Values of msgpack's types."""
_MSGPACK = (*CRITICAL, *_TYPES, b"\xdd\x7f\xff\xff\xff", b"\xc6\x7f\xff\xff\xff", b"\xcf" + b"\xff" * 8)


def _vectors() -> StoredVectors:
    return StoredVectors.of(Columns.of(list(_EVENTS)), commit=3)


def _decoded(decode: Callable[[bytes], object]) -> Callable[[bytes], bool]:
    """Return a function that says whether something was decoded, or refused as damaged."""

    def take(text: bytes) -> bool:
        try:
            decode(text)
        except DamagedError:
            return False
        return True

    return take


def _record(
    name: str, key: bytes, decode: Callable[[bytes, bytes], object]
) -> Callable[[], Callable[[bytes], bool]]:
    """Return a target's function: the input is the body of a record, to which a right checksum is added."""
    checksummed = Checksummed(name)

    def start() -> Callable[[bytes], bool]:
        return _decoded(lambda text: decode(key, checksummed.wrap(key, text)))

    return start


def _key() -> Callable[[bytes], bool]:
    def decode(text: bytes) -> None:
        found = decode_key(text)
        assert encode_key(*found) == text, "another key has the same bytes"

    def take(text: bytes) -> bool:
        try:
            decode(text)
        except DamagedError:
            return False
        assert encode_keys(*decode_keys([text])) == [text]
        return True

    return take


def _cursor() -> Callable[[bytes], bool]:
    def take(raw: bytes) -> bool:
        text = raw.decode("utf-8", "replace")
        try:
            found = decode_cursor(text)
        except ArchiveError:
            return False
        assert encode_cursor(found) == text, "another cursor has the same text"
        return True

    return take


def _row(key: bytes, value: bytes) -> None:
    row = decode_row(key, value)
    (again,) = encode_rows(StoredVectors.of(Columns.of([row.event]), row.commit), row.commit)
    assert decode_row(*again) == row, "encoded again, it is another row"
    together = decode_rows([(key, value)])
    assert list(together.events()) == [row.event], "rows that are decoded together differ"


def _commit(key: bytes, value: bytes) -> None:
    record = decode_commit(key, value)
    assert decode_commit(*encode_commit(record)) == record, "encoded again, it is another record"
    assert 0 <= record.fingerprint(record.last) < 1 << 32


def _source(key: bytes, value: bytes) -> None:
    name, state = decode_source(key, value)
    assert decode_source(*encode_source(name, state)) == (name, state)
    assert state.events + state.duplicates + state.conflicts + state.expired >= 0


def _request(key: bytes, value: bytes) -> None:
    record = decode_record(key, value)
    assert decode_record(*encode_record(key, record)) == record
    for event in record.events:
        decode_key(event)


def _zone_map(key: bytes, value: bytes) -> None:
    zone_map = decode_zone_map(key, value)
    assert decode_zone_map(*encode_zone_map(BLOCK_LEVEL, zone_map)) == zone_map
    for wanted in (None, block_filter(frozenset(["AOCS"]), None), block_filter(None, Severity.SEVERE)):
        decode_if_matching(key, value, wanted)
    ZoneMap.merge([zone_map, zone_map])


def _text_filter(key: bytes, value: bytes) -> None:
    found = decode_filter(key, value)
    wanted = trigrams(["battery 1"])
    assert excludes(key, value, wanted) != found.may_hold(wanted)
    assert decode_filter(*found.encode(BLOCK_LEVEL, key[1:])).covers(found)


def _text_filters() -> Iterator[tuple[bytes, bytes]]:
    """Yield a filter of some texts, and one that may hold anything."""
    for chunk in (b'["Battery 1 voltage is 1 V"]', "ß".encode()):
        found = TextFilter()
        found.add([chunk])
        yield found.encode(BLOCK_LEVEL, _KEY)


def _meta() -> Callable[[bytes], bool]:
    """The input is a msgpack map of names and values."""
    checksummed = Checksummed("meta")

    def take(text: bytes) -> bool:
        try:
            values = msgpack.unpackb(text)
            pairs = {name.encode(): msgpack.packb(value) for name, value in values.items()}
        except Exception:  # it is the fuzzer's own form
            return False
        try:
            meta = decode_meta({key: checksummed.wrap(key, value) for key, value in pairs.items()}, "sim")
        except (DamagedError, FormatVersionError):
            return False
        assert decode_meta(dict(encode_meta(meta)), "sim") == meta
        return True

    return take


def _apart() -> bytes:
    """Return a valid input of the target ``block``: a block's frames, decompressed, with their lengths."""
    ((_, value, _),) = encode_blocks([_vectors()])
    _, _, _, key_bytes, body_bytes, _, key_raw, body_raw = HEADER.unpack_from(value)
    ends = [HEADER.size, HEADER.size + key_bytes, HEADER.size + key_bytes + body_bytes]
    frames = [
        decompressed(value[begin:end], size)
        for (begin, end), size in zip(pairwise(ends), (key_raw, body_raw), strict=True)
    ]
    return b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames) + value[ends[-1] :]


def _block() -> Callable[[bytes], bool]:
    """Put decompressed frames together with right sizes and checksums, and decode the block in every way."""
    key = encode_key(_EVENTS[0].generation_time or 0, "S0", _EVENTS[0].seq_number or 0)

    def together(text: bytes) -> bytes:
        frames = []
        for _ in range(2):
            size = int.from_bytes(text[:4], "big")
            frames.append(text[4 : 4 + size])
            text = text[4 + size :]
        return assembled(key, len(_EVENTS), frames, [*compressed(frames), text], MAIN)

    def decode(text: bytes) -> None:
        value = together(text)
        decoders: tuple[Callable[[Block], object], ...] = (
            lambda block: block.events,
            zone_map_of,
            Block.check_body,
            lambda block: list(block.some_events([0, 7])),
            lambda block: block.containing(TextMatcher("voltage")),
            lambda block: block.key_of(block.count - 1),
            lambda block: block.parts[0].largest_frame_bytes,
        )
        refused = []
        for decoder in decoders:
            try:
                decoder(Block(key, value))
            except DamagedError as error:
                refused.append(error)
        if refused:
            raise refused[0]
        events = Block(key, value).events
        assert events.size == len(_EVENTS)
        list(events.events())

    return _decoded(decode)


def _raw_block() -> Callable[[bytes], bool]:
    """A block's bytes as they are stored: every change must be found."""
    ((key, whole, _),) = encode_blocks([_vectors()])
    expected = list(_EVENTS)

    def decode(text: bytes) -> None:
        found = list(Block(key, text).events.events())
        assert found == expected or text == whole, "a changed block is served"

    return _decoded(decode)


_STATE = SourceState(5, 7, 2**40, 1, 2, 3)
_COMMITS = (
    CommitRecord(1, (5,), (3,), (Run(_KEY, _KEY), Run(_KEY + b"\1", _KEY + b"\2"))),
    CommitRecord(1, tuple(range(5, 500, 9)), (1,) * 55, (Run(_KEY, _KEY + b"\1"),)),
)
_META = Meta("sim", b"8 random", 5, 7, 3, mirrored=MirrorState("http://ops:8090", "sim", "cursor"))
_ZONE_MAPS = (
    ZoneMap(_KEY, _KEY + b"\1", 9, pack_sources(["AOCS", "EPS"]), 5, 1, 2, (4, 0, 5, 0, 0, 0, 0)),
    ZoneMap(_KEY, _KEY + b"\1", 90, pack_sources(f"S{n}" for n in range(20)), 127, 1, 2),
)


def _bodies(*pairs: tuple[bytes, bytes]) -> tuple[bytes, ...]:
    return tuple(value[4:] for _, value in pairs)


def _rows() -> tuple[bytes, ...]:
    return _bodies(*encode_rows(_vectors(), 3)[::5])


TARGETS = (
    Target("key", (_KEY, encode_key(-1, "né", -1)), CRITICAL, _key),
    Target(
        "cursor",
        tuple(encode_cursor(Cursor(b"lineage!", 7, 2, mark)).encode() for mark in (None, 5)),
        (*CRITICAL, b"=", b"-", b"_", b"AAAA"),
        _cursor,
    ),
    Target("row", _rows(), _MSGPACK, _record("rows", _KEY, _row)),
    Target(
        "commit", _bodies(*map(encode_commit, _COMMITS)), _MSGPACK, _record("commits", commit_key(1), _commit)
    ),
    Target("source", _bodies(encode_source("AOCS", _STATE)), _MSGPACK, _record("sources", b"AOCS", _source)),
    Target(
        "request",
        _bodies(encode_record(b"me\0id", RequestRecord(5, bytes(16), (_KEY, _KEY)))),
        _MSGPACK,
        _record("requests", b"me\0id", _request),
    ),
    Target(
        "zone map",
        _bodies(*(encode_zone_map(BLOCK_LEVEL, each) for each in _ZONE_MAPS)),
        _MSGPACK,
        _record("summaries", BLOCK_LEVEL + _KEY, _zone_map),
    ),
    Target(
        "text filter",
        _bodies(*_text_filters()),
        _MSGPACK,
        _record("texts", BLOCK_LEVEL + _KEY, _text_filter),
    ),
    Target(
        "meta",
        (msgpack.packb({**_META._asdict(), "format": 1, "mirrored": ["http://ops", "sim", None]}),),
        _MSGPACK,
        _meta,
    ),
    Target("block", (_apart(),), _MSGPACK, _block, 1),
    Target("raw block", (encode_blocks([_vectors()])[0].value,), CRITICAL, _raw_block),
)
"""All targets of this module."""

"""A second reader of the format, written from docs/format.md alone; nothing of the package is used."""

from __future__ import annotations

import json
import struct
from itertools import accumulate
from pathlib import Path
from typing import Any
from zlib import crc32

import lmdb
import msgpack
import zstandard

SEVERITIES = ("INFO", "WATCH", "WARNING", "DISTRESS", "CRITICAL", "SEVERE", "ERROR")


def read(instance: Path) -> dict[str, Any]:
    """Return everything that an instance holds, as plain values: events, sources, commits, meta."""
    generation = instance / (instance / "CURRENT").read_text().strip()
    with lmdb.open(str(generation), readonly=True, max_dbs=7, lock=False) as environment:
        names = ("meta", "sources", "rows", "blocks", "summaries", "commits", "requests")
        databases = {name: environment.open_db(name.encode(), create=False) for name in names}
        with environment.begin() as transaction:
            pairs = {name: list(transaction.cursor(database)) for name, database in databases.items()}
    events = [_row(key, _body("rows", key, value)) for key, value in pairs["rows"]]
    for key, value in pairs["blocks"]:
        events += _block(key, value)
    events.sort(key=lambda event: (event["time"], event["source"].encode(), event["number"]))
    return {
        "meta": {key.decode(): _body("meta", key, value) for key, value in pairs["meta"]},
        "sources": {key.decode(): _body("sources", key, value) for key, value in pairs["sources"]},
        "events": events,
        "forms": {"rows": len(pairs["rows"]), "blocks": len(pairs["blocks"])},
        "summaries": [_summary(_body("summaries", key, value)) for key, value in pairs["summaries"]],
        "commits": [
            commit
            for key, value in pairs["commits"]
            for commit in _commits(key, _body("commits", key, value), events)
        ],
    }


def _body(name: str, key: bytes, value: bytes) -> Any:
    assert crc32(name.encode() + b"\0" + key + value[4:]) == int.from_bytes(value[:4], "big")
    return msgpack.unpackb(value[4:])


def _summary(body: list[Any]) -> list[Any]:
    """A summary with its sources as names; or as hashes, where it has more than 16."""
    sources = body[2]
    if sources[0] == 1:
        return [*body[:2], [sources[at : at + 4] for at in range(1, len(sources), 4)], *body[3:]]
    assert sources[0] == sources[-1] == 0
    return [*body[:2], sources[1:-1].decode().split("\0"), *body[3:]]


def _key(key: bytes) -> tuple[int, str, int]:
    (time,) = struct.unpack(">Q", key[:8])
    (number,) = struct.unpack(">I", key[-4:])
    assert key[-5] == 0
    return time - 2**63, key[8:-5].decode(), number - 2**31


def _row(key: bytes, body: list[Any]) -> dict[str, Any]:
    time, source, number = _key(key)
    kind, user, extensions, extra = list(body[4:]) + [None, None, b"", {}][len(body) - 4 :]
    return {
        "time": time, "source": source, "number": number, "commit": body[0], "reception": time + body[1],
        "severity": SEVERITIES[body[2]], "message": body[3], "type": kind, "user": user,
        "extensions": extensions.hex(), "extra": extra,
    }  # fmt: skip


def _integers(packed: bytes, count: int) -> list[int]:
    width, packed, divisor = packed[0], packed[1:], 1
    if width == 0:
        return [int.from_bytes(packed, "big", signed=True)] * count
    if width >= 128:
        width, packed, divisor = width - 128, packed[8:], int.from_bytes(packed[:8], "big")
    planes = [packed[plane * count : (plane + 1) * count] for plane in range(width)]
    return [
        divisor * int.from_bytes(bytes(parts), "little", signed=True) for parts in zip(*planes, strict=True)
    ]


def _index(packed: bytes, table: list[Any], count: int) -> list[int]:
    return list(packed) if len(table) <= 256 else _integers(packed, count)


def _texts(value: Any, count: int) -> list[str | None]:
    if value is None:
        return [None] * count
    table, packed = value
    return [table[place] for place in _index(packed, table, count)]


def _block(key: bytes, value: bytes) -> list[dict[str, Any]]:
    main, rest = _part(key, value, b"blocks\0")
    assert _key(key) == (main[0]["time"], main[0]["source"], main[0]["number"])
    late, rest = _part(key, rest, b"late\0") if rest else ([], b"")
    assert rest == b""
    return main + late


def _part(key: bytes, value: bytes, kind: bytes) -> tuple[list[dict[str, Any]], bytes]:
    count, frame, body_bytes, text_bytes, key_raw, body_raw = struct.unpack(">IIIIII", value[8:32])
    keys, behind = value[32 : 32 + frame], value[32 + frame : 32 + frame + body_bytes + text_bytes]
    body, stretches = behind[:body_bytes], behind[body_bytes:]
    start = crc32(kind + key)
    assert crc32(keys, crc32(value[4:32], start)) == int.from_bytes(value[:4], "big")
    assert crc32(body, start) == int.from_bytes(value[4:8], "big")
    raw = zstandard.decompress(keys)
    assert len(raw) == key_raw
    k = msgpack.unpackb(raw)
    raw = zstandard.decompress(body)
    assert len(raw) == body_raw
    b = msgpack.unpackb(raw)
    times = list(accumulate(_integers(k[1], count - 1), initial=k[0]))
    index = _index(k[3], k[2], count)
    numbers = list(accumulate(_integers(k[5], count - 1), initial=k[4]))
    in_order = sorted(range(count), key=lambda place: index[place])  # stable: source by source
    number_of = dict(zip(in_order, numbers, strict=True))
    commits, delays = _integers(k[7], count), _integers(b[1], count)
    kinds, users = _texts(b[2], count), _texts(b[5], count)
    texts = []
    for packed, raw_bytes, _, checksum in b[4]:
        assert crc32(stretches[:packed], start) == checksum
        stretch = zstandard.decompress(stretches[:packed])
        assert len(stretch) == raw_bytes
        texts.append(json.loads(stretch))
        stretches = stretches[packed:]
    assert all(len(text) == b[3] for text in texts[:-1])
    table = b[2][0] if b[2] else [None]
    by_kind = sorted(range(count), key=lambda place: (table.index(kinds[place]), k[6][place]))
    messages = dict(zip(by_kind, (message for text in texts for message in text), strict=True))
    events = [
        {
            "time": times[n], "source": k[2][index[n]], "number": number_of[n], "commit": commits[n],
            "reception": delays[n] if b[0] else times[n] + delays[n], "severity": SEVERITIES[k[6][n]],
            "message": messages[n], "type": kinds[n], "user": users[n],
            "extensions": (b[6][n] if b[6] else b"").hex(), "extra": b[7][n] if b[7] else {},
        }
        for n in range(count)
    ]  # fmt: skip
    return events, value[32 + frame + body_bytes + text_bytes :]


def _commits(key: bytes, body: list[Any], events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if body[0] == 0:
        _, time, count, runs = body
        times, counts = [time], [count]
    else:
        _, commits, first, deltas, packed, runs = body
        times = list(accumulate(_integers(deltas, commits - 1), initial=first))
        counts = _integers(packed, commits)
    bounds = [
        (_key(run), _key(run)) if isinstance(run, bytes) else (_key(run[0]), _key(run[1])) for run in runs
    ]
    found = []
    for number, (time, count) in enumerate(zip(times, counts, strict=True), int.from_bytes(key, "big")):
        own = [
            [event["time"], event["source"], event["number"]]
            for first_key, last_key in bounds
            for event in events
            if event["commit"] == number
            and first_key <= (event["time"], event["source"], event["number"]) <= last_key
        ]
        assert len(own) == count
        found.append({"number": number, "time": time, "events": own})
    return found

"""Alters single values in a copy of a golden archive.

The checksums are made right again, so that the check of the value itself must find the change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import lmdb
import msgpack
import zstandard

from tests.golden.blocks import HEADER, LATE, MAIN, Header
from tests.golden.reader import NAMES, read


class Pair(NamedTuple):
    """A key and its body; for ``blocks``, the key and the raw value."""

    key: bytes
    body: Any


class Part(NamedTuple):
    """A part of a block, taken apart."""

    keys: list[Any]
    body: list[Any]
    chunks: list[bytes]
    """Decompressed."""


class Copy:
    """A copy of an instance."""

    def __init__(self, instance: Path) -> None:
        self.instance = instance

    def _environment(self, max_dbs: int = len(NAMES)) -> lmdb.Environment:
        generation = self.instance / (self.instance / "CURRENT").read_text().strip()
        return lmdb.open(str(generation), max_dbs=max_dbs, map_size=1 << 22, lock=False, sync=False)

    @contextmanager
    def _transaction(self, name: str) -> Iterator[lmdb.Transaction[bytes]]:
        with self._environment() as environment:
            database = environment.open_db(name.encode(), create=False)
            with environment.begin(write=True, db=database) as transaction:
                yield transaction

    def raw(self, name: str) -> list[tuple[bytes, bytes]]:
        """Return the keys and values of a sub-database."""
        with self._transaction(name) as transaction:
            return list(transaction.cursor())

    def put_raw(self, name: str, key: bytes, value: bytes | None) -> None:
        """Put a raw value, or delete it."""
        with self._transaction(name) as transaction:
            if value is None:
                assert transaction.delete(key)
            else:
                transaction.put(key, value)

    def put(self, name: str, key: bytes, body: Any) -> None:
        """Put a body with its checksum."""
        packed = msgpack.packb(body)
        self.put_raw(name, key, crc32(name.encode() + b"\0" + key + packed).to_bytes(4, "big") + packed)

    def add_database(self, name: str) -> None:
        """Create a sub-database."""
        with self._environment(max_dbs=len(NAMES) + 1) as environment:
            environment.open_db(name.encode())

    def drop_database(self, name: str) -> None:
        """Delete a sub-database."""
        with self._environment() as environment:
            database = environment.open_db(name.encode(), create=False)
            with environment.begin(write=True) as transaction:
                transaction.drop(database)

    def find(self, name: str, wanted: Callable[[Pair], bool]) -> Pair:
        """Return the first pair that satisfies ``wanted``."""
        pairs = (
            Pair(key, value if name == "blocks" else msgpack.unpackb(value[4:]))
            for key, value in self.raw(name)
        )
        return next(pair for pair in pairs if wanted(pair))

    def alter(self, name: str, wanted: Callable[[Pair], bool], change: Callable[[Any], Any]) -> None:
        """Change the first body that satisfies ``wanted``."""
        found = self.find(name, wanted)
        self.put(name, found.key, change(found.body))

    def alter_part(self, wanted: Callable[[Part], bool], change: Callable[[Part], Part], at: int = 0) -> None:
        """Change the first part that satisfies ``wanted``; ``at`` is 0 for main parts, 1 for late parts."""
        for key, value in self.raw("blocks"):
            parts = taken_apart(value)
            if at < len(parts) and wanted(parts[at]):
                parts[at] = change(parts[at])
                kinds = (MAIN, LATE)
                whole = (assembled(key, part, kind) for part, kind in zip(parts, kinds, strict=False))
                self.put_raw("blocks", key, b"".join(whole))
                return
        raise AssertionError("no such part")

    def alter_header(self, change: Callable[[Header], Header], trailing: bytes = b"") -> None:
        """Change the header of the first block, with a right checksum, and add bytes after the block."""
        key, value = self.raw("blocks")[0]
        header = Header(*HEADER.unpack_from(value))
        rest = value[HEADER.size :] + trailing
        packed = HEADER.pack(*change(header))[4:]
        first = crc32(MAIN + key + packed + rest[: header.key_bytes])
        self.put_raw("blocks", key, first.to_bytes(4, "big") + packed + rest)

    def read(self) -> dict[str, Any]:
        """Return the content that the second reader finds in the copy."""
        return read(self.instance)


def taken_apart(value: bytes) -> list[Part]:
    """Split a block into its parts, without any check."""
    found = []
    while value:
        header = Header(*HEADER.unpack_from(value))
        ends = [HEADER.size]
        for size in (header.key_bytes, header.body_bytes, header.text_bytes):
            ends.append(ends[-1] + size)
        keys, body, texts = (value[begin:end] for begin, end in pairwise(ends))
        columns = msgpack.unpackb(zstandard.decompress(body))
        chunks = []
        for size, *_ in columns[4]:
            chunks.append(zstandard.decompress(texts[:size]))
            texts = texts[size:]
        found.append(Part(msgpack.unpackb(zstandard.decompress(keys)), columns, chunks))
        value = value[ends[-1] :]
    return found


def assembled(key: bytes, part: Part, kind: bytes) -> bytes:
    """Return the stored form of a part, with right sizes and checksums, and an event for each severity."""
    start = crc32(kind + key)
    texts = [zstandard.compress(chunk) for chunk in part.chunks]
    listed = [
        [len(frame), len(chunk), plain, crc32(frame, start)]
        for frame, chunk, (_, _, plain, _) in zip(texts, part.chunks, part.body[4], strict=True)
    ]
    raw = [msgpack.packb(part.keys), msgpack.packb([*part.body[:4], listed, *part.body[5:]])]
    frames = [zstandard.compress(each) for each in raw]
    sizes = (*map(len, frames), sum(map(len, texts)), *map(len, raw))
    covered = HEADER.pack(0, crc32(frames[1], start), len(part.keys[6]), *sizes)[4:]
    first = crc32(frames[0], crc32(covered, start))
    return b"".join((first.to_bytes(4, "big"), covered, *frames, *texts))


def at(place: int, value: Any) -> Callable[[Sequence[Any]], list[Any]]:
    """Return a function that replaces one value of an array, by a value or by a function of the old one."""
    return lambda array: [
        (value(each) if callable(value) else value) if here == place else each
        for here, each in enumerate(array)
    ]

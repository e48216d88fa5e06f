"""A stream of backups, read and checked as it comes.

1. Nothing is handed on before its frame's checksum was found correct; a block is decoded in full.
2. What all parts must add up to is compared with the manifest at the end. So whoever uses the parts must be
   able to throw them away until :meth:`BackupReader.parts` has ended.
3. Backups that follow one another in a stream, or in files, are a chain if each begins where the one before
   it ends: the same history, and the cursor of that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgpack
import msgspec

from yamcs_archive.errors import BackupError, DamagedError
from yamcs_archive.event import EventKey
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.results import BackupManifest
from yamcs_archive.storage.backup.digests import CommitDigest, PairDigest
from yamcs_archive.storage.backup.snapshot import Part
from yamcs_archive.storage.format.backup_frames import (
    BackupHead,
    Frame,
    FrameReader,
    decode_block,
    decode_head,
    decode_manifest,
    decode_pairs,
)
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.commits import CommitRecord, decode_commit
from yamcs_archive.storage.format.content_hash import ContentHash
from yamcs_archive.storage.format.keys import Keys
from yamcs_archive.storage.format.meta import Meta
from yamcs_archive.storage.format.requests import decode_record
from yamcs_archive.storage.format.source_states import decode_source
from yamcs_archive.storage.maintain.verification import first_out_of_order
from yamcs_archive.storage.read.metadata import decode_facts


class Records(NamedTuple):
    """Stored pairs of one sub-database, each of which can be decoded."""

    database: str
    pairs: list[Pair]
    payload: bytes
    """The same, compressed."""


class BackupReader:
    """One backup of a stream."""

    def __init__(self, frames: Iterator[Frame], stream: FrameReader) -> None:
        """Reads its head and its facts. Raises BackupError."""
        self._frames, self._stream = frames, stream
        self.head: BackupHead = decode_head(next(frames).payload, stream.where)
        self.meta = self._meta(next(frames))
        self.manifest: BackupManifest | None = None
        """Set once all parts were read and found correct."""
        self._sources, self._requests, self._commits = PairDigest(), PairDigest(), CommitDigest()
        self._content = ContentHash()
        self._number = 1
        self._first: EventKey | None = None
        self._last: EventKey | None = None
        self._block_end = b""
        self._next_commit = self.head.after_commit + 1

    @property
    def where(self) -> str:
        """The file or the stream, for errors."""
        return self._stream.where

    def _meta(self, frame: Frame) -> Meta:
        if frame.kind != "meta":
            raise self._stream.damaged("its facts are missing")
        try:
            pairs = msgspec.convert(msgpack.unpackb(frame.payload), list[tuple[bytes, bytes]])
            meta = decode_facts(dict(pairs), self._stream.where)
        except (ValueError, msgpack.UnpackException, msgspec.ValidationError, DamagedError) as error:
            raise self._stream.damaged(f"its facts cannot be read: {error}") from None
        if meta.lineage.hex() != self.head.lineage:
            raise self._stream.damaged("its facts are of another history than its head")
        return meta

    def parts(self) -> Iterator[Part | Records]:
        """Yield what is in it, in the order of the stream; at the end all of it is compared.

        Raises BackupError.
        """
        for frame in self._frames:
            self._number += 1
            try:
                if frame.kind == "mani":
                    self._compare(decode_manifest(frame.payload, self.where))
                else:
                    yield self._part(frame)
            except DamagedError as error:
                reason = f"{error.where}: {error.reason}"
                raise self._stream.damaged(reason) from None

    def _part(self, frame: Frame) -> Part | Records:
        if frame.kind in ("blks", "evts"):
            return self._events(frame)
        pairs = decode_pairs(frame.payload, self.where)
        if frame.kind == "cmts":
            for key, value in pairs:
                self._count_commits(decode_commit(key, value))
            return Records("commits", pairs, frame.payload)
        if frame.kind not in _RECORDS:
            raise self._stream.damaged(f"a frame {frame.kind!r} is out of its place")
        database, check = _RECORDS[frame.kind]
        for key, value in pairs:
            check(key, value)
        (self._sources if database == "sources" else self._requests).add(pairs)
        return Records(database, pairs, frame.payload)

    def _count_commits(self, record: CommitRecord) -> None:
        expected = self._next_commit
        # Records before that of the horizon's commit may have been pruned.
        if not expected <= record.first <= max(expected, self.meta.horizon_commit):
            raise self._stream.damaged(f"commit {record.first} follows, and not {expected}")
        self._next_commit = record.last + 1
        self._commits.add(record)

    def _events(self, frame: Frame) -> Part:
        key, value = decode_block(frame.payload, self.where)
        block = Block(key, value)
        block.check_body()
        events = block.events
        self._check_events(key, events)
        if frame.kind == "blks":
            if key <= self._block_end:
                raise self._stream.damaged(f"block {key.hex()} overlaps the one before it")
            self._block_end = Keys.of(events.cut(events.size - 1, events.size)).encoded()[0]
        self._content.add(events)
        low, high = EventKey(*events.key(0)), EventKey(*events.key(-1))
        self._first = low if self._first is None else min(self._first, low)
        self._last = high if self._last is None else max(self._last, high)
        return Part(key, value, events, frame.kind == "evts")

    def _check_events(self, key: bytes, events: StoredVectors) -> None:
        if first_out_of_order(events) is not None or Keys.of(events.cut(0, 1)).encoded() != [key]:
            raise self._stream.damaged(f"the events of block {key.hex()} are not in order")
        least, greatest = int(events.commits.min()), int(events.commits.max())
        if least <= self.head.after_commit or greatest > self.head.commit:
            raise self._stream.damaged(
                f"block {key.hex()} has events of the commits {least} to {greatest}, and the backup those"
                f" from {self.head.after_commit + 1} to {self.head.commit}"
            )

    def _compare(self, manifest: BackupManifest) -> None:
        found = {
            **self.head._asdict(),
            "horizon": self.meta.horizon,
            "events": self._content.events,
            "first": self._first,
            "last": self._last,
            "content": self._content.hex(),
            "commits": self._commits.count,
            "commits_digest": self._commits.hex(),
            "sources": self._sources.count,
            "sources_digest": self._sources.hex(),
            "requests": self._requests.count,
            "requests_digest": self._requests.hex(),
            "frames": self._number,
        }
        for name, value in found.items():
            if getattr(manifest, name) != value:
                said = getattr(manifest, name)
                raise self._stream.damaged(f"its manifest says {name} {said!r}, and {value!r} was read")
        if self._next_commit != self.head.commit + 1:  # the newest record is never pruned
            raise self._stream.damaged(f"its commits end before {self.head.commit}")
        lacks = self._content.events < self._commits.events
        if self._content.events > self._commits.events or (lacks and self.meta.horizon is None):
            raise self._stream.damaged(
                f"its commits have {self._commits.events} events, and {self._content.events} were read"
            )
        self.manifest = manifest


_RECORDS: Mapping[str, tuple[str, Callable[[bytes, bytes], object]]] = {
    "srcs": ("sources", decode_source),
    "reqs": ("requests", decode_record),
}


def backups_in(read: Callable[[int], bytes], where: str) -> Iterator[BackupReader]:
    """Yield the backups of a stream; read all parts of each before the next one."""
    stream = FrameReader(read, where)
    while (frames := stream.backup()) is not None:
        yield BackupReader(frames, stream)


def check_follows(head: BackupHead, before: BackupManifest | None, where: str) -> None:
    """Raise BackupError unless a backup continues the one before it; None: nothing is before it.

    >>> head = BackupHead("sim", "6c696e6561676521", 7, "cursor", "before", 3, 0)
    >>> check_follows(head, None, "second.backup")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.BackupError: second.backup cannot be used as a backup (it continues a backup ...
    """
    if head.after is None:
        return
    if before is None or before.instance != head.instance:
        raise BackupError(where, f"it continues a backup up to commit {head.after_commit}, which is missing")
    if before.lineage != head.lineage:
        raise BackupError(where, f"it is of another history than {before.instance!r} before it")
    if before.cursor != head.after:
        raise BackupError(
            where,
            f"it continues a backup up to commit {head.after_commit}, and the one before it goes up to"
            f" {before.commit}",
        )


def checked_copy(chunks: Iterator[bytes], where: str) -> Iterator[tuple[bytes, BackupManifest | None]]:
    """Yield the bytes of one backup, frame by frame, each after its checksums; at last with the manifest.

    Its content is not decoded. Raises BackupError unless the stream is exactly one whole backup.
    """
    stream = FrameReader(ChunkReader(chunks).read, where)
    frames = stream.backup()
    if frames is None:
        raise BackupError(where, "it is empty")
    manifest = None
    for frame in frames:
        manifest = decode_manifest(frame.payload, where) if frame.kind == "mani" else None
        yield frame.raw, manifest
    if stream.backup() is not None:
        raise stream.damaged("another backup follows")


class ChunkReader:
    """Reads from chunks as from a file.

    >>> reader = ChunkReader(iter([b"ab", b"", b"c"]))
    >>> reader.read(1), reader.read(9), reader.read(9), reader.read(9)
    (b'a', b'b', b'c', b'')
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._left = memoryview(chunk)
        part, self._left = self._left[:size], self._left[size:]
        return bytes(part)

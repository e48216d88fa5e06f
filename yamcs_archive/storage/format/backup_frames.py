"""A backup <-> bytes: frames in one stream, the same for a file and for a pipe; pure.

1. A backup begins with :data:`MAGIC`. Frames follow, in the order of :data:`KINDS`; the last one is the
   manifest, and after it a foot says where it is. A backup without them is unfinished. Another backup may
   follow in the same stream.
2. A frame is a head of 16 bytes and a payload. The checksum of the head also covers the number of the frame,
   so that a frame that is missing, doubled or out of place is noticed. No length is trusted before that.
3. Payloads: ``head`` and ``mani`` are JSON; ``meta`` is msgpack, the stored pairs; ``srcs``, ``reqs`` and
   ``cmts`` are stored pairs too, as msgpack in a zstd frame after its size; ``blks`` and ``evts`` are a
   block, after its key. The events of ``blks`` become that block again, those of ``evts`` are put into
   blocks anew.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import NamedTuple, TypeVar
from zlib import crc32

import msgpack
import msgspec

from yamcs_archive.errors import BackupError, FormatVersionError
from yamcs_archive.limits import BACKUP_FRAME_BYTES_MAX
from yamcs_archive.results import BackupManifest
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.compression import compressed, decompressed

BACKUP_FORMAT = 1
"""Changes with every change of the bytes of a backup; see ``docs/format.md``."""
MAGIC = b"yamcs_archive backup "
_MAGIC_LINE = MAGIC + b"%d\n"
_MAGIC_BYTES = len(_MAGIC_LINE % BACKUP_FORMAT)
KINDS = ("head", "meta", "srcs", "reqs", "cmts", "blks", "evts", "mani")
"""The kinds of frames; those of ``blks`` and ``evts`` alternate, the others come in this order."""
_PLACE = {kind: at if kind != "evts" else KINDS.index("blks") for at, kind in enumerate(KINDS)}
_HEAD, _SUM, _NUMBER = struct.Struct(">4sII"), struct.Struct(">I"), struct.Struct(">Q")
_FOOT, _FOOT_MAGIC = struct.Struct(">QI8s"), b"yamcsend"
_KEY_BYTES = struct.Struct(">H")
_RAW_BYTES = struct.Struct(">I")
FOOT_BYTES = _FOOT.size + _SUM.size
"""Bytes that follow the manifest."""
_READ_BYTES = 1 << 20

T = TypeVar("T")


class BackupHead(NamedTuple):
    """What a backup says of itself before its content."""

    instance: str
    lineage: str
    commit: int
    """The greatest number of a commit that is in it."""
    cursor: str
    after: str | None
    """The cursor of the backup that it continues."""
    after_commit: int
    created: int


class Frame(NamedTuple):
    """A frame as it was read; its checksums are correct."""

    kind: str
    payload: bytes
    raw: bytes
    """All bytes that were read for it; with the magic before it, or the foot after it."""


class FrameWriter:
    """Makes the frames of one backup.

    >>> writer = FrameWriter()
    >>> stream = BytesIO(writer.frame("head", b"{}") + writer.frame("meta", b"[]"))
    >>> frames = FrameReader(stream.read, "example").backup()
    >>> next(frames).kind, next(frames).payload
    ('head', b'[]')
    """

    def __init__(self) -> None:
        self.frames = 0

    def frame(self, kind: str, payload: bytes) -> bytes:
        """Return the bytes of the next frame; the first one has the magic before it."""
        head = _HEAD.pack(kind.encode(), len(payload), crc32(payload))
        summed = _SUM.pack(crc32(head, crc32(_NUMBER.pack(self.frames))))
        start = b"" if self.frames else _MAGIC_LINE % BACKUP_FORMAT
        self.frames += 1
        return b"".join((start, head, summed, payload))

    def manifest(self, manifest: BackupManifest) -> bytes:
        """Return the bytes of the last frame, and of the foot."""
        number = self.frames
        frame = self.frame("mani", msgspec.json.encode(manifest))
        foot = _FOOT.pack(number, len(frame), _FOOT_MAGIC)
        return frame + foot + _SUM.pack(crc32(foot))


class FrameReader:
    """Reads the frames of backups that follow one another, and checks them.

    ``read(size)`` returns up to so many bytes, none at the end; ``where`` names the stream in errors. Raises
    :class:`~yamcs_archive.errors.BackupError` for bytes that are no whole backup, FormatVersionError for one
    of a later version.
    """

    def __init__(self, read: Callable[[int], bytes], where: str) -> None:
        self._read, self.where = read, where
        self._position = 0

    def damaged(self, reason: str) -> BackupError:
        """Return the error for what was read last."""
        return BackupError(self.where, f"{reason}, before byte {self._position}")

    def backup(self) -> Iterator[Frame] | None:
        """Return the frames of the next backup, None at the end of the stream. Read them all."""
        first = self._read(1)
        if not first:
            return None
        self._position += 1
        start = first + self._exactly(_MAGIC_BYTES - 1)
        if not start.startswith(MAGIC):
            raise self.damaged("no backup begins here")
        if start != _MAGIC_LINE % BACKUP_FORMAT:
            raise FormatVersionError(self.where, start[len(MAGIC) :].strip().decode("latin-1"), BACKUP_FORMAT)
        return self._frames(start)

    def _frames(self, start: bytes) -> Iterator[Frame]:
        number = place = 0
        while True:
            frame = self._frame(number)
            if _PLACE.get(frame.kind, -1) < place or (number == 0) != (frame.kind == "head"):
                raise self.damaged(f"a frame {frame.kind!r} is out of its place")
            place = _PLACE[frame.kind]
            raw = start + frame.raw
            if frame.kind == "mani":
                foot = _FOOT.pack(number, len(frame.raw), _FOOT_MAGIC)
                found = self._exactly(FOOT_BYTES)
                if found != foot + _SUM.pack(crc32(foot)):
                    raise self.damaged("its foot is damaged")
                yield frame._replace(raw=raw + found)
                return
            yield frame._replace(raw=raw)
            number, start = number + 1, b""

    def _frame(self, number: int) -> Frame:
        raw = self._exactly(_HEAD.size + _SUM.size)
        kind, size_bytes, payload_sum = head = _HEAD.unpack_from(raw)
        if raw[_HEAD.size :] != _SUM.pack(crc32(_HEAD.pack(*head), crc32(_NUMBER.pack(number)))):
            raise self.damaged(f"the head of frame {number} is damaged, or not the one that should follow")
        if size_bytes > BACKUP_FRAME_BYTES_MAX:
            raise self.damaged(f"frame {number} has {size_bytes} bytes")
        payload = self._exactly(size_bytes)
        if crc32(payload) != payload_sum:
            raise self.damaged(f"the checksum of frame {number}, {kind.decode('latin-1')!r}, is wrong")
        return Frame(kind.decode("latin-1"), payload, raw + payload)

    def _exactly(self, size_bytes: int) -> bytes:
        parts, left = [], size_bytes
        while left:
            part = self._read(min(left, _READ_BYTES))
            if not part:
                raise self.damaged("it ends before its manifest: it is not finished, or was cut short")
            parts.append(part)
            left -= len(part)
            self._position += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def read_manifest(read_end: Callable[[int], bytes], where: str) -> BackupManifest:
    """Return the manifest of a backup's file; ``read_end(size)`` returns its last bytes. Raises BackupError.

    Nothing else of the backup is read.
    """
    foot = read_end(FOOT_BYTES)
    if len(foot) == FOOT_BYTES and foot[_FOOT.size :] == _SUM.pack(crc32(foot[: _FOOT.size])):
        number, size_bytes, magic = _FOOT.unpack_from(foot)
        if magic == _FOOT_MAGIC and size_bytes <= BACKUP_FRAME_BYTES_MAX:
            end = read_end(FOOT_BYTES + size_bytes)
            frame = FrameReader(BytesIO(end).read, where)._frame(number)
            if frame.kind == "mani":
                return decode_manifest(frame.payload, where)
    raise BackupError(where, "it has no manifest: it is not finished, or was cut short")


def decode_manifest(payload: bytes, where: str) -> BackupManifest:
    """Return a manifest; BackupError if it is none."""
    return _decoded(payload, BackupManifest, where)


def encode_head(head: BackupHead) -> bytes:
    """Return the payload of a head.

    >>> head = BackupHead("sim", "6c696e6561676521", 7, "cursor", None, 0, 5)
    >>> decode_head(encode_head(head), "example") == head
    True
    """
    return msgspec.json.encode(head._asdict())


def decode_head(payload: bytes, where: str) -> BackupHead:
    """Return a head; BackupError if it is none."""
    fields = _decoded(payload, dict[str, str | int | None], where)
    try:
        return msgspec.convert(list(map(fields.__getitem__, BackupHead._fields)), BackupHead)
    except (KeyError, msgspec.ValidationError) as error:
        raise BackupError(where, f"its head cannot be read: {error!r}") from None


def _decoded(payload: bytes, kind: type[T], where: str) -> T:
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BackupError(where, f"its facts cannot be read: {error}") from None


def encode_pairs(pairs: Sequence[Pair]) -> bytes:
    """Return the payload for pairs, compressed.

    >>> decode_pairs(encode_pairs([(b"key", b"value")]), "example")
    [(b'key', b'value')]
    """
    raw: bytes = msgpack.packb(pairs)
    return _RAW_BYTES.pack(len(raw)) + compressed([raw])[0]


def decode_pairs(payload: bytes, where: str) -> list[Pair]:
    """Return the pairs of a payload; BackupError if it has none."""
    try:
        (raw_bytes,) = _RAW_BYTES.unpack_from(payload)
        found = msgpack.unpackb(decompressed(payload[_RAW_BYTES.size :], raw_bytes))
        return msgspec.convert(found, list[tuple[bytes, bytes]])
    except (ValueError, struct.error, msgpack.UnpackException, msgspec.ValidationError) as error:
        raise BackupError(where, f"a frame of pairs cannot be read: {error}") from None


def encode_block(key: bytes, value: bytes) -> bytes:
    """Return the payload for a block.

    >>> decode_block(encode_block(b"key", b"value"), "example")
    (b'key', b'value')
    """
    return _KEY_BYTES.pack(len(key)) + key + value


def decode_block(payload: bytes, where: str) -> Pair:
    """Return key and value of a block; BackupError if there is none."""
    if len(payload) <= _KEY_BYTES.size:
        raise BackupError(where, "a frame of a block is empty")
    end = _KEY_BYTES.size + _KEY_BYTES.unpack_from(payload)[0]
    return payload[_KEY_BYTES.size : end], payload[end:]

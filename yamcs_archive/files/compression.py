"""Compressed files, recognised by their first bytes and by the ends of their names; pure.

A file may be several members of gzip, or several frames of zstd, one after another: their content is one. So
a file that was left unfinished can go on with another one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import zstandard

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.wire.framing import gunzipped

SUFFIXES = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
"""How a file is compressed, by the end of its name."""
COMPRESSIONS = ("gzip", "zstd")
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
MAGIC_BYTES = len(_ZSTD)
"""The first bytes by which a compressed file is known."""
_GZIP_LEVEL, _ZSTD_LEVEL = 6, 3
_FED_BYTES = 512
"""Bytes of zstd that are decompressed together. Each 4 of them may become 128 KiB, so more would let a small
file fill the memory."""
_WINDOW_BYTES_MAX = 128 << 20
"""Largest distance of zstd's references, as that of its command: a file that needs more is refused."""


def is_compressed(beginning: bytes) -> bool:
    """Say whether a file with these first bytes is compressed.

    >>> is_compressed(zstandard.compress(b"events"))
    True
    """
    return beginning.startswith((_GZIP, _ZSTD))


def compression_of(name: str) -> str | None:
    """Return how a file of this name is compressed; None if it is not.

    >>> compression_of("events.jsonl.ZST"), compression_of("events.jsonl")
    ('zstd', None)
    """
    return next((kind for end, kind in SUFFIXES.items() if name.lower().endswith(end)), None)


def bare_name(name: str) -> str:
    """Return a name in lower case, without the end that says that the file is compressed.

    >>> bare_name("Pass-17.JSONL.gz")
    'pass-17.jsonl'
    """
    lower = name.lower()
    return next((lower.removesuffix(end) for end in SUFFIXES if lower.endswith(end)), lower)


def decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the content of a file; a file that is not compressed is its own content.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` for a compressed file that was cut short, after
    what can be read of it.

    >>> import gzip
    >>> b"".join(decompressed(iter([gzip.compress(b"events")])))
    b'events'
    """
    first = next(chunks, b"")
    while len(first) < MAGIC_BYTES and (more := next(chunks, b"")):
        first += more
    whole = chain([first], chunks)
    if first.startswith(_GZIP):
        return gunzipped(whole)
    return unzstd(whole) if first.startswith(_ZSTD) else whole


def unzstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the content of frames of zstd, in pieces of bounded size.

    >>> b"".join(unzstd([zstandard.compress(b"one "), zstandard.compress(b"two")]))
    b'one two'
    """
    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX)
    frame: Any = None
    for chunk in chunks:
        for start in range(0, len(chunk), _FED_BYTES):
            rest = chunk[start : start + _FED_BYTES]
            while rest:
                if frame is None:
                    frame = unpacker.decompressobj()
                try:
                    found = frame.decompress(rest)
                except zstandard.ZstdError as error:
                    raise InvalidInputError("file", rest[:20].hex(), f"is not zstd: {error}") from None
                if found:
                    yield found
                rest = b""
                if frame.eof:
                    rest, frame = frame.unused_data, None
    if frame is not None:
        raise InvalidInputError("file", "zstd", "is truncated")


class Compressor:
    """Compresses what is written to a file, as members or frames.

    >>> packer = Compressor("gzip")
    >>> file = packer.compress(b"one ") + packer.finish() + packer.compress(b"two") + packer.finish()
    >>> b"".join(decompressed(iter([file])))
    b'one two'
    """

    def __init__(self, kind: str | None) -> None:
        """``kind`` is one of COMPRESSIONS; None: nothing is changed."""
        self._kind = kind
        self._frame: Any = None

    def compress(self, data: bytes) -> bytes:
        """Return what is to be written for some more data; some of it may be held back."""
        if self._kind is None or not data:
            return data
        if self._frame is None:
            self._frame = (
                zlib.compressobj(_GZIP_LEVEL, wbits=31)
                if self._kind == "gzip"
                else zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compressobj()
            )
        return bytes(self._frame.compress(data))

    def finish(self) -> bytes:
        """Return the end of the member or frame: what was written up to it can be read."""
        if self._frame is None:
            return b""
        end = bytes(self._frame.flush())
        self._frame = None
        return end

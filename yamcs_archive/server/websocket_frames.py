"""The frames of a WebSocket as the bytes that a server sends (RFC 6455); no sockets.

A server's frames are not masked, and these are whole messages, so each is a short head before its content.
Joined, hundreds of them take one write, where one by one most of the time would be the writes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

WRITTEN_BYTES = 1 << 16
"""Bytes after which frames wait for the next write: as many as a connection's buffer has room for."""
_TEXT, _BINARY = 0x81, 0x82
"""The first byte of a message in one frame."""
_SHORT_MAX, _MIDDLE, _LONG = 125, 126, 127
_SHORT_HEAD, _MIDDLE_HEAD, _LONG_HEAD = struct.Struct(">BB"), struct.Struct(">BBH"), struct.Struct(">BBQ")


def written(frames: Iterable[str | bytes]) -> Iterator[bytes]:
    """Yield frames as they are written: texts as text, bytes as binary, in parts of about 64 KiB.

    >>> list(written(["hi", b"you"]))
    [b'\\x81\\x02hi\\x82\\x03you']
    """
    parts: list[bytes] = []
    size_bytes = 0
    for frame in frames:
        opening, content = (_TEXT, frame.encode()) if isinstance(frame, str) else (_BINARY, frame)
        parts += (_head(opening, len(content)), content)
        size_bytes += len(content)
        if size_bytes >= WRITTEN_BYTES:
            yield b"".join(parts)
            parts, size_bytes = [], 0
    if parts:
        yield b"".join(parts)


def _head(opening: int, length: int) -> bytes:
    if length <= _SHORT_MAX:
        return _SHORT_HEAD.pack(opening, length)
    if length < 1 << 16:
        return _MIDDLE_HEAD.pack(opening, _MIDDLE, length)
    return _LONG_HEAD.pack(opening, _LONG, length)

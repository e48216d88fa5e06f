"""Checksums of stored values: bytes in, bytes out; no LMDB, no knowledge of the content.

1. Every value in every sub-database begins with a CRC-32 (zlib's polynomial, big-endian) over the
   sub-database's name, one NUL, the key, and the rest of the value. The name and the key are covered,
   so a value under a wrong key or in a wrong database is detected, too.
2. No byte of a value is interpreted before its checksum was found right.
"""

from __future__ import annotations

from zlib import crc32

from yamcs_archive.errors import DamagedError

CHECKSUM_BYTES = 4

Pair = tuple[bytes, bytes]
"""A key and its value, as they are stored."""


class Checksummed:
    """Adds and checks the checksum of the values of one sub-database.

    >>> blocks = Checksummed("blocks")
    >>> blocks.unwrap(b"key", blocks.wrap(b"key", b"body"))
    b'body'
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.start = crc32(name.encode() + b"\0")
        """The checksum of the name, from which every checksum of this sub-database goes on."""

    def wrap(self, key: bytes, body: bytes) -> bytes:
        """Return the value to store for ``body`` under ``key``."""
        return crc32(body, crc32(key, self.start)).to_bytes(CHECKSUM_BYTES, "big") + body

    def unwrap(self, key: bytes, value: bytes) -> bytes:
        """Return the body of a stored value; :class:`DamagedError` when its checksum is wrong."""
        body = value[CHECKSUM_BYTES:]
        found = crc32(body, crc32(key, self.start)).to_bytes(CHECKSUM_BYTES, "big")
        if value[:CHECKSUM_BYTES] != found:  # as also where the value is shorter than a checksum
            raise self.damaged(key, "the checksum is wrong")
        return body

    def damaged(self, key: bytes, reason: str) -> DamagedError:
        """Return the error for a value that cannot be trusted."""
        return DamagedError(f"{self.name} {key.hex()}", reason)

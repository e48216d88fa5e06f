"""Compressed files, recognised by their first bytes; pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from yamcs_archive.wire.framing import gunzipped

SUFFIXES = (".gz",)
"""The ends of the names of compressed files."""
_GZIP = b"\x1f\x8b"


def bare_name(name: str) -> str:
    """Return a name in lower case, without the end that says that the file is compressed.

    >>> bare_name("Pass-17.JSONL.gz")
    'pass-17.jsonl'
    """
    lower = name.lower()
    return next((lower.removesuffix(end) for end in SUFFIXES if lower.endswith(end)), lower)


def decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the content of a file; a file that is not compressed is its own content.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` for a compressed file that was cut short.

    >>> import gzip
    >>> b"".join(decompressed(iter([gzip.compress(b"events")])))
    b'events'
    """
    first = next(chunks, b"")
    whole = chain([first], chunks)
    return gunzipped(whole) if first.startswith(_GZIP) else whole

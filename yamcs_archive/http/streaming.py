"""Answers of any length, in chunks of bounded size as they are read, and compression; no I/O.

1. A failure before the first chunk is an answer like any other: nothing is sent until there is a chunk. A
   later one is raised to the server, which then must not end the answer cleanly.
2. The server closes the chunks, at their end or earlier; this ends the scan.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from yamcs_archive.http.limits import GZIP_BYTES_MIN
from yamcs_archive.http.media_types import takes_gzip
from yamcs_archive.http.request_and_response import Headers, Response
from yamcs_archive.wire.tables import PARQUET

_log = logging.getLogger(__name__)
_GZIP = 31
"""zlib's window bits for a gzip member."""
_GZIP_LEVEL = 1


class Chunks:
    """The chunks of a body, which must be closed; ``on_close`` is called exactly once.

    >>> events = []
    >>> chunks = Chunks(iter([b"a", b"b"]), lambda: events.append("closed"))
    >>> next(chunks), chunks.close(), events, list(chunks)
    (b'a', None, ['closed'], [])
    """

    def __init__(self, parts: Iterator[bytes], on_close: Callable[[], object]) -> None:
        self._parts: Iterator[bytes] | None = parts
        self._on_close = on_close

    def __iter__(self) -> Chunks:
        return self

    def __next__(self) -> bytes:
        if self._parts is None:
            raise StopIteration
        try:
            return next(self._parts)
        except StopIteration:
            self.close()
            raise
        except Exception:
            _log.exception("an answer ends within its body")
            self.close()
            raise

    def close(self) -> None:
        """End the iterator that makes the chunks; idempotent."""
        parts, self._parts = self._parts, None
        if parts is None:
            return
        try:
            if close := getattr(parts, "close", None):
                close()
        finally:
            self._on_close()

    def __del__(self) -> None:
        self.close()


def streamed(media: str, parts: Iterable[bytes], headers: Headers = (), start: bytes = b"") -> Response:
    """Return a response that is written as it is read; a failure before its first chunk is raised.

    ``start`` is put before the first chunk.

    >>> response = streamed("text/csv", iter([b"a", b"b"]), start=b"# ")
    >>> list(response.body)
    [b'# a', b'b']
    """
    chunks = iter(parts)
    first = start + next(chunks, b"")
    return Response(200, (("content-type", media), *headers), _from(first, chunks))


def _from(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from chunks


def compressed(response: Response, headers: Mapping[str, str]) -> Response:
    """Return a response, compressed if it is not small and the headers of its request accept gzip.

    >>> compressed(Response(200, (), b"a" * 2000), {"accept-encoding": "gzip"}).headers
    (('content-encoding', 'gzip'), ('content-length', '41'))
    """
    body = response.body
    if ("content-type", PARQUET) in response.headers:  # it is compressed already
        return response
    if isinstance(body, bytes) and len(body) < GZIP_BYTES_MIN:
        return response
    if not takes_gzip(headers):
        return response
    others = tuple(pair for pair in response.headers if pair[0] != "content-length")
    others = (*others, ("content-encoding", "gzip"))
    if not isinstance(body, bytes):
        return replace(response, headers=others, body=gzipped(iter(body)))
    packed = zlib.compress(body, _GZIP_LEVEL, wbits=_GZIP)
    return replace(response, headers=(*others, ("content-length", str(len(packed)))), body=packed)


def gzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield chunks compressed; each can be decompressed as soon as it comes.

    >>> import gzip
    >>> gzip.decompress(b"".join(gzipped(iter([b"one ", b"two"]))))
    b'one two'
    """
    packer = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP)
    try:
        for chunk in chunks:
            yield packer.compress(chunk) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield packer.flush()
    finally:
        if close := getattr(chunks, "close", None):
            close()

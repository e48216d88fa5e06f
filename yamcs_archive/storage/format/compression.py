"""Frames: zstd with the bounds that keep a small value from becoming a large one; pure.

1. A frame is decompressed only up to its claimed size, which may be no more than the limit for reading. The
   caller has checked the checksum over that size.
2. No frame is made of more than the limit for writing, which is below the one for reading.
3. A context cannot be used by two threads at once and is expensive to make, so each thread has its own.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import zstandard

from yamcs_archive.limits import BLOCK_FRAME_BYTES_MAX, BLOCK_FRAME_READ_BYTES_MAX

LEVEL = 1
"""zstd's level; docs/measurements.md has the measurement."""
_MATCH_BYTES_MIN = 7
"""Shortest repetition that is looked for, in bytes: messages repeat whole phrases; measured, too."""
_HASH_BITS = 13
"""Size of the match table: the level's 14 bits find nothing more in 90 KB, and take longer to clear."""
_TOGETHER_MIN = 3
"""Fewest frames that are compressed by one call, which makes a context; fewer use the thread's own."""
_contexts = threading.local()


def _compressor() -> zstandard.ZstdCompressor:
    found: zstandard.ZstdCompressor | None = getattr(_contexts, "compressor", None)
    if found is None:
        parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL, min_match=_MATCH_BYTES_MIN, hash_log=_HASH_BITS, write_content_size=True
        )
        found = _contexts.compressor = zstandard.ZstdCompressor(compression_params=parameters)
    return found


def compressed(raw: Sequence[bytes | bytearray]) -> list[bytes]:
    """Return each as a frame. Raises RuntimeError above the limit: the caller should have cut it.

    >>> [decompressed(frame, 3) for frame in compressed([b"abc", b"def"])]
    [b'abc', b'def']
    """
    largest = max(map(len, raw), default=0)
    if largest > BLOCK_FRAME_BYTES_MAX:
        raise RuntimeError(f"a frame of {largest} bytes is above the limit of {BLOCK_FRAME_BYTES_MAX}")
    if len(raw) < _TOGETHER_MIN:
        return list(map(_compressor().compress, raw))
    # One call releases the interpreter's lock once.
    found = _compressor().multi_compress_to_buffer(list(raw), threads=1)
    return [found[at].tobytes() for at in range(len(raw))]


def decompressed(frame: bytes | memoryview, raw_bytes: int) -> bytes:
    """Return the bytes of a frame; ValueError unless they are ``raw_bytes``, within the limit for reading."""
    if raw_bytes > BLOCK_FRAME_READ_BYTES_MAX:
        raise ValueError(
            f"it says that it has {raw_bytes} bytes, and at most {BLOCK_FRAME_READ_BYTES_MAX} are read"
        )
    decompressor: zstandard.ZstdDecompressor | None = getattr(_contexts, "decompressor", None)
    if decompressor is None:
        decompressor = _contexts.decompressor = zstandard.ZstdDecompressor()
    try:
        if zstandard.frame_content_size(frame) != raw_bytes:
            raise ValueError("its size is not the one that the header says")
        return decompressor.decompress(frame)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None


def compare(frames: Sequence[bytes], raw: Sequence[bytes | bytearray]) -> None:
    """Raise RuntimeError unless each frame holds the bytes at the same index in ``raw``.

    >>> compare(compressed([b"abc"]), [b"abd"])
    Traceback (most recent call last):
      ...
    RuntimeError: a frame of 3 bytes was made that does not hold them
    """
    for frame, there in zip(frames, raw, strict=True):
        try:
            same = decompressed(frame, len(there)) == there
        except ValueError:
            same = False
        if not same:
            raise RuntimeError(f"a frame of {len(there)} bytes was made that does not hold them")

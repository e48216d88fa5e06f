"""What a reader of a file of events is given, and what it gives.

1. A reader yields events as columns, many at once; none of them has been checked by the rules of events.
2. What is no event is given to the reject function, if there is one, and reading goes on after it. Without
   one, it ends the reading with InvalidInputError, after all events before it.
3. Events are counted from 0 as they are yielded. :class:`Ordinals` finds the line or the element of each,
   although empty lines and what was rejected are not counted.
4. One piece of the file, and the events of that piece, are in memory; never the whole file.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO, NamedTuple, Protocol

from yamcs_archive.columns import Columns
from yamcs_archive.files.compression import MAGIC_BYTES, decompressed, is_compressed

_READ_BYTES = 256 << 10


class Rejected(NamedTuple):
    """Something in a file that is no event, or none that can be stored."""

    place: str
    """Where it is, for people: ``line 17``."""
    raw: bytes
    """Its bytes; of an event that was read, but cannot be stored, its line of JSON."""
    reason: str


Reject = Callable[[Rejected], None]
"""Called for each thing that is rejected; those of one piece of the file come in no certain order."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a user may say of a file beside its format. Each format uses what concerns it."""

    reject: Reject | None = None
    """None: the first thing that is no event ends the reading."""
    keep_invalid_utf8: bool = False
    """Whether a text that is not UTF-8 is kept, with its bytes in ``extra``, or is an error."""


class Source:
    """The bytes of a file, or of the standard input.

    >>> import gzip, io
    >>> b"".join(Source(io.BytesIO(gzip.compress(b"events")), "events.jsonl.gz").chunks())
    b'events'
    """

    def __init__(self, stream: BinaryIO, name: str, path: Path | None = None) -> None:
        """``name`` is for people. ``path`` is that of a file which can be read in any order."""
        self.name = name
        self.path = path
        self._stream = stream
        self._copy: IO[bytes] | None = None
        self._read_bytes = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they are read, decompressed if they are compressed. For one use."""
        return decompressed(self._counted())

    def _counted(self) -> Iterator[bytes]:
        for chunk in iter(partial(self._stream.read, _READ_BYTES), b""):
            self._read_bytes += len(chunk)
            yield chunk

    @property
    def share(self) -> float | None:
        """The part of the file that chunks() has read, from 0 to 1; None if that is not known."""
        if self.path is None or not self._read_bytes:
            return None
        try:
            return min(1.0, self._read_bytes / self.path.stat().st_size)
        except (OSError, ZeroDivisionError):
            return None

    def seekable(self) -> IO[bytes]:
        """Return the same bytes as a file that can be read in any order. For one use, instead of chunks().

        It is the file itself, unless that is compressed or comes from a pipe: then it is a temporary one, up
        to close().

        >>> import io
        >>> source = Source(io.BytesIO(b"events"), "-")
        >>> source.seekable().read(), source.close()
        (b'events', None)
        """
        if self.path is not None and self._stream.seekable():
            beginning = self._stream.read(MAGIC_BYTES)
            self._stream.seek(0)
            if not is_compressed(beginning):
                return self._stream
        self._copy = TemporaryFile()  # noqa: SIM115  # close() does
        self._copy.writelines(self.chunks())
        self._copy.seek(0)
        return self._copy

    def close(self) -> None:
        """Remove the temporary file, if there is one; idempotent. The file itself stays open."""
        if self._copy is not None:
            self._copy.close()


class EventReader(Protocol):
    """Reads the events of one file, once."""

    def parts(self) -> Iterator[Columns[int | None]]:
        """Yield the events, many at once; see rules 1 and 2."""

    def place(self, position: int) -> str:
        """Return where the event at a position is, counted as in rule 3, or the next thing that is read."""


class Ordinals:
    """The numbers, from 1, of lines or elements of which some are no events.

    >>> lines = Ordinals()
    >>> lines.skip(0)  # before the first event is one line that is no event
    >>> lines.skip(2)
    >>> [lines.of(position) for position in range(4)]
    [2, 3, 5, 6]
    """

    def __init__(self) -> None:
        self._skipped = array("q")

    def skip(self, position: int, count: int = 1) -> None:
        """Say that ``count`` lines or elements before the event at a position are no events.

        Positions never decrease from call to call.
        """
        self._skipped.extend([position] * count)

    def of(self, position: int) -> int:
        """Return the number of the event at a position."""
        return position + 1 + bisect_right(self._skipped, position)

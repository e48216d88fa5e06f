"""Replaces standard streams that were closed when the command started.

1. Descriptors 0, 1 and 2 are never free. Otherwise a file of the archive could get one of them, and text that
   a library writes to stderr would be written into that file.
2. Printing to a closed stdout raises BrokenPipeError, as for a pipe whose reader is gone.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

_STANDARD = (0, 1, 2)


class _Closed(io.TextIOBase):
    """Replaces a closed stdout: only writing to it fails."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def prepare() -> None:
    """Replace each standard stream that is closed, and make stdout write UTF-8."""
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is that of the closed stream.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  # for as long as the process lives
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # likewise
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # JSON is UTF-8, and a message may have any character


def stdin_bytes(wanted: int) -> bytes:
    """Return up to so many bytes of stdin, none at its end; for a thread that is not the main one too.

    They do not pass through the buffer of :data:`sys.stdin`: a thread that waits for bytes holds the lock of
    that buffer, and the interpreter, ending after Ctrl-C, would abort for want of it.
    """
    found: bytes | None = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer).read(wanted)
    return found or b""


def leave_stdout() -> None:
    """Point stdout to the null device, because its reader is gone.

    Otherwise the interpreter would report an error at its end, when it flushes the rest into the closed pipe.
    """
    with suppress(OSError, ValueError):  # ValueError: the stream has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(line: str) -> None:
    """Print a line on stderr, after the name of the program, unless stderr is closed."""
    say(f"yamcs-archive: {line}")


def say(line: str) -> None:
    """Print a line on stderr, unless stderr is closed."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)

"""The three standard streams, even if the command was started with some of them closed.

1. Descriptors 0, 1 and 2 are never free: otherwise a file of the archive would get one of them, and what a
   library writes to stderr would be written into it.
2. Printing to a closed stdout is a BrokenPipeError, as with a pipe whose reader is gone.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

_STANDARD = (0, 1, 2)


class _Closed(io.TextIOBase):
    """Takes the place of a closed stdout: writing to it fails, leaving it alone does not."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def prepare() -> None:
    """Put something in the place of each standard stream that is closed, and let stdout write UTF-8."""
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(
                os.open(os.devnull, os.O_RDWR), True
            )  # it gets the lowest free number: this one
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  # for as long as the process lives
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # likewise
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # JSON is UTF-8, and a message may have any character


def leave_stdout() -> None:
    """Stop writing to stdout: its reader is gone.

    Otherwise the interpreter would complain at its end, when it flushes what is left into the closed pipe.
    """
    with suppress(OSError, ValueError):  # of a stream without a descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(line: str) -> None:
    """Print a line on stderr, unless stderr is closed."""
    with suppress(OSError):
        print(f"yamcs-archive: {line}", file=sys.stderr, flush=True)

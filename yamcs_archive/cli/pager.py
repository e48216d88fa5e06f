"""A pager for what is longer than the terminal: ``less`` that ends by itself if all fits, or ``$PAGER``.

1. Only where stdout is a terminal. No pager, or one that cannot be started: the text goes to the terminal.
2. Quitting the pager is no error, and ends the command. Ctrl-C ends the making of more text; the pager, which
   takes Ctrl-C for itself, keeps what is there until it is quit.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

_DEFAULT = "less"
_LESS_OPTIONS = "FRX"
"""F: end if all fits on a screen, R: show colours, X: leave the text on the screen. As in git."""


@contextmanager
def paged(*, wanted: bool = True) -> Iterator[None]:
    """Within the block, text on stdout goes through a pager, if there is one and stdout is a terminal."""
    pager = _started() if wanted and sys.stdout.isatty() else None
    if pager is None or pager.stdin is None:
        yield
        return
    before = sys.stdout
    sys.stdout = io.TextIOWrapper(pager.stdin, encoding="utf-8", write_through=False)
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # it was quit
    finally:
        with suppress(OSError):
            sys.stdout.close()
        sys.stdout = before
        _await(pager)


def _started() -> subprocess.Popen[bytes] | None:
    import subprocess  # noqa: PLC0415  # takes some milliseconds

    command = os.environ.get("YAMCS_ARCHIVE_PAGER", os.environ.get("PAGER", _DEFAULT))
    try:
        words = shlex.split(command)
    except ValueError:  # a quote without an end
        words = []
    if not words or words == ["cat"]:
        return None
    environment = {"LESS": _LESS_OPTIONS, "LV": "-c"} | os.environ
    with suppress(OSError):
        return subprocess.Popen(words, stdin=subprocess.PIPE, env=environment)
    return None


def _await(pager: subprocess.Popen[bytes]) -> None:
    while True:
        try:
            pager.wait()
            return
        except KeyboardInterrupt:
            continue  # it was meant for the pager

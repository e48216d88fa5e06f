"""A message that is not given on the command line: it is read from stdin, or written in an editor.

A text written in an editor is not lost: if it cannot be stored, it stays in a file, whose name is printed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.errors import ArchiveError, InvalidInputError
from yamcs_archive.limits import MESSAGE_BYTES_MAX

_EDITOR = "vi"


class EditorError(ArchiveError):
    """The user's editor could not be started, or failed; the text says which."""


def stdin_is_terminal() -> bool:
    """Return whether stdin is a terminal."""
    try:
        return sys.stdin.isatty()
    except ValueError:  # it was closed
        return False


def piped() -> str:
    """Return the text on stdin, without line breaks at its end. Raises InvalidInputError."""
    # Read at most a message, a line break and one byte, so that a piped log does not fill the memory.
    found = sys.stdin.buffer.read(MESSAGE_BYTES_MAX + 3)
    if len(found) > MESSAGE_BYTES_MAX + 2:
        raise InvalidInputError("message", found, f"must be at most {MESSAGE_BYTES_MAX} bytes")
    return _decoded(found).rstrip("\r\n")


@contextmanager
def edited() -> Iterator[str]:
    """Let the user write a text in an editor, and yield it.

    If the block raises, the text stays in a file. Raises EditorError, InvalidInputError.
    """
    descriptor, name = tempfile.mkstemp(prefix="yamcs-archive-event-", suffix=".txt")
    os.close(descriptor)
    draft = Path(name)
    try:
        _edit(draft)
        yield _decoded(draft.read_bytes()).strip()
    except BaseException:  # Ctrl-C too
        if draft.exists() and draft.read_bytes().strip():
            complain(f"what was written is kept in {draft}")
            raise
        draft.unlink(missing_ok=True)
        raise
    draft.unlink(missing_ok=True)


def _edit(draft: Path) -> None:
    editor = (os.environ.get("VISUAL") or os.environ.get("EDITOR") or "").strip() or _EDITOR
    try:
        command = shlex.split(editor)
    except ValueError as error:  # a quotation mark is not closed
        raise EditorError(f"the editor {editor!r} cannot be started: {error}; {_REMEDY}") from None
    try:
        ended = subprocess.run([*command, str(draft)], check=False)  # the command is the user's
    except OSError as error:
        raise EditorError(f"the editor {editor!r} cannot be started: {error.strerror}; {_REMEDY}") from None
    if ended.returncode:
        raise EditorError(f"the editor {editor!r} ended with status {ended.returncode}; nothing was stored")


_REMEDY = "set VISUAL or EDITOR, or give -m TEXT"


def _decoded(written: bytes) -> str:
    try:
        return written.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError("message", written, f"must be UTF-8 ({error.reason})") from None

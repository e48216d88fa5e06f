"""The file of ``--rejects``: what an import could not store, with its place and the reason.

1. Each line is an object of JSON with ``place``, ``reason``, and ``text``, or ``base64`` if it is not UTF-8.
2. The file takes its name when the import ends, also by an error or Ctrl-C. One of an earlier import is
   replaced; any other file is not.
"""

from __future__ import annotations

from base64 import b64encode
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.errors import ArchiveError
from yamcs_archive.files.reading import Rejected
from yamcs_archive.whole_files import whole_file

_HEAD = b'{"place":'


class RejectFile:
    """Collects what is rejected; a context manager.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with RejectFile(Path(folder) / "rejects.jsonl") as rejects:
    ...         rejects.add(Rejected("line 2", b"text", "is no event"))
    ...     print((Path(folder) / "rejects.jsonl").read_text(), end="")
    {"place":"line 2","reason":"is no event","text":"text"}
    """

    def __init__(self, path: Path) -> None:
        """Raises UsageError if a file of another kind has that name."""
        if path.exists() and not _is_rejects(path):
            raise UsageError(f"{path} is there, and is no file of rejects: give another name")
        self._whole: AbstractContextManager[BinaryIO, bool | None] = whole_file(path)
        self._stream: BinaryIO | None = None

    def __enter__(self) -> RejectFile:
        self._stream = self._whole.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError) and not isinstance(error, ArchiveError):  # perhaps this file's own
            self._whole.__exit__(kind, error, trace)
        else:
            self._whole.__exit__(None, None, None)

    def add(self, rejected: Rejected) -> None:
        """Write one line."""
        about = {"place": rejected.place, "reason": rejected.reason}
        try:
            about["text"] = rejected.raw.decode()
        except UnicodeDecodeError:
            about["base64"] = b64encode(rejected.raw).decode()
        if self._stream is not None:
            self._stream.write(msgspec.json.encode(about) + b"\n")


def _is_rejects(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(len(_HEAD))
    return head in (b"", _HEAD)

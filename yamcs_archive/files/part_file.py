"""Writes a file that is whole once it has its name, and that an interrupted export can go on with.

1. Everything is written to ``NAME.part`` beside it. At the end that is synced, gets the name, and the folder
   is synced: under the name there is never half a file.
2. Now and then the part is synced, and ``NAME.part.json`` notes how many bytes of it are certain, and what
   comes next. To resume is to cut the part there and go on; what the note does not know is written again.
3. Two exports never write one part: it is locked. A part that is a link, or no plain file, is refused.
4. A file that has the name already is not touched, unless it is to be replaced.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from yamcs_archive.errors import InvalidInputError

PART, NOTE = ".part", ".part.json"
"""What the names of the part and of its note have after that of the file."""
_VERSION = 1
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


class Reached(NamedTuple):
    """How far a part is."""

    size_bytes: int
    events: int
    after: Any
    """What the export goes on after, as a value of JSON."""


class PartFile:
    """A file that is being written.

    >>> path = directory / "day.jsonl"
    >>> with PartFile(path, {"instance": "sim"}) as part:
    ...     part.write(b"events")
    ...     part.finish()
    >>> path.read_bytes(), sorted(each.name for each in directory.glob("day*"))
    (b'events', ['day.jsonl'])
    """

    def __init__(
        self, path: Path, request: Mapping[str, Any], *, replace: bool = False, resume: bool = False
    ) -> None:
        """Open the part; with ``resume`` one that was left, else a new one.

        ``request`` says what is exported, in values of JSON: a part of another request is not resumed.
        Raises InvalidInputError if there is a file of that name (unless ``replace``), if another export
        writes its part, or if the part belongs to another request; OSError for any fault of the medium.
        """
        self.path = Path(os.path.realpath(path))
        self._part = self.path.with_name(self.path.name + PART)
        self._note = self.path.with_name(self.path.name + NOTE)
        self._request = dict(request)
        self._replace = replace
        self.reached = Reached(0, 0, None)
        """What is certain: where it goes on if it is resumed."""
        self._size_bytes = 0
        self._is_finished = False
        if not replace and os.path.lexists(path):
            raise InvalidInputError("file", str(path), "is there already; --force replaces it")
        self._file = _opened(self._part)
        try:
            if resume:
                self._resume()
            else:
                with suppress(FileNotFoundError):
                    self._note.unlink()
            os.ftruncate(self._file, self.reached.size_bytes)
            self._size_bytes = os.lseek(self._file, 0, os.SEEK_END)
        except BaseException:
            os.close(self._file)
            raise

    def _resume(self) -> None:
        try:
            found = json.loads(self._note.read_bytes())
            noted = Reached(int(found["bytes"]), int(found["events"]), found["after"])
            request = found["request"]
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            raise InvalidInputError(
                "file", str(self._note), "cannot be read: remove it to begin anew"
            ) from None
        if request != self._request:
            other = next(
                (name for name in self._request if request.get(name) != self._request[name]), "version"
            )
            rule = f"is of another export, with another {other}: give the same, or remove it to begin anew"
            raise InvalidInputError("file", str(self._part), rule)
        if os.fstat(self._file).st_size < noted.size_bytes:
            raise InvalidInputError("file", str(self._part), "lost its end: remove it to begin anew")
        self.reached = noted

    def write(self, data: bytes) -> None:
        """Add bytes; OSError, with the part's name, for a fault of the medium."""
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            raise _named(error, self._part) from error
        self._size_bytes += len(data)

    @property
    def size_bytes(self) -> int:
        """How much was written in all."""
        return self._size_bytes

    def checkpoint(self, events: int, after: Any) -> None:
        """Note, durably, that everything so far is certain: so many events, and what comes after them."""
        try:
            os.fsync(self._file)
            reached = Reached(self._size_bytes, events, after)
            draft = self._note.with_suffix(".new")
            note = {
                "version": _VERSION,
                "request": self._request,
                "bytes": reached.size_bytes,
                "events": events,
                "after": after,
            }
            with draft.open("w", encoding="utf-8") as file:
                file.write(json.dumps(note, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())  # or a power cut may leave an empty note under the name
            os.replace(draft, self._note)
        except OSError as error:
            raise _named(error, self._part) from error
        self.reached = reached

    def finish(self) -> None:
        """Give the file its name, durably. Raises InvalidInputError if another one got it meanwhile."""
        if not self._replace and os.path.lexists(self.path):
            raise InvalidInputError("file", str(self.path), "is there now; --force replaces it")
        try:
            os.fsync(self._file)
            os.replace(self._part, self.path)
            self._is_finished = True
            with suppress(FileNotFoundError):
                self._note.unlink()
            folder = os.open(self.path.parent, _DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise _named(error, self.path) from error

    @property
    def can_be_resumed(self) -> bool:
        """Whether something of it was noted, so that it stays after an error."""
        return not self._is_finished and self.reached.size_bytes > 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file. A part that cannot be resumed is removed."""
        if not self._is_finished and not self.can_be_resumed:
            with suppress(OSError):
                self._part.unlink()
            with suppress(OSError):
                self._note.unlink()
        os.close(self._file)


def _opened(part: Path) -> int:
    """Open a part that nobody else writes, and lock it."""
    while True:
        file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            facts = os.fstat(file)
            if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
                raise InvalidInputError("file", str(part), "is no plain file with one name: remove it")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                raise InvalidInputError("file", str(part), "is being written by another export") from None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), os.lstat(part)):
                    return file
            os.close(file)  # its export just finished: another file has the name, or none
        except BaseException:
            with suppress(OSError):
                os.close(file)
            raise


def _named(error: OSError, path: Path) -> OSError:
    return OSError(error.errno, error.strerror, str(path))

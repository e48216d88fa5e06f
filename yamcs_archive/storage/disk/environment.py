"""An instance's LMDB environment: read transactions, growth of the map, the change to another generation.

The rules of LMDB that this room keeps, so that no other has to:

1. One environment for each instance and process, shared by reference counting: a second one would
   break the first one's locks (py-lmdb#66). It is never used in a forked child (py-lmdb#346).
2. The map is resized only while no transaction is live in this process; readers pass a gate for that.
   A map grown by another process is adopted when a read transaction begins.
3. Read transactions are short: a function that begins one ends it before it returns or yields.
4. No LMDB exception leaves.
5. No writemap: with it a full disk is a SIGBUS that kills the process (py-lmdb#161).
6. A read transaction is in the generation in use. In the writer's process nobody else changes
   generations, and the gate holds readers off for the moment of the change. A process that only reads
   begins its transaction, *then* looks at ``CURRENT``, and starts again in another generation if it
   moved: in the other order it could miss what was acknowledged between the two.
   ``lmdb``, ``databases`` and ``path`` are those of one generation: take them within the transaction.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

import lmdb

from yamcs_archive.errors import (
    ArchiveError,
    ClosedError,
    DamagedError,
    ForkedError,
    ReplacedError,
)
from yamcs_archive.storage.disk.file_identity import OpenFiles
from yamcs_archive.storage.disk.file_system import in_our_words
from yamcs_archive.storage.disk.generations import Generations
from yamcs_archive.storage.disk.lmdb_open import (
    DATA,
    Opened,
    archive_error,
    may_grow,
    no_address_space,
    open_generation,
)
from yamcs_archive.storage.disk.reader_gate import Gate, Reader

_PARTS = (1, 2, 4, 8)
"""A map grows by its own size, or by the largest of these parts of it for which there is room."""


class _Read:
    """A read transaction, from the beginning of a ``with`` statement to its end."""

    __slots__ = ("_environment", "_reader")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def __enter__(self) -> lmdb.Transaction[bytes]:
        reader = self._reader = Reader(sys._getframe(1))
        try:
            return self._environment._begin(reader)
        except BaseException:
            self._end()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        path = self._environment.path
        self._end()
        if isinstance(error, lmdb.Error):
            raise archive_error(error, path) from error

    def _end(self) -> None:
        if self._reader.transaction is not None:
            self._reader.transaction.abort()
        self._environment._leave(self._reader)


class Environment:
    """The open LMDB environment of an instance, with every sub-database. Get one from :mod:`environments`."""

    def __init__(self, instance: Path, *, readonly: bool, map_bytes: int) -> None:
        self.generations = Generations(instance)
        self.readonly = readonly
        self._writers = 0  # users that hold the writer's lock
        self._pid = os.getpid()
        self._gate = Gate()
        self._closed = False
        self._replaced = False
        self._unmapped = False
        """True while nothing is open, after opening anew failed: the next caller tries again."""
        self._map_bytes = map_bytes
        self._users = 0
        self.openings = 0
        """Number of times that a generation was opened or changed: facts read before may be old."""
        self.place = OpenFiles(instance)
        try:
            self._open()
        except BaseException:
            self.place.close()
            raise

    def _open(self) -> None:
        while True:
            path = self.generations.current()
            try:
                opened = open_generation(path, readonly=self.readonly, map_bytes=self._map_bytes)
            except ArchiveError:
                if self.generations.current() == path:
                    raise
            else:
                self._take(path, opened)
                return

    def _take(self, path: Path, opened: Opened) -> None:
        """Go on with what was opened; it is closed if its files are not at their path."""
        try:
            self.place.enter(os.path.join(path, DATA))
        except BaseException:
            opened.lmdb.close()
            raise
        self.path, self.lmdb, self.databases = path, opened.lmdb, opened.databases
        self.openings += 1
        self._unmapped = False

    def _open_anew(self) -> None:
        """Close and open again, while nobody is inside; when this raises, the next caller tries again."""
        self._unmapped = True
        self.lmdb.close()
        self._open()

    def _open_if_unmapped(self) -> None:
        with self.exclusive():
            if self._unmapped and not self._closed:
                self._open_anew()

    def check_usable(self) -> None:
        """Raise ForkedError in a forked child, ClosedError once this is closed, or ReplacedError."""
        if os.getpid() != self._pid:
            raise ForkedError
        if self._closed:
            raise self._ended()

    def _ended(self) -> ClosedError:
        return ReplacedError(str(self.generations.instance)) if self._replaced else ClosedError()

    def begin_writing(self) -> None:
        """Make sure that the writer may begin a transaction: the map is open, and every file is at its path.

        Raises GoneError for a file that is not (the lock's too: another process may have locked a new one),
        and what opening raises.
        """
        if self._unmapped:
            self._open_if_unmapped()
        self.place.check_unless_recent()

    @property
    def left(self) -> bool:
        """True if the instance's path leads elsewhere now, or did at an earlier look."""
        return self._replaced or self.place.left

    def end_unless_written(self) -> None:
        """Close because another instance is in this one's place, unless this process writes to it.

        Reads raise ReplacedError from now on.
        """
        with self.exclusive():
            if not self._writers:
                self._end()

    def _end(self) -> None:
        if not self._closed:
            self._replaced = True
            self._close()

    def _close(self) -> None:
        self._closed = True
        self.lmdb.close()
        self.place.close()

    @property
    def foreign(self) -> bool:
        """True in a child that was forked after this environment was opened."""
        return os.getpid() != self._pid

    def damaged(self, where: str, reason: str) -> DamagedError:
        """Return the error for something in this environment that cannot be trusted."""
        return DamagedError(f"{self.path}, {where}", reason)

    def read(self) -> _Read:
        """A read transaction, for a ``with`` statement, whose frame holds it. End it soon: an idle one keeps
        LMDB from reusing freed pages."""
        self.check_usable()
        return _Read(self)

    def _begin(self, reader: Reader) -> lmdb.Transaction[bytes]:
        transaction = self._begin_here(reader)
        # While this process writes, nobody else changes the generation, and it knows of its own changes.
        while not self._writers and not self._still_here(transaction):
            self._leave(reader)
            self._follow()
            transaction = self._begin_here(reader)
        return transaction

    def _still_here(self, transaction: lmdb.Transaction[bytes]) -> bool:
        """Say whether a transaction is in the generation in use; when it is not, it is ended."""
        here = False
        try:
            here = self.generations.is_current(self.place.file, self.place.file_identity)
        finally:
            if not here:
                transaction.abort()
        return here

    def _follow(self) -> None:
        """Open the generation in use, if no other thread has done so; ReplacedError when it is of another
        instance."""
        with self.exclusive():
            if (
                self._unmapped
                or self._closed
                or self.generations.is_current(self.place.file, self.place.file_identity)
            ):
                return
            if self.place.left:
                self._end()
                raise self._ended()
            left = self.lmdb
            try:
                self._open()
            finally:
                if self.lmdb is not left:
                    left.close()

    def _begin_here(self, reader: Reader) -> lmdb.Transaction[bytes]:
        for tries_left in (2, 1, 0):
            self._gate.enter(reader)
            if self._unmapped:
                self._leave(reader)
                self._open_if_unmapped()
                self._gate.enter(reader)
            if self._closed:
                raise self._ended()
            try:
                transaction = reader.transaction = self.lmdb.begin()
                return transaction
            except lmdb.MapResizedError as error:
                failure: lmdb.Error = error
                if tries_left:
                    self._leave(reader)
                    self._adopt()
            except lmdb.ReadersFullError as error:
                failure = error
                if tries_left:
                    self._leave(reader)
                    self.lmdb.reader_check()  # slots of processes that were killed
            except lmdb.Error as error:
                raise archive_error(error, self.path) from error
        raise archive_error(failure, self.path) from failure

    def _leave(self, reader: Reader) -> None:
        reader.transaction = None
        self._gate.leave(reader)

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold off new readers and wait for present ones, until the end of the ``with`` statement.

        The caller has no read transaction of its own.
        """
        return self._gate.exclusive()

    def _adopt(self) -> None:
        """Take the size that another process gave the map, or as much as there is address space for."""
        with self.exclusive():
            if self._closed or self._unmapped:
                return
            try:
                self.lmdb.set_mapsize(0)
            except lmdb.Error:
                self._open_anew()  # py-lmdb closes what it cannot map

    def grow(self) -> None:
        """Double the map, or grow it by as much as there is address space for, an eighth at least.

        Only the writer calls it, without a transaction of its own. Raises
        :class:`~yamcs_archive.errors.OutOfSpaceError` when there is none: then the map is as it was.
        """
        with self.exclusive():
            map_bytes = self.lmdb.info()["map_size"]
            for part in _PARTS:
                more_bytes = map_bytes // part
                if may_grow(more_bytes) and self._remap(map_bytes + more_bytes):
                    return
            if self._unmapped:
                self._open_anew()
        raise no_address_space(self.path, 2 * map_bytes)

    def _remap(self, map_bytes: int) -> bool:
        """Set the size of the map; False if that does not fit: then nothing is mapped."""
        if self._unmapped:
            return False
        self._unmapped = True  # py-lmdb closes what it cannot map
        try:
            self.lmdb.set_mapsize(map_bytes)
        except lmdb.Error:
            return False
        self._map_bytes = map_bytes
        self._unmapped = False
        return True

    def reopen(self) -> None:
        """Close and open again in this process, after a commit, a sync or a change of generation that
        failed midway. While it cannot be told durably which generation is in use, this raises."""
        self.place.check_folder()
        self.generations.settle()
        with self.exclusive():
            self._open_anew()

    def copy(self, folder: Path) -> None:
        """Write a copy without free pages into an empty folder; it is not fsynced.

        The copy is of one moment, and readers and the writer go on meanwhile; only a map that has to
        grow waits for its end.
        """
        with self.read():
            try:
                self.lmdb.copy(os.fspath(folder), compact=True)
            except lmdb.Error as error:
                raise archive_error(error, folder) from error

    def move(self, path: Path, opened: Opened) -> None:
        """Go on in another generation, which holds the same and is in use now. Only the writer calls it."""
        with self.exclusive():
            left = self.lmdb
            self._take(path, opened)
        left.close()

    def allocated_bytes(self) -> int:
        """Return what the generation's files take on the medium."""
        while True:
            path = self.path
            try:
                return sum(file.stat().st_blocks * 512 for file in path.iterdir())
            except OSError as error:
                with self.read():  # it may have been removed; this goes on in the one in use
                    if self.path == path:
                        raise in_our_words(error, path) from error

    def close(self) -> None:
        """Wait for readers and close; idempotent. In a forked child only this process's handles go."""
        if self.foreign:
            # No other thread of the parent lives here, so the gate may be in any state: leave it be.
            if not self._closed:
                self._close()
            return
        with self.exclusive():
            if not self._closed:
                self._close()

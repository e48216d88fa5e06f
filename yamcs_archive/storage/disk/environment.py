"""An instance's LMDB environment: read transactions, growth of the map, the change to another generation.

This module follows these rules of LMDB, so that no other has to:

1. A process has one environment for each instance, shared by reference counting: a second one would break
   the first one's locks (py-lmdb#66). It is never used in a forked child (py-lmdb#346).
2. The map is resized only while this process has no open transaction; a gate holds readers off for that.
   When a read transaction begins and another process has grown the map, the new size is adopted.
3. Read transactions are short: a function that begins one ends it before it returns or yields.
4. No exception of LMDB leaves this module.
5. The map is never opened with ``writemap``: then a full disk would kill the process with SIGBUS
   (py-lmdb#161). The lock file is always written through memory; see :mod:`lock_file`.
6. A read transaction is in the generation in use. While a process writes, no other one changes
   generations, and the gate holds its readers off during a change. A process that only reads begins its
   transaction, *then* looks at ``CURRENT``, and begins again if that names another generation: in the other
   order it could miss events that were acknowledged in between. ``lmdb``, ``databases`` and ``path`` belong
   to one generation: read them within the transaction.
7. Events are in LMDB or in the memory tables, and a snapshot has both: it begins its transaction, *then*
   takes what follows the checkpoint that the transaction sees, and begins again if the tables have moved past
   it.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple

import lmdb

from yamcs_archive.errors import ArchiveError, ClosedError, ForkedError, ReplacedError, UnavailableError
from yamcs_archive.storage.disk.directory import make_names_durable
from yamcs_archive.storage.disk.durable_head import make_head_durable
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
from yamcs_archive.storage.disk.log_tail import LogTail
from yamcs_archive.storage.disk.reader_gate import Gate, Reader
from yamcs_archive.storage.disk.rows_as_young import RowsAsYoung
from yamcs_archive.storage.format.log_segments import ARCHIVE_BYTES
from yamcs_archive.storage.format.meta import NO_CHECKPOINT, Checkpoint, decode_checkpoint, decode_fact
from yamcs_archive.storage.young.views import LeftOut, YoungSource, YoungView

_BLOCK_BYTES = 512
"""Unit of a file's blocks as ``stat`` counts them."""
_GROWTH_DIVISORS = (1, 2, 4, 8)
"""Divisors: a map grows by its size divided by the first of these for which there is address space."""
_TRIES_MIN, _TRIES_S, _TRY_AGAIN_S = 5, 10.0, 0.001
"""Transactions that a reader begins, and how long, until one fits the log."""


class _Read:
    """A read transaction, from the beginning of a ``with`` statement to its end."""

    __slots__ = ("_environment", "_reader")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._reader: Reader | None = None  # an interrupt may come before there is one

    def __enter__(self) -> lmdb.Transaction[bytes]:
        return self._begin(sys._getframe(1))

    def _begin(self, frame: FrameType) -> lmdb.Transaction[bytes]:
        reader = self._reader = Reader(frame)
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
        if self._reader is None:
            return
        if self._reader.transaction is not None:
            self._reader.transaction.abort()
        self._environment._leave(self._reader)

    @property
    def transaction(self) -> lmdb.Transaction[bytes] | None:
        """The transaction, until it has ended."""
        return None if self._reader is None else self._reader.transaction


class Snapshot(NamedTuple):
    """One state of the instance: what LMDB has of it, and what follows in memory."""

    transaction: lmdb.Transaction[bytes]
    young: YoungView


class _ReadSnapshot:
    """A snapshot, from the beginning of a ``with`` statement to its end."""

    __slots__ = ("_environment", "_left_out", "_read")

    def __init__(self, environment: Environment, left_out: LeftOut | None) -> None:
        self._environment, self._left_out = environment, left_out

    def __enter__(self) -> Snapshot:
        environment = self._environment
        frame = sys._getframe(1)
        tries, before_s = 0, 0.0
        while True:
            read = self._read = _Read(environment)
            transaction = read._begin(frame)
            try:
                young = environment._young(transaction, self._left_out, again=tries < _TRIES_MIN)
                # The files of the log are found by their names: another instance may be there by now.
                if young is not None and (environment._writers or environment._is_here()):
                    return Snapshot(transaction, young)
            except BaseException:
                read._end()
                raise
            read._end()
            # Almost always one more transaction is enough.
            tries += 1
            before_s = before_s or time.monotonic()
            if tries > _TRIES_MIN and time.monotonic() - before_s > _TRIES_S:
                raise UnavailableError(
                    f"{environment.path}: the events of the commit log do not fit the others; try again"
                )
            time.sleep(0 if tries < _TRIES_MIN else _TRY_AGAIN_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._read.__exit__(kind, error, trace)


class LazyRead:
    """A read transaction that begins when it is first used, and ends with its ``with`` statement."""

    __slots__ = ("_environment", "_frame", "_read")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._read: _Read | None = None

    def __enter__(self) -> LazyRead:
        self._frame = sys._getframe(1)
        return self

    @property
    def transaction(self) -> lmdb.Transaction[bytes]:
        """The transaction."""
        if self._read is None:
            self._environment.check_usable()
            self._read = _Read(self._environment)
            return self._read._begin(self._frame)
        transaction = self._read.transaction
        if transaction is None:
            raise RuntimeError("it has ended")
        return transaction

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._read is not None:
            self._read.__exit__(kind, error, trace)


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
        """True while nothing is open, after opening it anew failed; the next caller tries again."""
        self._reads_only = False
        """True while a writer's environment is open for reading, after a commit failed midway."""
        self._map_bytes = map_bytes
        self._users = 0
        self.openings = 0
        """Number of openings and changes of generation: values read before the last one may be stale."""
        self.files = OpenFiles(instance)
        self._archive: bytes | None = None
        self.young: YoungSource = LogTail(lambda: self.path, lambda: self._archive)
        """What the log has and LMDB does not; while this process writes, the writer's tables."""
        self._checkpoint = b"", NO_CHECKPOINT
        self._rows = RowsAsYoung()
        try:
            self._open()
        except BaseException:
            self.files.close()
            raise

    def _open(self) -> None:
        while True:
            path = self.generations.current()
            try:
                opened = open_generation(
                    path, readonly=self.readonly or self._reads_only, map_bytes=self._map_bytes
                )
            except ArchiveError:
                if self.generations.current() == path:
                    raise
            else:
                self._adopt_generation(opened)
                return

    def _adopt_generation(self, opened: Opened) -> None:
        """Use an opened generation from now on; close it if its file is not at its path."""
        try:
            self.files.enter(os.path.join(opened.path, DATA))
        except BaseException:
            opened.lmdb.close()
            raise
        self.path, self.lmdb, self.databases = opened
        self.openings += 1
        self._unmapped = False

    def _open_anew(self, *, to_read: bool = False) -> None:
        """Close and open again, while no transaction is open; if this raises, the next caller tries again."""
        self._unmapped = True
        self._reads_only = to_read
        self.lmdb.close()
        self._open()

    def _open_if_unmapped(self) -> None:
        """Open again for reading, because opening anew failed: to open for writing needs a sync."""
        with self._gate.exclusive():
            if self._unmapped and not self._closed:
                self._open_anew(to_read=True)

    def _open_to_read(self, failed: lmdb.Environment) -> None:
        """Open again for reading, unless another thread did, because LMDB begins no transaction any more.

        That is so after a commit failed midway. The writer opens it for writing before it goes on, which may
        fail for as long as the medium does.
        """
        with self._gate.exclusive():
            if self.lmdb is failed and not self._closed:
                self._open_anew(to_read=True)

    def check_usable(self) -> None:
        """Raise ForkedError in a forked child, and ClosedError or ReplacedError after this was closed."""
        if os.getpid() != self._pid:
            raise ForkedError
        if self._closed:
            raise self._ended()

    def _ended(self) -> ClosedError:
        return ReplacedError(str(self.generations.instance)) if self._replaced else ClosedError()

    def begin_writing(self) -> None:
        """Make sure that the writer may begin a transaction: the map is open, and each file is at its path.

        Raises GoneError for a file that is not, including the lock (another process may have locked a new
        one), and the errors of opening.
        """
        if self._unmapped or self._reads_only:
            with self._gate.exclusive():
                if (self._unmapped or self._reads_only) and not self._closed:
                    self._open_anew()
        self.files.check_unless_recent()

    @property
    def left(self) -> bool:
        """True if the instance's path leads to another folder, or did when that was last checked."""
        return self._replaced or self.files.left

    def end_unless_written(self) -> None:
        """Close, because another instance is at this one's path, unless this process writes to it.

        After that, reads raise ReplacedError.
        """
        with self._gate.exclusive():
            if not self._writers:
                self._end()

    def _end(self) -> None:
        if not self._closed:
            self._replaced = True
            self._close()

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self.lmdb.close()
            self.files.close()

    @property
    def foreign(self) -> bool:
        """True in a child that was forked after this environment was opened."""
        return os.getpid() != self._pid

    def read(self) -> _Read:
        """Return a read transaction for a ``with`` statement; it belongs to the frame of that statement.

        End it soon: while it is open LMDB cannot reuse freed pages.
        """
        self.check_usable()
        return _Read(self)

    def read_log_again(self) -> None:
        """Read the log from its files: the writer of this process has ended."""
        self.young = LogTail(lambda: self.path, lambda: self._archive)

    def snapshot(self, left_out: LeftOut | None = None) -> _ReadSnapshot:
        """Return a snapshot for a ``with`` statement, as :meth:`read` does; the view may outlive it.

        With ``left_out`` it is one of what can be read, where young events are damaged: it is called for each
        damage. Else that is a DamagedError.
        """
        self.check_usable()
        return _ReadSnapshot(self, left_out)

    def _young(
        self, transaction: lmdb.Transaction[bytes], left_out: LeftOut | None, *, again: bool
    ) -> YoungView | None:
        checkpoint = self.checkpoint(transaction)
        if checkpoint is None:
            return self._rows.view(transaction, self.databases["rows"], left_out)
        if self._archive is None:
            self._archive = self.archive(transaction)
        return self.young.view(checkpoint, left_out, again=again)

    def archive(self, transaction: lmdb.Transaction[bytes]) -> bytes:
        """Return the first bytes of the lineage, which segments of the log name. Raises DamagedError."""
        value = transaction.get(b"lineage", db=self.databases["meta"])
        found = None if value is None else decode_fact(b"lineage", value)[1]
        return found[:ARCHIVE_BYTES] if isinstance(found, bytes) else bytes(ARCHIVE_BYTES)

    def checkpoint(self, transaction: lmdb.Transaction[bytes]) -> Checkpoint | None:
        """Return what LMDB has of the log; None in version 1, which had no log. Raises DamagedError."""
        value = transaction.get(b"checkpoint", db=self.databases["meta"])
        known, checkpoint = self._checkpoint
        if value is None:
            return None
        if value != known:
            checkpoint = decode_checkpoint(value)
            self._checkpoint = value, checkpoint
        return checkpoint

    def _begin(self, reader: Reader) -> lmdb.Transaction[bytes]:
        transaction = self._begin_here(reader)
        # While this process writes, no other one changes generations, and its own changes are known.
        while not self._writers and not self._still_here(transaction):
            self._leave(reader)
            self._follow()
            transaction = self._begin_here(reader)
        return transaction

    def _still_here(self, transaction: lmdb.Transaction[bytes]) -> bool:
        """Return whether a transaction is in the generation in use; if not, end it."""
        here = False
        try:
            here = self._is_here()
        finally:
            if not here:
                transaction.abort()
        return here

    def _is_here(self) -> bool:
        return self.generations.is_current(self.files.file, self.files.file_identity)

    def _follow(self) -> None:
        """Open the generation in use, unless another thread did.

        Raises ReplacedError if the path leads to another instance.
        """
        with self._gate.exclusive():
            if self._unmapped or self._closed or self._is_here():
                return
            if self.files.left:
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
            environment = self.lmdb
            try:
                transaction = reader.transaction = environment.begin()
                return transaction
            except lmdb.MapResizedError as error:
                failure: lmdb.Error = error
                if tries_left:
                    self._leave(reader)
                    self._adopt_size()
            except lmdb.ReadersFullError as error:
                failure = error
                if tries_left:
                    self._leave(reader)
                    self.lmdb.reader_check()  # frees the slots of processes that were killed
            except lmdb.PanicError as error:
                failure = error
                if tries_left:
                    self._leave(reader)
                    self._open_to_read(environment)
            except lmdb.Error as error:
                raise archive_error(error, self.path) from error
        raise archive_error(failure, self.path) from failure

    def _leave(self, reader: Reader) -> None:
        reader.transaction = None
        self._gate.leave(reader)

    def _adopt_size(self) -> None:
        """Map the size that another process gave the map, or as much as the address space allows."""
        with self._gate.exclusive():
            if self._closed or self._unmapped:
                return
            try:
                self.lmdb.set_mapsize(0)
            except lmdb.Error:
                self._open_anew()  # py-lmdb has closed a map that it could not resize

    def grow(self) -> None:
        """Double the map, or grow it by a half, a quarter or an eighth if the address space allows no more.

        Only the writer calls this, without a transaction of its own. Raises
        :class:`~yamcs_archive.errors.OutOfSpaceError` if even that is refused: then the size is unchanged.
        """
        with self._gate.exclusive():
            map_bytes = self.lmdb.info()["map_size"]
            for divisor in _GROWTH_DIVISORS:
                more_bytes = map_bytes // divisor
                if may_grow(more_bytes) and self._remap(map_bytes + more_bytes):
                    return
            if self._unmapped:
                self._open_anew()
        raise no_address_space(self.path, 2 * map_bytes)

    def _remap(self, map_bytes: int) -> bool:
        """Set the size of the map; return False if that is refused: then nothing is mapped."""
        if self._unmapped:
            return False
        self._unmapped = True  # py-lmdb closes a map that it cannot resize
        try:
            self.lmdb.set_mapsize(map_bytes)
        except lmdb.Error:
            return False
        self._map_bytes = map_bytes
        self._unmapped = False
        return True

    def reopen(self) -> None:
        """Close and open again, after a commit, a sync or a change of generation failed midway.

        Raises if the name of the generation in use cannot be made durable.
        """
        self.files.check_folder()
        make_names_durable(self.generations.instance)
        with self._gate.exclusive():
            self._open_anew()

    def make_head_durable(self) -> None:
        """Make the newest commit durable, which another process may have left in the page cache alone.

        Only a new writer calls this, and only of an environment that was open before.
        """
        with self.read():
            make_head_durable(self.path / DATA, self.lmdb.stat()["psize"])

    def copy(self, folder: Path) -> None:
        """Write a copy without free pages into an empty folder, without fsync.

        The copy is of one moment. Reads and writes go on meanwhile, but the map cannot grow before its end.
        """
        with self.read():
            try:
                self.lmdb.copy(os.fspath(folder), compact=True)
            except lmdb.Error as error:
                raise archive_error(error, folder) from error

    def move(self, opened: Opened) -> None:
        """Use another generation with the same content, which is in use now. Only the writer calls this."""
        with self._gate.exclusive():
            left = self.lmdb
            self._adopt_generation(opened)
        left.close()

    def allocated_bytes(self) -> int:
        """Return the bytes that the generation's files occupy on the medium: LMDB's, and the commit log.

        Raises GoneError if its file is gone, ClosedError, UnavailableError.
        """
        while True:
            path = self.path
            try:
                return _blocks_in(path) * _BLOCK_BYTES
            except OSError as error:
                with self.read():  # it may have been removed: reading opens the one in use
                    if self.path == path:
                        raise in_our_words(error, path) from error

    def close(self) -> None:
        """Wait for readers and close; idempotent. In a forked child only the child's handles are closed."""
        if self.foreign:
            # No other thread of the parent runs here, so the gate may be in any state: it is not used.
            self._close()
            return
        with self._gate.exclusive():
            self._close()


def _blocks_in(generation: Path) -> int:
    """Return the blocks of all files of a generation. Raises OSError."""
    blocks = (generation / DATA).stat().st_blocks
    with os.scandir(generation) as files:
        for file in files:
            if file.name != DATA:
                with suppress(FileNotFoundError):  # a segment of the log that a checkpoint has just removed
                    blocks += file.stat().st_blocks
    return blocks

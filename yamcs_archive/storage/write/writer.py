"""The one writer of an instance: group commit, on a thread of its own or on a lone caller's.

1. Callers hand over columns and get a future, which is done after the fsync, never before. One thread at a
   time commits: the one that has the *turn*.
2. A group is all submissions that wait at that moment, up to a bound; :mod:`group_commit` commits it and
   answers each of them. After a failure the next group is tried.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import TypeVar

import lmdb

from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError, ClosedError, ForkedError, OutcomeUnknownError, UnavailableError
from yamcs_archive.limits import QUEUED_BYTES_MAX
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.lmdb_open import archive_error
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.requests import RequestIds
from yamcs_archive.storage.format.source_states import SourceState
from yamcs_archive.storage.interrupts import LOOK_AGAIN_S, Bell, Hold, SafeFuture, Signal
from yamcs_archive.storage.write.checkpoint import TableImage
from yamcs_archive.storage.write.checkpointer import Checkpointer
from yamcs_archive.storage.write.commit_messages import Batch, CommitFailed, HandOver
from yamcs_archive.storage.write.committer import Committer
from yamcs_archive.storage.write.group_commit import commit_group, fill_group
from yamcs_archive.storage.write.horizon_move import HorizonMove, move_horizon
from yamcs_archive.storage.write.outcomes import Outcome
from yamcs_archive.storage.write.submissions import (
    BlockingResult,
    LocalResult,
    Submission,
    Task,
    begun,
    complete,
    copied,
    fail,
    group_bytes,
    held_by,
)
from yamcs_archive.storage.write.transaction import WriteTransaction
from yamcs_archive.storage.write.write_counts import WriteCounts
from yamcs_archive.storage.write.writer_state import WriterState
from yamcs_archive.storage.young.memory_table import MemoryTable
from yamcs_archive.storage.young.views import MemoryTables

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Writer:
    """Commits what callers submit. The thread starts at construction and ends with :meth:`close`."""

    def __init__(
        self,
        environment: Environment,
        options: Options,
        name: str,
        stored: Callable[[], None],
        full: Callable[[], None] = lambda: None,
    ) -> None:
        """``stored`` is called after each commit that stored something, ``full`` when a memory table is to be
        put into LMDB; both must return at once."""
        self._state = WriterState(environment, options, stored)
        self._checkpointer = Checkpointer(self._state)
        self._committer = Committer(self._state, self._checkpointer, full)
        self._environment = environment
        self._group_events_max = options.group_events_max
        self._pid = os.getpid()
        self._waiting: deque[Submission] = deque()
        self._waiting_bytes = 0
        self._tasks: deque[Task] = deque()
        self._closing = False
        self._broken: UnavailableError | None = None  # why the thread ended before close()
        self._turn: Hold | None = None  # of the thread that commits: it alone commits, and changes the state
        self._planning: Hold | None = None  # of the thread that plans a checkpoint
        self._in_hand: list[Submission] = []  # the group of the writer's thread, until it is answered
        self._ended = False  # True once the writer's thread serves no more tasks
        self._lock = threading.Lock()  # guards the fields above; held for moments
        self._work_came = Signal()  # wakes the writer's thread
        self._room = Bell()  # rings when there may be room in the queue
        self._thread = threading.Thread(target=self._run, name=f"archive-writer-{name}", daemon=True)
        try:
            self._thread.start()
        except BaseException:
            self._state.close_files()
            raise

    def submit(
        self, columns: Columns[int], answer: Callable[[Outcome], T], asked: RequestIds | None = None
    ) -> Future[T]:
        """Queue prepared columns; the future gets what ``answer(outcome)`` returns or raises, once durable.

        ``asked`` has the ids of the requests, if they have any: retries get the first answer again.

        Waits while more than :data:`~yamcs_archive.limits.QUEUED_BYTES_MAX` bytes are queued, except in a
        callback of an earlier submission. Raises ClosedError and ForkedError at once.
        """
        future: SafeFuture[T] = SafeFuture()
        held = held_by(columns, asked)
        self._queue(Submission(columns, group_bytes(columns), answer, future, asked, held))
        return future

    def submit_if_room(
        self, columns: Columns[int], answer: Callable[[Outcome], T], asked: RequestIds | None = None
    ) -> Future[T] | None:
        """Do what :meth:`submit` does, or return None where that would wait."""
        if os.getpid() != self._pid:
            raise ForkedError
        future: SafeFuture[T] = SafeFuture()
        held = held_by(columns, asked)
        submission = Submission(columns, group_bytes(columns), answer, future, asked, held)
        return future if self._admitted(submission) else None

    def _queue(self, submission: Submission) -> None:
        if os.getpid() != self._pid:
            raise ForkedError
        self._room.wait_until(lambda: self._admitted(submission))

    def _admitted(self, submission: Submission) -> bool:
        """Queue a submission, if there is room for it."""
        with self._lock:
            self.check_goes_on()
            full = self._waiting_bytes > QUEUED_BYTES_MAX and bool(self._waiting)
            # A callback runs on the thread that commits, so the queue would never become shorter.
            if full and not self._within_callback():
                return False
            # An interrupt between these lines does no harm: the thread wakes for nothing, or bytes are
            # counted until the queue is empty.
            self._work_came.tell()
            self._waiting_bytes += submission.held_bytes
            self._waiting.append(submission)
            return True

    def append_now(
        self, columns: Columns[int], answer: Callable[[Outcome], T], asked: RequestIds | None = None
    ) -> T:
        """Do what :meth:`submit` does, and wait for it.

        If no other submission waits and no other thread commits, the caller's own thread makes the commit:
        handing it over to the writer's thread would cost nearly as much as the commit itself. Work beyond
        one transaction is handed over, because a caller's thread may be interrupted at any step.
        """
        if os.getpid() != self._pid:
            raise ForkedError
        self.refuse_within_callback()
        own: LocalResult[T] = LocalResult()  # as LocalResult[T]() it would take six times as long
        if self._commit_alone(Submission(columns, 0, answer, own, asked)):
            return own.result()
        waiting: BlockingResult[T] = BlockingResult()
        held = held_by(columns, asked)
        self._queue(Submission(columns, group_bytes(columns), answer, waiting, asked, held))
        return waiting.result()

    def _commit_alone(self, submission: Submission) -> bool:
        """Commit and answer on this thread; False if that is not possible: then nothing is stored."""
        mine = Hold()
        recovery: BlockingResult[None] | None = None
        try:
            with self._lock:
                if self._waiting or self._tasks or self._closing or self._broken:
                    return False
                if self._turn is not None and self._turn.held:
                    return False
                self._turn = mine
            recovery = commit_group(self._committer, (submission,), self._invalidate, alone=True)
        except HandOver:
            return False
        except CommitFailed as failure:
            # Entered before the turn is given back: no thread may commit before it is known what is stored.
            recovery = self._enter_task(partial(self._raise_outcome, failure))
        finally:
            mine.end()
            if self._waiting or self._tasks or self._closing:
                self._work_came.tell()
        if recovery is not None:
            self._result(recovery)
        return True

    def _raise_outcome(self, failure: CommitFailed) -> None:
        self.counts.commits_failed += 1
        raise self._committer.outcome_after(failure)

    def run_in_transaction(self, run: Callable[[WriteTransaction], bool | None]) -> bool:
        """Run something in a transaction of the writer's, between two groups; wait for it to be durable.

        When ``run`` returns False or raises, nothing is stored, and this returns or raises the same.
        """
        return self._do(partial(self._state.run_in_transaction, run))

    def take_over(
        self, commits: Sequence[tuple[int, Columns[int]]], noted: Pair | None, *, exact: bool = True
    ) -> None:
        """Store commits of another archive, each as one commit with its time, and a fact of ``meta``, if any.

        All of it is one transaction. Events that are stored already, and those below the horizon, are passed
        over. If ``exact``, raises ConflictError for an event that is stored with other content; then nothing
        is stored.
        """
        batches = [Batch((columns,), time=time, exact=exact) for time, columns in commits]
        self._do(partial(self._committer.take_over, batches, noted))

    def freeze(self) -> MemoryTable | None:
        """Let the growing memory table be put into LMDB; return the table to put, or None if nothing is
        young.
        """
        return self._do(self._checkpointer.freeze)

    @contextmanager
    def planning(self) -> Iterator[None]:
        """Let groups wait while tables are full, because this thread plans the checkpoint of one.

        The writer would put both into LMDB itself otherwise, and the plan would be made for nothing.
        """
        mine = self._planning = Hold(sys._getframe(2))
        try:
            yield
        finally:
            mine.end()
            self._work_came.tell()

    def put_table(self, table: MemoryTable, image: TableImage) -> bool:
        """Put the frozen table into LMDB; False if it must be planned anew, or is there already."""
        return self._do(partial(self._checkpointer.put_table, table, image))

    def run_with_everything(self, run: Callable[[WriteTransaction], bool | None]) -> bool:
        """Do what :meth:`run_in_transaction` does, after all that is young was put into LMDB."""
        return self._do(partial(self._checkpointer.run_with_everything, run))

    def checkpoint_all(self, left_max: int = 0) -> None:
        """Put all young events into LMDB, but for ``left_max`` late ones."""
        self._do(partial(self._checkpointer.checkpoint_all, left_max))

    @property
    def tables(self) -> MemoryTables:
        """The memory tables; for any thread, which must not change them."""
        return self._state.tables

    def move_horizon(self, horizon: int, measure: Callable[[int], HorizonMove]) -> None:
        """Move the prune horizon, durably; from then on events before it are expired.

        ``measure`` is called with the head while no commit is made.
        """
        self._do(partial(move_horizon, self._state, self._checkpointer, horizon, measure))

    def run_exclusively(self, run: Callable[[], None]) -> None:
        """Run something between two groups, so that no commit is made meanwhile; wait for it.

        The writer's facts must hold afterwards as before. When ``run`` raises, the environment is opened
        anew, because it may have been about to change.
        """
        self._do(partial(self._committer.run_exclusively, run))

    def _do(self, run: Callable[[], T]) -> T:
        if os.getpid() != self._pid:
            raise ForkedError
        self.refuse_within_callback()
        with self._lock:
            self.check_goes_on()
        return self._result(self._enter_task(run))

    def _enter_task(self, run: Callable[[], T]) -> BlockingResult[T]:
        """Have the writer's thread run something before the next group, also while it is closing."""
        future: BlockingResult[T] = BlockingResult()
        with self._lock:
            self._work_came.tell()
            self._tasks.append(Task(run, future))
        return future

    def _result(self, entered: BlockingResult[T]) -> T:
        if self._ended:
            self._run_tasks()
        return entered.result()

    @property
    def broken(self) -> bool:
        """Whether its thread has ended by an error, so that it stores nothing any more."""
        return self._broken is not None

    def check_goes_on(self) -> None:
        """Raise the error of a submission made now: ClosedError, or that the writer's thread has ended."""
        if self._broken is not None:
            raise copied(self._broken)
        if self._closing:
            raise ClosedError

    def _within_callback(self) -> bool:
        turn = self._turn
        return turn is not None and turn.thread == threading.get_ident() and turn.held

    def refuse_within_callback(self) -> None:
        """Raise RuntimeError in a callback of :meth:`submit`, which must not wait for another commit."""
        if self._within_callback():
            raise RuntimeError(
                "append() and other calls that wait for a commit cannot be made in a callback of submit();"
                " call submit() instead"
            )

    @property
    def head(self) -> int:
        """The number of the newest commit."""
        return self._state.head

    @property
    def counts(self) -> WriteCounts:
        """What was appended since this writer began; for any thread."""
        return self._committer.counts

    def unsaved_sources(self) -> dict[str, SourceState]:
        """Return the states whose counts of refused events are ahead of the medium."""
        return self._state.sources.unsaved_states()

    def close(self) -> None:
        """Commit what was submitted, then end the thread; idempotent. Call it where no interrupt comes."""
        with self._lock:
            self._closing = True
        self._work_came.tell()
        self._room.ring()
        self._thread.join()
        # A caller may still be committing on its own thread.
        mine = Hold()
        self._room.wait_until(lambda: self._has_turn(mine))
        try:
            with suppress(ArchiveError):  # what was acknowledged is in the log
                self._committer.close()
        finally:
            mine.end()

    def _has_turn(self, mine: Hold) -> bool:
        with self._lock:
            if self._turn is None or not self._turn.held:
                self._turn = mine
            return self._turn is mine

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._work()
        except BaseException as error:  # a fault of ours; every caller that waits must get it
            _log.critical("the writer's thread ends", exc_info=error)
            self._broken = UnavailableError(
                f"the writer's thread ended with {error!r}; close the archive and open it again"
            )
            for submission in self._in_hand:
                events = tuple(submission.columns.events())
                complete(submission.future, error=OutcomeUnknownError(events, repr(error)))
        with self._lock:
            waiting = [*self._waiting]
            self._waiting.clear()
        self._room.ring()
        fail(waiting, self._broken or ClosedError())
        self._ended = True
        self._run_tasks()

    def _run_tasks(self) -> None:
        """Run the tasks that were entered while the writer's thread ended."""
        mine = Hold()
        try:
            self._room.wait_until(lambda: self._has_turn(mine))
            while self._tasks:
                self._run_task(self._tasks.popleft())
        finally:
            mine.end()

    def _wait_for_work(self) -> bool:
        """Return True once there is work; False once this is closed and no work is left."""
        while True:
            with self._lock:
                if self._waiting or self._tasks or self._closing:
                    return bool(self._waiting or self._tasks or not self._closing)
            self._work_came.wait()

    def _work(self) -> None:
        """Run one task and commit one group, once no other thread commits."""
        mine = Hold()
        while not self._has_turn(mine):
            self._work_came.wait(LOOK_AGAIN_S)
        try:
            if self._tasks:
                self._run_task(self._tasks.popleft())
            if self._waits_for_checkpoint():
                self._work_came.wait(LOOK_AGAIN_S)
                return
            if group := self._take():
                commit_group(self._committer, group, self._state.invalidate)
            self._in_hand = []
        finally:
            mine.end()

    def _waits_for_checkpoint(self) -> bool:
        planning = self._planning
        return planning is not None and self._checkpointer.is_full and planning.held

    def _take(self) -> list[Submission]:
        """Return the submissions of the next group; those that their callers ended are left out."""
        group = self._in_hand = []
        with self._lock:
            fill_group(group, self._waiting, self._group_events_max)
            self._waiting_bytes -= sum([submission.held_bytes for submission in group])
            if not self._waiting:
                self._waiting_bytes = 0
        self._room.ring()
        return [submission for submission in group if begun(submission.future)]

    def _run_task(self, task: Task) -> None:
        try:
            task.future.set_result(task.run())
        except lmdb.Error as error:
            self._state.invalidate()
            task.future.set_exception(archive_error(error, self._environment.path))
        except BaseException as error:  # it must reach the caller that waits, not end the thread
            task.future.set_exception(error)

    def _invalidate(self) -> BlockingResult[None]:
        """Have the writer's thread read the facts back."""
        return self._enter_task(self._state.invalidate)

"""The one writer of an instance: group commit, on a thread of its own or on a lone caller's.

1. Callers hand over columns and get a future; it is done after the fsync, never before. One commit is
   made at a time, by whoever has the turn.
2. A group takes what waits, up to a bound; :mod:`committer` makes its transaction. Where that fails,
   those who wait are told so, and the next group is tried.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TypeVar

import lmdb

from yamcs_archive.errors import (
    ArchiveError,
    ClosedError,
    ForkedError,
    OutcomeUnknownError,
    OutOfSpaceError,
    UnavailableError,
)
from yamcs_archive.limits import GROUP_BYTES_MAX, QUEUED_BYTES_MAX
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.lmdb_open import archive_error
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.columns import Columns, text_bytes
from yamcs_archive.storage.format.requests import RequestIds
from yamcs_archive.storage.format.sources import SourceState
from yamcs_archive.storage.interrupts import LOOK_AGAIN_S, Bell, Hold, SafeFuture, Signal
from yamcs_archive.storage.write.committer import Batch, CommitFailed, Committer, HandOver
from yamcs_archive.storage.write.idempotency import Pair
from yamcs_archive.storage.write.outcomes import Outcome
from yamcs_archive.storage.write.submissions import (
    BlockingResult,
    LocalResult,
    Submission,
    Task,
    answer,
    begun,
    complete,
    copied,
    fail,
    held_by,
)
from yamcs_archive.storage.write.transaction import WriteTransaction

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Writer:
    """Commits what callers submit. The thread starts at construction and ends with :meth:`close`."""

    def __init__(
        self, environment: Environment, options: Options, name: str, stored: Callable[[], None]
    ) -> None:
        """``stored`` is called after each commit that stored something; it must return at once."""
        self._committer = Committer(environment, options, stored)
        self._environment = environment
        self._group_events_max = options.group_events_max
        self._pid = os.getpid()
        self._waiting: deque[Submission] = deque()
        self._waiting_bytes = 0
        self._tasks: deque[Task] = deque()
        self._closing = False
        self._broken: UnavailableError | None = None  # why the thread has ended before close()
        self._turn: Hold | None = None  # of the thread that commits and may use the committer
        self._in_hand: list[Submission] = []  # taken by the writer's thread and not answered yet
        self._ended = False  # True once the writer's thread serves no more tasks
        self._lock = threading.Lock()  # guards the fields above; held for moments
        self._arrived = Signal()  # wakes the writer's thread
        self._taken = Bell()  # rings when there may be room in the queue
        self._thread = threading.Thread(target=self._run, name=f"archive-writer-{name}", daemon=True)
        self._thread.start()

    def submit(
        self, columns: Columns, answer: Callable[[Outcome], T], asked: RequestIds | None = None
    ) -> Future[T]:
        """Queue prepared columns; the future gets ``answer(outcome)``, or what it raises, once durable.

        ``asked`` has the ids of the requests, if they have any: retries get the first answer again.

        Waits while more than :data:`~yamcs_archive.limits.QUEUED_BYTES_MAX` bytes are queued, but for a
        callback of an earlier one. Raises ClosedError and ForkedError at once.
        """
        future = SafeFuture[T]()
        held = held_by(columns, asked)
        self._queue(Submission(columns, text_bytes(columns), answer, future, asked, held))
        return future

    def _queue(self, submission: Submission) -> None:
        if os.getpid() != self._pid:
            raise ForkedError
        self._taken.wait_until(lambda: self._admitted(submission))

    def _admitted(self, submission: Submission) -> bool:
        """Queue a submission, if there is room for it."""
        with self._lock:
            self.check_goes_on()
            full = self._waiting_bytes > QUEUED_BYTES_MAX and bool(self._waiting)
            # A callback that submits runs where commits are made, so nothing would be taken meanwhile.
            if full and not self._within_callback():
                return False
            # An interrupt between these lines does no harm: the thread looks in vain, or bytes are counted
            # until the queue is empty.
            self._arrived.tell()
            self._waiting_bytes += submission.held_bytes
            self._waiting.append(submission)
            return True

    def commit(self, columns: Columns, answer: Callable[[Outcome], T], asked: RequestIds | None = None) -> T:
        """Do what :meth:`submit` does, and wait for it.

        When nobody else waits or commits, the caller's own thread makes the commit: handing over to
        the writer's thread and back costs a lone caller nearly as much as the commit itself. What takes
        more than a transaction is handed over, for a caller's thread may be interrupted at any step.
        """
        if os.getpid() != self._pid:
            raise ForkedError
        self.refuse_within_callback()
        own = LocalResult[T]()
        if self._commit_alone(Submission(columns, 0, answer, own, asked)):
            return own.result()
        waiting = BlockingResult[T]()
        held = held_by(columns, asked)
        self._queue(Submission(columns, text_bytes(columns), answer, waiting, asked, held))
        return waiting.result()

    def _commit_alone(self, submission: Submission) -> bool:
        """Commit and answer on this thread; False if that cannot be: then nothing is stored."""
        mine = Hold()
        settled: BlockingResult[bool] | None = None
        try:
            with self._lock:
                if self._waiting or self._tasks or self._closing or self._broken:
                    return False
                if self._turn is not None and self._turn.held:
                    return False
                self._turn = mine
            settled = self._serve([submission], alone=True)
        except HandOver:
            return False
        except CommitFailed as failure:
            # Entered before the turn is given back: nobody may commit before it is known what is stored.
            settled = self._enter_task(partial(self._settle, failure))
        finally:
            mine.end()
            if self._waiting or self._tasks or self._closing:
                self._arrived.tell()
        if settled is not None:
            self._result(settled)
        return True

    def _settle(self, failure: CommitFailed) -> bool:
        raise self._committer.settled(failure)

    def run_in_transaction(self, run: Callable[[WriteTransaction], bool]) -> bool:
        """Run something in a transaction of the writer's, between two groups; wait for it to be durable.

        Nothing is kept when ``run`` returns False or raises, and that is what is returned or raised.
        """
        return self._do(partial(self._committer.run_in_transaction, run))

    def take_over(self, commits: Sequence[tuple[int, Columns]], noted: Pair) -> None:
        """Store commits of another archive, each as one here with its time, and a fact of ``meta`` with them.

        All of it is one transaction. Raises ConflictError, and then nothing is stored, for an event that
        stands here otherwise; one that stands here as it is, and one below the horizon, is passed over.
        """
        batches = [Batch((columns,), time=time) for time, columns in commits]
        self._do(partial(self._committer.take_over, batches, noted))

    def run_exclusively(self, run: Callable[[], None]) -> None:
        """Run something between two groups, so that nobody commits meanwhile; wait for it.

        What is known of the store must hold afterwards as before. When ``run`` raises, the environment
        is opened anew, for it may have been about to change.
        """
        self._do(partial(self._committer.run_exclusively, run))

    def _do(self, run: Callable[[], bool]) -> bool:
        if os.getpid() != self._pid:
            raise ForkedError
        self.refuse_within_callback()
        with self._lock:
            self.check_goes_on()
        return self._result(self._enter_task(run))

    def _enter_task(self, run: Callable[[], bool]) -> BlockingResult[bool]:
        """Have the writer's thread run something before the next group, also while it is closing."""
        task = Task(run, BlockingResult())
        with self._lock:
            self._arrived.tell()
            self._tasks.append(task)
        return task.future

    def _result(self, entered: BlockingResult[bool]) -> bool:
        if self._ended:
            self._serve_tasks()
        return entered.result()

    def check_goes_on(self) -> None:
        """Raise what a submission would meet at once: ClosedError, or that the thread has ended."""
        if self._broken is not None:
            raise copied(self._broken)
        if self._closing:
            raise ClosedError

    def _within_callback(self) -> bool:
        turn = self._turn
        return turn is not None and turn.thread == threading.get_ident() and turn.held

    def refuse_within_callback(self) -> None:
        """Raise RuntimeError in a callback of :meth:`submit`: no commit can be waited for there."""
        if self._within_callback():
            raise RuntimeError(
                "a callback of submit() must not wait for a commit: call submit() in it instead"
            )

    @property
    def head(self) -> int:
        """The number of the newest commit."""
        return self._committer.head

    def unsaved_sources(self) -> dict[str, SourceState]:
        """Return the states whose counts of refused events are ahead of the medium."""
        return self._committer.unsaved_sources()

    def close(self) -> None:
        """Commit what was submitted, then end the thread; idempotent. Call it where no interrupt comes."""
        with self._lock:
            self._closing = True
        self._arrived.tell()
        self._taken.ring()
        self._thread.join()
        # A caller may still be committing on its own thread. Counts of refusals only: nobody is left to tell.
        mine = Hold()
        self._taken.wait_until(lambda: self._has_turn(mine))
        try:
            with suppress(ArchiveError):
                self._committer.save_counts()
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
        except BaseException as error:  # a fault of ours; all who wait must get it
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
        self._taken.ring()
        fail(waiting, self._broken or ClosedError())
        self._ended = True
        self._serve_tasks()

    def _serve_tasks(self) -> None:
        """Serve the tasks that were entered as the writer's thread ended."""
        mine = Hold()
        try:
            self._taken.wait_until(lambda: self._has_turn(mine))
            while self._tasks:
                self._serve_task(self._tasks.popleft())
        finally:
            mine.end()

    def _wait_for_work(self) -> bool:
        """Return once there is something to do; False when it is closed and nothing more will come."""
        while True:
            with self._lock:
                if self._waiting or self._tasks or self._closing:
                    return bool(self._waiting or self._tasks or not self._closing)
            self._arrived.wait()

    def _work(self) -> None:
        """Serve one task and one group, once nobody else commits."""
        mine = Hold()
        while not self._has_turn(mine):
            self._arrived.wait(LOOK_AGAIN_S)
        try:
            if self._tasks:
                self._serve_task(self._tasks.popleft())
            if group := self._take():
                self._serve(group)
            self._in_hand = []
        finally:
            mine.end()

    def _take(self) -> list[Submission]:
        """Return what waits, in order of arrival, up to a group's bounds; no request's id is in it twice."""
        group = self._in_hand = []
        events = size_bytes = 0
        ids: set[bytes] = set()
        with self._lock:
            while self._waiting:
                submission = self._waiting[0]
                events += len(submission.columns.message)
                size_bytes += submission.size_bytes
                if group and (events > self._group_events_max or size_bytes > GROUP_BYTES_MAX):
                    break
                if submission.asked is not None:
                    if not ids.isdisjoint(submission.asked.keys):
                        break  # a retry is answered once it is known what became of its first try
                    ids.update(submission.asked.keys)
                group.append(self._waiting.popleft())
                self._waiting_bytes -= submission.held_bytes
            if not self._waiting:
                self._waiting_bytes = 0
        self._taken.ring()
        return [submission for submission in group if begun(submission.future)]

    def _serve_task(self, task: Task) -> None:
        try:
            task.future.set_result(task.run())
        except lmdb.Error as error:
            self._committer.invalidate()
            task.future.set_exception(archive_error(error, self._environment.path))
        except BaseException as error:  # it must reach whoever waits, not end the thread
            task.future.set_exception(error)

    def _serve(self, group: list[Submission], *, alone: bool = False) -> BlockingResult[bool] | None:
        """Commit a group and answer it.

        With ``alone`` it runs on a caller's own thread. Then it raises HandOver and CommitFailed, and what it
        returns must be waited for once the turn is given back: until then what is known may be wrong.
        """
        failpoint("group-taken")
        settled: BlockingResult[bool] | None = None
        try:
            outcomes = self._committer.commit(_batch(group), alone=alone)
        except (HandOver, CommitFailed):
            raise
        except OutOfSpaceError as error:
            fail(group, error)
        except OutcomeUnknownError as error:
            remaining = iter(error.events)
            for submission in group:
                mine = tuple(islice(remaining, len(submission.columns.message)))
                complete(submission.future, error=OutcomeUnknownError(mine, error.reason))
        except Exception as error:
            if not isinstance(error, ArchiveError):
                settled = self._invalidate(alone=alone)  # a fault of ours may have come at any moment
            if len(group) == 1:
                fail(group, error)
            else:  # one caller's key may meet a damaged record; the others must not suffer for it
                # Nothing of the group is stored: from its commit on, no error comes but the two above.
                for submission in group:
                    self._serve([submission])
        except BaseException as error:
            # A fault of ours, or Ctrl-C in a caller that commits for itself: it must reach the callers,
            # and what is known of the store is read again, for it may have come at any moment.
            settled = self._invalidate(alone=alone)
            fail(group, error)
        else:
            failpoint("before-answer")
            for submission, outcome in zip(group, outcomes, strict=True):
                answer(submission, outcome)
        return settled

    def _invalidate(self, *, alone: bool) -> BlockingResult[bool] | None:
        """Have everything known of the store read anew: until then its head may differ from the medium's."""
        if alone:
            return self._enter_task(self._committer.invalidate)
        self._committer.invalidate()
        return None


def _batch(group: Sequence[Submission]) -> Batch:
    asked = [submission.asked for submission in group]
    return Batch(
        [submission.columns for submission in group], asked if asked.count(None) < len(asked) else ()
    )

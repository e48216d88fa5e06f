"""The one writer of an instance: group commit, on a thread of its own or on a lone caller's.

1. Callers hand over columns and get a future; it is done after the fsync, never before. One commit is
   made at a time, by whoever has the turn.
2. A group takes what waits, up to a bound; :mod:`committing` makes its transaction. Where that fails,
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

from yamcs_archive.errors import ArchiveError, ClosedError, ForkedError, OutcomeUnknownError, OutOfSpaceError
from yamcs_archive.limits import GROUP_BYTES_MAX, QUEUED_BYTES_MAX
from yamcs_archive.options import Options
from yamcs_archive.storage.columns import Columns, text_bytes
from yamcs_archive.storage.committing import Committer
from yamcs_archive.storage.environment import Environment
from yamcs_archive.storage.opening import translated
from yamcs_archive.storage.outcomes import Outcome
from yamcs_archive.storage.points import reach
from yamcs_archive.storage.replays import Pair
from yamcs_archive.storage.requests import Asked
from yamcs_archive.storage.sources import SourceState
from yamcs_archive.storage.stored import Stored
from yamcs_archive.storage.submissions import Own, Submission, Task, Waiting, fail, held_by, resolve, tell

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
        lock = threading.Lock()
        self._arrived, self._taken = threading.Condition(lock), threading.Condition(lock)
        self._closing = False
        self._tasks: deque[Task] = deque()
        self._turn = threading.Lock()  # held by whoever commits; the committer is theirs
        self._serving = 0  # the identity of the thread that has the turn
        self._thread = threading.Thread(target=self._run, name=f"archive-writer-{name}", daemon=True)
        self._thread.start()

    def submit(
        self, columns: Columns, answer: Callable[[Outcome], T], asked: Asked | None = None
    ) -> Future[T]:
        """Queue prepared columns; the future gets ``answer(outcome)``, or what it raises, once durable.

        ``asked`` has the ids of the requests, if they have any: retries get the first answer again.

        Waits while more than :data:`~yamcs_archive.limits.QUEUED_BYTES_MAX` bytes are queued, but for a
        callback of an earlier one. Raises ClosedError and ForkedError at once.
        """
        future: Future[T] = Future()
        held = held_by(columns, asked)
        self._queue(Submission(columns, text_bytes(columns), answer, future, asked, held))
        return future

    def _queue(self, submission: Submission) -> None:
        if os.getpid() != self._pid:
            raise ForkedError
        with self._arrived:
            # A callback that submits runs where commits are made, so nothing would be taken meanwhile.
            while (
                self._waiting_bytes > QUEUED_BYTES_MAX
                and not self._closing
                and self._serving != threading.get_ident()
            ):
                self._taken.wait()
            if self._closing:
                raise ClosedError
            self._waiting.append(submission)
            self._waiting_bytes += submission.held_bytes
            self._arrived.notify()

    def commit(self, columns: Columns, answer: Callable[[Outcome], T], asked: Asked | None = None) -> T:
        """Do what :meth:`submit` does, and wait for it.

        When nobody else waits or commits, the caller's own thread makes the commit: handing over to
        the writer's thread and back costs a lone caller nearly as much as the commit itself.
        """
        self._refuse_within_callback()
        if self._turn.acquire(blocking=False):
            self._serving = threading.get_ident()
            try:
                with self._arrived:
                    alone = not (self._waiting or self._tasks or self._closing)
                if alone and os.getpid() == self._pid:
                    own = Own[T]()
                    self._serve([Submission(columns, 0, answer, own, asked)])
                    return own.result()
            finally:
                self._serving = 0
                self._turn.release()
        waiting = Waiting[T]()
        held = held_by(columns, asked)
        self._queue(Submission(columns, text_bytes(columns), answer, waiting, asked, held))
        return waiting.result()

    def perform(self, run: Callable[[Stored], bool]) -> bool:
        """Run something in a transaction of the writer's, between two groups; wait for it to be durable.

        Nothing is kept when ``run`` returns False or raises, and that is what is returned or raised.
        """
        return self._do(partial(self._committer.run, run))

    def take_over(self, commits: Sequence[tuple[int, Columns]], noted: Pair) -> None:
        """Store commits of another archive, each as one here with its time, and a fact of ``meta`` with them.

        All of it is one transaction. Raises ConflictError, and then nothing is stored, for an event that
        stands here otherwise; one that stands here as it is, and one below the horizon, is passed over.
        """
        self._do(partial(self._committer.take_over, commits, noted))

    def hold(self, run: Callable[[], None]) -> None:
        """Run something between two groups, so that nobody commits meanwhile; wait for it.

        What is known of the store must hold afterwards as before. When ``run`` raises, the environment
        is opened anew, for it may have been about to change.
        """
        self._do(partial(self._committer.hold, run))

    def _do(self, run: Callable[[], bool]) -> bool:
        self._refuse_within_callback()
        task = Task(run, Future())
        with self._arrived:
            if self._closing:
                raise ClosedError
            self._tasks.append(task)
            self._arrived.notify()
        return task.future.result()

    def _refuse_within_callback(self) -> None:
        if self._serving == threading.get_ident():
            raise RuntimeError("a callback of submit() must not wait for another commit: let it submit")

    @property
    def head(self) -> int:
        """The number of the newest commit."""
        return self._committer.head

    def unsaved_sources(self) -> dict[str, SourceState]:
        """Return the states whose counts of refused events are ahead of the medium."""
        return self._committer.unsaved_sources()

    def close(self) -> None:
        """Commit what was submitted, then end the thread; idempotent."""
        with self._arrived:
            self._closing = True
            self._arrived.notify()
            self._taken.notify_all()
        self._thread.join()
        # A caller may still be committing on its own thread. Counts of refusals only: nobody is left to tell.
        with self._turn, suppress(ArchiveError):
            self._committer.save_counts()

    def _run(self) -> None:
        while True:
            with self._arrived:
                while not (self._waiting or self._tasks or self._closing):
                    self._arrived.wait()
                if self._closing and not self._waiting:
                    break
            with self._turn:
                self._serving = threading.get_ident()
                try:
                    if group := self._take():
                        self._serve(group)
                    if self._tasks:
                        self._serve_task(self._tasks.popleft())
                finally:
                    self._serving = 0
        while self._tasks:
            self._tasks.popleft().future.set_exception(ClosedError())

    def _take(self) -> list[Submission]:
        """Return what waits, in order of arrival, up to a group's bounds; no request's id is in it twice."""
        group: list[Submission] = []
        events = size_bytes = 0
        ids: set[bytes] = set()
        with self._arrived:
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
            self._taken.notify_all()
        return [submission for submission in group if submission.future.set_running_or_notify_cancel()]

    def _serve_task(self, task: Task) -> None:
        try:
            task.future.set_result(task.run())
        except lmdb.Error as error:
            self._committer.doubt()
            task.future.set_exception(translated(error, self._environment.path))
        except BaseException as error:  # it must reach whoever waits, not end the thread
            task.future.set_exception(error)

    def _serve(self, group: list[Submission]) -> None:
        reach("group-taken")
        try:
            outcomes = self._committer.commit(group)
        except OutOfSpaceError as error:
            fail(group, error)
        except OutcomeUnknownError as error:
            remaining = iter(error.events)
            for submission in group:
                mine = tuple(islice(remaining, len(submission.columns.message)))
                resolve(submission.future, error=OutcomeUnknownError(mine, error.reason))
        except Exception as error:
            if not isinstance(error, ArchiveError):
                self._committer.doubt()  # a fault of ours may have come at any moment
            if len(group) == 1:
                fail(group, error)
            else:  # one caller's key may meet a damaged record; the others must not suffer for it
                # Nothing of the group is stored: from its commit on, no error comes but the two above.
                for submission in group:
                    self._serve([submission])
        except BaseException as error:
            # A fault of ours, or Ctrl-C in a caller that commits for itself: it must reach the callers,
            # and what is known of the store is read again, for it may have come at any moment.
            self._committer.doubt()
            fail(group, error)
        else:
            reach("before-answer")
            for submission, outcome in zip(group, outcomes, strict=True):
                tell(submission, outcome)

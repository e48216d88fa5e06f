"""The one writer of an instance: group commit, on a thread of its own or on a lone caller's.

1. Callers hand over columns and get a future; it is done after the fsync, never before. One commit is
   made at a time, by whoever has the turn.
2. A group takes what waits, up to a bound, and is committed in one LMDB transaction: events, source
   states and the commit's record together, so a crash leaves all of the group or nothing.
3. State that is cached here (head, source states) changes only after the transaction was committed.
4. Out of space: the group fails, nothing is stored, the next one is tried afresh. Any other failure of
   a commit: its outcome is unknown; the environment is opened anew and the cached state read back.
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
    ConflictError,
    ForkedError,
    OutcomeUnknownError,
    OutOfSpaceError,
)
from yamcs_archive.event import Event
from yamcs_archive.limits import GROUP_BYTES_MAX, QUEUED_BYTES_MAX
from yamcs_archive.options import Options
from yamcs_archive.storage.accounts import account
from yamcs_archive.storage.columns import Columns, text_bytes
from yamcs_archive.storage.commits import CommitRecord
from yamcs_archive.storage.environment import Environment
from yamcs_archive.storage.kept import Kept
from yamcs_archive.storage.opening import nearly_full, translated
from yamcs_archive.storage.outcomes import Group, Outcome, decide
from yamcs_archive.storage.placing import place
from yamcs_archive.storage.points import reach
from yamcs_archive.storage.replays import Pair, Replays
from yamcs_archive.storage.requests import Asked
from yamcs_archive.storage.sources import SourceState, decode_source, encode_source
from yamcs_archive.storage.state import head_commit, read_meta
from yamcs_archive.storage.stored import Stored
from yamcs_archive.storage.submissions import Own, Submission, Task, Waiting, fail, resolve, tell

T = TypeVar("T")

_log = logging.getLogger(__name__)

_SOURCES_CACHED_MAX = 65_536
"""Source states kept in memory; beyond it those that are on the medium are forgotten and read again."""


class _CommitFailed(Exception):  # noqa: N818  # a message between two methods, never seen outside
    """The transaction's commit raised, so what it left on the medium is not known."""

    def __init__(self, group: Group, error: lmdb.Error) -> None:
        self.group, self.error = group, error


class Writer:
    """Commits what callers submit. The thread starts at construction and ends with :meth:`close`."""

    def __init__(
        self, environment: Environment, options: Options, name: str, stored: Callable[[], None]
    ) -> None:
        """``stored`` is called after each commit that stored something; it must return at once."""
        self._environment = environment
        self._tell_stored = stored
        self._options = options
        self._pid = os.getpid()
        self._waiting: deque[Submission] = deque()
        self._waiting_bytes = 0
        lock = threading.Lock()
        self._arrived, self._taken = threading.Condition(lock), threading.Condition(lock)
        self._closing = False
        self._sources: dict[str, SourceState] = {}
        self._unsaved: set[str] = set()  # sources whose "seen" counts are ahead of the medium
        self._stale = False  # after a failure: the environment must be opened anew first
        self._kept = Kept()
        self._tasks: deque[Task] = deque()
        self._turn = threading.Lock()  # held by whoever commits; all state above is theirs
        self._serving = 0  # the identity of the thread that has the turn
        self._load()
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
        self._queue(Submission(columns, text_bytes(columns), answer, future, asked))
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
            self._waiting_bytes += submission.size_bytes
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
        self._queue(Submission(columns, text_bytes(columns), answer, waiting, asked))
        return waiting.result()

    def perform(self, run: Callable[[Stored], bool]) -> bool:
        """Run something in a transaction of the writer's, between two groups; wait for it to be durable.

        Nothing is kept when ``run`` returns False or raises, and that is what is returned or raised.
        """
        return self._do(partial(self._run_task, run))

    def take_over(self, commits: Sequence[tuple[int, Columns]], noted: Pair) -> None:
        """Store commits of another archive, each as one here with its time, and a fact of ``meta`` with them.

        All of it is one transaction. Raises ConflictError, and then nothing is stored, for an event that
        stands here otherwise; one that stands here as it is, and one below the horizon, is passed over.
        """
        self._do(partial(self._taken_over, commits, noted))

    def hold(self, run: Callable[[], None]) -> None:
        """Run something between two groups, so that nobody commits meanwhile; wait for it.

        What is known of the store must hold afterwards as before. When ``run`` raises, the environment
        is opened anew, for it may have been about to change.
        """
        self._do(partial(self._held, run))

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
        return self._head

    def unsaved_sources(self) -> dict[str, SourceState]:
        """Return the states whose counts of refused events are ahead of the medium."""
        states = {source: self._sources.get(source) for source in tuple(self._unsaved)}
        return {source: state for source, state in states.items() if state is not None}

    def close(self) -> None:
        """Commit what was submitted, then end the thread; idempotent."""
        with self._arrived:
            self._closing = True
            self._arrived.notify()
            self._taken.notify_all()
        self._thread.join()
        with self._turn:  # a caller may still be committing on its own thread
            if self._unsaved:
                with suppress(ArchiveError):  # counts of refusals only; there is nobody left to tell
                    self._commit([])

    def _load(self) -> None:
        self._horizon = read_meta(self._environment).horizon
        with self._environment.read() as transaction:
            newest = head_commit(self._environment, transaction)
        self._head = newest.last if newest else 0
        self._tell_stored()  # after a failed commit it may be found stored
        self._sources.clear()
        self._unsaved.clear()
        self._kept.forget()

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
                if group and (events > self._options.group_events_max or size_bytes > GROUP_BYTES_MAX):
                    break
                if submission.asked is not None:
                    if not ids.isdisjoint(submission.asked.keys):
                        break  # a retry is answered once it is known what became of its first try
                    ids.update(submission.asked.keys)
                group.append(self._waiting.popleft())
                self._waiting_bytes -= submission.size_bytes
            self._taken.notify_all()
        return [submission for submission in group if submission.future.set_running_or_notify_cancel()]

    def _serve_task(self, task: Task) -> None:
        try:
            task.future.set_result(task.run())
        except lmdb.Error as error:
            self._stale = True
            task.future.set_exception(translated(error, self._environment.path))
        except BaseException as error:  # it must reach whoever waits, not end the thread
            task.future.set_exception(error)

    def _run_task(self, run: Callable[[Stored], bool]) -> bool:
        self._refresh()
        while True:
            transaction = self._environment.lmdb.begin(write=True)
            try:
                kept = run(Stored(self._environment, transaction, self._kept))
                if kept:
                    transaction.commit()
                else:
                    self._kept.forget()
                return kept
            except lmdb.MapFullError:
                self._kept.forget()
            except BaseException:
                self._kept.forget()
                raise
            finally:
                transaction.abort()
            self._environment.grow()

    def _held(self, run: Callable[[], None]) -> bool:
        self._refresh()
        try:
            if self._unsaved:
                self._commit([])  # counts of refusals: opening anew would forget them
            run()
        except BaseException:
            self._stale = True
            with suppress(ArchiveError):
                self._refresh()
            raise
        return True

    def _refresh(self) -> None:
        if self._stale:
            self._environment.reopen()
            self._load()
            self._stale = False

    def _serve(self, group: list[Submission]) -> None:
        reach("group-taken")
        try:
            outcomes = self._commit(group)
        except OutOfSpaceError as error:
            fail(group, error)
        except OutcomeUnknownError as error:
            remaining = iter(error.events)
            for submission in group:
                mine = tuple(islice(remaining, len(submission.columns.message)))
                resolve(submission.future, error=OutcomeUnknownError(mine, error.reason))
        except Exception as error:
            if not isinstance(error, ArchiveError):
                self._stale = True  # a fault of ours may have come at any moment
            if len(group) == 1:
                fail(group, error)
            else:  # one caller's key may meet a damaged record; the others must not suffer for it
                for submission in group:
                    self._serve([submission])
        except BaseException as error:
            # A fault of ours, or Ctrl-C in a caller that commits for itself: it must reach the callers,
            # and what is known of the store is read again, for it may have come at any moment.
            self._stale = True
            fail(group, error)
        else:
            reach("before-answer")
            for submission, outcome in zip(group, outcomes, strict=True):
                tell(submission, outcome)

    def _commit(self, submissions: Sequence[Submission]) -> list[Outcome]:
        self._refresh()
        while True:
            try:
                return self._attempt(submissions).outcomes
            except lmdb.MapFullError:
                self._environment.grow()
            except _CommitFailed as failure:
                if isinstance(failure.error, lmdb.MapFullError):
                    self._environment.grow()
                else:
                    raise self._after_failed_commit(failure) from failure.error
            except lmdb.Error as error:
                raise translated(error, self._environment.path) from error

    def _taken_over(self, commits: Sequence[tuple[int, Columns]], noted: Pair) -> bool:
        self._refresh()
        while True:
            try:
                self._attempt_taken_over(commits, noted)
                return True
            except lmdb.MapFullError:
                self._environment.grow()

    def _attempt_taken_over(self, commits: Sequence[tuple[int, Columns]], noted: Pair) -> None:
        databases, head = self._environment.databases, self._head
        transaction = self._environment.lmdb.begin(write=True)
        try:
            stored = Stored(self._environment, transaction, self._kept)
            changed: dict[str, SourceState] = {}
            state = partial(self._state, transaction, changed)
            for time_us, columns in commits:
                group = decide([columns], stored, lambda source: state(source).greatest_number, self._horizon)
                _refuse_differences(group)
                account(group, state, changed)
                if group.stretches:
                    head += 1
                    place(group, stored, head, self._options)
                    stored.put_commits(CommitRecord(head, (time_us,), (group.events.size,), group.runs))
                    self._kept.met(group.events.key(-1))
            transaction.cursor(databases["sources"]).putmulti(
                [encode_source(source, known) for source, known in changed.items()]
            )
            transaction.put(*noted, db=databases["meta"])
            reach("before-commit")
            transaction.commit()
        except BaseException:
            self._kept.forget()
            raise
        finally:
            transaction.abort()  # does nothing after a commit
        reach("after-commit")
        self._head = head
        self._unsaved.difference_update(changed)
        self._sources.update(changed)
        self._tell_stored()

    def _state(
        self, transaction: lmdb.Transaction[bytes], changed: dict[str, SourceState], source: str
    ) -> SourceState:
        known = changed.get(source) or self._sources.get(source)
        if known is None:
            value = transaction.get(source.encode(), db=self._environment.databases["sources"])
            known = SourceState() if value is None else decode_source(source.encode(), value)[1]
            self._sources[source] = known
        return known

    def _attempt(self, submissions: Sequence[Submission]) -> Group:
        databases = self._environment.databases
        transaction = self._environment.lmdb.begin(write=True)
        try:
            stored = Stored(self._environment, transaction, self._kept)
            changed: dict[str, SourceState] = {}

            state = partial(self._state, transaction, changed)

            def decided(submitted: Sequence[Columns]) -> Group:
                return decide(submitted, stored, lambda source: state(source).greatest_number, self._horizon)

            kept: list[Pair] = []
            if any(submission.asked is not None for submission in submissions):
                replays = Replays(transaction, databases["requests"], stored, self._horizon, self._options)
                group, kept = replays.decided(
                    [(submission.columns, submission.asked) for submission in submissions], decided
                )
            else:
                group = decided([submission.columns for submission in submissions])
            reach("outcomes-known")
            for source in account(group, state, changed):
                self._unsaved.add(source)
            if not group.stretches and not kept and submissions:
                # Nothing new: what the duplicates and conflicts met was fsynced by its own commit.
                self._sources.update(changed)
                return group
            if group.stretches:
                self._put(stored, group)
            saved = self._unsaved | changed.keys()
            pairs = [encode_source(source, changed.get(source) or state(source)) for source in saved]
            transaction.cursor(databases["sources"]).putmulti(pairs)
            if kept:
                transaction.cursor(databases["requests"]).putmulti(kept)
            reach("before-commit")
            try:
                transaction.commit()
            except lmdb.Error as error:
                raise _CommitFailed(group, error) from error
        except BaseException:
            self._kept.forget()  # blocks may be kept that this transaction put and lost
            raise
        finally:
            transaction.abort()  # does nothing after a commit
        reach("after-commit")
        if group.stretches:
            self._head += 1
            self._tell_stored()
            self._kept.met(group.events.key(-1))
        self._unsaved.clear()
        self._sources.update(changed)
        if len(self._sources) > _SOURCES_CACHED_MAX:
            self._sources.clear()
        return group

    def _put(self, stored: Stored, group: Group) -> None:
        number = self._head + 1
        place(group, stored, number, self._options)
        stored_at, events = self._options.clock(), group.events.size
        stored.put_commits(CommitRecord(number, (stored_at,), (events,), group.runs))

    def _after_failed_commit(self, failure: _CommitFailed) -> ArchiveError:
        """Open the environment anew and say what those who wait shall be told."""
        attempted = self._head + 1
        path = self._environment.path
        events: tuple[Event, ...] = tuple(
            event for outcome in failure.group.outcomes for event in outcome.columns.events()
        )
        self._stale = True
        try:
            self._environment.reopen()
            self._load()
            self._stale = False
        except ArchiveError as error:
            return OutcomeUnknownError(events, f"{failure.error}; then {error}")
        # LMDB writes its meta page last. Where even the page cache shows the old one, the new one was
        # never written, so nothing of this commit can come back.
        if self._head < attempted and (isinstance(failure.error, lmdb.DiskError) or nearly_full(path)):
            return OutOfSpaceError(str(path), str(failure.error))
        return OutcomeUnknownError(events, str(failure.error))


def _refuse_differences(group: Group) -> None:
    """Raise ConflictError for an event that is stored already and differs in any field."""
    for outcome in group.outcomes:
        for refused in outcome.conflicts.first:
            raise ConflictError(refused.stored, refused.offered)
        for position, stored in outcome.duplicates:
            offered = outcome.columns.event(position)
            if stored != offered:
                raise ConflictError(stored, offered)

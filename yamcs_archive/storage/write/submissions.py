"""Submissions and tasks for the writer, and the results for which their callers wait.

Each is answered exactly once. An error in a callback of a future does not end the writer's thread.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from itertools import chain
from sys import getsizeof
from typing import Any, Generic, NamedTuple, TypeVar, cast

from yamcs_archive.columns import Columns
from yamcs_archive.storage.format.requests import RequestIds
from yamcs_archive.storage.write.outcomes import Outcome

T = TypeVar("T")

_log = logging.getLogger(__name__)


class LocalResult(Generic[T]):
    """A one-shot result for a caller that commits on its own thread; no lock, as no other thread waits."""

    def __init__(self) -> None:
        self._answer: T | None = None
        self._error: BaseException | None = None

    def set_running_or_notify_cancel(self) -> bool:
        """Return True: it cannot be cancelled."""
        return True

    def set_result(self, answer: T) -> None:
        """Set the answer."""
        self._answer = answer

    def set_exception(self, error: BaseException) -> None:
        """Set the error."""
        self._error = error

    def result(self) -> T:
        """Return the answer or raise the error."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # its traceback refers to this frame: a cycle
        return cast(T, self._answer)


class BlockingResult(LocalResult[T]):
    """A one-shot result for a caller that only blocks on it; one lock where a Future needs three."""

    def __init__(self) -> None:
        super().__init__()
        self._done = threading.Lock()
        self._done.acquire()

    def set_result(self, answer: T) -> None:
        """Set the answer, and wake the caller."""
        self._answer = answer
        self._done.release()

    def set_exception(self, error: BaseException) -> None:
        """Set the error, and wake the caller."""
        self._error = error
        self._done.release()

    def result(self) -> T:
        """Wait, then return the answer or raise the error."""
        self._done.acquire()
        return super().result()


_EVENT_OVERHEAD_BYTES = 64
"""Bytes that an event adds to a group's size, besides its text."""
_IDS_BYTES = 2 * 8
"""Bytes of the two references to an event's id and digest."""
_SUBMISSION_BYTES = 2_400
"""Bytes of memory of a submission without its events: ten columns, a future, its condition and lock."""


class Submission(NamedTuple):
    """Events to be stored in one commit, and the result for which their caller waits."""

    columns: Columns[int]
    size_bytes: int
    """Bytes that it adds to a group's size."""
    answer: Callable[[Outcome], Any]
    future: Future[Any] | LocalResult[Any]
    asked: RequestIds | None = None
    held_bytes: int = 0
    """Bytes of memory that it adds to the queue's size."""


def group_bytes(columns: Columns[int]) -> int:
    """Return the bytes that events add to a group's size.

    >>> from yamcs_archive import Event
    >>> group_bytes(Columns.of([Event("abc"), Event("abc")])) >= 6
    True
    """
    return columns.text_bytes + columns.size * _EVENT_OVERHEAD_BYTES


def held_by(columns: Columns[int], asked: RequestIds | None) -> int:
    """Return the approximate bytes of memory of a waiting submission.

    >>> from yamcs_archive import Event
    >>> held_by(Columns.of([Event("a")]), None) > 2_500
    True
    """
    size = _SUBMISSION_BYTES + columns.memory_bytes
    if asked is not None:
        size += sum(map(getsizeof, chain(*asked))) + columns.size * _IDS_BYTES
    return size


class Task(NamedTuple):
    """A function to run between two commits, and the result for which its caller waits."""

    run: Callable[[], Any]
    future: BlockingResult[Any]


def answer(submission: Submission, outcome: Outcome) -> None:
    """Answer a submission with its outcome, or with the error that was raised while making the answer."""
    try:
        if outcome.error is not None:
            raise outcome.error
        answer = submission.answer(outcome)
    except BaseException as error:  # the caller must get any error
        complete(submission.future, error=error)
    else:
        complete(submission.future, answer)


def begun(future: Future[Any] | LocalResult[Any]) -> bool:
    """Mark a future as running, so that it cannot be cancelled; return False if its caller already ended it.

    The events of an ended future are not stored.
    """
    try:
        return future.set_running_or_notify_cancel()
    except (RuntimeError, InvalidStateError):
        _log.error("a future of submit() was ended by its caller; its events are not stored")
        return False


def fail(group: Sequence[Submission], error: BaseException) -> None:
    """Answer every submission of a group with an error."""
    if len(group) == 1:
        complete(group[0].future, error=error)
        return
    for submission in group:
        complete(submission.future, error=copied(error))  # each thread that raises it adds its traceback


def copied(error: BaseException) -> BaseException:
    """Return a copy of an error, with its traceback."""
    copy_ = copy.copy(error).with_traceback(error.__traceback__)
    copy_.__cause__, copy_.__context__ = error.__cause__, error.__context__
    copy_.__suppress_context__ = error.__suppress_context__
    return copy_


def complete(
    future: Future[Any] | LocalResult[Any], answer: Any = None, error: BaseException | None = None
) -> None:
    """Complete a future; an error in one of its callbacks does not end this thread."""
    try:
        if error is None:
            future.set_result(answer)
        else:
            future.set_exception(error)
    except BaseException as fault:
        # concurrent.futures itself catches each Exception. Ctrl-C is raised only on the main thread.
        if threading.current_thread() is threading.main_thread():
            raise
        _log.error("a callback of submit() raised %r", fault)

"""Group commit: submissions are taken from the queue, committed together, and answered one by one.

1. No submission waits for ever: after any failure each one gets its answer or an error.
2. If the commit of a group fails before anything is stored, and not for lack of space, each submission is
   committed alone: a damaged record under one caller's key must not fail the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from yamcs_archive.errors import ArchiveError, OutcomeUnknownError, OutOfSpaceError
from yamcs_archive.limits import GROUP_BYTES_MAX
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.write.commit_messages import Batch, CommitFailed, HandOver
from yamcs_archive.storage.write.committer import Committer
from yamcs_archive.storage.write.submissions import BlockingResult, Submission, answer, complete, fail


def fill_group(group: list[Submission], waiting: deque[Submission], events_max: int) -> None:
    """Move submissions from the queue to an empty group, in order of arrival, up to a group's bounds.

    Two requests with the same id are never in one group: a retry is answered after the outcome of the first
    attempt is known.
    """
    events = size_bytes = 0
    ids: set[bytes] = set()
    while waiting:
        submission = waiting[0]
        events += submission.columns.size
        size_bytes += submission.size_bytes
        if group and (events > events_max or size_bytes > GROUP_BYTES_MAX):
            return
        if submission.asked is not None:
            if not ids.isdisjoint(submission.asked.keys):
                return
            ids.update(submission.asked.keys)
        group.append(waiting.popleft())


def commit_group(
    committer: Committer,
    group: Sequence[Submission],
    invalidate: Callable[[], BlockingResult[None] | None],
    *,
    alone: bool = False,
) -> BlockingResult[None] | None:
    """Commit a group and answer each submission.

    After an unexpected error, which may come at any point, ``invalidate`` is called before any submission is
    answered, and its result is returned. With ``alone``, on a caller's own thread, this also raises HandOver
    and CommitFailed. When ``invalidate`` was called, cached state may be wrong until it has been read back.
    """
    failpoint("group-taken")
    recovery: BlockingResult[None] | None = None
    try:
        outcomes = committer.commit(_batch(group), alone=alone)
    except (HandOver, CommitFailed):
        raise
    except OutOfSpaceError as error:
        committer.counts.commits_failed += 1
        fail(group, error)
    except OutcomeUnknownError as error:
        committer.counts.commits_failed += 1
        remaining = iter(error.events)
        for submission in group:
            mine = tuple(islice(remaining, submission.columns.size))
            complete(submission.future, error=OutcomeUnknownError(mine, error.reason))
    except BaseException as error:
        if not isinstance(error, ArchiveError):
            recovery = invalidate()
        committer.counts.commits_failed += 1
        # Not an Exception is, for example, Ctrl-C in a caller that commits on its own thread.
        if len(group) == 1 or not isinstance(error, Exception):
            fail(group, error)
        else:
            # Nothing of the group is stored: from its commit on, only the two errors above are raised.
            for submission in group:
                commit_group(committer, (submission,), invalidate)
    else:
        failpoint("before-answer")
        for submission, outcome in zip(group, outcomes, strict=True):
            answer(submission, outcome)
    return recovery


def _batch(group: Sequence[Submission]) -> Batch:
    if len(group) == 1:  # nearly always: no lists are made
        [one] = group
        return Batch((one.columns,), () if one.asked is None else (one.asked,))
    asked = [submission.asked for submission in group]
    return Batch(
        [submission.columns for submission in group], asked if asked.count(None) < len(asked) else ()
    )

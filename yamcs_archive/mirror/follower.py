"""A copy that follows a served instance: the same events, in the same commits, in the same order.

1. A page of the source's commits is stored in one step together with the source's cursor behind it: whichever
   side dies, and whenever, the copy goes on where it stands.
2. A copy is begun only in an instance that is empty, and goes on only with the source and the history that it
   has. Where it cannot, it stops, and what is there stays: a human decides.
3. What may pass by itself is waited for, longer each time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from yamcs_archive.archive import Archive
from yamcs_archive.credentials import Login
from yamcs_archive.errors import ArchiveError, ConflictError, InvalidInputError, NotAnArchiveError
from yamcs_archive.instance import Instance
from yamcs_archive.mirror.feed import Feed, FeedRefusedError, FeedUnavailableError
from yamcs_archive.results import MirrorState

_WAIT_S = 30
"""How long the source is asked to wait for something new."""
_PAUSE_S, _PAUSE_S_MAX = 0.5, 15.0
_NEWEST = "newest"
"""In place of a cursor: after everything that is stored."""
_HISTORY_STATUSES = (400, 409, 410)
"""What a source answers to a cursor that it does not know, or no longer."""


class OutOfStepError(ArchiveError):
    """Copy and source cannot be brought in step; ``conflict`` has both events where two differ."""

    def __init__(self, reason: str, conflict: ConflictError | None = None) -> None:
        super().__init__(f"{reason}; what is here stays as it is")
        self.conflict = conflict


@dataclass(frozen=True)
class Progress:
    """How far a copy has come."""

    instance: str
    events: int
    """Taken over since this began."""
    time: int | None
    """When the last commit that was taken over was made at the source, microseconds since 1970."""
    behind: bool
    """Whether the source may have more than it answered with; else the two are in step."""
    trouble: str | None = None
    """Why it waits, when it does."""


def begin_mirror(instance: Instance, url: str, name: str) -> MirrorState:
    """Make an empty instance a mirror, or go on with one; return where it stands.

    From here on nothing else may be appended. Raises :class:`OutOfStepError` for a mirror of another source,
    and for an instance that has events of its own.
    """
    state = instance.mirrored
    if state is None:
        if next(instance.changes(), None) is not None:
            raise OutOfStepError(f"instance {instance.name} has events of its own")
        state = MirrorState(url, name, None)
        instance.take_over([], state)
    elif (state.url, state.instance) != (url, name):
        raise OutOfStepError(
            f"instance {instance.name} is a mirror of {state.instance} at {state.url}, and of no other"
        )
    return state


def not_here(data: Path, names: Sequence[str]) -> list[str]:
    """Return the names of which the archive in a directory has no instance; makes nothing.

    >>> from pathlib import Path
    >>> not_here(Path("nosuch"), ["simulator"])
    ['simulator']
    """
    try:
        with Archive.open(data, readonly=True) as archive:
            return sorted(set(names).difference(archive.instances()))
    except NotAnArchiveError:  # if it cannot become one, opening it for writing says so
        return sorted(set(names))


def check_source(url: str, names: Sequence[str], login: Login | None = None) -> None:
    """Raise if those instances cannot be copied. Called before any copy is made: it would be one of nothing.

    InvalidInputError for a name that the source does not have, FeedRefusedError if it serves no changes, as a
    Yamcs server does not, FeedUnavailableError if it does not answer.
    """
    if not names:
        return
    with closing(Feed(url, "", login)) as feed:
        there = feed.instances()
    for name in names:
        if name not in there:
            raise InvalidInputError(
                "instance", name, f"is not one of those at {url}: {', '.join(there) or 'none yet'}"
            )
        with closing(Feed(url, name, login)) as feed:
            feed.page(_NEWEST)


def await_source(url: str, name: str, say: Callable[[Progress], None], login: Login | None = None) -> None:
    """Do what :func:`check_source` does; ask a source that does not answer again, at longer intervals."""
    pause_s = _PAUSE_S
    while True:
        try:
            check_source(url, [name], login)
            return
        except FeedUnavailableError as error:
            say(Progress(name, 0, None, behind=True, trouble=str(error)))
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _PAUSE_S_MAX)


class Follower:
    """Takes over what a source has and gets, into an instance that :func:`begin_mirror` has seen."""

    def __init__(
        self, feed: Feed, instance: Instance, state: MirrorState, say: Callable[[Progress], None]
    ) -> None:
        self._feed, self._instance, self._state, self._say = feed, instance, state, say
        self._stopping = threading.Event()
        self._events = 0
        self._newest: int | None = None

    def stop(self) -> None:
        """End :meth:`run` on its thread soon; idempotent."""
        self._stopping.set()
        self._feed.end()

    def run(self, *, once: bool = False) -> None:
        """Follow until :meth:`stop`, or with ``once`` until the two are in step.

        Raises OutOfStepError, FeedRefusedError for an instance that is not there and the like, and what the
        copy's medium raises; not for a source that does not answer, which is asked again.
        """
        try:
            self._run(once)
        finally:
            self._feed.close()

    def _run(self, once: bool) -> None:
        behind, pause_s = True, _PAUSE_S
        while not self._stopping.is_set():
            try:
                behind = self._take(0 if behind or once else _WAIT_S)
            except FeedUnavailableError as error:
                if self._stopping.is_set():
                    return
                self._tell(behind=behind, trouble=str(error))
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, _PAUSE_S_MAX)
                continue
            pause_s = _PAUSE_S
            self._tell(behind=behind)
            if once and not behind:
                return

    def _take(self, wait_s: float) -> bool:
        """Take one page over; return whether there may be more."""
        try:
            page = self._feed.page(self._state.cursor, wait_s=wait_s)
            if not page.commits:
                self._renew(page.cursor)
                return False
            state = MirrorState(self._state.url, self._state.instance, page.cursor)
            self._instance.take_over(page.commits, state)
        except FeedRefusedError as error:
            if error.status in _HISTORY_STATUSES:
                raise OutOfStepError(_other_history(error)) from None
            raise
        except ConflictError as error:
            raise OutOfStepError(f"{self._feed.url} has another event: {error}", error) from None
        self._state = state
        self._events += sum(len(commit.events) for commit in page.commits)
        self._newest = page.commits[-1].time
        return True

    def _renew(self, cursor: str) -> None:
        """Note the source's new cursor for the same place: one of an earlier version has no fingerprint."""
        if self._state.cursor is not None and cursor != self._state.cursor:
            state = MirrorState(self._state.url, self._state.instance, cursor)
            self._instance.take_over([], state)
            self._state = state

    def _tell(self, *, behind: bool, trouble: str | None = None) -> None:
        self._say(Progress(self._instance.name, self._events, self._newest, behind, trouble))


def _other_history(error: FeedRefusedError) -> str:
    """Return what it means that the source refuses the cursor that it gave out."""
    if error.kind != "OtherHistoryException":
        return str(error)
    commit = error.detail.get("commit")
    since = (
        ": it was restored or made anew"
        if commit is None
        else f" since commit {commit} or before: it was put back to an older state"
    )
    return f"the source has another history{since} ({error.url} answered {error.status} {error.kind})"

"""A copy that follows a served instance: the same events, in the same commits, in the same order.

1. A page of the source's commits is stored in one transaction together with the source's cursor after it. So
   the copy continues from its last page after a crash of either side at any time.
2. A copy is begun only in an empty instance, and continues only with the same source and the same history.
   Otherwise it stops and keeps its events: a human decides.
3. After a fault that may pass, it tries again, at longer intervals each time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yamcs_archive.archive import Archive
from yamcs_archive.client import Client, RemoteInstance
from yamcs_archive.client.instance import NEWEST
from yamcs_archive.credentials import Credentials
from yamcs_archive.errors import (
    ArchiveError,
    BadCursorError,
    ConflictError,
    CursorGoneError,
    InvalidInputError,
    NotAnArchiveError,
    OtherHistoryError,
    ServerUnavailableError,
)
from yamcs_archive.instance import Instance
from yamcs_archive.results import MirrorState

_WAIT_S = 30
"""Seconds that the source is asked to wait for new commits."""
_PAUSE_S, _PAUSE_S_MAX = 0.5, 15.0


class OutOfStepError(ArchiveError):
    """The copy cannot follow the source; ``conflict`` has both events if two of one key differ."""

    def __init__(self, reason: str, conflict: ConflictError | None = None) -> None:
        super().__init__(f"{reason}; the instance here is not changed")
        self.conflict = conflict


@dataclass(frozen=True)
class Progress:
    """The progress of a copy."""

    instance: str
    events: int
    """Events that were taken over since the follower began."""
    time: int | None
    """Time of the last commit that was taken over, at the source, in microseconds since 1970."""
    behind: bool
    """Whether the source may have more commits than it answered with; otherwise the two are in step."""
    trouble: str | None = None
    """The reason why it waits, if it does."""


def begin_mirror(instance: Instance, url: str, name: str) -> MirrorState:
    """Make an empty instance a mirror, or continue one; return its state.

    From here on, nothing else may be appended to it. Raises :class:`OutOfStepError` for a mirror of another
    source, and for an instance that has events of its own.
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
    """Return those of the names that are no instance of the archive in a directory; creates nothing.

    >>> from pathlib import Path
    >>> not_here(Path("nosuch"), ["simulator"])
    ['simulator']
    """
    try:
        with Archive.open(data, readonly=True) as archive:
            return sorted(set(names).difference(archive.instances()))
    except NotAnArchiveError:  # if it cannot become one, opening it for writing raises
        return sorted(set(names))


def connected(url: str, credentials: Credentials | None) -> Client:
    """Return a client that asks once: the follower asks a source again, at longer intervals."""
    return Client(url, credentials=credentials, retries=0)


def check_source(url: str, names: Sequence[str], credentials: Credentials | None = None) -> None:
    """Raise if those instances cannot be copied. Called before a copy is made, which would stay empty.

    Raises InvalidInputError for a name that the source does not have, ServerRefusedError if it serves no
    changes (as a Yamcs server does not), ServerUnavailableError if it does not answer.
    """
    if not names:
        return
    with connected(url, credentials) as client:
        there = client.instances()
        for name in names:
            if name not in there:
                raise InvalidInputError(
                    "instance", name, f"is not one of those at {url}: {', '.join(there) or 'none yet'}"
                )
            client.instance(name, check=False).page(NEWEST)


def await_source(
    url: str, name: str, say: Callable[[Progress], None], credentials: Credentials | None = None
) -> None:
    """Check as :func:`check_source` does; if the source does not answer, try again, at longer intervals."""
    pause_s = _PAUSE_S
    while True:
        try:
            check_source(url, [name], credentials)
            return
        except ServerUnavailableError as error:
            say(Progress(name, 0, None, behind=True, trouble=str(error)))
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _PAUSE_S_MAX)


class Follower:
    """Takes over the commits of a source, and then its new ones, into an instance of :func:`begin_mirror`."""

    def __init__(
        self, source: RemoteInstance, instance: Instance, state: MirrorState, say: Callable[[Progress], None]
    ) -> None:
        """``source`` has a client of its own, because :meth:`stop` ends all requests of that client."""
        self._source, self._instance, self._state, self._say = source, instance, state, say
        self._stopping = threading.Event()
        self._events = 0
        self._newest: int | None = None
        self._in_step = False
        self._in_step_s = time.monotonic()
        """When the two were last in step; at first, when this was made."""

    def lag_s(self) -> float:
        """Return how long ago the copy last had everything that its source has; 0 if it has now.

        A source that does not answer may have more. For any thread.
        """
        return 0.0 if self._in_step else time.monotonic() - self._in_step_s

    def stop(self) -> None:
        """End :meth:`run` on its thread soon; idempotent."""
        self._stopping.set()
        self._source.end()

    def run(self, *, once: bool = False) -> None:
        """Follow until :meth:`stop`, or with ``once`` until the two are in step.

        Raises OutOfStepError, UnknownInstanceError, ServerRefusedError, and the errors of the copy's medium.
        A source that does not answer is asked again.
        """
        try:
            self._run(once)
        finally:
            self._in_step = False
            self._source.close()

    def _run(self, once: bool) -> None:
        behind, pause_s = True, _PAUSE_S
        while not self._stopping.is_set():
            try:
                behind = self._take(0 if behind or once else _WAIT_S)
            except ServerUnavailableError as error:
                if self._stopping.is_set():
                    return
                self._tell(behind=behind, trouble=str(error))
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, _PAUSE_S_MAX)
                continue
            pause_s = _PAUSE_S
            if self._in_step:  # until this answer came
                self._in_step_s = time.monotonic()
            self._tell(behind=behind)
            if once and not behind:
                return

    def _take(self, wait_s: float) -> bool:
        """Take over one page; return whether there may be more."""
        try:
            page = self._source.page(self._state.cursor, wait_s=wait_s)
            if not page.commits:
                self._renew(page.cursor)
                return False
            state = MirrorState(self._state.url, self._state.instance, page.cursor)
            self._instance.take_over(page.commits, state)
        except OtherHistoryError as error:
            raise OutOfStepError(_other_history(error, self._source.url)) from None
        except (BadCursorError, CursorGoneError) as error:
            raise OutOfStepError(f"{self._source.url} answered: {error}") from None
        except ConflictError as error:
            raise OutOfStepError(f"{self._source.url} has another event: {error}", error) from None
        self._state = state
        self._events += sum(len(commit.events) for commit in page.commits)
        self._newest = page.commits[-1].time
        return True

    def _renew(self, cursor: str) -> None:
        """Store the source's new cursor for the same place: one of an earlier version has no fingerprint."""
        if self._state.cursor is not None and cursor != self._state.cursor:
            state = MirrorState(self._state.url, self._state.instance, cursor)
            self._instance.take_over([], state)
            self._state = state

    def _tell(self, *, behind: bool, trouble: str | None = None) -> None:
        self._in_step = not behind and trouble is None
        if self._in_step:
            self._in_step_s = time.monotonic()
        self._say(Progress(self._instance.name, self._events, self._newest, behind, trouble))


def _other_history(error: OtherHistoryError, url: str) -> str:
    """Return the reason why the source refuses a cursor that it gave out."""
    since = (
        ": it was restored or made anew"
        if error.commit is None
        else f" since commit {error.commit} or before: it was put back to an older state"
    )
    return f"the source has another history{since} ({url} answered 409 OtherHistoryException)"

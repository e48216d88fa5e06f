"""A copy that follows a served instance: the same events, in the same commits, in the same order.

1. A page of the source's commits is stored in one step together with the source's cursor behind it: whichever
   side dies, and whenever, the copy goes on where it stands.
2. A copy is begun only in an instance that is empty, and goes on only with the source and the history that it
   has. Where it cannot, it stops, and what is there stays: a human decides.
3. What may pass by itself is waited for, longer each time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError, ConflictError, InvalidInputError
from yamcs_archive.instance import Instance
from yamcs_archive.login import Login
from yamcs_archive.mirror.feed import Feed, FeedRefusedError, FeedUnavailableError
from yamcs_archive.results import MirrorState

_WAIT_S = 30
"""How long the source is asked to wait for something new."""
_PAUSE_S, _PAUSE_S_MAX = 0.5, 15.0
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


def refuse_slips(archive: Archive, url: str, names: Sequence[str], login: Login | None = None) -> None:
    """Raise InvalidInputError for a name that the archive does not have yet, and the source neither.

    Before a copy is made, which would be one of nothing. A source that does not answer is waited for.
    """
    new = set(names).difference(archive.instances())
    if not new:
        return
    with closing(Feed(url, "", login)) as feed:
        try:
            there = feed.instances()
        except FeedUnavailableError:
            return
    for name in sorted(new.difference(there)):
        raise InvalidInputError(
            "instance", name, f"is not one of those at {url}: {', '.join(there) or 'none yet'}"
        )


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
                return False
            state = MirrorState(self._state.url, self._state.instance, page.cursor)
            self._instance.take_over(page.commits, state)
        except FeedRefusedError as error:
            if error.status in _HISTORY_STATUSES:
                raise OutOfStepError(str(error)) from None
            raise
        except ConflictError as error:
            raise OutOfStepError(f"{self._feed.url} has another event: {error}", error) from None
        self._state = state
        self._events += sum(len(commit.events) for commit in page.commits)
        self._newest = page.commits[-1].time
        return True

    def _tell(self, *, behind: bool, trouble: str | None = None) -> None:
        self._say(Progress(self._instance.name, self._events, self._newest, behind, trouble))

"""A copy that follows a served instance: the same events, in the same commits, in the same order.

1. A page of the source's commits is stored in one step together with the source's cursor behind it: whichever
   side dies, and whenever, the copy goes on where it stands.
2. A copy is begun only in an instance that is empty, and goes on only with the history that it has: a cursor
   that the source refuses is for a human to decide about.
3. What may pass by itself is waited for, longer each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.instance import Instance
from yamcs_archive.mirror.feed import Feed, FeedUnavailableError
from yamcs_archive.results import MirrorState

_WAIT_S = 30
"""How long the source is asked to wait for something new."""
_PAUSE_S, _PAUSE_S_MAX = 0.5, 15.0


@dataclass(frozen=True)
class Progress:
    """How far a copy has come."""

    events: int
    """Taken over since this began."""
    time: int | None
    """When the last commit that is stored here was made at the source, microseconds since 1970."""
    behind: bool
    """Whether the source had more than it answered with; else the two are in step."""
    trouble: str | None = None
    """Why it waits, when it does."""


def check_mirror(instance: Instance, url: str, name: str) -> MirrorState:
    """Return where the copy of an instance goes on; InvalidInputError when it is another's, or no copy."""
    state = instance.mirrored
    if state is None:
        if next(instance.changes(), None) is not None:
            raise InvalidInputError(
                "instance", instance.name, "has events of its own; a mirror is begun in an empty instance"
            )
        return MirrorState(url, name, None)
    if (state.url, state.instance) != (url, name):
        raise InvalidInputError(
            "instance", instance.name, f"is a mirror of {state.instance} at {state.url}, and of no other"
        )
    return state


def follow(
    feed: Feed, instance: Instance, state: MirrorState, say: Callable[[Progress], None], *, once: bool = False
) -> None:
    """Take over what the source has and gets, for ever, or with ``once`` until the two are in step.

    Raises ConflictError, FeedRefusedError, and what the instance's medium raises; not for a source that does
    not answer, which is asked again.
    """
    events, newest, pause_s = 0, None, _PAUSE_S
    instance.take_over([], state)  # from here on it is a mirror, whether the source answers or not
    behind = True
    while True:
        try:
            page = feed.page(state.cursor, wait_s=0 if behind or once else _WAIT_S)
        except FeedUnavailableError as error:
            say(Progress(events, newest, behind, str(error)))
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S_MAX)
            continue
        pause_s, behind = _PAUSE_S, bool(page.commits)
        if page.commits:
            state = MirrorState(state.url, state.instance, page.cursor)
            instance.take_over(page.commits, state)
            events += sum(len(commit.events) for commit in page.commits)
            newest = page.commits[-1].time
        say(Progress(events, newest, behind))
        if once and not behind:
            return

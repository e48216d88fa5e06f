"""Events in arrival order, after a cursor, and the passage from history to new events.

Every event is shown once. An event that is stored while history is read may still be part of it, or may
arrive too late for that. So the arrivals are read at intervals meanwhile; after history come those of them
that history did not show.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from yamcs_archive.cli.event_query import LogRequest
from yamcs_archive.cli.target import Target
from yamcs_archive.errors import ServerUnavailableError
from yamcs_archive.event import Event, EventKey
from yamcs_archive.instance import Instance
from yamcs_archive.results import Commit

_LOOK_EVENTS = 1_000
_PAUSE_S = 1.0
_WAIT_S = 30
"""Seconds that a server may wait for new events before it answers; proxies cut off longer waits."""


def commits(target: Target, after: str, *, wait: bool) -> Iterator[Commit]:
    """Yield the commits after a cursor. With ``wait``, first wait for one; there may still be none."""
    if not isinstance(target, Instance):
        return target.commits(after, wait_s=_WAIT_S if wait else 0)
    if wait:
        target.arrival(after).result()
    return target.commits(after)


class Tail:
    """The events that match a query, and the cursor after the last commit that was read."""

    def __init__(self, target: Target, wanted: LogRequest, cursor: str | None) -> None:
        self._target, self._wanted = target, wanted
        self.cursor = target.cursor() if cursor is None else cursor
        self.following = False
        """Whether all stored events were read, and new ones are awaited."""
        self._told = False

    def stored(self, *, wait: bool = False) -> Iterator[Event]:
        """Yield the events after the cursor, in arrival order, and move the cursor."""
        for commit in commits(self._target, self.cursor, wait=wait):
            yield from filter(self._wanted.fits, commit.events)
            self.cursor = commit.cursor

    def history(self, *, follow: bool) -> Iterator[Event]:
        """Yield the history; with ``follow``, also the events stored meanwhile, and move the cursor."""
        if not follow:
            yield from self._wanted.read(self._target)
            return
        late: dict[EventKey, Event] = {}
        shown: list[EventKey] = []
        looked = self.cursor
        for event in self._wanted.read(self._target):
            yield event
            shown.append(event.key)
            if len(shown) >= _LOOK_EVENTS:
                looked = self._look(looked, late, shown)
        looked = self._look(looked, late, shown)
        yield from late.values()
        self.cursor = looked

    def _look(self, cursor: str, late: dict[EventKey, Event], shown: list[EventKey]) -> str:
        """Collect the events after a cursor in ``late``, without those shown; return the new cursor."""
        while True:
            try:
                for commit in commits(self._target, cursor, wait=False):
                    late.update((event.key, event) for event in filter(self._wanted.fits, commit.events))
                    cursor = commit.cursor
                break
            except ServerUnavailableError as error:
                self._tell(error)
        self._told = False
        for key in shown:
            late.pop(key, None)
        shown.clear()
        return cursor

    def arrivals(self) -> Iterator[Event]:
        """Yield new events for ever; if a server does not answer, ask it again."""
        self.following = True
        while True:
            try:
                yield from self.stored(wait=True)
                self._told = False
            except ServerUnavailableError as error:
                self._tell(error)

    def _tell(self, error: ServerUnavailableError) -> None:
        """Report once that the server does not answer, and wait for a second."""
        if not self._told:
            print(f"yamcs-archive: {error}; trying again", file=sys.stderr, flush=True)
        self._told = True
        time.sleep(_PAUSE_S)

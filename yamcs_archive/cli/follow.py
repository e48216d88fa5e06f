"""Behind a cursor: what was stored, what is being stored, and history that goes over into it.

Every event is shown once. One that is stored while history is read may stand in it, or come too late for its
place; so arrivals are looked at beside the reading, and those that history showed are left out behind it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

from yamcs_archive.cli.event_query import LogRequest
from yamcs_archive.cli.target import Place
from yamcs_archive.client import RemoteInstance
from yamcs_archive.errors import ServerUnavailableError
from yamcs_archive.event import Event, EventKey
from yamcs_archive.results import Commit

_LOOK_EVENTS = 1_000
_PAUSE_S = 1.0
_WAIT_S = 30
"""How long a server is asked to wait for something new: shorter than what proxies cut off."""


def commits(place: Place, after: str, *, wait: bool) -> Iterator[Commit]:
    """Yield what was stored after a cursor. With ``wait`` some time may pass first; it may end without."""
    if isinstance(place, RemoteInstance):
        return place.commits(after, wait_s=_WAIT_S if wait else 0)
    if wait:
        place.arrival(after).result()
    return place.commits(after)


class Tail:
    """Events that are wanted, and the cursor behind what was taken of them."""

    def __init__(self, place: Place, wanted: LogRequest, cursor: str | None) -> None:
        self._place, self._wanted = place, wanted
        self.cursor = place.cursor() if cursor is None else cursor
        self.following = False
        """Whether all that was stored before was taken, and what comes is waited for."""
        self._told = False

    def stored(self, *, wait: bool = False) -> Iterator[Event]:
        """Yield what was stored behind the cursor, in the order of arrival, and move the cursor."""
        for commit in commits(self._place, self.cursor, wait=wait):
            yield from filter(self._wanted.fits, commit.events)
            self.cursor = commit.cursor

    def history(self, *, follow: bool) -> Iterator[Event]:
        """Yield what was stored before; if followed, what was stored meanwhile too, and move the cursor."""
        if not follow:
            yield from self._wanted.read(self._place)
            return
        late: dict[EventKey, Event] = {}
        taken: list[EventKey] = []
        looked = self.cursor
        for event in self._wanted.read(self._place):
            yield event
            taken.append(event.key)
            if len(taken) >= _LOOK_EVENTS:
                looked = self._look(looked, late, taken)
        looked = self._look(looked, late, taken)
        yield from late.values()
        self.cursor = looked

    def _look(self, cursor: str, late: dict[EventKey, Event], taken: list[EventKey]) -> str:
        """Take in what was stored behind a cursor, but for what was shown; return the cursor behind it."""
        while True:
            try:
                for commit in commits(self._place, cursor, wait=False):
                    late.update((event.key, event) for event in filter(self._wanted.fits, commit.events))
                    cursor = commit.cursor
                break
            except ServerUnavailableError as error:
                self._tell(error)
        self._told = False
        for key in taken:
            late.pop(key, None)
        taken.clear()
        return cursor

    def arrivals(self) -> Iterator[Event]:
        """Yield what is stored from now on, for ever; a server that does not answer is asked again."""
        self.following = True
        while True:
            try:
                yield from self.stored(wait=True)
                self._told = False
            except ServerUnavailableError as error:
                self._tell(error)

    def _tell(self, error: ServerUnavailableError) -> None:
        """Say once that the server does not answer, and wait a moment before it is asked again."""
        if not self._told:
            print(f"yamcs-archive: {error}; trying again", file=sys.stderr, flush=True)
        self._told = True
        time.sleep(_PAUSE_S)

"""Behind a cursor: what was stored, what is being stored, and history that goes over into it.

Every event is shown once. One that is stored while history is read may stand in it, or come too late for its
place; so arrivals are looked at beside the reading, and those that history showed are left out behind it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from yamcs_archive.cli.event_query import LogRequest
from yamcs_archive.cli.remote_target import key_of
from yamcs_archive.cli.target import Place
from yamcs_archive.event import Event, EventKey
from yamcs_archive.mirror.feed import FeedUnavailableError
from yamcs_archive.wire.form import Form
from yamcs_archive.wire.json import shown

_LOOK_EVENTS = 1_000
_PAUSE_S = 1.0

Shown = Mapping[str, Any]
"""An event as today's JSON shows it."""


class Tail:
    """Events that are wanted, and the cursor behind what was taken of them."""

    def __init__(self, place: Place, wanted: LogRequest, cursor: str | None) -> None:
        self._place, self._wanted = place, wanted
        self.cursor = place.newest() if cursor is None else cursor
        self.following = False
        """Whether all that was stored before was taken, and what comes is waited for."""
        self._told = False

    def stored(self, *, wait: bool = False) -> Iterator[Shown]:
        """Yield what was stored behind the cursor, in the order of arrival, and move the cursor."""
        for events, cursor in self._place.commits(self.cursor, wait=wait):
            for event in events:
                if self._wanted.fits(event):
                    yield shown(event, Form.TODAY)
            self.cursor = cursor

    def history(self, *, follow: bool) -> Iterator[Shown]:
        """Yield what was stored before; if followed, what was stored meanwhile too, and move the cursor."""
        if not follow:
            yield from self._place.log(self._wanted)
            return
        late: dict[EventKey, Event] = {}
        taken: list[EventKey] = []
        looked = self.cursor
        for event in self._place.log(self._wanted):
            yield event
            taken.append(key_of(event))
            if len(taken) >= _LOOK_EVENTS:
                looked = self._look(looked, late, taken)
        looked = self._look(looked, late, taken)
        for stored in late.values():
            yield shown(stored, Form.TODAY)
        self.cursor = looked

    def _look(self, cursor: str, late: dict[EventKey, Event], taken: list[EventKey]) -> str:
        """Take in what was stored behind a cursor, but for what was shown; return the cursor behind it."""
        while True:
            try:
                for events, behind in self._place.commits(cursor, wait=False):
                    late.update((event.key, event) for event in events if self._wanted.fits(event))
                    cursor = behind
                break
            except FeedUnavailableError as error:
                self._tell(error)
        self._told = False
        for key in taken:
            late.pop(key, None)
        taken.clear()
        return cursor

    def arrivals(self) -> Iterator[Shown]:
        """Yield what is stored from now on, for ever; a server that does not answer is asked again."""
        self.following = True
        while True:
            try:
                yield from self.stored(wait=True)
                self._told = False
            except FeedUnavailableError as error:
                self._tell(error)

    def _tell(self, error: FeedUnavailableError) -> None:
        """Say once that the server does not answer, and wait a moment before it is asked again."""
        if not self._told:
            print(f"yamcs-archive: {error}; trying again", file=sys.stderr, flush=True)
        self._told = True
        time.sleep(_PAUSE_S)

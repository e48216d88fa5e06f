"""What an application knows of itself beside the archive, for ``/metrics``: plain numbers, read at a scrape.

Requests are counted by the template of their path and by their status, never by what a client sent: however
many paths clients ask for, there are as many counters as routes and statuses.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from yamcs_archive.activity import MirrorLag

OTHER = "other"
"""In place of a route: a path that is none."""


class RequestCounts:
    """The number of answers by route and status. Safe to use from many threads.

    >>> requests = RequestCounts()
    >>> requests.note("/healthz", 200), requests.note("", 404), requests.by_route()
    (None, None, {('/healthz', 200): 1, ('other', 404): 1})
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._counts: dict[tuple[str, int], int] = {}

    def note(self, route: str, status: int) -> None:
        """Count an answer; ``route`` is the template of its path, empty if there is none."""
        answered = route or OTHER, status
        with self._guard:
            self._counts[answered] = self._counts.get(answered, 0) + 1

    def by_route(self) -> dict[tuple[str, int], int]:
        """Return the counts."""
        with self._guard:
            return self._counts.copy()


@dataclass(frozen=True, slots=True)
class LiveState:
    """The live updates of a server at this moment."""

    websockets: int = 0
    queued_bytes: int = 0
    """Bytes that wait for clients."""
    subscribers: Mapping[str, int] = field(default_factory=dict)
    """Subscriptions by instance."""
    cut_off: Mapping[str, int] = field(default_factory=dict)
    """Subscriptions that were ended because their client was too slow, by instance: each missed what was
    stored from then on."""


def _no_live() -> LiveState:
    return LiveState()


def _no_mirrors() -> Sequence[MirrorLag]:
    return ()


class Observation:
    """The counters of one application, and where to ask for what others know.

    ``live`` and ``mirrors`` are replaced by who has live updates, and copies that follow a source.
    """

    def __init__(self) -> None:
        self.requests = RequestCounts()
        self.live: Callable[[], LiveState] = _no_live
        self.mirrors: Callable[[], Sequence[MirrorLag]] = _no_mirrors
        self.collector: object = None
        """What ``handlers.metrics`` keeps between two scrapes."""

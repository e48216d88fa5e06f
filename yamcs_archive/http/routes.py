"""Which route is served where."""

from __future__ import annotations

import re
from collections.abc import Mapping

from yamcs_archive.http.creating import create_event, create_events
from yamcs_archive.http.describing import get_instance, healthz, list_instances, readyz, server_info
from yamcs_archive.http.listing import (
    export_events,
    list_events,
    list_events_posted,
    list_sources,
    stream_events,
)
from yamcs_archive.http.requests import Route

_TABLE: tuple[tuple[re.Pattern[str], tuple[Route, ...]], ...] = tuple(
    (re.compile(path.replace("{instance}", "(?P<instance>[^/:]+)") + "/?"), routes)
    for path, routes in (
        ("/api/archive/{instance}/events", (Route("GET", list_events), Route("POST", create_event))),
        ("/api/archive/{instance}/events:batch", (Route("POST", create_events, streams=True),)),
        ("/api/archive/{instance}/events:list", (Route("POST", list_events_posted),)),
        ("/api/archive/{instance}/events/sources", (Route("GET", list_sources),)),
        ("/api/stream-archive/{instance}:streamEvents", (Route("POST", stream_events),)),
        ("/api/archive/{instance}:exportEvents", (Route("GET", export_events),)),
        ("/api", (Route("GET", server_info),)),
        ("/api/instances", (Route("GET", list_instances),)),
        ("/api/instances/{instance}", (Route("GET", get_instance),)),
        ("/healthz", (Route("GET", healthz),)),
        ("/readyz", (Route("GET", readyz),)),
    )
)


def find(path: str) -> tuple[tuple[Route, ...], Mapping[str, str]]:
    """Return the routes of a path and the names in it; no routes for an unknown path.

    >>> routes, names = find("/api/archive/sim/events/")
    >>> [route.method for route in routes], names
    (['GET', 'POST'], {'instance': 'sim'})
    """
    for pattern, routes in _TABLE:
        match = pattern.fullmatch(path)
        if match is not None:
            return routes, match.groupdict()
    return (), {}

"""The routes: each path with its methods, their handlers, and what a handler needs.

A new route also needs its entry in docs/openapi.yaml and its line in docs/http.md: tests name those missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from yamcs_archive.errors import shown
from yamcs_archive.http.errors import HttpError
from yamcs_archive.http.handlers.append import create_event, create_events
from yamcs_archive.http.handlers.changes import list_changes
from yamcs_archive.http.handlers.event_index import list_event_index, stream_event_index
from yamcs_archive.http.handlers.history import (
    count_events,
    count_events_posted,
    export_events,
    list_events,
    list_events_posted,
    list_sources,
    stream_events,
)
from yamcs_archive.http.handlers.server import (
    auth_info,
    describe_api,
    get_instance,
    healthz,
    list_instances,
    open_websocket,
    readyz,
    server_info,
    user_info,
)
from yamcs_archive.http.messages import Head, Work
from yamcs_archive.http.request import Route

WEBSOCKET = "/api/websocket"

PATHS: Mapping[str, tuple[Route, ...]] = {
    "/api/archive/{instance}/events": (
        Route("GET", list_events, forms=True),
        Route("POST", create_event, work=Work.QUICK),
    ),
    "/api/archive/{instance}/events:batch": (Route("POST", create_events, streams=True),),
    "/api/archive/{instance}/events:changes": (Route("GET", list_changes, forms=True),),
    "/api/archive/{instance}/events:list": (Route("POST", list_events_posted),),
    "/api/archive/{instance}/events:count": (
        Route("GET", count_events, unbounded=True),
        Route("POST", count_events_posted, unbounded=True),
    ),
    "/api/archive/{instance}/events/sources": (Route("GET", list_sources),),
    "/api/archive/{instance}/event-index": (Route("GET", list_event_index),),
    "/api/archive/{instance}:streamEventIndex": (Route("POST", stream_event_index, unbounded=True),),
    "/api/stream-archive/{instance}:streamEvents": (Route("POST", stream_events, unbounded=True),),
    "/api/archive/{instance}:exportEvents": (Route("GET", export_events, unbounded=True),),
    "/api": (Route("GET", server_info),),
    "/auth": (Route("GET", auth_info),),
    "/api/user": (Route("GET", user_info),),
    "/api/openapi.json": (Route("GET", describe_api),),
    WEBSOCKET: (Route("GET", open_websocket),),
    "/api/instances": (Route("GET", list_instances),),
    "/api/instances/{instance}": (Route("GET", get_instance),),
    "/healthz": (Route("GET", healthz, work=Work.QUICK),),
    "/readyz": (Route("GET", readyz),),
}
"""The routes of each path."""

_TABLE = tuple(
    (re.compile(path.replace("{instance}", "(?P<instance>[^/:]+)") + "/?"), routes)
    for path, routes in PATHS.items()
)


def find(path: str) -> tuple[tuple[Route, ...], Mapping[str, str]]:
    """Return the routes of a path and the names in it; no routes for an unknown path.

    >>> routes, names = find("/api/archive/sim/events/")
    >>> [route.method for route in routes], names
    (['GET', 'POST'], {'instance': 'sim'})
    """
    return _find(path) if len(path) <= _KEPT_CHARACTERS_MAX else _find.__wrapped__(path)


_KEPT, _KEPT_CHARACTERS_MAX = 256, 200
"""Number of remembered paths, and characters of the longest: clients ask for a few, again and again."""


@lru_cache(_KEPT)
def _find(path: str) -> tuple[tuple[Route, ...], Mapping[str, str]]:
    for pattern, routes in _TABLE:
        match = pattern.fullmatch(path)
        if match is not None:
            return routes, match.groupdict()
    return (), {}


def route_of(head: Head) -> tuple[Route, Mapping[str, str]]:
    """Return the route of a head, that of the GET for a HEAD, and the names in its path; HttpError."""
    routes, names = find(head.path)
    if not routes:
        text = f"no such path: {shown(head.path)} (see /api/openapi.json)"
        raise HttpError(404, "NotFoundException", text)
    method = "GET" if head.method == "HEAD" else head.method
    for route in routes:
        if route.method == method:
            return route, names
    allowed = allowed_methods(head.path)
    text = f"{shown(head.method)} {shown(head.path)}: use {allowed}"
    raise HttpError(405, "MethodNotAllowedException", text, (("allow", allowed),))


def allowed_methods(path: str, *, but: Route | None = None) -> str:
    """Return the methods of a path as headers list them, those of one route left out; HEAD wherever GET is.

    >>> allowed_methods("/api/archive/sim/events")
    'GET, HEAD, POST'
    """
    methods = {route.method for route in find(path)[0] if route is not but}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def below(mounted_at: str, path: str) -> str:
    """Return the path within this application, given a path of the server that it is mounted in.

    A mount ends at the end of a segment, with or without a slash after it. Some servers leave the mount in
    the path, others remove it: a path that is served as it is, but not without the mount, is kept.

    >>> below("/mount/", "/mount/api"), below("/mount", "/mountain/api"), below("/api", "/api/instances")
    ('/api', '/mountain/api', '/api/instances')
    """
    mount = mounted_at.rstrip("/")
    if not path.startswith("/"):  # its slash went with the mount
        path = f"/{path}"
    if not mount or not (path == mount or path.startswith(f"{mount}/")):
        return path
    rest = path[len(mount) :] or "/"
    return path if find(path)[0] and not find(rest)[0] else rest

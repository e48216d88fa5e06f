"""The table of routes: which handler serves which method of which path, and its part of the description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache, lru_cache

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
    get_instance,
    healthz,
    list_instances,
    open_websocket,
    own_version,
    readyz,
    server_info,
    user_info,
)
from yamcs_archive.http.messages import Head, Response, Work, reply
from yamcs_archive.http.openapi import describing, reading, storing
from yamcs_archive.http.openapi.document import document
from yamcs_archive.http.request import Request, Route
from yamcs_archive.wire import json
from yamcs_archive.wire.codec import JSON


def describe_api(_: Request) -> Response:
    """Answer the OpenAPI description of all that is served here."""
    return reply(JSON, description())


WEBSOCKET = "/api/websocket"

PATHS: Mapping[str, tuple[Route, ...]] = {
    "/api/archive/{instance}/events": (
        Route("GET", list_events, reading.LIST_EVENTS, forms=True),
        Route("POST", create_event, storing.CREATE_EVENT, work=Work.QUICK),
    ),
    "/api/archive/{instance}/events:batch": (
        Route("POST", create_events, storing.CREATE_EVENTS, streams=True),
    ),
    "/api/archive/{instance}/events:changes": (Route("GET", list_changes, reading.LIST_CHANGES, forms=True),),
    "/api/archive/{instance}/events:list": (Route("POST", list_events_posted, reading.LIST_EVENTS_POSTED),),
    "/api/archive/{instance}/events:count": (
        Route("GET", count_events, reading.COUNT_EVENTS, unbounded=True),
        Route("POST", count_events_posted, reading.COUNT_EVENTS_POSTED, unbounded=True),
    ),
    "/api/archive/{instance}/events/sources": (Route("GET", list_sources, reading.LIST_SOURCES),),
    "/api/archive/{instance}/event-index": (Route("GET", list_event_index, reading.LIST_EVENT_INDEX),),
    "/api/archive/{instance}:streamEventIndex": (
        Route("POST", stream_event_index, reading.STREAM_EVENT_INDEX, unbounded=True),
    ),
    "/api/stream-archive/{instance}:streamEvents": (
        Route("POST", stream_events, reading.STREAM_EVENTS, unbounded=True),
    ),
    "/api/archive/{instance}:exportEvents": (
        Route("GET", export_events, reading.EXPORT_EVENTS, unbounded=True),
    ),
    "/api": (Route("GET", server_info, describing.SERVER_INFO),),
    "/auth": (Route("GET", auth_info, describing.AUTH_INFO),),
    "/api/user": (Route("GET", user_info, describing.USER_INFO),),
    "/api/openapi.json": (Route("GET", describe_api, describing.OPENAPI),),
    WEBSOCKET: (Route("GET", open_websocket, describing.WEBSOCKET),),
    "/api/instances": (Route("GET", list_instances, describing.LIST_INSTANCES),),
    "/api/instances/{instance}": (Route("GET", get_instance, describing.GET_INSTANCE),),
    "/healthz": (Route("GET", healthz, describing.HEALTHZ, work=Work.QUICK),),
    "/readyz": (Route("GET", readyz, describing.READYZ),),
}
"""The routes of each path, each with its description in ``openapi``."""

_TABLE = tuple(
    (re.compile(path.replace("{instance}", "(?P<instance>[^/:]+)") + "/?"), routes)
    for path, routes in PATHS.items()
)


@cache
def description() -> bytes:
    """Return the OpenAPI document of all paths, as it is served.

    >>> description().decode().splitlines()[1]
    '  "openapi": "3.1.0",'
    """
    found = ((path, [(route.method, route.operation) for route in routes]) for path, routes in PATHS.items())
    return json.encode(document(found, own_version()))


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

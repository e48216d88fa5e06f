"""The routes: each path with its methods, their handlers, and what a handler needs.

A new route also needs an entry in docs/openapi.yaml and a line in docs/http.md: tests say what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from yamcs_archive.access.permissions import Permission
from yamcs_archive.errors import shown
from yamcs_archive.http.errors import HttpError
from yamcs_archive.http.handlers import (
    append,
    backup,
    beside_events,
    changes,
    diagnosis,
    event_index,
    history,
    instances,
    login,
    metrics,
    operations,
    otlp,
    reporting,
    retention,
    server,
)
from yamcs_archive.http.limits import LOGIN_BYTES_MAX
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Head, Pending, Response, Work
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.wire.codec import Codec
from yamcs_archive.wire.otlp_codec import otlp_codec


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    method: str
    handler: Callable[[Request], Response | Pending[Response]]
    work: Work = Work.PAGE
    """How much work the handler is."""
    streams: bool = False
    """The body may have any length and is read as it comes."""
    forms: bool = False
    """The query string may choose the form of the answer."""
    permission: Permission | None = None
    """What the caller must be permitted, for the instance in the path if any; None: a login is enough."""
    is_open: bool = False
    """Everybody may use it, without a login."""
    codec: Callable[[str], Codec] | None = None
    """Gives the codec of the answer, by the media type of the body; None: that of the API."""
    body_bytes_max: int = BODY_BYTES_MAX
    """Largest body, unless it ``streams``."""


_READ, _WRITE, _MANAGE = Permission.READ_EVENTS, Permission.WRITE_EVENTS, Permission.MANAGE_ARCHIVE
WEBSOCKET = "/api/websocket"

_OF_PROCESSOR = "/api/processors/{instance}/{processor}"
_BESIDE_EVENTS: Mapping[str, tuple[Route, ...]] = {
    "/api/processors": (Route("GET", beside_events.list_processors),),
    f"{_OF_PROCESSOR}/alarms": (Route("GET", beside_events.list_nothing, permission=_READ),),
    f"{_OF_PROCESSOR}/queues": (Route("GET", beside_events.list_queues, permission=_READ),),
    "/api/mdb/{instance}/space-systems": (Route("GET", beside_events.list_mdb, permission=_READ),),
    "/api/mdb/{instance}/parameters": (Route("GET", beside_events.list_mdb, permission=_READ),),
    "/api/mdb/{instance}/parameter-types": (Route("GET", beside_events.list_mdb, permission=_READ),),
    "/api/mdb/{instance}/containers": (Route("GET", beside_events.list_mdb, permission=_READ),),
    "/api/mdb/{instance}/commands": (Route("GET", beside_events.list_mdb, permission=_READ),),
    "/api/mdb/{instance}/algorithms": (Route("GET", beside_events.list_mdb, permission=_READ),),
    "/api/mdb-overrides/{instance}/{processor}": (
        Route("GET", beside_events.list_nothing, permission=_READ),
    ),
    "/api/links/{instance}": (Route("GET", beside_events.list_nothing, permission=_READ),),
    "/api/services/{instance}": (Route("GET", beside_events.list_nothing, permission=_READ),),
}
"""The routes about what an archive of events does not have: their answers are empty."""

PATHS: Mapping[str, tuple[Route, ...]] = {
    "/api/archive/{instance}/events": (
        Route("GET", history.list_events, forms=True, permission=_READ),
        Route("POST", append.create_event, Work.QUICK, permission=_WRITE),
    ),
    "/api/archive/{instance}/events:batch": (
        Route("POST", append.create_events, Work.LONG, streams=True, permission=_WRITE),
    ),
    "/api/archive/{instance}/v1/logs": (
        Route("POST", otlp.export_logs, Work.LONG, streams=True, permission=_WRITE, codec=otlp_codec),
    ),
    "/v1/logs": (
        Route("POST", otlp.export_logs_to_the_only_instance, Work.LONG, streams=True, codec=otlp_codec),
    ),
    "/api/archive/{instance}/events:changes": (
        Route("GET", changes.list_changes, forms=True, permission=_READ),
    ),
    "/api/archive/{instance}/events:list": (Route("POST", history.list_events, permission=_READ),),
    "/api/archive/{instance}/events:count": (
        Route("GET", history.count_events, Work.LONG, permission=_READ),
        Route("POST", history.count_events, Work.LONG, permission=_READ),
    ),
    "/api/archive/{instance}/events/sources": (Route("GET", history.list_sources, permission=_READ),),
    "/api/archive/{instance}/event-index": (Route("GET", event_index.list_event_index, permission=_READ),),
    "/api/archive/{instance}:streamEventIndex": (
        Route("POST", event_index.stream_event_index, Work.LONG, permission=_READ),
    ),
    "/api/stream-archive/{instance}:streamEvents": (
        Route("POST", history.stream_events, Work.LONG, permission=_READ),
    ),
    "/api/archive/{instance}:exportEvents": (
        Route("GET", history.export_events, Work.LONG, permission=_READ),
    ),
    "/api/archive/{instance}:verify": (
        Route("POST", operations.verify_instance, Work.LONG, permission=_MANAGE),
    ),
    "/api/archive/{instance}:prune": (Route("POST", retention.prune, Work.LONG, permission=_MANAGE),),
    "/api/archive/{instance}:compact": (Route("POST", retention.compact, Work.LONG, permission=_MANAGE),),
    "/api/archive/{instance}:backup": (Route("GET", backup.stream_backup, Work.LONG, permission=_READ),),
    "/api/archive/{instance}:report": (
        Route("GET", reporting.report_instance, Work.LONG, permission=_READ),
        Route("POST", reporting.report_instance, Work.LONG, permission=_READ),
    ),
    "/api/archive/{instance}:stats": (Route("GET", diagnosis.describe_instance, permission=_READ),),
    "/api/doctor": (Route("POST", diagnosis.examine, Work.LONG, permission=_MANAGE),),
    "/api": (Route("GET", server.server_info),),
    "/auth": (Route("GET", login.auth_info, is_open=True),),
    "/auth/token": (Route("POST", login.create_token, is_open=True, body_bytes_max=LOGIN_BYTES_MAX),),
    "/auth/session": (
        Route("POST", login.create_session, is_open=True, body_bytes_max=LOGIN_BYTES_MAX),
        Route("DELETE", login.end_session, is_open=True),
    ),
    "/api/user": (Route("GET", login.user_info),),
    "/api/openapi.json": (Route("GET", server.describe_api),),
    WEBSOCKET: (Route("GET", server.open_websocket),),
    "/api/instances": (Route("GET", server.list_instances),),
    "/api/instances/{instance}": (
        Route("GET", server.get_instance),
        Route("PUT", instances.create_instance, permission=_MANAGE),
        Route("DELETE", instances.delete_instance, permission=_MANAGE),
    ),
    "/api/instances/{instance}:rename": (Route("POST", instances.rename_instance, permission=_MANAGE),),
    "/healthz": (Route("GET", server.healthz, Work.QUICK, is_open=True),),
    "/readyz": (Route("GET", server.readyz, is_open=True),),
    "/metrics": (Route("GET", metrics.metrics, permission=Permission.READ_METRICS),),
    **_BESIDE_EVENTS,
}
"""The routes of each path."""

_TABLE = tuple(
    (re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/:]+)", path) + "/?"), routes)
    for path, routes in PATHS.items()
)


_PATH_OF = {id(routes): path for path, routes in PATHS.items()}
"""The path of some routes; they live as long as the module."""


def find(path: str) -> tuple[tuple[Route, ...], Mapping[str, str]]:
    """Return the routes of a path and the names in it; no routes for an unknown path.

    >>> routes, names = find("/api/archive/sim/events/")
    >>> [route.method for route in routes], names
    (['GET', 'POST'], {'instance': 'sim'})
    """
    return _find(path) if len(path) <= _CACHED_CHARACTERS_MAX else _find.__wrapped__(path)


_CACHED_MAX, _CACHED_CHARACTERS_MAX = 256, 200
"""Number of remembered paths, and length of the longest, in characters: clients repeat a few paths."""


@lru_cache(_CACHED_MAX)
def _find(path: str) -> tuple[tuple[Route, ...], Mapping[str, str]]:
    for pattern, routes in _TABLE:
        match = pattern.fullmatch(path)
        if match is not None:
            return routes, match.groupdict()
    return (), {}


def template_of(path: str) -> str:
    """Return the path of :data:`PATHS` that a path follows; "" for an unknown one.

    >>> template_of("/api/archive/sim/events/"), template_of("/nosuch")
    ('/api/archive/{instance}/events', '')
    """
    return _PATH_OF.get(id(find(path)[0]), "")


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
    """Return the methods of a path as a header lists them: HEAD wherever GET is, without the route ``but``.

    >>> allowed_methods("/api/archive/sim/events")
    'GET, HEAD, POST'
    """
    methods = {route.method for route in find(path)[0] if route is not but}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def below(mounted_at: str, path: str) -> str:
    """Return the path within this application, given the path on the server where it is mounted.

    A mount ends at the end of a segment, with or without a slash after it. Some servers remove the mount from
    the path, others do not. So a path is kept that is served as it is, but would not be without the mount.

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

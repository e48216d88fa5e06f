"""The routes about the server itself: its name and version, instances, description, health."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import cast

from yamcs_archive.access.callers import Caller
from yamcs_archive.access.permissions import Permission
from yamcs_archive.errors import ArchiveError, UnavailableError
from yamcs_archive.http.errors import HttpError, error_reply, forbidden
from yamcs_archive.http.readiness import readiness, unnamed
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response, reply
from yamcs_archive.times import now_us
from yamcs_archive.wire import json
from yamcs_archive.wire.codec import JSON
from yamcs_archive.wire.codecs import JSON_CODEC
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

YAMCS_VERSION = "5.12.8"
"""The version of the Yamcs server whose events API this is."""

_OF_INSTANCES = (Permission.READ_EVENTS, Permission.WRITE_EVENTS, Permission.MANAGE_ARCHIVE)
"""The permissions that are for instances."""


def server_info(request: Request) -> Response:
    """Answer which server this is: the first question of most clients."""
    names = [name for name in request.archive.instances() if _concerns(request.caller, name)]
    plugin = today.GetServerInfoResponse.PluginInfo(name="yamcs_archive", version=own_version())
    message = today.GetServerInfoResponse(
        yamcsVersion=YAMCS_VERSION,
        serverId=socket.gethostname(),
        defaultYamcsInstance=names[0] if names else None,
        plugins=[plugin],
    )
    return request.answer(message)


def own_version() -> str:
    """Return the version of this program; ``unknown`` if it is not installed."""
    try:
        return version("yamcs_archive")
    except PackageNotFoundError:  # a source tree on the path, not installed
        return "unknown"


def list_instances(request: Request) -> Response:
    """List the instances, as a Yamcs server does; those of which the caller may do something."""
    names = request.archive.instances()
    found = [_described(request, name) for name in names if _concerns(request.caller, name)]
    message = today.ListInstancesResponse(instances=found)
    return reply(request.codec.media, request.codec.message_with_lists(message))


def get_instance(request: Request) -> Response:
    """Describe one instance."""
    if not _concerns(request.caller, request.names["instance"]):
        raise forbidden(f"Missing system privilege '{Permission.READ_EVENTS}'")
    return request.answer(_described(request, request.instance().name))


def _described(request: Request, name: str) -> today.YamcsInstance:
    """Return the message of an instance; without its count if that cannot be read, so that it is listed."""
    message = today.YamcsInstance(name=name, state=today.YamcsInstance.RUNNING)
    message.missionTime.FromMilliseconds(now_us() // 1000)
    caller = request.caller
    if caller.allows(Permission.READ_EVENTS, name) and caller.sources(Permission.READ_EVENTS, name) is None:
        with suppress(ArchiveError):
            message.eventCount = request.archive.instance(name).count()
    return message


def _concerns(caller: Caller, name: str) -> bool:
    """Return whether a caller may do anything with an instance, and so may know of it."""
    return any(caller.allows(permission, name) for permission in _OF_INSTANCES)


def describe_api(_: Request) -> Response:
    """Describe all routes, in OpenAPI."""
    return reply(JSON, _description())


@cache
def _description() -> bytes:
    """Return the OpenAPI document, which docs/openapi.py writes from docs/openapi.yaml."""
    return files("yamcs_archive.http").joinpath("openapi.json").read_bytes()


def healthz(request: Request) -> Response:
    """Answer, which shows that the process runs; 503 for what only another process can cure."""
    if any(instance.writer_ended for instance in request.archive.open_instances()):
        why = "the writer of an instance has ended: restart the server; its log says why"
        raise HttpError(503, "ServiceUnavailableException", why)
    return reply(JSON, json.encode({"status": "ok"}))


def readyz(request: Request) -> Response:
    """Answer which instances can be read and which take events; 503 if the server is not ready."""
    found = readiness(request.services)
    if request.services.authentication is not None:  # everybody may ask, and names are for users
        found = unnamed(found)
    reasons = [reason.fields() for reason in found.reasons]
    if not found.ready:
        # Not a refusal for the log: probes come every few seconds, and would fill it.
        refused = error_reply(UnavailableError(found.reasons[0].text), JSON_CODEC)
        error = json.decode_object(cast(bytes, refused.body))  # it is no stream
        body = json.encode({**error, "status": "not ready", "reasons": reasons})
        return reply(JSON, body, refused.status, (("retry-after", "1"),))
    document = {
        "status": "ready",
        "instances": found.instances,
        "storing": found.storing,
        "reasons": reasons,
    }
    return reply(JSON, json.encode(document))


def open_websocket(request: Request) -> Response:
    """Refuse a request for live updates that is no WebSocket, or that came over WSGI."""
    if not request.services.live:
        raise HttpError(
            501, "NotImplementedException", "live updates need ASGI, and this server speaks WSGI: see --wsgi"
        )
    raise HttpError(
        426,
        "UpgradeRequiredException",
        "live updates come over a WebSocket: ask for the upgrade",
        (("upgrade", "websocket"),),
    )

"""The routes that clients call before they come to events: server, instances, description."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from yamcs_archive.errors import ArchiveError
from yamcs_archive.http.errors import HttpError
from yamcs_archive.http.messages import Response, reply
from yamcs_archive.http.request import Request
from yamcs_archive.times import now_us
from yamcs_archive.wire.codec import JSON
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

YAMCS_VERSION = "5.12.8"
"""The version of the events API that is spoken: the Yamcs server whose answers are the contract."""

_GUEST = "guest"


def server_info(request: Request) -> Response:
    """Answer which server this is: what clients ask first."""
    names = request.archive.instances()
    plugin = today.GetServerInfoResponse.PluginInfo(name="yamcs_archive", version=_own_version())
    message = today.GetServerInfoResponse(
        yamcsVersion=YAMCS_VERSION,
        serverId=socket.gethostname(),
        defaultYamcsInstance=names[0] if names else None,
        plugins=[plugin],
    )
    return request.answer(message)


def _own_version() -> str:
    """Return the version of this program; ``unknown`` if it is not installed."""
    try:
        return version("yamcs_archive")
    except PackageNotFoundError:  # a source tree on the path, not installed
        return "unknown"


def auth_info(request: Request) -> Response:
    """Answer that no login is needed: the first question of ``yamcs login``."""
    return request.answer(today.AuthInfo(requireAuthentication=False))


def user_info(request: Request) -> Response:
    """Answer who the client is: without a login, a Yamcs server's guest, who may do everything."""
    return request.answer(today.UserInfo(superuser=True, active=True, name=_GUEST, displayName=_GUEST))


def list_instances(request: Request) -> Response:
    """List the instances, as a Yamcs server does."""
    found = [_described(request, name) for name in request.archive.instances()]
    message = today.ListInstancesResponse(instances=found)
    return reply(request.codec.media, request.codec.message_with_lists(message))


def get_instance(request: Request) -> Response:
    """Describe one instance."""
    return request.answer(_described(request, request.instance().name))


def _described(request: Request, name: str) -> today.YamcsInstance:
    """Return the message of an instance, without the count if it cannot be read: the others are listed."""
    message = today.YamcsInstance(name=name, state=today.YamcsInstance.RUNNING)
    message.missionTime.FromMilliseconds(now_us() // 1000)
    with suppress(ArchiveError):
        message.eventCount = request.archive.instance(name).count()
    return message


def describe_api(_: Request) -> Response:
    """Describe all routes, in OpenAPI."""
    return reply(JSON, _description())


@cache
def _description() -> bytes:
    """Return the OpenAPI document, which docs/openapi.py writes from docs/openapi.yaml."""
    return files("yamcs_archive.http").joinpath("openapi.json").read_bytes()


def open_websocket(request: Request) -> Response:
    """Refuse a request for live updates that is no WebSocket, or comes to a server without them."""
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

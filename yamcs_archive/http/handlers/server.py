"""The routes that clients call before they come to events: server, instances, health."""

from __future__ import annotations

import socket
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from yamcs_archive.errors import ArchiveError, UnavailableError
from yamcs_archive.http.errors import HttpError, error_reply, reply
from yamcs_archive.http.messages import JSON, PROTOBUF, Response
from yamcs_archive.http.readiness import takes_events, unready
from yamcs_archive.http.request import Request
from yamcs_archive.times import format_rfc3339, now_us
from yamcs_archive.wire import json, protobuf
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

YAMCS_VERSION = "5.12.8"
"""The version of the events API that is spoken: the Yamcs server whose answers are the contract."""


_GUEST = "guest"


def server_info(request: Request) -> Response:
    """Say who answers: what clients ask first."""
    names = request.archive.instances()
    if request.media == PROTOBUF:
        message = today.GetServerInfoResponse(
            yamcsVersion=YAMCS_VERSION,
            serverId=socket.gethostname(),
            defaultYamcsInstance=names[0] if names else None,
            plugins=[today.GetServerInfoResponse.PluginInfo(name="yamcs_archive", version=own_version())],
        )
        return reply(PROTOBUF, message.SerializeToString())
    document: dict[str, Any] = {"yamcsVersion": YAMCS_VERSION, "serverId": socket.gethostname()}
    if names:
        document["defaultYamcsInstance"] = names[0]
    document["plugins"] = [{"name": "yamcs_archive", "version": own_version()}]
    return reply(JSON, json.encode(document))


def own_version() -> str:
    """Return the version of this program; ``unknown`` where it is not installed."""
    try:
        return version("yamcs_archive")
    except PackageNotFoundError:  # a source tree on the path, not installed
        return "unknown"


def auth_info(request: Request) -> Response:
    """Say that no login is asked for: the first question of ``yamcs login``."""
    if request.media == PROTOBUF:
        return reply(PROTOBUF, today.AuthInfo(requireAuthentication=False).SerializeToString())
    return reply(JSON, json.encode({"requireAuthentication": False}))


def user_info(request: Request) -> Response:
    """Say who asks. There is no login yet, so it is the guest of a Yamcs server, who may do everything."""
    if request.media == PROTOBUF:
        message = today.UserInfo(superuser=True, active=True, name=_GUEST, displayName=_GUEST)
        return reply(PROTOBUF, message.SerializeToString())
    document = {"superuser": True, "active": True, "name": _GUEST, "displayName": _GUEST}
    return reply(JSON, json.encode(document))


def list_instances(request: Request) -> Response:
    """List the instances, as a Yamcs server does."""
    now = now_us()
    found = [(name, _event_count(request, name)) for name in request.archive.instances()]
    if request.media == PROTOBUF:
        listed = [(1, _instance_message(name, now, count)) for name, count in found]
        return reply(PROTOBUF, protobuf.encode_fields(listed))
    return reply(
        JSON, json.encode({"instances": [_instance_object(name, now, count) for name, count in found]})
    )


def get_instance(request: Request) -> Response:
    """Describe one instance."""
    name = request.instance().name
    count = _event_count(request, name)
    if request.media == PROTOBUF:
        return reply(PROTOBUF, _instance_message(name, now_us(), count))
    return reply(JSON, json.encode(_instance_object(name, now_us(), count)))


def _event_count(request: Request, name: str) -> int | None:
    """Return the number of events of an instance; None if it cannot be read: the others are listed."""
    try:
        return request.archive.instance(name).count()
    except ArchiveError:
        return None


def _instance_object(name: str, now: int, count: int | None) -> dict[str, Any]:
    shown = {"name": name, "missionTime": format_rfc3339(now // 1000 * 1000), "state": "RUNNING"}
    return shown if count is None else {**shown, "eventCount": count}


def _instance_message(name: str, now: int, count: int | None) -> bytes:
    message = today.YamcsInstance(name=name, state=today.YamcsInstance.RUNNING, eventCount=count)
    message.missionTime.FromMicroseconds(now)
    return message.SerializeToString()


def healthz(_: Request) -> Response:
    """Say that the process answers."""
    return reply(JSON, json.encode({"status": "ok"}))


def readyz(request: Request) -> Response:
    """Answer which instances can be read, and which take events; 503 if the server is not ready."""
    archive = request.archive
    why = unready(archive, request.refusals)
    if why is not None:
        # Not counted as a refusal: probes come every few seconds, and must not fill the log.
        return replace(error_reply(UnavailableError(why), JSON), refusal=None)
    names = archive.instances()
    storing = [] if archive.readonly else [name for name in names if takes_events(archive, name)]
    document = {"status": "ready", "instances": names, "storing": storing}
    return reply(JSON, json.encode(document))


def open_websocket(request: Request) -> Response:
    """Refuse what asks for live updates in another way than as a WebSocket, or over a server without them."""
    if not request.live:
        raise HttpError(
            501, "NotImplementedException", "live updates need ASGI, and this server speaks WSGI: see --wsgi"
        )
    raise HttpError(
        426,
        "UpgradeRequiredException",
        "live updates come over a WebSocket: ask for the upgrade",
        (("upgrade", "websocket"),),
    )

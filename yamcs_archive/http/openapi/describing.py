"""What is said about the routes that tell of the server itself."""

from __future__ import annotations

from typing import Any

from yamcs_archive.http.openapi import faults
from yamcs_archive.http.openapi.fields import COUNT, TIME, given
from yamcs_archive.http.openapi.operation import Operation, Part, answer, content, ref

_TAG = "Server"
_NAME: Part = {"type": "string", "examples": ["simulator"]}

SCHEMAS: dict[str, Any] = {
    "ServerInfo": given(
        {
            "yamcsVersion": {
                "type": "string",
                "description": "The version of the Yamcs events API that is spoken here.",
            },
            "serverId": {"type": "string", "description": "The host's name."},
            "defaultYamcsInstance": _NAME,
            "plugins": {
                "type": "array",
                "items": given(
                    {"name": {"type": "string"}, "version": {"type": "string"}}, ("name", "version")
                ),
                "description": "`yamcs_archive` with its own version.",
            },
        },
        ("yamcsVersion", "serverId", "plugins"),
    ),
    "AuthInfo": given({"requireAuthentication": {"type": "boolean"}}, ("requireAuthentication",)),
    "UserInfo": given(
        {
            "superuser": {"type": "boolean"},
            "active": {"type": "boolean"},
            "name": {"type": "string"},
            "displayName": {"type": "string"},
        },
        ("superuser", "active", "name", "displayName"),
    ),
    "Instance": given(
        {
            "name": _NAME,
            "missionTime": TIME | {"description": "The server's clock."},
            "state": {"type": "string", "enum": ["RUNNING"]},
            "eventCount": COUNT | {"description": "The number of events. Absent: it cannot be read."},
        },
        ("name", "missionTime", "state"),
    ),
    "Instances": given({"instances": {"type": "array", "items": ref("Instance")}}, ("instances",)),
    "Health": given({"status": {"type": "string", "enum": ["ok"]}}, ("status",)),
    "Readiness": given(
        {
            "status": {"type": "string", "enum": ["ready"]},
            "instances": {"type": "array", "items": _NAME, "description": "Those that can be read."},
            "storing": {
                "type": "array",
                "items": _NAME,
                "description": "Those of them that take events: not mirrors, and none of an archive that is"
                " open for reading.",
            },
        },
        ("status", "instances", "storing"),
    ),
}
"""The named schemas of these routes."""

SERVER_INFO = Operation(
    id="getServerInfo",
    tag=_TAG,
    summary="Who answers: what clients ask first.",
    success={200: answer("The server.", content(ref("ServerInfo"), "`GetServerInfoResponse`"))},
    errors=faults.READING,
)

AUTH_INFO = Operation(
    id="getAuthInfo",
    tag=_TAG,
    summary="Whether a login is asked for.",
    success={200: answer("It is not.", content(ref("AuthInfo"), "`AuthInfo`"))},
)

USER_INFO = Operation(
    id="getUserInfo",
    tag=_TAG,
    summary="Who asks: without a login, `guest`.",
    success={200: answer("The user.", content(ref("UserInfo"), "`UserInfo`"))},
)

LIST_INSTANCES = Operation(
    id="listInstances",
    tag=_TAG,
    summary="The instances: each has events of its own.",
    success={200: answer("The instances.", content(ref("Instances"), "`ListInstancesResponse`"))},
    errors=faults.READING,
)

GET_INSTANCE = Operation(
    id="getInstance",
    tag=_TAG,
    summary="One instance.",
    success={200: answer("The instance.", content(ref("Instance"), "`YamcsInstance`"))},
    errors=faults.READING,
)

HEALTHZ = Operation(
    id="getHealth",
    tag=_TAG,
    summary="Whether the process answers.",
    success={200: answer("It does.", content(ref("Health"), None))},
)

READYZ = Operation(
    id="getReadiness",
    tag=_TAG,
    summary="What the server is ready for.",
    description="503: the archive is closed or gone, its file system is full, or storing fails at present.",
    success={200: answer("It can do what it serves for.", content(ref("Readiness"), None))},
    errors=faults.READING,
)

WEBSOCKET = Operation(
    id="openWebSocket",
    tag=_TAG,
    summary="Live updates, over a WebSocket.",
    description="Subprotocols `json` (also without one) and `protobuf`. A client sends"
    ' `{"type": "events", "id": 1, "options": {"instance": "simulator", "filter": "severity>=watch"}}`, gets'
    " a `reply` with the number of its `call`, and from then on each event of the instance once it is stored."
    " docs/http.md has the frames.",
    success={101: answer("The connection is a WebSocket from here on.", {})},
    errors=faults.UPGRADING,
)

OPENAPI = Operation(
    id="getDescription",
    tag=_TAG,
    summary="This description.",
    success={200: answer("An OpenAPI document.", content({"type": "object"}, None))},
)

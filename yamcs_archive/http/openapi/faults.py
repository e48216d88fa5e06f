"""The errors that an operation may answer with: which there are, what each means, and their answers; pure.

Statuses and names come from the one place that maps errors to them, so neither is said twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from yamcs_archive.http.errors import STATUS_BY_ERROR
from yamcs_archive.wire.codec import JSON, PROTOBUF

MEANING = {
    "BadRequestException": "The request breaks a rule; `msg` names the field, its value and the rule.",
    "ForbiddenException": "The `Host` is not a name of this server, or a page of an origin that is not"
    " allowed sent this, from a browser.",
    "NotFoundException": "No instance of that name, or nothing is served at the path.",
    "MethodNotAllowedException": "The path has other methods: those in the header `allow`.",
    "ReadOnlyException": "The archive is open for reading only, or the instance is a mirror: `msg` names its"
    " source.",
    "ConflictException": "Another event is stored under this key (time, source, number). It stays; `detail`"
    " has `stored` and `offered`. The same event again is not a conflict: it is answered as the first time.",
    "ExpiredException": "The event is older than the prune horizon, and is not stored anew.",
    "RequestIdException": "The `Idempotency-Key` was used for another event.",
    "OtherHistoryException": "The cursor is of another history, for instance of before a restore: start"
    " anew. If the archive was put back to an older state, `detail` has the missing `commit`.",
    "CursorGoneException": "Events behind the cursor are pruned; `detail` has the oldest cursor that works.",
    "PayloadTooLargeException": "The body, or one element of a batch, is larger than 8 MiB.",
    "UnsupportedMediaTypeException": "The content encoding is not understood here; the header"
    " `accept-encoding` has what is.",
    "UpgradeRequiredException": "Live updates come over a WebSocket: the request must ask for the upgrade.",
    "NotImplementedException": "The server speaks WSGI, which carries no WebSocket.",
    "InternalServerErrorException": "A fault of the server; its log has more.",
    "DamagedBlockException": "A checksum does not hold; `msg` names the place.",
    "OutcomeUnknownException": "The medium failed while the event was stored; `detail` has the event as it"
    " would stand, and sending that one again is safe.",
    "ServiceUnavailableException": "Closed, failing or too busy for the moment.",
    "OutOfSpaceException": "The medium is full; nothing was stored.",
}
"""What each error says to who gets it, by the name in its ``type``."""

_STATUS_BY_KIND = {kind: status for _, status, kind in STATUS_BY_ERROR} | {
    "ForbiddenException": 403,
    "MethodNotAllowedException": 405,
    "PayloadTooLargeException": 413,
    "UnsupportedMediaTypeException": 415,
    "UpgradeRequiredException": 426,
    "NotImplementedException": 501,
}

ANY = frozenset(
    (
        *("BadRequestException", "ForbiddenException", "PayloadTooLargeException"),
        *("UnsupportedMediaTypeException", "InternalServerErrorException"),
    )
)
"""What the core may answer before any handler runs."""
READING = ANY | {"DamagedBlockException", "ServiceUnavailableException"}
POSTED = READING
BATCH = POSTED | {"ReadOnlyException", "RequestIdException", "OutcomeUnknownException", "OutOfSpaceException"}
STORING = BATCH | {"ConflictException", "ExpiredException"}
UPGRADING = ANY | {
    *("UpgradeRequiredException", "NotImplementedException", "ServiceUnavailableException"),
}
FOLLOWING = READING | {"OtherHistoryException", "CursorGoneException"}

_HEADERS: dict[int, tuple[str, str, str]] = {
    405: ("allow", "string", "The methods that work."),
    415: ("accept-encoding", "string", "What is understood."),
    426: ("upgrade", "string", "`websocket`"),
    503: ("retry-after", "integer", "Seconds until it is worth a new try."),
}
"""The header that an answer with a status has: name, type, what it says."""


def answers(kinds: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return references to the answers for errors of those kinds, by status.

    >>> answers({"ConflictException"})
    {'409': {'$ref': '#/components/responses/ConflictException'}}
    """
    return {
        str(status): {"$ref": f"#/components/responses/{_name(those)}"}
        for status, those in _by_status(kinds).items()
    }


def components(kinds: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the answers that :func:`answers` refers to."""
    return {_name(those): _answer(status, those) for status, those in _by_status(kinds).items()}


def _by_status(kinds: Iterable[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for kind in sorted(kinds, key=lambda kind: (_STATUS_BY_KIND[kind], kind)):
        found.setdefault(_STATUS_BY_KIND[kind], []).append(kind)
    return found


def _name(kinds: list[str]) -> str:
    return (
        "Or".join(kind.removesuffix("Exception") for kind in kinds[:-1])
        + ("Or" if kinds[1:] else "")
        + kinds[-1]
    )


def _answer(status: int, kinds: list[str]) -> dict[str, Any]:
    meanings = "\n".join(f"- `{kind}`: {MEANING[kind]}" for kind in kinds)
    found: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}.\n\n{meanings}",
        "content": {
            JSON: {"schema": {"$ref": "#/components/schemas/Error"}},
            PROTOBUF: {"schema": {"type": "string", "format": "binary", "description": "`ExceptionMessage`"}},
        },
    }
    if status in _HEADERS:
        name, type_, description = _HEADERS[status]
        header = {"description": description, "required": True, "schema": {"type": type_}}
        found["headers"] = {name: header}
    return found

"""The body of an answer -> events, counts, or an error of the library; no I/O.

An error that a local archive would raise is made with the same facts, and the server's own words. The others
are ServerUnavailableError (statuses from 500: asking again later may help) and ServerRefusedError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import msgspec

from yamcs_archive.client.transport import PROTOBUF, Answer, Transport
from yamcs_archive.credentials import advice
from yamcs_archive.errors import (
    ArchiveError,
    ConflictError,
    CursorGoneError,
    DamagedError,
    ExpiredError,
    InstanceExistsError,
    InvalidInputError,
    OtherHistoryError,
    OutcomeUnknownError,
    OutOfSpaceError,
    ReadOnlyError,
    RequestIdError,
    ServerRefusedError,
    ServerUnavailableError,
    UnknownInstanceError,
)
from yamcs_archive.event import Event, StoredEvent
from yamcs_archive.results import AppendCounts, Conflict, OddTimes, PruningResult
from yamcs_archive.times import parse_rfc3339
from yamcs_archive.wire.json import event_of
from yamcs_archive.wire.protobuf_scan import content, scan
from yamcs_archive.wire.verification import key_of

_NOT_FOUND, _SERVER_FAULT, _NOT_IMPLEMENTED = 404, 500, 501
_WORDS_MAX = 200
"""Characters that an error shows of an answer that no archive sent."""
_KNOWN = re.compile(r"\(there are: (?!none yet)(.*)\)$")
"""The names of all instances, in the text of the error for an unknown one."""


class Refusal(NamedTuple):
    """An error as the events API has it."""

    kind: str
    text: str
    detail: Mapping[str, Any]


def check_media(transport: Transport, answer: Answer, accept: str) -> None:
    """Raise ServerRefusedError if an answer has another media type than was asked for."""
    if answer.media != accept:
        raise transport.strange(f"it has {answer.media}, not {accept}")


def object_of(transport: Transport, answer: Answer) -> Mapping[str, Any]:
    """Return the JSON object that an answer holds; ServerRefusedError if it holds anything else."""
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise transport.strange(f"it has {answer.media}, not a JSON object")
    return found


def event_in(fields: Any) -> Event:
    """Return the event that a JSON object of an answer shows, with the user who created it."""
    if not isinstance(fields, dict):
        raise InvalidInputError("event", fields, "must be a JSON object")
    return event_of(fields, own=True)[1]


def counts_in(found: Mapping[str, Any]) -> AppendCounts:
    """Return the counts in an answer of ``events:batch``. Raises KeyError, TypeError and ValueError.

    >>> counts_in({"stored": 2, "duplicates": 0, "expired": 0, "conflictCount": 0, "conflicts": []}).stored
    2
    """
    return AppendCounts(
        int(found["stored"]),
        int(found["duplicates"]),
        int(found["expired"]),
        int(found["conflictCount"]),
        tuple(
            Conflict(
                int(one["position"]), cast("StoredEvent", event_in(one["stored"])), event_in(one["offered"])
            )
            for one in found["conflicts"]
        ),
    )


def pruning_in(found: Mapping[str, Any]) -> PruningResult:
    """Return what an answer of ``:prune`` says. Raises KeyError, TypeError and ValueError.

    >>> found = {"events": 0, "bytes": 0, "oddTimes": [], "oddSources": 0, "damaged": 0, "seconds": 0.5}
    >>> pruning_in({**found, "horizon": "1970-01-01T00:00:01Z"}).horizon
    1000000
    """
    odd_times = tuple(
        OddTimes(
            str(one["source"]),
            int(one["events"]),
            parse_rfc3339(one["firstTime"], "firstTime"),
            parse_rfc3339(one["lastTime"], "lastTime"),
            bool(one["pruned"]),
        )
        for one in found["oddTimes"]
    )
    return PruningResult(
        parse_rfc3339(found["horizon"], "horizon") if "horizon" in found else None,
        int(found["events"]),
        int(found["bytes"]),
        odd_times,
        int(found["oddSources"]),
        int(found["damaged"]),
        float(found["seconds"]),
    )


def error_of(
    transport: Transport,
    answer: Answer,
    path: str,
    instance: str = "",
    *,
    event: Event | None = None,
    request_id: str = "",
) -> ArchiveError:
    """Return the error of the library for an answer whose status is not 200.

    ``instance``, ``event`` and ``request_id`` are those of the request.
    """
    url = transport.url
    refusal = _refusal(answer)
    if refusal is None:
        url += transport.way.words  # the answer may be the proxy's
        if answer.status == _NOT_FOUND:  # as a Yamcs server answers for a path that it does not know
            text = (
                f"it does not serve {path.partition('?')[0]}; is it an archive of this project? (an older one"
                " may not have it; to read a Yamcs server, use: events import yamcs)"
            )
            return ServerRefusedError(url, answer.status, answer.reason, text)
        refusal = Refusal(answer.reason, answer.body[:_WORDS_MAX].decode(errors="replace").strip(), {})
        words = ""
    else:
        words = refusal.text
    kind, text, detail = refusal
    text += advice(answer.status, transport.credentials, words)
    error = _known(refusal, url, instance, event, request_id)
    if error is not None:
        error.args = (text,)
    elif answer.status >= _SERVER_FAULT and answer.status != _NOT_IMPLEMENTED:
        error = ServerUnavailableError(url, f"{url} answered {answer.status} {kind}: {text}", answer.status)
    else:
        error = ServerRefusedError(url, answer.status, kind, text, detail)
    _count(error, detail)
    return error


def _known(
    refusal: Refusal, url: str, instance: str, event: Event | None, request_id: str
) -> ArchiveError | None:
    """Return the error that a local archive would raise; None if there is none."""
    kind, text, detail = refusal
    try:
        match kind:
            case "BadRequestException":
                return InvalidInputError("request", None, text)
            case "NotFoundException" if text.startswith("No instance named"):  # on a Yamcs server too
                listed = _KNOWN.search(text)
                return UnknownInstanceError(instance, listed[1].split(", ") if listed else [])
            case "ConflictException":
                return ConflictError(event_in(detail["stored"]), event_in(detail["offered"]))
            case "RequestIdException":
                return RequestIdError(request_id)
            case "ExpiredException" if event is not None:
                return ExpiredError(event)
            case "InstanceExistsException":
                return InstanceExistsError(instance)
            case "OtherHistoryException":
                return OtherHistoryError(detail.get("commit"))
            case "CursorGoneException":
                return CursorGoneError(detail["oldest"])
            case "ReadOnlyException":
                return ReadOnlyError("append")
            case "OutcomeUnknownException":
                return OutcomeUnknownError((event_in(detail["event"]),) if "event" in detail else (), text)
            case "DamagedBlockException" if "first" in detail:
                damaged = DamagedError(url, text)
                damaged.first, damaged.events = key_of(detail["first"]), detail.get("events")
                damaged.last = key_of(detail["last"]) if "last" in detail else None
                return damaged
            case "OutOfSpaceException":
                return OutOfSpaceError(url, text)
    except (InvalidInputError, KeyError):
        pass  # an answer of a later version
    return None


def _count(error: ArchiveError, detail: Mapping[str, Any]) -> None:
    """Give an error of a batch the position of the event at fault, and the counts of those before it."""
    try:
        position, counts = int(detail["position"]), counts_in(detail)
    except (KeyError, TypeError, ValueError):
        return
    error.position, error.counts = position, counts


def _refusal(answer: Answer) -> Refusal | None:
    """Return an error as the API has it, in JSON or protobuf; None for any other body."""
    try:
        if answer.media == PROTOBUF:
            fields = {field.number: field for field in scan(answer.body)}
            kind, text = (content(answer.body, fields[number]).decode() for number in (2, 3))
            return Refusal(kind, text, {})
        found: Any = msgspec.json.decode(answer.body)
        found = found.get("exception", found)  # as older Yamcs servers have it
        detail = found.get("detail")
        return Refusal(str(found["type"]), str(found["msg"]), detail if isinstance(detail, dict) else {})
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None

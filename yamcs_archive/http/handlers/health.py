"""The routes of health checks: whether the server answers, and whether it is ready.

A server is ready if the archive can be read, and can be written to unless it is open read-only. A probe
costs a few system calls and writes nothing, because probes come every few seconds, from more than one client.
Faults that only an append shows (a quota, a failing medium) are known from the latest refused requests.
"""

from __future__ import annotations

from dataclasses import replace

from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError, UnavailableError
from yamcs_archive.http.errors import error_reply
from yamcs_archive.http.messages import Response, reply
from yamcs_archive.http.refusal_log import RefusalLog
from yamcs_archive.http.request import Request
from yamcs_archive.wire import json
from yamcs_archive.wire.codec import JSON
from yamcs_archive.wire.codecs import JSON_CODEC

_FAILING = ("507 OutOfSpaceException", "503 OutcomeUnknownException")
"""Refusals after which the next event can probably not be stored either."""


def healthz(_: Request) -> Response:
    """Answer, which shows that the process does."""
    return reply(JSON, json.encode({"status": "ok"}))


def readyz(request: Request) -> Response:
    """Answer which instances can be read, and which take events; 503 if the server is not ready."""
    archive = request.archive
    reason = _not_ready_reason(archive, request.services.refusals)
    if reason is not None:
        # Not counted as a refusal: probes come every few seconds, and must not fill the log.
        return replace(error_reply(UnavailableError(reason), JSON_CODEC), refusal=None)
    names = archive.instances()
    storing = [] if archive.readonly else [name for name in names if _takes_events(archive, name)]
    return reply(JSON, json.encode({"status": "ready", "instances": names, "storing": storing}))


def _not_ready_reason(archive: Archive, refusals: RefusalLog) -> str | None:
    """Return why an archive cannot be served, None if it can; a read-only one need not take events."""
    if archive.closed:
        return "the archive is closed; restart the server"
    try:
        if archive.readonly:
            archive.instances()
            return None
        archive.check_writable()
    except ArchiveError as error:
        return str(error)
    failing = (why for kind in _FAILING if (why := refusals.why(kind)) is not None)
    return next(failing, None)


def _takes_events(archive: Archive, name: str) -> bool:
    """Return whether an instance takes events: a mirror does not, nor does one that cannot be opened."""
    try:
        return archive.instance(name).mirrored is None
    except ArchiveError:
        return False

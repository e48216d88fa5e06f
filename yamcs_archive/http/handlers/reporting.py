"""The route that reports on a pass, or on any other window of an instance: ``:report``.

1. A GET says in its query string what is asked for, a POST in a body of JSON. The answer is JSON in any case:
   no Yamcs client asks for it.
2. A caller who may read some sources only gets a report of these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Severity
from yamcs_archive.http import query
from yamcs_archive.http.handlers.retention import object_in
from yamcs_archive.http.left_out import left_out_of
from yamcs_archive.http.progress_lines import LINES, nobody_waits, progress_lines
from yamcs_archive.http.query import Fields
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response, reply
from yamcs_archive.http.streaming import Chunks, streamed
from yamcs_archive.pass_report.limits import LATE_AFTER_S_DEFAULT, LATE_AFTER_S_MAX, TOP_DEFAULT, TOP_MAX
from yamcs_archive.pass_report.report import PassReport
from yamcs_archive.times import parse_rfc3339
from yamcs_archive.wire import json
from yamcs_archive.wire.codec import JSON
from yamcs_archive.wire.json_scalars import as_text
from yamcs_archive.wire.plain_values import fields_of

_WHAT = "report"
_ASKED = (
    *("start", "stop", "source", "severity", "text", "filter"),
    *("newSince", "historySince", "lateAfter", "top"),
)


def report_instance(request: Request) -> Response:
    """Read the events that are asked for, and answer what they show. It ends when the client leaves.

    Not more at once than there are slots: each holds a thread, and some memory.
    """
    instance = request.instance()
    fields = _fields(request)
    left_out = left_out_of(request.head)
    tells = query.fields_of_query(request.head.query, ("progress",)).flag("progress")
    asked = _arguments(fields) | {
        "sources": request.readable_of(_sources(request, fields)),
        "skip_damaged": left_out or False,
    }
    if request.head_only:  # nothing is read: the length is known only at the end
        return Response(200, (("content-type", LINES if tells else JSON),), iter(()))
    slots = request.services.admission.reports
    slots.enter()
    if tells:

        def work(tell: Callable[[int, int], None], cancelled: Callable[[], bool]) -> PassReport | None:
            return instance.report(**asked, progress=tell, cancelled=cancelled)

        lines = Chunks(progress_lines(work, request.given_up, fields_of, _WHAT), slots.leave)
        return streamed(LINES, lines)
    try:
        found = instance.report(**asked, cancelled=request.given_up)
    finally:
        slots.leave()
    if found is None:
        raise nobody_waits(_WHAT)
    headers = () if left_out is None else left_out.headers
    return reply(JSON, json.encode(fields_of(found)), headers=headers)


def _fields(request: Request) -> Fields:
    if request.head.method != "POST":
        return query.fields_of_query(request.head.query, _ASKED)
    given = object_in(request.body, _ASKED)
    sources = given.get("source", [])
    if not isinstance(sources, list):
        raise InvalidInputError("source", sources, "must be an array of names")
    return Fields(given, lambda value, name: parse_rfc3339(as_text(value, name), name))


def _sources(request: Request, fields: Fields) -> frozenset[str] | None:
    """Return the names of the sources that are asked for; None: all. Of a body an empty array means none."""
    found = fields.sources()
    if found is None and request.head.method == "POST" and "source" in fields.values:
        return frozenset()
    return found


def _arguments(fields: Fields) -> dict[str, Any]:
    """Return what a request asks for as arguments of the library, without sources."""
    severity = fields.text("severity")
    return {
        "start": fields.instant("start"),
        "stop": fields.instant("stop"),
        "min_severity": None if severity is None else Severity.parse(severity),
        "text": fields.text("text"),
        "filter": fields.text("filter"),
        "new_since": fields.instant("newSince"),
        "history_since": fields.instant("historySince"),
        "late_after_s": _seconds(fields.text("lateAfter"), "lateAfter"),
        "top": fields.integer("top", TOP_DEFAULT, 1, TOP_MAX),
    }


def _seconds(text: str | None, name: str) -> float:
    if text is None:
        return LATE_AFTER_S_DEFAULT
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= LATE_AFTER_S_MAX:
        raise InvalidInputError(name, text, f"must be seconds from 0 to {LATE_AFTER_S_MAX:g}")
    return found

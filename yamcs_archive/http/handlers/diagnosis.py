"""The routes that tell an operator how an instance, and the server, fare: ``:stats`` and ``doctor``.

Their answers are JSON in any case: no Yamcs client asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.http import query
from yamcs_archive.http.readiness import LAG_S_MAX, not_ready
from yamcs_archive.http.request import Request, Services
from yamcs_archive.http.request_and_response import Response, reply
from yamcs_archive.reports import Finding, Level
from yamcs_archive.wire import json
from yamcs_archive.wire.codec import JSON
from yamcs_archive.wire.reports import diagnosis_fields, summary_fields


def describe_instance(request: Request) -> Response:
    """Answer the numbers of an instance, which are of all its sources."""
    request.refuse_unless_all_sources()
    return reply(JSON, json.encode(summary_fields(request.instance().summary())))


def examine(request: Request) -> Response:
    """Examine the archive, its machine and this server. One examination at a time."""
    values = query.parameters(request.head.query)
    for field in values:
        if field != "instance":
            raise InvalidInputError(field, values[field][-1], "is not one of instance")
    services = request.services
    with services.admission.operations.alone("doctor", services.archive.path.name):
        found = services.archive.diagnose(
            instances=[name for name in values.get("instance", ()) if name] or None
        )
        found = replace(found, findings=(*found.findings, *_of_server(services)))
    return reply(JSON, json.encode(diagnosis_fields(found)))


def _of_server(services: Services) -> Iterator[Finding]:
    reason = not_ready(services.archive, services.refusals)
    if reason is None:
        yield Finding("server", Level.GOOD, "it is ready")
    else:
        yield Finding("server", Level.BAD, reason.text, "until then its answer to requests is a 503 or 507")
    for mirror in services.observation.mirrors():
        if not mirror.following:
            text, advice = "it follows its source no longer", "the log says why, and how to start anew"
            yield Finding("mirror", Level.BAD, text, advice, mirror.instance)
        elif mirror.seconds > LAG_S_MAX:
            yield Finding(
                "mirror",
                Level.BAD,
                f"it last had all that its source has {mirror.seconds:.0f} s ago",
                "see that the source answers; the log says whether it does",
                mirror.instance,
            )
        else:
            yield Finding(
                "mirror", Level.GOOD, f"{mirror.seconds:.0f} s behind its source", "", mirror.instance
            )

"""The routes that take log records of OpenTelemetry (OTLP over HTTP).

1. The instance is that of the path; for the path that all exporters know, ``/v1/logs``, the only one.
2. An exporter sends a request again after 429, 502, 503 and 504 alone, and drops it after anything else. So a
   full disk is a 503 here.
3. What was stored before an error is found to be stored when the request comes again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from yamcs_archive.access.permissions import Permission
from yamcs_archive.columns import Columns
from yamcs_archive.errors import InvalidInputError, OutOfSpaceError, UnavailableError, shown
from yamcs_archive.http.errors import HttpError, forbidden
from yamcs_archive.http.handlers.append import all_signed, unpacked
from yamcs_archive.http.media_types import media_type
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.missing_packages import advice

if TYPE_CHECKING:
    from yamcs_archive.event import Event
    from yamcs_archive.instance import Instance

_TRIES = 8
"""How often another number is tried for a record whose number another one of its microsecond has."""


def export_logs_to_the_only_instance(request: Request) -> Response:
    """Store log records in the only instance of the archive."""
    names = request.archive.instances()
    if len(names) != 1:
        known = "there are none yet" if not names else f"there are {len(names)}"
        raise InvalidInputError(
            "instance", None, f"must be named, for {known}: send to /api/archive/INSTANCE/v1/logs"
        )
    if not request.caller.allows(Permission.WRITE_EVENTS, names[0]):
        raise forbidden(f"Missing system privilege '{Permission.WRITE_EVENTS}'")
    return export_logs(replace(request, names={"instance": names[0]}))


def export_logs(request: Request) -> Response:
    """Store log records; the answer says how many of them are not stored."""
    instance = request.instance()
    try:
        from yamcs_archive.wire import otlp  # noqa: PLC0415  # needs the extra, and few servers take logs
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("opentelemetry"):
            raise
        raise HttpError(501, "NotImplementedException", f"log records: {advice('otel')}") from None
    given = media_type(request.head.headers)
    decode = otlp.DECODERS.get(given)
    if decode is None:
        known = " or ".join(list(otlp.DECODERS)[:2])
        raise HttpError(415, "UnsupportedMediaTypeException", f"content-type {shown(given)}: use {known}")
    events = decode(_whole_body(request))
    request.check_still_permitted()
    try:
        rejected = _stored(instance, all_signed(request, Columns.of(events)).events())
    except OutOfSpaceError as error:
        raise UnavailableError(str(error)) from error
    why = f"{rejected} records are older than what instance {instance.name} keeps, or their place is taken"
    return request.answer(otlp.response(rejected, why))


def _stored(instance: Instance, events: list[Event]) -> int:
    """Store events, and return the number of those that are not."""
    from yamcs_archive.wire.otlp import renumbered  # noqa: PLC0415  # it is loaded by now

    counts = instance.append_many(events)
    rejected = counts.expired
    for _ in range(_TRIES):
        if not counts.conflict_count:
            break
        # By chance, there is one at a time; whoever makes thousands of them has them rejected.
        rejected += counts.conflict_count - len(counts.conflicts)
        events = [renumbered(events[conflict.position]) for conflict in counts.conflicts]
        counts = instance.append_many(events)
        rejected += counts.expired
    return rejected + counts.conflict_count


def _whole_body(request: Request) -> bytes:
    body = bytearray()
    for chunk in unpacked(request):
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            rule = (
                f"log records of more than {BODY_BYTES_MAX} bytes: send fewer at once (send_batch_max_size)"
            )
            raise HttpError(413, "PayloadTooLargeException", rule)
    return bytes(body)

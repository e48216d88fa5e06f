"""The routes: what is served where, and how each request becomes a call of the library and an answer."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import parse_qs

from yamcs_archive.archive import Archive
from yamcs_archive.errors import InvalidInputError, UnavailableError
from yamcs_archive.event import Event
from yamcs_archive.http.messages import JSON, PROTOBUF, Head, Pending, Response
from yamcs_archive.http.replies import HttpError, counts_message, counts_object, error_reply, reply
from yamcs_archive.instance import Instance
from yamcs_archive.limits import PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX
from yamcs_archive.results import Appended
from yamcs_archive.times import format_rfc3339, now_us, parse_rfc3339
from yamcs_archive.wire import batch, json, protobuf
from yamcs_archive.wire.forms import Form
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.values import as_int32

YAMCS_VERSION = "5.12.8"
"""The version of the events API that is spoken: the Yamcs server whose answers are the contract."""

_NOT_YET = ("source", "severity", "q", "filter", "next", "pos")


@dataclass(slots=True)
class Request:
    """A request with its body; ``form`` is what it turned out to be in, for the errors that follow."""

    archive: Archive
    head: Head
    names: Mapping[str, str]
    body: bytes
    media: str
    chunks: Iterable[bytes] = ()
    """The body of a route that streams, as it comes."""
    form: Form = Form.TODAY

    def instance(self) -> Instance:
        """The instance that the path names; UnknownInstanceError, also for names that none can have."""
        return self.archive.existing(self.names["instance"])


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    method: str
    handler: Callable[[Request], Response | Pending]
    streams: bool = False
    """The body may have any length and is read as it comes."""


def create_event(request: Request) -> Response | Pending:
    """Store one event; the answer leaves when it is durable."""
    instance = request.instance()
    binary = request.head.headers.get("content-type", "").strip() == PROTOBUF
    request.form, event = (protobuf if binary else json).decode_event(request.body)
    media, form = request.media, request.form

    def finish(done: Future[Appended]) -> Response:
        error = done.exception()
        if error is not None:
            return error_reply(error, media, form)
        return _event_reply(done.result().event, media, form)

    return Pending(instance.submit(event), finish)


def _event_reply(event: Event, media: str, form: Form) -> Response:
    if media == PROTOBUF:
        return reply(PROTOBUF, protobuf.encode_event(event, form))
    return reply(JSON, json.encode(json.shown(event, form)))


def create_events(request: Request) -> Response:
    """Store a stream of events, in chunks that are each durable; the answer counts what became of them."""
    instance = request.instance()
    encoding = request.head.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise HttpError(
            415,
            "UnsupportedMediaTypeException",
            f"content-encoding {encoding!r}: use gzip or none",
            (("accept-encoding", "gzip"),),
        )
    chunks = batch.gunzipped(request.chunks) if encoding == "gzip" else request.chunks
    kind = request.head.headers.get("content-type", "").partition(";")[0].strip().lower()
    elements = _BATCH_TYPES.get(kind, batch.from_ndjson)(chunks)
    counts = instance.append_many(_noting_form(request, elements))
    if request.media == PROTOBUF:
        return reply(PROTOBUF, counts_message(counts, request.form))
    return reply(JSON, json.encode(counts_object(counts, request.form)))


_BATCH_TYPES: dict[str, Callable[[Iterable[bytes]], Iterator[batch.Element]]] = {
    PROTOBUF: batch.from_protobuf,
    **dict.fromkeys(
        ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack"), batch.from_msgpack
    ),
}
"""How the elements of a batch are told apart; everything else is newline-delimited JSON."""


def _noting_form(request: Request, elements: Iterator[batch.Element]) -> Iterator[Event]:
    """Yield the events; the form of the first one is the form of the answer."""
    for request.form, event in elements:
        yield event
        break
    for _, event in elements:
        yield event


def list_events(request: Request) -> Response:
    """Answer the first page of history, newest first unless ``order=asc``."""
    instance = request.instance()
    parameters = _parameters(request.head.query)
    for name in _NOT_YET:
        if parameters.get(name):
            raise InvalidInputError(name, parameters[name], "is not supported by this version")
    form = _form(parameters.get("form"))
    start, stop = (_time(parameters.get(name), name) for name in ("start", "stop"))
    limit = PAGE_EVENTS_DEFAULT
    if parameters.get("limit"):
        limit = as_int32(parameters["limit"], "limit")
    if not 1 <= limit <= PAGE_EVENTS_MAX:
        raise InvalidInputError("limit", limit, f"must be 1 to {PAGE_EVENTS_MAX}")
    events = list(
        instance.events(start=start, stop=stop, limit=limit, descending=_descending(parameters.get("order")))
    )
    if request.media == PROTOBUF:
        return reply(PROTOBUF, protobuf.encode_list(events, form))
    shown = [json.shown(event, form) for event in events]
    document: dict[str, Any] = {"event": shown} if shown else {}
    if shown and form is Form.TODAY:
        document["events"] = shown
    return reply(JSON, json.encode(document))


def _parameters(query: str) -> dict[str, str]:
    """Return the query's parameters; of repeated ones the last counts."""
    try:
        parsed = parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError as error:
        raise InvalidInputError("query", query, f"cannot be read: {error}") from None
    return {name: values[-1] for name, values in parsed.items()}


def _form(text: str | None) -> Form:
    if text in (None, ""):
        return Form.TODAY
    if text not in {form.value for form in Form}:
        raise InvalidInputError("form", text, f"must be one of {', '.join(form.value for form in Form)}")
    return Form(text)


def _time(text: str | None, name: str) -> int | None:
    return parse_rfc3339(text, name) if text else None


def _descending(order: str | None) -> bool:
    if order not in (None, "", "asc", "desc"):
        raise InvalidInputError("order", order, "must be asc or desc")
    return order != "asc"


def server_info(request: Request) -> Response:
    """Say who answers: what clients ask first."""
    names = request.archive.instances()
    if request.media == PROTOBUF:
        message = today.GetServerInfoResponse(
            yamcsVersion=YAMCS_VERSION,
            serverId=socket.gethostname(),
            defaultYamcsInstance=names[0] if names else None,
            plugins=[today.GetServerInfoResponse.PluginInfo(name="yamcs_archive", version=_own_version())],
        )
        return reply(PROTOBUF, message.SerializeToString())
    document: dict[str, Any] = {"yamcsVersion": YAMCS_VERSION, "serverId": socket.gethostname()}
    if names:
        document["defaultYamcsInstance"] = names[0]
    document["plugins"] = [{"name": "yamcs_archive", "version": _own_version()}]
    return reply(JSON, json.encode(document))


def _own_version() -> str:
    try:
        return version("yamcs_archive")
    except PackageNotFoundError:  # a source tree on the path, not installed
        return "unknown"


def list_instances(request: Request) -> Response:
    """List the instances, as a Yamcs server does."""
    names, now = request.archive.instances(), now_us()
    if request.media == PROTOBUF:
        listed = [(1, _instance_message(name, now)) for name in names]
        return reply(PROTOBUF, protobuf.encode_fields(listed))
    return reply(JSON, json.encode({"instances": [_instance_object(name, now) for name in names]}))


def get_instance(request: Request) -> Response:
    """Describe one instance."""
    name = request.instance().name
    if request.media == PROTOBUF:
        return reply(PROTOBUF, _instance_message(name, now_us()))
    return reply(JSON, json.encode(_instance_object(name, now_us())))


def _instance_object(name: str, now: int) -> dict[str, Any]:
    return {"name": name, "missionTime": format_rfc3339(now // 1000 * 1000), "state": "RUNNING"}


def _instance_message(name: str, now: int) -> bytes:
    message = today.YamcsInstance(name=name, state=today.YamcsInstance.RUNNING)
    message.missionTime.FromMicroseconds(now)
    return message.SerializeToString()


def healthz(_: Request) -> Response:
    """Say that the process answers."""
    return reply(JSON, json.encode({"status": "ok"}))


def readyz(request: Request) -> Response:
    """Say whether events can be stored: 503 when the archive is closed or read-only."""
    archive = request.archive
    if archive.closed or archive.readonly:
        raise UnavailableError(
            f"the archive is {'closed' if archive.closed else 'read-only'}; restart the server"
        )
    return reply(JSON, json.encode({"status": "ready", "instances": archive.instances()}))


_TABLE: tuple[tuple[re.Pattern[str], tuple[Route, ...]], ...] = tuple(
    (re.compile(path.replace("{instance}", "(?P<instance>[^/]+)") + "/?"), routes)
    for path, routes in (
        ("/api/archive/{instance}/events", (Route("GET", list_events), Route("POST", create_event))),
        ("/api/archive/{instance}/events:batch", (Route("POST", create_events, streams=True),)),
        ("/api", (Route("GET", server_info),)),
        ("/api/instances", (Route("GET", list_instances),)),
        ("/api/instances/{instance}", (Route("GET", get_instance),)),
        ("/healthz", (Route("GET", healthz),)),
        ("/readyz", (Route("GET", readyz),)),
    )
)


def find(path: str) -> tuple[tuple[Route, ...], Mapping[str, str]]:
    """Return the routes of a path and the names in it; no routes for an unknown path.

    >>> routes, names = find("/api/archive/sim/events/")
    >>> [route.method for route in routes], names
    (['GET', 'POST'], {'instance': 'sim'})
    """
    for pattern, routes in _TABLE:
        match = pattern.fullmatch(path)
        if match is not None:
            return routes, match.groupdict()
    return (), {}

"""The requests, in the order in which both servers get them: storing, reading, and events of now.

Events that are read have their own times, before 2026-07, sources and numbers. Events without a time are sent
last, so that no answer depends on the clock.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.differential import live, reading, storing
from benchmarks.differential.exchange import Case
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

PROTOBUF = "application/protobuf"
BINARY = {"Accept": PROTOBUF}
BINARY_BODY = {"Accept": PROTOBUF, "Content-Type": PROTOBUF}


def cases() -> Iterator[Case]:
    """Yield all requests."""
    yield from storing.created()
    yield from storing.refused()
    yield from reading.listed()
    yield from reading.filtered()
    yield from reading.streamed()
    yield from _binary()
    yield from _server()
    yield from live.sessions()
    yield from storing.of_now()


def _binary() -> Iterator[Case]:
    request = today.CreateEventRequest(message="binary", source="PB", sequenceNumber=1, severity="watch")
    request.time.FromJsonString("2026-05-01T12:00:00.5Z")
    request.extra["unit"] = "V"
    body = request.SerializeToString()
    yield Case("protobuf: create", "POST", "/events", body, BINARY_BODY, message="Event")
    yield Case(
        "protobuf: create, no Accept", "POST", "/events", body, {"Content-Type": PROTOBUF}, message="Event"
    )
    yield Case(
        "protobuf: create, JSON asked", "POST", "/events", body, {**BINARY_BODY, "Accept": "application/json"}
    )
    yield Case("protobuf: no message", "POST", "/events", b"", BINARY_BODY)
    yield Case("protobuf: garbage", "POST", "/events", b"\xff\xff", BINARY_BODY)
    query = "?source=LA&source=old&order=asc&stop=2026-06-15T00:00:00Z"
    kinds = {"headers": BINARY, "message": "ListEventsResponse"}
    yield Case("protobuf: list", "GET", f"/events{query}", **kinds)  # type: ignore[arg-type]
    yield Case("protobuf: page", "GET", f"/events{query}&limit=3", **kinds)  # type: ignore[arg-type]
    yield Case("protobuf: no match", "GET", "/events?source=nosuch", **kinds)  # type: ignore[arg-type]
    yield Case("protobuf: bad filter", "GET", "/events?filter=foo%3D1", headers=BINARY)
    yield Case("protobuf: unknown instance", "GET", "/api/archive/nosuch/events", headers=BINARY)
    asked = today.StreamEventsRequest(source=["LA", "LB"], severity="watch")
    stream = "/api/stream-archive/bench:streamEvents"
    yield Case("protobuf: stream", "POST", stream, asked.SerializeToString(), BINARY_BODY, message="Event")
    listed = today.ListEventsRequest(source=["LA"], limit=4, order="asc", filter="severity=info")
    yield Case(
        "protobuf: events:list",
        "POST",
        "/events:list",
        listed.SerializeToString(),
        BINARY_BODY,
        message="ListEventsResponse",
    )
    yield Case(
        "protobuf: sources",
        "GET",
        "/events/sources",
        headers=BINARY,
        may=("accepted-events",),
        message="ListEventSourcesResponse",
    )


def _server() -> Iterator[Case]:
    yield Case("server", "GET", "/api", may=("server-info",))
    yield Case("server: slash", "GET", "/api/", may=("server-info",))
    yield Case("instances", "GET", "/api/instances", may=("instance",))
    yield Case("instance", "GET", "/api/instances/bench", may=("instance",))
    yield Case("instance: unknown", "GET", "/api/instances/nosuch")
    yield Case("auth", "GET", "/auth")
    yield Case("user", "GET", "/api/user", may=("user",))
    for method, path in (
        *(
            ("GET", "/nosuch/x"),
            ("GET", "/api/nosuch"),
            ("DELETE", "/events"),
            ("PUT", "/events"),
            ("PATCH", "/events"),
        ),
        *(
            ("POST", "/events/sources"),
            ("GET", "/events:list"),
            ("OPTIONS", "/events"),
            ("GET", "/api/archive/bench/EVENTS"),
        ),
        *(("GET", "/api//instances"), ("GET", "/events/nosuch"), ("POST", "/api")),
    ):
        yield Case(
            f"unknown: {method} {path}", method, path, may=("web-pages",) if path == "/nosuch/x" else ()
        )

"""Pages in browsers: those of listed origins may use the server, all others may not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.http.feeds import Answer, Feed, asgi_feed, core_feed, socket_feed, waitress_server, wsgi_feed
from yamcs_archive import Archive, Event, Instance, InvalidInputError
from yamcs_archive.errors import UnavailableError
from yamcs_archive.http.application import Application
from yamcs_archive.http.cors import Origins
from yamcs_archive.http.errors import BodyTooLargeError, CutOffError
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.request_and_response import Head, Pending, Response
from yamcs_archive.http.wsgi import create_app
from yamcs_archive.wire.codec import PROTOBUF

LISTED, OTHER = "https://ops.example", "https://elsewhere.example"
ALLOWED = [LISTED, "http://LOCALHOST:9000", "https://with-port.example:443"]
EVENTS = "/api/archive/sim/events"
STREAM = "/api/stream-archive/sim:streamEvents"
EXPORT = "/api/archive/sim:exportEvents"
VARY = "Accept, Accept-Encoding, Origin"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}


@pytest.fixture(params=["core", "wsgi", "asgi", "waitress"])
def send(request: pytest.FixtureRequest, archive: Archive, sim: Instance) -> Iterator[Feed]:
    """Send a request to an archive with a list of origins, through one feed after another."""
    with ExitStack() as stack:
        if request.param == "core":
            yield core_feed(archive, ALLOWED)
        elif request.param == "wsgi":
            yield wsgi_feed(archive, create_app(archive, cors_origins=ALLOWED))
        elif request.param == "asgi":
            yield asgi_feed(archive, cors_origins=ALLOWED)
        else:
            yield socket_feed(stack.enter_context(waitress_server(archive, ALLOWED)))


def of_cors(answer: Answer) -> dict[str, str]:
    return {
        name: value
        for name, value in answer.headers.items()
        if name == "vary" or name.startswith("access-control")
    }


def shown_to(origin: str) -> dict[str, str]:
    return {
        "vary": VARY,
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "allow, content-disposition, continuation-token, retry-after",
    }


class Asked(NamedTuple):
    """A request, and the status of its answer for programs other than browsers."""

    method: str
    target: str
    body: str
    status: int


REQUESTS = [
    Asked("GET", EVENTS, "", 200),
    Asked("POST", EVENTS, '{"message": "m"}', 200),
    Asked("POST", f"{EVENTS}:batch", '{"message": "m"}\n', 200),
    Asked("POST", STREAM, "", 200),
    Asked("GET", EXPORT, "", 200),
    Asked("GET", f"{EVENTS}?limit=0", "", 400),
    Asked("POST", EVENTS, "{", 400),
    Asked("GET", "/api/archive/nosuch/events", "", 404),
    Asked("GET", "/api/mdb/sim/commands/stop", "", 404),
    Asked("DELETE", EVENTS, "", 405),
    Asked("OPTIONS", EVENTS, "", 405),
]


def test_every_answer_is_shown_to_pages_of_a_listed_origin(send: Feed, sim: Instance) -> None:
    sim.append(Event("m", source="S"))
    for origin in (LISTED, "http://localhost:9000", "https://with-port.example"):
        for asked in REQUESTS:
            answer = send(asked.method, asked.target, asked.body, {"Origin": origin})
            assert (answer.status, of_cors(answer)) == (asked.status, shown_to(origin)), asked


@pytest.mark.parametrize(
    "origin",
    [
        *(OTHER, "http://ops.example", "https://ops.example:8443", "https://ops.example.evil.example"),
        *(
            "https://sub.ops.example",
            "https://ops.example/",
            "https://ops.example, https://elsewhere.example",
        ),
        *("null", "*", "", "ops.example", "https://"),
    ],
)
def test_pages_of_other_origins_see_no_answer_and_cannot_send(
    archive: Archive, sim: Instance, origin: str
) -> None:
    sim.append(Event("m", source="S"))
    send = core_feed(archive, ALLOWED)
    for asked in REQUESTS:
        answer = send(asked.method, asked.target, asked.body, {"Origin": origin})
        assert of_cors(answer) == {"vary": VARY}, asked
        assert answer.status == (403 if asked.method == "POST" else asked.status), asked
    assert len(list(sim.events())) == 1


def test_programs_that_send_no_origin_are_not_asked_for_one(send: Feed, sim: Instance) -> None:
    for method, target, body, status in REQUESTS:
        answer = send(method, target, body)
        assert (answer.status, of_cors(answer)) == (status, {"vary": VARY})


def test_a_preflight_of_a_listed_origin_gets_the_allowed_methods_and_headers(send: Feed) -> None:
    answer = send("OPTIONS", EVENTS, "", {"Origin": LISTED, **PREFLIGHT})
    assert (answer.status, answer.body) == (204, b"")
    assert of_cors(answer) == shown_to(LISTED) | {
        "access-control-allow-methods": "GET, HEAD, POST",
        "access-control-allow-headers": (
            "accept, authorization, content-encoding, content-type, idempotency-key"
        ),
        "access-control-max-age": "3600",
    }
    answer = send("OPTIONS", STREAM, "", {"Origin": LISTED, **PREFLIGHT})
    assert answer.headers["access-control-allow-methods"] == "POST"


def test_a_preflight_of_another_origin_is_an_unknown_method(send: Feed) -> None:
    answer = send("OPTIONS", EVENTS, "", {"Origin": OTHER, **PREFLIGHT})
    assert (answer.status, of_cors(answer)) == (405, {"vary": VARY})
    assert send("OPTIONS", "/nosuch", "", {"Origin": OTHER, **PREFLIGHT}).status == 404
    assert send("OPTIONS", EVENTS, "", PREFLIGHT).status == 405
    assert send("OPTIONS", "/nosuch", "", PREFLIGHT).status == 404
    assert send("OPTIONS", "/nosuch", "", {"Origin": LISTED}).status == 404  # no preflight


@pytest.mark.parametrize("path", ["/api/processors/sim/realtime/parameters/a", "/", "/x//"])
def test_a_preflight_of_a_listed_origin_is_a_204_where_nothing_is_served(send: Feed, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        asks = {"access-control-request-method": method, "access-control-request-headers": "content-type"}
        answer = send("OPTIONS", path, "", {"Origin": LISTED, **asks})
        assert (answer.status, answer.body) == (204, b"")
        assert method in answer.headers["access-control-allow-methods"].split(", ")
        assert answer.headers["access-control-allow-origin"] == LISTED
        # Then the page can read the 404, which is JSON.
        found = send(method, path, "", {"Origin": LISTED, "Content-Type": "application/json"})
        assert (found.status, found.json()["code"]) == (404, 404)
        assert found.headers["access-control-allow-origin"] == LISTED


@pytest.mark.parametrize("origin", [LISTED, OTHER])
def test_without_a_list_there_are_no_headers_and_no_preflight(core: Feed, sim: Instance, origin: str) -> None:
    for method, target, body, status in REQUESTS:
        answer = core(method, target, body, {"Origin": origin})
        expected = 403 if method == "POST" else status
        assert (answer.status, of_cors(answer)) == (expected, {"vary": "Accept, Accept-Encoding"})
    answer = core("OPTIONS", EVENTS, "", {"Origin": origin, **PREFLIGHT})
    assert (answer.status, of_cors(answer)) == (405, {"vary": "Accept, Accept-Encoding"})
    assert list(sim.events()) == []


@pytest.mark.parametrize("host", ["a.localhost", "LOCALHOST:8090", "[::1]:8090"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_pages_of_the_servers_own_address_may_send(core: Feed, sim: Instance, host: str, scheme: str) -> None:
    headers = {"Host": host, "Origin": f"{scheme}://{host.lower()}"}
    assert core("POST", EVENTS, '{"message": "m"}', headers).status == 200
    headers = {"Host": host, "Origin": f"{scheme}://{host.lower()}1"}
    assert core("POST", EVENTS, '{"message": "m"}', headers).status == 403
    assert core("POST", EVENTS, '{"message": "m"}', {"Host": "", "Origin": "null"}).status == 403


def test_a_refusal_says_how_to_allow_it(core: Feed) -> None:
    answer = core("POST", EVENTS, '{"message": "m"}', {"Origin": OTHER})
    assert answer.json()["type"] == "ForbiddenException"
    assert OTHER in answer.json()["msg"]
    assert "--cors-origin" in answer.json()["msg"]
    binary = core("POST", EVENTS, b"", {"Origin": OTHER, "Accept": PROTOBUF})
    assert (binary.status, binary.headers["content-type"]) == (403, PROTOBUF)


@pytest.mark.parametrize(
    "answer",
    [
        lambda exchange: exchange.run(b'{"message": "m"}'),
        lambda exchange: exchange.run(b"{"),
        lambda exchange: exchange.run([b'{"message": "m"}']),
        lambda exchange: exchange.refuse(CutOffError(1, 2)),
        lambda exchange: exchange.refuse(BodyTooLargeError()),
        lambda exchange: exchange.refuse(UnavailableError("no room")),
    ],
)
@pytest.mark.parametrize("target", [EVENTS, f"{EVENTS}:batch"])
def test_each_way_out_of_an_exchange_carries_the_headers(
    archive: Archive, sim: Instance, target: str, answer: Callable[[Exchange], Response | Pending[Response]]
) -> None:
    exchange = Application(archive, cors_origins=ALLOWED).begin(Head("POST", target, "", {"origin": LISTED}))
    assert isinstance(exchange, Exchange)
    found = answer(exchange)
    response = found if isinstance(found, Response) else found.wait()
    assert ("access-control-allow-origin", LISTED) in response.headers


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "null", "", "ops.example", "https://", "https://ops.example/", "https://ops.example/path"),
        *("https://ops.example:", "https://ops.example:port", "https://*.example", "https://a b", "//ops"),
        *(
            "https://user@ops.example",
            "https://ops.example?x",
            "https://öps.example",
            "https://ops.example\n",
        ),
    ],
)
def test_a_text_that_is_no_origin_cannot_be_listed(origin: str) -> None:
    with pytest.raises(InvalidInputError, match="cors_origin"):
        Origins([LISTED, origin])


@pytest.mark.parametrize("origin", ["http://[::1]:9000", "capacitor://localhost", "http://127.0.0.1"])
def test_other_origins_that_browsers_send_can_be_listed(origin: str) -> None:
    assert Origins([origin]).foreign({"origin": origin}) is None
    assert Origins().foreign({"origin": origin}) == origin

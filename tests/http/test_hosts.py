"""Names in ``Host`` that are not the server's are refused: on every route, and for WebSockets."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
import websocket

from tests.http.conforms import DOCUMENT
from tests.http.feeds import bridge_server, core_feed, uvicorn_server, waitress_server, wsgi_feed
from yamcs_archive import Archive, Instance, InvalidInputError
from yamcs_archive.http.application import Application
from yamcs_archive.http.asgi import create_asgi_app
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.hosts import Hosts, names_of
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.http.wsgi import create_app
from yamcs_archive.wire.codec import PROTOBUF

EVENTS = "/api/archive/sim/events"
EVIL = "evil.example"
EVERYWHERE = [
    *("localhost", "localhost.", "LocalHost:8090", "a.b.localhost", "x.LOCALHOST.:1", "localhost:"),
    *("127.0.0.1", "127.0.0.1:8090", "10.1.2.3", "[::1]", "[::1]:8090", "[FE80::1]", "[::ffff:1.2.3.4]:80"),
    *("", " "),
]
"""Hosts that are accepted without configuration."""
NOWHERE = [
    *(EVIL, "EVIL.example", "evil.example.", "evil.example:8090", "localhost.evil.example", "evillocalhost"),
    *("localhost..", ".", "localhost@evil.example", "evil.example@localhost", "user:a@localhost"),
    *("localhost, evil.example", "evil.example, localhost", "localhost,localhost", "localhost evil.example"),
    *("::1", "[::1", "[evil.example]", "[]", "127.0.0.1.evil.example", "127.1", "0x7f.0.0.1", "2130706433"),
    *("1.2.3.4.5", "http://localhost", "localhost/", "localhost:port", "localhost:123456", "localhost#"),
    *("localhost\0", "lOcalhoſt", "localhost" * 5000),
]


def taken(hosts: Hosts, host: str) -> bool:
    return hosts.refusal({"host": host}) is None


@pytest.mark.parametrize("host", EVERYWHERE)
def test_names_of_this_machine_and_addresses_are_taken(host: str) -> None:
    assert taken(Hosts(), host)
    assert taken(Hosts(["ops.example"]), host)


def test_no_host_is_taken() -> None:
    assert Hosts().refusal({}) is None


@pytest.mark.parametrize("host", NOWHERE)
def test_all_others_are_refused_by_a_text_that_names_the_flag(host: str) -> None:
    for hosts in (Hosts(), Hosts(["ops.example", ".a.example"])):
        text = hosts.refusal({"host": host, "x-forwarded-host": "localhost", "forwarded": "host=localhost"})
        assert text is not None
        assert "--allowed-host" in text
        assert "allowed_hosts=" in text
        assert len(text) < 400


def test_configured_names_are_accepted_with_any_port_and_in_any_letter_case() -> None:
    hosts = Hosts(["ops.example", "my_archive", ".A.example."], origins=["https://page.example:9000"])
    for host in (
        "OPS.example.",
        "ops.example:1",
        "my_archive:8090",
        "page.example",
        "a.example",
        "b.a.example",
    ):
        assert taken(hosts, host), host
    for host in ("xops.example", "x.ops.example", "xa.example", "example", "a.example.evil.example"):
        assert not taken(hosts, host), host


@pytest.mark.parametrize(
    "name",
    [
        "*",
        "*.example",
        "",
        ".",
        "ops.example:80",
        "http://ops.example",
        "a b",
        "..example",
        "öps.example",
        "-a",
    ],
)
def test_a_text_that_is_no_name_of_a_host_cannot_be_allowed(archive: Archive, name: str) -> None:
    for make in (Hosts, lambda names: create_app(archive, allowed_hosts=names)):
        with pytest.raises(InvalidInputError, match="allowed_host"):
            make(["ops.example", name])


@pytest.mark.parametrize(
    ("address", "names"),
    [("ops", ("ops",)), ("127.0.0.1", ()), ("0.0.0.0", ()), ("::", ()), ("fe80::1%eth0", ()), ("", ())],
)
def test_the_address_that_is_listened_on_is_a_name_where_it_is_one(
    address: str, names: tuple[str, ...]
) -> None:
    assert names_of(address) == names
    assert Hosts(names_of(address)).refusal({"host": address if names else "localhost"}) is None


OPERATIONS = [
    *((method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods),
    *(("HEAD", EVENTS), ("OPTIONS", EVENTS), ("DELETE", EVENTS), ("GET", "/nosuch"), ("GET", "/")),
]


@pytest.mark.parametrize("media", ["application/json", PROTOBUF])
def test_every_route_and_every_other_path_refuses(archive: Archive, sim: Instance, media: str) -> None:
    origins = ["https://ops.example"]
    send = core_feed(archive, origins)
    for method, path in OPERATIONS:
        if method == "PARAMETERS":
            continue
        target = path.replace("{instance}", "sim")
        asks = {"origin": origins[0], "access-control-request-method": "GET"}  # the preflight too
        answer = send(method, target, b'{"message": "m"}', {"Host": f"{EVIL}:8090", "Accept": media, **asks})
        assert (answer.status, answer.headers["content-type"]) == (403, media), (method, path)
        assert method == "HEAD" or b"--allowed-host" in answer.body
    assert list(sim.events()) == []


def test_a_page_whose_name_was_rebound_neither_writes_nor_listens(archive: Archive, sim: Instance) -> None:
    """For the browser, the page has the server's own origin: ``Origin`` and ``Host`` are equal."""
    rebound = {"Host": f"{EVIL}:18731", "Origin": f"http://{EVIL}:18731"}
    for send in (core_feed(archive), wsgi_feed(archive)):
        assert send("POST", EVENTS, '{"message": "m"}', rebound).status == 403
        assert send("GET", EVENTS, "", rebound).status == 403
    assert list(sim.events()) == []
    core = Application(archive, live=True, allowed_hosts=["ops.example"])
    lower = {name.lower(): value for name, value in rebound.items()}
    refused = core.handshake(Head("GET", "/api/websocket", "", lower))
    assert isinstance(refused, Response)
    assert refused.status == 403
    accepted = core.handshake(Head("GET", "/api/websocket", "", {"host": "ops.example:1"}))
    assert isinstance(accepted, Exchange)
    with uvicorn_server(archive) as port:
        with pytest.raises(websocket.WebSocketBadStatusException) as caught:
            websocket.create_connection(
                f"ws://127.0.0.1:{port}/api/websocket", timeout=30, host=f"{EVIL}:{port}"
            )
        assert caught.value.status_code == 403


def test_both_applications_take_the_names_that_they_are_given(archive: Archive, sim: Instance) -> None:
    headers = {"Host": "ops.example"}
    wsgi = wsgi_feed(archive, create_app(archive, allowed_hosts=[".example"]))
    assert wsgi("GET", EVENTS, "", headers).status == 200
    app = create_asgi_app(archive, allowed_hosts=[".example"])
    assert app.core.begin(Head("GET", "/nosuch", "", {"host": "ops.example"})).status == 404  # type: ignore[union-attr]
    assert app.core.begin(Head("GET", "/nosuch", "", {"host": "ops.test"})).status == 403  # type: ignore[union-attr]


def status_of(port: int, lines: Sequence[str]) -> int:
    """Send the lines of a head unchanged, and return the status."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in (*lines, "Connection: close", "")).encode())
        return int(connection.recv(100).split()[1])


@pytest.mark.parametrize(
    "server", [uvicorn_server, bridge_server, waitress_server], ids=["ASGI", "WSGI", "waitress"]
)
def test_a_strange_head_passes_the_check_of_hosts_in_no_server(archive: Archive, server: object) -> None:
    assert callable(server)
    with server(archive) as port:
        for status, lines in [
            (200, ["GET /healthz HTTP/1.1", "Host: localhost"]),
            (200, ["GET /healthz HTTP/1.0"]),
            (403, ["GET /healthz HTTP/1.0", f"Host: {EVIL}"]),
            (403, ["GET /healthz HTTP/1.1", f"Host: {EVIL}", "X-Forwarded-Host: localhost"]),
            (403, [f"GET http://{EVIL}/healthz HTTP/1.1", f"Host: {EVIL}"]),
            (403, ["GET http://localhost/healthz HTTP/1.1", f"Host: {EVIL}"]),
            (200, ["GET http://localhost/healthz HTTP/1.1", "Host: localhost"]),
        ]:
            assert status_of(port, lines) == status, lines
        for first, second in [("localhost", EVIL), (EVIL, "localhost"), ("localhost", "localhost")]:
            lines = ["GET /healthz HTTP/1.1", f"Host: {first}", f"Host: {second}"]
            assert status_of(port, lines) in (400, 403), lines  # some servers refuse it themselves

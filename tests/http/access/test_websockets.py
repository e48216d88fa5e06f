"""WebSockets of a server with users: the handshake, each subscription, and their end with the right."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket
from websocket import ABNF, WebSocket

from tests.http.feeds import uvicorn_at
from tests.http.users import PASSWORD, add, basic, bearer
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.access import administration
from yamcs_archive.access.passwords import NOBODYS
from yamcs_archive.access.permissions import Grant
from yamcs_archive.http.access import current_users
from yamcs_archive.http.access.options import AccessOptions
from yamcs_archive.http.asgi import create_asgi_app

WAIT_S = 60
Connect = Callable[..., WebSocket]


@pytest.fixture
def connect(
    archive: Archive, sim: Instance, path: Path, root: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Connect]:
    """Open WebSockets to a server with users, with the headers of a user."""
    monkeypatch.setattr(current_users, "WATCH_S", 0.01)
    opened: list[WebSocket] = []
    app = create_asgi_app(archive, access=AccessOptions(users=path))
    with uvicorn_at(archive, 0, app) as port:

        def connect(headers: dict[str, str], **more: Any) -> WebSocket:
            url = f"ws://127.0.0.1:{port}/api/websocket"
            opened.append(websocket.create_connection(url, timeout=WAIT_S, header=headers, **more))
            return opened[-1]

        yield connect
        for each in opened:
            each.close()
            each.shutdown()  # type: ignore[no-untyped-call]  # what the server has closed is not closed by close()
        app.end_polls()


def subscribe(open_socket: WebSocket, instance: str = "sim") -> dict[str, Any]:
    """Subscribe to the events of an instance, and return the reply."""
    open_socket.send(json.dumps({"type": "events", "id": 1, "options": {"instance": instance}}))
    reply: dict[str, Any] = json.loads(open_socket.recv())
    return reply


def refused(connect: Connect, headers: dict[str, str], **more: Any) -> int:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        connect(headers, **more)
    return caught.value.status_code


def test_a_handshake_needs_a_login(connect: Connect, path: Path, root: dict[str, str]) -> None:
    for headers in ({}, basic("root", "wrong"), bearer("x"), {"x-api-key": "x"}):
        assert refused(connect, headers) == 401
    token = administration.add_token(path, "root", "t")
    for headers in (root, bearer(token), {"x-api-key": token}):
        assert "exception" not in subscribe(connect(headers))["data"]


def test_a_page_of_another_origin_is_refused_whatever_its_cookie(connect: Connect, path: Path) -> None:
    token = administration.add_token(path, "root", "t")
    assert refused(connect, bearer(token), origin="https://evil.example") == 403
    connect(bearer(token), suppress_origin=True)


def test_a_subscription_needs_the_right_to_read_that_instance(connect: Connect, path: Path) -> None:
    ada = add(path, "ada", "ReadEvents@other", "WriteEvents")
    for name in ("sim", "nosuch"):
        told = subscribe(connect(ada), name)["data"]["exception"]
        assert (told["code"], told["msg"]) == (403, "Missing system privilege 'ReadEvents'")


@pytest.mark.parametrize("topic", ["time", "alarms", "global-alarm-status"])
def test_what_is_beside_events_needs_that_right_too_and_ends_with_it(
    connect: Connect, path: Path, topic: str
) -> None:
    asked = json.dumps({"type": topic, "id": 1, "options": {"instance": "sim", "processor": "realtime"}})
    ada, bob = connect(add(path, "ada", "ReadEvents@other")), connect(add(path, "bob", "ReadEvents@sim/GNC"))
    ada.send(asked)
    told = json.loads(ada.recv())["data"]["exception"]
    assert (told["code"], told["msg"]) == (403, "Missing system privilege 'ReadEvents'")
    bob.send(asked)
    assert "call" in json.loads(bob.recv())
    administration.set_permissions(path, "bob", [Grant.parse("ReadEvents@other")])
    assert closed(bob)[0] == 1008


def test_only_events_of_some_sources_are_sent(connect: Connect, path: Path, sim: Instance) -> None:
    some, every = connect(add(path, "ada", "ReadEvents@sim/GNC*")), connect(basic("root", PASSWORD))
    subscribe(some), subscribe(every)
    for source in ("AOCS", "GNC 2", "EPS", "GNC"):
        sim.append(Event("a", source=source))
    assert [json.loads(some.recv())["data"]["source"] for _ in range(2)] == ["GNC 2", "GNC"]
    assert [json.loads(every.recv())["data"]["source"] for _ in range(4)] == ["AOCS", "GNC 2", "EPS", "GNC"]


def closed(open_socket: WebSocket) -> tuple[int, str]:
    """Return code and reason of the close that comes next."""
    while True:
        opcode, data = open_socket.recv_data(control_frame=True)
        if opcode == ABNF.OPCODE_CLOSE:
            return int.from_bytes(data[:2], "big"), data[2:].decode()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: administration.remove_user(path, "ada"), "the login has ended"),
        (lambda path: administration.set_password(path, "ada", NOBODYS), "the login has ended"),
        (lambda path: administration.set_permissions(path, "ada", []), "a permission was changed"),
        (
            lambda path: administration.set_permissions(path, "ada", [Grant.parse("ReadEvents@sim/GNC")]),
            "a permission was changed",
        ),
    ],
)
def test_it_ends_when_the_right_is_taken_away(
    connect: Connect, path: Path, change: Callable[[Path], None], reason: str
) -> None:
    ada = connect(add(path, "ada", "ReadEvents"))
    subscribe(ada)
    change(path)
    code, told = closed(ada)
    assert code == 1008
    assert told.startswith(reason)


def test_it_goes_on_when_another_right_changes(connect: Connect, path: Path, sim: Instance) -> None:
    ada = connect(add(path, "ada", "ReadEvents"))
    subscribe(ada)
    administration.set_permissions(path, "ada", [Grant.parse("ReadEvents"), Grant.parse("WriteEvents")])
    add(path, "bob", "ReadEvents")
    sim.append(Event("still"))
    assert json.loads(ada.recv())["data"]["message"] == "still"
    administration.set_permissions(path, "ada", [Grant.parse("ReadEvents@sim")])
    sim.append(Event("still"))
    assert json.loads(ada.recv())["data"]["message"] == "still"
    told = subscribe(ada, "other")["data"]
    assert told["exception"]["code"] in (403, 404)


def test_it_ends_with_the_token_that_opened_it(connect: Connect, path: Path) -> None:
    add(path, "ada", "ReadEvents")
    ada = connect(bearer(administration.add_token(path, "ada", "t")))
    subscribe(ada)
    administration.revoke_token(path, "ada", "t")
    assert closed(ada)[0] == 1008

"""How much one client may ask: requests at once, and requests a second."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
import websocket

from tests.http.feeds import uvicorn_at
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.http import client_limits
from yamcs_archive.http.client_limits import ClientLimits
from yamcs_archive.http.errors import HttpError
from yamcs_archive.http.wsgi import create_app

HALF = b"POST /api/archive/sim/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
POLL = "/api/archive/sim/events:changes?wait=60"


class Clock:
    """A clock that stands still until it is set."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def taken(limits: ClientLimits, address: str, number: int) -> int:
    """Send so many requests, each ended at once, and return how many are taken."""
    count = 0
    for _ in range(number):
        try:
            limits.enter(address)
        except HttpError as error:
            assert error.status == 429
        else:
            limits.leave(address)
            count += 1
    return count


@pytest.mark.parametrize("rate", [1, 2, 50])
def test_a_client_may_send_so_many_requests_a_second(rate: int) -> None:
    clock = Clock()
    limits = ClientLimits(None, rate, clock)
    assert taken(limits, "a", rate + 1) == rate
    assert taken(limits, "b", 1) == 1
    clock.now_s += 0.999 / rate
    assert taken(limits, "a", 1) == 0
    clock.now_s += 0.002 / rate
    assert taken(limits, "a", 2) == 1
    clock.now_s += 1e6
    assert taken(limits, "a", rate + 1) == rate


@pytest.mark.parametrize("rate", [1, 3])
def test_a_client_is_told_when_to_come_again(rate: int) -> None:
    limits = ClientLimits(None, rate, Clock())
    taken(limits, "a", rate)
    with pytest.raises(HttpError, match=f"a has sent more than {rate} requests in a second") as caught:
        limits.enter("a")
    assert caught.value.headers == (("retry-after", "1"),)


def test_so_many_clients_are_remembered_and_those_with_requests_under_way_always(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_limits, "CLIENTS_KNOWN_MAX", 10)
    limits = ClientLimits(1, None)
    limits.enter("busy")
    for number in range(100):
        assert taken(limits, f"a{number}", 1) == 1
        assert limits.known <= 10
    with pytest.raises(HttpError):
        limits.enter("busy")
    limits.leave("busy")
    limits.enter("busy")


@pytest.fixture(params=[False, True], ids=["ASGI", "WSGI"])
def port(archive: Archive, sim: Instance, request: pytest.FixtureRequest) -> Iterator[int]:
    """Serve with two requests of one client at once; yield the port."""
    app = create_app(archive) if request.param else None
    with uvicorn_at(archive, 0, app, client_limits=ClientLimits(2, None)) as port:
        yield port


def asking(held: ExitStack, port: int, target: str) -> http.client.HTTPConnection:
    connection = held.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)))
    connection.request("GET", target)
    return connection


def test_one_request_too_many_of_a_client_is_a_429(port: int, sim: Instance) -> None:
    with ExitStack() as held:
        polls = [asking(held, port, POLL) for _ in range(2)]
        time.sleep(0.2)
        connection = asking(held, port, "/api/instances")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        told = json.loads(answer.read())
        assert told["type"] == "TooManyRequestsException"
        assert "2 requests of 127.0.0.1 are under way, the limit for one client" in told["msg"]
        sim.append(Event("m"))
        assert [poll.getresponse().status for poll in polls] == [200, 200]
        for poll in polls:
            poll.close()
        connection.request("GET", "/api/instances")  # the same connection goes on
        assert connection.getresponse().status == 200


def test_a_client_that_leaves_gives_its_places_back(port: int) -> None:
    for _ in range(3):
        with ExitStack() as held:
            for _ in range(2):
                raw = held.enter_context(socket.create_connection(("127.0.0.1", port)))
                raw.sendall(HALF)
            time.sleep(0.1)
        ends_s = time.monotonic() + 30
        while True:
            with ExitStack() as held:
                if asking(held, port, "/healthz").getresponse().status == 200:
                    break
            assert time.monotonic() < ends_s


def test_websockets_count_as_requests(archive: Archive, sim: Instance) -> None:
    with uvicorn_at(archive, 0, client_limits=ClientLimits(1, None)) as port, ExitStack() as held:
        url = f"ws://127.0.0.1:{port}/api/websocket"
        first = websocket.create_connection(url, timeout=30)
        held.callback(first.shutdown)
        with pytest.raises(websocket.WebSocketBadStatusException) as caught:
            websocket.create_connection(url, timeout=30)
        assert caught.value.status_code == 429
        assert asking(held, port, "/healthz").getresponse().status == 429

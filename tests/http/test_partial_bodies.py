"""Bodies that do not come whole: they are counted, hold no thread, and take nothing from those that do."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from tests.http.feeds import uvicorn_at
from yamcs_archive import Archive, Instance
from yamcs_archive.errors import UnavailableError
from yamcs_archive.http import asgi_threads, request_bodies
from yamcs_archive.http.asgi_threads import Pools
from yamcs_archive.http.limits import BODIES_BYTES_MAX, QUICK_BODY_BYTES_MAX
from yamcs_archive.http.request_and_response import Work
from yamcs_archive.http.wsgi import create_app
from yamcs_archive.limits import BODY_BYTES_MAX

EVENTS = "/api/archive/sim/events"
HEAD = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["ASGI", "WSGI"])
def wsgi(request: pytest.FixtureRequest) -> bool:
    """Serve by ASGI, and by WSGI."""
    is_wsgi: bool = request.param
    return is_wsgi


@contextmanager
def served(archive: Archive, wsgi: bool) -> Iterator[int]:
    with uvicorn_at(archive, 0, create_app(archive) if wsgi else None) as port:
        yield port


def half_sent(held: ExitStack, port: int, path: str, size: int, sent: int) -> socket.socket:
    raw = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
    media = b"application/x-ndjson" if path.endswith("batch") else b"application/json"
    raw.sendall(HEAD % (path.encode(), media, size) + b" " * sent)
    return raw


def asking(held: ExitStack, port: int) -> http.client.HTTPConnection:
    return held.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)))


def post(port: int, body: bytes) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", EVENTS, body)
        answer = connection.getresponse()
        return answer.status, answer.read()


def status_of(raw: socket.socket) -> int:
    return int(raw.recv(65536).split()[1])


@pytest.mark.parametrize("path", [EVENTS, f"{EVENTS}:batch"])
def test_half_sent_bodies_have_room_together_and_give_it_back(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, wsgi: bool, path: str
) -> None:
    monkeypatch.setattr(request_bodies, "PARTIAL_BODIES_BYTES_MAX", 100_000)
    with served(archive, wsgi) as port:
        for _ in range(2):
            with ExitStack() as held:
                half = [half_sent(held, port, path, 50_000, 40_000) for _ in range(2)]
                time.sleep(0.1)
                late = half_sent(held, port, path, 50_000, 40_000)
                assert status_of(late) == 503
                assert post(port, b'{"message": "' + b"m" * 30_000 + b'"}')[0] == 200  # it comes at once
                for raw in half:
                    raw.sendall(b" " * (10_000 - 16) + b'{"message": "m"}')
                    assert status_of(raw) == 200
                held.pop_all().close()


def test_half_sent_bodies_hold_no_thread(archive: Archive, sim: Instance, wsgi: bool) -> None:
    with served(archive, wsgi) as port, ExitStack() as held:  # with 8 threads under WSGI
        for path in (EVENTS, f"{EVENTS}:batch"):
            for size in (10, QUICK_BODY_BYTES_MAX + 1):
                for _ in range(20):
                    half_sent(held, port, path, size, 5)
        time.sleep(0.2)
        assert post(port, b'{"message": "m"}')[0] == 200


def test_large_bodies_under_wsgi_wait_for_room_as_under_asgi(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, wsgi: bool
) -> None:
    monkeypatch.setattr("yamcs_archive.http.admission.BodyBudget.enter.__defaults__", (0.3,))
    with served(archive, wsgi) as port, ExitStack() as held:
        for _ in range(BODIES_BYTES_MAX // BODY_BYTES_MAX):
            half_sent(held, port, EVENTS, BODY_BYTES_MAX, 5)
        time.sleep(0.2)
        status, told = post(port, b" " * QUICK_BODY_BYTES_MAX + b'{"message": "m"}')
        assert status == 503
        assert b"bytes of bodies are under way, the limit" in told
        assert post(port, b'{"message": "m"}')[0] == 200
        assert list(sim.events(text="nothing")) == []
        held.pop_all().close()
        ends_s = time.monotonic() + 30
        while post(port, b" " * QUICK_BODY_BYTES_MAX + b'{"message": "m"}')[0] != 200:
            assert time.monotonic() < ends_s


def test_a_body_beyond_the_limit_is_refused_by_its_head_and_of_chunks_when_it_passes_it(
    archive: Archive, sim: Instance, wsgi: bool
) -> None:
    with served(archive, wsgi) as port, ExitStack() as held:
        assert status_of(half_sent(held, port, EVENTS, BODY_BYTES_MAX + 1, 0)) == 413
        connection = asking(held, port)
        chunks = (b" " * (1 << 20) for _ in range(BODY_BYTES_MAX // (1 << 20) + 1))
        connection.request("POST", EVENTS, chunks, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        assert connection.getresponse().status == 413
        assert status_of(half_sent(held, port, "/nosuch", 10, 0)) == 404


def test_so_many_requests_wait_for_a_thread(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, wsgi: bool
) -> None:
    monkeypatch.setattr(asgi_threads, "PAGES_WAITING_MAX", 2)
    monkeypatch.setattr("yamcs_archive.http.asgi.PAGE_THREADS", 8)
    monkeypatch.setattr("yamcs_archive.http.asgi.create_asgi_app.__defaults__", (8,))
    goes_on, begun = threading.Event(), threading.Semaphore(0)
    found = Instance.events

    def slow(*given: Any, **named: Any) -> Any:
        begun.release()
        assert goes_on.wait(30)
        return found(*given, **named)

    monkeypatch.setattr(Instance, "events", slow)
    with served(archive, wsgi) as port, ExitStack() as held:
        under_way = [asking(held, port) for _ in range(10)]
        for connection in under_way:
            connection.request("GET", EVENTS)
        for _ in range(8):
            assert begun.acquire(timeout=30)
        time.sleep(0.2)
        late = asking(held, port)
        late.request("GET", EVENTS)
        answer = late.getresponse()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert b"2 requests wait for a thread, the limit" in answer.read()
        goes_on.set()
        assert [connection.getresponse().status for connection in under_way] == [200] * 10


def test_a_place_is_given_back_when_its_request_ends_or_cannot_begin() -> None:
    import asyncio  # noqa: PLC0415  # for this test alone

    async def main() -> None:
        pools = Pools(1)
        for _ in range(3):
            assert await pools.begin(Work.PAGE, int) == 0
        with pytest.raises(ZeroDivisionError):
            await pools.begin(Work.LONG, divmod, 1, 0)
        room = pools._room._value
        pools.close()
        with pytest.raises(RuntimeError):
            pools.begin(Work.PAGE, int)
        assert pools._room._value == room
        while pools._room.acquire(blocking=False):
            pass
        with pytest.raises(UnavailableError, match="requests wait for a thread"):
            pools.begin(Work.PAGE, int)

    asyncio.run(main())

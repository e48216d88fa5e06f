"""The ASGI adapter: threads, bodies that come in parts, answers that break off, clients that disconnect."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from tests.http.feeds import Exchange, asgi_feed, uvicorn_server
from yamcs_archive import Archive, Event, Instance, StoredVectors
from yamcs_archive.errors import DamagedError
from yamcs_archive.http.asgi import create_asgi_app
from yamcs_archive.http.limits import BODIES_BYTES_MAX, STREAMS_MAX
from yamcs_archive.http.request_and_response import Work
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.wire.columns.byte_columns import vectors_of

EVENTS = "/api/archive/sim/events"
STREAM = "/api/stream-archive/sim:streamEvents"
EXPORT = "/api/archive/sim:exportEvents"
LONG_EVENTS = 6000
"""Number of events of 1,000 characters each, of which some 500 make a chunk."""
ONE = Event("a", source="S", generation_time=0, seq_number=0, reception_time=0)


def posting(app: Any) -> Exchange:
    return Exchange(app, "POST", EVENTS, {"content-length": "15"}, [b'{"message":', b' ""}'])


def run(exchange: Exchange) -> Exchange:
    return asyncio.run(exchange.run())


def test_bodies_in_parts_of_any_size_are_read_whole(archive: Archive, sim: Instance) -> None:
    body = '{"message": "Über", "source": "S", "sequenceNumber": 1, "time": "2026-01-01T00:00:00Z"}'
    answers = {size: asgi_feed(archive, part_bytes=size)("POST", EVENTS, body) for size in (1, 7, 4096)}
    assert {answer.status for answer in answers.values()} == {200}
    assert len({answer.body for answer in answers.values()}) == 1
    lines = "\n".join(msgspec.json.encode({"message": f"Step {n}"}).decode() for n in range(100))
    for size in (1, 13, 1 << 20):
        assert asgi_feed(archive, part_bytes=size)("POST", f"{EVENTS}:batch", lines).json()["stored"] == 100
    assert sim.stats().events == 301


def test_a_body_without_a_length_is_read_to_its_end_and_never_beyond_the_limit(
    archive: Archive, sim: Instance
) -> None:
    app = create_asgi_app(archive)
    chunked = {"transfer-encoding": "chunked"}
    assert run(Exchange(app, "POST", EVENTS, chunked, [b'{"mess', b'age": "a"}'])).started["status"] == 200
    part = b" " * (1 << 20)
    endless = Exchange(app, "POST", EVENTS, chunked, [part] * 1000)
    assert run(endless).started["status"] == 413
    assert len(endless.parts) == 1000 - BODY_BYTES_MAX // len(part) - 1
    assert [event.message for event in sim.events()] == ["a"]


def test_bodies_that_come_in_all_at_once_are_held_only_up_to_a_bound(archive: Archive, sim: Instance) -> None:
    app = create_asgi_app(archive)
    count = BODIES_BYTES_MAX // (7 << 20) + 8
    statuses: list[int] = []

    async def main() -> None:
        stalled = [
            Exchange(app, "POST", EVENTS, {"transfer-encoding": "chunked"}, [bytes(7 << 20)], stalls=True)
            for _ in range(count)
        ]
        tasks = [asyncio.ensure_future(exchange.run()) for exchange in stalled]
        for _ in range(5):
            await asyncio.sleep(0)
        statuses.extend(exchange.started["status"] for exchange in stalled if exchange.started)
        for exchange in stalled:
            exchange.leave()
        await asyncio.gather(*tasks)
        assert (
            await Exchange(app, "POST", EVENTS, {"content-length": "15"}, [b'{"message": ', b'""}']).run()
        ).ended

    asyncio.run(main())
    assert set(statuses) == {503}
    assert 0 < len(statuses) < count


def test_a_client_that_leaves_within_a_body_is_told_so_and_stores_nothing_of_it(
    archive: Archive, sim: Instance
) -> None:
    app = create_asgi_app(archive)
    single = Exchange(app, "POST", EVENTS, {"content-length": "15"}, [b'{"message": ""}'], cut_off=True)
    assert run(single).started["status"] == 400  # the server still answers, though nobody reads it
    lines = [b'{"message": "whole"}\n', b'{"message": "half']
    run(Exchange(app, "POST", f"{EVENTS}:batch", {"transfer-encoding": "chunked"}, lines, cut_off=True))
    assert [event.message for event in sim.events()] == ["whole"]


def test_durable_posts_are_under_way_at_once_and_hold_no_thread(archive: Archive, sim: Instance) -> None:
    app = create_asgi_app(archive)

    async def main() -> None:
        await posting(app).run()
        before = set(threading.enumerate())
        posts = [posting(app).run() for _ in range(300)]
        done = await asyncio.gather(*posts)
        assert {exchange.started["status"] for exchange in done} == {200}
        assert set(threading.enumerate()) <= before

    asyncio.run(main())
    assert sim.stats().events == 301


class Watched:
    """Records how far each read of events came and whether it ended, and can make it fail or wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read = 0
        self.closed = threading.Event()
        self.fail_at: int | None = None
        self.gate: threading.Event | None = None
        original = Instance.event_vectors
        watched = self

        def event_vectors(instance: Instance, **asked: Any) -> Iterator[StoredVectors]:
            return watched.through(original(instance, **asked))

        monkeypatch.setattr(Instance, "event_vectors", event_vectors)

    def through(self, batches: Iterator[StoredVectors]) -> Iterator[StoredVectors]:
        try:
            for events in batches:
                if self.gate is not None:
                    assert self.gate.wait(60)
                self.read += events.size
                if self.fail_at is not None and self.read >= self.fail_at:
                    raise DamagedError("a block", "checksum")
                yield events
        finally:
            self.closed.set()


@pytest.fixture
def long(sim: Instance) -> Instance:
    """An instance with so many events that a stream of it has many chunks."""
    sim.append_many(Event("x" * 1000, generation_time=n) for n in range(LONG_EVENTS))
    return sim


def test_a_client_that_leaves_ends_the_scan(
    archive: Archive, long: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    exchange = run(Exchange(create_asgi_app(archive), "GET", EXPORT, {}, leaves_after=2))
    assert exchange.started["status"] == 200
    assert not exchange.ended
    assert watched.closed.wait(60)
    assert watched.read < LONG_EVENTS / 2  # two chunks were sent, two read ahead, and one may be being read


def test_a_client_that_reads_no_further_has_two_chunks_ahead_and_holds_no_thread(
    archive: Archive, long: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    app = create_asgi_app(archive)
    slow = [Exchange(app, "GET", EXPORT, {}, stalls_after=1) for _ in range(STREAMS_MAX)]

    async def main() -> None:
        tasks = [asyncio.ensure_future(exchange.run()) for exchange in slow]
        while not all(exchange.chunks for exchange in slow):
            await asyncio.sleep(0.001)
        read = -1
        while read < watched.read:  # wait until nothing is read for a moment
            read = watched.read
            await asyncio.sleep(0.2)
        assert read <= len(slow) * LONG_EVENTS / 2
        together = threading.Barrier(len(slow))  # ends only if that many threads are free at once
        await asyncio.gather(*(app.pools.run(Work.LONG, together.wait, 60) for _ in slow))
        for exchange in slow:
            exchange.leave()
        await asyncio.gather(*tasks)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("line", "door", "first"),
    [
        (f"POST {STREAM}", "event_vectors", []),
        (f"POST {STREAM}", "event_vectors", [vectors_of([ONE])]),
        (f"GET {EXPORT}", "event_vectors", []),
        (f"GET {EVENTS}:count?q=a%25b", "event_vectors", []),
        (f"GET {EVENTS}", "events", []),
        (f"POST {EVENTS}:list", "events", []),
        ("GET /api/archive/sim/event-index", "histogram", []),
        ("POST /api/archive/sim:streamEventIndex", "histogram", []),
    ],
)
@pytest.mark.usefixtures("sim")
def test_a_client_that_leaves_while_there_is_nothing_to_send_ends_the_reading(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, line: str, door: str, first: list[Any]
) -> None:
    looking, ended = threading.Event(), threading.Event()

    def finds_nothing_more(self: Instance, *, cancelled: Callable[[], bool], **others: Any) -> Iterator[Any]:
        yield from first
        looking.set()
        for _ in range(60_000):
            if cancelled():
                ended.set()
                return
            time.sleep(0.001)

    monkeypatch.setattr(Instance, door, finds_nothing_more)
    with uvicorn_server(archive) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
            assert looking.wait(60)
        assert ended.wait(30)


def test_an_error_after_the_first_chunk_passes_to_the_server(
    archive: Archive, long: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    Watched(monkeypatch).fail_at = 2000
    exchange = Exchange(create_asgi_app(archive), "POST", STREAM, {})
    with pytest.raises(DamagedError):
        run(exchange)
    assert exchange.chunks
    assert not exchange.ended


def test_over_a_socket_an_answer_that_breaks_off_has_no_last_chunk(
    archive: Archive, long: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    with uvicorn_server(archive) as port:
        whole = _raw(port)
        watched.read, watched.fail_at = 0, 2000
        broken = _raw(port)
    assert whole.endswith(b"\r\n0\r\n\r\n")
    assert broken.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(broken) > 1_000_000
    assert not broken.endswith(b"\r\n0\r\n\r\n")


def _raw(port: int) -> bytes:
    """Return all that the server sends until it closes, or until the last chunk."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"GET {EXPORT} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = b""
        while not received.endswith(b"\r\n0\r\n\r\n") and (part := connection.recv(1 << 20)):
            received += part
    return received


def test_streams_beyond_the_limit_are_told_to_come_later_and_posts_and_pages_go_on(
    archive: Archive, long: Instance
) -> None:
    app = create_asgi_app(archive)

    async def main() -> None:
        slow = [Exchange(app, "GET", EXPORT, {}, stalls_after=1) for _ in range(STREAMS_MAX + 3)]
        tasks = [asyncio.ensure_future(exchange.run()) for exchange in slow]
        while sum(bool(exchange.chunks) for exchange in slow) < len(slow):
            await asyncio.sleep(0.001)
        refused = [exchange for exchange in slow if exchange.started["status"] == 503]
        assert len(refused) == 3
        assert all((b"retry-after", b"1") in exchange.started["headers"] for exchange in refused)
        posted = await posting(app).run()
        page = await Exchange(app, "GET", EVENTS, {}).run()
        assert (posted.started["status"], page.started["status"]) == (200, 200)
        for exchange in slow:
            exchange.leave()
        await asyncio.gather(*tasks)
        # A stream's slot is free once the thread that made the last chunk notices that its client left.
        while (again := await Exchange(app, "GET", EXPORT, {}).run()).started["status"] == 503:
            await asyncio.sleep(0.001)
        assert (again.started["status"], again.ended) == (200, True)

    asyncio.run(main())


def test_scans_that_take_long_hold_up_neither_posts_nor_pages(
    archive: Archive, long: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(monkeypatch)
    app = create_asgi_app(archive)

    async def main() -> None:
        watched.gate = threading.Event()
        scans = [asyncio.ensure_future(Exchange(app, "GET", EXPORT, {}).run()) for _ in range(STREAMS_MAX)]
        await asyncio.sleep(0)
        posted = await posting(app).run()
        sources = await Exchange(app, "GET", f"{EVENTS}/sources", {}).run()
        assert (posted.started["status"], sources.started["status"]) == (200, 200)
        assert not any(scan.done() for scan in scans)
        watched.gate.set()
        assert all(scan.ended for scan in await asyncio.gather(*scans))

    asyncio.run(main())


def test_a_mounted_application_sees_its_own_paths(archive: Archive, sim: Instance) -> None:
    exchange = Exchange(create_asgi_app(archive), "GET", "/mounted/healthz", {})
    exchange.scope["root_path"] = "/mounted"
    assert run(exchange).started["status"] == 200


def test_the_servers_life_is_answered_and_other_scopes_are_refused(archive: Archive) -> None:
    app = create_asgi_app(archive)
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(app({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with pytest.raises(ValueError, match="smtp"):
        asyncio.run(app({"type": "smtp"}, receive, send))

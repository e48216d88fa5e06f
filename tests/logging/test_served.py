"""A handler of a URL: outages, answers that are lost, tokens that are renewed; each record is stored once."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.child import WAIT_S
from tests.client.scripted import answer, scripted
from tests.http.feeds import uvicorn_at
from tests.logging.conftest import Make, logger_of
from yamcs_archive import Archive, Client, Event, Instance
from yamcs_archive.errors import ServerUnavailableError


@contextmanager
def losing(port: int, lost: int) -> Iterator[str]:
    """Pass requests to a server, but lose the first answers: its connection ends instead."""
    left = [lost]
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):  # the test is over
                while True:
                    client, _ = listening.accept()
                    threading.Thread(target=passing, args=(client,), daemon=True).start()

        def passing(client: socket.socket) -> None:
            with client, socket.create_connection(("127.0.0.1", port)) as server, suppress(OSError):
                there = threading.Thread(target=pumping, args=(client, server), daemon=True)
                there.start()
                while data := server.recv(1 << 16):
                    if left[0]:
                        left[0] -= 1
                        client.shutdown(socket.SHUT_RDWR)
                        return
                    client.sendall(data)

        def pumping(source: socket.socket, target: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(1 << 16):
                    target.sendall(data)

        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()


def test_records_are_stored_at_a_url_with_all_that_they_have(
    make: Make, archive: Archive, sim: Instance
) -> None:
    with uvicorn_at(archive, 0) as port:
        handler = make("sim", url=f"http://127.0.0.1:{port}")
        log = logger_of(handler, name="bench")
        for number in range(3):
            log.warning("%d", number, extra={"rpm": number})
        assert handler.wait_until_stored(WAIT_S)
        handler.close()
    found = list(sim.events())
    assert [(event.message, event.seq_number, event.extra["rpm"]) for event in found] == [
        (str(n), n, str(n)) for n in range(3)
    ]


def test_an_answer_that_is_lost_doubles_nothing(
    make: Make, archive: Archive, sim: Instance, capsys: pytest.CaptureFixture[str]
) -> None:
    with uvicorn_at(archive, 0) as port, losing(port, 2) as url:
        handler = make("sim", url=url)
        log = logger_of(handler)
        for number in range(200):
            log.info("%d", number)
        assert handler.wait_until_stored(WAIT_S)
        handler.close()
    assert [change.event.message for change in sim.changes()] == [str(number) for number in range(200)]
    assert sim.stats().duplicates > 0
    assert capsys.readouterr().err.count("\n") == 2  # the trouble, and its end


def test_a_server_that_is_down_at_first_gets_all_in_order_once_it_is_up(
    make: Make, archive: Archive, sim: Instance
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    handler = make("sim", url=f"http://127.0.0.1:{port}")
    log = logger_of(handler)
    for number in range(100):
        log.info("%d", number)
    assert not handler.wait_until_stored(0.1)
    with uvicorn_at(archive, port):
        while not handler.wait_until_stored(0.5):
            pass
        handler.close()
    assert [change.event.message for change in sim.changes()] == [str(number) for number in range(100)]


def test_an_instance_that_is_not_there_yet_gets_all_when_it_is(
    make: Make, archive: Archive, sim: Instance
) -> None:
    with uvicorn_at(archive, 0) as port:
        handler = make("later", url=f"http://127.0.0.1:{port}")
        logger_of(handler).info("a")
        assert not handler.wait_until_stored(0.1)
        later = archive.instance("later", create=True)
        while not handler.wait_until_stored(0.5):
            pass
        handler.close()
    assert [event.message for event in later.events()] == ["a"]


def test_a_key_that_another_program_has_taken_is_given_up_for_the_next(
    make: Make, archive: Archive, sim: Instance
) -> None:
    sim.append_many(
        Event("taken", source="bench", generation_time=1_000_000, seq_number=number)
        for number in range(1_500)
    )
    with uvicorn_at(archive, 0) as port:
        handler = make("sim", url=f"http://127.0.0.1:{port}")
        for number in range(1_500):  # more than an answer shows
            fields = {"name": "bench", "msg": "%d", "args": (number,), "created": 1.0}
            handler.handle(logging.makeLogRecord(fields))
        assert handler.wait_until_stored(WAIT_S)
        handler.close()
    found = Counter(event.message for event in sim.events())
    assert found.pop("taken") == 1_500
    assert found == Counter(map(str, range(1_500)))


def test_a_token_is_read_again_when_it_is_refused(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    seen: list[bytes] = []
    refused = answer(
        b'{"exception": {"type": "UnauthorizedException", "msg": "old"}}',
        "401 Unauthorized",
        "application/json",
    )
    counts = answer(
        json.dumps(
            {"stored": 1, "duplicates": 0, "expired": 0, "conflictCount": 0, "conflicts": []}
        ).encode(),
        media="application/json",
    )
    with scripted([refused], [counts], seen=seen) as url:
        handler = make("sim", url=url, token_file=file)
        file.write_text("second\n")
        logger_of(handler).info("a")
        assert handler.wait_until_stored(WAIT_S)
        handler.close()
    assert [b"Bearer first" in seen[0], b"Bearer second" in seen[1]] == [True, True]


def test_a_remote_instance_of_the_program_stays_open(make: Make, archive: Archive, sim: Instance) -> None:
    with uvicorn_at(archive, 0) as port, Client(f"http://127.0.0.1:{port}") as client:
        remote = client.instance("sim")
        handler = make(remote)
        logger_of(handler).info("a")
        assert handler.wait_until_stored(WAIT_S)
        handler.close()
        assert remote.count() == 1


def test_close_does_not_wait_for_a_server_that_says_nothing(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        handler = make("sim", url=f"http://127.0.0.1:{silent.getsockname()[1]}", flush_s=0.1)
        logger_of(handler).info("a")
        handler.close()
    assert "1 records could not be stored" in capsys.readouterr().err


def test_a_client_reopened_is_another_that_asks_the_same(archive: Archive, sim: Instance) -> None:
    with uvicorn_at(archive, 0) as port, Client(f"http://127.0.0.1:{port}", timeout_s=7) as client:
        remote = client.instance("sim")
        again = remote.reopened()
        client.end()
        with pytest.raises(ServerUnavailableError):
            remote.count()
        assert again.count() == 0
        again.close()

"""What a server does where something else than space is used up: places for readers, descriptors, memory.

Each is one clear refusal, logged once with a count; the archive goes on without a restart.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from tests.child import WAIT_S, stopping
from tests.server.serving import PATH, Served
from yamcs_archive.http.errors import error_reply
from yamcs_archive.http.limits import DESCRIPTORS_LEFT_MIN
from yamcs_archive.http.refusal_log import QUIET_S, RefusalLog
from yamcs_archive.limits import READERS_MAX
from yamcs_archive.server import connections
from yamcs_archive.wire.codecs import JSON_CODEC

FILL_READERS = """
import lmdb, sys
environment = lmdb.open(sys.argv[1], readonly=True, max_dbs=8)
held = []
try:
    while True:
        held.append(environment.begin())
except lmdb.ReadersFullError:
    print(len(held), flush=True)
sys.stdin.read()
"""
"""Takes all places for readers, until its input ends."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path / "a", "--port", 0, "--instance", "sim")
    yield server
    server.close()


def ask(connection: HTTPConnection, method: str, body: str | None = None) -> tuple[int, dict[str, object]]:
    connection.request(method, PATH, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, msgspec.json.decode(answer.read())


def post(connection: HTTPConnection) -> int:
    return ask(connection, "POST", '{"message": "m"}')[0]


@contextmanager
def readers_taken(directory: Path) -> Iterator[None]:
    [generation] = (directory / "sim").glob("gen-*")
    command = [sys.executable, "-c", FILL_READERS, str(generation)]
    with stopping(
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ) as child:
        assert child.stdout is not None
        assert int(child.stdout.readline()) > READERS_MAX // 2
        yield
        child.communicate(timeout=WAIT_S)


@contextmanager
def descriptors_taken(process: int) -> Iterator[None]:
    """Let a process have no descriptor for another connection."""
    used = len(os.listdir(f"/proc/{process}/fd"))
    before = resource.prlimit(process, resource.RLIMIT_NOFILE)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (used + DESCRIPTORS_LEFT_MIN, before[1]))
    yield
    resource.prlimit(process, resource.RLIMIT_NOFILE, before)


def spells(complaints: str) -> list[str]:
    """Return the lines about refusals without their times and the path, and fail for any other line."""
    lines = [re.sub(r"^\S+ WARNING ", "", line) for line in complaints.splitlines()]
    return [re.sub(r"/\S+/gen-1: | in \d+ s", "", line) for line in lines]


def test_where_all_places_for_readers_are_taken_reading_is_refused_and_storing_is_not(
    served: Served, tmp_path: Path
) -> None:
    connection = served.connect()
    assert post(connection) == 200
    with readers_taken(tmp_path / "a"):
        for _ in range(3):
            status, body = ask(connection, "GET")
            assert status == 503
            assert "1024 reads are under way" in str(body["msg"])
        assert post(connection) == 200
    status, body = ask(connection, "GET")
    assert (status, len(body["event"])) == (200, 2)  # type: ignore[arg-type]  # a list
    status, complaints = served.stop()
    why = (
        "1024 reads are under way in the processes that have this archive open, and there is no place for one"
        " more: end some of those processes, and try again"
    )
    assert spells(complaints) == [
        f"requests are refused: 503 ServiceUnavailableException: {why}",
        "requests were refused: 503 ServiceUnavailableException: 3, when serving ended",
    ]
    assert status == 0


def test_the_last_descriptors_are_for_the_archive_and_a_connection_is_told_so(served: Served) -> None:
    kept = served.connect()
    assert post(kept) == 200
    with descriptors_taken(served.process.pid):
        for _ in range(3):
            connection = served.connect()
            connection.connect()  # the answer comes before any request
            answer = connection.sock.recv(1 << 16)
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 1" in head
            told = msgspec.json.decode(body)
            assert (told["code"], told["type"]) == (503, "ServiceUnavailableException")
            assert "raise the limit" in told["msg"]
        assert post(kept) == 200
        assert ask(kept, "GET")[0] == 200
    assert post(served.connect()) == 200
    status, complaints = served.stop()
    first, last = spells(complaints)
    assert first.startswith("requests are refused: 503 ServiceUnavailableException: this server has as many")
    assert last == "requests were refused: 503 ServiceUnavailableException: 3, when serving ended"
    assert status == 0


@pytest.mark.parametrize(
    ("limit", "descriptor", "refused"),
    [
        (100, 99 - DESCRIPTORS_LEFT_MIN, False),
        (100, 100 - DESCRIPTORS_LEFT_MIN, True),
        (100, 99, True),
        (resource.RLIM_INFINITY, 99, False),
    ],
)
def test_the_last_descriptors_begin_where_so_many_are_left(
    limit: int, descriptor: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert connections._is_last(SimpleNamespace(fileno=lambda: descriptor)) is refused  # type: ignore[arg-type]  # as much of a socket as is asked


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread")])
def test_a_request_for_which_there_is_no_memory_can_be_tried_again(error: Exception) -> None:
    answer = error_reply(error, JSON_CODEC)
    assert answer.status == 503
    assert ("retry-after", "1") in answer.headers
    assert isinstance(answer.body, bytes)
    assert b"no memory left for the request" in answer.body


def test_another_fault_is_not_taken_for_a_lack_of_memory() -> None:
    assert error_reply(RuntimeError("a fault"), JSON_CODEC).status == 500


def test_a_spell_is_told_although_no_timer_could_be_started_at_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s, looks = [0.0], []

    def after(wait_s: float, look: object) -> None:
        if now_s[0] < 5:
            raise RuntimeError("can't start new thread")
        looks.append(look)

    spells = RefusalLog(lambda: now_s[0], after)
    for now_s[0] in (0.0, 1.0, 6.0, 7.0):
        spells.note("503", "no memory")
    assert len(looks) == 1
    now_s[0] = 7 + QUIET_S
    spells.look()
    assert [record.getMessage() for record in caplog.records] == [
        "requests are refused: 503: no memory",
        "requests were refused: 503: 4 in 7 s, none since then",
    ]
    spells.note("503", "again")
    assert len(looks) == 2

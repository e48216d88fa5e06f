"""A large users file that has changed is read by a thread, and until then the users before it hold."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from yamcs_archive.access import users_file
from yamcs_archive.access.signing_keys import rotate_keys
from yamcs_archive.access.users import Document
from yamcs_archive.http.access import current_users
from yamcs_archive.http.access.authentication import Authentication
from yamcs_archive.http.access.current_users import READ_AT_ONCE_BYTES_MAX
from yamcs_archive.http.access.proxies import Proxies
from yamcs_archive.http.request_and_response import Head

WAIT_S = 60
LARGE = READ_AT_ONCE_BYTES_MAX + 1
NOBODY = b'{"version": 1, "users": {}}'


class Readings:
    """The threads that read the users, in turn; a thread that was started for it waits until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: list[threading.Thread] = []
        self.begun, self.may_go_on = threading.Semaphore(0), threading.Semaphore(0)
        real = users_file.read_document

        def read_document(path: Path) -> Document:
            found = None
            try:
                found = real(path)
            finally:  # what was read may be no users file
                self.threads.append(threading.current_thread())
                if threading.current_thread().name == "yamcs-archive-users-read":
                    self.begun.release()
                    assert self.may_go_on.acquire(timeout=WAIT_S)
            return found

        monkeypatch.setattr(users_file, "read_document", read_document)

    def wait(self) -> None:
        """Wait until a thread has read the file, and has not told what is in it."""
        assert self.begun.acquire(timeout=WAIT_S)

    def end(self) -> None:
        """Let it end, and wait for that."""
        self.may_go_on.release()
        self.threads[-1].join(WAIT_S)


@pytest.fixture
def authentication(
    path: Path, root: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Authentication]:
    monkeypatch.setattr(current_users, "WATCH_S", 3600)  # it would read the file as well
    made = Authentication(path, Proxies(()))
    yield made
    made.close()


@pytest.fixture
def readings(authentication: Authentication, monkeypatch: pytest.MonkeyPatch) -> Readings:
    return Readings(monkeypatch)


def write(path: Path, size: int, content: bytes = NOBODY) -> None:
    """Write a users file of that size."""
    with users_file.locked(path):
        users_file.write(path, content + b" " * (size - len(content)))


def knows_root(authentication: Authentication) -> bool:
    """Look at the file on an event loop, in a round of its own."""

    async def look() -> bool:
        return authentication.users().caller("root") is not None

    return asyncio.run(look())


@pytest.mark.parametrize("size", [len(NOBODY), READ_AT_ONCE_BYTES_MAX - 1, READ_AT_ONCE_BYTES_MAX])
def test_a_small_file_is_read_at_once(
    authentication: Authentication, readings: Readings, path: Path, size: int
) -> None:
    write(path, size)
    assert not knows_root(authentication)
    assert readings.threads == [threading.current_thread()]


@pytest.mark.parametrize("looks", [1, 2, 300])
def test_a_large_file_is_read_once_by_a_thread_however_many_look(
    authentication: Authentication, readings: Readings, path: Path, looks: int
) -> None:
    write(path, LARGE)
    version = authentication.version()
    told = threading.Event()
    authentication.listen(told.set)
    for _ in range(looks):
        assert knows_root(authentication)
    readings.wait()
    for _ in range(looks):
        assert knows_root(authentication)
        assert authentication.users().caller("root") is not None  # on a thread without a loop, too
    assert not told.is_set()
    assert authentication.version() == version
    readings.end()
    assert told.wait(WAIT_S)
    assert authentication.version() == version + 1
    assert not knows_root(authentication)
    assert len(readings.threads) == 1
    assert readings.threads[0] is not threading.current_thread()


def test_a_change_during_the_reading_is_read_after_it(
    authentication: Authentication, readings: Readings, path: Path
) -> None:
    write(path, LARGE)
    assert knows_root(authentication)
    readings.wait()
    write(path, LARGE + 1, b'{"version": 1, "users": {"ada": {"permissions": [], "epoch": "a"}}}')
    readings.end()
    assert not knows_root(authentication)  # and this look begins the next reading
    readings.wait()
    assert authentication.users().caller("ada") is None
    readings.end()
    assert authentication.users().caller("ada") is not None
    assert len(readings.threads) == 2


def test_a_file_that_became_small_does_not_make_a_loop_wait_for_the_reading_of_the_large_one(
    authentication: Authentication, readings: Readings, path: Path
) -> None:
    write(path, LARGE)
    assert knows_root(authentication)
    readings.wait()
    write(path, len(NOBODY))
    assert knows_root(authentication)
    readings.end()
    assert not knows_root(authentication)
    assert readings.threads[-1] is threading.current_thread()


def test_a_login_is_signed_and_known_by_a_new_key_during_the_reading(
    authentication: Authentication, readings: Readings, path: Path
) -> None:
    root = authentication.users().caller("root")
    assert root is not None
    write(path, LARGE)
    assert knows_root(authentication)
    readings.wait()
    rotate_keys(path)
    pair = authentication.login(root)
    rotate_keys(path)
    head = Head("GET", "/", "", {"authorization": f"Bearer {pair.access}"}, "192.0.2.1")
    assert authentication.caller(head) == root
    readings.end()
    assert authentication.still(root, head) is None


def test_a_large_file_that_is_bad_changes_nothing_and_is_told_once(
    authentication: Authentication, readings: Readings, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(2):
        write(path, LARGE + n, b"no JSON")
        assert knows_root(authentication)
        readings.wait()
        readings.end()
        for _ in range(2):
            assert knows_root(authentication)
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.message.startswith("the users stay as they were: ")
    assert len(readings.threads) == 2  # once for each content
    write(path, LARGE)
    assert knows_root(authentication)
    readings.wait()
    readings.end()
    assert not knows_root(authentication)


def test_without_memory_for_a_thread_a_large_file_is_read_at_once(
    authentication: Authentication, readings: Readings, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    write(path, LARGE)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        assert not knows_root(authentication)
    assert readings.threads == [threading.current_thread()]
    write(path, LARGE + 1, b'{"version": 1, "users": {"root": {"permissions": [], "epoch": "a"}}}')
    assert not knows_root(authentication)  # a thread does it again
    readings.wait()
    readings.end()
    assert knows_root(authentication)


def test_a_reading_that_finds_no_memory_is_told_once_and_tried_again(
    authentication: Authentication,
    readings: Readings,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def no_memory(_: Document) -> None:
        raise MemoryError

    write(path, LARGE)
    with monkeypatch.context() as patch:
        patch.setattr(current_users, "Users", no_memory)
        for _ in range(2):
            assert knows_root(authentication)
            readings.wait()
            readings.end()
    told = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert told == ["the users may stay as they were: MemoryError()"]
    assert knows_root(authentication)
    readings.wait()
    readings.end()
    assert not knows_root(authentication)


def test_a_reload_waits_until_a_large_file_is_read(
    authentication: Authentication, readings: Readings, path: Path
) -> None:
    """As after SIGHUP: the log then says what was read."""
    write(path, LARGE)
    authentication.reload()
    assert authentication.users().caller("root") is None
    assert readings.threads == [threading.current_thread()]

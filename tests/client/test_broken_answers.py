"""Servers that break off, refuse, or are no archives: failures that may pass, and failures that do not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgpack
import pytest

from tests.client.scripted import answer, scripted
from yamcs_archive import Event
from yamcs_archive.client import Client, RemoteInstance
from yamcs_archive.errors import (
    InvalidInputError,
    OtherHistoryError,
    ServerRefusedError,
    ServerUnavailableError,
)
from yamcs_archive.event import as_stored
from yamcs_archive.results import Commit
from yamcs_archive.wire import commits
from yamcs_archive.wire.commits import encode_page

EVENT = as_stored(Event("a", generation_time=1, seq_number=2, reception_time=3))
PAGE = encode_page([Commit(4, (EVENT,), "after")], "after")


@contextmanager
def feeding(url: str, retries: int = 0) -> Iterator[RemoteInstance]:
    with Client(url, retries=retries) as client:
        yield client.instance("sim", check=False)


def test_a_page_arrives_whole_and_a_closed_connection_is_opened_again() -> None:
    with scripted([answer(PAGE), answer(PAGE)], [answer(PAGE)]) as url, feeding(url) as feed:
        for _ in range(3):
            page = feed.page(None)
            assert page.cursor == "after"
            assert [(commit.time, list(commit.events), commit.cursor) for commit in page.commits] == [
                (4, [EVENT], "after")
            ]


@pytest.mark.parametrize(
    "broken",
    [
        answer(PAGE)[:-3],
        answer(PAGE)[:20],
        b"",
        b"no http at all\r\n\r\n",
        answer(b'{"code": 503, "type": "T", "msg": "m"}', "503 Service Unavailable", "application/json"),
        answer(b"<html>", "502 Bad Gateway", "text/html", "connection: close\r\n"),
    ],
)
def test_a_passing_failure_is_an_unavailable_server_and_the_next_page_is_whole(broken: bytes) -> None:
    with scripted([broken], [answer(PAGE)]) as url, feeding(url) as feed:
        with pytest.raises(ServerUnavailableError):
            feed.page(None)
        assert len(feed.page(None).commits) == 1


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (
            answer(b'{"code": 418, "type": "TeapotException", "msg": "short"}', "418 Teapot"),
            418,
            "TeapotException: short",
        ),
        (answer(b"<html>who are you", "401 Unauthorized", "text/html"), 401, "who are you"),
        (
            answer(b'{"code": 404, "type": "NotFoundException", "msg": "none"}', "404 Not Found"),
            404,
            "NotFoundException: none",
        ),
        # Answers of a Yamcs server, of a proxy, and of another server with JSON
        (
            answer(b"404 Not Found\r\n", "404 Not Found", "text/plain"),
            404,
            "does not serve .*is it an archive",
        ),
        (answer(b"<html>nothing", "404 Not Found", "text/html"), 404, "does not serve .*is it an archive"),
        (answer(b"[]", "404 Not Found", "application/json"), 404, "does not serve .*is it an archive"),
        (answer(b"<html>welcome", media="text/html"), 200, "is it an archive"),
        (answer(PAGE[:-3]), 200, "is it an archive"),
        (answer(b"\xc0"), 200, "is it an archive"),
    ],
)
def test_an_answer_that_retries_cannot_mend_is_a_refusal(content: bytes, status: int, said: str) -> None:
    with scripted([content]) as url, feeding(url) as feed:
        with pytest.raises(ServerRefusedError, match=said) as caught:
            feed.page(None)
        assert caught.value.status == status


def test_the_detail_of_a_refusal_is_kept() -> None:
    said = b'{"code": 409, "type": "OtherHistoryException", "msg": "m", "detail": {"commit": 7}}'
    with scripted([answer(said, "409 Conflict")]) as url, feeding(url) as feed:
        with pytest.raises(OtherHistoryError, match=r"^m$") as caught:
            feed.page("cursor")
        assert caught.value.commit == 7
    said = b'{"code": 418, "type": "TeapotException", "msg": "m", "detail": {"cups": 7}}'
    with scripted([answer(said, "418 Teapot")]) as url, feeding(url) as feed:
        with pytest.raises(ServerRefusedError) as refused:
            feed.page("cursor")
        assert refused.value.detail == {"cups": 7}


def array_head(elements: int) -> bytes:
    return bytes(msgpack.Packer().pack_array_header(elements))


def packed_page(commits: int, events: int) -> bytes:
    """A page of the smallest commits, each with ``events`` of the smallest events."""
    event = b"\x9a\xa0\xa0\x00\xc0\x00\x00\x00\xc0\xc4\x00\x80"
    commit = b"\x93\x00\xa0" + array_head(events) + event * events
    return b"\x82\xa6cursor\xa1c\xa7commits" + array_head(commits) + commit * commits


@pytest.mark.parametrize(
    ("commit_count", "events"), [(1, 1), (1, 15), (1, 16), (15, 1), (16, 1), (2, 8), (1, 70_000), (70_000, 1)]
)
def test_a_page_of_as_many_events_as_may_be_is_taken_and_of_one_more_refused(
    commit_count: int, events: int
) -> None:
    body, count = packed_page(commit_count, events), commit_count * events
    page = commits.decode_page(body, count)
    assert [len(commit.events) for commit in page.commits] == [events] * commit_count
    with pytest.raises(InvalidInputError, match=f"more than {count - 1}"):
        commits.decode_page(body, count - 1)


def test_a_page_of_too_many_commits_without_events_is_refused_unread() -> None:
    with pytest.raises(InvalidInputError, match="commits"):
        commits.decode_page(packed_page(20, 0), 19)


def test_an_answer_with_more_events_than_an_archive_sends_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = packed_page(1, commits.EVENTS_MAX + 1)
    monkeypatch.setattr(commits, "_decode_rows", None)  # decoding would build them
    refused = pytest.raises(ServerRefusedError, match=f"more than {commits.EVENTS_MAX}")
    with scripted([answer(page)]) as url, feeding(url) as feed, refused:
        feed.page(None)


@pytest.mark.parametrize(
    "events", [b"\xc0", b"\x05", b"\xdc", b"\xdd\xff\xff\xff\xff", b"\xdc\xff", b"\xa1x", b"\x91\x00"]
)
def test_events_that_are_no_array_are_refused(events: bytes) -> None:
    body = b"\x82\xa6cursor\xa1c\xa7commits\x91\x93\x00\xa0" + events
    with pytest.raises(InvalidInputError):
        commits.decode_page(body)


def test_another_thread_can_end_a_request() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        feeding(f"http://127.0.0.1:{listening.getsockname()[1]}") as feed,
    ):
        failures: list[Exception] = []

        def ask() -> None:
            try:
                feed.page(None, wait_s=300)
            except ServerUnavailableError as error:
                failures.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        connection, _ = listening.accept()
        with connection:
            assert connection.recv(4096)
            feed.end()
            asking.join(60)
        assert len(failures) == 1
        with pytest.raises(ServerUnavailableError, match="ended"):
            feed.page(None)

"""The access log around any application: what it takes from a request and its answer."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from yamcs_archive.http.live.websocket import FRAMES
from yamcs_archive.http.request_and_response import note_user
from yamcs_archive.server.access_log import ACCESS, PATH_CHARACTERS_MAX, AccessLog
from yamcs_archive.server.log_lines import FIELDS, TextLines
from yamcs_archive.server.wsgi_bridge import WsgiBridge

SCOPE = {
    "type": "http",
    "method": "GET",
    "raw_path": b"/a",
    "path": "/a",
    "query_string": b"secret=hunter2",
    "headers": [],
    "client": ("192.0.2.1", 4711),
    "server": ("127.0.0.1", 80),
    "scheme": "http",
    "http_version": "1.1",
}
Line = Callable[..., tuple[str, dict[str, Any]]]


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Line:
    """Serve one request; return its line without time and duration, and its fields."""
    caplog.set_level(logging.INFO, ACCESS)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        pass

    def logged(app: Any, **scope: Any) -> tuple[str, dict[str, Any]]:
        caplog.clear()
        with suppress(ZeroDivisionError):
            asyncio.run(AccessLog(app)(SCOPE | scope, receive, send))
        [record] = caplog.records
        line = TextLines().format(record)
        assert "hunter2" not in line
        return line.split(" INFO ")[1].rpartition(" ")[0], getattr(record, FIELDS)

    return logged


async def answering(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"abc", "more_body": True})
    await send({"type": "http.response.body", "body": b"de"})


def test_a_request_is_one_record_with_all_of_it(logged: Line) -> None:
    line, fields = logged(answering)
    assert line == '192.0.2.1 - "GET /a" 200 5'
    assert fields.pop("duration_s") >= 0
    assert fields == {
        "address": "192.0.2.1",
        "user": None,
        "method": "GET",
        "path": "/a",
        "status": 200,
        "bytes": 5,
    }


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("ada", "ada"),
        ("ada@ops.example", "ada@ops.example"),
        ("", '""'),
        ("-", '"-"'),
        ('a "b" 200', '"a \\"b\\" 200"'),
        ("a\nb", '"a\\nb"'),
        ("é", "é"),
        ("a\u202e", '"a\\u202e"'),
    ],
)
def test_the_user_is_the_one_that_the_application_notes(logged: Line, user: str, shown: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        note_user(scope, user)
        await answering(scope, receive, send)

    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        note_user(environ, user)
        start_response("200 OK", [])
        return [b"abcde"]

    for each in (app, WsgiBridge(wsgi_app, 1)):
        line, fields = logged(each)
        assert line == f'192.0.2.1 {shown} "GET /a" 200 5'
        assert fields["user"] == user


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"/a%20b", "/a%20b"),
        (b'/a" 200 "', "/a%22%20200%20%22"),
        (b"/a\\b\n\x7f", "/a%5Cb%0A%7F"),
        ("/é".encode(), "/%C3%A9"),
        (b"/\xff", "/%FF"),
        (b"", ""),
        (b"/!#$&'()*+,-./:;<=>?@[]^_`{|}~", "/!#$&'()*+,-./:;<=>?@[]^_`{|}~"),
        (None, "/a%20%C3%A9"),
    ],
)
def test_the_path_is_shown_as_it_was_sent_and_ends_where_it_ends(
    logged: Line, raw: bytes | None, shown: str
) -> None:
    line, fields = logged(answering, raw_path=raw, path="/a é")
    assert line == f'192.0.2.1 - "GET {shown}" 200 5'
    assert fields["path"] == shown


@pytest.mark.parametrize("length", [PATH_CHARACTERS_MAX - 1, PATH_CHARACTERS_MAX, PATH_CHARACTERS_MAX + 1])
def test_of_a_long_path_the_beginning_is_shown(logged: Line, length: int) -> None:
    _, fields = logged(answering, raw_path=b"/" * length)
    cut = length > PATH_CHARACTERS_MAX
    assert fields["path"] == "/" * min(length, PATH_CHARACTERS_MAX) + ("…" if cut else "")


def test_an_application_that_fails_or_leaves_is_logged_as_that(logged: Line) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async def failing_late(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    async def leaving(scope: Any, receive: Any, send: Any) -> None:
        pass

    assert logged(failing)[0] == '192.0.2.1 - "GET /a" 500 0'
    assert logged(failing_late)[0] == '192.0.2.1 - "GET /a" 200 0'
    line, fields = logged(leaving)
    assert line == '192.0.2.1 - "GET /a" - 0'
    assert fields["status"] is None


def test_frames_of_a_websocket_are_counted(logged: Line) -> None:
    def app(*messages: dict[str, Any]) -> Any:
        async def serve(scope: Any, receive: Any, send: Any) -> None:
            for message in messages:
                await send(message)

        return serve

    accept = {"type": "websocket.accept", "subprotocol": None}
    frames: list[dict[str, Any]] = [
        {"type": "websocket.send", "text": "é"},
        {"type": "websocket.send", "bytes": b"abc"},
        {"type": "websocket.send", FRAMES: ["é", b"ab", "", "c"]},
    ]
    close = {"type": "websocket.close", "code": 1000}
    scope = {"type": "websocket", "raw_path": b"/w"}
    assert logged(app(accept, *frames, close), **scope)[0] == '192.0.2.1 - "GET /w" 101 10'
    assert logged(app(close), **scope)[0] == '192.0.2.1 - "GET /w" 403 0'
    refused: list[dict[str, Any]] = [
        {"type": "websocket.http.response.start", "status": 404, "headers": []},
        {"type": "websocket.http.response.body", "body": b"no"},
    ]
    assert logged(app(*refused), **scope)[0] == '192.0.2.1 - "GET /w" 404 2'


def test_a_connection_without_an_address_has_none(logged: Line) -> None:
    line, fields = logged(answering, client=None)
    assert line == '- - "GET /a" 200 5'
    assert fields["address"] is None


def test_the_start_and_the_end_of_a_server_are_no_requests(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(AccessLog(app)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert (seen, caplog.records) == (["lifespan"], [])

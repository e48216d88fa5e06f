"""Requests as a server sees them, and their results when servers, proxies and connections fail."""

from __future__ import annotations

import gzip
import pickle
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.client.scripted import answer, scripted
from tests.http.feeds import uvicorn_at
from yamcs_archive import (
    Archive,
    Client,
    Event,
    InvalidInputError,
    ServerRefusedError,
    ServerUnavailableError,
)
from yamcs_archive.client import transport
from yamcs_archive.client.transport import Request, Transport
from yamcs_archive.errors import (
    ArchiveError,
    CursorGoneError,
    ExpiredError,
    OutcomeUnknownError,
    OutOfSpaceError,
    ReadOnlyError,
)
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.protobuf import encode_event
from yamcs_archive.wire.protobuf_scan import varint

INSTANCES = answer(b'{"instances": [{"name": "sim"}]}', media="application/json")
BUSY = answer(
    b'{"code": 503, "type": "ServiceUnavailableException", "msg": "busy"}', "503 Busy", "application/json"
)
BUSY = BUSY.replace(b"\r\n\r\n", b"\r\nretry-after: 0\r\n\r\n", 1)
STORED = answer(
    b'{"message": "a", "generationTime": "1970-01-01T00:00:00Z", "seqNumber": 0}', media="application/json"
)
EVENT = Event("a", generation_time=0, seq_number=0)


@contextmanager
def asking(
    *connections: Sequence[bytes], seen: list[bytes] | None = None, path: str = "", **options: Any
) -> Iterator[Client]:
    """A client of a scripted server."""
    with scripted(*connections, seen=seen) as url, Client(url + path, **options) as client:
        yield client


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_PAUSE_S", 0.0)


def test_requests_go_over_one_connection_until_it_ends() -> None:
    seen: list[bytes] = []
    with asking([INSTANCES] * 3, [INSTANCES], seen=seen, retries=0) as client:
        for _ in range(4):
            assert client.instances() == ["sim"]
    assert len(seen) == 4


def test_a_reading_request_is_repeated_when_a_connection_breaks_or_the_server_is_busy() -> None:
    with asking([], [BUSY], [INSTANCES]) as client:
        assert client.instances() == ["sim"]
    with asking([INSTANCES[:-5]], [INSTANCES]) as client:
        assert client.instances() == ["sim"]
    with (
        scripted([], [], []) as url,
        Client(url) as client,
        pytest.raises(ServerUnavailableError, match="closed the connection without an answer; try again"),
    ):
        client.instances()
    with asking([BUSY], [BUSY], [BUSY]) as client:
        with pytest.raises(
            ServerUnavailableError, match="answered 503 ServiceUnavailableException: busy"
        ) as caught:
            client.instances()
        assert caught.value.status == 503


@pytest.mark.parametrize("first", [[], [BUSY], [STORED[:-5]]])
def test_an_event_is_sent_again_with_a_request_id_and_only_then(first: Sequence[bytes]) -> None:
    seen: list[bytes] = []
    with asking(first, [STORED], seen=seen) as client:
        sim = client.instance("sim", check=False)
        assert sim.append(EVENT, request_id="boot-17").event.seq_number == 0
    assert all(b'idempotency-key: "boot-17"' in request for request in seen)
    for store in ("append", "append_many"):
        seen.clear()
        with asking(first, [STORED], seen=seen) as client:
            sim = client.instance("sim", check=False)
            given: Any = EVENT if store == "append" else [EVENT]
            with pytest.raises(ServerUnavailableError) as caught:
                getattr(sim, store)(given)
            if store == "append_many" and caught.value.status is None:
                assert "of the 1 events that were sent last, some or all may be stored" in str(caught.value)
                assert caught.value.position == 0
        assert len(seen) == len(first)


def test_an_idle_connection_that_was_closed_is_not_used_for_an_event() -> None:
    with asking([INSTANCES], [STORED]) as client:
        client.instances()
        poll_until_ended(client)
        assert client.instance("sim", check=False).append(EVENT).event.seq_number == 0


def poll_until_ended(client: Client) -> None:
    (connection,) = client._transport._idle
    connection.sock.settimeout(60)
    assert connection.sock.recv(1, socket.MSG_PEEK) == b""


def test_a_silent_server_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with Client(url, timeout_s=0.05) as client:
            with pytest.raises(
                ServerUnavailableError, match=r"nothing came for 0.05 s; look whether"
            ) as caught:
                client.instances()
            assert caught.value.status is None


def test_a_broken_stream_is_continued_after_its_last_event() -> None:
    events = [
        Event(f"m{n}", source="S", generation_time=n // 2, seq_number=n, reception_time=1) for n in range(6)
    ]
    parts = [varint(len(body)) + body for body in (encode_event(event, Form.TODAY) for event in events)]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/protobuf\r\ntransfer-encoding: chunked\r\n\r\n"

    def chunks(*sent: bytes) -> bytes:
        return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in sent)

    broken = chunks(*parts[:3], parts[3][:5])
    rest = chunks(*parts[2:]) + b"0\r\n\r\n"  # from the time of the last one on
    seen: list[bytes] = []
    with asking([broken], [rest], seen=seen, retries=0) as client:
        assert list(client.instance("sim", check=False).events()) == events
    assert b'"start":"1970-01-01T00:00:00.000001Z"' in seen[1]
    with asking([broken], [head], retries=0) as client:
        found = client.instance("sim", check=False).events()
        assert [next(found) for _ in range(3)] == events[:3]
        with pytest.raises(ServerUnavailableError, match="broke off"):
            next(found)


def test_an_answer_may_be_compressed_and_is_bounded_before_it_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = b'{"instances": [{"name": "sim"}]}'
    packed = answer(gzip.compress(names), media="application/json", more="content-encoding: gzip\r\n")
    torn = answer(gzip.compress(names)[:-9], media="application/json", more="content-encoding: gzip\r\n")
    large = answer(
        gzip.compress(b" " * (1 << 20) + names), media="application/json", more="content-encoding: gzip\r\n"
    )
    monkeypatch.setattr(transport, "is_local", lambda _: False)
    monkeypatch.setattr(transport, "_ANSWER_BYTES_MAX", 1 << 20)
    seen: list[bytes] = []
    with asking([packed], [torn], [large], seen=seen) as client:
        assert client.instances() == ["sim"]
        with pytest.raises(ServerRefusedError, match="truncated"):
            client.instances()
        with pytest.raises(ServerRefusedError, match="longer than 1048576 bytes"):
            client.instances()
    assert b"accept-encoding: gzip" in seen[0]


def redirect(to: str) -> bytes:
    return answer(b"", "307 Temporary Redirect", "text/html", f"location: {to}\r\n")


def test_a_reading_request_follows_a_redirect_within_the_origin() -> None:
    seen: list[bytes] = []
    moved = [redirect("/moved/api/instances?a=1")], [INSTANCES]
    with asking(*moved, seen=seen, path="/old/", user="ada", password="secret") as client:
        assert client.instances() == ["sim"]
    assert [request.split()[1] for request in seen] == [b"/old/api/instances", b"/moved/api/instances?a=1"]
    assert all(b"authorization: Basic YWRhOnNlY3JldA==" in request for request in seen)
    with asking(*[[redirect("/again")]] * 5) as client, pytest.raises(ServerRefusedError, match="307"):
        client.instances()


@pytest.mark.parametrize("to", ["https://ops.example/api", "http://ada:pw@127.0.0.1:1/x", "//[", "ftp://x"])
def test_a_redirect_elsewhere_says_where_and_sends_nothing(to: str) -> None:
    with asking([redirect(to)], token="secret") as client, pytest.raises(ArchiveError) as caught:
        client.instances()
    assert "pw" not in str(caught.value)
    assert isinstance(caught.value, ServerRefusedError)
    assert "give the URL of the archive there" in str(caught.value)


def test_an_event_follows_no_redirect() -> None:
    with asking([redirect("/moved")]) as client, pytest.raises(ServerRefusedError, match="redirects"):
        client.instance("sim", check=False).append(EVENT)


def test_a_token_is_sent_and_shown_by_nothing() -> None:
    seen: list[bytes] = []
    refused = answer(b"<html>no", "401 Unauthorized", "text/html")
    with asking([INSTANCES, refused], seen=seen, token="c2VjcmV0") as client:
        assert client.instances() == ["sim"]
        with pytest.raises(ServerRefusedError, match="it refuses the token: get a new one") as caught:
            client.instances()
        assert "c2VjcmV0" not in repr(client) + str(caught.value)
    assert b"authorization: Bearer c2VjcmV0\r\n" in seen[0]


@pytest.mark.parametrize(
    "given",
    [
        {"user": "ada"},
        {"password": "secret"},
        {"user": "ada", "password": "secret", "token": "secret"},
        {"user": "a:secret", "password": "secret"},
        {"user": 5, "password": "secret"},
        {"user": "ada", "password": "sec\nret"},
        {"user": "ada", "password": b"secret"},
        {"token": "sec ret"},
        {"token": "secret\r\nx: y"},
        {"token": ""},
        {"timeout_s": -1},
        {"timeout_s": "1"},
        {"retries": -1},
        {"retries": 1.5},
    ],
)
def test_credentials_that_cannot_be_sent_are_refused_and_not_shown(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Client("http://127.0.0.1:1", **given)
    assert "sec" not in str(caught.value).replace("seconds", "")


@contextmanager
def proxied(monkeypatch: pytest.MonkeyPatch, proxy: str, scheme: str = "http") -> Iterator[None]:
    with monkeypatch.context() as patched:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            patched.delenv(name, raising=False)
            patched.delenv(name.upper(), raising=False)
        patched.setenv(f"{scheme}_proxy", proxy)
        yield


def test_every_request_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    with (
        scripted([INSTANCES, STORED], seen=seen) as proxy,
        proxied(monkeypatch, proxy.replace("//", "//ada:pro%20xy@")),
        Client("http://ops.example:8090/archive", user="eve", password="pw") as client,
    ):
        assert client.instances() == ["sim"]
        assert client.instance("sim", check=False).append(EVENT).event.seq_number == 0
    assert seen[0].startswith(b"GET http://ops.example:8090/archive/api/instances HTTP/1.1\r\n")
    assert b"host: ops.example:8090" in seen[0].lower()
    assert b"proxy-authorization: Basic YWRhOnBybyB4eQ==" in seen[0]


def test_https_goes_through_a_tunnel_of_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    with (
        scripted([b"HTTP/1.1 403 Forbidden\r\n\r\n"], seen=seen) as proxy,
        proxied(monkeypatch, proxy, "https"),
        Client("https://ops.example", token="secret") as client,
        pytest.raises(ServerUnavailableError, match=rf"through the proxy {proxy}: .*403 Forbidden"),
    ):
        client.instances()
    assert seen[0].startswith(b"CONNECT ops.example:443 ")
    assert b"secret" not in seen[0]


def test_an_error_through_a_proxy_names_it_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxied(monkeypatch, "http://ada:secret@127.0.0.1:1"), Client("http://ops.example") as client:
        for call in (client.instances, client.instance("sim", check=False).cursor):
            with pytest.raises(ServerUnavailableError) as caught:
                call()
            assert "no answer from http://ops.example through the proxy http://…@127.0.0.1:1: " in str(
                caught.value
            )
            assert "secret" not in str(caught.value)
    with (
        proxied(monkeypatch, "socks5://127.0.0.1:1"),
        Client("http://ops.example") as client,
        pytest.raises(InvalidInputError, match="set http_proxy to http://HOST:PORT"),
    ):
        client.instances()
    bad = answer(b"<html>no route", "502 Bad Gateway", "text/html")
    with (
        scripted([bad]) as proxy,
        proxied(monkeypatch, proxy),
        Client("http://ops.example", retries=0) as client,
        pytest.raises(
            ServerUnavailableError, match=r"through the proxy .* answered 502 Bad Gateway: <html>no route"
        ),
    ):
        client.instances()


def test_no_proxy_is_used_for_hosts_that_are_excepted(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted([INSTANCES]) as url, proxied(monkeypatch, "http://127.0.0.1:1"):
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with Client(url) as client:
            assert client.instances() == ["sim"]


def test_all_commands_use_the_same_proxy(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    url = "http://ops.example:8090"
    with proxied(monkeypatch, "http://127.0.0.1:1"):
        for command in (
            ("events", "log", "--url", url, "--instance", "sim"),
            ("events", "log", "--url", url, "--instance", "sim", "--after-cursor", "A"),
            ("events", "create", "--url", url, "--instance", "sim", "-m", "a"),
            ("instances", "list", "--url", url),
            ("events", "import", "yamcs", url, "--from", "sim", "--data", tmp_path / "new"),
            ("mirror", url, "--data", tmp_path / "new", "--once"),
        ):
            ran = run(*command)
            assert ran.status == 1
            assert "through the proxy http://127.0.0.1:1: " in ran.err, command


def refusal(status: str, kind: str, detail: str = "") -> bytes:
    more = f', "detail": {detail}' if detail else ""
    return answer(
        f'{{"code": 1, "type": "{kind}", "msg": "as it says"{more}}}'.encode(), status, "application/json"
    )


SHOWN = '{"message": "a", "generationTime": "1970-01-01T00:00:00Z", "seqNumber": 0, "createdBy": "ada"}'


@pytest.mark.parametrize(
    ("content", "kind", "fact"),
    [
        (refusal("409 Conflict", "ExpiredException"), ExpiredError, ("offered", EVENT)),
        (refusal("405 Method Not Allowed", "ReadOnlyException"), ReadOnlyError, ("action", "append")),
        (refusal("410 Gone", "CursorGoneException", '{"oldest": "A"}'), CursorGoneError, ("oldest", "A")),
        (
            refusal("503 Unavailable", "OutcomeUnknownException", f'{{"event": {SHOWN}}}'),
            OutcomeUnknownError,
            ("events", (Event("a", source="", generation_time=0, seq_number=0, created_by="ada"),)),
        ),
        (refusal("503 Unavailable", "OutcomeUnknownException"), OutcomeUnknownError, ("events", ())),
        (
            refusal("507 Insufficient Storage", "OutOfSpaceException"),
            OutOfSpaceError,
            ("reason", "as it says"),
        ),
        (refusal("400 Bad Request", "BadRequestException"), InvalidInputError, ("rule", "as it says")),
        (refusal("409 Conflict", "ConflictException", '{"stored": 5}'), ServerRefusedError, ("status", 409)),
        (refusal("500 Error", "DamagedBlockException"), ServerUnavailableError, ("status", 500)),
        (answer(b"<html>busy", "503 Busy", "text/html"), ServerUnavailableError, ("status", 503)),
    ],
)
def test_an_error_of_the_api_is_one_of_the_library(
    content: bytes, kind: type[ArchiveError], fact: tuple[str, object]
) -> None:
    with asking([content], retries=0) as client, pytest.raises(kind) as caught:
        client.instance("sim", check=False).append(EVENT)
    assert type(caught.value) is kind
    assert getattr(caught.value, fact[0]) == fact[1]
    assert "as it says" in str(caught.value) or fact[0] == "status"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        answer(b"<html>welcome", media="text/html"),
        answer(b"[]", media="application/json"),
        answer(b"{", media="application/json"),
        answer(b'{"instances": 5}', media="application/json"),
        answer(b'{"instances": [{}], "events": 1, "sources": 1, "count": "x"}', media="application/json"),
    ],
)
def test_the_error_of_a_foreign_answer_says_that_it_is_no_archive_s(content: bytes) -> None:
    with asking([content] * 6) as client:
        sim = client.instance("sim", check=False)
        calls: list[Callable[[], object]] = [client.instances, sim.count, sim.cursor]
        calls += [lambda: sim.append(EVENT), lambda: sim.append_many([EVENT])]
        for call in calls:
            with pytest.raises(ServerRefusedError, match="is it an archive of this project"):
                call()


def test_a_server_that_has_no_such_route_is_an_old_one_or_another() -> None:
    gone = answer(b"Not Found", "404 Not Found", "text/plain")
    with (
        asking([gone]) as client,
        pytest.raises(ServerRefusedError, match=r"does not serve .*events:count; .*an older one may not"),
    ):
        client.instance("sim", check=False).count()


def test_any_number_of_threads_may_ask(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "archive") as archive:
        archive.instance("sim", create=True)
        with uvicorn_at(archive, 0) as port, Client(f"http://127.0.0.1:{port}") as client:
            sim = client.instance("sim")

            def ask(thread: int) -> None:
                for n in range(20):
                    sim.append(Event(f"{thread} {n}", source=f"S{thread}"))
                    assert [event.seq_number for event in sim.events(sources=[f"S{thread}"])] == list(
                        range(n + 1)
                    )

            threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sim.count() == 120


def test_a_closed_transport_refuses_requests() -> None:
    with scripted([INSTANCES]) as url:
        sender = Transport(url)
        sender.end()
        with pytest.raises(ServerUnavailableError, match="ended"):
            sender.ask(Request("GET", "/api"))

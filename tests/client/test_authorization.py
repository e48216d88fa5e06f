"""The header of requests with a login: HTTP Basic, a token where that is refused, renewed in time."""

from __future__ import annotations

import json
import threading
from urllib.parse import parse_qs

import pytest

from tests.client.scripted import answer, scripted
from yamcs_archive.client.authorization import Authorization, Said
from yamcs_archive.client.transport import Request, Transport
from yamcs_archive.credentials import Credentials, Login, Token

LOGIN = Login("ada", "s&cret")


class Server:
    """Issues tokens, one after another."""

    def __init__(self, expires_in: object = 500) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.expires_in = expires_in
        self.answers: list[Said] = []
        self.now_s = 0.0

    def __call__(self, form: bytes) -> Said:
        self.forms.append(parse_qs(form.decode()))
        if self.answers:
            return self.answers.pop(0)
        fields = {"access_token": f"t{len(self.forms)}", "expires_in": self.expires_in, "refresh_token": "r"}
        return Said(200, json.dumps(fields).encode())

    def grants(self) -> list[str]:
        found = [form["grant_type"][0] for form in self.forms]
        self.forms.clear()
        return found


def authorization(server: Server, credentials: Credentials | None = LOGIN) -> Authorization:
    return Authorization(credentials, server, lambda: server.now_s)


def test_a_password_is_exchanged_once_it_is_refused() -> None:
    server = Server()
    ours = authorization(server)
    assert ours.header() == LOGIN.header
    assert ours.refused(LOGIN.header, 401, "")
    assert server.forms == [{"grant_type": ["password"], "username": ["ada"], "password": ["s&cret"]}]
    assert ours.header() == "Bearer t1"
    assert not ours.refused("Bearer t1", 403, "")
    assert ours.refused(LOGIN.header, 401, "")  # sent before the exchange: nothing is asked for again
    assert server.grants() == ["password"]


@pytest.mark.parametrize("challenge", ["Basic", 'Bearer, basic realm="ops"'])
def test_a_server_that_takes_passwords_is_asked_for_no_token(challenge: str) -> None:
    server = Server()
    ours = authorization(server)
    assert not ours.refused(LOGIN.header, 401, challenge)
    assert server.forms == []
    assert ours.refused(LOGIN.header, 401, "Bearer")
    assert ours.refused("Bearer t1", 401, challenge)  # a token that expired there
    assert server.grants() == ["password", "refresh_token"]


@pytest.mark.parametrize("credentials", [None, Token("abc")])
def test_without_a_password_nothing_is_asked_for(credentials: Credentials | None) -> None:
    server = Server()
    ours = authorization(server, credentials)
    header = ours.header()
    assert header == (None if credentials is None else "Bearer abc")
    assert not ours.refused(header, 401, "")
    assert not ours.renew(header)
    assert server.forms == []


@pytest.mark.parametrize(("life_s", "renewed_s"), [(500, 450), (20, 18), (10_000, 9_940), (0.5, 0.45)])
def test_a_token_is_renewed_before_it_expires(life_s: float, renewed_s: float) -> None:
    server = Server(life_s)
    ours = authorization(server)
    assert ours.renew(LOGIN.header)
    server.now_s = renewed_s * 0.999
    assert ours.header() == "Bearer t1"
    assert server.grants() == ["password"]
    server.now_s = renewed_s
    server.forms.append({"grant_type": ["so that the next token has another name"]})
    assert ours.header() == "Bearer t2"
    assert server.grants()[1:] == ["refresh_token"]


@pytest.mark.parametrize("expires_in", [None, 0, -5, "soon", True, float("nan"), [], 1e400])
def test_a_token_with_no_plain_life_is_kept_until_it_is_refused(expires_in: object) -> None:
    server = Server(expires_in)
    ours = authorization(server)
    assert ours.renew(LOGIN.header)
    server.now_s = 1e12
    assert ours.header() == "Bearer t1"


@pytest.mark.parametrize(
    "said",
    [
        Said(401, b"401 Unauthorized"),
        Said(404, b"404 Not Found"),
        Said(429, b""),
        Said(200, b""),
        Said(200, b"\xff"),
        Said(200, b"[" * 100_000),
        Said(200, b"[]"),
        Said(200, b"{}"),
        Said(200, b'{"access_token": 5}'),
        Said(200, b'{"access_token": "a\\r\\nx: y"}'),
    ],
)
def test_an_answer_without_a_token_leaves_the_password(said: Said) -> None:
    server = Server()
    ours = authorization(server)
    server.answers = [said]
    assert not ours.refused(LOGIN.header, 401, "")
    assert ours.header() == LOGIN.header
    assert ours.renew(LOGIN.header)  # and the next time there may be one
    server.answers = [said]
    assert ours.refused("Bearer t2", 401, "")  # the refresh token is refused, the password is not
    assert server.grants() == ["password", "password", "refresh_token", "password"]
    server.answers = [said, said]
    assert not ours.renew(ours.header())
    assert ours.header() == LOGIN.header


def test_of_many_threads_one_asks() -> None:
    server = Server()
    ours = authorization(server)
    together = threading.Barrier(8)
    found: list[bool] = []

    def refused() -> None:
        together.wait(60)
        found.append(ours.refused(LOGIN.header, 401, ""))

    threads = [threading.Thread(target=refused) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8
    assert server.grants() == ["password"]


# Over a connection


def heads(seen: list[bytes]) -> list[tuple[bytes, bytes | None]]:
    """Return the first line of each request, and its Authorization."""
    found = []
    for request in seen:
        lines = request.split(b"\r\n\r\n")[0].split(b"\r\n")
        given = [line.partition(b": ")[2] for line in lines if line.lower().startswith(b"authorization:")]
        found.append((lines[0].rpartition(b" ")[0], given[0] if given else None))
    return found


def test_a_request_is_sent_again_with_the_token_even_one_that_may_be_sent_once_only() -> None:
    seen: list[bytes] = []
    token = json.dumps({"access_token": "abc", "expires_in": 500, "refresh_token": "r"}).encode()
    refused = answer(b"Missing authentication", "401 Unauthorized", "text/plain")
    issued, done = answer(token, media="application/json"), answer(b"{}", media="application/json")
    with scripted([refused], [issued], [done, done], seen=seen) as url:
        transport = Transport(f"{url}/prefix", LOGIN)
        for _ in range(2):
            request = Request("POST", "/api/x", b"body", repeatable=False)
            assert transport.ask(request).status == 200
        transport.close()
    basic = LOGIN.header.encode()
    assert heads(seen) == [
        (b"POST /prefix/api/x", basic),
        (b"POST /prefix/auth/token", None),
        (b"POST /prefix/api/x", b"Bearer abc"),
        (b"POST /prefix/api/x", b"Bearer abc"),
    ]
    assert b"application/x-www-form-urlencoded" in seen[1]
    assert seen[1].endswith(b"grant_type=password&username=ada&password=s%26cret")


def test_a_refusal_after_the_login_is_the_answer() -> None:
    refused = answer(b"no", "401 Unauthorized", "text/plain")
    token = json.dumps({"access_token": "abc"}).encode()
    with scripted([refused], [answer(token, media="application/json")], [refused]) as url:
        transport = Transport(url, LOGIN)
        assert transport.ask(Request("GET", "/api")).status == 401
        transport.close()
    with scripted([refused], [refused]) as url:
        transport = Transport(url, LOGIN)
        assert transport.ask(Request("GET", "/api")).status == 401
        transport.close()

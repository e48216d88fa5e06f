"""Logging in: tokens for programs, a cookie for the page, and what a proxy says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.http.feeds import Answer, Feed, core_feed, socket_feed, uvicorn_at, wsgi_feed
from tests.http.users import PASSWORD, add, basic, bearer
from yamcs_archive import Archive, Instance
from yamcs_archive.access import administration
from yamcs_archive.access.passwords import NOBODYS
from yamcs_archive.access.permissions import Grant
from yamcs_archive.http.access.failed_logins import FAILED_LOGINS_MAX
from yamcs_archive.http.access.options import AccessOptions
from yamcs_archive.http.application import Application
from yamcs_archive.http.asgi import AsgiApp, create_asgi_app
from yamcs_archive.http.limits import LOGIN_BYTES_MAX
from yamcs_archive.http.request_and_response import SCOPE_USER
from yamcs_archive.http.routes import PATHS, Route
from yamcs_archive.http.wsgi import create_app

EVENTS = "/api/archive/sim/events"

ROUTES = [(path, route) for path, routes in PATHS.items() for route in routes]


def target(path: str, instance: str = "sim") -> str:
    return path.replace("{instance}", instance)


FORM = {"content-type": "application/x-www-form-urlencoded"}
LOGIN = f"grant_type=password&username=root&password={PASSWORD.replace(' ', '+')}"


def test_a_login_gives_tokens_that_are_renewed(send: Feed) -> None:
    assert send("GET", "/auth").json() == {"requireAuthentication": True}
    first = send("POST", "/auth/token", LOGIN, FORM)
    assert first.headers["cache-control"] == "no-store"
    tokens = first.json()
    assert (tokens["token_type"], tokens["expires_in"], tokens["user"]["name"]) == ("bearer", 500, "root")
    assert send("GET", "/api/user", headers=bearer(tokens["access_token"])).json()["superuser"] is True
    assert (
        send("GET", EVENTS, headers={"cookie": f"x=y; access_token={tokens['access_token']}"}).status == 200
    )
    assert send("GET", EVENTS, headers=bearer(tokens["refresh_token"])).status == 401
    assert send("GET", EVENTS, headers={"x-api-key": tokens["access_token"]}).status == 401
    refresh = f"grant_type=refresh_token&refresh_token={tokens['refresh_token']}"
    again = [send("POST", "/auth/token", refresh, FORM).json() for _ in range(2)]
    assert again[0] == again[1]
    assert again[0]["access_token"] != tokens["access_token"]
    assert send("GET", EVENTS, headers=bearer(again[0]["access_token"])).status == 200
    wrong = f"grant_type=refresh_token&refresh_token={tokens['access_token']}"
    assert send("POST", "/auth/token", wrong, FORM).status == 401


def test_logins_survive_a_restart_and_end_with_the_password(
    archive: Archive, send: Feed, path: Path, root: dict[str, str]
) -> None:
    tokens = send("POST", "/auth/token", LOGIN, FORM).json()
    for rotated in (False, True):
        if rotated:
            administration.rotate_key(path)
        later = Application(archive, access=AccessOptions(users=path))
        assert (
            core_feed(archive, core=later)("GET", EVENTS, headers=bearer(tokens["access_token"])).status
            == 200
        )
        later.end_polls()
    administration.set_password(path, "root", NOBODYS)
    assert send("GET", EVENTS, headers=bearer(tokens["access_token"])).status == 401
    refresh = f"grant_type=refresh_token&refresh_token={tokens['refresh_token']}"
    assert send("POST", "/auth/token", refresh, FORM).status == 401


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("", FORM),
        ("grant_type=password&username=root", FORM),
        ("grant_type=password&password=x", FORM),
        ("grant_type=implicit", FORM),
        ("grant_type=refresh_token", FORM),
        ("grant_type", FORM),
        (LOGIN, {"content-type": "text/plain"}),
        (
            '{"grant_type": "password", "username": "root", "password": "x"}',
            {"content-type": "application/json"},
        ),
        ("%ff=%ff", FORM),
        (b"\xff", FORM),
        ("&".join(f"a{n}=b" for n in range(100)), FORM),
    ],
)
def test_a_login_that_is_malformed_is_a_bad_request(
    send: Feed, body: str | bytes, headers: dict[str, str]
) -> None:
    assert send("POST", "/auth/token", body, headers).status == 400


def test_a_wrong_login_is_a_401_in_plain_text(send: Feed) -> None:
    answer = send("POST", "/auth/token", "grant_type=password&username=root&password=x", FORM)
    assert (answer.status, answer.body) == (401, b"401 Unauthorized")


def test_who_manages_the_archive_may_become_another_user(
    send: Feed, path: Path, root: dict[str, str]
) -> None:
    ada = add(path, "ada", "ReadEvents", "ManageArchive@sim")
    body = "grant_type=client_credentials&become=ada"
    tokens = send("POST", "/auth/token", body, FORM | root).json()
    assert "refresh_token" not in tokens
    assert send("GET", "/api/user", headers=bearer(tokens["access_token"])).json()["name"] == "ada"
    assert send("POST", "/auth/token", body.replace("ada", "root"), FORM | ada).status == 403
    assert send("POST", "/auth/token", body.replace("ada", "nobody"), FORM | root).status == 403
    assert send("POST", "/auth/token", body, FORM).status == 401
    own = send("POST", "/auth/token", "grant_type=client_credentials", FORM | ada).json()
    assert own["user"]["permissions"] == ["ReadEvents", "ManageArchive@sim"]
    administration.remove_user(path, "root")
    assert send("GET", EVENTS, headers=bearer(tokens["access_token"])).status == 401


# The page


def session_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


def test_a_page_logs_in_and_out_by_a_cookie(send: Feed) -> None:
    body = msgspec.json.encode({"username": "root", "password": PASSWORD})
    answer = send("POST", "/auth/session", body)
    assert answer.json()["name"] == "root"
    assert answer.headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=Strict")
    cookie = {"cookie": session_of(answer)}
    assert send("GET", EVENTS, headers=cookie).status == 200
    assert send("GET", EVENTS, headers={"cookie": f"access_token=old; {cookie['cookie']}"}).status == 200
    assert send("GET", EVENTS, headers=bearer(cookie["cookie"].partition("=")[2])).status == 401
    ended = send("DELETE", "/auth/session", headers=cookie)
    assert ended.status == 204
    assert "Max-Age=0" in ended.headers["set-cookie"]
    assert send("GET", EVENTS, headers=cookie).status == 401  # also if somebody has kept it
    assert send("DELETE", "/auth/session").status == 204


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"username": "root"}', b'{"username": "root", "password": "x", "more": 1}', b"{"],
)
def test_a_login_of_a_page_that_is_malformed_is_a_bad_request(send: Feed, body: bytes) -> None:
    assert send("POST", "/auth/session", body).status == 400


def test_a_cookie_is_for_the_public_url_alone(
    archive: Archive, sim: Instance, path: Path, root: dict[str, str]
) -> None:
    access = AccessOptions(users=path, public_url="https://ops.example/archive/")
    core = Application(archive, access=access)
    send = core_feed(archive, core=core)
    body = msgspec.json.encode({"username": "root", "password": PASSWORD})
    same = {"origin": "https://ops.example", "host": "127.0.0.1:8090"}
    answer = send("POST", "/auth/session", body, same)
    assert answer.headers["set-cookie"].endswith("; Path=/archive; HttpOnly; SameSite=Strict; Secure")
    core.end_polls()


UNSAFE = [(path, route) for path, route in ROUTES if route.method != "GET"]


@pytest.mark.parametrize(("path_", "route"), UNSAFE, ids=lambda it: getattr(it, "method", it))
def test_another_page_may_do_nothing_whatever_its_credentials(
    send: Feed, path: Path, root: dict[str, str], path_: str, route: Route
) -> None:
    token = administration.add_token(path, "root", "t")
    for headers in (root, bearer(token), {"x-api-key": token}, {}):
        for origin in ("https://evil.example", "null", "http://localhost:9999"):
            given = headers | {"origin": origin, "host": "localhost:8090", "content-type": "text/plain"}
            assert send(route.method, target(path_), b"", given).status == 403


# Proxies


def proxied(archive: Archive, path: Path, **more: Any) -> tuple[Application, Feed]:
    access = AccessOptions(users=path, trust_proxy=["192.0.2.0/24"], user_header="X-Remote-User", **more)
    core = Application(archive, access=access)
    return core, core_feed(archive, core=core)  # its requests come from 192.0.2.1


def test_a_trusted_proxy_names_the_user(
    archive: Archive, sim: Instance, path: Path, root: dict[str, str]
) -> None:
    administration.add_user(path, "ada", [Grant.parse("ReadEvents")], None)
    core, send = proxied(archive, path)
    assert send("GET", "/api/user", headers={"x-remote-user": "ada"}).json()["name"] == "ada"
    assert send("GET", "/api/user", headers={"x-remote-user": "ada"} | root).json()["name"] == "ada"
    assert send("GET", "/api/user", headers={"x-remote-user": "nobody"}).status == 403
    assert send("GET", "/api/user", headers={"x-remote-user": "ada, root"}).status == 403
    assert send("GET", "/api/user", headers={"x-remote-user": ""}).status == 401
    core.end_polls()


def test_nobody_else_names_the_user(
    archive: Archive, sim: Instance, path: Path, root: dict[str, str]
) -> None:
    access = AccessOptions(users=path, trust_proxy=["198.51.100.1"], user_header="X-Remote-User")
    core = Application(archive, access=access)
    send = core_feed(archive, core=core)
    assert send("GET", "/api/user", headers={"x-remote-user": "root"}).status == 401
    core.end_polls()


def test_failures_count_for_the_client_behind_the_proxy(
    archive: Archive, sim: Instance, path: Path, root: dict[str, str]
) -> None:
    core, send = proxied(archive, path)
    guesses = [
        send(
            "GET", EVENTS, headers=basic("root", f"wrong {n}") | {"x-forwarded-for": "203.0.113.9, 192.0.2.7"}
        ).status
        for n in range(FAILED_LOGINS_MAX + 1)
    ]
    assert guesses == [401] * FAILED_LOGINS_MAX + [429]
    assert send("GET", EVENTS, headers=root | {"x-forwarded-for": "203.0.113.10"}).status == 200
    core.end_polls()


# The same through other doors


def test_it_is_the_same_under_wsgi_and_asgi(
    archive: Archive, sim: Instance, path: Path, root: dict[str, str]
) -> None:
    access = AccessOptions(users=path)
    wsgi = create_app(archive, access=access)
    send = wsgi_feed(archive, wsgi)
    assert send("GET", EVENTS, headers=root).status == 200
    assert send("GET", EVENTS, headers=basic("root", "wrong")).status == 401
    assert send("POST", "/auth/token", LOGIN, FORM).status == 200
    wsgi.end_polls()
    with uvicorn_at(archive, 0, create_asgi_app(archive, access=access)) as port:
        served = socket_feed(port)
        assert served("GET", EVENTS, headers=root).status == 200
        assert served("GET", EVENTS, headers=basic("root", "wrong")).status == 401
        assert served("POST", "/auth/token", LOGIN, FORM).status == 200
        assert served("POST", EVENTS, '{"message": "a"}', root).json()["createdBy"] == "root"


def test_the_access_log_has_the_user_and_the_client_behind_the_proxy(
    archive: Archive, sim: Instance, path: Path, root: dict[str, str]
) -> None:
    scopes: list[Any] = []

    class Noting(AsgiApp):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scopes.append(scope)
            await super().__call__(scope, receive, send)

    app = Noting(archive, access=AccessOptions(users=path, trust_proxy=["127.0.0.1"]))
    with uvicorn_at(archive, 0, app) as port:
        served = socket_feed(port)
        forwarded = {"x-forwarded-for": "203.0.113.9"}
        assert served("GET", EVENTS, headers=root | forwarded).status == 200
        assert served("GET", EVENTS, headers=add(path, "ada")).status == 403
        assert served("GET", EVENTS).status == 401
    told = [(each["client"][0], each.get(SCOPE_USER)) for each in scopes if each["type"] == "http"]
    assert told == [("203.0.113.9", "root"), ("127.0.0.1", "ada"), ("127.0.0.1", None)]
    app.end_polls()


def test_a_body_that_is_no_login_is_refused_by_its_size(send: Feed) -> None:
    for where in ("/auth/session", "/auth/token"):
        assert send("POST", where, b"x" * (LOGIN_BYTES_MAX + 1), FORM).status == 413
        assert send("POST", where, b"x" * LOGIN_BYTES_MAX, FORM).status == 400


def test_with_a_public_url_no_other_origin_is_the_servers_own(
    archive: Archive, sim: Instance, path: Path, root: dict[str, str]
) -> None:
    core = Application(archive, access=AccessOptions(users=path, public_url="https://ops.example"))
    send = core_feed(archive, core=core)
    for origin, host, status in (
        ("https://ops.example", "ops.example", 200),
        ("https://ops.example", "127.0.0.1", 200),
        ("http://ops.example", "ops.example", 403),
        ("http://evil.example", "evil.example", 403),
    ):
        given = root | {"origin": origin, "host": host}
        assert send("POST", EVENTS, '{"message": "a"}', given).status == status
    core.end_polls()


def test_a_proxy_names_users_in_utf_8(archive: Archive, sim: Instance, path: Path) -> None:
    administration.add_user(path, "jürgen", [Grant.parse("ReadEvents")], None)
    core, send = proxied(archive, path)
    named = {"x-remote-user": "jürgen".encode().decode("latin-1")}
    assert send("GET", "/api/user", headers=named).json()["name"] == "jürgen"
    core.end_polls()

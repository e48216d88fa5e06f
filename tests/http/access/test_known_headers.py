"""What is remembered of headers that were right: it ends at once with what made it right, and is bounded."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.http.users import PASSWORD, add, basic, bearer, quick_hash
from yamcs_archive.access import administration
from yamcs_archive.access.callers import Caller, guest
from yamcs_archive.access.login_tokens import LoginTokens
from yamcs_archive.access.permissions import Grant, Permission
from yamcs_archive.http.access.authentication import Authentication
from yamcs_archive.http.access.known_headers import Known, KnownHeaders
from yamcs_archive.http.access.presented import SESSION_COOKIE
from yamcs_archive.http.access.proxies import Proxies
from yamcs_archive.http.errors import HttpError
from yamcs_archive.http.request_and_response import Head

ADA = guest(operations=False)


def known(until_s: float = 60.0, now_s: float = 0.0, version: int = 1) -> Known:
    return Known(ADA, version, until_s, lambda: now_s)


@pytest.mark.parametrize(("now_s", "is_known"), [(59.9, True), (60.0, False), (60.1, False)])
def test_a_header_is_known_until_its_time(now_s: float, is_known: bool) -> None:
    headers = KnownHeaders()
    digest = headers.digest("a")
    headers.note(digest, known(now_s=now_s))
    assert (headers.caller(digest, 1) is ADA) == is_known
    assert headers.caller(digest, 2) is None
    assert headers.caller(headers.digest("b"), 1) is None


@pytest.mark.parametrize("count", [1, 2, 3, 300])
def test_so_many_headers_are_known_and_the_oldest_is_forgotten(count: int) -> None:
    headers = KnownHeaders(known_max=2)
    digests = [headers.digest(str(number)) for number in range(count)]
    for digest in digests:
        headers.note(digest, known())
    assert len(headers) == min(count, 2)
    assert [headers.caller(digest, 1) for digest in digests[-2:]] == [ADA] * min(count, 2)
    headers.clear()
    assert not len(headers)


def test_nothing_of_a_header_is_kept_and_its_hash_is_of_one_process() -> None:
    headers, others = KnownHeaders(), KnownHeaders()
    header = basic("ada")["authorization"]
    digest = headers.digest(header)
    headers.note(digest, known())
    kept = repr(vars(headers)) + repr([*headers._known])
    assert not any(secret in kept for secret in (PASSWORD, header, header.partition(" ")[2]))
    assert digest != others.digest(header)
    assert others.caller(digest, 1) is None
    assert headers.digest("é\udcff") != headers.digest("é\udcfe")


class Means(NamedTuple):
    """A way to say who sends a request."""

    headers: dict[str, str]
    end: Callable[[], None]
    """Ends what makes it right, but for the user."""


@pytest.fixture
def now_s() -> list[float]:
    return [1_000_000.0]


@pytest.fixture
def server(path: Path, root: dict[str, str], now_s: list[float]) -> Iterator[Authentication]:
    made = Authentication(path, Proxies(()), lambda: now_s[0])
    yield made
    made.close()


def sent(server: Authentication, headers: dict[str, str]) -> Caller | None:
    """Return who a server takes for the sender, once a password is checked; None after a 401."""
    try:
        found = server.caller(Head("GET", "/", "", headers, "192.0.2.1"))
        return found if found is None or isinstance(found, Caller) else found.result(60)
    except HttpError as error:
        assert error.status == 401
        return None


MEANS = ["password", "access token", "service token", "key", "cookie"]


@pytest.fixture(params=MEANS)
def means(request: pytest.FixtureRequest, server: Authentication, path: Path, now_s: list[float]) -> Means:
    """A user, ada, who logs in by each means, and is known by now."""
    add(path, "ada", "ReadEvents", "WriteEvents")
    ada = server.users().caller("ada")
    assert ada is not None

    def change_password() -> None:
        administration.set_password(path, "ada", quick_hash("another one"))

    def pass_time() -> None:
        now_s[0] += 100_000_000

    def revoke() -> None:
        administration.revoke_token(path, "ada", "one")

    if request.param == "password":
        found = Means(basic("ada"), change_password)
    elif request.param == "access token":
        found = Means(bearer(server.login(ada).access), pass_time)
    elif request.param == "service token":
        found = Means(bearer(administration.add_token(path, "ada", "one")), revoke)
    elif request.param == "key":
        found = Means({"x-api-key": administration.add_token(path, "ada", "one")}, revoke)
    else:
        cookie = server.session(ada)
        found = Means({"cookie": f"{SESSION_COOKIE}={cookie}"}, lambda: server.end_session(cookie))
    for _ in range(3):
        caller = sent(server, found.headers)
        assert caller is not None
        assert caller.name == "ada"
    assert len(server._headers) == 1
    return found


def test_what_is_known_is_not_checked_again(
    server: Authentication, means: Means, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoginTokens, "read", None)
    monkeypatch.setattr(server.checks, "caller", None)
    assert sent(server, means.headers) is server.users().caller("ada")


def test_it_ends_at_once_with_what_makes_it_right(server: Authentication, means: Means) -> None:
    means.end()
    assert sent(server, means.headers) is None


def test_it_ends_at_once_with_the_user(server: Authentication, means: Means, path: Path) -> None:
    administration.remove_user(path, "ada")
    assert sent(server, means.headers) is None


def test_it_has_the_permissions_of_now_at_once(server: Authentication, means: Means, path: Path) -> None:
    administration.set_permissions(path, "ada", [Grant.parse("ReadEvents")])
    caller = sent(server, means.headers)
    assert caller is not None
    assert caller.allows(Permission.READ_EVENTS)
    assert not caller.allows(Permission.WRITE_EVENTS)


def test_a_header_that_is_almost_the_same_is_another_one(server: Authentication, means: Means) -> None:
    [(name, value)] = means.headers.items()
    assert sent(server, {name: value[:-2]}) is None
    other = {"authorization": "x-api-key", "x-api-key": "authorization", "cookie": "x-api-key"}[name]
    assert sent(server, {other: value}) is None


def test_wrong_ones_are_not_remembered(server: Authentication, means: Means) -> None:
    wrong = [{"x-api-key": f"yat_{number}"} for number in range(5)] + [bearer("a.b.c")]
    wrong.append({"authorization": "Basic " + base64.b64encode(b"ada").decode()})
    assert [sent(server, headers) for headers in wrong] == [None] * len(wrong)
    assert len(server._headers) == 1


def test_what_was_found_out_with_users_that_changed_meanwhile_is_not_remembered(
    server: Authentication, path: Path, root: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(path, "ada", "ReadEvents")
    headers = bearer(administration.add_token(path, "ada", "one"))
    real = Authentication._with_token

    def changed_meanwhile(self: Authentication, *given: object, **named: bool) -> tuple[Caller, float] | None:
        found = real(self, *given, **named)  # type: ignore[arg-type]  # as it was called
        administration.remove_user(path, "ada")
        self.reload()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Authentication, "_with_token", changed_meanwhile)
        assert sent(server, headers) is not None  # it came before
    assert sent(server, headers) is None


def test_a_second_new_key_ends_tokens_although_they_are_known(server: Authentication, path: Path) -> None:
    ada = add(path, "ada", "ReadEvents")
    caller = sent(server, ada)
    assert caller is not None
    headers = bearer(server.login(caller).access)
    assert sent(server, headers) is not None
    administration.rotate_key(path)
    server.reload()  # as the watch does once a second
    assert sent(server, headers) is not None
    administration.rotate_key(path)
    server.reload()
    assert sent(server, headers) is None

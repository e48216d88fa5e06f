"""Passwords: how often they are checked, and what guessing costs."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.http.feeds import Feed, core_feed
from tests.http.users import PASSWORD, add, basic, bearer
from yamcs_archive import Archive, Instance
from yamcs_archive.access import administration, passwords
from yamcs_archive.access.users import Users
from yamcs_archive.access.users_file import read_document
from yamcs_archive.errors import UnavailableError
from yamcs_archive.http.access import current_users, password_checks
from yamcs_archive.http.access.failed_logins import FAILED_LOGINS_MAX
from yamcs_archive.http.access.options import AccessOptions
from yamcs_archive.http.application import Application

EVENTS = "/api/archive/sim/events"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of the passwords that are checked from now on."""
    found: list[str] = []
    real = passwords.is_right

    def is_right(password: str, stored: str) -> bool:
        found.append(password)
        return real(password, stored)

    monkeypatch.setattr(password_checks, "is_right", is_right)
    return found


def test_a_right_password_is_checked_once_a_minute(
    archive: Archive, sim: Instance, path: Path, root: dict[str, str], checked: list[str]
) -> None:
    now_s = [0.0]
    core = Application(archive, access=AccessOptions(users=path))
    authenticated = core.services.authentication
    assert authenticated is not None
    authenticated.checks.close()
    authenticated.checks = password_checks.PasswordChecks(authenticated.users, lambda: now_s[0])
    send = core_feed(archive, core=core)
    for now in (0.0, 1.0, 59.9, 60.0, 61.0):
        now_s[0] = now
        assert send("GET", EVENTS, headers=root).status == 200
    assert checked == [PASSWORD] * 2
    core.end_polls()


def test_many_requests_with_one_password_wait_for_one_check(
    send: Feed, root: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    several, checked = threading.Event(), []

    def slowly(password: str, stored: str) -> bool:
        checked.append(password)
        several.wait(60)
        return passwords.is_right(password, stored)

    monkeypatch.setattr(password_checks, "is_right", slowly)
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(send, "GET", EVENTS, b"", root) for _ in range(20)]
        several.set()
        assert {answer.result().status for answer in answers} == {200}
    assert checked == [PASSWORD]


def test_an_unknown_user_costs_as_much_as_a_wrong_password(
    send: Feed, path: Path, root: dict[str, str], checked: list[str]
) -> None:
    administration.add_user(path, "token-only", [], None)
    for headers in (basic("root", "wrong"), basic("nobody", "x"), basic("token-only", "y"), basic("", "z")):
        assert send("GET", EVENTS, headers=headers).status == 401
    assert checked == ["wrong", "x", "y", "z"]


def test_an_address_that_guesses_has_to_wait_and_others_not(
    send: Feed, path: Path, root: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    statuses = [
        send("GET", EVENTS, headers=basic("root", f"wrong {n}")).status for n in range(FAILED_LOGINS_MAX)
    ]
    assert statuses == [401] * FAILED_LOGINS_MAX
    answer = send("GET", EVENTS, headers=basic("root", "another"))
    assert answer.status == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 6
    assert send("GET", EVENTS, headers=root).status == 429  # it may be the next guess
    token = administration.add_token(path, "root", "t")
    assert send("GET", EVENTS, headers=bearer(token)).status == 200
    told = [record.getMessage() for record in caplog.records if "login failed" in record.getMessage()]
    assert len(told) == FAILED_LOGINS_MAX
    assert all(
        "192.0.2.1" in line and "root" in line and "wrong" not in line.split("root")[1][:3] for line in told
    )
    assert not any(f"wrong {n}" in line for n in range(10) for line in told)


def test_a_right_password_does_not_count_as_a_guess(send: Feed, path: Path) -> None:
    for n in range(FAILED_LOGINS_MAX + 5):
        assert send("GET", EVENTS, headers=add(path, f"user {n}", "ReadEvents")).status == 200


def test_too_many_checks_at_once_are_refused(
    archive: Archive, send: Feed, root: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(password_checks, "CHECKS_WAITING_MAX", 0)
    answer = send("GET", EVENTS, headers=root)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_many_addresses_leave_places_for_those_from_which_somebody_has_logged_in(
    path: Path, root: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    users = Users(read_document(path))
    checks = password_checks.PasswordChecks(lambda: users, waiting_max=8)
    try:
        found = checks.caller("root", PASSWORD, "192.0.2.1")
        assert isinstance(found, Future)
        assert found.result(60).name == "root"
        going_on = threading.Event()
        monkeypatch.setattr(password_checks, "is_right", lambda *_: going_on.wait(60) and False)
        for n in range(6):
            checks.caller("root", f"guess {n}", f"198.51.100.{n}")
        with pytest.raises(UnavailableError):
            checks.caller("root", "another guess", "198.51.100.7")
        for n in range(2):  # somebody else behind the known address, or with a changed password
            checks.caller("root", f"mine {n}", "192.0.2.1")
        with pytest.raises(UnavailableError):
            checks.caller("root", "one too many", "192.0.2.1")
        going_on.set()
    finally:
        checks.close()


@pytest.mark.parametrize("name", ["a:b", "a" * 10_000, "é\x00", "root\r\nX: y"])
def test_strange_names_are_wrong_and_cannot_forge_a_line(
    send: Feed, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert send("GET", EVENTS, headers=basic(name)).status == 401
    assert all(
        "\n" not in record.getMessage() and len(record.getMessage()) < 1000 for record in caplog.records
    )


# When serving ends, and when nobody asks
def test_a_request_that_waits_for_its_check_when_serving_ends_gets_an_answer(
    archive: Archive, core: Application, send: Feed, root: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = threading.Event()

    def slowly(*_: object) -> bool:
        return going_on.wait(60)

    monkeypatch.setattr(password_checks, "is_right", slowly)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(send, "GET", EVENTS, b"", basic("root", f"p {n}")) for n in range(4)]
        while len(core.services.authentication.checks._running) < 4:  # type: ignore[union-attr]
            pass
        core.end_polls()
        assert {answer.result().status for answer in waiting} == {503}
        going_on.set()


def test_the_users_are_looked_at_while_nobody_asks(
    archive: Archive, core: Application, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current_users, "WATCH_S", 0.01)
    told = threading.Event()
    found = core.services.authentication
    assert found is not None
    found.listen(told.set)
    administration.set_permissions(path, "root", [])
    assert told.wait(60)
    found.unlisten(told.set)
    found.unlisten(told.set)


def test_right_passwords_of_many_behind_one_address_are_no_guesses(send: Feed, path: Path) -> None:
    users = [add(path, f"user {n}", "ReadEvents") for n in range(14)]
    with ThreadPoolExecutor(14) as pool:
        answers = list(pool.map(lambda headers: send("GET", EVENTS, headers=headers).status, users))
    assert set(answers) <= {200, 503}


def test_wrong_tokens_are_a_line_for_a_spell(send: Feed, caplog: pytest.LogCaptureFixture) -> None:
    for n in range(50):
        assert send("GET", EVENTS, headers=bearer(f"x{n}")).status == 401
    told = [record.getMessage() for record in caplog.records if "wrong token" in record.getMessage()]
    assert len(told) == 1
    assert "192.0.2.1" in told[0]


def test_what_is_no_users_name_is_not_logged(send: Feed, caplog: pytest.LogCaptureFixture) -> None:
    assert send("GET", EVENTS, headers=basic("my secret password")).status == 401
    assert not any("my secret" in record.getMessage() for record in caplog.records)

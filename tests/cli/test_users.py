"""``yamcs-archive users``, and who may be served: on loopback everybody, beyond it those of a users file."""

from __future__ import annotations

import io
import json
import os
import pty
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.child import WAIT_S, stopping
from tests.cli.conftest import Run
from tests.http.users import basic
from tests.server.serving import launch_anew, serving
from yamcs_archive.access import administration
from yamcs_archive.access.passwords import is_right

PASSWORD = "correct horse"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "users.json"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the password twice on the standard input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n{PASSWORD}\n"))


def test_a_user_is_added_shown_permitted_and_removed(run: Run, path: Path, typed: None) -> None:
    added = run(
        "users",
        "add",
        "--users",
        path,
        "ada",
        "--permission",
        "ReadEvents",
        "--permission",
        "WriteEvents@sim/*",
    )
    assert (added.status, added.out, added.err) == (0, "", "")
    assert is_right(PASSWORD, administration.listed(path)["ada"].password or "")
    token = run("users", "token", "--users", path, "ada").out.strip()
    assert token.startswith("yat_")
    shown = run("users", "list", "--users", path).out.splitlines()
    assert shown[1].split() == ["ada", "yes", "service", "ReadEvents,WriteEvents@sim"]
    assert run("users", "token", "--users", path, "ada").status == 1  # there is one of that name
    assert run("users", "token", "--users", path, "ada", "--label", "second").status == 0
    assert run("users", "token", "--users", path, "ada", "--revoke", "service").status == 0
    assert run("users", "permit", "--users", path, "ada", "--permission", "ReadMetrics").status == 0
    assert administration.listed(path)["ada"].permissions == ["ReadMetrics"]
    assert run("users", "rotate-key", "--users", path).status == 0
    assert run("users", "remove", "--users", path, "ada").status == 0
    assert run("users", "list", "--users", path).out.splitlines() == ["NAME  PASSWORD  TOKENS  PERMISSIONS"]


def test_the_file_may_come_from_the_environment(
    run: Run, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("users", "list").status == 2
    monkeypatch.setenv("YAMCS_ARCHIVE_USERS", str(path))
    assert run("users", "add", "ada", "--no-password").status == 0
    assert "ada" in run("users", "list").out


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (f"{PASSWORD}\n", 0),
        (PASSWORD, 0),
        (f"{PASSWORD}\r\n{PASSWORD}\r\n", 0),
        ("12345678\n", 0),
        ("1234567\n", 2),
        ("", 2),
        ("\n", 2),
        (f"{PASSWORD}\n{PASSWORD}x\n", 2),
        ("tab\tis a control character\n", 2),
        ("é" * 512 + "\n", 0),
        ("é" * 512 + "a\n", 2),
    ],
)
def test_a_password_from_the_standard_input(
    run: Run, path: Path, monkeypatch: pytest.MonkeyPatch, said: str, status: int
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    ran = run("users", "add", "--users", path, "ada", "--permission", "ReadEvents")
    assert ran.status == status
    assert path.exists() == (status == 0)
    assert said.strip() == "" or said.strip() not in ran.err
    if not status:
        administration.remove_user(path, "ada")


def test_a_password_is_asked_for_twice_at_a_terminal_and_not_shown(path: Path) -> None:
    above, below = pty.openpty()
    command = [sys.executable, "-m", "yamcs_archive", "users", "add", "--users", str(path), "ada"]
    with stopping(
        subprocess.Popen(command, stdin=below, stdout=below, stderr=below, start_new_session=True)
    ) as process:
        os.close(below)
        said = b""
        for prompt in (b"New password of ada: ", b"The same again: "):
            while prompt not in said:
                said += os.read(above, 1000)
            os.write(above, f"{PASSWORD}\n".encode())
        assert process.wait(WAIT_S) == 0
    os.close(above)
    assert PASSWORD.encode() not in said
    assert is_right(PASSWORD, administration.listed(path)["ada"].password or "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "a:secret"), "without ':'"),
        (("add", "a\nb"), "printable"),
        (("add", "a" * 10_000), "at most 128 bytes"),
        (("add", "ada", "--permission", "Fly"), "--permission 'Fly'"),
        (("add", "ada", "--permission", "ReadMetrics@sim"), "without @"),
        (("token", "ada", "--label", "a:b"), "without ':'"),
        (("token", "ada", "--label", "a", "--revoke", "b"), "not allowed with"),
        (("passwd",), "required: NAME"),
    ],
)
def test_a_wrong_command_line_is_said_at_once(
    run: Run, path: Path, arguments: tuple[str, ...], told: str
) -> None:
    ran = run("users", arguments[0], "--users", path, *arguments[1:])
    assert (ran.status, told in ran.err, "secret" in ran.err, path.exists()) == (2, True, False, False)


def test_a_user_who_is_not_there_is_said_before_a_password_is_asked(run: Run, path: Path) -> None:
    assert "No such file" in run("users", "passwd", "--users", path, "ada").err
    administration.add_user(path, "ada", [], None)
    for arguments in (("passwd", "bob"), ("add", "ada")):
        ran = run("users", arguments[0], "--users", path, arguments[1])
        assert (ran.status, arguments[1] in ran.err) == (1, True)


def test_a_folder_that_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    ran = run("users", "add", "--users", tmp_path / "nosuch" / "users.json", "ada", "--no-password")
    assert (ran.status, "No such file" in ran.err) == (1, True)


# serve


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_serving_others_needs_users_or_to_be_insecure_by_name(run: Run, tmp_path: Path, host: str) -> None:
    ran = run("serve", "--data", tmp_path / "data", "--instance", "sim", "--host", host, "--port", 0)
    assert ran.status == 1
    assert "--users FILE" in ran.err
    assert "--insecure" in ran.err
    assert not (tmp_path / "data").exists()


def opened(url: str, headers: dict[str, str]) -> int:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_an_insecure_server_knows_its_own_names_alone(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--host", "0.0.0.0", "--insecure") as served:
        url = f"http://127.0.0.1:{served.port}/api"
        own = [f"127.0.0.1:{served.port}", "localhost", socket.gethostname(), "127.0.0.2"]
        assert [opened(url, {"Host": host}) for host in own] == [200] * 4
        assert [opened(url, {"Host": host}) for host in ("evil.example", "203.0.113.9")] == [403] * 2


def test_with_users_names_count_only_if_some_are_listed(tmp_path: Path, path: Path) -> None:
    administration.add_user(path, "ada", [], None)
    key = {"x-api-key": administration.add_token(path, "ada", "t")}
    options = ("--host", "0.0.0.0", "--users", path)
    with serving(tmp_path / "data", *options) as served:
        url = f"http://127.0.0.1:{served.port}/api"
        assert [opened(url, key | {"Host": host}) for host in ("any.example", "10.0.0.1")] == [200] * 2
        assert opened(url, {}) == 401
        status, complaints = served.stop()
    assert (status, key["x-api-key"] in complaints) == (0, False)
    with serving(tmp_path / "data", *options, "--allowed-host", "ops.example") as served:
        url = f"http://127.0.0.1:{served.port}/api"
        hosts = {"ops.example": 200, "127.0.0.1": 200, "localhost": 200, "any.example": 403, "10.0.0.1": 403}
        assert {host: opened(url, key | {"Host": host}) for host in hosts} == hosts


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--users", "{users}", "--insecure"), "--insecure"),
        (("--users", "{users}", "--allow-operations"), "ManageArchive"),
        (("--user-header", "X-User"), "needs --users"),
        (("--users", "{users}", "--user-header", "X-User"), "--trust-proxy"),
        (
            ("--users", "{users}", "--user-header", "Cookie", "--trust-proxy", "::1"),
            "must be the name of a header",
        ),
        (("--trust-proxy", "0.0.0.0/0"), "every address"),
        (("--trust-proxy", "proxy.example"), "must be the address"),
        (("--public-url", "ops.example"), "is not a URL"),
        (("--users", "{users}x"), "No such file"),
        (("--users", "{folder}"), "is not a file"),
        (("--token-file", "t"), "--mirror-of"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    run: Run, tmp_path: Path, path: Path, options: tuple[str, ...], told: str
) -> None:
    administration.add_user(path, "ada", [], None)
    given = [option.format(users=path, folder=tmp_path) for option in options]
    ran = run("serve", "--data", tmp_path / "data", "--instance", "sim", "--port", 0, *given)
    assert ran.status in (1, 2)
    assert told in ran.err


def test_a_served_file_that_others_may_read_is_refused(run: Run, tmp_path: Path, path: Path) -> None:
    administration.add_user(path, "ada", [], None)
    path.chmod(0o644)
    ran = run("serve", "--data", tmp_path / "data", "--instance", "sim", "--port", 0, "--users", path)
    assert (ran.status, "0644" in ran.err) == (1, True)


def test_a_password_of_a_real_user_is_checked_and_secrets_are_in_no_list_of_processes(
    tmp_path: Path, path: Path, run: Run, typed: None
) -> None:
    assert run("users", "add", "--users", path, "ada", "--permission", "WriteEvents").status == 0
    with serving(tmp_path / "data", "--users", path, start=launch_anew) as served:
        url = f"http://127.0.0.1:{served.port}/api/user"
        assert opened(url, basic("ada", PASSWORD)) == 200
        assert opened(url, basic("ada", "wrong horse")) == 401
        line = Path(f"/proc/{served.process.pid}/cmdline").read_bytes()
        _, complaints = served.stop()
    assert "a login failed: user 'ada', with a wrong password, from 127.0.0.1" in complaints
    for secret in (PASSWORD, "wrong horse", json.loads(path.read_text())["users"]["ada"]["password"]):
        assert secret not in complaints
        assert secret.encode() not in line


# Our own commands


def test_a_token_comes_from_a_file_or_the_environment(
    run: Run, tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    administration.add_user(path, "ada", [], None)
    administration.set_permissions(path, "ada", [])
    file = tmp_path / "token"
    file.write_text(administration.add_token(path, "ada", "t") + "\n")
    with serving(tmp_path / "data", "--users", path) as served:
        command = ("instances", "list", "--url", served.url)
        assert run(*command).status == 1
        assert run(*command, "--token-file", file).status == 0
        monkeypatch.setenv("YAMCS_ARCHIVE_TOKEN", file.read_text().strip())
        assert run(*command).status == 0
        monkeypatch.setenv("YAMCS_ARCHIVE_TOKEN", "yat_wrong")
        assert "refuses the token" in run(*command).err
        for content, told in ((b"", "is empty"), (b"\xff", "ASCII"), (b"a b", "must be letters")):
            file.write_bytes(content)
            ran = run(*command, "--token-file", file)
            assert (ran.status, told in ran.err) == (2, True)
        assert run(*command, "--token-file", tmp_path / "nosuch").status == 2
        assert run(*command, "--token-file", file, "--user", "ada").status == 2
    assert run("instances", "list", "--data", tmp_path / "data", "--token-file", file).status == 2

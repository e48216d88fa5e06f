"""Logins of the official client and tools, unmodified, to a server with users: every way that they have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.child import WAIT_S
from tests.http.users import PASSWORD, add
from tests.server.serving import Served, serving
from yamcs_archive import Client, ServerRefusedError
from yamcs_archive.access import administration
from yamcs_archive.access.permissions import Grant
from yamcs_archive.credentials import Login, Token

QUIET = (sys.executable, "-W", "ignore")


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a users file; ``ada`` reads and writes, ``eve`` writes, ``root`` manages."""
    path = tmp_path_factory.mktemp("users") / "users.json"
    add(path, "ada", "ReadEvents", "WriteEvents")
    add(path, "eve", "WriteEvents")
    add(path, "root", "ManageArchive")
    return path


@pytest.fixture(scope="module")
def guarded(users: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A real server with users."""
    with serving(tmp_path_factory.mktemp("login") / "data", "--users", users) as server:
        yield server
        status, _ = server.stop()
    assert status == 0


def official(served: Served, credentials: Any) -> Any:
    from yamcs.client import YamcsClient  # noqa: PLC0415  # warns when imported

    return YamcsClient(f"127.0.0.1:{served.port}", credentials=credentials)


def test_the_client_logs_in_by_password_and_its_events_are_the_users(guarded: Served) -> None:
    from yamcs.client import Credentials  # noqa: PLC0415

    with official(guarded, Credentials(username="ada", password=PASSWORD)) as client:
        client.send_event("sim", "by ada", source="client")
        [event] = client.get_archive("sim").list_events(source="client")
        assert event.message == "by ada"
        assert client.get_user_info().username == "ada"
    with Client(guarded.url, credentials=Login("ada", PASSWORD)) as own:
        [stored] = own.instance("sim").events(sources=["client"])
        assert stored.created_by == "ada"


def test_the_client_renews_its_token(guarded: Served) -> None:
    from yamcs.client import Credentials  # noqa: PLC0415

    with official(guarded, Credentials(username="ada", password=PASSWORD)) as client:
        used = client.ctx.credentials
        before = used.access_token, used.refresh_token
        used.expiry = datetime.now(tz=UTC) - timedelta(seconds=1)
        list(client.get_archive("sim").list_events())
        assert used.access_token != before[0]
        assert used.refresh_token != before[1]


def test_the_client_is_told_what_is_wrong(guarded: Served) -> None:
    from yamcs.client import Credentials, Unauthorized, YamcsError  # noqa: PLC0415

    with pytest.raises(Unauthorized):
        official(guarded, Credentials(username="ada", password="wrong horse"))
    with official(guarded, None) as client, pytest.raises(Unauthorized):
        list(client.get_archive("sim").list_events())
    with (
        official(guarded, Credentials(username="eve", password=PASSWORD)) as client,
        pytest.raises(YamcsError, match="Missing system privilege 'ReadEvents'"),
    ):
        list(client.get_archive("sim").list_events())


def test_the_client_takes_basic_and_tokens_of_services(guarded: Served, users: Path) -> None:
    from yamcs.client import APIKeyCredentials, BasicAuthCredentials, Credentials  # noqa: PLC0415

    token = administration.add_token(users, "ada", "client")
    for credentials in (
        BasicAuthCredentials("ada", PASSWORD),
        APIKeyCredentials(token),
        Credentials(access_token=token),
    ):
        with official(guarded, credentials) as client:
            assert isinstance(list(client.get_archive("sim").list_events()), list)


def test_the_client_becomes_another_user(guarded: Served) -> None:
    from yamcs.client import Credentials, YamcsError  # noqa: PLC0415

    asked = {"client_id": "root", "client_secret": PASSWORD}
    with official(guarded, Credentials(**asked, become="ada")) as client:
        assert isinstance(list(client.get_archive("sim").list_events()), list)
    with pytest.raises(YamcsError):
        official(guarded, Credentials(client_id="ada", client_secret=PASSWORD, become="root"))


@pytest.mark.parametrize("means", ["password", "token"])
def test_live_updates_of_the_client_are_of_the_user(guarded: Served, users: Path, means: str) -> None:
    from yamcs.client import APIKeyCredentials, Credentials  # noqa: PLC0415

    credentials = (
        Credentials(username="ada", password=PASSWORD)
        if means == "password"
        else APIKeyCredentials(administration.add_token(users, "ada", "live"))
    )
    with official(guarded, credentials) as client:
        subscription = client.create_event_subscription("sim", lambda _: None)
        subscription.reply(timeout=WAIT_S)
        subscription.cancel()


def test_the_tools_log_in(guarded: Served, tmp_path: Path) -> None:
    config = tmp_path / ".config" / "yamcs-cli" / "config"
    config.parent.mkdir(parents=True)
    config.write_text(f"[core]\nurl = {guarded.url}\ninstance = sim\n")

    def run(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*QUIET, "-m", "yamcs.cli", *arguments],
            input=said,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            start_new_session=True,
            check=False,
        )

    assert run("events", "log").returncode != 0
    logged_in = run(
        "login", "--username", "ada", guarded.url, said=f"{PASSWORD}\n"
    )  # no terminal: from stdin
    assert logged_in.returncode == 0, logged_in
    assert run("events", "create", "-m", "by the tools", "--source", "tools").returncode == 0
    told = run("events", "log", "-n", "1")
    assert (told.returncode, "by the tools" in told.stdout) == (0, True), told


# Our own client


def test_our_client_takes_a_password_and_a_token(guarded: Served, users: Path) -> None:
    token = administration.add_token(users, "ada", "own")
    for credentials in (Login("ada", PASSWORD), Token(token)):
        with Client(guarded.url, credentials=credentials) as client:
            assert client.instances() == ["sim"]
    for wrong in (Login("ada", "wrong horse"), Token("yat_x"), None):
        with Client(guarded.url, credentials=wrong) as client, pytest.raises(ServerRefusedError, match="401"):
            client.instances()


def test_a_history_sent_through_a_url_keeps_its_creators(
    guarded: Served, users: Path, tmp_path: Path
) -> None:
    administration.set_permissions(
        users, "root", [Grant.parse(each) for each in ("ManageArchive", "WriteEvents", "ReadEvents")]
    )
    file = tmp_path / "history.jsonl"
    file.write_text(
        '{"message": "old", "source": "H", "generationTime": "2026-01-01T00:00:00Z", "seqNumber": 1,'
        ' "receptionTime": "2026-01-01T00:00:00Z", "createdBy": "bob", "severity": "INFO"}\n'
    )
    token = tmp_path / "token"
    token.write_text(administration.add_token(users, "root", "import"))
    command = [sys.executable, "-m", "yamcs_archive", "events", "import", str(file), "--url", guarded.url]
    ended = subprocess.run(
        [*command, "--instance", "sim", "--token-file", str(token)],
        capture_output=True, text=True, timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended
    with Client(guarded.url, credentials=Login("root", PASSWORD)) as client:
        [event] = client.instance("sim").events(sources=["H"])
    assert event.created_by == "bob"

"""``serve`` with TLS: its start, and the clients that people have, unmodified."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.child import ROOT
from tests.clients.test_subscription import Subscribed
from tests.server.certificates import Authority
from tests.server.serving import WAIT_S, Served, ended, serving
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.server.settings import Settings
from yamcs_archive.server.tls import TlsFiles

pytestmark = pytest.mark.filterwarnings("ignore:Selected implementation upb is not available")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> TlsFiles:
    return authority.issue()


def options(files: TlsFiles) -> list[object]:
    given: list[object] = ["--tls-certificate", files.certificate, "--tls-key", files.key]
    return given + (["--tls-client-ca", files.client_ca] if files.client_ca is not None else [])


@contextmanager
def secure(directory: Path, files: TlsFiles, *further: object) -> Iterator[Served]:
    """Serve with TLS, and let nothing be said on stderr."""
    with serving(directory, *options(files), *further) as served:
        yield served
        assert served.stop() == (0, "")


def ran(*command: object, **environment: str) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def curl(*arguments: object) -> str:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    return ran(program, "--silent", "--show-error", "--fail-with-body", *arguments)


@pytest.mark.parametrize("how", [(), ("--wsgi",)], ids=["ASGI", "WSGI"])
def test_curl_is_served_and_the_line_at_the_start_says_https(
    tmp_path: Path, authority: Authority, files: TlsFiles, how: tuple[str, ...]
) -> None:
    with secure(tmp_path / "a", files, *how) as served:
        assert served.url == f"https://127.0.0.1:{served.port}"
        url = f"{served.url}/api/archive/sim/events"
        assert '"by curl"' in curl("--cacert", authority.file, "-d", '{"message": "by curl"}', url)
        assert '"by curl"' in curl(
            "--cacert", authority.file, f"https://localhost:{served.port}/api/archive/sim/events"
        )


def test_client_certificates_are_asked_for_and_the_server_starts_without_one_of_its_own(
    tmp_path: Path, authority: Authority, files: TlsFiles
) -> None:
    clients = Authority(tmp_path, "clients")
    own = clients.issue("own")
    with secure(tmp_path / "a", replace(files, client_ca=clients.file)) as served:
        trusting = ("--cacert", authority.file, "--cert", own.certificate, "--key", own.key)
        assert '"ok"' in curl(*trusting, f"{served.url}/healthz")


def test_the_command_line_and_a_mirror_use_it(tmp_path: Path, authority: Authority, files: TlsFiles) -> None:
    def command(*arguments: object) -> str:
        return ran(sys.executable, "-m", "yamcs_archive", *arguments, SSL_CERT_FILE=str(authority.file))

    with secure(tmp_path / "a", files) as served:
        command("events", "create", "--url", served.url, "-m", "hello")
        assert "hello" in command("events", "log", "--url", served.url)
        command("mirror", served.url, "--data", tmp_path / "copy", "--once")
        assert "hello" in command("events", "log", "--data", tmp_path / "copy")


def test_the_official_client_uses_it(
    tmp_path: Path, authority: Authority, files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    from yamcs.client import YamcsClient  # noqa: PLC0415  # warns when imported

    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # to requests, they count for more than tls_verify
        monkeypatch.delenv(name, raising=False)
    with secure(tmp_path / "a", files) as served:
        client: Any = YamcsClient(served.url, tls_verify=str(authority.file))
        subscribed = Subscribed(client, "sim")
        client.send_event("sim", "hello")
        assert subscribed.messages(1) == ["hello"]
        assert [event.message for event in client.get_archive("sim").list_events()] == ["hello"]
        subscribed.cancel()
        client.close()


@pytest.mark.long
def test_the_official_client_takes_the_authority_from_the_environment(
    tmp_path: Path, authority: Authority, files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    from yamcs.client import YamcsClient  # noqa: PLC0415  # warns when imported

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
    with secure(tmp_path / "a", files) as served:
        client: Any = YamcsClient(f"127.0.0.1:{served.port}", tls=True)
        assert [instance.name for instance in client.list_instances()] == ["sim"]
        client.close()


@pytest.mark.long
def test_the_official_tools_use_it(tmp_path: Path, authority: Authority, files: TlsFiles) -> None:
    home = tmp_path / "home"
    with secure(tmp_path / "a", files) as served:
        config = home / ".config" / "yamcs-cli" / "config"
        config.parent.mkdir(parents=True)
        config.write_text(f"[core]\nurl = {served.url}\ninstance = sim\n")
        tools = (sys.executable, "-W", "ignore", "-m", "yamcs.cli", "events")
        ran(*tools, "create", "-m", "hello", HOME=str(home), REQUESTS_CA_BUNDLE=str(authority.file))
        assert "hello" in ran(*tools, "log", HOME=str(home), REQUESTS_CA_BUNDLE=str(authority.file))


def test_a_bad_file_ends_the_start_with_one_line_and_nothing_is_made(
    tmp_path: Path, authority: Authority, files: TlsFiles
) -> None:
    given = options(replace(files, key=authority.issue("other").key))
    status, printed, complaints = ended("--data", tmp_path / "a", "--instance", "sim", "--port", 0, *given)
    assert (status, printed) == (1, "")
    assert complaints.startswith("yamcs-archive: ")
    assert complaints.count("\n") == 1
    assert "is not the key of the first certificate" in complaints
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tls_certificate": "c"}, "needs --tls-key FILE beside it"),
        ({"tls_key": "k"}, "needs --tls-certificate FILE beside it"),
        ({"tls_client_ca": "a"}, "needs --tls-certificate FILE and --tls-key FILE beside it"),
    ],
)
def test_files_that_need_others_are_refused_alone(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        Settings(data=tmp_path, **given)


def test_refusals_of_handshakes_are_one_line_and_a_count(
    tmp_path: Path, authority: Authority, files: TlsFiles
) -> None:
    with serving(tmp_path / "a", *options(files)) as served:
        for _ in range(3):
            connection = served.connect()
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 400
        status, complaints = served.stop(signal.SIGTERM)
    first, last = complaints.splitlines()
    assert status == 0
    assert "requests are refused: 400 plain HTTP: a client speaks plain HTTP to this port" in first
    assert "requests were refused: 400 plain HTTP: 3 in 0 s, when serving ended" in last

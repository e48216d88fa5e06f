"""``service install`` and ``uninstall``: units that systemd takes, and that nobody loses changes by."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.server.certificates import Authority
from tests.server.serving import serving
from yamcs_archive.cli.main import main

EXPOSURE_MAX = 2.0
SYSTEMD = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")


def run(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> tuple[str, str]:
    try:
        found = main([str(argument) for argument in arguments])
    except SystemExit as end:
        found = int(str(end.code))
    printed = capsys.readouterr()
    assert found == status, printed
    return printed.out, printed.err


@pytest.fixture
def units(tmp_path: Path) -> Path:
    (tmp_path / "units").mkdir()
    return tmp_path / "units"


INSTALL = ("service", "install", "--instance", "simulator")


def test_the_units_are_written_and_the_next_commands_are_said(
    units: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed, _ = run(
        capsys, *INSTALL, "--directory", units, "--socket", "127.0.0.1:443", "--users", "/etc/a/users.json"
    )
    assert sorted(path.name for path in units.iterdir()) == ["yamcs-archive.service", "yamcs-archive.socket"]
    assert f"{units}/yamcs-archive.service: written" in printed
    commands = printed.partition("Next, as root:\n")[2].splitlines()
    assert [command.split()[0] for command in commands] == ["useradd", "chown", "systemctl"] + 2 * [
        "systemctl"
    ]
    assert "chown root:yamcs-archive /etc/a/users.json /etc/a/users.json.key && chmod 640" in printed
    assert "systemctl enable --now yamcs-archive.socket" in printed
    unit = (units / "yamcs-archive.service").read_text()
    for line in ("Type=notify", "WatchdogSec=60", "Restart=on-failure", "StateDirectory=yamcs-archive"):
        assert f"\n{line}\n" in unit
    assert "\nUser=yamcs-archive\nGroup=yamcs-archive\n" in unit
    assert "serve --data /var/lib/yamcs-archive --users /etc/a/users.json --instance simulator\n" in unit
    assert "\nWantedBy=multi-user.target\n" in unit
    assert "ListenStream=127.0.0.1:443\n" in (units / "yamcs-archive.socket").read_text()


def test_a_configuration_file_decides_what_the_unit_lets_the_server_write(
    units: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "archive.toml"
    config.write_text(
        '[storage]\ndata = "/srv/a b/100%"\ninstances = ["sim"]\n'
        '[server]\nlog_file = "/var/log/ops/archive.log"\n'
    )
    printed, _ = run(
        capsys, "service", "install", "--config", config, "--directory", units, "--name", "bench"
    )
    unit = (units / "bench.service").read_text()
    assert '\nReadWritePaths="/srv/a b/100%%"\n' in unit
    assert "\nLogsDirectory=ops\n" in unit
    assert "StateDirectory" not in unit
    assert f"serve --config {config}\n" in unit
    assert "install -d -o yamcs-archive -g yamcs-archive -m 750 '/srv/a b/100%'" in printed


def test_what_lies_in_a_home_or_in_tmp_can_be_reached_and_that_is_said(
    units: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, said = run(capsys, *INSTALL, "--data", "/home/ops/data", "--directory", units)
    assert "home directories" in said
    assert "\nProtectHome=read-only\n" in (units / "yamcs-archive.service").read_text()
    _, said = run(capsys, *INSTALL, "--data", "/var/tmp/data", "--directory", units)
    assert "a reboot may delete it" in said
    assert "\nPrivateTmp=no\n" in (units / "yamcs-archive.service").read_text()


@pytest.mark.parametrize(
    "keys",
    ['users = "/home/a/users.json"', 'tls_certificate = "/home/a/c.pem"\ntls_key = "/etc/a.key"'],
)
def test_a_file_of_the_configuration_in_a_home_can_be_reached_too(
    units: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: str
) -> None:
    config = tmp_path / "archive.toml"
    config.write_text(f'[storage]\ninstances = ["sim"]\n[server]\n{keys}\n')
    printed, said = run(capsys, "service", "install", "--config", config, "--directory", units)
    assert "home directories" in said
    assert "\nProtectHome=read-only\n" in (units / "yamcs-archive.service").read_text()
    assert "chmod 640" in printed


def test_printing_writes_nothing(units: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed, _ = run(capsys, *INSTALL, "--directory", units, "--print", "--socket", "8090")
    assert f"# {units}/yamcs-archive.service\n" in printed
    assert "ListenStream=8090\n" in printed
    assert [*units.iterdir()] == []


def test_a_unit_that_was_changed_stays_and_one_that_was_not_is_replaced(
    units: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = units / "yamcs-archive.service"
    install = (*INSTALL, "--directory", units)
    run(capsys, *install)
    assert "up to date" in run(capsys, *install)[0]
    assert "written" in run(capsys, *install, "--data", "/srv/other")[0]  # by us, with other options
    changed = unit.read_text() + "Environment=MINE=1\n"
    unit.write_text(changed)
    _, said = run(capsys, *install, "--socket", "8090", status=1)
    assert "was changed" in said
    assert said.count("\n") == 1
    assert unit.read_text() == changed
    assert not (units / "yamcs-archive.socket").exists()  # nothing of it
    run(capsys, *install, "--force")
    assert "MINE" not in unit.read_text()


def test_uninstalling_removes_what_is_ours_and_not_enabled(
    units: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uninstall = ("service", "uninstall", "--directory", units)
    assert "there are no units" in run(capsys, *uninstall, status=1)[1]
    run(capsys, *INSTALL, "--directory", units, "--socket", "8090")
    wants = units / "multi-user.target.wants"
    wants.mkdir()
    (wants / "yamcs-archive.service").symlink_to(units / "yamcs-archive.service")
    assert "systemctl disable --now yamcs-archive.service\n" in run(capsys, *uninstall, status=1)[1]
    (wants / "yamcs-archive.service").unlink()
    with (units / "yamcs-archive.socket").open("a") as unit:
        unit.write("FreeBind=yes\n")
    assert "was changed" in run(capsys, *uninstall, status=1)[1]
    assert len([*units.glob("yamcs-archive.*")]) == 2
    assert "daemon-reload" in run(capsys, *uninstall, "--force")[0]
    assert [*units.glob("yamcs-archive.*")] == []


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--config", "/nosuch/archive.toml"), 2, "No such file"),
        (("--name", "a/b"), 2, "must be letters"),
        (("--name", "a.service"), 2, "without .service"),
        (("--user", "Root User"), 2, "lower-case"),
        (("--socket", "0"), 2, "must be a port"),
        (("--socket", "65536"), 2, "must be a port"),
        (("--socket", "ops:8090"), 2, "an IP address"),
        (("--data", "/srv/new\nline"), 1, "characters that a unit cannot have"),
        (("--directory", "/nosuch"), 1, "No such file"),
    ],
)
def test_what_no_unit_can_say_is_refused(
    units: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], status: int, said: str
) -> None:
    assert said in run(capsys, *INSTALL, "--directory", units, *options, status=status)[1]
    assert [*units.iterdir()] == []


def test_without_an_instance_to_make_the_first_start_would_fail(
    units: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("service", "install", "--directory", units, "--data", "/nosuch/data")
    assert "--instance NAME" in run(capsys, *options, status=2)[1]


@SYSTEMD
@pytest.mark.parametrize("data", ["/var/lib/yamcs-archive", "/srv/a b/100%", "/home/ops/data"])
def test_systemd_takes_the_units_and_finds_them_safe(
    units: Path, capsys: pytest.CaptureFixture[str], data: str
) -> None:
    run(capsys, *INSTALL, "--directory", units, "--data", data, "--socket", "[::1]:8090")
    service = units / "yamcs-archive.service"
    verified = subprocess.run(
        ["systemd-analyze", "verify", service, units / "yamcs-archive.socket"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line for line in verified.stderr.splitlines() if "yamcs-archive" in line] == []
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", service],
        capture_output=True,
        text=True,
        check=True,
    )
    [exposure] = re.findall(r"Overall exposure level for .*: ([0-9.]+) ", rated.stdout)
    assert 0 < float(exposure) < EXPOSURE_MAX


def test_health_says_what_readyz_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tmp_path / "data") as served:
        assert run(capsys, "health", "--url", served.url) == ("ready\n", "")
        assert run(capsys, "health", "--url", served.url, "--alive") == ("ok\n", "")
        (tmp_path / "data").rename(tmp_path / "elsewhere")
        printed, _ = run(capsys, "health", "--url", served.url, status=1)
        assert printed.startswith(f"not ready\ngone: {tmp_path}/data")
        assert run(capsys, "health", "--url", served.url, "--alive")[0] == "ok\n"
        (tmp_path / "elsewhere").rename(tmp_path / "data")
        url = served.url
    printed, _ = run(capsys, "health", "--url", url, status=1)
    assert printed.startswith("no answer\n")
    assert "--timeout must be 1 to 3600" in run(capsys, "health", "--timeout", "0", status=2)[1]


def test_health_verifies_a_certificate_and_takes_an_authority_of_one_s_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    files = authority.issue()
    options = ("--tls-certificate", files.certificate, "--tls-key", files.key)
    with serving(tmp_path / "data", *options) as served:
        assert "certificate" in run(capsys, "health", "--url", served.url, status=1)[0]
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        assert run(capsys, "health", "--url", served.url) == ("ready\n", "")


def test_something_else_and_a_server_that_is_silent_are_not_ready(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.handle_request).start()
        printed, _ = run(capsys, "health", "--url", f"http://127.0.0.1:{other.server_port}", status=1)
        assert "is no archive: 200" in printed
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        printed, _ = run(capsys, "health", "--url", url, "--timeout", "1", status=1)
        assert printed.startswith("no answer\n")

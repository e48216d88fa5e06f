"""The server does its work with no more rights than the unit leaves it."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.child import ROOT
from tests.deployment import confined
from tests.server.serving import Served
from tests.server.test_reloading import Log
from yamcs_archive import Client, Event
from yamcs_archive.access.administration import add_token, add_user
from yamcs_archive.access.permissions import Grant
from yamcs_archive.cli.main import main

GROUP = 54_322


def _everybody_may_search(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in (path.resolve(), *path.resolve().parents))


USER = 54_321 if all(map(_everybody_may_search, (Path(sys.executable), ROOT))) else 0
"""The account: root without any capability where others cannot run this Python."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
    pytest.mark.skipif(
        shutil.which("systemd-analyze") is None or ctypes.util.find_library("seccomp") is None,
        reason="no systemd",
    ),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can search, as those of pytest are not."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def confined_by(unit: Path) -> list[str]:
    """Return the command that runs Python with the rights of a unit."""
    return [sys.executable, str(confined.__file__), str(unit), str(USER), str(GROUP), sys.executable]


def test_the_server_works_with_the_rights_of_its_unit(folder: Path) -> None:
    data, users, unit = folder / "data", folder / "etc" / "users.json", folder / "yamcs-archive.service"
    for path in (data, folder / "logs"):
        path.mkdir(mode=0o750)
        os.chown(path, USER, GROUP)
    users.parent.mkdir()
    add_user(
        users, "ada", [Grant.parse(name) for name in ("ReadEvents", "WriteEvents", "ManageArchive")], None
    )
    token = add_token(users, "ada", "service")
    for path in users.parent.iterdir():
        os.chown(path, 0, GROUP)
        path.chmod(0o640)
    install = ["service", "install", "--data", str(data), "--instance", "sim", "--directory", str(folder)]
    assert main(install) == 0

    def start(*arguments: object, **_: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*confined_by(unit), "-m", "yamcs_archive", "serve", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    log = folder / "logs" / "archive.log"
    served = Served(data, "--port", 0, "--instance", "sim", "--users", users, "--log-file", log, start=start)
    try:
        with Client(served.url, token=token) as client:
            sim = client.instance("sim")
            for number in range(300):
                sim.append(Event(f"event {number}"))
            assert sim.count() == 300
            assert sim.verify().faults == ()  # in a process of its own
            sim.compact()
            client.rename("sim", "other")
            assert client.instance("other").count() == 300
        assert (data / "archive.lock").stat().st_uid == USER
        assert (data / "ARCHIVE").stat().st_mode & 0o777 == 0o660
        served.process.send_signal(signal.SIGHUP)
        Log(log).until("reloaded: log level, users")
        assert served.stop() == (0, "")
        said = log.read_text()
        assert "WARNING" not in said
        assert "ERROR" not in said
    finally:
        served.close()


def test_a_call_that_the_unit_does_not_let_through_is_refused(folder: Path) -> None:
    unit = folder / "yamcs-archive.service"
    assert main(["service", "install", "--instance", "sim", "--directory", str(folder)]) == 0
    done = subprocess.run(
        [*confined_by(unit), "-c", "import os; os.chroot('/')"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Operation not permitted" in done.stderr
    assert {"openat", "fsync", "accept4", "socket"} <= (allowed := confined.filter_of(unit.read_text()))
    assert allowed.isdisjoint({"ptrace", "mount", "reboot", "bpf", "chroot", "kexec_load"})

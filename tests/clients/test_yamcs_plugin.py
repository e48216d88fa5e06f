"""``yamcs archive …``: our commands below the official command line, unmodified from PyPI."""

from __future__ import annotations

import configparser
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.child import ROOT, run_bare
from tests.cli.conftest import Ran
from tests.forking import Forks
from tests.server.at_hand import at_hand
from yamcs_archive import Archive, Event
from yamcs_archive.cli.yamcs_plugin import defaults

Yamcs = Callable[..., Ran]


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """The official tools, with what an installation of this tree would tell Python of its entry points."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    installed = tmp_path_factory.mktemp("installed")
    told = installed / "yamcs_archive-0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: yamcs_archive\nVersion: 0\n")
    points = dict(setup["options.entry_points"])
    (told / "entry_points.txt").write_text(
        "".join(f"[{group}]{entries}\n" for group, entries in points.items())
    )
    environment = {"PYTHONPATH": f"{installed}:{ROOT}", "LANG": "C.UTF-8", "COLUMNS": "80"}
    with closing(Forks("yamcs.client", options=("-W", "ignore"), environment=environment)) as made:
        yield made


@pytest.fixture
def yamcs(forks: Forks, tmp_path: Path) -> Yamcs:
    """The command ``yamcs``, with a home of its own."""

    def run(*arguments: object, **environment: str) -> Ran:
        code = 'import runpy; runpy.run_module("yamcs.cli", run_name="__main__", alter_sys=True)'
        given = [str(argument) for argument in arguments]
        return Ran(*forks.run(code, given, {"HOME": str(tmp_path), **environment}))

    return run


@pytest.fixture
def ops(tmp_path: Path) -> Path:
    with Archive.open(tmp_path / "ops") as archive:
        archive.instance("bench", create=True).append(Event("in bench", generation_time=0))
        archive.instance("sim", create=True).append(Event("in sim", generation_time=0))
    return tmp_path / "ops"


def configure(home: Path, **core: str) -> None:
    folder = home / ".config" / "yamcs-cli"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config").write_text(
        "\n".join(["[core]", *(f"{name} = {text}" for name, text in core.items())])
    )


def log_in(home: Path, token: str, left: timedelta) -> None:
    expiry = f"{datetime.now(UTC) + left:%Y-%m-%dT%H:%M:%S.%fZ}"
    found = {"access_token": token, "refresh_token": "r", "expiry": expiry}
    (home / ".config" / "yamcs-cli" / "credentials").write_text(json.dumps(found))


def test_it_is_among_the_commands_and_has_all_of_ours(yamcs: Yamcs, tmp_path: Path, ops: Path) -> None:
    assert "archive" in yamcs("-h").out
    shown = yamcs("archive", "-h")
    assert shown.status == 0
    assert shown.out.startswith("usage: yamcs archive ")
    assert "verify" in shown.out
    assert yamcs("archive", "events", "log", "-h").out.startswith("usage: yamcs archive events log ")
    log = yamcs("archive", "events", "log", "--data", ops, "--instance", "sim")
    assert (log.status, log.err) == (0, "")
    assert "in sim" in log.out
    assert yamcs("archive", "backup", "--data", ops, tmp_path / "copies").status == 0
    assert len(yamcs("archive", "backup", "list", tmp_path / "copies").out.splitlines()) == 2


def test_the_exit_status_is_ours(yamcs: Yamcs, tmp_path: Path, ops: Path) -> None:
    for arguments, status in (
        ((), 2),
        (("nosuch",), 2),
        (("events", "log", "--data", ops), 2),  # which instance?
        (("events", "log", "--data", tmp_path / "nosuch"), 1),
    ):
        ran = yamcs("archive", *arguments)
        assert (ran.status, ran.out) == (status, ""), arguments
        assert ran.err


def test_the_instance_and_the_server_of_yamcs_are_defaults(yamcs: Yamcs, tmp_path: Path, ops: Path) -> None:
    log = ("archive", "events", "log")
    assert "in bench" in yamcs("--instance", "bench", *log, "--data", ops).out
    assert "in sim" in yamcs("--instance", "bench", *log, "--data", ops, "--instance", "sim").out
    assert "in bench" in yamcs("--instance", "bench", *log, YAMCS_ARCHIVE_DATA=str(ops)).out
    assert "no archive given" in yamcs(*log).err
    with at_hand(ops) as served:
        configure(tmp_path, url=served.url, instance="sim")
        assert "in sim" in yamcs(*log).out
        assert "in bench" in yamcs(*log, YAMCS_ARCHIVE_INSTANCE="bench").out
        assert "in bench" in yamcs("--instance", "bench", *log).out
        assert yamcs("archive", "instances", "list").out == "bench\nsim\n"


def test_a_configuration_that_cannot_be_read_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATA", "URL", "TOKEN", "INSTANCE"):
        monkeypatch.delenv(f"YAMCS_ARCHIVE_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    configure(tmp_path, url="x")
    for content in (b"\xff[core", b"[core", b"url = x", b"[core]\nurl", b"[other]\nurl = x"):
        (tmp_path / ".config" / "yamcs-cli" / "config").write_bytes(content)
        assert defaults(["events", "log"], None) == {}


def test_the_login_of_yamcs_goes_to_its_own_server_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DATA", "URL", "TOKEN", "INSTANCE"):
        monkeypatch.delenv(f"YAMCS_ARCHIVE_{name}", raising=False)
    configure(tmp_path, url="https://ops.example")
    log_in(tmp_path, "secret", timedelta(hours=1))
    with_login = {"YAMCS_ARCHIVE_URL": "https://ops.example", "YAMCS_ARCHIVE_TOKEN": "secret"}
    without = {"YAMCS_ARCHIVE_URL": "https://ops.example"}
    assert defaults(["events", "log"], None) == with_login
    for arguments in (
        ["events", "log", "--url", "http://other"],
        ["events", "log", "--url=http://other"],
        ["events", "import", "yamcs", "http://other"],
        ["mirror", "HTTP://other"],
        ["serve", "--config", "with-a-mirror.toml"],
        ["config", "show"],
        [],
    ):
        assert defaults(arguments, None) == without, arguments
    log_in(tmp_path, "secret", timedelta(seconds=-1))
    assert defaults(["events", "log"], None) == without
    log_in(tmp_path, "secret", timedelta(hours=1))
    for name in ("DATA", "URL"):
        monkeypatch.setenv(f"YAMCS_ARCHIVE_{name}", "somewhere")
        assert defaults(["events", "log"], None) == {}
        monkeypatch.delenv(f"YAMCS_ARCHIVE_{name}")
    monkeypatch.setenv("YAMCS_ARCHIVE_TOKEN", "mine")
    assert defaults(["events", "log"], None) == without


def test_yamcs_itself_starts_as_before() -> None:
    """Nothing of ours is loaded by other commands, and a command of yamcs' own keeps the name."""
    program = """
        import argparse, sys
        from yamcs_archive.cli.yamcs_plugin import ArchiveCommand
        subparsers = argparse.ArgumentParser().add_subparsers()
        ArchiveCommand(subparsers)
        assert list(subparsers.choices) == ["archive"]
        own = argparse.ArgumentParser().add_subparsers()
        theirs = own.add_parser("archive")
        ArchiveCommand(own)
        assert own.choices["archive"] is theirs
        print(*(name for name in sys.modules if name.startswith("yamcs_archive") or name == "numpy"))
        """
    assert run_bare(program).split() == [
        "yamcs_archive",
        "yamcs_archive.cli",
        "yamcs_archive.cli.yamcs_plugin",
    ]

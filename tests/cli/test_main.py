"""What every command shares: where it looks, help, versions, exit statuses."""

import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.child import ROOT
from tests.cli.conftest import Run
from tests.server.serving import serving
from yamcs_archive import Archive, Event

COMMANDS = (
    ("serve",),
    ("events", "create"),
    ("events", "log"),
    ("instances", "list"),
    ("instances", "create"),
    ("compact",),
    ("bench",),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(run: Run, command: tuple[str, ...]) -> None:
    ran = run(*command, "-h")
    assert (ran.status, ran.err) == (0, "")
    assert "example" in ran.out
    assert f"\n  yamcs-archive {' '.join(command)} " in ran.out


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").out == f"yamcs-archive {version('yamcs_archive')}\n"


@pytest.mark.parametrize("arguments", [(), ("events",), ("instances",), ("nosuch",), ("events", "log", "x")])
def test_a_wrong_command_line_is_2_and_says_how_on_stderr(run: Run, arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("usage: yamcs-archive")


@pytest.mark.parametrize(
    "command",
    [("serve",), ("events", "log"), ("events", "create", "-m", "a"), ("instances", "list"), ("compact",)],
)
def test_a_command_without_a_place_asks_for_one(run: Run, command: tuple[str, ...]) -> None:
    ran = run(*command)
    assert (ran.status, ran.out) == (2, "")
    assert "YAMCS_ARCHIVE_DATA" in ran.err
    assert ran.err.count("\n") == 1


def test_the_environment_says_where_unless_the_command_line_does(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive.open(tmp_path / "other") as archive:
        for name in ("a", "b"):
            archive.instance(name, create=True).append(Event(f"in {name}"))
    monkeypatch.setenv("YAMCS_ARCHIVE_DATA", str(tmp_path / "other"))
    assert run("instances", "list").out == "a\nb\n"
    assert run("instances", "list", "--data", data).out == "sim\n"
    monkeypatch.setenv("YAMCS_ARCHIVE_INSTANCE", "b")
    assert "in b" in run("events", "log").out
    assert "in a" in run("events", "log", "--instance", "a").out
    with serving(data) as served:
        assert run("instances", "list", "--url", served.url).out == "sim\n"
        monkeypatch.delenv("YAMCS_ARCHIVE_DATA")
        monkeypatch.setenv("YAMCS_ARCHIVE_URL", served.url)
        assert run("instances", "list").out == "sim\n"
    monkeypatch.setenv("YAMCS_ARCHIVE_URL", "127.0.0.1:8090")
    assert run("instances", "list").status == 2


def test_an_instance_must_be_named_where_there_are_several_or_none(run: Run, data: Path) -> None:
    with Archive.open(data) as archive:
        archive.instance("bench", create=True)
    ran = run("events", "log", "--data", data)
    assert (ran.status, ran.err) == (
        2,
        "yamcs-archive: which instance? give --instance, one of: bench, sim\n",
    )


def test_instances_are_made_in_a_directory_and_only_there(run: Run, tmp_path: Path) -> None:
    directory = tmp_path / "made"
    for _ in range(2):  # the second finds it there
        ran = run("instances", "create", "--data", directory, "sim")
        assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert run("instances", "list", "--data", directory).out == "sim\n"
    assert run("instances", "create", "--data", directory, "../up").status == 1
    assert run("instances", "create", "--url", "http://127.0.0.1:1", "sim").status == 2


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("127.0.0.1:8090", 2, "is not a URL"),
        ("ftp://127.0.0.1", 2, "is not a URL"),
        ("http://[::1", 2, "is not a URL"),
        ("http://127.0.0.1:1", 1, "no answer from http://127.0.0.1:1: "),
    ],
)
def test_a_url_that_is_none_or_does_not_answer_is_named(run: Run, url: str, status: int, said: str) -> None:
    ran = run("events", "log", "--url", url)
    assert (ran.status, ran.out) == (status, "")
    assert said in ran.err


def test_a_server_that_is_no_archive_is_called_that(run: Run, tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "instances").write_text("[1, 2]")
    server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(tmp_path), "0"]
    with subprocess.Popen(
        [*server[:1], "-u", *server[1:]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().split()[5]
            ran = run("instances", "list", "--url", f"http://127.0.0.1:{port}")
            assert (ran.status, ran.out) == (1, "")
            assert "does not answer as an archive" in ran.err
            ran = run("instances", "list", "--url", f"http://127.0.0.1:{port}/nosuch")
            assert "answered 404" in ran.err
        finally:
            process.terminate()


def test_ctrl_c_is_quiet(data: Path, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with subprocess.Popen(
        [sys.executable, "-m", "yamcs_archive", "events", "create", "--data", str(data)],
        cwd=ROOT,
        env=os.environ | {"VISUAL": f"sh -c 'touch {ready}; exec sleep 60'"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""

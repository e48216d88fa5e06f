"""The pager: where there is one, and how it ends."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from yamcs_archive import Archive, Event


@pytest.fixture
def many(data: Path) -> Path:
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(Event(f"Step {n}", generation_time=n) for n in range(20_000))
    return data


def log(data: Path, pager: str, *options: str, **environment: str) -> Terminal:
    log = ("-m", "yamcs_archive", "events", "log", "--data", data, *options)
    return Terminal(*log, whole=True, environment={"TERM": "dumb", "PAGER": pager} | environment)


def test_what_is_printed_goes_through_the_pager(many: Path) -> None:
    for environment in ({}, {"YAMCS_ARCHIVE_PAGER": "sed s/^/=/"}):
        terminal = log(many, "sed s/^/-/", **environment)
        assert terminal.end() == 0
        mark = "=" if environment else "-"
        assert [line[0] for line in terminal.shown] == [mark] * 11


@pytest.mark.parametrize("pager", ["", "cat", "no-such-pager --option", "an 'open quote"])
def test_without_a_pager_the_text_goes_to_the_terminal(many: Path, pager: str) -> None:
    terminal = log(many, pager)
    assert terminal.end() == 0
    assert "Step 19999" in terminal.sent


def test_no_pager_is_used_when_it_is_not_wanted(many: Path) -> None:
    terminal = log(many, "sed s/^/-/", "--no-pager")
    assert terminal.end() == 0
    assert terminal.shown[0].startswith("SEVERITY")


def test_quitting_the_pager_is_no_error(many: Path) -> None:
    terminal = log(many, "head -n 1", "-n", "all")
    assert terminal.end() == 0
    assert len(terminal.shown) == 1


def test_an_error_comes_after_the_pager_has_ended(many: Path) -> None:
    terminal = log(many, "sed s/^/-/", "--after-cursor", "made-up")
    assert terminal.end() == 1
    assert terminal.shown[-1].startswith("yamcs-archive: ")


def test_ctrl_c_is_for_the_pager(many: Path, tmp_path: Path) -> None:
    """A pager that takes Ctrl-C for itself, as less does, stays, and what it was given can be read."""
    script = tmp_path / "pager"
    # The session has no controlling terminal, so there is no /dev/tty; stderr is the terminal, too.
    script.write_text("#!/bin/sh\ntrap '' INT\nread line; echo begun\nread go <&2\necho $go; wc -l\n")
    script.chmod(0o755)
    terminal = log(many, str(script), "-n", "all")
    terminal.read(lambda sent: "begun" in sent)
    os.killpg(terminal.process.pid, signal.SIGINT)
    terminal.type("go\n")
    assert terminal.end() == 130
    assert terminal.shown[:-1] == ["begun", "go", "go"]  # as typed, and as read
    assert int(terminal.shown[-1]) > 0


@pytest.mark.skipif(shutil.which("less") is None, reason="no less")
def test_less_ends_by_itself_if_all_fits_and_is_quit_by_q(many: Path) -> None:
    terminal = log(many, "less", TERM="xterm", LESS="FRX")
    assert terminal.end() == 0
    assert "Step 19999" in terminal.sent
    terminal = log(many, "less", "-n", "all", TERM="xterm", LESS="FRX")
    terminal.read(lambda sent: "Step 10" in sent)
    terminal.type("q")
    assert terminal.end() == 0

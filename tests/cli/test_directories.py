"""Directories on the command line: ``~`` is the user's home, in an option and in the environment."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from yamcs_archive import Archive, Event


@pytest.mark.parametrize("command", [("events", "log"), ("instances", "list"), ("compact",)])
def test_a_tilde_that_no_shell_has_read_is_the_home_directory(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    with Archive.open(tmp_path / "arch") as archive:
        archive.instance("sim", create=True).append(Event("a"))
    monkeypatch.setenv("HOME", str(tmp_path))
    ran = run(*command, "--data=~/arch")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out
    monkeypatch.setenv("YAMCS_ARCHIVE_DATA", "~/arch")
    assert run(*command).status == 0
    ran = run(*command, "--data=~/nosuch")
    assert ran.status == 1
    assert f"{tmp_path}/nosuch" in ran.err

"""Runs the command line in this process, without the environment variables of the user who runs the tests."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.terminal import close_all
from yamcs_archive import Archive
from yamcs_archive.cli.main import main


@dataclass(frozen=True)
class Ran:
    """The result of a command: its exit status, its stdout and its stderr."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _terminals() -> Iterator[None]:
    """Leave no program that a test runs in a terminal."""
    yield
    close_all()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("YAMCS_ARCHIVE_")]:
        if name != "YAMCS_ARCHIVE_PASSWORD":  # which a fixture may have set
            monkeypatch.delenv(name)
    # argparse looks for a file with translations for each of its words: half of the time of a short command.
    monkeypatch.setenv("LANGUAGE", "C")

    def run(*arguments: object) -> Ran:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as leaving:  # as argparse leaves
            assert isinstance(leaving.code, int)
            status = leaving.code
        return Ran(status, *capsys.readouterr())

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with one empty instance, ``sim``."""
    with Archive.open(tmp_path / "data") as archive:
        archive.instance("sim", create=True)
    return tmp_path / "data"

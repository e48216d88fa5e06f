"""``bench``: what it needs, what it refuses, and that it hands over to the harness of the checkout."""

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from yamcs_archive.cli.bench import NEEDED


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory where results would go."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("absent", NEEDED)
def test_without_the_extra_it_says_in_one_line_how_to_install_it(
    absent: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    ran = run("bench", "--quick")
    assert (ran.status, ran.out) == (1, "")
    assert absent in ran.err
    assert all(name in ran.err.partition(" -m pip install ")[2] for name in NEEDED)
    assert "yamcs_archive" not in ran.err  # which no index of packages has
    assert ran.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments", [("--only", "nosuch"), ("--events", "99"), ("--repeats", "0"), ("--scale", "-1"), ("x",)]
)
def test_options_that_make_no_sense_are_2_and_named(arguments: tuple[str, ...], run: Run) -> None:
    ran = run("bench", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert arguments[-1] in ran.err


def test_it_hands_its_options_to_the_harness(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in NEEDED:
        pytest.importorskip(needed)
    monkeypatch.setattr(sys, "path", list(sys.path))
    ran = run("bench", "--only", "scale")
    assert (ran.status, ran.out) == (2, "")
    assert "--only scale needs --scale N" in ran.err

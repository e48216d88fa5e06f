"""The manual pages: one for each command, without a warning of groff, and readable."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S
from yamcs_archive.cli.main import COMMANDS

MAN = ROOT / "docs" / "man"
PAGES = sorted(MAN.glob("*.1"))


def shown(page: Path) -> str:
    """A page as groff formats it, without bold and underlined letters."""
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", str(page)],
        check=True,
        capture_output=True,
        timeout=WAIT_S,
    )
    assert done.stderr == b""
    return done.stdout.decode()


def test_every_command_has_its_page() -> None:
    names = {f"yamcs-archive {one.group} {one.name}" for one in COMMANDS}
    assert {page.stem for page in PAGES} == {"-".join(name.split()) for name in names} | {"yamcs-archive"}


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff")
def test_groff_formats_every_page_without_a_warning() -> None:
    for page in PAGES:
        text = shown(page)
        headings = [line for line in text.splitlines() if line.isupper() and line[0] != " "]
        assert {"NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS"} <= set(headings), page
        assert f"       {page.stem} - " in text


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff")
def test_what_is_typed_can_be_copied_from_a_page() -> None:
    text = shown(MAN / "yamcs-archive-events-log.1")
    assert "yamcs-archive events log --data ops-data -f --filter 'source=AOCS wheel'" in text
    assert "       --after-cursor CURSOR\n" in text
    assert "yamcs-archive-events-create(1)" in text


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="no mandoc")
def test_mandoc_finds_no_error() -> None:
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Werror", *map(str, PAGES)],
        check=False,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert done.stdout == ""

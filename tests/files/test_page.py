"""The commands of docs/files.md run in their order, and print what the page shows, numbers apart."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.child import ROOT
from tests.cli.conftest import Run
from yamcs_archive import Archive, Event
from yamcs_archive.files.forms import FORMS
from yamcs_archive.wire.event_csv import HEADINGS

PAGE = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def alike(text: str) -> str:
    """The text without sizes and cursors, which differ."""
    return re.sub(r"[0-9]+ bytes", "N bytes", re.sub(r"cursor: \S+", "cursor: C", text))


def test_the_commands_print_what_the_page_shows(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Archive.open("ops-data") as archive:
        sim = archive.instance("simulator", create=True)
        sim.append_many(
            Event(f"Step {n}", source="Procedure", generation_time=n, seq_number=n) for n in range(1000)
        )
        cursor = sim.cursor()
    shown = "".join(BLOCKS)
    printed = ""
    for line in re.findall(r"^\$ yamcs-archive (.*)$", shown, re.MULTILINE):
        ran = run(*shlex.split(re.sub(r"AAAA\S+", cursor, line)))
        assert ran.status == 0, ran.err
        printed += f"$ yamcs-archive {line}\n{ran.out}{ran.err}"
    assert alike(printed) == alike(shown)


def test_the_page_has_every_form_and_every_column() -> None:
    for form in FORMS.values():
        [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{form.name}` |")]
        assert all(f"`{suffix}`" in row for suffix in form.suffixes)
    assert f"`{','.join(HEADINGS)}`" in PAGE

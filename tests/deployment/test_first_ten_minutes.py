"""The pages of recorded commands say what these print."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.child import ROOT

SCRIPT, DESK = ROOT / "docs" / "first_ten_minutes.py", ROOT / "docs" / "desk.py"


@pytest.mark.parametrize("script", [pytest.param(SCRIPT, marks=pytest.mark.long), DESK])
def test_the_commands_of_a_page_print_what_it_shows(script: Path) -> None:
    done = subprocess.run(
        [sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_has_every_command_of_its_script_and_a_change_of_words_shows() -> None:
    script = runpy.run_path(str(SCRIPT))
    page = script["PAGE"].read_text(encoding="utf-8")
    for step in script["STEPS"]:
        for command in step.commands:
            assert f"$ {script['_wrapped'](command)}\n" in page
    compared = script["compared"]
    assert compared(page) == compared(page.replace("2 events, 2 commits", "13 events, 7 commits"))
    assert compared(page) != compared(page.replace("no faults", "faults"))

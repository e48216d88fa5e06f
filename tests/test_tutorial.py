"""The tutorial and the page about the library do what they say, as typed; so does the notebook of a day."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.child import ROOT, WAIT_S
from tests.test_readme import environment_of_a_checkout

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
LIBRARY = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
INSTALL, RECORD, LOOK = re.findall(r"^```console\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL)
BENCH, *CELLS = re.findall(r"^```python\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL)


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A folder with ``bench.py``, and the programs that the installation brings."""
    (tmp_path / "bench.py").write_text(BENCH)
    for name, module in (("python", ""), ("yamcs-archive", "-m yamcs_archive")):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
        program.chmod(0o755)
    return tmp_path


def run_block(block: str, folder: Path) -> None:
    """Run the commands of a block, and compare what each prints with what is shown below it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env={"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder)},
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
        assert (done.stdout, done.stderr, done.returncode) == (shown, "", 0), command


def test_the_commands_print_what_is_shown_and_the_cells_plot(bench: Path) -> None:
    run_block(RECORD, bench)
    run_block(LOOK, bench)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    where = {"metadata": {"path": str(bench)}}
    NotebookClient(notebook, timeout=WAIT_S, kernel_name="python3", resources=where).execute()
    shown = [output.get("data", {}) for cell in notebook.cells for output in cell.outputs]
    assert "601 events" in shown[0]["text/html"]
    assert "WARNING" in shown[1]["text/html"]
    assert any("image/png" in data for data in shown)
    assert (bench / "thruster.png").stat().st_size > 5_000


@pytest.mark.long
def test_it_is_installed_as_typed(tmp_path: Path) -> None:
    environment = environment_of_a_checkout(tmp_path, tmp_path / "yamcs_archive")
    for line in [*re.findall(r"^\$ (.*)$", INSTALL, re.MULTILINE)[:2], "ops/bin/yamcs-archive --version"]:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * WAIT_S,
        )
        assert done.returncode == 0, done.stderr


def test_the_page_of_the_library_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", LIBRARY, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 4
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)


def test_the_notebook_of_a_day_shows_what_it_has_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    script = runpy.run_path(str(ROOT / "docs" / "notebook.py"))
    (path,) = (ROOT / "docs" / "notebooks").glob("*.ipynb")
    kept = nbformat.read(path, as_version=4)
    made = script["run"](path)
    assert script["compared"](made) == script["compared"](kept)
    outputs = [output for cell in kept.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert not any(output["output_type"] in ("error", "stream") for output in outputs)

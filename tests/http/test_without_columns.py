"""The fast path of ``wire.columns`` may be deleted: every answer stays the same, byte for byte."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.child import ROOT, WAIT_S
from tests.http.history import HISTORY
from tests.http.sample import OPTIONS
from tests.test_layering import PACKAGE
from yamcs_archive import Archive

COLUMNS = "yamcs_archive.wire.columns"
_CODE = f"""
import importlib.util, sys
from tests.http import sample
assert (importlib.util.find_spec("{COLUMNS}") is not None) == (sys.argv[1] == "there")
assert ("{COLUMNS}" in sys.modules) == (sys.argv[1] == "there")
sample.main(*sys.argv[2:])
"""


def begin(root: Path, columns: str, archive: Path, answers: Path) -> subprocess.Popen[bytes]:
    """Send the sample to the package under ``root``, in a process of its own."""
    path = os.pathsep.join(map(str, (root, ROOT)))
    return subprocess.Popen(
        [sys.executable, "-c", _CODE, columns, archive, answers],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
    )


def test_without_the_folder_every_answer_is_the_same(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "one", options=OPTIONS) as archive:
        archive.instance("sim", create=True).append_many(HISTORY)
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    # Compiled files that others write at this moment go by a longer name first.
    passing = shutil.ignore_patterns("*.pyc.*")
    shutil.copytree(PACKAGE, tmp_path / "bare" / PACKAGE.name, ignore=passing)
    shutil.rmtree(tmp_path / "bare" / PACKAGE.name / "wire" / "columns")
    children = (
        begin(ROOT, "there", tmp_path / "one", tmp_path / "fast"),
        begin(tmp_path / "bare", "deleted", tmp_path / "other", tmp_path / "slow"),
    )
    for child in children:
        _, complaints = child.communicate(timeout=WAIT_S)
        assert child.returncode == 0, complaints.decode()
    fast, slow = ((tmp_path / name).read_text().splitlines() for name in ("fast", "slow"))
    assert len(fast) == len(slow) > 300
    for one, other in zip(fast, slow, strict=True):
        assert one == other


def test_one_module_knows_the_folder() -> None:
    others = [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "wire" / "columns"]
    assert [path.name for path in others if any(map(_within, imports(path)))] == ["bulk.py"]


def imports(path: Path) -> Iterator[str]:
    """Yield the names of what a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _within(name: str) -> bool:
    return f"{name}.".startswith(f"{COLUMNS}.")

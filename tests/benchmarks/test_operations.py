"""``python -m benchmarks.operations`` with few events: it does all that it measures, and finds no fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import operations
from yamcs_archive import Instance
from yamcs_archive.results import PruningResult


def test_every_operation_is_done_and_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "ALONE_S", 0.1)
    assert operations.main(["--events", "3000", "--sqlite", "--scratch", str(tmp_path)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("  ")]
    assert [line.split("  ")[0] for line in lines] == [
        *("ingest", "verify", "backup", "verify the copy", "restore", "prune half"),
        *(f"SQLite: {name}" for name in ("ingest", "integrity_check", "VACUUM INTO", "delete half")),
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_answer_is_told_and_is_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Instance, "prune", lambda *_, **__: PruningResult(0, 7, 0, (), 0, 0, 0.0))
    monkeypatch.setattr(operations, "ALONE_S", 0.0)
    assert operations.main(["--events", "300", "--scratch", str(tmp_path)]) == 1
    assert "7 events were pruned, not 150" in capsys.readouterr().out

"""``python -m benchmarks.pass_reports`` with few events: it measures both mixes, and finds wrong reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import pass_reports
from yamcs_archive import Instance


def test_both_mixes_are_measured_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pass_reports.main(["--events", "20000", "--repeats", "1", "--scratch", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" scan ")[0].strip() for line in lines] == ["in order", "late"]
    assert all(" x; memory " in line for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_report_is_told_and_is_the_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Instance, "report", lambda *_, **__: None)
    assert pass_reports.main(["--events", "300", "--repeats", "1", "--scratch", str(tmp_path)]) == 1
    assert "in order: the report has None" in capsys.readouterr().out

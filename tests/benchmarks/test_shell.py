"""The time of a command from the shell: that it is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import shell


def test_the_times_of_a_command_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.main(["--events", "100", "--runs", "2", "--scratch", str(tmp_path)]) == 0
    line = capsys.readouterr().out
    assert re.fullmatch(r"events log: \d\.\d{3} s \(\d\.\d{3} to \d\.\d{3}\), 2 runs\n", line)
    assert list(tmp_path.iterdir()) == []

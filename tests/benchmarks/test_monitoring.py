"""The measure of what monitoring costs, with a few requests; no time is asserted."""

from __future__ import annotations

import pytest

from benchmarks import monitoring


@pytest.mark.long
def test_each_case_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert monitoring.main(["--posts", "2000", "--connections", "4", "--rounds", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0] for line in lines] == list(monitoring.CASES)
    assert all(float(line[len(max(monitoring.CASES, key=len)) + 2 :].split()[0]) > 0 for line in lines)

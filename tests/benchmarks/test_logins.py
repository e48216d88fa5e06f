"""The measure of logins on small input: each way in is taken, and printed with its ratio."""

from __future__ import annotations

import pytest

from benchmarks import logins


@pytest.mark.long
def test_every_way_to_log_in_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert logins.main(["--posts", "40", "--rounds", "1", "--connections", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:16].strip() for line in lines] == list(logins.CASES)
    assert all(float(line.split()[-1]) > 0 for line in lines)

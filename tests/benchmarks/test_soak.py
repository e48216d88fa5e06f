"""The soak: what counts as growth, and that a short one finds nothing to tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.soak.__main__ import main
from benchmarks.soak.trends import Bound, growth


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        ([], False),
        ([1, 9], False),
        ([1, 5, 9], True),
        ([100] * 30, False),
        (list(range(100, 130)), False),  # less than the noise
        ([100 + 10 * n for n in range(30)], True),
        ([100 - 10 * n for n in range(30)], False),
        ([500] * 10 + [100] * 20, False),  # the beginning does not count
        ([100] * 29 + [900], False),  # nor does a moment
    ],
)
def test_growth_is_more_in_the_last_third_than_in_the_second(values: list[float], grows: bool) -> None:
    assert bool(growth(values, Bound(0.1, 20) if len(values) > 3 else Bound(0.1, 1))) == grows


@pytest.mark.long
def test_half_a_minute_shows_no_fault(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--minutes", "0.5", "--scratch", str(tmp_path)]) == 0
    assert ", 0 faults" in capfd.readouterr().out.splitlines()[-1]

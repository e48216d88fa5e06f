"""Writes and syncs fail at some points of a workload; more by ``python -m benchmarks.failing_disk``."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random

import pytest

from benchmarks.failing_disk.__main__ import Points, make
from benchmarks.failing_disk.worker import WRITES, Point
from benchmarks.power_cut import recording

needs_compiler = pytest.mark.skipif(
    recording.compiler() is None, reason="no C compiler (cc, or what CC names): no write can be made to fail"
)


@needs_compiler
@pytest.mark.parametrize("points", [12, pytest.param(150, marks=pytest.mark.long)])
def test_what_was_acknowledged_is_there_and_work_goes_on(points: int, tmp_path: Path) -> None:
    piece = make(Points(1, points), tmp_path)
    assert piece.faults == []
    assert piece.counts["all"]["points"] == points
    assert piece.counts["all"]["failures"] >= points // 2
    by_error = piece.counts["points"]
    assert sum(by_error.values()) == points
    assert by_error["ENOSPC"] > 0
    assert by_error["EIO"] > 0
    assert set(by_error) <= {*("ENOSPC", "EIO"), *("ENOSPC, nothing failed", "EIO, nothing failed")}
    assert set(piece.counts["operations that raised"]) <= {
        "OutOfSpaceError",
        "OutcomeUnknownError",
        "UnavailableError",
    }


@needs_compiler
def test_events_are_read_after_a_commit_failed_midway_and_opening_anew_fails(tmp_path: Path) -> None:
    """The second point of this seed breaks the write of LMDB's head, and every sync after it."""
    assert make(Points(14, 2), tmp_path).faults == []


def test_points_are_full_and_broken_disks_for_a_moment_or_for_long() -> None:
    drawn = [Point.drawn(Random(nth), 50, "") for nth in range(200)]
    assert {(point.error, point.spell) for point in drawn} >= {
        (error, spell) for error in (errno.ENOSPC, errno.EIO) for spell in (1, 3, -1)
    }
    assert all(point.kinds == WRITES for point in drawn if point.error == errno.ENOSPC)
    assert {point.nth for point in drawn} > set(range(2, 48))

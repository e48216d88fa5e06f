"""What is found for one event, or for events in order, in fewer steps is what the general way finds."""

from __future__ import annotations

import numpy as np
import pytest

from yamcs_archive.limits import ODD_BEFORE_US
from yamcs_archive.pass_report.analysis import arrival, number_runs
from yamcs_archive.pass_report.analysis.arrival import Overtaking
from yamcs_archive.pass_report.analysis.grouping import Grouped
from yamcs_archive.pass_report.limits import JUMP_BACK_US, JUMP_FORTH_US

LATE_US = 1_000
NOW = ODD_BEFORE_US + 10**15


@pytest.mark.parametrize("time", [ODD_BEFORE_US - 1, ODD_BEFORE_US, NOW])
@pytest.mark.parametrize("by_us", [-JUMP_BACK_US, 0, JUMP_FORTH_US])
@pytest.mark.parametrize("more", [-1, 0, 1])
@pytest.mark.parametrize("delay_us", [LATE_US - 1, LATE_US, LATE_US + 1])
@pytest.mark.parametrize("received_later_us", [-5, 0, 1])
def test_a_step_is_one_whether_found_alone_or_among_many(
    time: int, by_us: int, more: int, delay_us: int, received_later_us: int
) -> None:
    received = time + delay_us
    values = time, time + by_us + more, received, received + received_later_us
    one, later, came, later_came = (np.array([value]) for value in values)
    [expected] = number_runs._steps(one, later, came, later_came, LATE_US).tolist()
    assert number_runs._is_step(*values, LATE_US) == expected


@pytest.mark.parametrize(
    "windows",
    [
        [[(0, 1, 1), (0, 2, 2)], [(0, 3, 2)]],  # in order
        [[(0, 1, 1), (0, 2, 2)], [(0, 3, 1)]],  # the next window overtakes one
        [[(0, 1, 2), (0, 2, 1)], [(0, 3, 1)]],
        [[(0, 1, 2), (0, 1, 3)], [(0, 1, 1), (0, 2, 4)]],  # of one time, which overtakes nothing
        [[(0, 1, 2), (0, 1, 3)], [(0, 1, 1), (0, 2, 2)]],
        [[(0, 1, 5), (0, 2, 5), (1, 1, 3), (1, 2, 4)], [(0, 3, 5), (1, 3, 3)]],  # each source by itself
        [[(0, 1, 5), (1, 1, 3), (2, 1, 1)], [(1, 2, 2), (2, 2, 2)]],
        [[(0, 1, 0), (0, 2, 2)], [(0, 3, 1)]],  # one whose commit is not known
    ],
)
def test_events_in_order_are_overtaken_as_others_are(
    windows: list[list[tuple[int, int, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted() -> list[int]:
        overtaking = Overtaking()
        for window in windows:
            rows, times, commits = (np.array(column) for column in zip(*window, strict=True))
            others = np.zeros(len(rows), np.int64), times, commits, np.zeros(len(rows), np.uint8)
            overtaking.add(Grouped.of(rows.astype(np.int32), times, *others))
        return [overtaking.count(row) for row in range(3 if len(windows[0]) == 3 else 1)]

    events = [event for window in windows for event in window]
    expected = [
        sum(
            any(
                o_row == row and o_time > time and 0 < o_commit < commit for o_row, o_time, o_commit in events
            )
            for e_row, time, commit in events
            if e_row == row
        )
        for row in range(3 if len(windows[0]) == 3 else 1)
    ]
    assert counted() == expected
    monkeypatch.setattr(arrival, "_are_in_order", lambda _: False)
    assert counted() == expected

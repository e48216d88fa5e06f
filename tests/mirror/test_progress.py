"""The progress lines of a mirror: few, and each worth reading."""

import time

import pytest

from yamcs_archive.mirror.follower import Progress
from yamcs_archive.mirror.progress_log import Sayer


def test_only_changes_are_reported_and_the_lag_at_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    monkeypatch.setattr(time, "time", lambda: 100.0)
    said: list[str] = []
    sayer = Sayer(said.append)

    def tell(events: int, *, behind: bool, trouble: str | None = None, after_s: float = 1) -> list[str]:
        nonlocal now_s
        now_s += after_s
        said.clear()
        sayer(Progress("sim", events, 60_000_000 if events else None, behind, trouble))
        return [line.removeprefix("sim: ") for line in said]

    lagging = "events taken over, at the state of the source at 1970-01-01T00:01:00Z, 40 s ago"
    assert tell(10, behind=True) == [f"10 {lagging}"]
    assert tell(20, behind=True) == []
    assert tell(99, behind=True, after_s=10) == [f"99 {lagging}"]
    assert tell(100, behind=False) == ["100 events taken over, in step"]
    assert tell(101, behind=True, after_s=3) == []  # one event, as it comes
    assert tell(101, behind=False) == []
    assert tell(101, behind=False, after_s=3600) == []
    assert tell(102, behind=True, after_s=25) == []
    assert tell(103, behind=True, after_s=9) == []
    assert tell(104, behind=True) == [f"104 {lagging}"]
    assert tell(104, behind=False) == ["104 events taken over, in step"]
    assert tell(101, behind=False, trouble="no answer") == ["101 events taken over, no answer; trying again"]
    assert tell(101, behind=False, trouble="no answer", after_s=3600) == []
    assert tell(101, behind=False) == ["101 events taken over, in step"]

"""When rows are sealed: by age, by number, and by a clock that is never set."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.storage.test_checkpoints import entries, events, whole
from yamcs_archive import Archive, Event, Options
from yamcs_archive.errors import OutOfSpaceError
from yamcs_archive.storage.maintain import scheduler


def test_maintenance_seals_by_itself_when_the_archive_is_idle(tmp_path: Path) -> None:
    now = [10_000_000]
    options = Options(clock=lambda: now[0], rest_age_us=60_000_000, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        for event in events(10):
            sim.append(event)
        maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]  # its clock, not a wait
        maintenance.look(now[0])
        assert entries(sim)["young"] == 10
        maintenance.look(now[0] + 59_000_000)
        assert entries(sim)["young"] == 10
        maintenance.look(now[0] + 60_000_000)  # nothing was committed for a minute
        assert entries(sim)["young"] == 0
        whole(sim)


def test_rows_beyond_the_limit_are_sealed_however_young(tmp_path: Path) -> None:
    options = Options(table_events_max=20, run_events_min=1000, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]  # as above
        sim.append_many(events(20))
        maintenance.look(options.clock())
        assert entries(sim)["young"] == 20
        sim.append(Event("one more"))
        maintenance.look(options.clock())
        assert entries(sim)["young"] == 0


_YEAR_US = 365 * 86_400_000_000


def test_a_clock_that_is_set_ahead_and_back_does_not_change_when_rows_are_sealed(tmp_path: Path) -> None:
    now = [1_700_000_000_000_000]
    options = Options(clock=lambda: now[0], maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]  # its clock, not a wait
        rows = []
        for second in range(200):  # an event a second, sealed a minute later
            now[0] += {3: _YEAR_US, 5: -_YEAR_US, 150: -_YEAR_US}.get(second, 1_000_000)
            sim.append(Event("live", generation_time=second))
            maintenance.look(second * 1_000_000)
            rows.append(entries(sim)["young"])
        assert rows[:60] == list(range(1, 61))
        assert set(rows[60:]) == {60}
        for second in (200, 261):
            maintenance.look(second * 1_000_000)
        assert entries(sim)["young"] == 0
        whole(sim)


def test_the_sealing_thread_goes_by_a_clock_that_is_never_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "_LOOK_S", 0.01)
    now = [1_700_000_000_000_000 + _YEAR_US]
    looked = threading.Semaphore(0)

    def clock() -> int:
        looked.release()
        return now[0]

    options = Options(clock=clock, rest_age_us=50_000)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("a", generation_time=1, reception_time=1))
        for _ in range(20):  # it has looked, and was told that this is a year ahead
            assert looked.acquire(timeout=30)
        now[0] -= _YEAR_US
        sim.append(Event("b", generation_time=2, reception_time=2))
        for _ in range(3_000):
            if entries(sim)["young"] == 0:
                break
            assert looked.acquire(timeout=30)
        assert entries(sim)["young"] == 0


def test_commits_from_the_future_are_sealed_at_once_after_an_opening(tmp_path: Path) -> None:
    for ahead in (_YEAR_US, 0):
        options = Options(clock=lambda ahead=ahead: 10**15 + ahead, maintenance=False)  # type: ignore[misc]  # bound
        with Archive.open(tmp_path / "a", options=options) as archive:
            sim = archive.instance("sim", create=True)
            if ahead:
                sim.append(Event("a"))
            else:
                sim._store._maintenance.look(0)  # type: ignore[attr-defined]  # as above
                assert entries(sim)["young"] == 0


def test_the_reason_why_sealing_is_put_off_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full, ours = OutOfSpaceError("here", "no room"), ValueError("a fault")
    looks: list[Exception | None] = [full, full, full, None, full, ours, ours, None]
    done = threading.Event()

    def look(now: int) -> None:
        if not looks:
            done.set()
        elif (error := looks.pop(0)) is not None:
            raise error

    monkeypatch.setattr(scheduler, "_LOOK_S", 0.001)
    with caplog.at_level(logging.WARNING), Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        # Count this archive's lines only: one that another test left open has its own thread.
        monkeypatch.setattr(sim._store._maintenance, "look", look)  # type: ignore[attr-defined]
        assert done.wait(30)
    told = [record.message for record in caplog.records]
    assert [text.split(",")[0] for text in told] == ["sealing is put off"] * 2 + ["sealing failed"]

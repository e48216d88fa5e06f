"""When young events go into blocks: at rest, by number, and by a clock that is never set."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.storage.test_checkpoints import entries, events, whole
from yamcs_archive import Archive, Event, Options
from yamcs_archive.errors import OutOfSpaceError
from yamcs_archive.limits import TABLE_EVENTS_LEFT_MAX
from yamcs_archive.storage.maintain import scheduler, text_filters


def test_many_young_events_go_into_blocks_when_the_archive_rests(tmp_path: Path) -> None:
    now = [10_000_000]
    options = Options(clock=lambda: now[0], rest_age_us=60_000_000, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]  # its clock, not a wait
        begin = now[0]
        for count in (TABLE_EVENTS_LEFT_MAX, 1):
            for n in range(count):
                sim.append(Event("m", source=f"S{count}", generation_time=n))
            for later in (0, 59_000_000):
                maintenance.look(begin + later)
                assert entries(sim)["young"] > 0
            maintenance.look(begin + 60_000_000)  # nothing was committed for a minute
            assert entries(sim)["young"] == (count if count > 1 else 0)  # a few more are not worth a block
            begin += 100_000_000
        whole(sim)


@pytest.mark.parametrize(("size", "young"), [(100_000, 10), (110_000, 0)])
def test_large_young_events_go_into_blocks_however_few(tmp_path: Path, size: int, young: int) -> None:
    options = Options(maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        for n in range(10):
            sim.append(Event("x" * size, generation_time=n))
        assert entries(sim)["young"] == 10
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim")
        assert entries(sim)["young"] == young
        whole(sim)


@pytest.mark.parametrize(("count", "young"), [(19, 19), (20, 0), (21, 1)])
def test_a_full_table_goes_into_blocks_however_young(tmp_path: Path, count: int, young: int) -> None:
    options = Options(table_events_max=20, run_events_min=1000, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        for event in events(count):
            sim.append(event)
        sim._store._maintenance.look(options.clock())  # type: ignore[attr-defined]  # as above
        assert entries(sim)["young"] == young
        whole(sim)


def test_a_full_table_wakes_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_LOOK_S", 1_000)
    options = Options(table_events_max=20, run_events_min=1000)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        for event in events(20):
            sim.append(event)
        for _ in range(3_000):
            if entries(sim)["young"] == 0:
                break
            threading.Event().wait(0.01)
        assert entries(sim)["young"] == 0


def test_without_maintenance_the_writer_puts_two_full_tables_into_blocks(tmp_path: Path) -> None:
    options = Options(table_events_max=20, run_events_min=1000, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        counts = []
        for event in events(100):
            sim.append(event)
            counts.append(entries(sim)["young"])
        assert max(counts) == 40
        assert counts[40] == 1
        whole(sim)


_YEAR_US = 365 * 86_400_000_000


def test_a_clock_that_is_set_ahead_and_back_does_not_change_when_an_archive_rests(tmp_path: Path) -> None:
    now = [1_700_000_000_000_000]
    options = Options(clock=lambda: now[0], maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]  # its clock, not a wait
        for second in range(300):  # an event a second
            now[0] += {3: _YEAR_US, 5: -_YEAR_US, 150: -_YEAR_US}.get(second, 1_000_000)
            sim.append(Event("live", generation_time=second))
            maintenance.look(second * 1_000_000)
        for second in (300, 358):
            maintenance.look(second * 1_000_000)
            assert entries(sim)["young"] == 300
        maintenance.look(360 * 1_000_000)
        assert entries(sim)["young"] == 0
        whole(sim)


def test_the_reason_why_a_step_is_put_off_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full, ours = OutOfSpaceError("here", "no room"), ValueError("a fault")
    looks: list[tuple[str, Exception] | None] = [
        *[("a checkpoint", full)] * 3,
        None,
        *[("a checkpoint", full)] * 2,
        *[("the making of text filters", full)] * 2,
        *[("the making of text filters", ours)] * 2,
        None,
    ]
    done = threading.Event()

    def look(now: int) -> None:
        if not looks:
            done.set()
        elif (found := looks.pop(0)) is not None:
            maintenance._step.name, error = found
            raise error

    monkeypatch.setattr(scheduler, "_LOOK_S", 0.001)
    with caplog.at_level(logging.WARNING), Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]
        # Count this archive's lines only: one that another test left open has its own thread.
        monkeypatch.setattr(maintenance, "look", look)
        assert done.wait(30)
    told = [record.message.split(",")[0] for record in caplog.records]
    assert told == [
        "a checkpoint is put off",
        "a checkpoint is put off",
        "the making of text filters is put off",
        "the making of text filters failed",
    ]


def test_a_full_disk_puts_off_what_is_done_and_the_log_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OutOfSpaceError("here", "no room")

    options = Options(maintenance=False, run_events_min=1000)
    with caplog.at_level(logging.WARNING), Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(events(400))
        maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]  # its round, not a wait
        maintenance.look(0)
        for module, step, name in (
            (scheduler, "made_from", "a checkpoint"),
            (text_filters, "put", "the making of text filters"),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(module, step, full)
                with pytest.raises(OutOfSpaceError) as raised:
                    maintenance.look(options.rest_age_us)
            maintenance._put_off(raised.value)
            assert caplog.messages[-1].startswith(f"{name} is put off, and tried again: ")
        whole(sim)

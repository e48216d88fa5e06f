"""A server prunes by the rules of its command line."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.server.serving import WAIT_S, serving
from yamcs_archive import Archive, Event, Options
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.limits import KEEP_DAYS_MAX
from yamcs_archive.server.settings import Settings


def test_a_server_prunes_soon_after_its_start_and_says_so(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True).append_many(Event("m", generation_time=n) for n in range(20))
    with serving(tmp_path / "a", "--max-events", "5") as served:
        with Archive.open(tmp_path / "a", readonly=True) as beside:
            until_s = time.monotonic() + WAIT_S
            while beside.instance("sim").count() != 5:
                assert time.monotonic() < until_s
                time.sleep(0.05)
        status, complaints = served.stop()
        assert status == 0
        assert "sim: pruned before 1970-01-01T00:00:00.000015Z: 15 events, about " in complaints


@pytest.mark.parametrize(
    "given", [{"keep_days": 0}, {"keep_days": KEEP_DAYS_MAX + 1}, {"max_bytes": 0}, {"max_events": -1}]
)
def test_rules_that_cannot_be_are_refused(given: dict[str, Any]) -> None:
    [(name, value)] = given.items()
    with pytest.raises(InvalidInputError, match=f"{name}={value}"):
        Settings(data=Path("a"), **given)


def test_the_largest_rules_are_taken() -> None:
    settings = Settings(data=Path("a"), keep_days=KEEP_DAYS_MAX, max_bytes=2**63 - 1, max_events=2**63 - 1)
    assert (settings.keep_days, settings.max_bytes, settings.max_events) == (
        KEEP_DAYS_MAX,
        2**63 - 1,
        2**63 - 1,
    )


@pytest.mark.parametrize(
    "rules",
    [
        {"sim": {"keep_day": 1}},
        {"sim": {"keep_days": 0}},
        {"sim": {"keep_days": KEEP_DAYS_MAX + 1}},
        {"sim": {"max_bytes": 1.0}},
        {"sim": {"max_events": True}},
        {"sim": {"map_bytes": 1 << 20}},
        {"sim": 1},
        {1: {"keep_days": 1}},
        {"a": {"keep_days": 1}, "b": None},
        ["sim"],
        None,
        "sim",
    ],
)
def test_rules_of_an_instance_that_cannot_be_are_refused(rules: Any) -> None:
    with pytest.raises(InvalidInputError, match="retention_of="):
        Options(retention_of=rules)


def test_an_instance_has_its_own_rules_and_those_of_all_and_nobody_changes_them_later() -> None:
    rules: dict[str, dict[str, int | None]] = {"sim": {"keep_days": KEEP_DAYS_MAX, "max_bytes": None}}
    options = Options(keep_days=1, max_bytes=2, max_events=3, retention_of=rules)
    rules["sim"]["keep_days"] = 0
    rules["bench"] = {"keep_days": 1}
    sim, bench = options.of_instance("sim"), options.of_instance("bench")
    assert (sim.keep_days, sim.max_bytes, sim.max_events) == (KEEP_DAYS_MAX, None, 3)
    assert bench == options
    assert hash(options) == hash(Options(keep_days=1, max_bytes=2, max_events=3))


def test_an_instance_that_is_renamed_has_the_rules_of_its_new_name(tmp_path: Path) -> None:
    options = Options(retention_of={"new": {"max_events": 5}})
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("old", create=True)
        sim.append_many(Event("m", generation_time=n) for n in range(20))
        archive.rename("old", "new")
        until_s = time.monotonic() + WAIT_S
        while archive.instance("new").count() != 5:
            assert time.monotonic() < until_s
            time.sleep(0.05)

"""Seconds and milliseconds given for microseconds are noticed, once for each line, and never refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.child import run_bare
from tests.http.feeds import uvicorn_at
from yamcs_archive import Archive, Client, Event, Instance, Options, TimeUnitWarning
from yamcs_archive.columns import Columns
from yamcs_archive.time_units import MILLISECONDS_MAX, MILLISECONDS_MIN, SECONDS_MAX, SECONDS_MIN

SECONDS = 1_767_225_600
EDGES = [
    (SECONDS_MIN - 1, None),
    (SECONDS_MIN, "seconds"),
    (SECONDS_MAX - 1, "seconds"),
    (SECONDS_MAX, None),
    (MILLISECONDS_MIN - 1, None),
    (MILLISECONDS_MIN, "milliseconds"),
    (MILLISECONDS_MAX - 1, "milliseconds"),
    (MILLISECONDS_MAX, None),
    (0, None),
    (-SECONDS, None),
]

WAYS_IN: dict[str, Callable[[Any, int], object]] = {
    "append": lambda sim, time: sim.append(Event("a", generation_time=time)),
    "submit": lambda sim, time: sim.submit(Event("a", generation_time=time)).result(60),
    "append_many of one": lambda sim, time: sim.append_many([Event("a", generation_time=time)]),
    "append_many of a list": lambda sim, time: sim.append_many(
        [*(Event(f"{n}", generation_time=n) for n in range(40)), Event("a", generation_time=time)]
    ),
    "append_many of a generator": lambda sim, time: sim.append_many(
        Event(f"{n}", generation_time=time if n == 20 else n) for n in range(40)
    ),
    "append_columns": lambda sim, time: sim.append_columns(
        [Columns.of([Event(f"{n}", generation_time=time if n == 20 else n) for n in range(40)])]
    ),
    "a numpy integer": lambda sim, time: sim.append(Event("a", generation_time=np.int64(time))),
    "at": lambda _, time: Event.at(time, "a"),
    "start": lambda sim, time: list(sim.events(start=time)),
    "stop": lambda sim, time: sim.count(stop=time),
    "before": lambda sim, time: sim.prune(before=time, dry_run=True),
}


@pytest.fixture(autouse=True)
def shown() -> Iterator[None]:
    """Each call may warn, as in a program that runs for the first time."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", TimeUnitWarning)
        yield


@pytest.mark.parametrize("way", WAYS_IN)
def test_every_way_in_warns_within_the_bounds_and_stores_it_all_the_same(sim: Instance, way: str) -> None:
    for time, unit in EDGES:
        before = sim.count()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            WAYS_IN[way](sim, time)
        assert [f"{each.message}".partition("looks like ")[2].partition(":")[0] for each in caught] == (
            [unit] if unit else []
        ), time
        assert all(each.filename == __file__ and each.category is TimeUnitWarning for each in caught)
        if way.startswith(("append", "submit", "a numpy")):
            assert sim.count() > before
            assert any(event.generation_time == time for event in sim.events())


@pytest.mark.parametrize("way", ["append", "append_many of a list", "append_many of a generator", "start"])
def test_a_served_archive_warns_the_same_and_its_server_does_not(archive: Archive, way: str) -> None:
    archive.instance("sim", create=True)
    with uvicorn_at(archive, 0) as port, Client(f"http://127.0.0.1:{port}") as client:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            WAYS_IN[way](client.instance("sim"), SECONDS)
        assert [(each.category, each.filename) for each in caught] == [(TimeUnitWarning, __file__)]


def test_an_archive_s_own_clock_may_count_from_1970(archive: Archive) -> None:
    with Archive.open(archive.path.with_name("other"), options=Options(clock=lambda: SECONDS)) as simulated:
        sim = simulated.instance("sim", create=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sim.append(Event("a"))
            sim.append_many(Event(f"{n}") for n in range(40))
            sim.append_many([Event(f"{n}") for n in range(40)])


def test_a_slow_generator_s_line_is_named_although_another_thread_stores(sim: Instance) -> None:
    def supply() -> Iterator[Event]:
        yield Event("a", generation_time=SECONDS)
        while not sim.count():
            pass

    with pytest.warns(TimeUnitWarning, match="generation_time") as caught:
        sim.append_many(supply())
    assert [each.filename for each in caught] == [__file__]


def test_a_line_is_warned_once_and_nothing_is_stored_where_it_is_an_error(sim: Instance) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for n in range(5):
            sim.append(Event("a", generation_time=SECONDS + n))
        sim.append(Event("another line", generation_time=SECONDS + 9))
    assert len(caught) == 2
    assert sim.count() == 6
    for append in (
        sim.append,
        lambda event: sim.append_many([event]),
        lambda event: sim.append_many(iter([event])),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(TimeUnitWarning):
                append(Event("b", generation_time=SECONDS))
    assert sim.count() == 6


def test_it_is_shown_by_default_and_silent_by_its_name() -> None:
    code = """
        import sys, tempfile, warnings
        from yamcs_archive import *
        if len(sys.argv) > 1:
            warnings.simplefilter("ignore", TimeUnitWarning)
        sys.stderr = sys.stdout
        Event.at(1767225600, "a")
        """
    said = run_bare(code)
    assert "TimeUnitWarning: time is a time of 1970 in microseconds, and looks like seconds: multiply" in said
    assert run_bare(code, "quiet") == ""

"""A scan with a filter yields exactly the events that match, although it skips blocks."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from yamcs_archive import Archive, Event, Filter, FilterError, Instance, Options, Severity

FILTERS = (
    "",
    "severity>=warning",
    "severity=severe source=gnc",
    "source:g wheel",
    'source=~"(?i)^e" OR type=fdir',
    '-source=gnc "over speed"',
    "wheel -fdir severity<severe",
    "type=null",
    'message="Wheel 3 over speed"',
    "seqNumber>40 seqNumber<60",
    "severity=info severity=severe",
    "source=nobody",
    '"straße" OR "STRASSE"',
)


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    rng = random.Random(1)
    options = Options(block_events_max=16, run_events_min=12, maintenance=False)
    instance = Archive.open(tmp_path_factory.mktemp("filtered") / "data", options=options).instance(
        "sim", create=True
    )
    for batch in range(4):
        instance.append_many(
            Event(
                rng.choice(["Wheel 3 over speed", "WHEEL nominal", "Straße", "", "pump"]),
                source=rng.choice(["GNC", "gnc", "EPS", "AOCS"]),
                severity=rng.choice(list(Severity)),
                type=rng.choice([None, "FDIR", "Test"]),
                generation_time=rng.randrange(10_000),
                seq_number=40 * batch + n,
            )
            for n in range(40)
        )
        if batch < 3:
            instance.settle()  # the last ones stay rows
    return instance


@pytest.mark.parametrize("text", FILTERS)
@pytest.mark.parametrize("descending", [False, True])
def test_a_filter_yields_the_events_that_it_matches(sim: Instance, text: str, descending: bool) -> None:
    wanted = Filter(text)
    everything = list(sim.events(descending=descending))
    expected = [event for event in everything if wanted.matches(event)]
    assert list(sim.events(filter=text, descending=descending)) == expected
    assert list(sim.events(filter=wanted, descending=descending, limit=3)) == expected[:3]
    narrowed = [
        event
        for event in expected
        if event.source in ("GNC", "EPS")
        and event.severity >= Severity.WATCH
        and "e" in event.message.casefold()
    ]
    found = sim.events(
        filter=text, sources=["GNC", "EPS"], min_severity=Severity.WATCH, text="E", descending=descending
    )
    assert list(found) == narrowed
    within = [event for event in expected if 2000 <= (event.generation_time or 0) < 7000]
    assert list(sim.events(filter=text, start=2000, stop=7000, descending=descending)) == within


def test_the_cases_decide_something(sim: Instance) -> None:
    counts = [len(list(sim.events(filter=text))) for text in FILTERS]
    assert counts[0] == 160
    assert sum(0 < count < 160 for count in counts) == 10


def test_a_read_that_is_cancelled_ends(sim: Instance) -> None:
    asked = iter([False] * 3)

    def cancelled() -> bool:
        return next(asked, True)

    found = list(sim.events(cancelled=cancelled))
    assert 0 < len(found) < 160
    assert found == list(sim.events(cancelled=lambda: False))[: len(found)]
    assert not list(sim.events(filter='"in none of them"', cancelled=cancelled))
    assert not list(sim.event_vectors(cancelled=cancelled))
    assert not list(sim.histogram(cancelled=cancelled))


def test_a_bad_filter_is_refused_at_once(sim: Instance, tmp_path: Path) -> None:
    with pytest.raises(FilterError, match="line 1, column 1"):
        sim.events(filter="foo=1")

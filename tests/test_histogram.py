"""The histogram: exact stretches of each source, in every form of storage, and the time to continue at."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import of_full
from yamcs_archive import Archive, Event, Instance, InvalidInputError, Options, Stretch
from yamcs_archive.limits import PAUSE_US_MAX, TIME_MAX_US, TIME_MIN_US
from yamcs_archive.storage.format.block_part_decoder import BlockPart


def simply(events: list[Event], pause_us: int) -> list[Stretch]:
    """The stretches of events, computed by the rule."""
    found: list[Stretch] = []
    for source in {event.source for event in events}:
        times = sorted(event.generation_time or 0 for event in events if event.source == source)
        begin = 0
        for at, (one, other) in enumerate(pairwise([*times, 2 * TIME_MAX_US]), 1):
            if other - one > pause_us:
                found.append(Stretch(source, times[begin], one, at - begin))
                begin = at
    return sorted(found, key=lambda stretch: (stretch.stop, stretch.source))


keys = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(["A", "B", "été", "x,y"]), st.integers(0, 2)),
    unique=True,
    min_size=1,
    max_size=60,
)


@settings(max_examples=of_full(60))
@given(keys, st.integers(0, 8), st.sampled_from([1, 2, 7, 512]), st.integers(0, 60), st.booleans())
def test_stretches_follow_the_rule_and_a_later_call_continues(
    found: list[tuple[int, str, int]], pause_us: int, block_events_max: int, split: int, some: bool
) -> None:
    events = [
        Event("m", source=source, generation_time=time, seq_number=number) for time, source, number in found
    ]
    sources = ["A", "x,y"] if some else None
    with TemporaryDirectory() as directory:
        options = Options(block_events_max=block_events_max)
        with Archive.open(Path(directory) / "archive", options=options) as archive:
            sim = archive.instance("sim", create=True)
            sim.append_many(events[:split])
            sim.settle()
            sim.append_many(events[split:])
            wanted = [event for event in events if sources is None or event.source in sources]
            expected = simply(wanted, pause_us)
            iterator = sim.histogram(pause_us=pause_us, sources=sources)
            seen = []
            for stretch in iterator:
                seen.append(stretch)
                last = (stretch.stop, stretch.source)
                rest = sim.histogram(pause_us=pause_us, sources=sources, start=iterator.resume)
                later = [other for other in rest if (other.stop, other.source) > last]
                assert later == expected[len(seen) :]
            assert seen == expected
            within = [event for event in wanted if 10 <= (event.generation_time or 0) < 40]
            assert list(sim.histogram(start=10, stop=40, pause_us=pause_us, sources=sources)) == simply(
                within, pause_us
            )


def test_a_pause_is_within_a_stretch_up_to_its_length(sim: Instance) -> None:
    sim.append_many(Event("m", source="S", generation_time=time) for time in (0, 2_000_000, 4_000_001))
    assert [stretch.events for stretch in sim.histogram()] == [2, 1]
    assert [stretch.events for stretch in sim.histogram(pause_us=2_000_001)] == [3]
    assert [stretch.events for stretch in sim.histogram(pause_us=0)] == [1, 1, 1]


def test_a_source_that_never_rests_holds_back_no_other(sim: Instance) -> None:
    sim.append_many(
        Event("m", source="busy" if n % 2 else f"once {n}", generation_time=n * 1_000_000)
        for n in range(5000)
    )
    sim.settle()
    iterator = sim.histogram()
    assert next(iterator) == Stretch("once 0", 0, 0, 1)
    assert len(iterator._open) <= 5  # sources with an event in the last two seconds
    stretches = list(iterator)
    assert stretches[-1] == Stretch("busy", 1_000_000, 4_999_000_000, 2500)
    assert len(stretches) == 2500


def test_no_more_than_keys_is_decoded(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    sim.append_many(Event("m", source=f"S{n % 3}", generation_time=n) for n in range(5000))
    sim.settle()
    looked = property(lambda self: pytest.fail("the body was looked at"))
    monkeypatch.setattr(BlockPart, "body_frame", looked)
    assert [stretch.events for stretch in sim.histogram()] == [1666, 1667, 1667]


def test_the_whole_range_of_times_and_pauses_is_accepted(sim: Instance) -> None:
    sim.append_many(Event("m", source="S", generation_time=time) for time in (TIME_MIN_US, 0, TIME_MAX_US))
    assert [stretch.start for stretch in sim.histogram(pause_us=PAUSE_US_MAX)] == [
        TIME_MIN_US,
        0,
        TIME_MAX_US,
    ]
    assert list(sim.histogram(start=5, stop=5)) == []
    assert sim.histogram(start=5, stop=5).resume is None


@pytest.mark.parametrize("pause_us", [-1, PAUSE_US_MAX + 1, 1.5, True, None])
def test_an_invalid_pause_is_refused(sim: Instance, pause_us: object) -> None:
    with pytest.raises(InvalidInputError, match="pause_us"):
        sim.histogram(pause_us=pause_us)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="sources"):
        sim.histogram(sources="S")

"""What a report finds, and what it says where it is asked for some events only, through the library."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.test_damage import damage
from yamcs_archive import Archive, DamagedError, Event, Instance, InvalidInputError, Options, Severity
from yamcs_archive.errors import BadTimeError
from yamcs_archive.pass_report.limits import BURST_EVENTS, BURST_FACTOR

SECOND, MINUTE = 1_000_000, 60_000_000
T0 = 1_700_000_040_000_000


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Instance]:
    with Archive.open(tmp_path / "a") as archive:
        yield archive.instance("sim", create=True)


def event(seconds: float, number: int, message: str = "a", source: str = "A", delay_s: float = 0) -> Event:
    time = T0 + int(seconds * SECOND)
    return Event(message, source, Severity.INFO, None, time, number, time + int(delay_s * SECOND))


def test_an_empty_archive(sim: Instance) -> None:
    found = sim.report()
    assert found is not None
    assert (found.events, found.sources, found.gap_count, found.peak_minute) == (0, (), 0, None)
    assert (found.first_time, found.events_per_s, found.template_count, found.new_count) == (
        None,
        None,
        0,
        None,
    )
    assert "no events" in str(found)


def test_a_source_that_is_late_by_arrival_leaves_no_gaps_and_no_restart(sim: Instance) -> None:
    # Numbered as they arrive: the late one has the greatest number, and the earliest time.
    for at in range(5):
        sim.append(Event(f"{at}", "A", generation_time=T0 + at * SECOND, reception_time=T0 + at * SECOND))
    sim.append(Event("late", "A", generation_time=T0 - 900 * SECOND, reception_time=T0 + 5 * SECOND))
    found = sim.report()
    assert found is not None
    assert (found.gap_count, found.restart_count, found.jump_count) == (0, 0, 0)
    assert (found.late, found.overtaken, found.sources[0].delays.longest_us) == (1, 1, 905 * SECOND)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_burst_is_more_than_ten_times_the_usual(sim: Instance, more: int) -> None:
    usual, many = 3, 10 * 3
    assert (many, BURST_FACTOR) == (30, 10)
    counts = [usual, usual, many + more, usual]
    events = [
        event(minute * 60 + at / 1000, 100 * minute + at)
        for minute, count in enumerate(counts)
        for at in range(count)
    ]
    sim.append_many(events)
    found = sim.report()
    assert found is not None
    [source] = found.sources
    assert source.usual_per_minute == 3
    assert (source.bursts, len(found.bursts)) == ((1, 1) if more > 0 else (0, 0))
    if found.bursts:
        assert (found.bursts[0].time, found.bursts[0].events) == (T0 + 2 * MINUTE, 31)


@pytest.mark.parametrize("more", [0, 1])
def test_few_events_are_no_burst(sim: Instance, more: int) -> None:
    counts = [1, 1, BURST_EVENTS + more, 1]
    sim.append_many(
        event(minute * 60 + at / 1000, 100 * minute + at)
        for minute, count in enumerate(counts)
        for at in range(count)
    )
    found = sim.report()
    assert found is not None
    assert len(found.bursts) == more


def test_a_silence_up_to_the_end_of_the_window(sim: Instance) -> None:
    sim.append_many(event(at, at) for at in range(20))
    sim.append_many(event(at * 30, at, source="B") for at in range(20))
    found = sim.report()
    assert found is not None
    [silence] = found.silences
    assert (silence.source, silence.at_end, silence.since) == ("A", True, T0 + 19 * SECOND)
    assert silence.until == T0 + 570 * SECOND == found.last_time
    assert "the end" in str(found)
    until = sim.report(stop=T0 + 20 * SECOND)
    assert until is not None
    assert until.silences == ()


def test_nothing_is_silent_in_the_future(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=Options(clock=lambda: T0 + 30 * SECOND)) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(event(at, at) for at in range(20))
        found = sim.report(stop="2100-01-01T00:00:00Z")
        assert found is not None
        assert found.made == T0 + 30 * SECOND
        assert [(each.pause_us, each.until) for each in found.silences] == [(11 * SECOND, T0 + 30 * SECOND)]


def test_numbers_are_followed_only_where_all_events_are_read(sim: Instance) -> None:
    sim.append_many([event(0, 0, "on"), event(1, 1, "off"), event(2, 2, "on"), event(3, 9, "on")])
    found = sim.report(text="ON")
    assert found is not None
    assert (found.events, found.gap_count, found.sources[0].numbers) == (3, None, None)
    assert "only some of the events were read" in found.notes[0]
    for asked in (sim.report(min_severity="info"), sim.report(filter="on")):
        assert asked is not None
        assert asked.gap_count is None
    of_source = sim.report(sources=["A"])
    assert of_source is not None
    assert (of_source.gap_count, of_source.missing, of_source.only_sources) == (1, 6, ("A",))


def test_numbers_just_outside_of_the_window_are_not_missing(sim: Instance) -> None:
    # The event with the number 2 is from before the window: its time was late, or its clock wrong.
    sim.append_many([event(-100, 2), event(0, 1), event(1, 3), event(2, 5), event(3600 + 4, 4)])
    found = sim.report(start=T0, stop=T0 + 3 * SECOND)
    assert found is not None
    numbers = found.sources[0].numbers
    assert numbers is not None
    assert (numbers.gaps, numbers.missing, numbers.outside) == (1, 1, 1)
    [gap] = found.gaps
    assert (gap.first, gap.last, gap.after, gap.before) == (4, 4, T0 + SECOND, T0 + 2 * SECOND)


def test_new_templates_are_those_that_no_earlier_event_has(sim: Instance) -> None:
    sim.append_many(
        [event(-10, 0, "Step 1"), event(0, 1, "Step 2"), event(1, 2, "Fault 7"), event(2, 3, "Fault 8")]
    )
    sim.append(event(3, 0, "Step 1", source="B"))
    found = sim.report(start=T0)
    assert found is not None
    assert [(each.text, each.events, each.example) for each in found.new_templates] == [
        ("Fault <n>", 2, "Fault 7")
    ]
    assert found.new_since == T0
    later = sim.report(start=T0, new_since=T0 + 2 * SECOND)
    assert later is not None
    assert later.new_count == 0
    forgetful = sim.report(start=T0, history_since=T0 - 5 * SECOND)
    assert forgetful is not None
    assert forgetful.new_count == 2
    # Of B alone nothing is known before.
    of_b = sim.report(start=T0, sources=["B"])
    assert of_b is not None
    assert of_b.new_count == 1
    everything = sim.report()
    assert everything is not None
    assert (everything.new_since, everything.new_count, everything.new_templates) == (None, None, ())


def test_sources_of_the_same_block_that_are_not_asked_for(sim: Instance) -> None:
    sim.append_many(event(at, at, source="ABC"[at % 3]) for at in range(3000))
    sim.settle()
    for names in (["A"], ["B", "C"], ["D"], []):
        found = sim.report(sources=names)
        assert found is not None
        assert [source.source for source in found.sources] == [name for name in names if name != "D"]
        assert found.events == sum(source.events for source in found.sources)


def test_pruned_events_are_not_read_and_leave_no_gap(sim: Instance) -> None:
    sim.append_many(event(at, at) for at in range(100))
    sim.prune(before=T0 + 50 * SECOND)
    found = sim.report()
    assert found is not None
    assert (found.events, found.gap_count, found.first_time) == (50, 0, T0 + 50 * SECOND)


def test_refused_events_are_counted_ever(sim: Instance) -> None:
    sim.append_many([event(0, 0), event(0, 0), event(1, 1)])
    counts = sim.append_many([event(0, 0, "other")])
    assert counts.conflict_count == 1
    found = sim.report(start=T0 + SECOND)
    assert found is not None
    assert (found.duplicates, found.conflicts) == (1, 1)
    assert found.sources[0].conflicts == 1


def test_progress_and_the_end_of_it(sim: Instance) -> None:
    sim.append_many(event(at, at) for at in range(3000))
    told: list[tuple[int, int]] = []
    assert sim.report(start=T0 + 1000 * SECOND, progress=lambda *far: told.append(far)) is not None
    assert told[-1] == (3000, 3000)
    assert all(read <= of for read, of in told)
    del told[:]
    assert sim.report(text="A", progress=lambda *far: told.append(far)) is not None
    assert told[-1] == (3000, 0)
    assert sim.report(cancelled=lambda: True) is None


@pytest.mark.damaging
def test_damage_is_an_error_or_left_out(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(event(at, at) for at in range(12_000))
        sim.settle()
    damage(tmp_path / "a", "blocks", 1, -1)
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        sim = archive.instance("sim")
        with pytest.raises(DamagedError):
            sim.report()
        left_out: list[DamagedError] = []
        found = sim.report(skip_damaged=left_out.append)
        assert found is not None
        [error] = left_out
        assert error.events is not None
        assert (found.events, found.missing) == (12_000 - error.events, error.events)


def test_hostile_messages(sim: Instance) -> None:
    large = "x" * (1 << 20)
    sim.append_many(
        [event(0, 0, large), event(1, 1, large[:-1]), event(2, 2, "a\0b\x1b[2J\n"), event(3, 3, "")]
    )
    sim.append_many([event(4, 4, "٣ Züge"), event(5, 5, "1" * 5000), event(6, 6, "x" * 2000)])
    found = sim.report()
    assert found is not None
    # The two large ones begin alike, and are one template, which says that it is cut.
    of = {each.text: each for each in found.templates}
    assert of["x" * 2000 + "…"].events == 2
    assert of["x" * 2000 + "…"].example == "x" * 500 + "… (1048576 characters)"
    assert of["x" * 2000].events == of["a\0b\x1b[<n>J\n"].events == of[""].events == of["٣ Züge"].events == 1
    shown = str(found)
    assert "\x1b" not in shown
    assert "\0" not in shown
    assert r"a\x00b\x1b[2J\n" in shown
    assert max(map(len, shown.splitlines())) < 400


def test_what_is_shown_says_what_it_leaves_out(sim: Instance) -> None:
    sim.append_many(
        event(at, 10 * at, f"{'ab'[at % 2]} {'x' * (at % 30)}", f"S{at % 25:02}") for at in range(300)
    )
    found = sim.report(top=3)
    assert found is not None
    assert (len(found.gaps), found.gap_count) == (3, 275)
    shown = str(found)
    assert "SOURCES: the 20 with most events of 25" in shown
    assert "GAPS IN NUMBERS: the 3 largest of 275" in shown
    assert "RAREST MESSAGES: the 10 rarest of 30" in shown


def test_a_report_is_a_plain_value(sim: Instance) -> None:
    sim.append_many([event(0, 0), event(1, 5)])
    found = sim.report()
    assert found is not None
    assert pickle.loads(pickle.dumps(found)) == found
    assert hash(found.gaps[0])


def test_bad_arguments_are_refused_at_once(sim: Instance) -> None:
    with pytest.raises(BadTimeError, match="new_since"):
        sim.report(new_since="soon")
    for bad in ({"top": 0}, {"top": 1001}, {"late_after_s": -1}, {"late_after_s": 2e9}, {"progress": 5}):
        with pytest.raises(InvalidInputError):
            sim.report(**bad)

"""A report says what a slow, obvious reference says, whatever the events, the window and the sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pass_report.reference import MINUTE, SECOND, Reference, Stored, peak
from yamcs_archive import Event, PassReport, Severity, StoredVectors
from yamcs_archive.columns import Columns
from yamcs_archive.limits import SEQ_NUMBER_MAX, SEQ_NUMBER_MIN, TIME_MAX_US, TIME_MIN_US
from yamcs_archive.pass_report.analysis.analyser import Analysis, Asked, Bounds

BASE = 1_800_000_000_000_000
TOP = 1_000


def report_of(
    events: Sequence[Stored],
    *,
    start: int | None = None,
    stop: int | None = None,
    new_since: int | None = None,
    late_after: int = MINUTE,
    window: int = 4,
    batch: int = 3,
) -> PassReport:
    """Analyse events in windows and batches of these sizes, and what is outside as an instance does."""
    ordered = sorted(events, key=lambda stored: stored.event.key)
    since = start if new_since is None else new_since
    asked = Asked(start, stop, None, None, None, None, since, None, late_after, TOP)
    analysis = Analysis(asked, Bounds(window_events=window))
    within = [
        stored
        for stored in ordered
        if (start is None or stored.time >= start) and (stop is None or stored.time < stop)
    ]
    if start is not None and since is not None:
        for part in cut([each for each in ordered if each.time < min(start, since)], batch):
            analysis.add_history(part)
    for part in cut(within, batch):
        analysis.add(part)
    if analysis.has_gaps:
        hour = 3600 * SECOND
        if start is not None:
            for part in cut([each for each in ordered if start - hour <= each.time < start], batch):
                analysis.add_outside(part)
        if stop is not None:
            for part in cut([each for each in ordered if stop <= each.time < stop + hour], batch):
                analysis.add_outside(part)
    return analysis.report("sim", {}, made=TIME_MAX_US, seconds=0.0)


def cut(events: Sequence[Stored], size: int) -> list[StoredVectors]:
    parts = [events[at : at + size] for at in range(0, len(events), size)]
    return [
        StoredVectors.concat(
            [StoredVectors.of(Columns.of([each.event]), commit=each.commit) for each in part]
        )
        for part in parts
    ]


def check(report: PassReport, expected: Reference) -> None:
    events = expected.events
    assert report.events == len(events)
    assert [source.source for source in report.sources] == sorted(expected.of)
    for source in report.sources:
        wanted = expected.source(source.source)
        numbers, delays, minute = source.numbers, source.delays, source.peak_minute
        assert numbers is not None
        assert numbers.kind == "counting"
        found = {
            name: getattr(source, name) for name in wanted if name not in ("numbers", "delays", "peak_minute")
        }
        assert found == {name: wanted[name] for name in found}
        assert (minute.time, minute.events) == wanted["peak_minute"]
        assert (
            *(delays.median_us, delays.p95_us, delays.p99_us),
            *(delays.longest_us, delays.longest_time, delays.longest_number),
        ) == wanted["delays"]
        of = wanted["numbers"]
        assert {name: getattr(numbers, name) for name in of if not name.startswith("all_")} == {
            name: value for name, value in of.items() if not name.startswith("all_")
        }
        name = source.source
        assert sorted(
            (gap.first, gap.last, gap.after, gap.before) for gap in report.gaps if gap.source == name
        ) == (sorted(of["all_gaps"]))
        assert sorted((jump.number, jump.step_us) for jump in report.jumps if jump.source == name) == (
            sorted(of["all_jumps"])
        )
        restarts = [
            (each.time, each.number, each.previous) for each in report.restarts if each.source == name
        ]
        assert sorted(restarts) == sorted(of["all_restarts"])
    assert report.severities == dict(Counter(stored.event.severity.name for stored in events))
    if events:
        times = [stored.time for stored in events]
        assert report.peak_second is not None
        assert report.peak_minute is not None
        assert (report.peak_second.time, report.peak_second.events) == peak(times, SECOND)
        assert (report.peak_minute.time, report.peak_minute.events) == peak(times, MINUTE)
    templates = expected.templates()
    assert {
        each.text: (each.events, each.first_time, each.last_time, each.new) for each in report.templates
    } == templates
    assert list(report.templates) == sorted(
        report.templates, key=lambda each: (each.events, each.first_time, each.text)
    )
    assert report.rarest == report.templates[:10]
    if expected.new_since is not None:
        new = [each for each in report.templates if each.new]
        assert list(report.new_templates) == sorted(new, key=lambda each: (each.first_time, each.text))
        assert report.new_count == len(new)
    assert report.notes == ()


MESSAGES = ("Step 1", "Step 22", "Wheel 0x1F", "nul \0 in", "", "“Höhe” 3 °C", "at 10:00:00", "1", "22")


@st.composite
def histories(draw: st.DrawFn) -> list[Stored]:
    """Draw events of a few sources that mostly count and mostly come in order, with all that goes wrong."""
    events: dict[tuple[int, str, int], Stored] = {}
    time = BASE + draw(st.integers(0, 3)) * SECOND
    numbers = {"A": draw(st.integers(-2, 3)), "B": 0, "C": draw(st.sampled_from([0, 1, 2**31 - 5]))}
    clock = {"A": 0, "B": 0, "C": 0}
    commit = 1
    for _ in range(draw(st.integers(0, 40))):
        source = draw(st.sampled_from("AAABBC"))
        time += draw(st.sampled_from([0, 1, 400_000, SECOND, 5 * SECOND, 50 * SECOND, 700 * SECOND]))
        what = draw(
            st.sampled_from(["", "", "", "", "gap", "restart", "late", "set", "repeat", "swap", "ahead"])
        )
        if what == "gap":
            numbers[source] += draw(st.integers(1, 3))
        elif what == "restart":
            numbers[source] = draw(st.sampled_from([0, 0, 1, SEQ_NUMBER_MIN, 7]))
        elif what == "set":
            clock[source] += draw(st.sampled_from([-3600, -5, -1, 59, 60, 61, 7200])) * SECOND
        elif what == "repeat":
            numbers[source] -= 1
        elif what == "swap":
            numbers[source] += draw(st.sampled_from([-2, 2]))
        late = draw(st.sampled_from([61, 60, 300, 301])) * SECOND if what == "late" else 0
        ahead = draw(st.sampled_from([1, 2, 4000])) * SECOND if what == "ahead" else 0
        commit += draw(st.sampled_from([0, 0, 1]))
        number = max(SEQ_NUMBER_MIN, min(SEQ_NUMBER_MAX, numbers[source]))
        event = Event(
            draw(st.sampled_from(MESSAGES)),
            source,
            draw(st.sampled_from(list(Severity))),
            None,
            time + clock[source] - late + ahead,
            number,
            time + draw(st.integers(0, 50_000)),
        )
        numbers[source] = number + 1
        events.setdefault(event.key, Stored(event, commit))
    return list(events.values())


@given(histories(), st.integers(1, 9), st.integers(1, 9))
def test_all_events(events: list[Stored], window: int, batch: int) -> None:
    check(report_of(events, window=window, batch=batch), Reference(events))


@given(histories(), st.data())
def test_a_window(events: list[Stored], data: st.DataObject) -> None:
    times = sorted({stored.time for stored in events}) or [BASE]
    start = data.draw(st.none() | st.sampled_from(times))
    stop = data.draw(st.none() | st.sampled_from(times))
    new_since = data.draw(st.none() | st.sampled_from(times))
    late_after = data.draw(st.sampled_from([0, 60, 300])) * SECOND
    expected = Reference(events, start=start, stop=stop, new_since=new_since, late_after=late_after)
    found = report_of(events, start=start, stop=stop, new_since=new_since, late_after=late_after)
    check(found, expected)


@given(
    st.lists(
        st.builds(
            lambda source, time, number, received, commit: Stored(
                Event("a", source, Severity.INFO, None, time, number, received), commit
            ),
            st.sampled_from("AB"),
            st.sampled_from(
                [TIME_MIN_US, TIME_MIN_US + 1, -1, 0, 1, BASE, BASE + 1, TIME_MAX_US - 1, TIME_MAX_US]
            ),
            st.sampled_from(
                [SEQ_NUMBER_MIN, SEQ_NUMBER_MIN + 1, -1, 0, 1, 2, SEQ_NUMBER_MAX - 1, SEQ_NUMBER_MAX]
            ),
            st.sampled_from([TIME_MIN_US, 0, BASE, TIME_MAX_US]),
            st.integers(1, 4),
        ),
        unique_by=lambda stored: stored.event.key,
        max_size=20,
    ),
    st.integers(1, 5),
)
def test_extremes(events: list[Stored], window: int) -> None:
    check(report_of(events, window=window, batch=2), Reference(events))


@pytest.mark.parametrize("sources", [1, 2, 3, 300])
def test_many_events_of_so_many_sources(sources: int) -> None:
    events = [
        Stored(
            Event(
                f"Step {at}",
                f"S{at % sources}",
                Severity.INFO,
                None,
                BASE + at * 300_000 - (90 * SECOND if at % 97 == 0 else 0),
                at // sources,
                BASE + at * 300_000 + 5,
            ),
            1 + at // 50,
        )
        for at in range(2000)
        if at % 89
    ]
    for window in (256, 1999, 4000):
        check(report_of(events, window=window, batch=100), Reference(events))

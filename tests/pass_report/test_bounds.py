"""Beyond its bounds a report says what it does not tell, and tells the rest as before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.pass_report.reference import Stored
from tests.pass_report.test_against_reference import BASE, cut
from yamcs_archive import Event, PassReport, Severity, StoredVectors
from yamcs_archive.limits import TIME_MAX_US
from yamcs_archive.pass_report.analysis.analyser import Analysis, Asked, Bounds
from yamcs_archive.pass_report.analysis.arrival import Overtaking
from yamcs_archive.pass_report.analysis.grouping import Grouped
from yamcs_archive.pass_report.analysis.numbering import Numbering
from yamcs_archive.pass_report.analysis.template_counts import TemplateCounts
from yamcs_archive.pass_report.limits import RESTARTS_MAX, SCATTERED_RUNS

ASKED = Asked(None, None, None, None, None, None, None, None, 60_000_000, 10)


def numbered(numbers: list[int] | range, source: str = "A", message: str = "a") -> list[Stored]:
    return [
        Stored(Event(message, source, Severity.INFO, None, BASE + at, number, BASE + at), 1)
        for at, number in enumerate(numbers)
    ]


def report(
    events: list[Stored], bounds: Bounds | None = None, templates: TemplateCounts | None = None
) -> PassReport:
    analysis = Analysis(ASKED, bounds, templates)
    for part in cut(sorted(events, key=lambda stored: stored.event.key), 1000):
        analysis.add(part)
    return analysis.report("sim", {}, made=TIME_MAX_US, seconds=0.0)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_numbers_that_do_not_count_are_scattered(more: int) -> None:
    found = report(numbered(range(0, 3 * (SCATTERED_RUNS + more), 3)))
    numbers = found.sources[0].numbers
    assert numbers is not None
    if more <= 0:
        assert (numbers.kind, numbers.gaps, found.notes) == ("counting", SCATTERED_RUNS + more - 1, ())
    else:
        assert (numbers.kind, numbers.gaps, numbers.missing) == ("scattered", None, None)
        assert found.gap_count == 0
        assert found.gaps == ()
        assert "A: gaps and jumps are not told: more than half of its numbers follow no other" in found.notes


def test_many_gaps_among_numbers_that_count_are_told() -> None:
    pairs = [number for at in range(300) for number in (3 * at, 3 * at + 1)]
    found = report(numbered(pairs))
    assert (found.gap_count, found.missing) == (299, 299)


def test_scattered_numbers_are_given_up_early() -> None:
    rng = np.random.default_rng(1)
    numbers = rng.integers(2, 2**31 - 1, 25_000).tolist()
    found = report([*numbered(numbers), *numbered(range(5), "B")], Bounds(window_events=6_000))
    of = {source.source: source.numbers for source in found.sources}
    assert of["A"] is not None
    assert of["B"] is not None
    assert (of["A"].kind, of["B"].kind, of["B"].gaps) == ("scattered", "counting", 0)


def test_the_source_with_most_gaps_is_given_up_first() -> None:
    def groups() -> Iterator[Grouped]:
        for source, step in ((0, 2), (1, 3), (2, 1)):
            numbers = np.arange(0, 100 * step, step)
            pairs = np.sort(np.concatenate((numbers, numbers + 1))) if step == 3 else numbers
            column = np.arange(len(pairs)) + BASE
            rows = np.full(len(pairs), source, np.int32)
            yield Grouped.of(rows, column, pairs, column, column, np.zeros(len(pairs), np.uint8))

    numbering = Numbering(60_000_000, 10, runs_max=150)
    for group in groups():
        numbering.add(group, ["A", "B", "C"])
    numbering.finish()
    kinds = [numbering.of(row).kind for row in range(3)]
    assert sorted(kinds) == ["counting", "counting", "too many gaps"]


@pytest.mark.parametrize("more", [0, 1])
def test_a_source_that_restarts_all_the_time(more: int) -> None:
    events = numbered([0, 1, 2] * (RESTARTS_MAX + 1 + more))
    found = report(events)
    numbers = found.sources[0].numbers
    assert numbers is not None
    assert numbers.kind == ("too many restarts" if more else "counting")
    assert len(found.restarts) == 10
    assert (numbers.gaps is None) == bool(more)


def test_sources_beyond_the_limit_count_together() -> None:
    events = [stored for at in range(7) for stored in numbered(range(at, at + 10), f"S{at}")]
    found = report(events, Bounds(sources=5))
    assert (found.events, len(found.sources), found.other_sources, found.other_events) == (70, 5, 2, 20)
    assert sum(source.events for source in found.sources) == 50
    assert found.peak_second is not None
    assert found.peak_second.events == 70
    assert "20 events are of 2 further sources" in found.notes[0]
    assert report(events, Bounds(sources=7)).notes == ()


def test_templates_beyond_the_limit_count_together() -> None:
    letters = "abcdefgh"
    events = [
        Stored(Event(f"{letter} {at}", "A", Severity.INFO, None, BASE + at * 10 + nth, at, BASE), 1)
        for at in range(5)
        for nth, letter in enumerate(letters)
    ]
    at_limit = report(events, templates=TemplateCounts(None, templates_max=8))
    assert (at_limit.template_count, at_limit.untold_events, at_limit.notes) == (8, 0, ())
    beyond = report(events, templates=TemplateCounts(None, templates_max=7))
    assert (beyond.template_count, beyond.untold_events) == (7, 5)
    assert "there are too many templates" in beyond.notes[0]
    few_bytes = report(events, templates=TemplateCounts(None, bytes_max=30))
    assert few_bytes.template_count < 8
    assert few_bytes.untold_events == 40 - 5 * few_bytes.template_count


def test_templates_listed_are_the_rarest() -> None:
    events = [
        Stored(Event("x" * (at % 20), "A", Severity.INFO, None, BASE + at, at, BASE), 1) for at in range(90)
    ]
    found = report(events, Bounds(templates_listed=12))
    assert (found.template_count, len(found.templates)) == (20, 12)
    assert [len(each.text) for each in found.templates] == [*range(10, 20), 0, 1]
    assert "the 12 rarest of 20 templates are listed" in found.notes


def test_remembered_messages_are_forgotten_without_a_trace() -> None:
    events = [
        Stored(Event(f"{'x' * (at % 7)} 0x{at:x}", "A", Severity.INFO, None, BASE + at, at, BASE), 1)
        for at in range(500)
    ]
    usual, forgetful = report(events), report(events, templates=TemplateCounts(None, known_bytes_max=40))
    assert usual.templates == forgetful.templates
    assert len(usual.templates) == 7


def test_overtaking_is_looked_for_among_the_events_that_follow() -> None:
    def group(first: int, commits: list[int]) -> Grouped:
        times = np.arange(first, first + len(commits))
        rows = np.zeros(len(commits), np.int32)
        return Grouped.of(rows, times, times, times, np.array(commits), np.zeros(len(commits), np.uint8))

    for pending_max, expected in ((4, 1), (3, 0)):
        overtaking = Overtaking(pending_max)
        overtaking.add(group(0, [9]))
        overtaking.add(group(1, [9, 9, 9]))
        overtaking.add(group(4, [1]))
        assert overtaking.count(0) == 3 + expected


def test_no_batch_at_all() -> None:
    found = Analysis(ASKED).report("sim", {}, made=0, seconds=0.0)
    assert (found.events, found.templates) == (0, ())
    assert StoredVectors.concat([]).size == 0

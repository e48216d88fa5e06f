"""Two reports side by side: what is told of sources and templates of one only, and what is not known."""

from __future__ import annotations

import dataclasses

from tests.pass_report.reference import Stored
from tests.pass_report.test_bounds import numbered, report
from yamcs_archive import Event, PassReport, Severity, compare_reports
from yamcs_archive.pass_report.analysis.analyser import Bounds

BASE = 1_700_000_040_000_000


def one_of(*messages: str, source: str = "A", every_s: int = 1) -> PassReport:
    return report(
        [
            Stored(Event(message, source, Severity.INFO, None, BASE + at * every_s * 1_000_000, at, BASE), 1)
            for at, message in enumerate(messages)
        ]
    )


def test_a_report_beside_itself_shows_no_difference() -> None:
    found = one_of("Step 1", "Step 2", "Fault")
    comparison = compare_reports(found, found)
    assert comparison.total_a == comparison.total_b
    assert [source.a for source in comparison.sources] == [source.b for source in comparison.sources]
    assert (comparison.only_a, comparison.only_b, comparison.notes) == ((), (), ())
    assert "both have the same message templates" in str(comparison)


def test_what_only_one_has() -> None:
    comparison = compare_reports(one_of("x", "Step 1", "Step 2"), one_of("x", "Fault", source="B"))
    [of_a, of_b] = comparison.sources
    assert (of_a.source, of_a.b, of_b.source, of_b.a) == ("A", None, "B", None)
    assert [(each.text, each.events) for each in comparison.only_a] == [("Step <n>", 2)]
    assert [each.text for each in comparison.only_b] == ["Fault"]
    lines = str(comparison).splitlines()
    assert "ONLY IN A" in lines
    assert "ONLY IN B" in lines
    assert next(line.split()[:9] for line in lines if line.startswith("  A ")) == [
        "A",
        "3",
        "-",
        "90.0",
        "-",
        "0",
        "-",
        "0",
        "-",
    ]


def test_rates_are_by_the_length_of_each_pass() -> None:
    slow, quick = one_of(*"abcdef", every_s=10), one_of(*"abcdef", every_s=1)
    comparison = compare_reports(slow, quick)
    assert (comparison.total_a.events_per_s, comparison.total_b.events_per_s) == (6 / 50, 6 / 5)
    single = compare_reports(one_of("a"), one_of())
    assert (single.total_a.events_per_s, single.total_b.events_per_s) == (None, None)
    assert "no events" in str(single)


def test_what_is_not_known_is_said() -> None:
    few = report(numbered(range(5)), Bounds(templates_listed=1))
    many = report([*numbered(range(5)), *numbered(range(3), "B", message="b")], Bounds(templates_listed=1))
    assert compare_reports(few, few).notes == ()
    notes = compare_reports(few, many, names=("before", "after")).notes
    assert "not all templates of after are known: some may be in both passes" in notes
    assert any(note.startswith("after: the 1 rarest of 2") for note in notes)
    assert not any(note.startswith("before") for note in notes)


def test_numbers_that_were_not_followed_are_a_dash() -> None:
    found = one_of("a", "b")
    narrowed = dataclasses.replace(
        found,
        gap_count=None,
        missing=None,
        restart_count=None,
        jump_count=None,
        sources=tuple(dataclasses.replace(source, numbers=None) for source in found.sources),
    )
    comparison = compare_reports(found, narrowed)
    [source] = comparison.sources
    assert source.b is not None
    assert (source.b.gaps, source.b.jumps) == (None, None)
    assert ["gaps", "0", "-", "-"] in [line.split() for line in str(comparison).splitlines()]


def test_names_that_could_rewrite_a_terminal_are_escaped() -> None:
    found = compare_reports(one_of("\x1b[2J", source="A\x1b]0;x\x07"), one_of("\x9b2J"), names=("\x1b", "b"))
    assert not {"\x1b", "\x07", "\x9b"} & set(str(found))

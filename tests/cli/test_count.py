"""``events count`` and ``events sources``: they agree with the log, in a directory and at a URL."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.server.at_hand import at_hand
from tests.storage.test_damage import IN_KEYS, damage
from tests.storage.test_verification import filled as filled_archive
from yamcs_archive import Archive, Event, Severity

CHOICES = [
    (),
    ("--since", "@5"),
    ("--until", "@5"),
    ("--source", "AOCS"),
    ("--source", "nosuch"),
    ("--severity", "watch"),
    ("--type", "odd", "--filter", "step 1"),
    ("--since", "@3", "--until", "@3"),
]


@pytest.fixture
def filled(data: Path) -> Path:
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(
            Event(
                f"Step {n}",
                source=("AOCS", "EPS", "a\tb\\c")[n % 3],
                severity=Severity.WATCH if n % 5 == 0 else Severity.INFO,
                type="odd" if n % 2 else None,
                generation_time=n * 1_000_000,
            )
            for n in range(20)
        )
    return data


@pytest.mark.parametrize("choice", CHOICES, ids=" ".join)
def test_both_count_what_the_log_shows(run: Run, filled: Path, choice: tuple[str, ...]) -> None:
    with at_hand(filled) as served:
        for place in (("--data", filled), ("--url", served.url)):
            log = run("events", "log", *place, *choice, "--format", "jsonl", "-n", "all").out.splitlines()
            shown = [json.loads(line)["source"] for line in log]
            ran = run("events", "count", *place, *choice)
            assert (ran.status, ran.out, ran.err) == (0, f"{len(shown)}\n", "")
            found = json.loads(run("events", "sources", *place, *choice, "--format", "json").out)
            assert found == [{"source": name, "events": shown.count(name)} for name in sorted(set(shown))]
            names = run("events", "sources", *place, *choice, "--format", "names").out.splitlines()
            assert names == sorted(set(shown))


def test_sources_are_a_table_without_control_characters(run: Run, filled: Path) -> None:
    assert run("events", "sources", "--data", filled).out.splitlines() == [
        "SOURCE   EVENTS",
        "AOCS          7",
        "EPS           7",
        "a\\tb\\\\c       6",
    ]


def test_a_source_whose_events_are_pruned_is_named_unless_events_are_chosen(run: Run, filled: Path) -> None:
    with Archive.open(filled) as archive:
        archive.instance("sim").append(Event("late", source="Late", generation_time=10**15))
        archive.instance("sim").prune(before=10**9)
    assert run("events", "sources", "--data", filled).out.splitlines()[1:3] == [
        "AOCS          0",
        "EPS           0",
    ]
    assert run("events", "sources", "--data", filled, "--until", "@2000000000").out.splitlines()[1:] == [
        "Late         1"
    ]


def test_an_empty_archive_has_no_sources(run: Run, data: Path) -> None:
    assert run("events", "count", "--data", data).out == "0\n"
    assert run("events", "sources", "--data", data).out == "SOURCE  EVENTS\n"
    assert run("events", "sources", "--data", data, "--format", "names").out == ""
    assert run("events", "sources", "--data", data, "--format", "json").out == "[]\n"


@pytest.mark.damaging
def test_damage_is_gone_round_and_said_once(run: Run, tmp_path: Path) -> None:
    filled_archive(tmp_path / "a")
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        events = archive.instance("sim").count()
    damage(tmp_path / "a", "blocks", 1, IN_KEYS)
    assert run("events", "count", "--data", tmp_path / "a", "--since", "@0").status == 1
    for command in (("count", "--since", "@0"), ("sources", "--since", "@0")):
        ran = run("events", *command, "--data", tmp_path / "a", "--skip-damaged")
        assert ran.status == 0
        assert len(ran.err.splitlines()) == 1
        assert ran.err.startswith("yamcs-archive: left out: blocks ")
    count = run("events", "count", "--data", tmp_path / "a", "--since", "@0", "--skip-damaged").out
    assert 0 < int(count) < events

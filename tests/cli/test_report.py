"""``report``: what it prints of a directory and of a server, and of two passes side by side."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.child import ROOT
from tests.cli.conftest import Run
from tests.cli.test_stats import served
from yamcs_archive import Archive, Event, Severity
from yamcs_archive.pass_report.report import PassReport
from yamcs_archive.wire.plain_values import value_of

SECOND, MINUTE = 1_000_000, 60_000_000
T0 = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
FIRST, SECOND_PASS = "2026-01-01T00:00:00Z/+10m", "2026-01-01T01:00:00Z/2026-01-01T01:10:00Z"


@pytest.fixture
def passes(tmp_path: Path) -> Path:
    """A directory with two passes of ten minutes in ``sim``, and another one in ``bench``."""
    with Archive.open(tmp_path / "passes") as archive:
        sim = archive.instance("sim", create=True)
        number = 0
        for begin in (0, 60 * MINUTE):
            for at in range(100):
                if begin and at in (50, 51):
                    number += 1  # two are lost in the second pass
                    continue
                time = T0 + begin + at * 5 * SECOND
                text = f"Wheel {at} nominal" if at != 70 or not begin else "Safe mode entered: word 0x1F"
                severity = Severity.CRITICAL if text.startswith("Safe") else Severity.INFO
                sim.append(Event(text, "AOCS", severity, None, time, number, time + 20_000))
                number += 1
        archive.instance("bench", create=True).append(
            Event("Only here", "EPS", generation_time=T0, seq_number=0)
        )
    return tmp_path / "passes"


def test_a_report_begins_with_the_verdict(run: Run, passes: Path) -> None:
    ran = run("report", "--data", passes, "--instance", "sim", "-s", "2026-01-01T01:00:00Z")
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[:4] == [
        "sim: from 2026-01-01T01:00:00Z on",
        "98 events of 1 source, from 2026-01-01T01:00:00Z to 2026-01-01T01:08:15Z (8 min 15 s)",
        "  97 INFO, 1 CRITICAL",
        "  0.20 events/s; most in a second 1, at 2026-01-01T01:00:00Z,"
        " in a minute 12, at 2026-01-01T01:00:00Z",
    ]
    assert "1 gap in the numbers: 2 numbers missing; 0 restarts" in lines
    assert "2 message templates, 1 of them new since 2026-01-01T01:00:00Z" in lines
    assert "  AOCS          2   150  151  2026-01-01T01:04:05Z  2026-01-01T01:04:20Z" in lines
    [new] = [line for line in lines if "Safe mode entered: word <hex>" in line]
    assert new.split()[:3] == ["1", "2026-01-01T01:05:50Z", "CRITICAL"]


def test_the_same_of_a_server(run: Run, passes: Path) -> None:
    asked = ("report", "--instance", "sim", "-s", "2026-01-01T01:00:00Z", "--format", "json", "--top", "5")
    here = json.loads(run(*asked, "--data", passes).out)
    with served(passes, operations=False) as (url, _):
        there = json.loads(run(*asked, "--url", url).out)
        shown = run("report", "--url", url, "--instance", "sim", "--source", "AOCS", "--severity", "critical")
    for report in (here, there):
        del report["made"], report["seconds"]
    assert here == there
    assert shown.status == 0
    assert "1 event of 1 source" in shown.out
    assert "NOT TOLD" in shown.out


def test_compare_two_windows(run: Run, passes: Path) -> None:
    ran = run("report", "--data", passes, "--instance", "sim", "--compare", FIRST, SECOND_PASS)
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "A: sim, 2026-01-01T00:00:00Z to 2026-01-01T00:08:15Z (8 min 15 s)"
    assert lines[1] == "B: sim, 2026-01-01T01:00:00Z to 2026-01-01T01:08:15Z (8 min 15 s)"
    cells = {line.split()[0]: line.split()[1:] for line in lines[3:] if line.startswith("  ")}
    assert cells["events"] == ["100", "98", "-2"]
    assert cells["missing"] == ["0", "2", "+2"]
    assert cells["CRITICAL"] == ["0", "1", "+1"]
    assert "ONLY IN B" in lines
    assert "ONLY IN A" not in lines
    assert cells["AOCS"][:10] == ["100", "98", "12.1", "11.9", "0", "1", "0", "2", "0", "0"]
    assert "INFO 100 to 97, CRITICAL 0 to 1" in ran.out


def test_compare_saved_reports_and_instances(run: Run, passes: Path, tmp_path: Path) -> None:
    files = []
    for name, (since, until) in {"one": ("00:00", "00:10"), "two": ("01:00", "01:10")}.items():
        window = ("-s", f"2026-01-01T{since}:00Z", "-u", f"2026-01-01T{until}:00Z")
        saved = run("report", "--data", passes, "--instance", "sim", *window, "--format", "json")
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(saved.out)
    of_files = run("report", "--compare", *files)
    of_windows = run("report", "--data", passes, "--instance", "sim", "--compare", FIRST, SECOND_PASS)
    assert of_files.status == 0
    assert of_files.out == of_windows.out
    mixed = run("report", "--data", passes, "--instance", "sim", "--compare", files[0], SECOND_PASS)
    assert mixed.out == of_windows.out
    instances = run("report", "--data", passes, "--compare", "sim", "bench", "--format", "json")
    found = json.loads(instances.out)
    assert [side["instance"] for side in (found["a"], found["b"])] == ["sim", "bench"]
    assert [source["source"] for source in found["sources"]] == ["AOCS", "EPS"]
    assert [each["text"] for each in found["onlyB"]] == ["Only here"]
    assert "a" not in found["sources"][1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--compare", "sim"), "expected 2 arguments"),
        (("--compare", "/", "sim"), "START/STOP has neither"),
        (("--compare", "soon/later", "sim"), "'soon' is not a date"),
        (("--compare", "sim", "bench", "--new-since", "now"), "--new-since and --compare do not go together"),
        (("--compare", "now/now", "sim", "-s", "now"), "does not go together with --since"),
        (("--top", "0"), "must be 1 to 1000"),
        (("--late-after", "soon"), "must be seconds"),
        (("--late-after", "-1"), "must be seconds"),
    ],
)
def test_misuse(run: Run, passes: Path, arguments: tuple[str, ...], said: str) -> None:
    ran = run("report", "--data", passes, "--instance", "sim", *arguments)
    assert ran.status == 2
    assert said in ran.err
    assert ran.out == ""


def test_files_that_are_no_reports(run: Run, tmp_path: Path, passes: Path) -> None:
    for text in ("", "{}", "[]", '{"instance": 5}', "\x00"):
        (tmp_path / "bad.json").write_text(text)
        ran = run("report", "--compare", tmp_path / "bad.json", tmp_path / "bad.json")
        assert (ran.status, ran.out) == (2, "")
        assert "it is no report" in ran.err
    ran = run("report", "--compare", tmp_path / "bad.json", tmp_path / "bad.json", "--data", passes)
    assert "without --data" in ran.err
    unknown = run("report", "--data", passes, "--compare", "sim", "nosuch")
    assert unknown.status == 1
    assert "nosuch" in unknown.err


def test_a_saved_report_is_the_report(run: Run, passes: Path) -> None:
    saved = run("report", "--data", passes, "--instance", "sim", "--format", "json")
    found = value_of(PassReport, json.loads(saved.out))
    assert "\n".join(run("report", "--data", passes, "--instance", "sim").out.splitlines()) == str(found)


def test_ctrl_c_ends_it_cleanly(passes: Path) -> None:
    # The process gets the signal while it reads: the first progress is told then.
    code = (
        "import os, signal, sys\n"
        "from yamcs_archive.cli import progress\n"
        "from yamcs_archive.cli.main import main\n"
        "progress.Progress.__call__ = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "report", "--data", str(passes), "--instance", "sim"],
        capture_output=True, text=True, cwd=ROOT, check=False, timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (130, "")
    assert ran.stderr == "yamcs-archive: interrupted: sim; nothing was changed\n"

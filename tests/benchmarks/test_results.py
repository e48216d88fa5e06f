"""Results become tables, verdicts, JSON and plots; wrong answers are shown, and no result is lost."""

from itertools import groupby
from pathlib import Path

import msgspec
import pytest

from benchmarks import __main__ as program
from benchmarks import keep
from benchmarks.jobs import Job, Outcome, Result
from benchmarks.measures import module
from benchmarks.options import EVENTS_MIN
from benchmarks.page import PAGE, RESULTS, current
from benchmarks.plan import FULL, QUICK, plan
from benchmarks.report import Document, Run, from_json, to_text
from benchmarks.runner import run_all
from benchmarks.targets import TARGETS, standings

_CASE = "in order, batches of 10,000"


def _result(
    contender: str,
    *rates: float,
    digest: str = "d",
    measure: str = "ingest",
    case: str = _CASE,
    repeats: int = 1,
) -> Result:
    job = Job(measure=measure, case=case, contender=contender, events=1, repeats=repeats)
    outcomes = [
        Outcome(
            figures={"events_per_s": rate, "bytes_per_event": 10.0},
            digest=digest,
            notes={"durability": "sync"},
        )
        for rate in rates
    ]
    return Result(job=job, outcomes=outcomes, expected_digest="d")


def _document(*results: Result, **machine: str) -> Document:
    run = Run("2026-01-01T00:00:00Z", "python -m benchmarks", {"revision": "abc"})
    return Document({"cores": "2"} | machine, {"bulk": 1}, [run], list(results))


def test_verdicts_follow_from_medians_and_for_sizes_less_is_better() -> None:
    for ours, value, verdict in ((100, 1, "not met"), (200, 2, "met"), (400, 4, "aim met")):
        found = standings([_result("archive", 1, ours, 10**6), _result("sqlite", 100)])
        assert (found[0].value, found[0].verdict) == (value, verdict)
    verdicts = {standing.target.what: standing.verdict for standing in found}
    assert verdicts["bytes per event / SQLite"] == "not met"  # the same size is too much
    assert verdicts["full scan to events / SQLite"] == "open"  # it was not measured


def test_every_target_refers_to_a_case_of_the_full_plan() -> None:
    planned = {
        (job.measure, job.case, job.contender)
        for job in plan(FULL, scale_millions=100, yamcs=True, batches=True)
    }
    figures = [figure for target in TARGETS for figure in (target.figure, target.base) if figure is not None]
    missing = {(f.measure, f.case, f.contender) for f in figures} - planned
    assert not missing


def test_the_text_has_medians_spreads_targets_and_notes_and_ends_with_wrong_answers() -> None:
    right = [_result("archive", 90, 100, 120), _result("sqlite", 50)]
    text = to_text(_document(*right))
    assert "100 ±15%" in text
    assert "durability sync" in text
    assert "ingest, batches of 10,000 / SQLite" in text
    assert text.splitlines()[-1] == "All runs gave the right answers."
    text = to_text(_document(*right, _result("rocksdb", 10**9, digest="other")))
    assert text.splitlines()[-1] == f"WRONG ANSWERS: ingest, {_CASE}: rocksdb"


def test_plots_are_drawn_for_the_measured_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.plots import draw  # noqa: PLC0415  # matplotlib is optional

    scaled = _result("archive", 1, measure="scale", case="2 million")
    series = {"rate_millions": [1.0, 2.0], "events_per_s": [9.0, 8.0], "mark_millions": [1.0, 2.0]}
    asked = {figure: [1.0, 1.0] for figure in ("newest_100_ms", "rare_source_ms", "open_ms")}
    outcome = Outcome(figures={}, series=series | asked)
    document = _document(_result("archive", 1, 2), Result(job=scaled.job, outcomes=[outcome]))
    drawn = draw(document, tmp_path / "plots")
    assert [path.name for path in drawn] == ["ingest-10000.png", "size.png", "scale.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_runs_take_turns_one_that_fails_says_why_and_no_files_are_left(tmp_path: Path) -> None:
    jobs = [
        Job(measure="ingest", case="small", contender=contender, events=50, batch_events=50, repeats=2)
        for contender in ("archive", "nosuch", "sqlite")
    ]
    said: list[str] = []
    results = list(run_all(jobs, tmp_path, said.append))
    assert [(result.job.contender, len(result.outcomes)) for result in results] == [
        *(("archive", 1), ("nosuch", 0), ("sqlite", 1)),
        *(("archive", 2), ("sqlite", 2)),
    ]
    failed = results[1]
    assert [result.right for result in results] == [True, False, True, True, True]
    assert "KeyError: 'nosuch'" in failed.failure
    assert "KeyError: 'nosuch'" in to_text(_document(*results))
    assert any(line.startswith("  nosuch FAILED: ") for line in said)
    assert not list(tmp_path.iterdir())


def test_the_page_with_the_figures_is_that_of_the_results() -> None:
    root = Path(__file__).parent.parent.parent
    if not (root / RESULTS).exists():
        pytest.skip("no results are committed")
    assert (root / PAGE).read_text() == current(root), "run python -m benchmarks.page"


def test_results_take_the_place_of_those_of_the_same_job_in_the_order_of_the_plan() -> None:
    cases = list(dict.fromkeys(job.case for job in plan(QUICK, only=["ingest"])))
    late, early = (_result("archive", 1, case=cases[place]) for place in (3, 0))
    document = keep.merged(keep.merged(_document(), [late]), [early])
    assert [result.job.case for result in document.results] == [cases[0], cases[3]]
    again = keep.merged(document, [_result("archive", 7, case=cases[3])])
    assert [result.values("events_per_s") for result in again.results] == [[1], [7]]


def test_a_case_is_missing_until_all_its_contenders_have_every_run() -> None:
    whole = [_result("archive", 1, 1, case="a", repeats=2), _result("sqlite", 1, 1, case="a", repeats=2)]
    whole.append(_result("archive", 1, case="b"))
    jobs = [result.job for result in whole]
    assert keep.missing(_document(*whole), jobs) == []
    assert keep.missing(_document(*whole[1:]), jobs) == jobs[:2]
    cut = _result("archive", 1, case="a", repeats=2)
    assert keep.missing(_document(cut, *whole[1:]), jobs) == jobs[:2]
    wrong = _result("archive", 1, case="b", digest="other")
    assert keep.missing(_document(*whole[:2], wrong), jobs) == jobs[2:]


def test_the_program_prints_tables_writes_its_results_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--quick", "--events", "300", "--only", "memory"]
    assert program.main(arguments) == 0
    said = capsys.readouterr()
    assert "peak of anonymous memory" in said.out
    assert said.out.splitlines()[-1] == "All runs gave the right answers."
    (output,) = tmp_path.iterdir()
    assert said.err.splitlines()[-1] == f"The results are in {output}"
    assert not [path for path in output.iterdir() if path.is_dir()]
    arguments += ["--output", str(output)]
    monkeypatch.setattr(program, "run_all", lambda jobs, *_: [pytest.fail("measured again") for _ in jobs])
    assert program.main([*arguments, "--resume"]) == 0
    document = from_json((output / keep.FILE).read_bytes())
    assert {result.job.measure for result in document.results} == {"memory"}
    assert keep.opened(output, document).runs == [*document.runs] * 2
    assert [run.command for run in document.runs] == [
        "python -m benchmarks --events 300 --only memory --quick"
    ]
    assert program.main([*arguments, "--events", "400"]) == 1
    assert "bulk was 300, is 400" in capsys.readouterr().err
    keep.write(_document(), output)
    with pytest.raises(keep.OtherResultsError, match="cores was 2, is 4; kernel was not there, is Linux"):
        keep.opened(output, _document(cores="4", kernel="Linux"))
    (output / keep.FILE).write_text("{}")
    assert program.main(arguments) == 1
    assert "not what this harness writes" in capsys.readouterr().err


def test_a_command_line_that_makes_no_sense_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--only", "scale"]) == 2
    assert "--only scale needs --scale N" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        program.main(["--events", "99"])
    assert "must be 100 or more" in capsys.readouterr().err


def test_a_plan_names_measures_that_exist_and_keeps_the_jobs_of_a_case_together() -> None:
    for sizes in (QUICK, FULL, FULL.scaled(FULL.bulk), QUICK.scaled(EVENTS_MIN)):
        jobs = plan(sizes, scale_millions=100, yamcs=True, batches=True)
        assert all(module(job.measure).reference for job in jobs)
        assert all(job.events >= job.threads for job in jobs if job.batch_events == 1)
        cases = [key for key, _ in groupby(jobs, key=lambda job: (job.measure, job.case))]
        assert len(cases) == len(set(cases))
        for _, group in groupby(jobs, key=lambda job: (job.measure, job.case)):
            assert len({msgspec.structs.replace(job, contender="") for job in group}) == 1
    assert FULL.scaled(FULL.bulk) == FULL
    assert QUICK.scaled(EVENTS_MIN).rare_every < QUICK.scaled(EVENTS_MIN).bulk == EVENTS_MIN
    assert {job.measure for job in plan(QUICK, only=["queries"])} == {"queries"}

"""The harness as its users start it: what it writes where, and that nothing that was measured is lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks import __main__ as program
from benchmarks import keep, processes
from benchmarks.jobs import Job, Outcome, Result
from benchmarks.measures import NAMES
from benchmarks.plan import FULL, QUICK, plan
from benchmarks.processes import ROOT, command
from benchmarks.report import Document, Run, from_json
from yamcs_archive.cli.bench import EVENTS_MIN, MEASURES

_WAIT_S = 60


def _document(*results: Result, **machine: str) -> Document:
    return Document({"cores": "2"} | machine, {"bulk": 1}, [Run("now", "bench")], list(results))


def _result(case: str, contender: str = "archive", *, rate: float = 1, repeats: int = 1) -> Result:
    job = Job(measure="ingest", case=case, contender=contender, events=1, repeats=repeats)
    return Result(job=job, outcomes=[Outcome(figures={"events_per_s": rate})])


def test_the_program_prints_tables_and_writes_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert program.main(["--quick", "--events", "300", "--only", "memory"]) == 0
    said = capsys.readouterr()
    assert "peak of anonymous memory" in said.out
    assert "1/1 archive" in said.err
    (output,) = tmp_path.iterdir()
    assert said.err.splitlines()[-1] == f"The results are in {output}"
    document = from_json((output / keep.FILE).read_bytes())
    assert {result.job.measure for result in document.results} == {"memory"}
    assert document.runs[0].command == "python -m benchmarks --events 300 --only memory --quick"
    assert not [path for path in output.iterdir() if path.is_dir()]


def test_directories_that_are_not_there_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "run_all", lambda jobs, scratch, say: iter(()))
    places = [tmp_path / "results" / "new", tmp_path / "scratch" / "new"]
    arguments = ["--quick", "--only", "memory", "--output", str(places[0]), "--scratch", str(places[1])]
    assert program.main(arguments) in (0, 1)
    assert all(place.is_dir() for place in places)


def test_what_is_missing_is_measured_and_the_rest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--quick", "--events", "300", "--only", "memory", "--output", str(tmp_path)]
    measured: list[list[str]] = []

    def measure(jobs: list[Job], *_: object) -> list[Result]:
        measured.append([job.contender for job in jobs])
        return [Result(job=job, outcomes=[Outcome(figures={"peak_mib": 1})]) for job in jobs]

    monkeypatch.setattr(program, "run_all", measure)
    for more in ([], ["--resume"], []):
        assert program.main([*arguments, *more]) == 0
    assert measured[1] == []
    assert measured[0] == measured[2] != []
    capsys.readouterr()
    assert program.main(["--quick", "--events", "400", "--output", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "bulk was 300, is 400" in said
    assert said.count("\n") == 1


def test_scaling_alone_needs_to_be_told_how_far(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--only", "scale"]) == 2
    assert "--scale" in capsys.readouterr().err


def test_results_take_the_place_of_those_of_the_same_job_in_the_order_of_the_plan() -> None:
    cases = list(dict.fromkeys(job.case for job in plan(QUICK, only=["ingest"])))
    late, early = _result(cases[3]), _result(cases[0])
    document = keep.merged(keep.merged(_document(), [late]), [early])
    assert [result.job.case for result in document.results] == [cases[0], cases[3]]
    again = keep.merged(document, [_result(cases[3], rate=7)])
    assert [result.values("events_per_s") for result in again.results] == [[1], [7]]


def test_a_case_is_missing_until_all_its_contenders_have_every_run() -> None:
    jobs = [_result("a", name, repeats=2).job for name in ("archive", "sqlite")] + [_result("b").job]
    whole = [Result(job=job, outcomes=_result("a").outcomes * job.repeats) for job in jobs]
    assert keep.missing(_document(*whole), jobs) == []
    assert keep.missing(_document(*whole[1:]), jobs) == jobs[:2]
    cut = msgspec.structs.replace(whole[0], outcomes=whole[0].outcomes[:1])
    assert keep.missing(_document(cut, *whole[1:]), jobs) == jobs[:2]
    wrong = msgspec.structs.replace(whole[2], expected_digest="other")
    assert keep.missing(_document(*whole[:2], wrong), jobs) == jobs[2:]


def test_results_of_another_machine_or_none_of_ours_are_refused(tmp_path: Path) -> None:
    keep.write(_document(_result("a")), tmp_path)
    assert len(keep.opened(tmp_path, _document()).runs) == 2
    for other in (_document(cores="4"), _document(kernel="Linux")):
        with pytest.raises(
            keep.OtherResultsError, match=r"(cores was 2, is 4|kernel was not there, is Linux)"
        ):
            keep.opened(tmp_path, other)
    (tmp_path / keep.FILE).write_text("{}")
    with pytest.raises(keep.OtherResultsError, match="not what this harness writes"):
        keep.opened(tmp_path, _document())


def test_sizes_keep_their_proportions_and_every_thread_gets_an_event() -> None:
    assert FULL.scaled(FULL.bulk) == FULL
    least = QUICK.scaled(EVENTS_MIN)
    assert least.rare_every < least.bulk == EVENTS_MIN
    assert all(job.events >= job.threads for job in plan(least, only=["ingest"]) if job.batch_events == 1)


def test_the_options_offer_every_measure() -> None:
    assert MEASURES == NAMES


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_run_that_is_interrupted_keeps_what_it_measured_and_leaves_no_process(
    number: signal.Signals, tmp_path: Path
) -> None:
    arguments = ["--only", "ingest", "--repeats", "1", "--events", "30000", "--output", tmp_path]
    with subprocess.Popen(
        command("benchmarks", *arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as harness:
        give_up = time.monotonic() + _WAIT_S
        while not (tmp_path / keep.FILE).exists():
            assert harness.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.01)
        harness.send_signal(number)
        _, said = harness.communicate(timeout=_WAIT_S)
    assert harness.returncode == 130, said
    assert said.splitlines()[-1].startswith("Interrupted; what was measured")
    results = from_json((tmp_path / keep.FILE).read_bytes()).results
    assert results
    assert all(result.right for result in results)
    assert [path.name for path in tmp_path.iterdir()] == [keep.FILE]
    give_up = time.monotonic() + _WAIT_S
    while any(os.fsencode(tmp_path) in line for line in _command_lines()):  # the kernel takes its time
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_an_interrupt_while_a_child_is_started_ends_that_child(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)  # a handler runs at the latest here

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        processes.run([sys.executable, "-c", "import time; time.sleep(60)"], b"")
    assert [child.returncode for child in started] == [-signal.SIGTERM]


def _command_lines() -> Iterator[bytes]:
    """Yield the command line of every process."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            yield path.read_bytes()

"""The harness on small input: contenders give the same answers, measures run, and no result is lost.

No time is asserted.
"""

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
from benchmarks import keep, load, processes, reader
from benchmarks.contenders import EMBEDDED, factory, missing_package, yamcs
from benchmarks.contenders.base import Contender
from benchmarks.contenders.raw_lmdb import RawLmdb
from benchmarks.jobs import Job
from benchmarks.measures import ingest, module, queries, reading, scale
from benchmarks.processes import ROOT, command
from benchmarks.reference import Reference
from benchmarks.report import _SHOWN as SHOWN
from benchmarks.report import from_json
from benchmarks.servers import serving
from benchmarks.workload import ABSENT_SOURCE, ABSENT_TEXT, RARE_SEVERITY, RARE_SOURCE, Mix, Workload
from yamcs_archive import Event, Severity

_WAIT_S = 60
_WORKLOAD = Workload(1500, Mix.LATE, rare_every=300)


def _job(measure: str, contender: str, **more: object) -> Job:
    job = Job(measure=measure, case="small", contender=contender, events=300, batch_events=100, rare_every=50)
    if package := missing_package(job):
        pytest.skip(f"{package} is not installed")
    return msgspec.structs.replace(job, **more)


_POSTS: dict[str, object] = {"batch_events": 1, "connections": 4, "warm_up": 20}
_RUNS: list[tuple[str, str, dict[str, object]]] = [
    *[("ingest", contender, {}) for contender in EMBEDDED],
    ("ingest", "archive", {"threads": 4, "batch_events": 10}),
    ("ingest", "archive", {"threads": 4, "batch_events": 1, "events": 60}),
    ("ingest", "archive", {"batch_events": 1, "events": 60, "single": True}),
    ("ingest", "sqlite", {"batch_events": 1, "events": 60, "single": True}),
    ("ingest", "archive", {"mix": Mix.LATE}),
    ("ingest", "archive", {"mix": Mix.SHUFFLED}),
    ("ingest", "archive", {"stream": True}),
    *[("queries", contender, {}) for contender in ("archive", "sqlite", "sqlite indexed", "rocksdb")],
    ("memory", "archive", {"big_every": 100}),
    ("scale", "archive", {"events": 30_000, "batch_events": 10_000, "rare_every": 1000}),
    ("reading", "archive", {"encoding": "rows", "connections": 1}),
    ("http", "archive", _POSTS | {"encoding": "protobuf"}),
]
_LONG_RUNS: list[tuple[str, str, dict[str, object]]] = [
    ("serving", "archive", {"events": 20}),
    ("http", "archive", _POSTS | {"encoding": "json"}),
    ("http", "sqlite", _POSTS | {"encoding": "json"}),
    ("http", "sqlite", _POSTS | {"encoding": "protobuf"}),
]
_NOT_ALWAYS = {"latency_us_p50", "latency_us_p99", "bytes_per_event"}
"""Figures that some runs of a measure lack: a stream has no latency, and a served store no own size."""


@pytest.mark.parametrize(
    ("measure", "contender", "more"),
    [*_RUNS, *(pytest.param(*run, marks=pytest.mark.long) for run in _LONG_RUNS)],
    ids=str,
)
def test_a_measure_runs_and_its_digest_is_that_of_the_workload(
    measure: str, contender: str, more: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_TIMES_MAX", 2)
    monkeypatch.setattr(reading, "_PAGE_TIMES", 3)
    monkeypatch.setattr(scale, "MILLION", 10_000)
    job, measured = _job(measure, contender, **more), module(measure)
    if hasattr(measured, "prepare"):
        measured.prepare(job, tmp_path)
    outcome = measured.run(job, tmp_path)
    assert outcome.digest == measured.reference(job)
    assert set(SHOWN[measure]) - set(outcome.figures) <= _NOT_ALWAYS
    assert all(value > 0 for value in outcome.figures.values())
    assert all(len(values) == 3 for values in outcome.series.values())


def _contender(name: str, directory: Path) -> Contender[Any]:
    _job("ingest", name)
    return factory(name)(directory)


def _append(contender: Contender[Any], events: list[Event]) -> None:
    for batch in ingest.cut(events, 100):
        contender.append(contender.ready(batch))


@pytest.mark.parametrize("name", EMBEDDED)
def test_events_come_back_whole_and_in_order_after_opening_again(name: str, tmp_path: Path) -> None:
    events = [
        *Workload(200).events(),
        Event("°", "ΔV", Severity.ERROR, "", 2**57, -1, 5, "me", b"\xa2\x06\x00", {"a": "b"}),
        Event("plain", "ΔV", Severity.INFO, None, 2**57 + 1, 2**31 - 1, 6),
    ]
    with _contender(name, tmp_path) as contender:
        _append(contender, events)
        contender.settle()
        contender.rest()
    with _contender(name, tmp_path) as contender:
        assert list(contender.scan()) == events
        assert contender.durability
        assert contender.versions()


def _kept(events: list[Event]) -> list[Event]:
    """Return the events without reception times; a contender whose put overwrites takes that of a retry."""
    return [msgspec.structs.replace(event, reception_time=None) for event in events]


@pytest.mark.parametrize("name", [name for name in EMBEDDED if name != "raw lmdb append"])
def test_answers_are_those_of_the_reference(name: str, tmp_path: Path) -> None:
    events = _WORKLOAD.events()
    reference = Reference(events)
    asked = [(None, None), (RARE_SOURCE, None), (ABSENT_SOURCE, None), (None, RARE_SEVERITY)]
    with _contender(name, tmp_path) as contender:
        _append(contender, events)
        for source, severity in [*asked, (None, Severity.DISTRESS)]:
            found = contender.newest(7, source=source, min_severity=severity)
            assert _kept(found) == _kept(reference.newest(7, source=source, min_severity=severity))
        for text in (ABSENT_TEXT, "VIRTUAL channel"):
            assert _kept(contender.find_text(text)) == _kept(reference.find_text(text))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("uvicorn", "rocksdict"):
        monkeypatch.setitem(sys.modules, name, None)
    jobs = [("ingest", "archive"), ("http", "archive"), ("ingest", "rocksdb"), ("http", "yamcs")]
    needed = [missing_package(Job(measure=m, case="", contender=c, events=1)) for m, c in jobs]
    assert needed == [None, "uvicorn", "rocksdict", None]


def test_an_error_in_a_thread_of_ingest_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no such disk")

    monkeypatch.setattr(ingest, "_warm_up", lambda contender, _: contender.close())
    monkeypatch.setattr(RawLmdb, "append", fail)
    with pytest.raises(OSError, match="no such disk"):
        ingest.run(_job("ingest", "raw lmdb", threads=3), tmp_path)


def test_readers_and_loads_end_at_an_answer_that_is_no_200(tmp_path: Path) -> None:
    job = _job("http", "archive", batch_events=1, connections=2)
    with serving("archive", tmp_path / "data") as port:
        asked = reader.Asked("GET", "/api/archive/nosuch/events", "*/*", 1)
        for read in (reader.read, reading._whole, reading._read):
            with pytest.raises(RuntimeError, match="404"):
                read(port, asked)
        with pytest.raises(load.BadAnswerError, match="404"):
            load.drive(port, load.requests_of(job, job.workload().events(), "/api/archive/nosuch/events"), 2)


def test_rows_for_a_yamcs_server_survive_the_way_there_and_back() -> None:
    events = Workload(500).events()
    read = list(yamcs.events_in(yamcs.row_stream(events)))
    whole_ms = [
        msgspec.structs.replace(e, reception_time=(e.reception_time or 0) // 1000 * 1000) for e in events
    ]
    assert read == whole_ms


def test_the_program_prints_tables_and_writes_its_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert program.main(["--quick", "--events", "300", "--only", "memory"]) == 0
    said = capsys.readouterr()
    assert "peak of anonymous memory" in said.out
    assert said.out.splitlines()[-1] == "All runs gave the right answers."
    (output,) = tmp_path.iterdir()
    assert said.err.splitlines()[-1] == f"The results are in {output}"
    document = from_json((output / keep.FILE).read_bytes())
    assert {result.job.measure for result in document.results} == {"memory"}
    assert document.runs[0].command == "python -m benchmarks --events 300 --only memory --quick"
    assert not [path for path in output.iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "scale"], "--only scale needs --scale N"),
        (["--only", "nosuch"], "nosuch"),
        (["--events", "99"], "must be 100 or more"),
        (["--repeats", "0"], "--repeats"),
    ],
    ids=str,
)
def test_a_command_line_that_makes_no_sense_is_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = program.main(arguments)
    except SystemExit as leaving:
        status = leaving.code
    assert status == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_an_interrupted_run_keeps_its_results_and_leaves_no_process(
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

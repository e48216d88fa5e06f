"""The harness on small input: measures run, contenders give the same answers, and no result is lost.

A run compares its answers with the right ones, so most of what may break in the harness shows when it is run:
here it is, once for each measure and contender. No time is asserted.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
import pytest

from benchmarks import keep, processes, runner
from benchmarks.contenders import COLUMNAR, EMBEDDED, factory, missing_package, yamcs
from benchmarks.digest import digest
from benchmarks.jobs import Job, Outcome
from benchmarks.measures import ingest, module, queries, reading, scale
from benchmarks.measures.logging import PACED
from benchmarks.processes import ROOT, command
from benchmarks.reference import Reference
from benchmarks.report import _SHOWN as SHOWN
from benchmarks.report import from_json
from benchmarks.workload import ABSENT_SOURCE, ABSENT_TEXT, RARE_SEVERITY, RARE_SOURCE, Mix, Workload
from tests.child import stopping
from yamcs_archive import Event, Severity

_WAIT_S = 60


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
    *[
        ("queries", contender, {})
        for contender in ("archive", "sqlite", "sqlite indexed", "rocksdb", *COLUMNAR)
    ],
    ("memory", "archive", {"big_every": 100}),
    *[("tables", contender, {}) for contender in ("archive", "duckdb", "sqlite")],
    ("table_memory", "archive", {}),
    *[("files", "archive", dict[str, object](encoding=end)) for end in ("jsonl.zst", "csv", "parquet")],
    ("scale", "archive", {"events": 30_000, "batch_events": 10_000, "rare_every": 100}),
    ("reading", "archive", {"encoding": "rows", "connections": 1}),
    ("http", "archive", _POSTS | {"encoding": "protobuf"}),
    *[("logging", contender, {}) for contender in ("null", "queue", "file", "archive")],
    ("logging", "archive", {"case": PACED}),
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


@pytest.mark.parametrize("name", EMBEDDED)
def test_a_contender_keeps_events_whole_and_answers_as_the_reference(name: str, tmp_path: Path) -> None:
    _job("ingest", name)  # skipped where its package is not installed
    only_rising = name == "raw lmdb append"
    whole = [
        Event("°", "ΔV", Severity.ERROR, "", 2**57, -1, 5, "me", b"\xa2\x06\x00", {"a": "b"}),
        Event("plain", "ΔV", Severity.INFO, None, 2**57 + 1, 2**31 - 1, 6),
    ]
    events = Workload(1500, Mix.IN_ORDER if only_rising else Mix.LATE, rare_every=300).events() + whole
    with factory(name)(tmp_path) as contender:
        for batch in ingest.cut(events, 100):
            contender.append(contender.ready(batch))
        contender.settle()
        contender.rest()
    reference = Reference(events)
    with factory(name)(tmp_path) as contender:
        assert list(contender.scan())[-2:] == whole
        assert _kept(contender.scan()) == _kept(reference.scan())
        for source in (None, RARE_SOURCE, ABSENT_SOURCE):
            assert _kept(contender.newest(7, source=source)) == _kept(reference.newest(7, source=source))
        for severity in (RARE_SEVERITY, Severity.DISTRESS):
            found = contender.newest(7, min_severity=severity)
            assert _kept(found) == _kept(reference.newest(7, min_severity=severity))
        for text in (ABSENT_TEXT, "VIRTUAL channel"):
            assert _kept(contender.find_text(text)) == _kept(reference.find_text(text))
        assert contender.durability
        assert contender.versions()


def _kept(events: Iterable[Event]) -> list[Event]:
    """Return the events without reception times; a contender whose put overwrites takes that of a retry."""
    return [msgspec.structs.replace(event, reception_time=None) for event in events]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("uvicorn", "rocksdict"):
        monkeypatch.setitem(sys.modules, name, None)
    jobs = [("ingest", "archive"), ("http", "archive"), ("ingest", "rocksdb"), ("http", "yamcs")]
    needed = [missing_package(Job(measure=m, case="", contender=c, events=1)) for m, c in jobs]
    assert needed == [None, "uvicorn", "rocksdict", None]


def test_rows_for_a_yamcs_server_survive_the_way_there_and_back() -> None:
    events = Workload(500).events()
    read = list(yamcs.events_in(yamcs.row_stream(events)))
    whole_ms = [
        msgspec.structs.replace(e, reception_time=(e.reception_time or 0) // 1000 * 1000) for e in events
    ]
    assert read == whole_ms


def test_the_workload_has_the_documented_shares() -> None:
    """A fault here would make no answer wrong; it would change what the figures mean."""
    ordered, late, shuffled = (Workload(20_000, mix, rare_every=5_000).events() for mix in Mix)
    assert all(None not in (*event.key, event.reception_time) for event in ordered)
    sources = Counter(event.source for event in ordered)
    assert len(sources) > 150
    assert sources.most_common(1)[0][1] > 3000
    assert 80 < mean(len(event.message) for event in ordered) < 90
    assert sources[RARE_SOURCE] == sum(event.severity >= RARE_SEVERITY for event in ordered) == 4
    assert sources[ABSENT_SOURCE] == sum(ABSENT_TEXT in event.message for event in ordered) == 0
    assert shuffled != ordered == sorted(shuffled, key=lambda event: event.key)
    newest = accumulate((event.key.generation_time for event in late), max)
    behind = sum(
        event.key.generation_time < first - 59_000_000 for first, event in zip(newest, late, strict=True)
    )
    assert 150 < behind < 270
    assert len({event.key for event in late}) == len(late) - 20 == 20_000
    sizes = [len(event.message.encode()) for event in Workload(250, big_every=100).events()]
    assert [index for index, size in enumerate(sizes) if size > (1 << 20) - 200] == [0, 100, 200]
    assert max(sizes) <= 1 << 20


def test_a_digest_tells_apart_content_order_and_number_but_not_reception_times() -> None:
    one, other = Event("a", generation_time=1, seq_number=0), Event("b", generation_time=1, seq_number=1)
    distinct = [[], [one], [one, one], [one, other], [other, one]]
    assert len({digest(events) for events in distinct}) == len(distinct)
    assert digest([one]) == digest([msgspec.structs.replace(one, reception_time=9)])


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_an_interrupted_run_keeps_its_results_and_leaves_no_process(
    number: signal.Signals, tmp_path: Path
) -> None:
    arguments = ["--only", "ingest", "--repeats", "1", "--events", "30000", "--output", tmp_path]
    with stopping(
        subprocess.Popen(
            command("benchmarks", *arguments),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
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


def test_an_interrupt_before_a_run_has_a_directory_is_an_interrupt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def child(action: str, *_: object) -> Outcome:
        if action == "run":
            raise KeyboardInterrupt
        return Outcome(figures={})

    monkeypatch.setattr(runner, "_child", child)
    with pytest.raises(KeyboardInterrupt):
        list(runner.run_all([_job("ingest", "archive")], tmp_path, print))
    assert not list(tmp_path.iterdir())


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

"""Every measure runs on small input and its digest is the right one; no time is asserted."""

from dataclasses import replace
from itertools import groupby
from pathlib import Path

import msgspec
import pytest

from benchmarks import load, reader
from benchmarks.contenders import EMBEDDED, missing_package, yamcs
from benchmarks.contenders.raw_lmdb import RawLmdb
from benchmarks.jobs import Job
from benchmarks.measures import http, ingest, memory, module, queries, reading, scale
from benchmarks.plan import FULL, QUICK, plan
from benchmarks.report import _SHOWN as SHOWN
from benchmarks.servers import serving
from benchmarks.workload import Mix, Workload


def _job(measure: str, contender: str, **more: object) -> Job:
    job = Job(measure=measure, case="small", contender=contender, events=300, batch_events=100, rare_every=50)
    if package := missing_package(job):
        pytest.skip(f"{package} is not installed")
    return msgspec.structs.replace(job, **more)


@pytest.mark.parametrize("contender", EMBEDDED)
def test_ingest(contender: str, tmp_path: Path) -> None:
    job = _job("ingest", contender)
    outcome = ingest.run(job, tmp_path)
    assert outcome.digest == ingest.reference(job)
    assert set(outcome.figures) >= {"events_per_s", "bytes_per_event", "latency_us_p99"}
    assert all(value > 0 for value in outcome.figures.values())


@pytest.mark.parametrize(
    "more",
    [
        {"threads": 4, "batch_events": 10},
        {"threads": 4, "batch_events": 1, "events": 60},
        {"threads": 4, "batch_events": 1, "events": 60, "single": True},
        {"mix": Mix.LATE},
        {"mix": Mix.SHUFFLED},
        {"stream": True},
    ],
    ids=str,
)
def test_ingest_of_the_archive_in_every_way(more: dict[str, object], tmp_path: Path) -> None:
    job = _job("ingest", "archive", **more)
    assert ingest.run(job, tmp_path).digest == ingest.reference(job)


def test_an_error_in_a_thread_of_ingest_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_warm_up", lambda contender, _: contender.close())

    def fail(*_: object) -> None:
        raise OSError("no such disk")

    monkeypatch.setattr(RawLmdb, "append", fail)
    with pytest.raises(OSError, match="no such disk"):
        ingest.run(_job("ingest", "raw lmdb", threads=3), tmp_path)


@pytest.mark.parametrize("contender", ["archive", "sqlite", "sqlite indexed", "rocksdb"])
def test_queries(contender: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_TIMES_MAX", 2)
    job = _job("queries", contender)
    queries.prepare(job, tmp_path)
    outcome = queries.run(job, tmp_path)
    assert outcome.digest == queries.reference(job)
    assert set(outcome.figures) >= {"open_ms", "scan_events_per_s", *queries.QUESTIONS}


def test_memory(tmp_path: Path) -> None:
    job = _job("memory", "archive", big_every=100)
    outcome = memory.run(job, tmp_path)
    assert outcome.digest == memory.reference(job)
    assert outcome.figures["peak_mib"] >= outcome.figures["before_mib"]


@pytest.mark.long
def test_serving(tmp_path: Path) -> None:
    job = _job("serving", "archive", events=20)
    outcome = module("serving").run(job, tmp_path)
    assert outcome.digest == module("serving").reference(job)
    assert set(outcome.figures) == set(SHOWN["serving"])
    assert all(0 < value <= outcome.figures["peak_mib"] for value in outcome.figures.values())


def test_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "MILLION", 10_000)
    monkeypatch.setattr(queries, "_TIMES_MAX", 1)
    job = _job("scale", "archive", events=30_000, batch_events=10_000, rare_every=1000)
    outcome = scale.run(job, tmp_path)
    assert outcome.digest == scale.reference(job)
    assert outcome.series["rate_millions"] == [1, 2, 3]
    assert outcome.series["mark_millions"] == [1, 2, 3]
    assert outcome.figures["last_to_second"] > 0


@pytest.mark.parametrize(
    ("contender", "encoding"),
    [
        ("archive", "protobuf"),
        pytest.param("archive", "json", marks=pytest.mark.long),
        pytest.param("sqlite", "json", marks=pytest.mark.long),
        pytest.param("sqlite", "protobuf", marks=pytest.mark.long),
    ],
)
def test_http(contender: str, encoding: str, tmp_path: Path) -> None:
    pytest.importorskip("granian")
    job = _job("http", contender, batch_events=1, connections=4, warm_up=20, encoding=encoding)
    outcome = http.run(job, tmp_path)
    assert outcome.digest == http.reference(job)
    assert outcome.figures["requests_per_s"] > 0


def test_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("granian")
    monkeypatch.setattr(reading, "_PAGE_TIMES", 3)
    job = _job("reading", "archive", encoding="rows", connections=1)
    reading.prepare(job, tmp_path)
    outcome = reading.run(job, tmp_path)
    assert outcome.digest == reading.reference(job)
    assert [int(count) for count in outcome.digest.split()][3:5] == [100, 100]
    assert all(value > 0 for value in outcome.figures.values())
    assert set(outcome.figures) == set(SHOWN["reading"])


def test_a_reader_says_when_an_answer_is_no_200(tmp_path: Path) -> None:
    pytest.importorskip("granian")
    job = _job("reading", "archive")
    reading.prepare(job, tmp_path)
    with serving("archive", tmp_path / "data") as port:
        asked = reader.Asked("GET", "/api/archive/nosuch/events", "*/*", 1)
        with pytest.raises(RuntimeError, match="404"):
            reader.read(port, asked)
        with pytest.raises(RuntimeError, match="404"):
            reading._whole(port, asked)
        with pytest.raises(RuntimeError, match="404"):
            reading._read(port, asked)


def test_rows_for_a_yamcs_server_survive_the_way_there_and_back() -> None:
    events = Workload(500).events()
    read = list(yamcs.events_in(yamcs.row_stream(events)))
    whole_ms = [
        msgspec.structs.replace(e, reception_time=(e.reception_time or 0) // 1000 * 1000) for e in events
    ]
    assert read == whole_ms


def test_a_load_ends_at_the_first_answer_that_is_not_a_200(tmp_path: Path) -> None:
    pytest.importorskip("granian")
    job = _job("http", "archive", batch_events=1, connections=2)
    with serving("archive", tmp_path / "data") as port, pytest.raises(load.BadAnswerError, match="404"):
        load.drive(port, load.requests_of(job, job.workload().events(), "/api/archive/nosuch/events"), 2)


def test_a_plan_names_measures_that_exist_and_keeps_the_jobs_of_a_case_together() -> None:
    for sizes in (QUICK, FULL):
        jobs = plan(sizes, scale_millions=100, yamcs=True, batches=True)
        assert all(module(job.measure).reference for job in jobs)
        cases = [key for key, _ in groupby(jobs, key=lambda job: (job.measure, job.case))]
        assert len(cases) == len(set(cases))
        for _, group in groupby(jobs, key=lambda job: (job.measure, job.case)):
            alike = {msgspec.structs.replace(job, contender="") for job in group}
            assert len(alike) == 1
    assert {job.measure for job in plan(QUICK, only=["queries"])} == {"queries"}
    assert plan(replace(QUICK, bulk=7), only=["queries"])[0].events == 7

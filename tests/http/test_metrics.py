"""``/metrics``: what it tells, at any size and in any state of the archive, and what it must not do."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parsed
from prometheus_client.samples import Sample

from tests.http.feeds import Answer, Feed, core_feed
from tests.http.test_api import error_of
from tests.http.test_readiness import room_of
from tests.storage.test_damage import damage
from yamcs_archive import Archive, ConflictError, Event, Instance, Options
from yamcs_archive.activity import MirrorLag
from yamcs_archive.errors import OutOfSpaceError
from yamcs_archive.event import as_stored
from yamcs_archive.http import collector
from yamcs_archive.http.application import Application
from yamcs_archive.http.limits import METRICS_INSTANCES_MAX
from yamcs_archive.http.observation import LiveState
from yamcs_archive.http.routes import PATHS
from yamcs_archive.http.wsgi import create_app
from yamcs_archive.results import Commit, MirrorState
from yamcs_archive.storage import lmdb_store

TEXT = "text/plain; version=0.0.4; charset=utf-8"
openmetrics: Any = openmetrics_parser.text_string_to_metric_families
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"


def samples(answer: Answer) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the samples of a scrape by name and labels, without the prefix."""
    assert answer.status == 200, answer.body
    families: Any = parsed(answer.body.decode())
    found: list[Sample] = [sample for family in families for sample in family.samples]
    named = {
        (one.name.removeprefix("yamcs_archive_"), tuple(sorted(one.labels.items()))): one.value
        for one in found
    }
    assert len(named) == len(found), "a sample is there twice"
    return named


def value(answer: Answer, name: str, **labels: str) -> float:
    return samples(answer)[name, tuple(sorted(labels.items()))]


def test_what_was_appended_is_told_by_every_server(send: Feed, sim: Instance) -> None:
    sim.append_many(Event(f"{n}", generation_time=n) for n in range(300))
    sim.settle()
    done = sim.append(Event("a", source="AOCS", seq_number=1))
    sim.append(done.event)
    with pytest.raises(ConflictError):
        sim.append(Event("b", source="AOCS", seq_number=1, generation_time=done.event.generation_time))
    answer = send("GET", "/metrics")
    assert answer.headers["content-type"] == TEXT
    found = {
        name: count for (name, labels), count in samples(answer).items() if ("instance", "sim") in labels
    }
    assert {name: found[name] for name in found if name.endswith("_total")} == {
        "events_written_total": 301,
        "duplicates_total": 1,
        "conflicts_total": 1,
        "expired_total": 0,
        "late_total": 300,
        "commits_failed_total": 0,
        "stale_readers_cleared_total": 0,
        "live_cut_off_total": 0,
    }
    assert (found["young_events"], found["blocks"]) == (1, 1)
    assert found["map_bytes"] > found["map_used_bytes"] > 0
    assert found["file_bytes"] > 0
    assert found["readers"] >= 1
    assert (found["commit_seconds_count"], found["batch_size_count"], found["batch_size_sum"]) == (2, 2, 301)
    assert found["commit_seconds_sum"] > 0
    assert value(answer, "batch_size_bucket", instance="sim", le="1.0") == 1
    assert value(answer, "batch_size_bucket", instance="sim", le="200.0") == 1
    assert value(answer, "batch_size_bucket", instance="sim", le="500.0") == 2
    assert (value(answer, "ready"), value(answer, "instances")) == (1, 1)
    assert value(answer, "disk_bytes") >= value(answer, "disk_free_bytes") > 0
    assert value(answer, "process_resident_memory_bytes") > 0


def test_the_form_is_the_one_that_is_asked_for(send: Feed) -> None:
    for accept, media in [
        ("", TEXT),
        ("*/*", TEXT),
        ("application/json", TEXT),
        ("text/plain;version=1.0.0", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        # As Prometheus 2 and 3 ask.
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
            OPENMETRICS,
        ),
        ("application/openmetrics-text;q=0.2,text/plain;q=0.3", TEXT),
        ("application/openmetrics-text;q=0", TEXT),
        # A version that no one knows is not repeated.
        ("application/openmetrics-text; version=9.9.9evil", OPENMETRICS),
        ("application/openmetrics-text; version=abc", OPENMETRICS),
        ('application/openmetrics-text; version="', TEXT),
    ]:
        answer = send("GET", "/metrics", headers={"Accept": accept} if accept else {})
        assert (answer.status, answer.headers["content-type"]) == (200, media), accept
        text = answer.body.decode()
        if media == OPENMETRICS:
            assert text.endswith("# EOF\n")
            assert "yamcs_archive_events_written" in {family.name for family in openmetrics(text)}
    head = send("HEAD", "/metrics")
    assert (head.status, head.body, head.headers["content-type"]) == (200, b"", TEXT)
    packed = send("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
    assert (packed.status, packed.headers["content-encoding"]) == (200, "gzip")
    assert "Accept-Encoding" in packed.headers["vary"]
    assert send("POST", "/metrics").status == 405


def test_requests_are_counted_by_route_and_code_whatever_clients_send(core: Feed) -> None:
    hostile = ['/api/archive/sim"}\n/nosuch', "/nosuch/\x00", "/%0Aevil 1", "/" + "x" * 5000]
    for path in hostile:
        core("GET", path)
    core("POST", "/api/archive/sim/events", '{"message": "a"}')
    core("POST", "/api/archive/sim/events/", '{"nosuch": "a"}')
    core("GET", '/api/archive/sim"}\n/events')
    core("GET", "/api/archive/nosuch/events")
    core("HEAD", "/api/archive/sim/events")
    core("PUT", "/healthz")
    core("BREW" * 100, "/healthz")
    found = {
        (dict(labels)["route"], dict(labels)["code"]): count
        for (name, labels), count in samples(core("GET", "/metrics")).items()
        if name == "http_requests_total"
    }
    events = "/api/archive/{instance}/events"
    assert found == {
        ("other", "404"): len(hostile),
        (events, "200"): 2,
        (events, "400"): 1,
        (events, "404"): 2,
        ("/healthz", "405"): 2,
    }
    assert {route for route, _ in found} <= {*PATHS, "other"}


def test_the_name_of_a_source_is_nowhere(core: Feed, sim: Instance) -> None:
    for source in ('"} 1\nevil_total 5\n# ', "evil{}", "\\", "e" * 255, "\u2028evil"):
        sim.append(Event("a", source=source))
    answer = core("GET", "/metrics")
    assert value(answer, "events_written_total", instance="sim") == 5
    assert b"evil" not in answer.body
    assert b"eee" not in answer.body


@contextmanager
def many(directory: Path, count: int) -> Iterator[Archive]:
    """An archive with that many instances, without threads of maintenance."""
    with Archive.open(directory, options=Options(maintenance=False, map_bytes=1 << 20)) as archive:
        for n in range(count):
            archive.instance(f"i{n}", create=True).append(Event("a"))
        yield archive


@pytest.mark.parametrize("count", [1, 2, 3])
def test_beyond_a_number_of_instances_there_are_sums(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert METRICS_INSTANCES_MAX == 100
    monkeypatch.setattr(collector, "METRICS_INSTANCES_MAX", 2)
    with many(tmp_path / "a", count) as archive:
        core = Application(archive)
        core.services.observation.live = lambda: LiveState(2, 7, {"i0": 1, "i1": 2}, {"i0": 3, "i1": 4})
        core.services.observation.mirrors = lambda: [MirrorLag("i0", 5.0, True), MirrorLag("i1", 9.0, False)]
        feed = core_feed(archive, core=core)
        answer = feed("GET", "/metrics")
        named = {dict(labels)["instance"] for _, labels in samples(answer) if "instance" in dict(labels)}
        assert named == (set() if count == 3 else {*(f"i{n}" for n in range(count)), "i0", "i1"})
        assert value(answer, "instances") == count
        if count < 3:
            assert value(answer, "events_written_total", instance="i0") == 1
            assert value(answer, "mirror_lag_seconds", instance="i1") == 9
            return
        assert value(answer, "events_written_total") == 3
        assert value(answer, "young_events") == 3
        assert value(answer, "commit_seconds_count") == 3
        assert value(answer, "batch_size_bucket", le="1.0") == 3
        assert (value(answer, "live_subscribers"), value(answer, "live_cut_off_total")) == (3, 7)
        assert (value(answer, "mirror_lag_seconds"), value(answer, "mirror_following")) == (9, 0)
        lines = len(answer.body.splitlines())
        monkeypatch.setattr(collector, "METRICS_INSTANCES_MAX", 0)
        assert len(feed("GET", "/metrics").body.splitlines()) <= lines + 1  # that scrape's own route


def test_a_sum_keeps_what_deleted_and_renamed_instances_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "METRICS_INSTANCES_MAX", 1)
    with many(tmp_path / "a", 4) as archive:
        feed = core_feed(archive)
        assert value(feed("GET", "/metrics"), "events_written_total") == 4
        archive.delete("i0", confirm="i0")
        archive.rename("i1", "other")
        assert value(feed("GET", "/metrics"), "events_written_total") == 4
        archive.instance("other").append(Event("b"))
        answer = feed("GET", "/metrics")
        assert (value(answer, "events_written_total"), value(answer, "young_events")) == (5, 4)
        assert value(answer, "commit_seconds_count") == 5


def test_a_scrape_opens_nothing_and_writes_nothing(tmp_path: Path) -> None:
    with many(tmp_path / "a", 3):
        pass
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        archive.instance("i1")
        feed = core_feed(archive)
        before = state_of(tmp_path / "a")
        for _ in range(3):
            answer = feed("GET", "/metrics")
        assert value(answer, "instances") == 1
        assert [instance.name for instance in archive.open_instances()] == ["i1"]
        assert state_of(tmp_path / "a") == before


@pytest.mark.parametrize(
    ("instances", "sources"), [(150, 300), pytest.param(10_000, 100_000, marks=pytest.mark.long)]
)
def test_a_scrape_has_as_many_lines_for_any_number_of_instances_and_sources(
    archive: Archive, sim: Instance, instances: int, sources: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.append_many(Event("a", source=f"S{n}", generation_time=n) for n in range(sources))
    feed = core_feed(archive)
    few = len(feed("GET", "/metrics").body.splitlines())

    def fail(*_: object) -> None:
        raise AssertionError("a scrape reads no sources")

    monkeypatch.setattr(lmdb_store, "read_sources", fail)
    # All on one store: ten thousand of their own would need more descriptors than most systems give.
    for n in range(instances - 1):
        archive._instances[f"i{n}"] = Instance(f"i{n}", sim._store, sim._options)
    try:
        answer = feed("GET", "/metrics")
    finally:
        for n in range(instances - 1):
            del archive._instances[f"i{n}"]
    assert value(answer, "instances") == instances
    assert value(answer, "events_written_total") == instances * sources
    assert value(answer, "young_events") + value(answer, "blocks") >= instances
    assert len(answer.body.splitlines()) == few + 1  # for the route of the first scrape


def state_of(directory: Path) -> dict[Path, tuple[int, int]]:
    """Return the size and time of change of all files, but for LMDB's table of readers."""
    files = [path for path in directory.rglob("*") if path.name != "lock.mdb"]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.mark.damaging
def test_a_scrape_works_in_every_state(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = core_feed(archive)
    other = archive.instance("other", create=True)
    other.append(Event("a"))

    def state() -> tuple[float, float, float]:
        answer = feed("GET", "/metrics")
        counted = value(answer, "events_written_total", instance="other")
        return value(answer, "ready"), value(answer, "instances_unreadable"), counted

    assert state() == (1, 0, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", room_of(0))
        assert state() == (0, 0, 1)
        assert value(feed("GET", "/metrics"), "disk_free_bytes") == 0
    shutil.rmtree(archive.path / "sim")
    assert state() == (0, 1, 1)
    assert ("young_events", (("instance", "sim"),)) not in samples(feed("GET", "/metrics"))
    shutil.rmtree(archive.path)
    assert state() == (0, 2, 1)
    assert ("disk_free_bytes", ()) not in samples(feed("GET", "/metrics"))
    archive.close()
    assert state() == (0, 2, 1)


@pytest.mark.damaging
def test_damage_does_not_stop_a_scrape(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(Event(f"{n}", source=f"S{n % 7}", generation_time=n) for n in range(1000))
    for database in ("sources", "commits", "blocks", "summaries"):
        damage(tmp_path / "a", database, -1, -1)
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        archive.instance("sim")
        answer = core_feed(archive)("GET", "/metrics")
    assert value(answer, "blocks", instance="sim") == 1
    assert value(answer, "instances_unreadable") == 0


def test_failed_commits_and_refusals_are_counted(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = core_feed(archive)

    def refuse(*_: object, **__: object) -> None:
        raise OutOfSpaceError("somewhere", "no space")

    with monkeypatch.context() as patch:
        patch.setattr(sim._store._writer._state, "refresh", refuse)  # type: ignore[attr-defined]  # as a medium does
        assert feed("POST", "/api/archive/sim/events", '{"message": "a"}').status == 507
        with pytest.raises(OutOfSpaceError):
            sim.append(Event("a"))
    answer = feed("GET", "/metrics")
    assert value(answer, "commits_failed_total", instance="sim") == 2
    assert value(answer, "http_requests_total", route="/api/archive/{instance}/events", code="507") == 1
    assert value(answer, "ready") == 0  # for ten seconds
    assert value(answer, "events_written_total", instance="sim") == 0


def test_a_long_look_is_told_again_for_a_while_and_a_short_one_is_not(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(collector, "monotonic", lambda: clock[0])
    application = Application(archive)
    feed = core_feed(archive, core=application)
    takes_s = [0.0]

    def live() -> LiveState:
        clock[0] += takes_s[0]
        return LiveState()

    application.services.observation.live = live

    def written() -> float:
        sim.append(Event("a"))
        return value(feed("GET", "/metrics"), "events_written_total", instance="sim")

    assert (written(), written()) == (1, 2)
    takes_s[0] = 0.05
    assert (written(), written()) == (3, 4)
    takes_s[0] = 0.5
    assert written() == 5
    assert written() == 5
    clock[0] += 9.9 - 0.5
    assert written() == 5
    clock[0] += 0.2
    assert written() == 8


def test_a_mirror_counts_what_it_takes_over(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        copy = archive.instance("copy", create=True)
        events = [
            as_stored(Event(f"{n}", generation_time=n, seq_number=n, reception_time=n)) for n in range(3)
        ]
        commits = [Commit(5, (events[0],), "1"), Commit(70_000_000, (events[1], events[2]), "2")]
        copy.take_over(commits, MirrorState("http://127.0.0.1:1", "sim", "2"))
        done = copy.activity()
    # Late by the clock of the source: 70 s after they were generated.
    assert (done.stored, done.late, done.commit_seconds.count, done.commit_events.total) == (3, 2, 1, 3)


def test_an_embedded_application_tells_them_too_but_not_without_the_package(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(archive)

    def ask() -> tuple[str, str]:
        status: list[str] = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics"}
        body = b"".join(app(environ, lambda said, _: status.append(said)))  # type: ignore[arg-type]
        return status[0], body.decode()

    assert ask()[0] == "200 OK"
    for name in [
        name for name in sys.modules if re.match(r"prometheus_client|yamcs_archive.http.collector", name)
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.setitem(sys.modules, "prometheus_client.core", None)
    status, body = ask()
    assert status == "501 Not Implemented"
    assert "pip install prometheus-client" in body
    error = core_feed(archive)("GET", "/metrics")
    assert "extra 'server'" in error_of(error, 501, "NotImplementedException")

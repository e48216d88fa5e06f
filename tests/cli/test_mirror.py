"""``mirror``: a copy in step, whichever side dies, and its end where the two cannot agree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.child import ROOT
from tests.cli.conftest import Run
from tests.server.serving import WAIT_S, Load, Served, post, serving
from yamcs_archive import Archive, Event, Severity
from yamcs_archive.errors import MirrorError

Told = list[tuple[int, tuple[Event, ...]]]


def told(data: Path) -> Told:
    """Every commit of an archive: when it was made, and its events, whole."""
    with Archive.open(data, readonly=True) as archive:
        return [(commit.time, commit.events) for commit in archive.instance("sim").commits()]


@contextmanager
def mirroring(url: str, copy: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "yamcs_archive", "mirror", url, "--data", str(copy), "--instance", "sim"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(WAIT_S)
        assert process.stderr is not None
        process.stderr.close()


def test_a_copy_has_every_field_and_every_commit_and_takes_nothing_else(
    run: Run, data: Path, tmp_path: Path
) -> None:
    with Archive.open(data) as archive:
        sim = archive.instance("sim")
        sim.append_many(
            [
                Event("é\0", "S", Severity.ERROR, "", -1, 7, 3, "me", b"\xa2\x06\x01x", {"a": "b"}),
                Event("plain", generation_time=5),
            ]
        )
        for n in range(5):
            sim.append(Event(f"late {n}", generation_time=-n * 10 - 5))
    copy = tmp_path / "copy"
    with serving(data) as served:
        for _ in range(2):  # again does nothing
            ran = run("mirror", served.url, "--data", copy, "--once")
            assert (ran.status, ran.out) == (0, "")
            assert ran.err.endswith("in step\n")
            assert told(copy) == told(data)
    with Archive.open(copy) as archive, pytest.raises(MirrorError, match=served.url):
        archive.instance("sim").append(Event("of its own"))
    with serving(copy) as mirror:
        connection = mirror.connect()
        connection.request("POST", "/api/archive/sim/events", b'{"message": "of its own"}')
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 405
        assert served.url.encode() in body


def test_a_copy_goes_on_after_either_side_was_killed(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with serving(data) as served:
        load = Load(served, 4, "first ")
        load.wait_for(50)
        with mirroring(served.url, copy) as process:
            load.wait_for(100)
            process.kill()
            process.wait(WAIT_S)
        load.wait_for(50)
        with mirroring(served.url, copy) as process:
            load.wait_for(100)
            served.kill()
            acknowledged = load.join()
            again = Served(data, "--port", served.port, "--instance", "sim")
            try:
                acknowledged.add(post(again.connect(), {"message": "last", "source": "S"})["message"])
                assert process.stderr is not None
                while "last" not in {event.message for _, events in told(copy) for event in events}:
                    process.stderr.readline()
            finally:
                again.close()
    assert told(copy) == told(data)
    assert acknowledged <= {event.message for _, events in told(copy) for event in events}


def test_at_a_conflict_it_stops_and_shows_both(run: Run, data: Path, tmp_path: Path) -> None:
    copy, before = tmp_path / "copy", tmp_path / "before"
    shutil.copytree(data, before)

    def store(*messages: str) -> None:
        with Archive.open(data) as archive:
            for message in messages:
                archive.instance("sim").append(Event(message, generation_time=9, reception_time=9))

    store("one way")
    with serving(data) as served:
        assert run("mirror", served.url, "--data", copy, "--once").status == 0
        port = served.port
        assert served.stop()[0] == 0
    # The source is put back by copying files, which leaves its lineage as it is, and goes another way.
    shutil.rmtree(data)
    shutil.copytree(before, data)
    with Archive.open(data) as archive:
        sim = archive.instance("sim")
        sim.append(Event("unseen", source="T", generation_time=1))
        sim.append(Event("another way", generation_time=9, seq_number=0))
    came = told(copy)
    with serving(data, "--port", port) as served:
        ran = run("mirror", served.url, "--data", copy, "--once")
        assert (ran.status, ran.out) == (1, "")
        assert "one way" in ran.err
        assert "another way" in ran.err
        assert ran.err.splitlines()[-1].endswith("the two differ in an event, so the mirror stops")
    assert told(copy) == came


def test_another_history_and_another_source_and_own_events_are_refused(
    run: Run, data: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with Archive.open(data) as archive:
        archive.instance("sim").append(Event("first"))
    with serving(data) as served:
        assert run("mirror", served.url, "--data", copy, "--once").status == 0
        came = told(copy)
        port = served.port
        assert served.stop()[0] == 0
    shutil.rmtree(data)
    with serving(data, "--port", port) as served:
        ran = run("mirror", served.url, "--data", copy, "--once")
        assert (ran.status, ran.out) == (1, "")
        assert "OtherHistoryException" in ran.err
        other = tmp_path / "other"
        with Archive.open(other) as archive:
            archive.instance("sim", create=True).append(Event("of its own"))
        ran = run("mirror", served.url, "--data", other, "--once")
        assert ran.status == 1
        assert "events of its own" in ran.err
    with serving(tmp_path / "third") as served:
        ran = run("mirror", served.url, "--data", copy, "--once")
        assert ran.status == 1
        assert "and of no other" in ran.err
    assert told(copy) == came

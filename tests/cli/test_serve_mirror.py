"""``serve --mirror-of``: a copy that is served while it follows its source."""

from __future__ import annotations

import shutil
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec

from tests.child import ROOT
from tests.cli.conftest import Run
from tests.cli.test_mirror import told
from tests.server.at_hand import at_hand
from tests.server.serving import PATH, WAIT_S, Served, ended, post, serving
from yamcs_archive import Archive, Event


def asked(connection: HTTPConnection, target: str) -> Any:
    connection.request("GET", target)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    return msgspec.json.decode(body)


def test_a_slip_in_the_name_of_a_served_copy_ends_the_start(run: Run, data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with at_hand(data) as served:
        options = ("--data", copy, "--port", 0, "--instance", "smi", "--mirror-of", served.url)
        status, out, err = ended(*options)
        assert (status, out) == (1, "")
        assert f"instance 'smi': is not one of those at {served.url}: sim" in err
    assert run("instances", "list", "--data", copy).out == ""


def test_a_served_copy_follows_is_read_and_takes_nothing_and_outlives_its_source(
    data: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with serving(data) as served:
        mirror = Served(copy, "--port", 0, "--mirror-of", served.url)
        try:
            assert "instances: sim " in mirror.line
            connection = mirror.connect()
            cursor = asked(connection, "/api/archive/sim/events:changes")["cursor"]
            post(served.connect(), {"message": "first", "source": "S"})
            found = asked(connection, f"/api/archive/sim/events:changes?wait={WAIT_S}&after={cursor}")
            assert [event["message"] for event in found["events"]] == ["first"]
            connection.request("POST", PATH, b'{"message": "of its own"}')
            answer = connection.getresponse()
            assert answer.status == 405
            assert served.url.encode() in answer.read()
            served.kill()
            assert [event["message"] for event in asked(connection, PATH)["events"]] == ["first"]
            status, complaints = mirror.stop()
            assert status == 0
            first, *more = complaints.splitlines()
            assert first.endswith(" INFO sim: 0 events taken over, in step")
            assert all(" WARNING sim: " in line for line in more)
        finally:
            mirror.close()
    gone = served.url  # no server answers there any more
    mirror = Served(copy, "--port", 0, "--mirror-of", gone)
    try:
        assert "instances: sim " in mirror.line
        assert [event["message"] for event in asked(mirror.connect(), PATH)["events"]] == ["first"]
    finally:
        mirror.close()
    assert told(copy) == told(data)


def test_a_served_copy_that_cannot_follow_says_so_and_serves_on(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with Archive.open(data) as archive:
        archive.instance("sim").append(Event("first", generation_time=0))
    with at_hand(data) as served:
        port = served.port
        subprocess.run(
            [sys.executable, "-m", "yamcs_archive", "mirror", served.url, "--data", str(copy), "--once"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=WAIT_S,
        )
        served.stop()
    shutil.rmtree(data)
    with at_hand(data, port) as served:
        mirror = Served(copy, "--port", 0, "--mirror-of", served.url)
        try:
            assert mirror.process.stderr is not None
            said = mirror.process.stderr.readline()
            assert "sim is followed no longer" in said
            assert "OtherHistoryException" in said
            assert f"mirror {served.url} --data {copy} --instance sim --resync" in said
            assert [event["message"] for event in asked(mirror.connect(), PATH)["events"]] == ["first"]
        finally:
            mirror.close()


def test_events_of_its_own_are_not_served_as_a_copy(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with Archive.open(copy) as archive:
        archive.instance("sim", create=True).append(Event("of its own"))
    with at_hand(data) as served:
        status, said, complaints = ended("--data", copy, "--port", 0, "--mirror-of", served.url)
    assert (status, said) == (1, "")
    assert "events of its own" in complaints

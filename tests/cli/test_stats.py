"""``stats`` and ``doctor``: what they print, and their exit status, for a directory and for a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from tests.cli.conftest import Run
from tests.http.feeds import core_feed, uvicorn_at
from tests.http.test_api import error_of
from tests.http.test_readiness import room_of
from tests.storage.test_damage import damage
from yamcs_archive import Archive, Client, Event, Options, UnknownInstanceError
from yamcs_archive.activity import MirrorLag
from yamcs_archive.cli import doctor, stats
from yamcs_archive.http.application import Application
from yamcs_archive.reports import Level
from yamcs_archive.times import now_us
from yamcs_archive.wire.reports import diagnosis_of, summary_of

T0 = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A directory with the instances ``bench``, which is empty, and ``sim``."""
    with Archive.open(tmp_path / "filled") as archive:
        archive.instance("bench", create=True)
        sim = archive.instance("sim", create=True)
        sim.append_many(
            Event(f"{n}", source=f"S{n % 3}", generation_time=T0 + n, seq_number=n) for n in range(300)
        )
        sim.append(Event("0", source="S0", generation_time=T0, seq_number=0))
    return tmp_path / "filled"


@contextmanager
def served(directory: Path, *, operations: bool = True) -> Iterator[tuple[str, Archive]]:
    with Archive.open(directory, options=Options(maintenance=False)) as archive:
        for name in archive.instances():
            archive.instance(name)
        with uvicorn_at(archive, 0, operations=operations) as port:
            yield f"http://127.0.0.1:{port}", archive


def test_stats_has_a_row_for_each_instance(run: Run, filled: Path) -> None:
    ran = run("stats", "--data", filled)
    assert (ran.status, ran.err) == (0, "")
    header, bench, sim = ran.out.splitlines()
    assert tuple(header.split("  ")[0:1]) == ("INSTANCE",)
    assert bench.split() == ["bench", "0", "0", "-", "-", "0", "0", bench.split()[7], "0", "0", "0"]
    cells = sim.split()
    assert cells[:5] == ["sim", "300", "3", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000299Z"]
    assert cells[5:7] == ["0", "1"]
    assert cells[8:] == ["1", "0", "0"]
    assert run("stats", "--data", filled, "--instance", "sim").out.splitlines()[1:] == [sim]


def test_stats_is_the_same_from_a_directory_a_server_the_library_and_the_client(
    run: Run, filled: Path
) -> None:
    here = msgspec.json.decode(run("stats", "--data", filled, "--format", "json").out)
    with served(filled) as (url, archive):
        archive.instance("sim").append(Event("new", generation_time=T0 + 5, seq_number=999, source="new"))
        there = msgspec.json.decode(run("stats", "--url", url, "--format", "json").out)
        with Client(url) as client:
            summary = client.instance("sim").summary()
            with pytest.raises(UnknownInstanceError):
                client.instance("nosuch", check=False).summary()
        assert summary == archive.instance("sim").summary()
        assert core_feed(archive)("GET", "/api/archive/sim:stats").json() == there[1]
        missing = core_feed(archive)("GET", "/api/archive/nosuch:stats")
        error_of(missing, 404, "NotFoundException")
        # Another process reads beside the writer.
    assert [one["name"] for one in there] == [one["name"] for one in here] == ["bench", "sim"]
    assert "activity" not in here[1]
    assert (here[1]["events"], there[1]["events"]) == (300, 301)
    assert there[1]["activity"]["stored"] == 1
    assert summary_of(there[1]).usage.young_events == 1
    assert there[1]["createdBy" if "createdBy" in there[1] else "created"] == here[1]["created"]


def test_stats_of_what_cannot_be_read_goes_on_and_fails(run: Run, filled: Path) -> None:
    damage(filled, "sources", 1, -1)
    ran = run("stats", "--data", filled)
    assert ran.status == 1
    assert [line.split()[0] for line in ran.out.splitlines()] == ["INSTANCE", "bench"]
    assert "sim: " in ran.err
    assert "is damaged" in ran.err
    assert run("stats", "--data", filled, "--instance", "nosuch").status == 1
    assert "nosuch" in run("stats", "--data", filled, "--instance", "nosuch").err
    assert run("stats", "--data", filled / "absent").status == 1
    assert run("stats").status == 2
    assert run("stats", "--data", filled, "--format", "xml").status == 2
    assert run("stats", "--data", filled, "--instance", "").status == 2


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_many_instances_are_opened_in_turns(
    run: Run, filled: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive.open(filled) as archive:
        for n in range(3):
            archive.instance(f"x{n}", create=True)
    monkeypatch.setattr(stats, "AT_ONCE_MAX", at_once)
    most = [0]
    instance = Archive.instance

    def counted(self: Archive, name: str, *, create: bool = False) -> Any:
        found = instance(self, name, create=create)
        most[0] = max(most[0], len(self.open_instances()))
        return found

    monkeypatch.setattr(Archive, "instance", counted)
    names = [line.split()[0] for line in run("stats", "--data", filled).out.splitlines()[1:]]
    assert names == ["bench", "sim", "x0", "x1", "x2"]
    found = msgspec.json.decode(run("doctor", "--data", filled, "--format", "json").out)["findings"]
    assert [one["instance"] for one in found if one["subject"] == "backlog"] == names
    assert [one["subject"] for one in found].count("space") == 1
    assert most[0] == at_once


def test_stats_of_an_archive_without_instances_is_empty(run: Run, tmp_path: Path) -> None:
    Archive.open(tmp_path / "a").close()
    assert len(run("stats", "--data", tmp_path / "a").out.splitlines()) == 1
    assert run("stats", "--data", tmp_path / "a", "--format", "json").out == "[]\n"
    assert "space" in run("doctor", "--data", tmp_path / "a").out


def test_doctor_says_what_it_finds_and_what_to_do(
    run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yamcs_archive.diagnosing.file_system_of", lambda _: "ext4")
    ran = run("doctor", "--data", filled)
    assert (ran.status, ran.err) == (0, "")
    subjects = [line.split(": ")[0] for line in ran.out.splitlines() if not line.startswith("      ")]
    for subject in ("space", "file system", "limits", "memory", "clock", "sync", "backlog of sim"):
        assert any(line.endswith(f"  {subject}") for line in subjects), subject
    monkeypatch.setattr(os, "statvfs", room_of(0))
    ran = run("doctor", "--data", filled, "--instance", "sim")
    assert ran.status == 1
    lines = ran.out.splitlines()
    position = next(n for n, line in enumerate(lines) if line.startswith("BAD   space: "))
    assert lines[position + 1] == "      nothing is stored below 2 MiB: make room"
    assert not any(line.endswith("of bench") for line in lines)
    found = diagnosis_of(msgspec.json.decode(run("doctor", "--data", filled, "--format", "json").out))
    assert not found.healthy


def test_doctor_of_a_server_needs_its_leave_and_knows_its_copies_and_its_clock(
    run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yamcs_archive.diagnosing.file_system_of", lambda _: "ext4")
    with served(filled, operations=False) as (url, _):
        ran = run("doctor", "--url", url)
        assert (ran.status, "--allow-operations" in ran.err) == (1, True)
    with served(filled) as (url, archive):
        ran = run("doctor", "--url", url)
        assert ran.status == 0, ran.out
        assert "good  server: it is ready" in ran.out
        with Client(url) as client:
            found = client.diagnose(instances=["sim"])
            assert {one.instance for one in found.findings} == {None, "sim"}
            with pytest.raises(UnknownInstanceError, match="nosuch"):
                client.diagnose(instances=["nosuch"])
        assert "nosuch" in run("doctor", "--url", url, "--instance", "nosuch").err
        now = now_us
        for off_us, expected in [(0, 0), (6_000_000, 0), (-61_000_000, 1)]:
            with monkeypatch.context() as patch:
                patch.setattr(doctor, "now_us", lambda off_us=off_us: now() - off_us)
                ran = run("doctor", "--url", url)
            assert ran.status == expected, ran.out
            assert ("the server's clock is" in ran.out) == (off_us != 0)
        core = Application(archive, operations=True)
        feed = core_feed(archive, core=core)
        for mirror, level in [
            (MirrorLag("sim", 120.0, True), Level.GOOD),
            (MirrorLag("sim", 120.1, True), Level.BAD),
            (MirrorLag("sim", 0.0, False), Level.BAD),
        ]:
            core.services.observation.mirrors = Mock(return_value=[mirror])
            found = diagnosis_of(feed("POST", "/api/doctor").json())
            assert [one.level for one in found.findings if one.subject == "mirror"] == [level]
        core.services.refusals.note("507 OutOfSpaceException", "no space left")
        found = diagnosis_of(feed("POST", "/api/doctor").json())
        assert [one.text for one in found.findings if one.subject == "server"] == ["no space left"]
        with core.services.admission.operations.alone("doctor", archive.path.name):
            error_of(feed("POST", "/api/doctor"), 503, "ServiceUnavailableException")
        error_of(feed("POST", "/api/doctor?nosuch=1"), 400, "BadRequestException")
        error_of(feed("POST", "/api/doctor?instance=nosuch"), 404, "NotFoundException")
        assert feed("GET", "/api/doctor").status == 405

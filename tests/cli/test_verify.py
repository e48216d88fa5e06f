"""``verify``: what it prints, and its exit status, for sound and for damaged archives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.child import ROOT
from tests.storage.test_damage import damage
from tests.storage.test_verification import filled
from yamcs_archive import Archive, Event
from yamcs_archive.cli.main import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    filled(tmp_path / "a")
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("bench", create=True).append(Event("one"))
    return tmp_path / "a"


def verify(data: Path, *arguments: str, capfd: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    status = main(["verify", "--data", str(data), *arguments])
    told = capfd.readouterr()
    return status, told.out.splitlines(), told.err


def test_a_sound_archive_has_a_line_for_each_instance(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, lines, complaints = verify(data, capfd=capfd)
    assert (status, complaints) == (0, "")
    assert lines[0].startswith("bench: 1 events in 0 blocks, 1 young, 1 commits, 1 sources: no faults, ")
    assert lines[1].startswith("sim: 73 events in ")
    assert len(lines) == 2
    assert verify(data, "bench", capfd=capfd)[1][0].startswith("bench: ")


def test_a_quick_check_reads_both_ends(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, lines, _ = verify(data, "--quick", "sim", capfd=capfd)
    assert (status, len(lines)) == (0, 1)
    assert lines[0].startswith("sim: at both ends ")
    damage(data, "blocks", 0, -1)
    damage(data, "commits", -1, -1)
    status, lines, _ = verify(data, "--quick", "sim", capfd=capfd)
    assert status == 1
    assert [line.split()[1] for line in lines[1:]] == ["blocks", "commits"]


def test_a_served_archive_can_be_verified(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Archive.open(data) as archive:
        archive.instance("bench").append(Event("two"))
        assert verify(data, capfd=capfd)[0] == 0


def test_a_fault_has_a_line_of_its_own_and_others_are_read_all_the_same(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damage(data, "blocks", 1, -1)
    status, lines, complaints = verify(data, capfd=capfd)
    assert (status, complaints) == (1, "")
    assert lines[0].startswith("bench: 1 events")
    assert "no fault" in lines[0]
    assert "1 fault" in lines[1]
    assert lines[2].startswith("sim: blocks 800000000000")
    assert "the checksum of" in lines[2]
    assert " events, 1970-01-01T00:00:00.000" in lines[2]


def test_an_instance_that_cannot_be_opened_is_a_fault(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    damage(data, "meta", 0, -1)
    status, lines, _ = verify(data, capfd=capfd)
    assert status == 1
    assert lines[0].startswith("bench: ")
    assert "is damaged" in lines[1]


def test_damage_in_the_pages_of_lmdb_is_reported_whatever_it_does_to_the_reading_process(
    data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    [file] = (data / "sim").glob("gen-*/data.mdb")
    whole = file.read_bytes()
    for kept in (len(whole) // 2, 3 * 4096):
        file.write_bytes(whole[:kept])
        status, lines, complaints = verify(data, capfd=capfd)
        assert status == 1, (kept, lines, complaints)
        assert lines[0].startswith("bench: 1 events")
        assert any(line.startswith("sim: ") for line in lines[1:]) or "sim" in complaints
    file.write_bytes(whole)
    assert verify(data, capfd=capfd)[0] == 0


def test_an_unknown_instance_is_refused(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, lines, complaints = verify(data, "nosuch", capfd=capfd)
    assert (status, lines) == (1, [])
    assert "nosuch" in complaints


@pytest.mark.parametrize("buffering", ["with a buffer", "without a buffer"])
def test_a_closed_pipe_ends_the_command_silently(data: Path, buffering: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "yamcs_archive", "verify", "--data", str(data)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1" if buffering == "without a buffer" else ""}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")

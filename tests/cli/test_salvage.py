"""``salvage``: what it prints, and its exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storage.test_damage import IN_BODY
from tests.storage.test_file_length import data_file
from tests.storage.test_salvage import EVERYTHING, contents, spoil
from tests.storage.test_verification import filled
from yamcs_archive import Archive, Event
from yamcs_archive.cli.main import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    filled(tmp_path / "a")
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("bench", create=True).append(Event("one"))
    return tmp_path / "a"


def salvage(data: Path, *arguments: str, capfd: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    status = main(["salvage", "--data", str(data), *arguments])
    told = capfd.readouterr()
    return status, told.out.splitlines(), told.err


def test_a_sound_archive_loses_nothing(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = contents(data)
    status, lines, complaints = salvage(data, str(data.with_name("saved")), capfd=capfd)
    assert (status, complaints, len(lines)) == (0, "", 2)
    assert lines[0].startswith("bench: 1 event saved, nothing lost, ")
    assert lines[1].startswith(f"sim: {EVERYTHING} events saved, nothing lost, ")
    assert contents(data.with_name("saved")) == before


def test_each_loss_has_a_line_and_each_key_on_request(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spoil(data, "blocks", -2, IN_BODY)
    status, lines, _ = salvage(data, str(data.with_name("one")), "sim", capfd=capfd)
    assert (status, len(lines)) == (1, 2)
    lost = int(lines[0].split(", ")[1].removesuffix(" lost"))
    assert lines[1].startswith("sim: blocks 8000")
    assert f" ({lost} events, 1970-01-01T00:00:00.0" in lines[1]
    status, lines, _ = salvage(data, "--keys", str(data.with_name("two")), "sim", capfd=capfd)
    assert (status, len(lines)) == (1, 2 + lost)
    assert lines[2].startswith("sim:   1970-01-01T00:00:00.0")
    assert lines[2].split()[2] == "B"


def test_a_file_of_which_nothing_is_left_says_so(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data_file(data).write_bytes(b"")
    for left in (2, 0):
        status, lines, _ = salvage(data, str(data.with_name(f"saved{left}")), capfd=capfd)
        assert status == 1
        assert lines[1].startswith(f"sim: {left} events saved, nobody knows how many lost, ")
        assert len(contents(data.with_name(f"saved{left}"))[0]) == left  # of the log
        for segment in data_file(data).parent.glob("log-*"):
            segment.unlink()


def test_what_cannot_be_done_is_one_line(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, lines, complaints = salvage(data, str(data), capfd=capfd)
    assert (status, lines) == (1, [])
    assert "must not be within the directory that is salvaged" in complaints
    assert len(complaints.splitlines()) == 1

"""Flips of bits in keys, values and pages, few of them; and the lab tells what it must tell."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.damage import log, pages, specimen, values
from benchmarks.damage.probes import Whole
from benchmarks.pieces import Piece
from tests.crash.labs import lab
from yamcs_archive.storage.disk.lmdb_pages import PageFile
from yamcs_archive.storage.format.log_segments import decode_header, frame, records_from


def test_a_few_flips_are_found_and_never_served(tmp_path: Path) -> None:
    some = ("--from-bit", 11_000, "--bits", 11_030, "--pages", 20, "--file", 5, "--sqlite", 10)
    printed = lab("damage", *some, "--from-log", 40, "--log", 60, "--at-once", 1, "--scratch", tmp_path)
    assert "5 seeds, 0 faults" in printed
    assert "by verify 30" in printed
    assert "damage of the log was told: by reading 20, by verify 20" in printed
    assert not any(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.parametrize(
    "flips",
    [
        ("--bits", 1_200, "--pages", 0, "--log", 0),
        ("--bits", 0, "--pages", 500, "--log", 0),
        ("--bits", 0, "--pages", 0, "--log", 1_200),
    ],
    ids=["values", "pages", "log"],
)
def test_many_flips_are_found_and_never_served(flips: tuple[object, ...], tmp_path: Path) -> None:
    assert "0 faults" in lab("damage", *flips, "--seed", 77, "--scratch", tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("damage") / "whole"
    specimen.make(directory)
    return directory


def test_the_specimen_has_some_eight_kibibytes_of_every_kind(made: Path) -> None:
    found = specimen.records(made)
    kinds = {record.database for record in found}
    assert kinds == {"meta", "sources", "blocks", "summaries", "commits", "requests", "texts"}
    assert {record.key[:1] for record in found if record.database == "summaries"} == {b"\0", b"\1"}
    assert 7_800 < sum(record.bits for record in found) // 8 < 9_000


def test_the_specimen_has_a_log_with_young_and_carried_events(made: Path) -> None:
    ways = log.ways_of_the_specimen()
    assert len({way.segment for way in ways}) == 2
    assert {way.kind for way in ways} == {"flipped", "torn", "cut", "missing", "foreign", "older"}
    assert b"carried" in specimen.segments(made)[0].read_bytes()


def test_an_event_that_was_never_stored_is_told(made: Path, tmp_path: Path) -> None:
    whole, copy = Whole(made), tmp_path / "copy"
    shutil.copytree(made, copy)
    path = specimen.segments(copy)[-1]
    data = memoryview(path.read_bytes())
    header = decode_header(data, int(path.name.removeprefix("log-")))
    assert header is not None
    *_, last = records_from(data, header.begin, header.first, len(data))
    forged, _ = frame(bytes(last.payload).replace(b"the last", b"a forged"), last.sequence, last.before)
    path.write_bytes(bytes(data[: last.before.offset]) + forged)
    assert any("a forged" in served for served in whole.ask(copy).served)


def test_a_flip_that_verify_does_not_find_is_told(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "verified", lambda _: ())
    monkeypatch.setattr(pages, "verified", lambda _, isolated: ())
    shutil.copytree(made, tmp_path / "whole")
    block = next(record for record in specimen.records(made) if record.database == "blocks")
    [fault] = values._flip(Whole(made), block, block.bits - 1, tmp_path, Piece(1, ""))
    assert fault.startswith("not found by verify")
    monkeypatch.setattr(log, "verified", lambda _: ())
    way = log.Way("flipped", specimen.segments(made)[0].name, 100, is_end_known=True, must_be_found=True)
    faults = log._try(Whole(made), way, tmp_path, Piece(1, ""))
    assert next(fault.partition(";")[0] for fault in faults) == "not found by verify"
    with PageFile(specimen.data_file(made)) as file:
        root = file.roots[0].main
    assert root is not None
    flags = 4096 * root + 10
    counts, faults = pages._flip(Whole(made), flags, 1, tmp_path, isolated=False)
    assert faults or counts["ended a process that read"]

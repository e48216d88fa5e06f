"""Flips of bits in keys, values and pages, few of them; and the lab tells what it must tell."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.damage import pages, specimen, values
from benchmarks.damage.probes import Whole
from benchmarks.pieces import Piece
from tests.child import ROOT
from yamcs_archive.storage.disk.lmdb_pages import PageFile
from yamcs_archive.storage.format.rows import decode_rows, encode_rows

WAIT_S = 280


def lab(*arguments: object) -> str:
    """Run the lab as a user does; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.damage", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_few_flips_are_found_and_never_served(tmp_path: Path) -> None:
    some = ("--from-bit", 11_000, "--bits", 11_030, "--pages", 20, "--file", 5, "--sqlite", 10)
    printed = lab(*some, "--at-once", 1, "--scratch", tmp_path)
    assert "4 seeds, 0 faults" in printed
    assert "by verify 30" in printed
    assert not any(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.parametrize(
    "flips", [("--bits", 1_200, "--pages", 0), ("--bits", 0, "--pages", 500)], ids=["values", "pages"]
)
def test_many_flips_are_found_and_never_served(flips: tuple[object, ...], tmp_path: Path) -> None:
    assert "0 faults" in lab(*flips, "--seed", 77, "--scratch", tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("damage") / "whole"
    specimen.make(directory)
    return directory


def test_the_specimen_has_some_four_kibibytes_of_every_kind(made: Path) -> None:
    found = specimen.records(made)
    kinds = {record.database for record in found}
    assert kinds == {"meta", "sources", "rows", "blocks", "summaries", "commits", "requests"}
    assert {record.key[:1] for record in found if record.database == "summaries"} == {b"\0", b"\1"}
    assert 3_900 < sum(record.bits for record in found) // 8 < 5_200


def test_an_event_that_was_never_stored_is_told(made: Path, tmp_path: Path) -> None:
    whole, copy = Whole(made), tmp_path / "copy"
    shutil.copytree(made, copy)
    row = next(record for record in specimen.records(copy) if record.database == "rows")
    events = decode_rows([(row.key, row.value)])
    [(key, value)] = encode_rows(events._replace(messages=["forged"]), events.commits.tolist())
    specimen.replace(copy, row, key, value)
    assert any("forged" in served for served in whole.ask(copy).served)


def test_a_flip_that_verify_does_not_find_is_told(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "verified", lambda _: ())
    monkeypatch.setattr(pages, "verified", lambda _, isolated: ())
    shutil.copytree(made, tmp_path / "whole")
    row = next(record for record in specimen.records(made) if record.database == "rows")
    [fault] = values._flip(Whole(made), row, row.bits - 1, tmp_path, Piece(1, ""))
    assert fault.startswith("not found by verify")
    with PageFile(specimen.data_file(made)) as file:
        root = file.roots[0].main
    assert root is not None
    flags = 4096 * root + 10
    counts, faults = pages._flip(Whole(made), flags, 1, tmp_path, isolated=False)
    assert faults or counts["ended a process that read"]

"""Old bytes stay readable: archives of every format version, and a second reader beside the package."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.golden import make
from tests.golden.reader import read
from yamcs_archive import Archive, Event, Severity
from yamcs_archive.storage import integers, opening, parts, summaries
from yamcs_archive.storage.meta import FORMAT_VERSION

GOLDEN = sorted(path for path in make.HERE.iterdir() if re.fullmatch(r"v\d+", path.name))
FORMAT = (Path(__file__).parent.parent / "docs" / "format.md").read_text()


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda part: part.hex()))


def as_plain(event: Event) -> dict[str, Any]:
    return {
        "time": event.generation_time,
        "source": event.source,
        "number": event.seq_number,
        "reception": event.reception_time,
        "severity": Severity(event.severity).name,
        "message": event.message,
        "type": event.type,
        "user": event.created_by,
        "extensions": event.extensions.hex(),
        "extra": event.extra,
    }


def test_there_is_a_golden_archive_of_the_version_at_hand() -> None:
    assert f"v{FORMAT_VERSION}" in [path.name for path in GOLDEN]
    assert f"# The format on disk, version {FORMAT_VERSION}\n" in FORMAT


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_a_golden_archive_reads_as_on_the_day_it_was_written(golden: Path, tmp_path: Path) -> None:
    content = json.loads((golden / "content.json").read_text())
    shutil.copytree(golden / "archive", tmp_path / "archive")
    assert plain(read(tmp_path / "archive" / "sim")) == content
    without_commit = [
        {name: value for name, value in event.items() if name != "commit"} for event in content["events"]
    ]
    for readonly in (True, False):
        with Archive.open(tmp_path / "archive", readonly=readonly) as archive:
            sim = archive.instance("sim")
            assert [as_plain(event) for event in sim.events()] == without_commit
            arrived = [[*change.event.key] for change in sim.changes()]
            assert arrived == [key for commit in content["commits"] for key in commit["events"]]
            assert sim.stats().events == len(content["events"])
    assert {form > 0 for form in content["forms"].values()} == {True}


def test_the_second_reader_reads_what_is_written_today(tmp_path: Path) -> None:
    make.fill(tmp_path / "archive")
    found = plain(read(tmp_path / "archive" / "sim"))
    with Archive.open(tmp_path / "archive", readonly=True) as archive:
        expected = [as_plain(event) for event in archive.instance("sim").events()]
    assert [
        {name: value for name, value in event.items() if name != "commit"} for event in found["events"]
    ] == expected
    assert sum(len(commit["events"]) for commit in found["commits"]) == len(expected)


def test_the_second_reader_reads_what_was_compacted(tmp_path: Path) -> None:
    make.fill(tmp_path / "archive")
    with Archive.open(tmp_path / "archive") as archive:
        archive.instance("sim").settle()
    settled = read(tmp_path / "archive" / "sim")
    with Archive.open(tmp_path / "archive") as archive:
        archive.instance("sim").compact()
    assert not (tmp_path / "archive" / "sim" / "gen-1").exists()
    assert read(tmp_path / "archive" / "sim") == settled


def test_the_page_names_what_the_code_has() -> None:
    for name in opening.DATABASES:
        assert f"| `{name}` |" in FORMAT
    assert parts.HEADER.size == 32
    assert "| 32 | |" in FORMAT
    assert [f"{severity.name} {severity.value}" in FORMAT.replace("\n", " ") for severity in Severity] == [
        True
    ] * 7
    assert (summaries.BLOCK_LEVEL, summaries.GROUP_LEVEL) == (b"\0", b"\1")
    assert integers._WIDTHS == (1, 2, 4, 8)

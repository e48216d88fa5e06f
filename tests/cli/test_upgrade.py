"""``upgrade``: archives of every earlier form are read, counted and brought forward; later ones refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.golden.make import HERE
from tests.storage.by_hand import put_fact, remove
from yamcs_archive import Archive, Event, FormatVersionError, Options
from yamcs_archive.cli.main import main
from yamcs_archive.errors import NotAnArchiveError
from yamcs_archive.storage.format.meta import FORMAT_VERSION

GOLDEN = sorted(path.parent for path in HERE.glob("v*/**/ARCHIVE"))
PRUNED = {"v1/counts/archive", "v1/forms/archive"}


def run(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> list[str]:
    found = main(["upgrade", *map(str, arguments)])
    printed = capsys.readouterr()
    assert found == status, printed
    return printed.out.splitlines() + printed.err.splitlines()


def files(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("data.mdb"))}


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: str(path.relative_to(HERE)))
def test_an_archive_of_each_form_is_checked_read_and_brought_forward(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(golden, data)
    before = files(data)
    with Archive.open(data, readonly=True) as archive:
        events = {name: [*archive.instance(name).events()] for name in archive.instances()}
    earlier = {
        line.partition(":")[0]
        for line in run(capsys, "--data", data, "--check", status=int(is_earlier(golden)))
        if "of an earlier version" in line
    }
    assert bool(earlier) == is_earlier(golden)
    assert files(data) == before  # a check changes nothing
    lines = run(capsys, "--data", data)
    assert earlier in (set(), set(events))  # of version 1 everything is
    assert {line.partition(":")[0] for line in lines if line.endswith("brought forward")} == earlier
    for line in run(capsys, "--data", data, "--check"):
        assert line.endswith(f"format {FORMAT_VERSION}, nothing to do")
    with Archive.open(data) as archive:
        assert {name: [*archive.instance(name).events()] for name in archive.instances()} == events
        for name in archive.instances():
            # One count of these counted pruned events, which is a form that is not written any more.
            verified = archive.instance(name).verify()
            assert verified is not None
            faults = [fault.where for fault in verified.faults]
            assert faults == ["sources P"] * (name == "pruned" and str(golden.relative_to(HERE)) in PRUNED)


def is_earlier(golden: Path) -> bool:
    return str(golden.relative_to(HERE)).startswith("v1/")


def test_an_archive_of_version_1_is_told_with_what_it_has_outside_of_blocks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shutil.copytree(HERE / "v1" / "archive", tmp_path / "data")
    [told] = run(capsys, "--data", data, "--check", status=1)
    assert told == (
        "sim: format 1, of an earlier version: to become format 2, 2 events outside of blocks, 6 of"
        " 6 zone maps without counts; opening it for writing rewrites these"
    )
    assert run(capsys, "--data", data) == [told, "sim: brought forward"]
    assert run(capsys, "--data", data) == ["sim: format 2, nothing to do"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    with Archive.open(path, options=Options(maintenance=False)) as archive:
        for name in ("old", "sim"):
            archive.instance(name, create=True).append(Event("m", generation_time=1))
    return path


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        ("2.1.0", "yamcs_archive 2.1.0 and later versions read it"),
        (None, "use the version of yamcs_archive that wrote it, or a later one"),
        ("2.1\nFORGED", "use the version of yamcs_archive that wrote it, or a later one"),
        (7, "use the version of yamcs_archive that wrote it, or a later one"),
    ],
)
@pytest.mark.damaging
def test_a_later_format_is_refused_with_the_version_that_reads_it(
    data: Path, capsys: pytest.CaptureFixture[str], reader: object, said: str
) -> None:
    if reader is None:
        remove(data / "sim", "meta", b"reader")
    put_fact(data / "sim", "format", FORMAT_VERSION + 1)
    if reader is not None:
        put_fact(data / "sim", "reader", reader)
    before = files(data)
    for readonly in (True, False):
        with Archive.open(data, readonly=readonly) as archive:
            with pytest.raises(FormatVersionError, match=re.escape(said)) as caught:
                archive.instance("sim")
            assert (caught.value.found, caught.value.known) == (FORMAT_VERSION + 1, FORMAT_VERSION)
            assert archive.instance("old").count() == 1
    first, second = run(capsys, "--data", data, "--check", status=1)
    assert first == "old: format 2, nothing to do"
    assert second.startswith("sim: cannot be read by this version: ")
    assert second.endswith(said)
    run(capsys, "--data", data, status=1)
    assert files(data)[f"{data}/sim/gen-1/data.mdb"] == before[f"{data}/sim/gen-1/data.mdb"]


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("yamcs_archive directory, layout 2, reader 2.1.0\n", "2.1.0 and later versions read it"),
        ("yamcs_archive directory, layout 2\n", "use the version that wrote it"),
        ("yamcs_archive directory, layout 0\n", "this program knows"),
        ("yamcs_archive directory, layout 1, reader 2.1.0\n", "this program knows"),
        ("yamcs_archive directory, layout 2\nmore\n", "this program knows"),
    ],
)
@pytest.mark.damaging
def test_a_later_layout_of_the_directory_is_refused_too(
    data: Path, capsys: pytest.CaptureFixture[str], marker: str, said: str
) -> None:
    (data / "ARCHIVE").write_text(marker)
    with pytest.raises(NotAnArchiveError, match=said):
        Archive.open(data)
    assert said in run(capsys, "--data", data, status=1)[0]


def test_a_check_works_beside_a_writer_and_an_upgrade_does_not(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Archive.open(data):
        assert len(run(capsys, "--data", data, "--check")) == 2
        assert "is in use by this process" in run(capsys, "--data", data, status=1)[0]
    assert run(capsys, "--data", data, "sim") == ["sim: format 2, nothing to do"]
    assert "No instance named 'nosuch'" in run(capsys, "--data", data, "nosuch", status=1)[0]


def test_an_empty_archive_has_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Archive.open(tmp_path / "data").close()
    assert run(capsys, "--data", tmp_path / "data", "--check") == []
    assert "there is no such directory" in run(capsys, "--data", tmp_path / "nosuch", status=1)[0]
    assert not (tmp_path / "nosuch").exists()

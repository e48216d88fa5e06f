"""Instances are renamed and deleted whole, and whoever uses one learns of it."""

from __future__ import annotations

import signal
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.child import run_in_fork, start, stopping
from tests.conftest import check_sound
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.errors import (
    ArchiveError,
    ClosedError,
    GoneError,
    InstanceExistsError,
    InvalidInputError,
    OutOfSpaceError,
    ReadOnlyError,
    UnknownInstanceError,
)
from yamcs_archive.results import Appended
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.disk import directory
from yamcs_archive.storage.failpoints import INSTANCE_POINTS


def test_a_renamed_instance_has_its_events_and_cursors(archive: Archive, sim: Instance) -> None:
    sim.append_many(Event(f"m{n}", source="S", generation_time=n) for n in range(30))
    events, cursor = list(sim.events()), next(sim.changes()).cursor
    archive.rename("sim", "bench")
    assert archive.instances() == ["bench"]
    with pytest.raises(ClosedError):
        sim.count()
    with pytest.raises(UnknownInstanceError):
        archive.instance("sim")
    bench = archive.instance("bench")
    assert list(bench.events()) == events
    assert len(list(bench.changes(cursor))) == 29
    assert bench.append(Event("next", source="S")).event.seq_number == 30
    assert archive.instance("sim", create=True).count() == 0  # the name is free
    path = archive.path
    archive.close()
    with Archive.open(path) as again:
        assert again.instances() == ["bench", "sim"]
        assert again.instance("bench").count() == 31
        check_sound(again)


def test_what_was_submitted_is_stored_before_the_renaming(archive: Archive, sim: Instance) -> None:
    submitted: list[Future[Appended]] = [sim.submit(Event(f"m{n}")) for n in range(200)]
    archive.rename("sim", "bench")
    assert all(not future.result(0).duplicate for future in submitted)
    assert archive.instance("bench").count() == 200


def test_an_instance_that_is_not_open_can_be_renamed_and_deleted(archive: Archive, sim: Instance) -> None:
    sim.append(Event("m"))
    archive.instance("other", create=True)
    path = archive.path
    archive.close()
    with Archive.open(path) as again:
        again.rename("sim", "bench")
        again.delete("other", confirm="other")
        assert again.instances() == ["bench"]
        assert again.instance("bench").count() == 1


def test_a_deleted_instance_is_gone_with_its_files(archive: Archive, sim: Instance) -> None:
    sim.append(Event("m"))
    with pytest.raises(InvalidInputError, match="confirm"):
        archive.delete("sim", confirm="simulator")
    assert sim.count() == 1
    archive.delete("sim", confirm="sim")
    assert archive.instances() == []
    assert sorted(entry.name for entry in archive.path.iterdir()) == ["ARCHIVE", "archive.lock"]
    with pytest.raises(ClosedError):
        sim.append(Event("m"))
    assert archive.instance("sim", create=True).count() == 0


def test_names_that_cannot_be_are_refused_and_nothing_changes(archive: Archive, sim: Instance) -> None:
    archive.instance("other", create=True)
    with pytest.raises(InstanceExistsError):
        archive.rename("sim", "other")
    with pytest.raises(InstanceExistsError):
        archive.rename("sim", "sim")
    for bad in ("", "../etc", ".hidden", "a/b", "-x", "x" * 129):
        with pytest.raises(InvalidInputError):
            archive.rename("sim", bad)
        with pytest.raises(UnknownInstanceError):
            archive.rename(bad, "new")
        with pytest.raises(UnknownInstanceError):
            archive.delete(bad, confirm=bad)
    (archive.path / "taken").write_text("a file")
    with pytest.raises(InstanceExistsError):
        archive.rename("sim", "taken")
    assert archive.instances() == ["other", "sim"]
    assert archive.instance("sim").append(Event("m")).event.seq_number == 0
    with Archive.open(archive.path, readonly=True) as reading:
        with pytest.raises(ReadOnlyError):
            reading.rename("sim", "new")
        with pytest.raises(ReadOnlyError):
            reading.delete("sim", confirm="sim")
    (archive.path / "taken").unlink()


@pytest.mark.parametrize("point", INSTANCE_POINTS)
@pytest.mark.parametrize("deletes", [False, True])
def test_a_kill_leaves_the_old_name_or_the_new_one(tmp_path: Path, point: str, deletes: bool) -> None:
    code = """
        from tests.dying import die_at
        with Archive.open(sys.argv[1]) as archive:
            archive.instance("sim", create=True).append(Event("m"))
            die_at(sys.argv[2], 0)
            archive.delete("sim", confirm="sim") if sys.argv[3] == "True" else archive.rename("sim", "bench")
    """
    reached = deletes or point != INSTANCE_POINTS[-1]
    run_in_fork(code, tmp_path / "a", point, deletes, status=-signal.SIGKILL if reached else 0)
    moved = point != INSTANCE_POINTS[0]
    left = [] if moved and deletes else ["bench"] if moved else ["sim"]
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        assert archive.instances() == left
    with Archive.open(tmp_path / "a") as archive:
        assert archive.instances() == left
        for name in left:
            assert archive.instance(name).count() == 1
        check_sound(archive)
        entries = {entry.name for entry in (tmp_path / "a").iterdir()}
        assert entries == {"ARCHIVE", "archive.lock", *left}  # no leftover of the deletion


@pytest.mark.parametrize("deletes", [False, True])
def test_a_folder_that_cannot_be_synced_leaves_the_old_name(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, deletes: bool
) -> None:
    sim.append(Event("m"))

    def fail(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(directory, "sync", fail)
        with pytest.raises(OutOfSpaceError):
            archive.delete("sim", confirm="sim") if deletes else archive.rename("sim", "bench")
    assert archive.instances() == ["sim"]
    assert archive.instance("sim").count() == 1
    archive.instance("sim").append(Event("m"))


def test_a_compaction_that_is_under_way_ends(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading  # noqa: PLC0415

    sim.append(Event("m"))
    renaming = threading.Thread(target=archive.rename, args=("sim", "bench"))

    def rename(point: str) -> None:
        if point == "compact-begun":
            renaming.start()
            while not sim._closed:
                pass

    monkeypatch.setattr(failpoints, "on_point", rename)
    try:
        sim.compact()
    except ArchiveError as error:
        assert isinstance(error, ClosedError)
    renaming.join()
    assert archive.instances() == ["bench"]
    assert archive.instance("bench").count() == 1


def test_a_reader_in_another_process_learns_that_it_is_gone(archive: Archive, sim: Instance) -> None:
    sim.append(Event("m"))
    code = """
        with Archive.open(sys.argv[1], readonly=True) as archive:
            sim = archive.instance("sim")
            print(sim.count(), flush=True)
            sys.stdin.readline()
            try:
                sim.count()
            except GoneError:
                print(archive.instances(), archive.instance("bench").count())
    """
    with stopping(start(code, archive.path)) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "1\n"
        archive.rename("sim", "bench")
        printed, complaints = child.communicate("\n", timeout=60)
    assert printed == "['bench'] 1\n", complaints


def test_a_reader_of_this_process_too(archive: Archive, sim: Instance) -> None:
    sim.append(Event("m"))
    with Archive.open(archive.path, readonly=True) as reading:
        beside = reading.instance("sim")
        assert beside.count() == 1
        archive.delete("sim", confirm="sim")
        with pytest.raises(GoneError):
            beside.count()
        archive.instance("sim", create=True).append_many([Event("a"), Event("b")])
        assert beside.count() == 2  # another instance is at its path

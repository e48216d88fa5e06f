"""A backup or a restore that is killed, fails or finds no room leaves nothing that looks complete."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.child import WAIT_S, run_in_fork
from tests.storage.test_backup import SMALL, answers, fill, restored, sound
from yamcs_archive import Archive, Event, list_backups
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.failpoints import BACKUP_POINTS, RESTORE_POINTS

_BACK_UP_THEN_DIE = """
    from tests.dying import die_at
    directory, copies, point, passes = sys.argv[1:]
    options = Options(block_events_max=16, run_events_min=8, read_events_max=4, maintenance=False)
    sim = Archive.open(directory, options=options).instance("sim")
    die_at(point, int(passes))
    sim.backup(copies, keep=1)
"""
_RESTORE_THEN_DIE = """
    from tests.dying import die_at
    from yamcs_archive.storage.backup import restorer
    directory, copies, point, passes = sys.argv[1:]
    options = Options(block_events_max=16, run_events_min=8, read_events_max=4, maintenance=False)
    archive = Archive.open(directory, options=options)
    restorer.RESTORE_BYTES_MAX = 2000
    die_at(point, int(passes))
    archive.restore(copies)
"""


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """An archive, and a folder with two full backups of it and an incremental one."""
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("first", generation_time=-5))
        for _ in range(2):
            sim.backup(tmp_path / "copies")
        fill(sim)
        sim.backup(tmp_path / "copies", incremental=True)
    return tmp_path / "copies"


def test_the_points_passed_are_the_points_listed(
    copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[str] = []
    monkeypatch.setattr(failpoints, "on_point", passed.append)
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        archive.instance("sim").backup(copies, keep=1)
    assert list(dict.fromkeys(passed)) == list(BACKUP_POINTS)
    passed.clear()
    with Archive.open(tmp_path / "new", options=SMALL) as archive:
        archive.restore(copies)
    assert [point for point in dict.fromkeys(passed) if point in RESTORE_POINTS] == list(RESTORE_POINTS)


@pytest.mark.parametrize("point", BACKUP_POINTS)
def test_a_kill_at_any_step_of_a_backup_leaves_whole_files(copies: Path, tmp_path: Path, point: str) -> None:
    before = {backup.path for backup in list_backups(copies)}
    passes = {"backup-slice-read": 3, "backup-older-deleted": 1}.get(point, 0)
    run_in_fork(_BACK_UP_THEN_DIE, tmp_path / "a", copies, point, passes, status=-signal.SIGKILL)
    left = {backup.path for backup in list_backups(copies)}
    renamed = BACKUP_POINTS.index(point) >= BACKUP_POINTS.index("backup-renamed")
    assert len(left - before) == renamed
    assert before <= left or point == "backup-older-deleted"
    assert sound(copies)
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim")
        last = sim.backup(copies, keep=1)
        assert [path.name for path in copies.iterdir()] == [last.path.name]
        with Archive.open(tmp_path / "new", options=SMALL) as new:
            assert answers(restored(new, copies)) == answers(sim)


@pytest.mark.parametrize("point", RESTORE_POINTS)
def test_a_kill_at_any_step_of_a_restore_leaves_a_whole_instance_or_none(
    copies: Path, tmp_path: Path, point: str
) -> None:
    with Archive.open(tmp_path / "new") as new:
        new.instance("other", create=True)
    passes = 2 if point == "restore-put" else 0
    run_in_fork(_RESTORE_THEN_DIE, tmp_path / "new", copies, point, passes, status=-signal.SIGKILL)
    there = point == "instance-renamed"
    assert (tmp_path / "new" / ".sim.new").exists() != there
    with Archive.open(tmp_path / "new", readonly=True) as new:
        assert new.instances() == ["other", *["sim"] * there]
    with (
        Archive.open(tmp_path / "a", options=SMALL) as archive,
        Archive.open(tmp_path / "new", options=SMALL) as new,
    ):
        assert not (tmp_path / "new" / ".sim.new").exists()
        found = new.instance("sim") if there else restored(new, copies)
        assert answers(found) == answers(archive.instance("sim"))


@pytest.mark.parametrize("point", [point for point in BACKUP_POINTS if point != "backup-older-deleted"])
@pytest.mark.parametrize(
    "fault", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()]
)
def test_a_failure_at_any_step_of_a_backup_leaves_whole_files(
    copies: Path, tmp_path: Path, point: str, fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(list_backups(copies))

    def fail(reached: str) -> None:
        if reached == point:
            raise fault

    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim")
        monkeypatch.setattr(failpoints, "on_point", fail)
        with pytest.raises(BaseException, match="No space" if isinstance(fault, OSError) else None):
            sim.backup(copies)
        monkeypatch.setattr(failpoints, "on_point", None)
        renamed = BACKUP_POINTS.index(point) >= BACKUP_POINTS.index("backup-renamed")
        assert len(list(copies.iterdir())) == len(list_backups(copies)) == before + renamed
        sim.backup(copies)


@pytest.mark.parametrize("point", RESTORE_POINTS[:-1])
def test_a_failure_at_any_step_of_a_restore_leaves_nothing(
    copies: Path, tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(reached: str) -> None:
        if reached == point:
            raise MemoryError("no more")

    with Archive.open(tmp_path / "new", options=SMALL) as new:
        monkeypatch.setattr(failpoints, "on_point", fail)
        with pytest.raises(MemoryError):
            new.restore(copies)
        monkeypatch.setattr(failpoints, "on_point", None)
        assert sorted(os.listdir(new.path)) == ["ARCHIVE", "archive.lock"]
        restored(new, copies)


def test_no_room_is_one_clear_error_and_leaves_nothing(copies: Path, tmp_path: Path) -> None:
    printed = run_in_fork(
        """
        import os, resource
        directory, copies = sys.argv[1:]
        sim = Archive.open(directory, options=Options(maintenance=False)).instance("sim")
        sim.append_many(Event(os.urandom(300).hex()) for _ in range(3000))
        whole = sim.backup(copies)

        def limited(limit, act):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                act()
            except OutOfSpaceError as error:
                print("no space")
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        names = sorted(os.listdir(copies))
        limited(whole.bytes // 2, lambda: sim.backup(copies))
        assert sorted(os.listdir(copies)) == names
        with Archive.open(directory + " new") as new:
            limited(1 << 19, lambda: new.restore(copies))
            assert new.instances() == []
            assert sorted(os.listdir(new.path)) == ["ARCHIVE", "archive.lock"]
            new.restore(copies)
            print(new.instance("sim").count() == sim.count())
        sim.backup(copies)
        """,
        tmp_path / "a",
        copies,
    )
    assert printed.split("\n")[:3] == ["no space", "no space", "True"]


def test_an_interrupt_ends_a_restore(copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = threading.Event()

    def interrupt(point: str) -> None:
        if point == "restore-filled":
            os.kill(os.getpid(), signal.SIGINT)
            assert interrupted.wait(WAIT_S)

    with Archive.open(tmp_path / "new", options=SMALL) as new:
        monkeypatch.setattr(failpoints, "on_point", interrupt)
        with pytest.raises(KeyboardInterrupt):
            new.restore(copies)
        interrupted.set()
        give_up = time.monotonic() + WAIT_S
        while (new.path / ".sim.new").exists():  # the thread that restores goes on to its next step
            assert time.monotonic() < give_up
            time.sleep(0.01)
        monkeypatch.setattr(failpoints, "on_point", None)
        assert new.instances() == []
        restored(new, copies)

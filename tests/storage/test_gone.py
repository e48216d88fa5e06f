"""While an archive is open, its files are removed, moved or replaced: then no event is acknowledged."""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.child import run_in_fork, start
from yamcs_archive import Archive, Event, Instance, Options
from yamcs_archive.errors import (
    ArchiveError,
    ClosedError,
    GoneError,
    LockedError,
    MirrorError,
    OutcomeUnknownError,
    OutOfSpaceError,
    ReadOnlyError,
    UnavailableError,
)
from yamcs_archive.results import MirrorState
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.disk import file_identity, file_system

QUIET = Options(maintenance=False, run_events_min=8, block_events_max=16)


def events(begin: int, count: int, source: str = "S") -> list[Event]:
    return [
        Event(f"{n}", source=source, generation_time=n, seq_number=n) for n in range(begin, begin + count)
    ]


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_identity, "LOOK_S", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def sim(path: Path) -> Iterator[Instance]:
    with ExitStack() as stack:
        archive = stack.enter_context(Archive.open(path, options=QUIET))
        sim = archive.instance("sim", create=True)
        sim.append_many(events(0, 3))
        sim.append_many(events(100, 40))
        yield sim


def another(path: Path) -> None:
    """Create another archive at that path, as restoring a backup would."""
    run_in_fork(
        """
        with Archive.open(sys.argv[1]) as archive:
            archive.instance("sim", create=True).append(Event("another"))
        """,
        path,
    )


def renamed(path: Path) -> Callable[[], None]:
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    return lambda: None if path.exists() else os.rename(aside, path)


def replaced(path: Path) -> Callable[[], None]:
    """Replace an instance, or its data, by that of another archive."""
    other = path.parent.parent / "other" if path.name == "sim" else path.parent / "other"
    another(other)
    back = renamed(path)
    os.rename(other / "sim" if path.name == "sim" else other, path)

    def undo() -> None:
        shutil.rmtree(path)
        back()

    return undo


def deleted(path: Path) -> Callable[[], None] | None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return None


def deleted_and_made(path: Path) -> Callable[[], None] | None:
    """Remove it, and let another process create it again; many file systems reuse the inodes."""
    shutil.rmtree(path)
    another(path)
    return None


WORLDS: dict[str, Callable[[Path], Callable[[], None] | None]] = {
    "the directory is removed": deleted,
    "the directory is moved": renamed,
    "the directory is replaced": replaced,
    "the directory is removed and made anew": deleted_and_made,
    "the instance is removed": lambda path: deleted(path / "sim"),
    "the instance is renamed": lambda path: renamed(path / "sim"),
    "the instance is replaced": lambda path: replaced(path / "sim"),
    "the generation is removed": lambda path: deleted(path / "sim" / "gen-1"),
    "the generation is renamed": lambda path: renamed(path / "sim" / "gen-1"),
    "the file is removed": lambda path: deleted(path / "sim" / "gen-1" / "data.mdb"),
    "the file is renamed": lambda path: renamed(path / "sim" / "gen-1" / "data.mdb"),
    "the lock is removed": lambda path: deleted(path / "archive.lock"),
    "the lock is renamed": lambda path: renamed(path / "archive.lock"),
}

APPENDS: dict[str, Callable[[Instance], Any]] = {
    "one": lambda sim: sim.append(Event("no")),
    "one that is stored already": lambda sim: sim.append(events(0, 1)[0]),
    "many": lambda sim: sim.append_many(events(1000, 100)),
    "many that are stored already": lambda sim: sim.append_many(events(100, 40)),
    "by a future": lambda sim: sim.submit(Event("no")).result(60),
    "with a request's id": lambda sim: sim.append(Event("no"), request_id="a"),
    "of a copy": lambda sim: sim.take_over([], MirrorState("http://127.0.0.1:1", "sim", None)),
}
STORED = {"one": 1, "many": 100, "by a future": 1, "with a request's id": 1}
"""Number of events that each append stores."""


CASES = [
    (world, append)
    for world in WORLDS
    for append in APPENDS
    if append in ("one", "many that are stored already")
    or world in ("the directory is removed", "the instance is renamed")
]


@pytest.mark.parametrize(("world", "append"), CASES)
def test_nothing_is_acknowledged_that_the_next_program_would_not_find(
    sim: Instance, path: Path, world: str, append: str
) -> None:
    undo = WORLDS[world](path)
    with pytest.raises(GoneError) as gone:
        sim.check_writable()
    assert "put it back, or close the archive and open it again" in str(gone.value)
    for _ in range(3):
        with pytest.raises(GoneError):
            APPENDS[append](sim)
    if undo is not None:
        undo()
        sim.check_writable()
        APPENDS[append](sim)
        assert len(list(sim.events())) == sim.stats().events == 43 + STORED.get(append, 0)


@pytest.mark.parametrize("world", WORLDS)
def test_reading_settling_and_compacting_then_work_or_raise_an_error_of_the_library(
    sim: Instance, path: Path, world: str
) -> None:
    parked = sim.events()
    next(parked)
    WORLDS[world](path)
    # The open file can still be read, so that its events can be saved.
    assert len(list(parked)) == 42
    assert len(list(sim.events())) == len(list(sim.changes())) == 43
    for action in (sim.settle, sim.compact, sim.stats, sim.settle, sim.compact):
        try:
            action()
        except ArchiveError as error:
            assert isinstance(error, UnavailableError | ClosedError), repr(error)
    assert len(list(sim.events())) == 43


@pytest.mark.parametrize("world", [world for world in WORLDS if "directory" in world])
def test_the_archive_itself_says_that_its_directory_is_gone(path: Path, world: str) -> None:
    with Archive.open(path, options=QUIET) as archive:
        archive.instance("sim", create=True)
        archive.check_writable()
        WORLDS[world](path)
        with pytest.raises(GoneError):
            archive.check_writable()
        for action in (
            archive.instances,
            lambda: archive.instance("new", create=True),
            lambda: archive.set_aside("sim"),
            lambda: archive.instance("no such"),
        ):
            with pytest.raises(ArchiveError):
                action()
        assert not (path / "new").exists()


def test_the_directory_can_be_opened_anew_by_a_process_that_closed_it_when_it_was_gone(path: Path) -> None:
    archive = Archive.open(path, options=QUIET)
    archive.instance("sim", create=True).append(Event("lost"))
    shutil.rmtree(path)
    with pytest.raises(GoneError):
        archive.instance("sim").append(Event("no"))
    archive.close()
    with Archive.open(path, options=QUIET) as again:
        assert again.instances() == []
        again.instance("sim", create=True).append(Event("kept"))
    with Archive.open(path, readonly=True) as again:
        assert [event.message for event in again.instance("sim").events()] == ["kept"]


def test_a_second_writer_that_came_in_by_a_removed_lock_is_the_only_one_that_writes(path: Path) -> None:
    with Archive.open(path, options=QUIET) as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("first", seq_number=0))
        (path / "archive.lock").unlink()
        second = start(
            """
            archive = Archive.open(sys.argv[1])
            sim = archive.instance("sim")
            sim.append(Event("by the second", seq_number=1))
            print("open", flush=True)
            sys.stdin.readline()
            sim.append(Event("by the second again", seq_number=2))
            """,
            path,
        )
        try:
            assert second.stdout is not None
            assert second.stdout.readline() == "open\n"
            for _ in range(2):
                with pytest.raises(GoneError, match=r"archive\.lock"):
                    sim.append(Event("by the first"))
                with pytest.raises(GoneError, match=r"archive\.lock"):
                    sim.compact()
        finally:
            _, complaints = second.communicate("go\n", timeout=60)
        assert second.returncode == 0, complaints
        with pytest.raises(GoneError):  # its state in memory is out of date
            sim.append(Event("by the first"))
    with Archive.open(path) as archive:
        sim = archive.instance("sim")
        assert [change.event.message for change in sim.changes()] == [
            "first",
            "by the second",
            "by the second again",
        ]
        assert sim.append(Event("by the first")).event.seq_number == 3


def test_a_lock_that_is_removed_while_it_is_taken_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, times = fcntl.lockf, 0

    def lockf(descriptor: int, kind: int) -> None:
        nonlocal times
        times += 1
        if times == 1:
            (tmp_path / "a" / "archive.lock").unlink()
        real(descriptor, kind)

    monkeypatch.setattr(fcntl, "lockf", lockf)
    with Archive.open(tmp_path / "a") as archive:
        assert times == 2
        archive.check_writable()
    printed = run_in_fork(
        """
        with Archive.open(sys.argv[1]):
            print("opened")
        """,
        tmp_path / "a",
    )
    assert printed == "opened\n"


def test_a_check_of_the_path_is_valid_for_a_millisecond(
    sim: Instance, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    now_s = time.monotonic() + 1
    monkeypatch.setattr(file_identity, "time", SimpleNamespace(monotonic=lambda: now_s))
    sim.append(Event("before"))
    undo = renamed(path / "sim")
    now_s += 0.0009
    assert not sim.append(Event("in what was moved just now")).duplicate
    now_s += 0.0002
    for _ in range(2):  # a look that failed is not good for anything
        with pytest.raises(GoneError):
            sim.append(Event("no"))
    undo()
    assert [event.message for event in sim.events(descending=True, limit=1)] == ["in what was moved just now"]
    sim.append(Event("after"))


def test_files_that_disappear_during_a_commit_make_its_outcome_unknown(sim: Instance, path: Path) -> None:
    sim.append(Event("before"))  # else a segment would have to be made, and nothing would be written
    back: list[Callable[[], None]] = []

    def move(point: str) -> None:
        if point == "before-commit":
            failpoints.on_point = None
            back.append(renamed(path / "sim"))

    failpoints.on_point = move
    try:
        with pytest.raises(OutcomeUnknownError) as caught:
            sim.append(Event("kept?", source="AOCS"))
    finally:
        failpoints.on_point = None
    back[0]()
    [event] = caught.value.events
    done = sim.append(event)
    assert done.duplicate  # it was stored in what was moved and put back
    assert sim.append(Event("next", source="AOCS")).event.seq_number == 1


def test_check_writable_raises_when_there_is_no_space(
    sim: Instance, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs

    class Full:
        f_frsize, f_blocks, f_bavail, f_bfree = 4096, 1 << 20, 511, 511

    with Archive.open(path, readonly=True) as reading:
        with pytest.raises(ReadOnlyError):
            reading.check_writable()
        with pytest.raises(ReadOnlyError):
            reading.instance("sim").check_writable()
    monkeypatch.setattr(os, "statvfs", lambda _: Full)
    with pytest.raises(OutOfSpaceError, match="less than 2 MiB is left"):
        sim.check_writable()
    Full.f_bavail = Full.f_bfree = 512  # 2 MiB
    sim.check_writable()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    Full.f_bavail = 0
    for Full.f_blocks, reserved in ((1 << 20, 4096), (50_000, 1000)):  # ext4 keeps so many for itself
        Full.f_bfree = reserved + 511
        with pytest.raises(OutOfSpaceError):
            sim.check_writable()
        Full.f_bfree = reserved + 512
        sim.check_writable()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # the rest is the superuser's
    with pytest.raises(OutOfSpaceError):
        sim.check_writable()
    monkeypatch.setattr(os, "statvfs", real)
    sim.check_writable()


def test_check_writable_of_an_archive_checks_the_space_and_ignores_mirrors(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive.open(path, options=QUIET) as archive:
        archive.check_writable()
        copy = archive.instance("copy", create=True)
        copy.take_over([], MirrorState("http://127.0.0.1:1", "sim", None))
        archive.check_writable()
        with pytest.raises(MirrorError):
            copy.check_writable()
        monkeypatch.setattr(file_system, "nearly_full", lambda _: True)
        with pytest.raises(OutOfSpaceError):
            archive.check_writable()
    with pytest.raises(ClosedError):
        archive.check_writable()
    with pytest.raises(ClosedError):
        copy.check_writable()


def test_a_limit_of_a_file_s_size_counts_as_a_full_disk(path: Path) -> None:
    printed = run_in_fork(
        """
        import resource
        archive = Archive.open(sys.argv[1])
        sim = archive.instance("sim", create=True)
        sim.append(Event("a"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        for check in (sim.check_writable, archive.check_writable):
            try:
                check()
            except OutOfSpaceError:
                print("full")
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, resource.RLIM_INFINITY))
        archive.check_writable()
        """,
        path,
    )
    assert printed == "full\nfull\n"


def test_a_second_archive_of_this_process_is_refused_by_the_lock_of_before_it_was_gone(path: Path) -> None:
    with Archive.open(path, options=QUIET) as archive:
        with pytest.raises(LockedError):
            Archive.open(path)
        path.rename(path.with_name("moved"))
        with Archive.open(path) as new:  # another directory, of which nobody holds the lock
            new.instance("sim", create=True).append(Event("new"))
            with pytest.raises(GoneError):
                archive.instance("sim2", create=True)

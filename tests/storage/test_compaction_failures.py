"""Compaction is killed, fails, or meets a full disk or damage: no event is lost, and work continues."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.child import run, run_in_fork
from tests.storage.compacting import folder, mixed, only
from tests.storage.test_checkpoints import SMALL, events, whole
from yamcs_archive import Archive, Event, Instance, Options
from yamcs_archive.errors import (
    ArchiveError,
    DamagedError,
    UnavailableError,
)
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.disk import directory, generations
from yamcs_archive.storage.failpoints import COMPACT_POINTS
from yamcs_archive.storage.maintain import compaction

_COMPACT_THEN_DIE = """
    import os, signal
    from yamcs_archive.storage import failpoints
    directory, deadly = sys.argv[1:]
    options = Options(block_events_max=16, run_events_min=8, maintenance=False)
    sim = Archive.open(directory, options=options).instance("sim", create=True)
    sim.append_many(Event(f"{n}", source="S", generation_time=n * 10) for n in range(100))
    for n in range(60):
        sim.append(Event("late", source=f"L{n}", generation_time=n * 7))

    def die(reached):
        if reached in ("compact-copied", "compact-checked"):
            failpoints.on_point = None
            sim.append_many(Event(reached, source="M", generation_time=n) for n in range(30))
            failpoints.on_point = die
        if reached == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.on_point = die
    sim.compact()
"""


@pytest.mark.parametrize("point", COMPACT_POINTS)
def test_a_kill_at_any_step_leaves_one_generation_and_all_that_was_acknowledged(
    tmp_path: Path, point: str
) -> None:
    run_in_fork(_COMPACT_THEN_DIE, tmp_path / "a", point, status=-signal.SIGKILL)
    at = COMPACT_POINTS.index(point)
    expected = 160 + 30 * ((at >= 1) + (at >= 3))
    number = 1 + (at >= COMPACT_POINTS.index("compact-renamed"))
    assert folder(tmp_path / "a" / "sim")[0] == f"gen-{number}"
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        whole(archive.instance("sim"))
        assert archive.instance("sim").stats().events == expected
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim")
        assert folder(tmp_path / "a" / "sim") == only(number)
        whole(sim)
        assert sim.stats().events == expected
        sim.append(Event("after"))
        sim.compact()
        whole(sim)
        assert folder(tmp_path / "a" / "sim") == only(number + 1)
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        assert archive.instance("sim").stats().events == expected + 1


@pytest.mark.parametrize(
    "fault", [ArchiveError("stopped here"), OSError(errno.EIO, "Input/output error"), MemoryError("no more")]
)
@pytest.mark.parametrize("point", COMPACT_POINTS)
def test_a_failure_at_any_step_leaves_one_generation_in_which_all_goes_on(
    tmp_path: Path, at: Any, point: str, fault: Exception
) -> None:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        mixed(sim)
        parked = sim.events()
        first = next(parked)

        def fail(reached: str) -> None:
            if reached == "compact-copied":
                sim.append_many(Event("meanwhile", generation_time=50_000 + n) for n in range(30))
            if reached == "compact-carried":
                sim.append(next(sim.events()))  # this duplicate is counted in memory only
            if reached == point:
                raise fault

        at(fail)
        with pytest.raises((ArchiveError, type(fault)), match=str(fault.args[-1])):
            sim.compact()
        failpoints.on_point = None
        expected = 161 + 30 * (COMPACT_POINTS.index(point) >= 1)
        duplicates = COMPACT_POINTS.index(point) >= COMPACT_POINTS.index("compact-carried")
        number = 1 + (COMPACT_POINTS.index(point) >= COMPACT_POINTS.index("compact-renamed"))
        assert folder(tmp_path / "a" / "sim") == only(number)
        whole(sim)
        assert (sim.stats().events, sim.stats().duplicates) == (expected, duplicates)
        sim.append(Event("after", generation_time=1_000_000))
        assert len([first, *parked]) == expected + 1
        # Events that are acknowledged now must be in the generation that other processes read.
        printed = run_in_fork(
            """
            sim = Archive.open(sys.argv[1], readonly=True).instance("sim")
            print(sum(1 for _ in sim.events()), sum(1 for _ in sim.changes()))
            """,
            tmp_path / "a",
        )
        assert printed == f"{expected + 1} {expected + 1}\n"
        sim.compact()
        whole(sim)
        assert folder(tmp_path / "a" / "sim") == only(number + 1)
        assert (sim.stats().events, sim.stats().duplicates) == (expected + 1, duplicates)


def test_nothing_is_acknowledged_or_removed_until_the_change_is_durable(
    tmp_path: Path, at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, broken = directory.sync, False

    def sync(path: Path) -> None:
        if broken and path.name == "sim":
            raise OSError(errno.EIO, "Input/output error")
        synced(path)

    def fail(point: str) -> None:
        nonlocal broken
        broken = broken or point == "compact-renamed"

    for module in (directory, generations):
        monkeypatch.setattr(module, "sync", sync)
    at(fail)
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        mixed(sim)
        with pytest.raises(UnavailableError, match="Input/output error"):
            sim.compact()
        assert folder(tmp_path / "a" / "sim") == (
            "gen-2",
            ["gen-1", "gen-2"],
        )  # a power cut may bring back either
        for _ in range(2):
            with pytest.raises(UnavailableError):
                sim.append(Event("not acknowledged"))
            with pytest.raises(UnavailableError):
                sim.compact()
            whole(sim)  # reading still works
    with Archive.open(tmp_path / "a", options=SMALL) as archive, pytest.raises(UnavailableError):
        archive.instance("sim")
    assert folder(tmp_path / "a" / "sim") == ("gen-2", ["gen-1", "gen-2"])
    broken = False
    monkeypatch.setattr(failpoints, "on_point", None)
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim")
        assert folder(tmp_path / "a" / "sim") == only(2)
        assert sim.stats().events == 161
        sim.append(Event("after"))
        whole(sim)


@pytest.mark.parametrize("point", ["compact-begun", "compact-checked"])
def test_a_full_disk_while_copying_changes_nothing_and_says_so(tmp_path: Path, point: str) -> None:
    printed = run(
        """
        import os, resource
        from pathlib import Path
        from yamcs_archive.storage import failpoints
        directory, point = sys.argv[1:]
        options = Options(run_events_min=1000, maintenance=False)  # what comes later is in blocks too
        sim = Archive.open(directory, options=options).instance("sim", create=True)
        sim.append_many(Event(os.urandom(300).hex()) for _ in range(3000))

        def fill_up(reached):
            if reached == point:
                failpoints.on_point = None
                if point == "compact-checked":  # there is room for the copy, not for what came since
                    sim.append_many(Event(os.urandom(300).hex()) for _ in range(2000))
                    limit = (Path(directory) / "sim" / "gen-2" / "data.mdb").stat().st_size + 4096
                else:
                    limit = 1 << 19
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        failpoints.on_point = fill_up
        try:
            sim.compact()
        except OutOfSpaceError as error:
            print("no space for", Path(error.path).name)
        names = sorted(os.listdir(Path(directory) / "sim"))
        print(sum(1 for _ in sim.events()), sum(1 for _ in sim.changes()), *names)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        sim.append(Event("after"))
        sim.compact()
        print(sum(1 for _ in sim.events()), sum(1 for _ in sim.changes()))
        """,
        tmp_path / "a",
        point,
    )
    events = 3000 if point == "compact-begun" else 5000
    lines = printed.splitlines()
    assert lines[0] == "no space for gen-2"
    assert lines[1] == f"{events} {events} CURRENT gen-1"
    assert lines[2] == f"{events + 1} {events + 1}"


@pytest.mark.parametrize("action", ["settle", "compact"])
def test_a_full_disk_in_a_checkpoint_is_an_out_of_space_error(tmp_path: Path, action: str) -> None:
    printed = run(
        """
        import os, resource
        from pathlib import Path
        directory, action = sys.argv[1:]
        sim = Archive.open(directory, options=Options(maintenance=False)).instance("sim", create=True)
        for n in range(20):
            sim.append_many(Event(os.urandom(900).hex(), generation_time=n + 20 * m) for m in range(50))
        file = Path(directory) / "sim" / "gen-1" / "data.mdb"
        # In the middle of a page, as where a disk is full: LMDB says "Input/output error" of a short write.
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 6000, resource.RLIM_INFINITY))
        try:
            getattr(sim, action)()
        except OutOfSpaceError as error:
            print("no space")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        getattr(sim, action)()
        print(sum(1 for _ in sim.events()))
        """,
        tmp_path / "a",
        action,
    )
    assert printed == "no space\n1000\n"


def test_a_map_that_fills_up_meanwhile_grows_in_both_folder(tmp_path: Path, at: Any) -> None:
    options = Options(map_bytes=1 << 18, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("first"))

        def append(point: str) -> None:
            if point == "compact-checked":
                sim.append_many(Event(os.urandom(500).hex(), generation_time=n) for n in range(2000))

        at(append)
        sim.compact()
        assert (
            sim.append_many(Event(os.urandom(500).hex(), generation_time=n) for n in range(2000)).stored
            == 2000
        )
        whole(sim)
    with Archive.open(tmp_path / "a", options=options) as archive:
        assert archive.instance("sim").stats().events == 4001
        whole(archive.instance("sim"))


@pytest.mark.parametrize("name", ["blocks", "summaries", "commits", "sources", "meta"])
def test_a_damaged_record_is_named_and_not_changed(
    small: Instance, tmp_path: Path, at: Any, name: str
) -> None:
    small.append_many(events(40))
    environment: Any = small._store._environment  # type: ignore[attr-defined]  # there is no public way to damage

    def damage(point: str) -> None:
        if point == "compact-begun":
            with environment.lmdb.begin(write=True, db=environment.databases[name]) as transaction:
                cursor = transaction.cursor()
                cursor.last()
                cursor.put(cursor.key(), cursor.value()[:-1] + bytes([cursor.value()[-1] ^ 1]))

    at(damage)
    with pytest.raises(DamagedError, match=f"^{name} "):
        small.compact()
    assert folder(tmp_path / "a" / "sim") == only(1)


def test_a_copy_that_lacks_something_is_not_put_in_use(
    small: Instance, tmp_path: Path, at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed(small)
    at(
        lambda point: (
            small.append_many(events(30, source="T")) and None if point == "compact-checked" else None
        )
    )
    with monkeypatch.context() as patch:
        patch.setattr(compaction, "_carry", lambda *_: 0)
        with pytest.raises(DamagedError, match="were copied of"):
            small.compact()
    assert folder(tmp_path / "a" / "sim") == only(1)
    whole(small)
    assert small.stats().events == 191

"""An instance is replaced while it is read: set aside and created again, moved, put back."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.child import run_in_fork
from yamcs_archive import Archive, Event, EventKey, Options
from yamcs_archive.errors import ClosedError, GoneError, OtherHistoryError, ReplacedError
from yamcs_archive.results import MirrorState

_WRITE = """
    import os, shutil
    with Archive.open(sys.argv[1], options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        {action}
"""
ANEW = {
    "set aside": "archive.set_aside('sim')",
    "renamed": "os.rename(archive.path / 'sim', archive.path / 'old')",
    # Many file systems give the inodes of removed files to the next new ones.
    "removed": "shutil.rmtree(archive.path / 'sim')",
}
MORE = """
        sim = archive.instance("sim", create=True)
        sim.append_many(Event(f"new {n}", source="N", generation_time=n) for n in range(COUNT))
"""


def write(path: Path, action: str) -> None:
    run_in_fork(_WRITE.format(action=action), path)


def anew(path: Path, how: str, count: int = 1) -> None:
    """Let another process replace the instance by a new one."""
    run_in_fork(
        """
        import os, shutil
        with Archive.open(sys.argv[1], options=Options(maintenance=False)) as archive:
            exec(sys.argv[2])
        with Archive.open(sys.argv[1], options=Options(maintenance=False)) as archive:
            sim = archive.instance("sim", create=True)
            sim.append_many(Event(f"new {n}", source="N", generation_time=n) for n in range(int(sys.argv[3])))
        """,
        path,
        ANEW[how],
        count,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An archive with 240 young events, which takes several snapshots to read."""
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        for n in range(0, 240, 80):
            sim.append_many(Event(f"old {n + m}", source="O", generation_time=n + m) for m in range(80))
    return tmp_path / "a"


@pytest.fixture
def reading(path: Path) -> Iterator[Archive]:
    with Archive.open(path, readonly=True, options=Options(read_events_max=10)) as archive:
        yield archive


@pytest.mark.parametrize("how", ANEW)
def test_new_calls_read_the_new_instance_and_calls_under_way_end(
    path: Path, reading: Archive, how: str
) -> None:
    sim = reading.instance("sim")
    last = [change.cursor for change in sim.changes()][-1]
    under_way: list[Iterator[Any]] = [
        sim.events(),
        sim.events(descending=True, limit=250),
        sim.changes(),
        sim.commits(),
    ]
    for each in under_way:
        next(each)
    waiting = sim.arrival(last)
    anew(path, how, count=400)
    for each in under_way:
        with pytest.raises(ReplacedError, match="begin anew"):
            list(each)
    assert [event.message for event in sim.events(limit=2)] == ["new 0", "new 1"]
    assert sim.sources() == ["N"]
    assert sim.stats().events == 400
    assert sim.get(next(sim.events()).key) is not None
    for after in (lambda: sim.changes(last), lambda: sim.commits(last), lambda: sim.arrival(last)):
        with pytest.raises(OtherHistoryError):
            after()
    assert isinstance(waiting.exception(60), ReplacedError | GoneError | None)
    assert [change.event.message for change in sim.changes()][-1] == "new 399"
    write(path, "sim.append(Event('newest', source='N', generation_time=1_000))")
    assert [change.event.message for change in sim.changes(sim.cursor())] == []
    assert next(sim.events(descending=True)).message == "newest"
    write(path, "sim.compact()")
    assert sim.stats().events == 401


@pytest.mark.parametrize("how", ANEW)
@pytest.mark.parametrize(
    "ask",
    [
        lambda sim: [event.message for event in sim.events(limit=1)],
        lambda sim: [change.event.message for change in sim.changes()][:1],
        lambda sim: [event.message for commit in sim.commits() for event in commit.events][:1],
        lambda sim: ["new 0"] if sim.sources() == ["N"] else [],
        lambda sim: [sim.get(EventKey(0, "N", 0)).message],
        lambda sim: ["new 0"] if sim.stats().events == 1 else [],
        lambda sim: ["new 0"] if len(list(sim.changes(sim.cursor()))) == 0 else [],
        lambda sim: ["new 0"] if [stretch.source for stretch in sim.histogram()] == ["N"] else [],
    ],
)
def test_each_door_notices_by_itself(
    path: Path, reading: Archive, how: str, ask: Callable[[Any], list[str]]
) -> None:
    sim = reading.instance("sim")
    assert sim.stats().events == 240
    anew(path, how)
    assert ask(sim) == ["new 0"]
    assert reading.instance("sim") is sim


def test_one_that_was_set_aside_is_read_under_its_other_name_beside_the_new_one(
    path: Path, reading: Archive
) -> None:
    sim = reading.instance("sim")
    parked = sim.events()
    next(parked)
    anew(path, "set aside")
    [kept] = [name for name in reading.instances() if name != "sim"]
    old = reading.instance(kept)
    assert len(list(old.events())) == 240
    assert [event.message for event in sim.events()] == ["new 0"]
    assert len(list(old.events())) == 240
    with pytest.raises(ReplacedError):
        list(parked)


def test_one_that_was_put_back_is_read_again(path: Path, reading: Archive) -> None:
    sim = reading.instance("sim")
    last = sim.cursor()
    (path / "sim").rename(path / "old")
    for _ in range(2):
        with pytest.raises(GoneError):
            sim.stats()
        with pytest.raises(GoneError):
            list(sim.events())
    (path / "old").rename(path / "sim")
    assert sim.stats().events == 240
    assert list(sim.changes(last)) == []


def test_a_whole_archive_in_the_place_of_another_is_noticed(
    path: Path, reading: Archive, tmp_path: Path
) -> None:
    sim = reading.instance("sim")
    assert sim.stats().events == 240
    shutil.copytree(path, tmp_path / "b")
    write(tmp_path / "b", "sim.append(Event('in the copy', source='C'))")
    path.rename(tmp_path / "moved")
    with pytest.raises(GoneError):
        reading.instances()
    os.rename(tmp_path / "b", path)
    assert reading.instances() == ["sim"]
    assert sim.sources() == ["C", "O"]


def test_a_reader_in_the_writer_s_process_finds_the_new_instance(path: Path) -> None:
    with ExitStack() as stack:
        writing = stack.enter_context(Archive.open(path, options=Options(maintenance=False)))
        reading = stack.enter_context(
            Archive.open(path, readonly=True, options=Options(read_events_max=10, maintenance=False))
        )
        old, sim = writing.instance("sim"), reading.instance("sim")
        parked = sim.events()
        next(parked)
        kept = writing.set_aside("sim")
        with pytest.raises(ClosedError):
            old.append(Event("no"))
        with pytest.raises(GoneError):
            sim.stats()
        writing.instance("sim", create=True).append(Event("new"))
        assert [event.message for event in sim.events()] == ["new"]
        with pytest.raises(ReplacedError):
            list(parked)
        assert len(list(writing.instance(kept).events())) == len(list(reading.instance(kept).events())) == 240
        writing.instance("sim").compact()
        assert [event.message for event in sim.events()] == ["new"]


def test_the_facts_of_an_instance_are_read_anew_from_each_generation(path: Path, reading: Archive) -> None:
    sim = reading.instance("sim")
    assert sim.mirrored is None
    run_in_fork(
        """
        from yamcs_archive.results import MirrorState
        with Archive.open(sys.argv[1], options=Options(maintenance=False)) as archive:
            sim = archive.instance("sim")
            sim.take_over([], MirrorState("http://127.0.0.1:1", "sim", None))
            sim.compact()
        """,
        path,
    )
    assert sim.stats().events == 240
    assert sim.mirrored == MirrorState("http://127.0.0.1:1", "sim", None)


def test_descriptors_are_given_back_when_one_after_the_other_is_replaced(
    path: Path, reading: Archive
) -> None:
    sim = reading.instance("sim")
    counts = []
    for _ in range(3):
        anew(path, "removed")
        assert sim.stats().events == 1
        counts.append(len(os.listdir("/proc/self/fd")))
    assert len(set(counts)) == 1

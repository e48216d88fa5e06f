"""A copy that takes over commits has the same events, order and times, and its state is stored with them."""

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.child import run_in_fork
from yamcs_archive import Archive, Event, Instance, Options
from yamcs_archive.errors import ConflictError, MirrorError
from yamcs_archive.event import as_stored
from yamcs_archive.results import Commit, MirrorState


def take(copy: Instance, commits: Sequence[Commit]) -> None:
    copy.take_over(commits, MirrorState("http://127.0.0.1:8090", "sim", commits[-1].cursor))


def told(instance: Instance) -> list[tuple[int, tuple[Event, ...]]]:
    return [(commit.time, commit.events) for commit in instance.commits()]


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_the_copy_has_the_same_commits_for_every_size_of_step(tmp_path: Path, at_once: int) -> None:
    options = Options(block_events_max=7, run_events_min=3, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as first:
        sim = first.instance("sim", create=True)
        for turn in range(12):
            sim.append_many(
                Event(f"{turn}/{n}", source=f"S{n % 2}", generation_time=turn * 100 - turn % 3 * 250 + n)
                for n in range(5 + turn)
            )
            if turn % 4 == 3:
                sim.settle()
        commits = list(sim.commits())
        with Archive.open(tmp_path / "b", options=options) as second:
            copy = second.instance("sim", create=True)
            for at in range(0, len(commits), at_once):
                take(copy, commits[at : at + at_once])
            assert told(copy) == told(sim)
            assert list(copy.events()) == list(sim.events())
            assert copy.stats().sources == sim.stats().sources
        with Archive.open(tmp_path / "b", options=options) as second:
            copy = second.instance("sim")
            assert told(copy) == told(sim)
            mirrored = copy.mirrored
            assert mirrored is not None
            assert mirrored.cursor == sim.cursor()
            copy.compact()
            assert told(copy) == told(sim)
        with Archive.open(tmp_path / "b", options=options) as second:
            assert second.instance("sim").mirrored == mirrored


def test_nothing_else_may_be_appended_to_a_copy(archive: Archive, sim: Instance) -> None:
    sim.append(Event("first"))
    copy = archive.instance("copy", create=True)
    take(copy, list(sim.commits()))
    for append in (copy.append, copy.submit):
        with pytest.raises(MirrorError, match="http://127"):
            append(Event("of its own"))
    with pytest.raises(MirrorError):
        copy.append_many([Event("of its own")])
    assert told(copy) == told(sim)


def test_at_a_conflict_nothing_of_it_is_stored_and_both_are_shown(archive: Archive, sim: Instance) -> None:
    sim.append(Event("first", generation_time=0, seq_number=0, reception_time=1))
    copy = archive.instance("copy", create=True)
    take(copy, list(sim.commits()))
    came = told(copy)
    good = Commit(5, (as_stored(Event("good", generation_time=1, seq_number=1, reception_time=1)),), "x")
    for message, reception_time in (("other", 1), ("first", 2)):
        other = Event(message, generation_time=0, seq_number=0, reception_time=reception_time)
        with pytest.raises(ConflictError) as caught:
            take(copy, [good, Commit(6, (as_stored(other),), "y")])
        assert (caught.value.stored.message, caught.value.offered) == ("first", other)
        assert told(copy) == came
    take(copy, [good])
    assert told(copy) == [*came, (good.time, good.events)]


_TAKE_OVER_THEN_DIE = """
    from yamcs_archive.results import Commit, MirrorState
    from tests.dying import die_at
    directory, point, passes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    copy = Archive.open(directory).instance("sim", create=True)

    die_at(point, passes)
    for page in range(4):
        commits = [
            Commit(
                10 * page + n,
                tuple(
                    Event(f"{n}", generation_time=m - n - page, seq_number=9 * page + n, reception_time=1)
                    for m in range(3)
                ),
                "",
            )
            for n in range(3)
        ]
        copy.take_over(commits, MirrorState("http://127.0.0.1:8090", "sim", f"after page {page}"))
        print(page, flush=True)
"""


@pytest.mark.parametrize("point", ["before-commit", "after-commit"])
@pytest.mark.parametrize("passes", [0, 2])
def test_a_kill_leaves_whole_pages_and_the_cursor_after_the_last_of_them(
    tmp_path: Path, point: str, passes: int
) -> None:
    printed = run_in_fork(_TAKE_OVER_THEN_DIE, tmp_path / "archive", point, passes, status=-signal.SIGKILL)
    acknowledged = len(printed.split())
    with Archive.open(tmp_path / "archive") as archive:
        copy = archive.instance("sim", create=True)
        times = [time for time, _ in told(copy)]
        pages = len(times) // 3
        assert acknowledged <= pages <= acknowledged + 1
        assert times == [10 * page + n for page in range(pages) for n in range(3)]
        assert [len(events) for _, events in told(copy)] == [3] * len(times)
        assert copy.stats().events == 9 * pages
        state = copy.mirrored
        assert (state.cursor if state else None) == (f"after page {pages - 1}" if pages else None)


def test_a_reader_beside_the_writer_sees_the_state_of_the_copy(tmp_path: Path, sim: Instance) -> None:
    sim.append_many([Event("first"), Event("second")])
    with (
        Archive.open(tmp_path / "b") as second,
        Archive.open(tmp_path / "b", readonly=True) as beside,
    ):
        copy = second.instance("copy", create=True)
        reader = beside.instance("copy")
        seen = [reader.mirrored]
        copy.take_over([], MirrorState("http://127.0.0.1:8090", "sim", None))
        seen.append(reader.mirrored)
        take(copy, list(sim.commits()))
        seen.append(reader.mirrored)
        states = [MirrorState("http://127.0.0.1:8090", "sim", cursor) for cursor in (None, sim.cursor())]
        assert seen == [None, *states]

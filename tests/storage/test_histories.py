"""An archive that was put back to an older state refuses cursors of lost commits; all others stay valid."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.storage.by_hand import change_meta, put_into_lmdb
from tests.storage.test_damage import damage
from yamcs_archive import Archive, Event, Instance, Options
from yamcs_archive.errors import (
    BadCursorError,
    CursorGoneError,
    DamagedError,
    OtherHistoryError,
    OutcomeUnknownError,
)
from yamcs_archive.results import MirrorState
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.format.commits import commit_key, decode_cursor, encode_cursor

SMALL = Options(block_events_max=7, run_events_min=3, maintenance=False)
SHARED = 4
"""Commits that both histories have."""


@contextmanager
def opened(folder: Path, options: Options = SMALL) -> Iterator[Instance]:
    with Archive.open(folder, options=options) as archive:
        yield archive.instance("sim", create=True)


def grow(sim: Instance, history: str, commits: range) -> None:
    """Store commits of one to three events each."""
    for n in commits:
        sim.append_many(Event(f"{history} {n}/{m}", source=history) for m in range(1 + n % 3))


def places(sim: Instance) -> dict[str, tuple[int, int]]:
    """Every possible cursor, with its commit and its position."""
    texts = [sim.cursor(), *(change.cursor for change in sim.changes())]
    texts += [commit.cursor for commit in sim.commits()]
    return {text: decode_cursor(text).order for text in texts}


def unmarked(text: str) -> str:
    """The same cursor in the form of earlier versions."""
    return encode_cursor(decode_cursor(text)._replace(fingerprint=None))


def put_back(folder: Path, before: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(before, folder)


DOORS: list[Callable[[Instance, str], object]] = [
    lambda sim, cursor: sim.changes(after=cursor),
    lambda sim, cursor: sim.commits(after=cursor),
    lambda sim, cursor: sim.arrival(cursor, timeout_s=0).result(60),
]


@pytest.mark.parametrize("at_rest", ["as it came", "settled", "compacted"])
@pytest.mark.parametrize("commits", [SHARED, SHARED + 1, 7, 8, 9, 20])
def test_cursors_of_lost_commits_are_refused_and_earlier_ones_stay_valid(
    tmp_path: Path, commits: int, at_rest: str
) -> None:
    folder, before = tmp_path / "a", tmp_path / "before"
    with opened(folder) as sim:
        grow(sim, "shared", range(SHARED))
    shutil.copytree(folder, before)
    with opened(folder) as sim:
        grow(sim, "lost", range(SHARED, 8))
        lost = places(sim)
    put_back(folder, before)
    with opened(folder) as sim:
        grow(sim, "new", range(SHARED, commits))
        if at_rest != "as it came":
            sim.settle()
        if at_rest == "compacted":
            sim.compact()
        told = [(commit.events, decode_cursor(commit.cursor).commit) for commit in sim.commits()]
        for cursor, (commit, position) in lost.items():
            if commit > SHARED:
                for door in DOORS:
                    with pytest.raises(OtherHistoryError, match=f"since commit {commit} or before") as caught:
                        door(sim, cursor)
                    assert caught.value.commit == commit
            else:
                later = [event for events, number in told if number > commit for event in events]
                within = [event for events, number in told if number == commit for event in events[position:]]
                assert [change.event for change in sim.changes(after=cursor)] == within + later
                DOORS[2](sim, cursor)
        again = places(sim)
    with opened(folder) as sim:
        assert places(sim) == again
        for cursor in again:
            for door in DOORS:
                door(sim, cursor)


@pytest.mark.parametrize("at_rest", [False, True])
def test_checkpoints_and_compaction_do_not_change_the_text_of_a_cursor(tmp_path: Path, at_rest: bool) -> None:
    with opened(tmp_path / "a") as sim:
        empty = sim.cursor()
        assert list(sim.changes(after=empty)) == []
        grow(sim, "a", range(40))
        before = places(sim)
        if at_rest:
            sim.settle()
            assert places(sim) == before
            sim.compact()
        assert places(sim) == before
        newest = sim.cursor()
        assert [change.cursor for change in sim.changes()][-1] == newest
        assert [commit.cursor for commit in sim.commits()][-1] == newest
        assert len(list(sim.changes(after=empty))) == sim.stats().events


def test_an_archive_that_was_put_back_to_its_beginning_knows_only_the_cursor_of_it(tmp_path: Path) -> None:
    folder, before = tmp_path / "a", tmp_path / "before"
    with opened(folder) as sim:
        beginning = sim.cursor()
    shutil.copytree(folder, before)
    with opened(folder) as sim:
        sim.append(Event("lost"))
        lost = sim.cursor()
    put_back(folder, before)
    with opened(folder) as sim:
        for cursor in (lost, unmarked(lost)):
            with pytest.raises(OtherHistoryError, match="commit 1"):
                sim.changes(after=cursor)
        assert sim.cursor() == beginning
        assert list(sim.changes(after=beginning)) == []


@pytest.mark.parametrize("number", ["time", "events"])
def test_one_difference_is_enough(tmp_path: Path, number: str) -> None:
    """Commits with equal times differ in their number of events; those with equal numbers, in their times."""
    folder, before = tmp_path / "a", tmp_path / "before"
    with opened(folder, Options(clock=lambda: 5)) as sim:
        sim.append(Event("shared"))
    shutil.copytree(folder, before)
    with opened(folder, Options(clock=lambda: 5)) as sim:
        sim.append(Event("lost"))
        lost = sim.cursor()
    put_back(folder, before)
    with opened(folder, Options(clock=lambda: 6 if number == "time" else 5)) as sim:
        sim.append_many([Event(f"{n}") for n in range(1 if number == "time" else 2)])
        with pytest.raises(OtherHistoryError):
            sim.changes(after=lost)


def test_cursors_of_earlier_versions_hold_and_can_be_renewed(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as sim:
        beginning = sim.cursor()
        grow(sim, "a", range(9))
        sim.settle()
        grow(sim, "b", range(9, 12))
        for cursor in [beginning, *places(sim)]:
            old = unmarked(cursor)
            assert len(old) == 32
            assert [*sim.changes(after=old)] == [*sim.changes(after=cursor)]
            assert [*sim.commits(after=old)] == [*sim.commits(after=cursor)]
            assert sim.arrival(old, timeout_s=0).result(60) is None
            assert sim.renewed(old) == sim.renewed(cursor) == cursor
        with pytest.raises(BadCursorError):
            sim.renewed("made up")


def test_a_cursor_without_a_fingerprint_is_refused_where_it_can_only_be_of_another_history(
    tmp_path: Path,
) -> None:
    folder, before = tmp_path / "a", tmp_path / "before"
    with opened(folder) as sim:
        sim.append(Event("shared"))
    shutil.copytree(folder, before)
    with opened(folder) as sim:
        sim.append_many([Event("a"), Event("b"), Event("c")])
        sim.append(Event("d"))
        old = [unmarked(change.cursor) for change in sim.changes()][1:]
    put_back(folder, before)
    with opened(folder) as sim:
        sim.append_many([Event("new"), Event("newer")])
        taken = []
        for cursor in old:
            try:
                sim.changes(after=cursor)
                taken.append(decode_cursor(cursor).order)
            except OtherHistoryError:
                pass
        assert taken == [(2, 1), (2, 2)]


def test_a_cursor_beyond_its_commit_that_knows_it_was_made_up(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as sim:
        beginning = sim.cursor()
        sim.append_many([Event("a"), Event("b")])
        sim.append(Event("c"))
        for text in (*(change.cursor for change in sim.changes()), beginning):
            cursor = decode_cursor(text)
            for position in (3, 2**32 - 1):
                with pytest.raises(BadCursorError, match="beyond the last event of its commit"):
                    sim.changes(after=encode_cursor(cursor._replace(position=position)))
        with pytest.raises(BadCursorError, match="beyond the last event of its commit"):
            sim.changes(after=encode_cursor(decode_cursor(beginning)._replace(position=1)))


def test_pruned_events_are_distinguished_from_another_history(tmp_path: Path) -> None:
    folder, before = tmp_path / "a", tmp_path / "before"
    with opened(folder) as sim:
        sim.append(Event("shared", generation_time=1))
        shared = sim.cursor()
    shutil.copytree(folder, before)
    with opened(folder) as sim:
        sim.append(Event("lost", generation_time=2))
        lost = sim.cursor()
    put_back(folder, before)
    with opened(folder) as sim:
        for n in range(2, 6):
            sim.append(Event("new", generation_time=n))
    change_meta(folder / "sim", horizon=4, horizon_commit=3)
    with opened(folder) as sim:
        with pytest.raises(CursorGoneError) as caught:
            sim.changes(after=shared)
        oldest = caught.value.oldest
        assert decode_cursor(oldest).fingerprint is not None
        assert [change.event.generation_time for change in sim.changes(after=oldest)] == [4, 5]
        with pytest.raises(OtherHistoryError, match="commit 2"):
            sim.changes(after=lost)
    put_back(folder, before)  # the oldest one is refused, too, once its history is gone
    with opened(folder) as sim:
        sim.append_many([Event("x", generation_time=n) for n in range(9)])
        sim.append(Event("y"))
        with pytest.raises(OtherHistoryError, match="commit 3"):
            sim.changes(after=oldest)


def test_the_oldest_cursor_is_known_where_the_record_of_its_commit_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    with opened(folder) as sim:
        beginning = sim.cursor()
        for n in range(1, 6):
            sim.append(Event("m", generation_time=n))
    change_meta(folder / "sim", horizon=4, horizon_commit=3)
    places = []
    for damaged in (False, True):
        if damaged:
            damage(folder, "commits", 2, -1)
        with opened(folder) as sim, pytest.raises(CursorGoneError) as caught:
            sim.changes(after=beginning)
        places.append(decode_cursor(caught.value.oldest).order)
    assert places[0] == places[1]


def test_a_damaged_commit_record_stops_only_the_cursors_of_its_commits(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as sim:
        for n in range(4):
            sim.append(Event(f"{n}", generation_time=n))
        cursors = [change.cursor for change in sim.changes()]
    put_into_lmdb(tmp_path / "a")
    with opened(tmp_path / "a") as sim:
        environment = sim._store._environment  # type: ignore[attr-defined]  # as a flipped bit would
        with environment.lmdb.begin(write=True) as transaction:
            key, commits = commit_key(2), environment.databases["commits"]
            value = transaction.get(key, db=commits)
            transaction.put(key, value[:-1] + bytes([value[-1] ^ 1]), db=commits)
        with pytest.raises(DamagedError, match="commits"):
            sim.changes(after=cursors[1])
        for seen in (3, 4):
            assert [change.cursor for change in sim.changes(after=cursors[seen - 1])] == cursors[seen:]
    change_meta(tmp_path / "a" / "sim", horizon=3, horizon_commit=3)
    with opened(tmp_path / "a") as sim:
        with pytest.raises(CursorGoneError):  # what it says of a cursor from before does not need the record
            sim.changes(after=cursors[1])
        assert [change.cursor for change in sim.changes(after=cursors[2])] == cursors[3:]


@pytest.mark.parametrize("point", ["before-commit", "after-commit"])
def test_a_commit_whose_outcome_was_not_known_is_one_history_whichever_way_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    def fail(reached: str) -> None:
        if reached == point:
            raise ZeroDivisionError

    with opened(tmp_path / "a") as sim:
        sim.append(Event("before"))
        cursors = [sim.cursor()]
        monkeypatch.setattr(failpoints, "on_point", fail)
        offered = (Event("in doubt"),)
        try:
            sim.append(*offered)
        except OutcomeUnknownError as error:
            offered = error.events
        except ZeroDivisionError:
            pass
        monkeypatch.undo()
        cursors.append(sim.cursor())  # the cursor that a reader may have got in between
        assert sim.append(*offered).duplicate is (point == "after-commit")
        cursors.append(sim.cursor())
        sim.append(Event("after"))
        found = [[change.event.message for change in sim.changes(after=cursor)] for cursor in cursors]
        stored = point == "after-commit"
        assert found == [
            ["in doubt", "after"],
            ["after"] if stored else ["in doubt", "after"],
            ["after"],
        ]


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_a_copy_that_was_put_back_and_came_in_step_again_has_one_history(
    tmp_path: Path, at_once: int
) -> None:
    """The copy's commits are its source's, with their times, so its readers can continue."""
    folder, before = tmp_path / "copy", tmp_path / "before"
    with opened(tmp_path / "source") as source:
        grow(source, "a", range(12))
        commits = list(source.commits())

        def follow(copy: Instance, upto: int, at_once: int) -> None:
            begin = sum(1 for _ in copy.commits())
            for at in range(begin, upto, at_once):
                page = commits[at : min(at + at_once, upto)]
                copy.take_over(page, MirrorState("http://127.0.0.1:8090", "sim", page[-1].cursor))

        with opened(folder) as copy:
            follow(copy, 4, 3)
        shutil.copytree(folder, before)
        with opened(folder) as copy:
            follow(copy, 12, 3)
            cursors = places(copy)
        put_back(folder, before)
        with opened(folder) as copy:
            follow(copy, 12, at_once)
            assert places(copy) == cursors
            for cursor in places(source):  # it is another archive all the same
                with pytest.raises(OtherHistoryError, match="made anew"):
                    copy.changes(after=cursor)

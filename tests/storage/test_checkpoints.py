"""A checkpoint loses and doubles no event, though others write and read meanwhile."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.child import WAIT_S, run
from tests.storage.test_damage import values
from yamcs_archive import Archive, Event, Instance, Options, OutcomeUnknownError, OutOfSpaceError
from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.block_part_encoder import CHECKSUMS_BYTES
from yamcs_archive.storage.read.block_index import BlockIndex, stored_block
from yamcs_archive.storage.write import checkpoint, checkpointer, placement
from yamcs_archive.storage.young.arrivals import memory_of

SMALL = Options(block_events_max=16, run_events_min=8, read_events_max=4, maintenance=False)


def entries(sim: Instance) -> dict[str, int]:
    """The numbers of young events, blocks and zone maps."""
    environment: Any = sim._store._environment  # type: ignore[attr-defined]  # the form at rest is no public thing
    with environment.snapshot() as (transaction, young):
        return {
            "young": young.events,
            **{
                name: transaction.stat(environment.databases[name])["entries"]
                for name in ("blocks", "summaries")
            },
        }


def events(count: int, step: int = 10, source: str = "S") -> list[Event]:
    return [Event(f"{source}{n}", source=source, generation_time=n * step) for n in range(count)]


def whole(sim: Instance) -> None:
    """Check that scans, arrival order and counts agree."""
    found = [event.key for event in sim.events()]
    assert found == sorted(set(found))
    assert found == [event.key for event in sim.events(descending=True)][::-1]
    assert sorted(change.event.key for change in sim.changes()) == found
    assert sim.stats().events == len(found)


def test_a_long_append_in_order_is_written_as_full_blocks_at_once(small: Instance) -> None:
    small.append_many(events(160))
    assert entries(small) == {"young": 0, "blocks": 10, "summaries": 10}
    whole(small)


def test_appends_that_end_within_a_block_fill_it_up(small: Instance) -> None:
    everything = events(100)
    for start in range(0, 100, 10):
        small.append_many(everything[start : start + 10])
    assert entries(small) == {"young": 0, "blocks": 7, "summaries": 7}
    whole(small)
    assert [change.event.message for change in small.changes()] == [event.message for event in everything]


def test_single_events_are_young_until_a_checkpoint(small: Instance) -> None:
    for event in events(40):
        small.append(event)
    assert entries(small) == {"young": 40, "blocks": 0, "summaries": 0}
    small.settle()
    assert entries(small) == {"young": 0, "blocks": 3, "summaries": 3}
    whole(small)


def checkpointed(sim: Instance) -> None:
    """Put the growing table into blocks, as maintenance does with a full one."""
    maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]  # what its thread would do
    maintenance._writer.freeze()
    maintenance._checkpoint_frozen()


def test_late_events_are_carried_until_the_archive_rests(small: Instance) -> None:
    small.append_many(events(160))
    for young in (1, 2, 3):
        small.append(Event("late", source="L", generation_time=young))
        checkpointed(small)
        assert entries(small)["young"] == young
        assert parts(small) == [1] * 10
        whole(small)
        carried = small._store._writer.tables.carried  # type: ignore[attr-defined]  # nothing else tells of it
        assert carried.size_bytes == memory_of(Columns.of(list(small.events(sources=["L"]))))
    small.settle()
    assert entries(small)["young"] == 0
    whole(small)
    assert [event.source for event in small.events(limit=5)] == ["S", "L", "L", "L", "S"]


@pytest.mark.parametrize(("before", "more", "left"), [(9, 1, 10), (10, 1, 5), (14, 2, 16), (15, 2, 8)])
def test_where_few_are_late_fewer_are_carried(tmp_path: Path, before: int, more: int, left: int) -> None:
    """A quarter of the bound, or eight times those of the last checkpoint; half of it once there are more."""
    options = replace(SMALL, late_events_max=40)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(events(400))
        late = [Event("late", source="L", generation_time=160 * n + 1) for n in range(before + more)]
        for part in (late[:before], late[before:]):
            for event in part:
                sim.append(event)
            checkpointed(sim)
        assert entries(sim)["young"] == left
        whole(sim)


SIZE = placement._EVENT_BYTES + 1_000


@pytest.mark.parametrize(("bytes_max", "left"), [(4 * SIZE, 4), (4 * SIZE - 1, 1), (2 * SIZE, 1), (0, 0)])
def test_late_events_of_much_text_are_not_all_carried(
    small: Instance, monkeypatch: pytest.MonkeyPatch, bytes_max: int, left: int
) -> None:
    monkeypatch.setattr(placement, "LATE_BYTES_MAX", bytes_max)
    small.append_many(events(160))
    for n in range(4):
        small.append(Event("x" * 1_000, source="L", generation_time=160 * n + 1))
    checkpointed(small)
    assert entries(small)["young"] == left
    whole(small)


def test_carried_events_outlive_an_opening_and_a_kill(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(events(160))
        for n in range(5):
            sim.append(Event("late", source="L", generation_time=300 * n + 1))
        checkpointed(sim)
        assert entries(sim)["young"] == 5
        sim.append(Event("after", source="A", generation_time=5_000))
        expected, arrived = list(sim.events()), list(sim.changes())
        shutil.copytree(tmp_path / "a", tmp_path / "killed")
    for directory in (tmp_path / "a", tmp_path / "killed"):
        with Archive.open(directory, options=SMALL) as archive:
            sim = archive.instance("sim")
            assert (list(sim.events()), list(sim.changes())) == (expected, arrived)
            assert sim.append(Event("late", source="L", generation_time=1, seq_number=0)).duplicate
            checkpointed(sim)
            assert entries(sim)["young"] == 5
            whole(sim)
            sim.settle()
            assert entries(sim)["young"] == 0
            assert (list(sim.events()), list(sim.changes())) == (expected, arrived)
            assert not list((directory / "sim" / "gen-1").glob("log-*"))


def late_batch(turn: int) -> list[Event]:
    """16 events after those of the turns before, and three late ones among those."""
    start = 10_000 * turn
    late = [(f"late{n}", "L", start - 10_000 + 30 * n + turn) for n in range(3)]
    in_order = [(f"{n}", "S", start + 10 * n) for n in range(16)]
    return [
        Event(message, source, generation_time=time, seq_number=turn, reception_time=0)
        for message, source, time in (*late, *in_order)
    ]


def test_late_events_of_long_appends_are_carried_by_one_record_each(tmp_path: Path) -> None:
    asked = """
        with Archive.open(sys.argv[1], readonly=True) as archive:
            sim = archive.instance("sim")
            print(sim.count(), len({event.key for event in sim.events()}), len(list(sim.changes())))
        """
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        with Archive.open(tmp_path / "a", readonly=True) as reading:
            for turn in range(6):
                sim.append_many(late_batch(turn))
                # Before the first batch there is no block, so none of its events is late.
                blocks = 2 + turn
                assert entries(sim) == {"young": 3 * turn, "blocks": blocks, "summaries": blocks}
                whole(sim)
                assert run(asked, tmp_path / "a").split() == [str(19 * turn + 19)] * 3
            assert sim.append_many(late_batch(4)).duplicates == 19
            assert [event.key for event in reading.instance("sim").events()] == [
                event.key for event in sim.events()
            ]
        sim.append(Event("after", source="A", generation_time=70_000))
        expected, arrived = list(sim.events()), list(sim.changes())
        shutil.copytree(tmp_path / "a", tmp_path / "killed")
    for directory in (tmp_path / "a", tmp_path / "killed"):
        with Archive.open(directory, options=SMALL) as archive:
            sim = archive.instance("sim")
            assert (list(sim.events()), list(sim.changes())) == (expected, arrived)
            assert sim.append_many(late_batch(5)).duplicates == 19
            sim.append_many(late_batch(6))
            everything = sorted([*expected, *late_batch(6)], key=lambda event: event.key)
            assert list(sim.events()) == everything
            checkpointed(sim)
            whole(sim)
            sim.settle()
            assert entries(sim)["young"] == 0
            assert list(sim.events()) == everything
            assert not list((directory / "sim" / "gen-1").glob("log-*"))


@pytest.mark.parametrize(("most", "young"), [(3, 3), (5, 5), (6, 6), (14, 14), (15, 15), (16, 15)])
def test_carried_events_of_long_appends_are_bounded(tmp_path: Path, most: int, young: int) -> None:
    options = replace(SMALL, late_events_max=most, late_share=1)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        seen = []
        for turn in range(6):
            sim.append_many(late_batch(turn))
            seen.append(entries(sim)["young"])
            whole(sim)
        assert max(seen) <= young
        assert max(seen) > young - 3
        assert sim.count() == 19 * 6
        sim.settle()
        whole(sim)


@pytest.mark.parametrize(("most", "left"), [(1, 0), (2, 1), (5, 1), (6, 6), (7, 6)])
def test_of_too_many_late_events_those_are_merged_of_which_a_block_has_most(
    tmp_path: Path, most: int, left: int
) -> None:
    options = replace(SMALL, late_events_max=most, late_share=4)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(events(160))
        for block, count in ((0, 1), (1, 2), (2, 3)):
            for n in range(count):
                sim.append(Event("late", source="L", generation_time=160 * block + 1 + n))
        checkpointed(sim)
        assert entries(sim)["young"] == left
        whole(sim)


def parts(sim: Instance) -> list[int]:
    """The number of parts of each block."""
    environment = sim._store._environment  # type: ignore[attr-defined]  # below every public door
    with environment.read() as transaction:
        return [
            len(Block(key, value).parts) for key, value in transaction.cursor(environment.databases["blocks"])
        ]


def test_few_late_events_stay_in_the_late_part_until_they_are_an_eighth(small: Instance) -> None:
    small.append_many(events(48))
    small.append(Event("late", source="L", generation_time=1))
    small.append(Event("late", source="L", generation_time=171))
    small.settle()
    assert entries(small) == {"young": 0, "blocks": 3, "summaries": 3}
    assert parts(small) == [2, 2, 1]
    whole(small)
    assert [event.source for event in small.events(limit=3)] == ["S", "L", "S"]
    assert small.append(Event("late", source="L", generation_time=1, seq_number=0)).duplicate
    small.append(Event("late", source="L", generation_time=2))
    small.settle()  # the second one of the first block: two are an eighth of sixteen
    assert parts(small)[-2:] == [2, 1]
    assert sum(parts(small)[:-2]) == len(parts(small)) - 2
    whole(small)
    small.append_many(events(16, source="T"))
    small.settle()
    whole(small)


def test_a_block_that_is_filled_up_takes_its_late_events_along(small: Instance) -> None:
    small.append_many(events(10))
    small.append(Event("late", source="L", generation_time=1))
    small.settle()
    assert parts(small) == [2]
    small.append_many(Event(f"{n}", source="S", generation_time=n) for n in range(1000, 1008))
    assert entries(small)["young"] == 0
    assert set(parts(small)) == {1}
    whole(small)


@pytest.mark.parametrize("count", [23, 24, 25])
def test_a_long_append_leaves_no_block_to_be_filled_up_where_all_are_full_enough(
    small: Instance, count: int
) -> None:
    """Three quarters are enough: two blocks of twelve, instead of one of sixteen and one of eight."""
    small.append_many(events(count))
    small.append_many(Event(f"{n}", source="S", generation_time=1_000 + n) for n in range(20))
    assert entries(small)["blocks"] == (3 if count < 24 else 4)
    whole(small)


@pytest.mark.parametrize("count", [11, 12, 13])
def test_a_block_less_than_three_quarters_full_takes_the_events_after_it(small: Instance, count: int) -> None:
    for event in events(count):
        small.append(event)
    small.settle()
    for n in range(3):
        small.append(Event(f"{n}", source="S", generation_time=1_000 + n))
    small.settle()
    assert entries(small) == {"young": 0, **dict.fromkeys(("blocks", "summaries"), 1 if count < 12 else 2)}
    whole(small)


def test_history_imported_between_blocks_is_written_as_blocks(small: Instance) -> None:
    small.append_many(events(32))
    small.append(Event("one clock in 2099", source="Z", generation_time=4_070_908_800_000_000))
    small.settle()
    before = entries(small)["blocks"]
    small.append_many(Event(f"{n}", source="H", generation_time=1_000_000 + n) for n in range(64))
    assert entries(small)["young"] == 0
    assert entries(small)["blocks"] >= before + 4
    whole(small)


def planned(sim: Instance) -> tuple[Any, Any, Any]:
    """The writer, the frozen table, and what it would put into blocks now."""
    maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]  # as above
    table = maintenance._writer.freeze()
    return maintenance._writer, table, maintenance._made(table, 0)


def test_a_table_that_was_put_meanwhile_is_not_put_again(small: Instance) -> None:
    for event in events(10):
        small.append(event)
    writer, table, image = planned(small)
    small.append(Event("after", source="T", generation_time=1))
    assert writer.put_table(table, image)
    assert not writer.put_table(table, image)
    writer, stale, image = planned(small)
    writer.checkpoint_all()
    assert not writer.put_table(stale, image)
    whole(small)
    assert small.stats().events == 11


@pytest.mark.parametrize("other", [b"\0", b"\xff"], ids=["lower", "higher"])
def test_a_step_whose_block_has_other_checksums_is_dropped(small: Instance, other: bytes) -> None:
    small.append_many(events(10))
    small.append(Event("late", source="L", generation_time=1))
    writer, table, image = planned(small)
    [step] = image.steps
    assert step.replaced is not None
    [value] = values(small, "blocks").values()
    another = Block(step.replaced.key, value)
    another.checksums = other * CHECKSUMS_BYTES
    elsewhere = image._replace(steps=[step._replace(replaced=another)])
    assert not writer.put_table(table, elsewhere)
    assert small.stats().events == 11
    assert writer.put_table(table, image)
    whole(small)


@pytest.mark.parametrize("characters", [95, 96, 97, 127])
def test_a_block_of_which_the_text_fills_three_quarters_is_left_as_it_is(
    tmp_path: Path, characters: int
) -> None:
    options = Options(block_text_bytes_max=128, run_events_min=1, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many([Event("m" * characters, source="S", generation_time=1)])
        sim.append_many([Event("m", source="S", generation_time=2)])
        assert entries(sim)["blocks"] == (1 if characters < 96 else 2)
        assert [len(event.message) for event in sim.events()] == [characters, 1]


def test_scans_that_run_during_checkpoints_see_each_event_exactly_once(small: Instance) -> None:
    first = events(300)
    for event in first:
        small.append(event)
    settled = threading.Event()

    def checkpoint_and_disturb() -> None:
        try:
            for n in range(30):
                small.append(Event("late", source=f"L{n}", generation_time=n * 97))
                small.settle()
        finally:
            settled.set()

    thread = threading.Thread(target=checkpoint_and_disturb)
    thread.start()
    scans = 0
    while not settled.is_set() or not scans:
        for descending in (False, True):
            found = [event.key for event in small.events(descending=descending)]
            assert found == sorted(set(found), reverse=descending)
            assert sum(source == "S" for _, source, _ in found) == 300
        arrived = [change.event.key for change in small.changes()]
        assert len(arrived) == len(set(arrived)) >= 300
        scans += 1
    thread.join()
    whole(small)


def test_a_cursor_and_a_parked_iterator_outlive_a_checkpoint(small: Instance) -> None:
    for event in events(50):
        small.append(event)
    parked, followed = small.events(), small.changes()
    seen = [next(parked) for _ in range(7)]
    arrived = [next(followed) for _ in range(9)]
    small.settle()
    assert seen + list(parked) == list(small.events())
    rest = [change.event for change in small.changes(after=arrived[-1].cursor)]
    assert [change.event for change in arrived] + rest == [change.event for change in small.changes()]
    assert rest == [change.event for change in followed]


def test_groups_of_summaries_are_closed_and_answer_as_without(tmp_path: Path) -> None:
    options = Options(block_events_max=2, run_events_min=2, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(
            Event("m", source="rare" if n in (3, 2999) else f"S{n // 700}", generation_time=n)
            for n in range(3000)
        )
        sim.settle()
        assert entries(sim)["summaries"] > entries(sim)["blocks"]  # there are groups beside the blocks
        for descending in (False, True):
            for sources in (["rare"], ["S0"], ["S4", "rare"], ["nobody"]):
                found = list(sim.events(sources=sources, descending=descending))
                expected = [event for event in sim.events(descending=descending) if event.source in sources]
                assert found == expected
        sim.append(Event("late", source="new", generation_time=5))
        sim.settle()
        assert [event.message for event in sim.events(sources=["new"])] == [
            "late"
        ]  # the zone map of the group includes it
        whole(sim)
        sim.append(Event("newest", source="new", generation_time=10_000))
        sim.settle()
        assert (
            entries(sim)["young"] == 0
        )  # an event after all blocks belongs to the last one, and to no group


def test_the_records_of_small_commits_are_packed_and_say_the_same(small: Instance) -> None:
    for event in events(40):
        small.append(event)
    small.append_many(events(50, source="M"))
    small.append(Event("late", source="L", generation_time=3))
    arrived = list(small.changes())
    environment: Any = small._store._environment  # type: ignore[attr-defined]  # as above
    small.settle()
    with environment.read() as transaction:
        assert transaction.stat(environment.databases["commits"])["entries"] == 1
    assert list(small.changes()) == arrived  # cursors too
    for change in arrived[::7]:
        assert list(small.changes(after=change.cursor)) == arrived[arrived.index(change) + 1 :]
    done = small.append(Event("next", source="S"))
    assert [change.event for change in small.changes(after=arrived[-1].cursor)] == [done.event]
    small.settle()
    assert list(small.changes())[:-1] == arrived


def test_packed_commits_have_a_bound_and_large_ones_stay_alone(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(Event("m", source="big", generation_time=n) for n in range(9000))
        for n in range(5):
            sim.append(Event("m", source="small", generation_time=n))
        before = [change.event.key for change in sim.changes()]
        sim.settle()
        environment: Any = sim._store._environment  # type: ignore[attr-defined]  # as above
        with environment.read() as transaction:
            assert transaction.stat(environment.databases["commits"])["entries"] == 2
        assert [change.event.key for change in sim.changes()] == before


def test_a_table_that_the_writer_put_while_it_was_to_be_planned_is_not_planned(tmp_path: Path) -> None:
    """Between the choice of the table and the transaction in which its checkpoint is planned."""
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        for n in range(3):
            sim.append(Event(f"m{n}", generation_time=n, seq_number=n))
        store: Any = sim._store
        table = store._writer.freeze()
        store._writer.checkpoint_all()
        assert store._maintenance._made(table, 0) is None
        assert store._maintenance._put(table, 0) is False
        assert len(list(sim.events())) == 3


def test_events_that_are_stored_already_are_planned_for_no_block(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        events = [Event(f"m{n}", generation_time=n, seq_number=n) for n in range(3)]
        sim.append_many(events)
        store: Any = sim._store
        store._writer.checkpoint_all()
        with store._environment.read() as transaction:
            databases = store._environment.databases
            stored = partial(stored_block, transaction, databases["blocks"])
            index = BlockIndex(
                transaction.cursor(databases["summaries"]), lambda first: Block(first, stored(first))
            )
            again = StoredVectors.of(Columns.of(list(sim.events())), 1)
            placed = placement.place(again, index, stored, SMALL)
        assert placed.left[0] == range(1)
        assert "young and in a block as well" in placed.damaged[0].reason


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Instance]:
    """An instance of which two tables are full."""
    options = replace(SMALL, table_events_max=10, run_events_min=1000)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(events(10))
        sim.append_many(events(10, source="T"))
        yield sim


def test_a_group_waits_for_a_checkpoint_that_is_planned(full: Instance) -> None:
    writer: Any = full._store._writer  # type: ignore[attr-defined]  # what maintenance does
    table = writer.tables.frozen
    with writer.planning():
        later = full.submit(Event("later", generation_time=10_000))
        with pytest.raises(TimeoutError):
            later.result(0.2)
        assert writer.tables.frozen is table  # the writer has put nothing itself
        checkpointed(full)
        later.result(WAIT_S)
    whole(full)
    assert full.stats().events == 21


@pytest.mark.parametrize("ends", ["without a checkpoint", "by an interrupt"])
def test_a_plan_that_comes_to_nothing_holds_no_group_up(full: Instance, ends: str) -> None:
    writer: Any = full._store._writer  # type: ignore[attr-defined]  # likewise
    kept = []

    def plan() -> None:
        kept.append(writer.planning())
        kept[0].__enter__()
        if ends == "without a checkpoint":
            kept[0].__exit__(None, None, None)

    plan()
    full.submit(Event("later", generation_time=10_000)).result(WAIT_S)
    assert entries(full)["young"] == 1  # the writer has put both tables
    whole(full)


@pytest.mark.parametrize("point", ["placed", "checkpoint-begun", "log-written"])
def test_where_there_is_no_memory_appends_are_refused_and_go_on_when_there_is_some(
    full: Instance, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer puts two full tables into blocks before it takes more."""
    lacking = [True]

    def lack(reached: str) -> None:
        if reached == point and lacking:
            lacking.pop()
            raise MemoryError

    def placed(*given: Any, **more: Any) -> Any:
        lack("placed")
        return placement.place(*given, **more)

    monkeypatch.setattr(checkpointer, "_TRY_AGAIN_S", 0.0)
    monkeypatch.setattr(checkpoint, "place", placed)
    monkeypatch.setattr(failpoints, "on_point", lack)
    late = Event("U", source="U", generation_time=5, seq_number=0, reception_time=0)
    stored = point == "log-written"  # of that the writer cannot know
    with pytest.raises(OutcomeUnknownError if stored else OutOfSpaceError, match=r"(?i)memory"):
        full.append(late)
    assert full.stats().events == 20 + stored
    whole(full)
    assert full.append(late).duplicate == stored
    assert full.stats().events == 21
    whole(full)

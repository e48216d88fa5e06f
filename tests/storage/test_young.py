"""Young events are found by key as in a dictionary, by readers that see a part of them, and beside the
writer.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.child import run
from tests.storage.test_checkpoints import whole
from tests.strategies import stored_events
from yamcs_archive import Archive, Event, Options
from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.limits import READ_BYTES_MAX
from yamcs_archive.storage.disk.boot import this_boot
from yamcs_archive.storage.format.keys import BEFORE_ALL, BEYOND_ALL, Keys, decode_key, encode_key
from yamcs_archive.storage.format.log_records import Carried, LoggedCommit, LogRecord
from yamcs_archive.storage.format.log_segments import decode_end
from yamcs_archive.storage.format.meta import NO_CHECKPOINT, Checkpoint
from yamcs_archive.storage.maintain import scheduler
from yamcs_archive.storage.young import memory_table
from yamcs_archive.storage.young.budget import Budget
from yamcs_archive.storage.young.memory_table import MemoryTable
from yamcs_archive.storage.young.views import CarriedGoneError, MemoryTables


def logged(sequence: int, events: list[Event], *, vectors: bool = False) -> LogRecord:
    in_order = sorted(events, key=lambda event: event.key)
    columns: Columns[int] = Columns.of(in_order)
    form = StoredVectors.of(columns, sequence) if vectors else columns
    return LogRecord(sequence, [LoggedCommit(sequence, 0, form, [(0, len(events) - 1)])])


groups = st.lists(
    st.lists(stored_events, min_size=1, max_size=6, unique_by=lambda event: event.key), max_size=6
).filter(lambda found: len({event.key for group in found for event in group}) == sum(map(len, found)))


@given(groups, st.integers(0, 6), st.integers(1, 4), st.tuples(st.booleans(), st.booleans()), st.data())
def test_a_reader_finds_what_was_there_when_it_began(
    found: list[list[Event]], seen: int, most: int, flags: tuple[bool, bool], data: st.DataObject
) -> None:
    descending, vectors = flags
    tables = MemoryTables(Checkpoint(10, 0))
    view = None
    for nth, group in enumerate(found):
        if nth == seen:
            view = tables.view(Checkpoint(10, 0))
        tables.growing.add(logged(11 + nth, group, vectors=vectors))
        if nth % 2:
            tables.freeze()
    view = view or tables.view(Checkpoint(10, 0))
    assert view is not None
    events = {encode_key(*event.key): event for group in found[:seen] for event in group}
    every = sorted(encode_key(*event.key) for group in found for event in group)
    bounds = [BEFORE_ALL, BEYOND_ALL, *every, *(key + b"\0" for key in every)]
    lower, upper = sorted(data.draw(st.sampled_from(bounds)) for _ in range(2))
    expected = sorted((key for key in events if lower <= key < upper), reverse=descending)
    got: list[bytes] = []
    more = True
    bytes_max = data.draw(st.sampled_from([1, 20, READ_BYTES_MAX]))
    while more and lower < upper:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory_table, "READ_BYTES_MAX", bytes_max)
            part, more = view.find(lower, upper, descending=descending, events_max=most)
        assert part.events() == [events[key] for key in part.keys]
        assert len(part) <= most
        got += part.keys
        if part and descending:
            upper = part.keys[-1]
        elif part:
            lower = part.keys[-1] + b"\0"
    assert got == expected
    assert view.events == len(events)
    assert [record.first for record in view.commits()] == list(range(11, 11 + len(found[:seen])))


@given(groups, st.booleans())
def test_keys_are_looked_up_as_in_a_dictionary(found: list[list[Event]], vectors: bool) -> None:
    """As vectors they are searched as they came, each commit by itself."""
    table = MemoryTable(0)
    known: list[Event] = []
    every = [event for group in found for event in group]
    for nth, group in enumerate(found, 1):
        for event in group:
            following = table.first_from(event.key)
            key = encode_key(*event.key)
            assert table.index_of(event.key) is None
            above = (encode_key(*each.key) for each in known)
            expected = min((each for each in above if each >= key), default=None)
            assert following == (None if expected is None else decode_key(expected))
        table.add(logged(nth, group, vectors=vectors))
        known += sorted(group, key=lambda event: event.key)
        assert table.greatest is not None
        assert table.greatest == max((event.key for event in known), key=lambda key: encode_key(*key))
        for event in known:
            assert table.first_from(event.key) == event.key
        asked = Keys.of(StoredVectors.of(Columns.of(every), 0))
        places = {event.key: at for at, event in enumerate(known)}
        assert [table.index_of(event.key) for event in every] == [places.get(event.key) for event in every]
        indexes = table.indexes_among(asked, asked.encoded).tolist()
        assert indexes == [places.get(event.key, -1) for event in every]
    for at, event in enumerate(known):
        assert table.columns([at]).event(0) == event


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("attached", ["message", "extra"])
def test_large_events_are_read_a_few_at_a_time(attached: str, descending: bool) -> None:
    tables = MemoryTables(NO_CHECKPOINT)
    text = "x" * (READ_BYTES_MAX // 4)
    more = {"message": text} if attached == "message" else {"message": "", "extra": {"": text}}
    for n in range(1, 8):
        event = Event(source="S", generation_time=n, seq_number=1, reception_time=1, **more)
        tables.growing.add(logged(n, [event]))
    view = tables.view(NO_CHECKPOINT)
    assert view is not None
    found, followed = view.find(BEFORE_ALL, BEYOND_ALL, descending=descending, events_max=100)
    assert [event.generation_time for event in found.events()] == (
        [7, 6, 5, 4] if descending else [1, 2, 3, 4]
    )
    assert followed


def test_a_view_is_refused_where_the_tables_have_moved_on() -> None:
    tables = MemoryTables(NO_CHECKPOINT)
    event = Event("m", "S", generation_time=1, seq_number=1, reception_time=1)
    tables.growing.add(logged(1, [event]))
    tables.freeze()
    assert tables.view(NO_CHECKPOINT) is not None
    nothing = tables.view(Checkpoint(1, 0))
    assert nothing is not None
    assert nothing.events == 0
    assert tables.view(Checkpoint(2, 0)) is None
    tables.stored(1, None)
    assert tables.view(NO_CHECKPOINT) is None
    carried = MemoryTable.of_carried(2, Carried(Columns.of([event]), [1]))
    tables.growing.add(LogRecord(2, (), carried=Carried(Columns.of([event]), [1])))
    tables.stored(1, carried)
    assert tables.view(Checkpoint(1, 0)) is None
    seen = tables.view(Checkpoint(1, 2))
    assert seen is not None
    assert (seen.events, seen.uncounted, list(seen.commits())) == (1, 0, [])


def test_carried_events_that_are_missing_are_damage() -> None:
    with pytest.raises(CarriedGoneError):
        MemoryTables(Checkpoint(1, 2), [])


def test_readers_in_another_process_see_each_acknowledged_event_once(tmp_path: Path) -> None:
    options = Options(table_events_max=7, run_events_min=40, block_events_max=16, late_events_max=3)
    directory = tmp_path / "a"
    with Archive.open(directory, options=options) as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("first", generation_time=0, seq_number=0))
        ended = threading.Event()
        printed: list[str] = []

        def read() -> None:
            printed.append(
                run(
                    """
                    with Archive.open(sys.argv[1], readonly=True) as archive:
                        sim = archive.instance("sim")
                        seen = 0
                        while seen < 601:
                            found = [event.key for event in sim.events()]
                            assert found == sorted(set(found))
                            assert len(found) >= seen, (len(found), seen)
                            arrived = [change.event.key for change in sim.changes()]
                            assert len(set(arrived)) == len(arrived) >= len(found)
                            seen = len(found)
                        print(seen, sim.count())
                    """,
                    directory,
                )
            )
            ended.set()

        thread = threading.Thread(target=read)
        thread.start()
        for n in range(1, 51):
            for late in (0, 0, 0, 7, 3):
                sim.append(Event("m", source=f"S{late}", generation_time=100 * n - late * 150))
            sim.append_many(Event("m", source="B", generation_time=100 * n + m) for m in range(7))
        thread.join(60)
        assert [text.strip() for text in printed] == ["601 601"]
        whole(sim)


def test_an_acknowledged_end_from_before_a_power_cut_hides_nothing(tmp_path: Path) -> None:
    end = tmp_path / "a" / "sim" / "gen-1" / "log.end"
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("first"))
        older = end.read_bytes()
        sim.append(Event("second"))
        sim.append(Event("third"))
        newest = end.read_bytes()
        end.write_bytes(older)
        asked = """
            with Archive.open(sys.argv[1], readonly=True) as archive:
                print([event.message for event in archive.instance("sim").events()])
            """
        assert run(asked, tmp_path / "a").strip() == "['first']"  # the writer has said no more
        end.write_bytes(newest)
    stale = decode_end(older)
    assert stale is not None
    assert stale.boot == this_boot() != 0
    end.write_bytes(stale._replace(boot=stale.boot ^ 1).encode())  # the machine has started anew since
    for readonly in (True, False):
        with Archive.open(tmp_path / "a", readonly=readonly, options=Options(maintenance=False)) as archive:
            found = [event.message for event in archive.instance("sim").events()]
            assert found == ["first", "second", "third"]


def test_beyond_the_budget_of_a_process_the_largest_tables_are_due() -> None:
    every = [MemoryTables(NO_CHECKPOINT) for _ in range(4)]
    for tables, size in zip(every, (40, 10, 30, 20), strict=True):
        tables.growing.size_bytes = size
    for most, due in ((100, []), (99, [0]), (60, [0]), (59, [0, 2]), (30, [0, 2]), (29, [0, 2, 3])):
        budget = Budget(most, look_s=0)
        for tables in every:
            budget.enter(tables)
        assert [nth for nth, tables in enumerate(every) if budget.is_due(tables)] == due
    del every[0], tables
    assert [nth for nth, each in enumerate(every) if budget.is_due(each)] == [1, 2]


def test_a_table_beyond_the_budget_goes_into_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("m"))
        store: Any = sim._store  # what its thread would do
        store._maintenance.look(0)
        assert store._writer.tables.count == 1
        budget = Budget(100, look_s=0)
        budget.enter(store._writer.tables)
        monkeypatch.setattr(scheduler, "BUDGET", budget)
        store._maintenance.look(1)
        assert store._writer.tables.count == 0
        whole(sim)

"""Verification: nothing is found in a sound archive, whatever its form; every damage is found and named."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storage.by_hand import as_version_1, change_meta, put_into_lmdb
from tests.storage.test_damage import damage
from yamcs_archive import Archive, Event, Instance, Options, Verification
from yamcs_archive.errors import ClosedError
from yamcs_archive.storage.format.commits import commit_key, decode_commit, encode_commit
from yamcs_archive.storage.format.keys import encode_key
from yamcs_archive.storage.format.requests import RequestRecord, encode_record
from yamcs_archive.storage.format.rows import encode_rows
from yamcs_archive.storage.format.source_states import decode_source, encode_source
from yamcs_archive.storage.format.zone_maps import GROUP_LEVEL, decode_zone_map, encode_zone_map
from yamcs_archive.storage.maintain import arrival_check, faults, quick_check, request_check, zone_map_check

SMALL = Options(block_events_max=16, run_events_min=8, maintenance=False)
DATABASES = ("meta", "sources", "rows", "blocks", "summaries", "commits", "requests")


def numbered(start: int, count: int, source: str = "A") -> list[Event]:
    return [
        Event(f"m{n}", source, generation_time=n * 10, seq_number=n, reception_time=0)
        for n in range(start, start + count)
    ]


def verified(sim: Instance) -> Verification:
    found = sim.verify()
    assert found is not None
    return found


def filled(directory: Path) -> None:
    """Make an archive that has every kind of value: full, late and open blocks, rows, packed commits, ids."""
    with Archive.open(directory, options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(numbered(0, 48))
        sim.append_many([Event("late", "L", generation_time=n * 10 + 5, seq_number=n) for n in range(3)])
        sim.settle()
        sim.append_many(numbered(1000, 20, "B"), request_id="one")
        sim.append(Event("a row", "C", generation_time=333, seq_number=1))
        sim.append(Event("another", "C", generation_time=100_000, seq_number=2))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    filled(tmp_path / "a")
    put_into_lmdb(tmp_path / "a")  # where it can be changed by hand
    return tmp_path / "a"


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    """The same as version 1 left it: what is young is rows."""
    filled(tmp_path / "a")
    as_version_1(tmp_path / "a")
    return tmp_path / "a"


@pytest.fixture
def of_each(tmp_path: Path) -> Callable[[str], Path]:
    """Make an archive that has values in a sub-database: only version 1 has rows."""

    def make(name: str) -> Path:
        filled(tmp_path / "a")
        (as_version_1 if name == "rows" else put_into_lmdb)(tmp_path / "a")
        return tmp_path / "a"

    return make


def change(directory: Path, by: Callable[[Any, Any], object]) -> None:
    """Change the stored values of the closed instance ``sim``, in a transaction."""
    [generation] = (directory / "sim").glob("gen-*")
    with lmdb.open(str(generation), max_dbs=len(DATABASES), sync=False) as environment:
        opened = {name: environment.open_db(name.encode(), create=False) for name in DATABASES}
        with environment.begin(write=True) as transaction:
            by(transaction, opened)


def faults_of(directory: Path) -> list[tuple[str, str]]:
    with Archive.open(directory, readonly=True) as archive:
        return [(fault.where, fault.reason) for fault in verified(archive.instance("sim")).faults]


def test_an_empty_instance_is_sound(sim: Instance) -> None:
    found = verified(sim)
    assert (found.events, found.young_events, found.blocks, found.commits, found.sources) == (0, 0, 0, 0, 0)
    assert (found.fault_count, found.faults) == (0, ())


def test_all_is_counted_once_in_whatever_form_it_is(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    filled(directory)
    for step in (lambda _: None, Instance.settle, Instance.compact):
        with Archive.open(directory, options=SMALL) as archive:
            sim = archive.instance("sim")
            step(sim)
            found = verified(sim)
            assert found.faults == ()
            assert (found.events, found.commits, found.sources) == (73, 5, 4)
            assert found.events == sim.stats().events
            assert found.young_events == {0: 2}.get(0 if step.__name__ == "<lambda>" else 1, 0)


events_lists = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from("ABC"), st.integers(0, 3)), min_size=1, max_size=60
)


@settings(max_examples=30)
@given(st.lists(events_lists, min_size=1, max_size=6), st.sets(st.integers(0, 5)))
def test_what_any_appends_leave_is_sound(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, str, int]]], settled: set[int]
) -> None:
    directory = tmp_path_factory.mktemp("any")
    with Archive.open(directory / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        for index, batch in enumerate(batches):
            sim.append_many(
                Event("m", source, generation_time=time, seq_number=number) for time, source, number in batch
            )
            if index in settled:
                sim.settle()
            found = verified(sim)
            assert found.faults == ()
            assert found.events == sim.stats().events == len(list(sim.events()))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize(
    "piece",
    [
        (arrival_check, "_WINDOW_RUNS_MAX"),
        (arrival_check, "_WINDOW_COMMITS_MAX"),
        (arrival_check, "_RECORDS_AT_ONCE"),
        (request_check, "_REQUESTS_AT_ONCE"),
        (zone_map_check, "_BLOCKS_AT_ONCE"),
    ],
    ids=lambda piece: piece[1],
)
def test_it_reads_in_pieces(
    directory: Path, monkeypatch: pytest.MonkeyPatch, piece: tuple[object, str], size: int
) -> None:
    monkeypatch.setattr(*piece, size)
    with Archive.open(directory, readonly=True) as archive:
        found = verified(archive.instance("sim"))
    assert (found.events, found.commits, found.faults) == (73, 5, ())
    change(directory, lambda t, o: t.delete(commit_key(4), db=o["commits"]))
    damage(directory, "blocks", 1, -1)
    damage(directory, "requests", 0, -1)
    assert [where.split()[0] for where, _ in faults_of(directory)] == ["blocks", "commits", "requests"]


@pytest.mark.parametrize(("kept", "shown"), [(2, 2), (3, 3), (4, 3)])
def test_so_many_faults_are_kept_and_all_are_counted(
    directory: Path, monkeypatch: pytest.MonkeyPatch, kept: int, shown: int
) -> None:
    monkeypatch.setattr(faults, "FAULTS_KEPT_MAX", kept)
    for place in range(3):
        damage(directory, "blocks", place, -1)
    with Archive.open(directory, readonly=True) as archive:
        found = verified(archive.instance("sim"))
    assert (found.fault_count, len(found.faults)) == (3, shown)


def test_every_flipped_bit_of_every_value_is_found(directory: Path) -> None:
    """One bit of six bytes of each value here; two bits of every byte in the long test."""
    for name in DATABASES[1:]:  # an instance whose meta is damaged does not open
        if name != "rows":
            _flip(directory, name, bits=[3])


def test_every_flipped_bit_of_every_row_of_version_1_is_found(version_1: Path) -> None:
    _flip(version_1, "rows", bits=[3])


def test_rows_that_an_upgrade_had_to_leave_are_found(version_1: Path) -> None:
    damage(version_1, "rows", 0, -1, keep_young=True)
    with Archive.open(version_1, options=SMALL) as archive:
        archive.instance("sim")  # which makes it one of version 2
    with Archive.open(version_1, readonly=True) as archive:
        sim = archive.instance("sim")
        [fault] = verified(sim).faults
        assert (fault.where.split()[0], fault.reason, fault.events) == ("rows", "the checksum is wrong", 1)
        assert fault.first == fault.last
        quick = sim.verify(quick=True)
        assert quick is not None
        assert quick.faults == (fault,)


@pytest.mark.long
@pytest.mark.parametrize("name", DATABASES[1:])
def test_every_flipped_bit_of_every_value_is_found_at_length(
    of_each: Callable[[str], Path], name: str
) -> None:
    _flip(of_each(name), name, bits=[0, 7])


def _flip(directory: Path, name: str, bits: list[int]) -> None:
    values: list[tuple[bytes, bytes]] = []

    def read(transaction: Any, opened: Any) -> None:
        values.extend(transaction.cursor(opened[name]))

    change(directory, read)
    assert values
    chosen = random.Random(1)
    for key, value in values:
        places = range(len(value)) if len(bits) > 1 else chosen.sample(range(len(value)), min(6, len(value)))
        for place in places:
            for bit in bits:
                flipped = bytearray(value)
                flipped[place] ^= 1 << bit
                change(directory, lambda t, o: t.put(key, bytes(flipped), db=o[name]))  # noqa: B023
                assert faults_of(directory), (name, key, place, bit)
        change(directory, lambda t, o: t.put(key, value, db=o[name]))  # noqa: B023
    assert faults_of(directory) == []


@pytest.mark.parametrize("name", DATABASES[1:])
def test_every_missing_and_every_misplaced_value_is_found(of_each: Callable[[str], Path], name: str) -> None:
    directory = of_each(name)
    pairs: list[tuple[bytes, bytes]] = []
    change(directory, lambda t, o: pairs.extend(t.cursor(o[name])))
    assert pairs
    for key, value in pairs:
        change(directory, lambda t, o: t.delete(key, db=o[name]))  # noqa: B023
        missing = faults_of(directory)
        other = key[:-1] + bytes([key[-1] ^ 1])
        change(directory, lambda t, o: t.put(other, value, db=o[name]))  # noqa: B023
        misplaced = faults_of(directory)
        change(directory, lambda t, o: (t.delete(other, db=o[name]), t.put(key, value, db=o[name])))  # noqa: B023
        # Without a group's zone map, reading is slower; without a request's id, a retry is not known.
        if name != "requests" and key[:1] != GROUP_LEVEL:
            assert missing, (name, key)
        assert misplaced, (name, key)


def test_a_fault_names_the_events_and_what_follows_is_still_read(directory: Path) -> None:
    damage(directory, "blocks", 1, -1)
    with Archive.open(directory, readonly=True) as archive:
        found = verified(archive.instance("sim"))
    [fault] = found.faults
    assert fault.where.startswith("blocks ")
    assert fault.first is not None
    assert fault.last is not None
    assert fault.first.source == "A"
    assert fault.first.generation_time < fault.last.generation_time
    assert found.events == 73 - (fault.events or 0) < 73


def test_values_whose_checksums_are_right_but_that_contradict_each_other(directory: Path) -> None:
    """What a fault of the program would leave, not one of the medium."""

    def too_many(transaction: Any, opened: Any) -> None:
        name, state = decode_source(b"A", transaction.get(b"A", db=opened["sources"]))
        state.events += 1
        transaction.put(*encode_source(name, state), db=opened["sources"])

    def too_small(transaction: Any, opened: Any) -> None:
        name, state = decode_source(b"B", transaction.get(b"B", db=opened["sources"]))
        state.greatest_number = 5
        transaction.put(*encode_source(name, state), db=opened["sources"])

    def other_count(transaction: Any, opened: Any) -> None:
        record = decode_commit(commit_key(5), transaction.get(commit_key(5), db=opened["commits"]))
        transaction.put(*encode_commit(record._replace(events=(2,))), db=opened["commits"])

    def other_run(transaction: Any, opened: Any) -> None:
        record = decode_commit(commit_key(3), transaction.get(commit_key(3), db=opened["commits"]))
        run = record.runs[0]._replace(last=record.runs[0].first)
        transaction.put(*encode_commit(record._replace(runs=(run, *record.runs[1:]))), db=opened["commits"])

    def no_record(transaction: Any, opened: Any) -> None:
        transaction.delete(commit_key(4), db=opened["commits"])

    def short_map(transaction: Any, opened: Any) -> None:
        cursor = transaction.cursor(opened["summaries"])
        assert cursor.first()
        zone_map = decode_zone_map(*cursor.item())
        transaction.put(*encode_zone_map(b"\0", zone_map._replace(severities=0)), db=opened["summaries"])

    def twice(transaction: Any, opened: Any) -> None:
        from yamcs_archive.columns import Columns  # noqa: PLC0415

        for pair in encode_rows(Columns.of(numbered(3, 1)), 1):
            transaction.put(*pair, db=opened["rows"])

    def other_request(transaction: Any, opened: Any) -> None:
        record = RequestRecord(0, bytes(16), (encode_key(5, "nobody", 1),))
        transaction.put(*encode_record(b"\0lost", record), db=opened["requests"])

    sound: dict[str, list[tuple[bytes, bytes]]] = {}
    change(directory, lambda t, o: sound.update((name, list(t.cursor(o[name]))) for name in DATABASES))

    def as_it_was(transaction: Any, opened: Any) -> None:
        for name, pairs in sound.items():
            transaction.drop(opened[name], delete=False)
            for pair in pairs:
                transaction.put(*pair, db=opened[name])

    for contradiction, where, reason in [
        (too_many, "sources A", "it has 48 events, its state says 49"),
        (too_small, "sources B", "an event has a greater number or a later time than its state says"),
        (other_count, "commits 5", "1 events have its number, its record says 2"),
        (other_run, "commits 3", "its record leads to 1 of the 20 events that have its number"),
        (no_record, "commits 5", "a record begins with it, and commit 4 was to follow"),
        (short_map, "summaries", "its zone map is not that of its events"),
        (twice, "rows", "it is a row of format version 1 beside a damaged block, or stored twice"),
        (other_request, "requests 006c6f7374", "the event that it led to is not stored"),
    ]:
        change(directory, contradiction)
        found = faults_of(directory)
        assert any(at.startswith(where) and reason in why for at, why in found), (contradiction, found)
        change(directory, as_it_was)
        assert faults_of(directory) == []


def test_it_reads_while_others_append_seal_and_compact(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(numbered(0, 2000))
        stop = threading.Event()
        failed: list[BaseException] = []

        def busy() -> None:
            try:
                chosen = random.Random(2)
                for n in range(10_000):
                    if stop.is_set():
                        return
                    times = [chosen.randrange(20_000) for _ in range(12)]
                    sim.append_many(
                        Event("x", f"S{n % 7}", generation_time=at, seq_number=n * 100 + i)
                        for i, at in enumerate(times)
                    )
                    if n % 3 == 0:
                        sim.settle()
                    if n % 11 == 0:
                        sim.compact()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            for _ in range(5):
                assert verified(sim).faults == ()
        finally:
            stop.set()
            thread.join()
        assert failed == []
        assert verified(sim).events == sim.stats().events


@pytest.mark.parametrize(("database", "place"), [("blocks", -1), ("blocks", 12), ("rows", -1)])
def test_a_quick_check_names_the_events_of_a_damaged_value_like_the_full_one(
    of_each: Callable[[str], Path], database: str, place: int
) -> None:
    directory = of_each(database)
    damage(directory, database, 0, place, keep_young=True)
    with Archive.open(directory, readonly=True) as archive:
        sim = archive.instance("sim")
        quick, full = sim.verify(quick=True), sim.verify()
    assert quick is not None
    assert full is not None
    [fault] = quick.faults
    assert (fault.first, fault.last, fault.events) == (
        full.faults[0].first,
        full.faults[0].last,
        full.faults[0].events,
    )
    assert fault.events is not None
    assert fault.where == full.faults[0].where


def test_a_quick_check_names_the_events_of_a_block_that_is_gone(directory: Path) -> None:
    [generation] = (directory / "sim").glob("gen-*")
    with lmdb.open(str(generation), max_dbs=7) as environment:
        blocks = environment.open_db(b"blocks", create=False)
        with environment.begin(write=True, db=blocks) as transaction:
            cursor = transaction.cursor()
            assert cursor.first()
            cursor.delete()
    with Archive.open(directory, readonly=True) as archive:
        found = archive.instance("sim").verify(quick=True)
    assert found is not None
    [fault] = [fault for fault in found.faults if fault.events]
    assert fault.first is not None
    assert fault.last is not None
    assert fault.first < fault.last


@pytest.mark.parametrize("ends", [1, 2, 3, 100])
def test_a_quick_check_finds_what_is_wrong_at_the_ends(
    directory: Path, monkeypatch: pytest.MonkeyPatch, ends: int
) -> None:
    monkeypatch.setattr(quick_check, "_ENDS", ends)
    with Archive.open(directory, readonly=True) as archive:
        found = archive.instance("sim").verify(quick=True)
        assert found is not None
        assert found.faults == ()
        blocks = verified(archive.instance("sim")).blocks
        assert found.blocks == min(2 * ends, blocks)
    for name in set(DATABASES[1:]) - {"rows"}:
        for place in (0, -1):
            damage(directory, name, place, -1)
            with Archive.open(directory, readonly=True) as archive:
                found = archive.instance("sim").verify(quick=True)
            assert found is not None
            assert any(fault.where.startswith(name) for fault in found.faults), (name, place)
            damage(directory, name, place, -1)  # as it was


def test_it_says_how_far_it_is_and_ends_on_request(directory: Path) -> None:
    with Archive.open(directory, readonly=True) as archive:
        sim = archive.instance("sim")
        told: list[tuple[int, int]] = []
        sim.verify(progress=lambda read, all_: told.append((read, all_)))
        assert told[-1] == (73, 73)
        assert told == sorted(told)
        assert sim.verify(cancelled=lambda: True) is None
    with pytest.raises(ClosedError):
        sim.verify()


def test_the_events_of_a_request_may_have_been_pruned(directory: Path) -> None:
    record = RequestRecord(0, bytes(16), (encode_key(5, "nobody", 1),))
    change(directory, lambda t, o: t.put(*encode_record(b"\0lost", record), db=o["requests"]))
    change_meta(directory / "sim", horizon=5, horizon_commit=1)
    assert "requests 006c6f7374" in [where for where, _ in faults_of(directory)]
    change_meta(directory / "sim", horizon=6, horizon_commit=1)
    assert "requests 006c6f7374" not in [where for where, _ in faults_of(directory)]

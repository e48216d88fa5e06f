"""A damaged block or zone map is named and not changed, and work that does not need it continues."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import lmdb
import pytest

from tests.storage.by_hand import put_into_lmdb
from yamcs_archive import Archive, Event, Instance, Options
from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.format.block_part_encoder import HEADER

OPTIONS = Options(block_events_max=16, run_events_min=8, maintenance=False)
IN_KEYS, IN_BODY = HEADER.size + 2, -2


def numbered(start: int, count: int) -> list[Event]:
    return [Event(f"m{n}", generation_time=n * 10, seq_number=n) for n in range(start, start + count)]


def damage(
    directory: Path, database: str, key: int, place: int, *, keep_young: bool = False
) -> tuple[bytes, bytes]:
    """Flip a bit at an offset of a key's value, with the archive closed; return the damaged value.

    What is young goes into LMDB before, unless it is kept in the log.
    """
    if not keep_young:
        put_into_lmdb(directory)
    [generation] = (directory / "sim").glob("gen-*")
    with lmdb.open(str(generation), max_dbs=7) as environment:
        opened = environment.open_db(database.encode(), create=False)
        with environment.begin(write=True, db=opened) as transaction:
            found = list(transaction.cursor().iternext(values=False))[key]
            value = bytearray(transaction.get(found) or b"")
            value[place] ^= 1
            transaction.put(found, bytes(value))
    return found, bytes(value)


def values(sim: Instance, database: str) -> dict[bytes, bytes]:
    environment: Any = sim._store._environment  # type: ignore[attr-defined]  # there is no public way to look
    with environment.read() as transaction:
        return dict(transaction.cursor(environment.databases[database]))


def young(sim: Instance) -> int:
    """The number of events that are in no block."""
    environment: Any = sim._store._environment  # type: ignore[attr-defined]  # as above
    with environment.snapshot() as (_, found):
        return int(found.events)


@pytest.mark.parametrize("place", [IN_KEYS, IN_BODY])
def test_appends_beyond_a_damaged_last_block_go_on_and_leave_it(tmp_path: Path, place: int) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        archive.instance("sim", create=True).append_many(numbered(0, 24))  # the last block has room
    key, value = damage(tmp_path / "a", "blocks", -1, place)
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim")
        assert sim.append_many(numbered(100, 20)).stored == 20
        assert [event.seq_number for event in sim.events(start=1000)] == list(range(100, 120))
        assert values(sim, "blocks")[key] == value
        with pytest.raises(DamagedError, match="blocks"):
            list(sim.events())


@pytest.mark.parametrize(
    ("database", "place"), [("blocks", IN_KEYS), ("blocks", IN_BODY), ("summaries", -1)], ids=str
)
def test_young_events_after_a_damaged_block_go_into_blocks(
    tmp_path: Path, database: str, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(numbered(0, 48))  # three full blocks
        sim.append_many(numbered(1000, 16))
        sim.append(Event("late, in its range", source="L", generation_time=175))
    key, value = damage(tmp_path / "a", database, 1, place, keep_young=True)
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim")
        for event in (*numbered(100, 12), *numbered(2000, 12)):
            sim.append(event)
        with caplog.at_level(logging.ERROR):
            sim.settle()
            sim.settle()
        told = [record for record in caplog.records if "is left as it is" in record.message]
        assert len(told) == (database == "blocks")  # a checkpoint has written the zone map anew
        found = [event.seq_number for event in sim.events(start=480)]
        assert found == [*range(100, 112), *range(1000, 1016), *range(2000, 2012)]
        if database == "summaries":  # the block has all that its zone map had
            assert young(sim) == 0
            assert values(sim, database)[key] != value
            assert len(list(sim.events())) == sim.stats().events
            assert sim.append(numbered(20, 1)[0]).duplicate
            return
        assert young(sim) == 1
        assert values(sim, database)[key] == value
        with pytest.raises(DamagedError):
            list(sim.events())
        with pytest.raises(DamagedError):
            sim.append(numbered(20, 1)[0])  # it is not known whether it is stored


def test_a_checkpoint_goes_on_with_a_damaged_summary(tmp_path: Path) -> None:
    """A settle mends it first; a checkpoint of a full table meets the damage."""
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(numbered(0, 48))
    damage(tmp_path / "a", "summaries", 1, -1)
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim")
        sim.append(Event("late, in its range", source="L", generation_time=175))
        sim.append(Event("in the sound one before", source="L", generation_time=15))
        sim._store._writer.checkpoint_all()  # type: ignore[attr-defined]  # as a full table does
        assert young(sim) == 0
        assert len(list(sim.events())) == 50


def test_a_summary_without_its_block_is_damage_too(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(numbered(0, 32))
        environment: Any = sim._store._environment  # type: ignore[attr-defined]  # there is no public way to damage
        with environment.lmdb.begin(write=True, db=environment.databases["blocks"]) as transaction:
            cursor = transaction.cursor()
            assert cursor.last()
            cursor.delete()
        sim.append(Event("after", generation_time=1000))
        sim.settle()
        assert young(sim) == 0
        assert [event.message for event in sim.events(start=1000)] == ["after"]
        with pytest.raises(DamagedError, match="no block"):
            list(sim.events())

"""Salvage: a sound archive comes out whole, of a damaged one all that is readable, and the rest is named."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lmdb
import pytest

from tests.child import run_in_fork
from tests.storage.by_hand import as_version_1, put_into_lmdb
from tests.storage.test_damage import IN_BODY, IN_KEYS, damage
from tests.storage.test_file_length import PAGE_BYTES, data_file
from tests.storage.test_verification import DATABASES, SMALL, change, filled, numbered, verified
from yamcs_archive import (
    Archive,
    Event,
    EventKey,
    InvalidInputError,
    MirrorState,
    OutOfSpaceError,
    Salvage,
    UnknownInstanceError,
)
from yamcs_archive.columns import Columns
from yamcs_archive.errors import (
    DamagedError,
    FormatVersionError,
    LockedError,
    NotAnArchiveError,
    OtherHistoryError,
)
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.failpoints import SALVAGE_POINTS
from yamcs_archive.storage.format.checksum import Checksummed
from yamcs_archive.storage.format.rows import decode_row, encode_rows
from yamcs_archive.storage.format.source_states import decode_source, encode_source
from yamcs_archive.storage.salvage import events as salvage_events
from yamcs_archive.storage.salvage import losses as salvage_losses

EVERYTHING = 73
"""Events of ``filled()``."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    filled(tmp_path / "a")
    return tmp_path / "a"


@pytest.fixture
def with_rows(directory: Path) -> Path:
    """An archive of version 1, whose young events are rows."""
    as_version_1(directory)
    return directory


def salvaged(directory: Path, target: Path | None = None) -> Salvage:
    target = target or directory.with_name("saved")
    shutil.rmtree(target, ignore_errors=True)
    found = Archive.salvage(directory, target, options=SMALL)
    assert found is not None
    return found["sim"]


def contents(directory: Path) -> tuple[list[Event], list[tuple[int, tuple[Event, ...]]]]:
    """All events in key order, and commits with their times."""
    with Archive.open(directory, readonly=True) as archive:
        sim = archive.instance("sim")
        assert verified(sim).faults == ()
        return list(sim.events()), [(commit.time, commit.events) for commit in sim.commits()]


def spoil(directory: Path, database: str, key: int, place: int, *, as_it_is: bool = False) -> None:
    """Flip a bit of a value in place, and in all older copies of it: LMDB would leave the old page.

    What is young goes into LMDB before, unless the archive is to stay as it is.
    """
    if not as_it_is:
        put_into_lmdb(directory)
    file = data_file(directory)
    with lmdb.open(str(file.parent), max_dbs=len(DATABASES)) as environment:
        opened = environment.open_db(database.encode(), create=False)
        with environment.begin(db=opened) as transaction:
            value = [value for _, value in transaction.cursor()][key]
    changed = bytearray(value)
    changed[place] ^= 1
    raw = file.read_bytes()
    assert value in raw
    file.write_bytes(raw.replace(value, bytes(changed)))


def keys_of(events: list[Event]) -> set[EventKey]:
    return {event.key for event in events}


@pytest.mark.parametrize("window", [1, 2, 20, 50_000])
def test_a_sound_archive_comes_out_whole(
    directory: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(salvage_events, "WINDOW_EVENTS_MAX", window)
    with Archive.open(directory, options=SMALL) as archive:
        sim = archive.instance("sim")
        rich = Event("rich", "R", type="t", created_by="ops", extensions=b"\xa2\x06\x01a", extra={"a": "b"})
        done = sim.append(rich, request_id="mine")
        sim.append(done.event)  # a duplicate
        cursor = sim.cursor()
        stats = sim.stats()
    before = contents(directory)
    raw = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    told: list[tuple[str, int, int]] = []
    found = Archive.salvage(
        directory,
        directory.with_name("saved"),
        options=SMALL,
        progress=lambda name, read, all_: told.append((name, read, all_)),
    )
    assert found is not None
    assert (found["sim"].events, found["sim"].lost_events, found["sim"].losses) == (EVERYTHING + 1, 0, ())
    assert told[-1] == ("sim", EVERYTHING + 1, EVERYTHING + 1)
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == raw
    assert contents(directory.with_name("saved")) == before
    with Archive.open(directory.with_name("saved"), options=SMALL) as archive:
        sim = archive.instance("sim")
        again = sim.stats()
        assert (again.sources, again.created) == (stats.sources, stats.created)
        assert sim.append(rich, request_id="mine").event == done.event  # the id is known
        assert sim.append(Event("next", "B")).event.seq_number == 1020
        with pytest.raises(OtherHistoryError):
            next(sim.changes(after=cursor))


def test_an_older_copy_of_what_is_damaged_is_as_good(with_rows: Path) -> None:
    """LMDB writes a changed page elsewhere, and reuses the old one only later."""
    directory = with_rows
    before = contents(directory)
    damage(directory, "rows", 0, -1, keep_young=True)
    damage(directory, "blocks", 0, IN_KEYS, keep_young=True)
    assert salvaged(directory).losses == ()
    assert contents(directory.with_name("saved")) == before


def test_a_damaged_row_is_named_and_the_others_are_saved(with_rows: Path) -> None:
    directory = with_rows
    before, _ = contents(directory)
    spoil(directory, "rows", 0, -1, as_it_is=True)
    found = salvaged(directory)
    [loss] = found.losses
    assert loss.where.startswith("rows ")
    assert loss.keys == (EventKey(333, "C", 1),)
    assert (found.events, found.lost_events, loss.events) == (EVERYTHING - 1, 1, 1)
    events, _ = contents(directory.with_name("saved"))
    assert events == [event for event in before if event.key not in loss.keys]


@pytest.mark.parametrize(("place", "exact"), [(IN_KEYS, False), (IN_BODY, True)])
def test_the_keys_of_a_damaged_block_are_exact_if_they_can_be_read(
    tmp_path: Path, place: int, exact: bool
) -> None:
    directory = tmp_path / "a"
    with Archive.open(directory, options=SMALL) as archive:
        archive.instance("sim", create=True).append_many(numbered(0, 48))
    before, _ = contents(directory)
    spoil(directory, "blocks", -1, place)  # it was never young, nor part of another block
    found = salvaged(directory)
    [loss] = found.losses
    saved, _ = contents(directory.with_name("saved"))
    lost = sorted(keys_of(before) - keys_of(saved))
    assert lost
    assert (loss.first, loss.last, loss.events) == (lost[0], lost[-1], len(lost))
    assert list(loss.keys) == (lost if exact else [])
    assert found.lost_events == len(lost)


def test_a_late_part_is_saved_without_its_main_part_and_the_other_way_round(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(numbered(0, 16))
        sim.append(Event("late", "L", generation_time=75, seq_number=1))
        sim.settle()
    whole = data_file(tmp_path / "a").read_bytes()
    spoil(tmp_path / "a", "blocks", 0, IN_KEYS)
    found = salvaged(tmp_path / "a")
    events, _ = contents(tmp_path / "saved")
    assert "late" in [event.message for event in events]
    assert found.lost_events == 17 - len(events)
    data_file(tmp_path / "a").write_bytes(whole)
    spoil(tmp_path / "a", "blocks", 0, -1)
    salvaged(tmp_path / "a")
    assert len(contents(tmp_path / "saved")[0]) >= 16


def test_of_a_block_only_the_messages_of_a_damaged_chunk_are_lost(tmp_path: Path) -> None:
    chosen = random.Random(3)
    many = [Event(f"{chosen.random()}", generation_time=n, seq_number=n) for n in range(2500)]
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True).append_many(many)
    spoil(tmp_path / "a", "blocks", 0, -1)  # in the last of three chunks
    [loss] = salvaged(tmp_path / "a").losses
    assert (loss.events, len(loss.keys)) == (500, 500)
    assert [key.seq_number for key in loss.keys] == list(range(2000, 2500))
    assert [event.seq_number for event in contents(tmp_path / "saved")[0]] == list(range(2000))


def test_damaged_zone_maps_lose_nothing(directory: Path) -> None:
    before = contents(directory)
    for key in range(4):
        spoil(directory, "summaries", key, -1)
    assert salvaged(directory).losses == ()
    assert contents(directory.with_name("saved")) == before


def test_a_block_without_zone_map_and_one_that_only_its_zone_map_knows(directory: Path) -> None:
    before = contents(directory)

    def remove(database: str) -> Callable[[Any, Any], object]:
        def by(transaction: Any, opened: Any) -> None:
            cursor = transaction.cursor(opened[database])
            assert cursor.first()
            cursor.delete()

        return by

    change(directory, remove("summaries"))
    assert salvaged(directory).losses == ()
    assert contents(directory.with_name("saved")) == before
    filled(directory.with_name("b"))
    change(directory.with_name("b"), remove("blocks"))
    found = salvaged(directory.with_name("b"))
    saved, _ = contents(directory.with_name("saved"))
    assert found.events == len(saved)
    assert sum(loss.events or 0 for loss in found.losses) == found.lost_events == EVERYTHING - len(saved)


def test_what_is_no_event_is_named_too(directory: Path) -> None:
    before, commits = contents(directory)
    for database, key in (("commits", 1), ("sources", 0), ("requests", 0), ("meta", 2)):
        spoil(directory, database, key, -1)
    found = salvaged(directory)
    where = [loss.where.split()[0] for loss in found.losses]
    assert where == ["meta", "sources", "requests", "commits"], found.losses
    assert found.events == EVERYTHING
    events, again = contents(directory.with_name("saved"))
    assert events == before
    assert [saved for _, saved in again] == [there for _, there in commits]  # the order of arrival
    [changed] = [n for n, (time, _) in enumerate(again) if time != commits[n][0]]
    assert again[changed][0] == max(event.reception_time or 0 for event in commits[changed][1])


def test_the_greatest_number_of_a_source_stays_though_its_event_is_lost(directory: Path) -> None:
    spoil(directory, "blocks", -1, IN_KEYS)
    salvaged(directory)
    with Archive.open(directory.with_name("saved"), options=SMALL) as archive:
        assert archive.instance("sim").append(Event("next", "B")).event.seq_number == 1020


def test_a_request_id_whose_event_is_lost_is_free_again(directory: Path) -> None:
    spoil(directory, "blocks", -1, IN_KEYS)
    salvaged(directory)
    with Archive.open(directory.with_name("saved"), options=SMALL) as archive:
        sim = archive.instance("sim")
        assert verified(sim).faults == ()
        assert sim.append_many(numbered(1000, 20, "B"), request_id="one").conflict_count == 0


def prune_before_200(directory: Path, *, deleted: bool) -> int:
    """Prune; return the number of the events that are left. They may be not deleted yet."""

    def stop(point: str) -> None:
        if point == "prune-horizon-moved" and not deleted:
            raise OutOfSpaceError("the disk", "full")

    with Archive.open(directory, options=SMALL) as archive:
        sim = archive.instance("sim")
        with patch.object(failpoints, "on_point", stop), suppress(OutOfSpaceError):
            sim.prune(before=200)
        return sim.count()


@pytest.mark.parametrize("deleted", [True, False])
def test_pruned_events_stay_away(directory: Path, deleted: bool) -> None:
    left = prune_before_200(directory, deleted=deleted)
    if not deleted:
        spoil(directory, "blocks", 0, IN_KEYS)  # all of it is below
    found = salvaged(directory)
    assert (found.events, found.lost_events, found.losses) == (left, 0, ())
    events, _ = contents(directory.with_name("saved"))
    assert events[0].generation_time == 200
    with Archive.open(directory.with_name("saved"), options=SMALL) as archive:
        assert archive.instance("sim").append_many(numbered(3, 1)).expired == 1


@pytest.mark.parametrize("deleted", [True, False])
def test_what_is_lost_beside_pruned_events_is_counted(directory: Path, deleted: bool) -> None:
    left = prune_before_200(directory, deleted=deleted)
    spoil(directory, "blocks", -1, IN_KEYS)
    found = salvaged(directory)
    assert found.lost_events == left - found.events > 0
    assert [loss.events for loss in found.losses if loss.first] == [found.lost_events]


def test_a_mirror_becomes_an_archive_that_takes_events(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        sim.take_over([], MirrorState("http://127.0.0.1:8090", "sim", None))
    assert salvaged(tmp_path / "a").losses == ()
    with Archive.open(tmp_path / "saved") as archive:
        assert archive.instance("sim").mirrored is None
        archive.instance("sim").append(Event("own"))


def test_an_event_that_is_in_a_row_and_in_a_block_is_stored_once_and_the_first_commit_wins(
    directory: Path,
) -> None:
    before, _ = contents(directory)

    def twice(transaction: Any, opened: Any) -> None:
        other = numbered(3, 1)[0]
        later = Event(
            "later", other.source, generation_time=other.generation_time, seq_number=3, reception_time=0
        )
        for pair in encode_rows(Columns.of([later]), 4):
            transaction.put(*pair, db=opened["rows"])

    change(directory, twice)
    assert salvaged(directory).events == EVERYTHING
    assert contents(directory.with_name("saved"))[0] == before


def test_an_archive_without_its_small_files_is_salvaged(directory: Path) -> None:
    before = contents(directory)
    (directory / "ARCHIVE").unlink()
    (directory / "sim" / "CURRENT").write_text("gen-7\n")
    [loss] = salvaged(directory).losses
    assert loss.where == "CURRENT"
    assert contents(directory.with_name("saved")) == before


def pages_of(directory: Path) -> int:
    return data_file(directory).stat().st_size // PAGE_BYTES


def check_against(before: list[Event], directory: Path, what: object) -> None:
    """Salvage, and check that what is saved is right, and that the losses tell of the rest."""
    found = salvaged(directory)
    saved, _ = contents(directory.with_name("saved"))
    there = {event.key: event for event in before}
    assert all(there.get(event.key) == event for event in saved), what
    lost = len(before) - len(saved)
    assert found.events == len(saved), what
    assert found.lost_events in (None, lost), (what, found.losses)
    assert found.losses or not lost, what


def test_whatever_becomes_of_a_page_all_that_can_be_read_is_saved(directory: Path) -> None:
    with Archive.open(directory, options=SMALL) as archive:
        sim = archive.instance("sim")
        chosen = random.Random(7)
        for n in range(40):
            sim.append(
                Event("x" * chosen.randrange(400), f"S{n % 3}", generation_time=chosen.randrange(10**6))
            )
        sim.append(Event("y" * 9_000, generation_time=9))
    before, _ = contents(directory)
    file = data_file(directory)
    whole = file.read_bytes()
    for page in range(pages_of(directory)):
        content = bytes(PAGE_BYTES) if page % 3 == 0 else chosen.randbytes(PAGE_BYTES)
        file.write_bytes(whole[: page * PAGE_BYTES] + content + whole[(page + 1) * PAGE_BYTES :])
        check_against(before, directory, page)
    file.write_bytes(whole)
    assert salvaged(directory).losses == ()


@pytest.mark.parametrize("pages", [0, 1, 2, 3, 5, 8, 13])
def test_a_file_that_was_cut_short_is_salvaged_up_to_its_end(directory: Path, pages: int) -> None:
    before, _ = contents(directory)
    file = data_file(directory)
    file.write_bytes(file.read_bytes()[: pages * PAGE_BYTES + 100])
    check_against(before, directory, pages)


def test_bits_that_flip_anywhere_are_found(directory: Path) -> None:
    before, _ = contents(directory)
    file = data_file(directory)
    whole = file.read_bytes()
    chosen = random.Random(11)
    for _ in range(10):
        flipped = bytearray(whole)
        for _ in range(20):
            flipped[chosen.randrange(len(flipped))] ^= 1 << chosen.randrange(8)
        file.write_bytes(bytes(flipped))
        check_against(before, directory, None)


def test_an_event_of_a_commit_that_failed_is_not_brought_back(with_rows: Path) -> None:
    directory = with_rows
    phantom = Event("phantom", "P", generation_time=40_000, seq_number=1, reception_time=0)

    def leave_behind(transaction: Any, opened: Any) -> None:
        for pair in encode_rows(Columns.of([phantom]), 4):
            transaction.put(*pair, db=opened["rows"])

    change(directory, leave_behind)
    with lmdb.open(str(data_file(directory).parent), max_dbs=len(DATABASES)) as environment:
        opened = environment.open_db(b"rows", create=False)
        with environment.begin(write=True, db=opened) as transaction:
            found = [key for key, value in transaction.cursor() if decode_row(key, value).event == phantom]
            assert transaction.delete(found[0])
    assert b"phantom" in data_file(directory).read_bytes()
    spoil(directory, "rows", 0, -1, as_it_is=True)
    assert [loss.events for loss in salvaged(directory).losses] in ([1], [])
    assert phantom.key not in keys_of(contents(directory.with_name("saved"))[0])


def test_keys_beyond_a_bound_are_counted_only(with_rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salvage_losses, "KEYS_KEPT_MAX", 1)
    spoil(with_rows, "rows", 0, -1, as_it_is=True)
    spoil(with_rows, "rows", 1, -1, as_it_is=True)
    found = salvaged(with_rows)
    assert [(loss.events, len(loss.keys)) for loss in found.losses] == [(1, 1), (1, 0)]


def test_a_state_that_counts_events_that_are_nowhere(directory: Path) -> None:
    def too_many(transaction: Any, opened: Any) -> None:
        name, state = decode_source(b"A", transaction.get(b"A", db=opened["sources"]))
        state.events += 2
        transaction.put(*encode_source(name, state), db=opened["sources"])

    change(directory, too_many)
    found = salvaged(directory)
    assert (found.lost_events, [loss.events for loss in found.losses]) == (2, [2])


def test_a_format_of_the_future_is_refused(directory: Path) -> None:
    import msgpack  # noqa: PLC0415

    key = b"format"
    newer = Checksummed("meta").wrap(key, msgpack.packb(99))
    change(directory, lambda transaction, opened: transaction.put(key, newer, db=opened["meta"]))
    with pytest.raises(FormatVersionError):
        salvaged(directory)


def test_the_target_must_be_new(directory: Path) -> None:
    target = directory.with_name("saved")
    target.mkdir()
    assert Archive.salvage(directory, target) is not None  # an empty directory will do
    with pytest.raises(NotAnArchiveError, match="not empty"):
        Archive.salvage(directory, target)
    for inside in (directory, directory / "sim" / "new"):
        with pytest.raises(InvalidInputError, match="target"):
            Archive.salvage(directory, inside)
    directory.with_name("file").write_text("")
    with pytest.raises(NotAnArchiveError, match="not a directory"):
        Archive.salvage(directory, directory.with_name("file"))


def test_the_source_must_be_there_and_nobody_may_write_to_it(directory: Path) -> None:
    target = directory.with_name("saved")
    with pytest.raises(NotAnArchiveError, match="no such directory"):
        Archive.salvage(directory.with_name("nosuch"), target)
    with pytest.raises(UnknownInstanceError):
        Archive.salvage(directory, target, instances=["nosuch"])
    with Archive.open(directory), pytest.raises(LockedError, match="this process"):
        Archive.salvage(directory, target)
    assert not target.exists()
    with Archive.open(directory, readonly=True):
        assert Archive.salvage(directory, target, instances=["sim"]) is not None


def test_nobody_may_begin_to_write_to_it_meanwhile(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[str] = []

    def look(point: str) -> None:
        if point == "salvage-begun":
            with pytest.raises(LockedError) as error:
                Archive.open(directory)
            met.append(str(error.value))
            code = "try: Archive.open(sys.argv[1])\nexcept LockedError as error: print('locked', error)"
            met.append(run_in_fork(code, directory))

    monkeypatch.setattr(failpoints, "on_point", look)
    assert Archive.salvage(directory, directory.with_name("saved")) is not None
    assert "this process" in met[0]
    assert met[1].startswith("locked ")


@pytest.mark.parametrize("point", SALVAGE_POINTS)
@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OutOfSpaceError("a", "full")], ids=["interrupt", "full"]
)
def test_a_salvage_that_breaks_off_leaves_a_target_that_says_so(
    directory: Path, monkeypatch: pytest.MonkeyPatch, point: str, error: BaseException
) -> None:
    target = directory.with_name("saved")

    def fail(reached: str) -> None:
        if reached == point:
            raise error

    monkeypatch.setattr(failpoints, "on_point", fail)
    with pytest.raises(type(error)):
        Archive.salvage(directory, target)
    monkeypatch.setattr(failpoints, "on_point", None)
    for readonly in (False, True):
        with pytest.raises(NotAnArchiveError, match="salvage to it did not reach its end; delete it"):
            Archive.open(target, readonly=readonly)
    with pytest.raises(NotAnArchiveError, match="salvage to it did not reach its end"):
        Archive.salvage(directory, target)
    assert salvaged(directory).losses == ()
    Archive.open(directory).close()  # the source is free


@pytest.mark.parametrize("point", SALVAGE_POINTS)
def test_a_salvage_that_is_killed_leaves_a_target_that_says_so(directory: Path, point: str) -> None:
    target = directory.with_name("saved")
    run_in_fork(
        "from tests.dying import die_at\ndie_at(sys.argv[3], 0)\nArchive.salvage(sys.argv[1], sys.argv[2])",
        directory,
        target,
        point,
        status=-9,
    )
    with pytest.raises(NotAnArchiveError, match="salvage to it did not reach its end"):
        Archive.open(target)


def test_it_ends_on_request(directory: Path) -> None:
    asked: list[bool] = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > 5

    target = directory.with_name("saved")
    assert Archive.salvage(directory, target, cancelled=cancelled) is None
    with pytest.raises(NotAnArchiveError):
        Archive.open(target)


def test_a_damaged_record_of_the_log_is_named_and_the_others_are_saved(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        for n in range(6):
            sim.append(Event(f"m{n}", source="S", generation_time=n, seq_number=n))
    [segment] = (tmp_path / "a" / "sim" / "gen-1").glob("log-*")
    data = bytearray(segment.read_bytes())
    data[data.index(b"m2")] ^= 1
    segment.write_bytes(data)
    with (
        Archive.open(tmp_path / "a", options=SMALL) as archive,
        pytest.raises(DamagedError, match="log-1"),
    ):
        archive.instance("sim")
    found = salvaged(tmp_path / "a", tmp_path / "saved")
    assert (found.events, found.lost_events) == (5, 1)
    [loss] = found.losses
    assert loss.where.startswith("log-1, bytes ")
    assert loss.reason == "record 3 is damaged"
    events, commits = contents(tmp_path / "saved")
    assert [event.message for event in events] == ["m0", "m1", "m3", "m4", "m5"]
    assert len(commits) == 5

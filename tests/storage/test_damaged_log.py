"""A damaged commit log: it is listed by ``verify``, gone round on request, saved as far as it can be read."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.child import run_in_fork
from tests.http.feeds import core_feed
from tests.storage.test_damage import young
from yamcs_archive import Archive, Event, Fault, Instance, Options
from yamcs_archive.cli.main import main
from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.log_chain import read_log
from yamcs_archive.storage.disk.log_files import segment_numbers
from yamcs_archive.storage.format.log_segments import FRAME_BYTES, HEADER_BYTES

SMALL = Options(
    block_events_max=16, run_events_min=8, table_events_max=1_000, maintenance=False, clock=lambda: 10**15
)
DEFAULT = Options()
RECORDS = 10
CHECKPOINT = 1
"""The record up to which LMDB has everything, but for the late event."""


def one(n: int) -> Event:
    return Event(f"m{n}", f"S{n % 2}", generation_time=1_000 + n, seq_number=n)


def fill(directory: Path) -> None:
    """Store 16 events in blocks, one late event that the log carries, and ten young ones in two segments."""
    with Archive.open(directory, options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(Event(f"b{n}", "B", generation_time=n, seq_number=n) for n in range(16))
        sim.append(Event("late", "L", generation_time=5, seq_number=0))
        sim._store._writer.checkpoint_all(10)  # type: ignore[attr-defined]  # no public door carries
        for n in range(RECORDS // 2):
            sim.append(one(n), request_id=f"id{n}")
    with Archive.open(directory, options=SMALL) as archive:
        sim = archive.instance("sim")
        for n in range(RECORDS // 2, RECORDS):
            sim.append(one(n))
        assert young(sim) == RECORDS + 1


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sound") / "a"
    fill(directory)
    return directory


@pytest.fixture
def directory(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "a")
    return tmp_path / "a"


def folder(directory: Path) -> Path:
    [found] = (directory / "sim").glob("gen-*")
    return found


def segments(directory: Path) -> list[Path]:
    return [folder(directory) / f"log-{number}" for number in segment_numbers(folder(directory))]


def change(path: Path, by: Callable[[bytearray], object]) -> None:
    data = bytearray(path.read_bytes())
    by(data)
    path.write_bytes(data)


def flip(path: Path, text: bytes) -> int:
    """Flip a bit where a text is; return its place."""
    at = path.read_bytes().index(text)
    change(path, lambda data: data.__setitem__(at, data[at] ^ 1))
    return at


def faults_of(directory: Path, *, quick: bool = False, isolated: bool = False) -> list[Fault]:
    with Archive.open(directory, readonly=True, options=SMALL) as archive:
        found = archive.instance("sim").verify(quick=quick, isolated=isolated)
    assert found is not None
    assert found.fault_count == len(found.faults)
    return list(found.faults)


def messages(sim: Instance, *, skip_damaged: bool = False) -> list[str]:
    return [event.message for event in sim.events(skip_damaged=skip_damaged)]


def test_a_sound_log_has_no_fault(directory: Path) -> None:
    for how in ({}, {"quick": True}, {"isolated": True}, {"isolated": True, "quick": True}):
        assert faults_of(directory, **how) == []
    with Archive.open(directory, options=SMALL) as archive:  # the writer checks its own files
        sim = archive.instance("sim")
        sim.append(one(50))
        found = sim.verify()
        assert found is not None
        assert (found.events, found.commits, found.faults) == (28, 13, ())


@pytest.mark.parametrize(
    "how",
    [{}, {"quick": True}, {"isolated": True}, {"isolated": True, "quick": True}],
    ids=lambda how: " ".join(how) or "full",
)
def test_a_damaged_record_is_listed_with_its_place_and_its_commit(
    directory: Path, how: dict[str, bool]
) -> None:
    at = flip(segments(directory)[0], b"m2")
    [fault] = faults_of(directory, **how)
    name, place = fault.where.split(", bytes ")
    first, last = map(int, place.split(" to "))
    assert name == segments(directory)[0].name
    assert first < at <= last < first + 400
    assert fault.reason.endswith("damaged; commit 5 is lost")


def test_several_damaged_records_are_listed_each(directory: Path) -> None:
    old, new = segments(directory)
    for path, text in ((old, b"m1"), (old, b"m2"), (new, b"m7")):
        flip(path, text)
    faults = faults_of(directory)
    assert [fault.reason.partition("; ")[2] for fault in faults] == [
        "commits 4 to 5 are lost",
        "commit 10 is lost",
    ]
    assert [fault.where.partition(",")[0] for fault in faults] == [old.name, new.name]


def test_the_writer_finds_damage_of_its_own_files(directory: Path) -> None:
    with Archive.open(directory, options=SMALL) as archive:
        sim = archive.instance("sim")
        flip(segments(directory)[0], b"m2")
        found = sim.verify()
        assert found is not None
        assert [fault.where.partition(",")[0] for fault in found.faults] == [segments(directory)[0].name]
        assert len(messages(sim)) == 27  # it has them in memory


def test_without_asking_every_reader_is_refused(directory: Path) -> None:
    """Nobody knows which events a damaged record has."""
    flip(segments(directory)[0], b"m2")
    with Archive.open(directory, readonly=True, options=SMALL) as archive:
        sim = archive.instance("sim")
        for read in (
            lambda: messages(sim),
            lambda: list(sim.events(sources=["B"])),
            lambda: list(sim.event_vectors()),
            lambda: list(sim.histogram()),
            lambda: list(sim.changes()),
            lambda: list(sim.commits()),
            sim.count,
            sim.sources,
            sim.stats,
            sim.cursor,
            lambda: sim.get(one(3).key),
        ):
            with pytest.raises(DamagedError, match="log-"):
                read()
    with (
        Archive.open(directory, options=SMALL) as archive,
        pytest.raises(DamagedError, match="log-"),
    ):
        archive.instance("sim")


@pytest.mark.parametrize("text", [b"m2", b"m0", b"m7", b"late"])
def test_on_request_reading_goes_round_a_damaged_record(directory: Path, text: bytes) -> None:
    with Archive.open(directory, readonly=True, options=SMALL) as archive:
        sim = archive.instance("sim")
        before = list(sim.events())
        cursors = [change.cursor for change in sim.changes()]
    for path in segments(directory):
        if text in path.read_bytes():
            flip(path, text)
    with Archive.open(directory, readonly=True, options=SMALL) as archive:
        sim = archive.instance("sim")
        met: list[DamagedError] = []
        found = list(sim.events(skip_damaged=met.append))
        assert found == [event for event in before if event.message != text.decode()]
        assert len(found) == 26
        assert {error.where.partition(",")[0] for error in met} <= {
            *(path.name for path in segments(directory)),
            "record 2 of the log",
        }
        assert met
        assert list(sim.events(skip_damaged=True, descending=True)) == found[::-1]
        assert sim.count(skip_damaged=True) == 26
        assert sum(stretch.events for stretch in sim.histogram(skip_damaged=True)) == 26
        vectors = [event for part in sim.event_vectors(skip_damaged=True) for event in part.events()]
        assert vectors == found
        arrived = [change.event for change in sim.changes(skip_damaged=True)]
        assert sorted(event.key for event in arrived) == [event.key for event in found]
        for at, cursor in enumerate(cursors):
            rest = [change.event for change in sim.changes(cursor, skip_damaged=True)]
            assert rest == arrived[len(arrived) - len(rest) :]
            assert len(cursors) - at - 2 <= len(rest) <= len(cursors) - at - 1


def test_on_request_a_reader_beside_a_writer_goes_round_damage(directory: Path) -> None:
    with Archive.open(directory, options=SMALL) as archive:
        sim = archive.instance("sim")
        sim.append(one(20))
        flip(segments(directory)[0], b"m2")
        code = (
            "with Archive.open(sys.argv[1], readonly=True) as archive:\n"
            "    print(len(list(archive.instance('sim').events(skip_damaged=True))))"
        )
        assert run_in_fork(code, directory).strip() == "27"
        sim.append(one(21))
        assert run_in_fork(code, directory).strip() == "28"


def test_over_http_and_on_the_command_line(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flip(segments(directory)[0], b"m2")
    with Archive.open(directory, readonly=True, options=SMALL) as archive:
        send = core_feed(archive)
        refused = send("GET", "/api/archive/sim/events?limit=100")
        assert refused.status == 500
        answer = send("GET", "/api/archive/sim/events?limit=100&skip_damaged=true")
        assert len(answer.json()["events"]) == 26
        assert answer.headers["events-left-out"] == "0"  # it is not known how many
        for quick in ("", "?quick=true"):
            verified = send("POST", f"/api/archive/sim:verify{quick}")
            assert verified.status == 200
            [fault] = verified.json()["faults"]
            assert fault["where"].startswith("log-")
            assert "commit 5 is lost" in fault["reason"]
    with Archive.open(directory, options=SMALL) as archive:  # a server that writes cannot open it
        send = core_feed(archive)
        assert send("GET", "/api/archive/sim/events?limit=100").status == 500
        [fault] = send("POST", "/api/archive/sim:verify").json()["faults"]
        assert "commit 5 is lost" in fault["reason"]
        assert b"commit 5 is lost" in send("POST", "/api/archive/sim:verify?progress=true").body
    for more in ([], ["--quick"]):
        assert main(["verify", "--data", str(directory), *more]) == 1
        told = capfd.readouterr().out
        assert "1 fault" in told
        assert "commit 5 is lost" in told
    asked = ["events", "log", "--data", str(directory), "-n", "all", "--format", "jsonl"]
    assert main(asked) == 1
    capfd.readouterr()
    assert main([*asked, "--skip-damaged"]) == 0
    told_by_log = capfd.readouterr()
    assert len(told_by_log.out.splitlines()) == 26
    assert "left out: log-" in told_by_log.err


def events_of(directory: Path) -> dict[tuple[object, ...], Event]:
    with Archive.open(directory, readonly=True, options=SMALL) as archive:
        return {event.key: event for event in archive.instance("sim").events()}


def check(directory: Path, stored: dict[tuple[object, ...], Event], what: object) -> bool:
    """Check that nothing is read that was not stored; return whether ``verify`` finds the damage."""
    with Archive.open(directory, readonly=True, options=SMALL) as archive:
        sim = archive.instance("sim")
        for skip_damaged in (False, True):
            try:
                found = list(sim.events(skip_damaged=skip_damaged))
            except DamagedError:
                assert not skip_damaged, what
                continue
            assert all(stored.get(event.key) == event for event in found), what
        verified = sim.verify(quick=True)
        assert verified is not None
        return bool(verified.faults)


def in_use(path: Path) -> int:
    """The number of bytes of a segment before its zeros, and of its padding."""
    return len(path.read_bytes().rstrip(b"\0"))


@pytest.mark.parametrize("nth", [0, 1])
def test_a_flipped_bit_is_found_wherever_it_is(directory: Path, nth: int) -> None:
    stored = events_of(directory)
    path = segments(directory)[nth]
    whole = path.read_bytes()
    chosen = random.Random(nth)
    padding = padding_of(directory)
    for place in [*range(HEADER_BYTES), *chosen.sample(range(HEADER_BYTES, in_use(path)), 50)]:
        change(path, lambda data: data.__setitem__(place, data[place] ^ 1 << place % 8))  # noqa: B023
        found = check(directory, stored, place)
        assert found or (path.name, place) in padding, place
        path.write_bytes(whole)
    assert not check(directory, stored, None)


def padding_of(directory: Path) -> set[tuple[str, int]]:
    """The zeros between two records, which nothing covers and nobody reads."""
    found: set[tuple[str, int]] = set()
    for record in read_log(folder(directory), CHECKPOINT).records:
        used = record.before.offset + FRAME_BYTES + len(record.payload)
        name = f"log-{record.before.number}"
        found |= {(name, place) for place in range(used, record.after.offset)}
    return found


@pytest.mark.parametrize("end_is_known", [True, False])
@pytest.mark.parametrize("nth", [0, 1])
def test_a_segment_torn_anywhere_is_found_unless_only_its_last_record_is(
    directory: Path, nth: int, end_is_known: bool
) -> None:
    stored = events_of(directory)
    path = segments(directory)[nth]
    whole = path.read_bytes()
    if not end_is_known:
        (folder(directory) / "log.end").unlink()
    last = read_log(folder(directory), CHECKPOINT).records[-1].before.offset
    for place in [*range(0, in_use(path), 29), last, in_use(path)]:
        change(path, lambda data: data.__setitem__(slice(place, None), bytes(len(data) - place)))  # noqa: B023
        is_torn = nth == 1 and not end_is_known and (place >= last or place <= HEADER_BYTES)
        found = check(directory, stored, place)
        if place < in_use(path) and not is_torn and not (nth == 1 and not end_is_known):
            assert found, place
        path.write_bytes(whole[:place])  # cut short, in place of zeros
        assert check(directory, stored, place) == found
        path.write_bytes(whole)


def test_a_segment_that_is_missing_is_found(directory: Path) -> None:
    stored = events_of(directory)
    old, new = segments(directory)
    for path, lost in ((old, "; commits 3 to 7 are lost"), (new, "; commits from 8 on may be lost")):
        whole = path.read_bytes()
        path.unlink()
        assert check(directory, stored, path)
        faults = faults_of(directory)
        assert any("missing" in fault.reason and fault.reason.endswith(lost) for fault in faults), faults
        path.write_bytes(whole)
    (folder(directory) / "log.end").unlink()
    new.unlink()  # now nobody knows that there was one
    assert not check(directory, stored, new)


def test_a_segment_of_another_archive_is_found(directory: Path, tmp_path: Path) -> None:
    stored = events_of(directory)
    fill(tmp_path / "b")
    others = {path.name: path.read_bytes() for path in segments(tmp_path / "b")}
    assert others.keys() == {path.name for path in segments(directory)}
    for end_is_known in (True, False):
        for path in segments(directory):
            whole = path.read_bytes()
            path.write_bytes(others[path.name])
            assert check(directory, stored, path.name)
            assert any("of another archive" in fault.reason for fault in faults_of(directory))
            path.write_bytes(whole)
            beyond = folder(directory) / "log-9"  # beside those that it has
            beyond.write_bytes(others[path.name])
            assert check(directory, stored, path.name)
            beyond.unlink()
        if end_is_known:
            (folder(directory) / "log.end").unlink()


def test_an_older_copy_of_a_segment_is_found(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    with Archive.open(directory, options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        for n in range(3):
            sim.append(one(n))
        [path] = segments(directory)
        older = path.read_bytes()
        for n in range(3, 6):
            sim.append(one(n))
    stored = events_of(directory)
    newer = path.read_bytes()
    path.write_bytes(older)
    assert check(directory, stored, "the last one")
    [fault] = faults_of(directory)
    assert fault.reason == "the records 4 to 6 are damaged; commits from 4 on may be lost"
    path.write_bytes(newer)
    with Archive.open(directory, options=SMALL) as archive:
        archive.instance("sim").append(one(6))
    stored = events_of(directory)
    assert not check(directory, stored, "sound")
    (folder(directory) / "log.end").unlink()
    path.write_bytes(older)
    assert check(directory, stored, "one before the last")


def test_a_segment_that_lmdb_has_already_may_come_back(directory: Path) -> None:
    stored = events_of(directory)
    kept = {path: path.read_bytes() for path in segments(directory)}
    with Archive.open(directory, options=SMALL) as archive:
        archive.instance("sim").settle()
    assert segments(directory) == []
    for path, data in kept.items():
        path.write_bytes(data)
        assert not check(directory, stored, path)
        path.write_bytes(data[: len(data) // 2])
        assert not check(directory, stored, path)
    with Archive.open(directory, options=SMALL) as archive:
        assert len(messages(archive.instance("sim"))) == 27
        assert segments(directory) == []


def test_the_acknowledged_end_may_be_lost_or_of_other_bytes(directory: Path) -> None:
    stored = events_of(directory)
    end = folder(directory) / "log.end"
    whole = end.read_bytes()
    for place in range(len(whole)):
        change(end, lambda data: data.__setitem__(place, data[place] ^ 1))  # noqa: B023
        assert not check(directory, stored, place)
        end.write_bytes(whole)
    end.write_bytes(whole[:9])
    assert not check(directory, stored, "short")


@pytest.mark.parametrize("text", [b"m2", b"m7", b"late"])
def test_salvage_saves_all_but_the_damaged_record(directory: Path, tmp_path: Path, text: bytes) -> None:
    before = events_of(directory)
    for path in segments(directory):
        if text in path.read_bytes():
            flip(path, text)
    found = Archive.salvage(directory, tmp_path / "saved", options=SMALL)
    assert found is not None
    assert (found["sim"].events, found["sim"].lost_events) == (26, 1)
    assert any(loss.where.startswith(("log-", "record ")) for loss in found["sim"].losses)
    assert all(before[key] == event for key, event in events_of(tmp_path / "saved").items())


def test_salvage_takes_nothing_of_another_archive(directory: Path, tmp_path: Path) -> None:
    before = events_of(directory)
    with Archive.open(tmp_path / "b", options=SMALL) as archive:
        sim = archive.instance("sim", create=True)
        for n in range(20):
            sim.append(Event("foreign", generation_time=n, seq_number=n))
    [foreign] = segments(tmp_path / "b")
    segments(directory)[1].write_bytes(foreign.read_bytes())
    found = Archive.salvage(directory, tmp_path / "saved", options=SMALL)
    assert found is not None
    saved = events_of(tmp_path / "saved")
    assert all(before[key] == event for key, event in saved.items())
    assert found["sim"].events == len(saved) == 22


def test_verify_finds_nothing_in_the_log_of_a_busy_writer(tmp_path: Path) -> None:
    """Another process reads segments that are written, left and removed meanwhile."""
    options = replace(SMALL, table_events_max=40, maintenance=True, clock=DEFAULT.clock)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        stop = threading.Event()
        failed: list[BaseException] = []

        def busy() -> None:
            try:
                for n in range(100_000):
                    if stop.is_set():
                        return
                    sim.append(Event(f"m{n}", "S", generation_time=n * 7 % 5_000, seq_number=n))
                    if n % 50 == 49:
                        sim.settle()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            for nth in range(2):
                found = sim.verify(quick=nth % 2 == 0, isolated=True)
                assert found is not None
                assert found.faults == ()
                for _ in range(5):
                    found = sim.verify(quick=True)
                    assert found is not None
                    assert found.faults == ()
        finally:
            stop.set()
            thread.join()
        assert failed == []

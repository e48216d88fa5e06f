"""Request ids: a retry gets the first answer again, whatever happened in between; other uses are refused."""

import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.child import run_in_fork
from yamcs_archive import AppendCounts, Archive, ConflictError, Event, EventKey, Instance, Options
from yamcs_archive.columns import Columns
from yamcs_archive.errors import DamagedError, InvalidInputError, RequestIdError, RequestIdsFullError
from yamcs_archive.limits import CHUNK_EVENTS_MAX, REQUEST_AGE_US
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.failpoints import GROUP_COMMIT_POINTS
from yamcs_archive.storage.format.meta import encode_meta
from yamcs_archive.storage.read.metadata import read_meta

_NOW = 1_700_000_000_000_000


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = _NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sim(tmp_path: Path, clock: Clock) -> Iterator[Instance]:
    options = Options(clock=clock, maintenance=False, request_ids_max=1_000)
    with Archive.open(tmp_path / "a", options=options) as archive:
        yield archive.instance("sim", create=True)


def kept(instance: Instance) -> int:
    """Count the stored ids."""
    environment = instance._store._environment  # type: ignore[attr-defined]
    with environment.snapshot() as (transaction, young):
        return int(transaction.stat(environment.databases["requests"])["entries"]) + len(young.requests())


def sweep(instance: Instance, now: int) -> None:
    instance.settle()  # what is young is not swept
    instance._store._maintenance.look(now)  # type: ignore[attr-defined]


def test_a_retry_gets_the_first_answer_and_takes_no_number(sim: Instance, clock: Clock) -> None:
    first = sim.append(Event("Boot", extra={"a": "1", "b": "2"}), request_id="k")
    clock.now += 1_000_000
    again = sim.append(Event("Boot", extra={"b": "2", "a": "1"}), request_id="k")
    assert (again.event, again.duplicate) == (first.event, True)
    assert sim.submit(Event("Boot", extra={"a": "1", "b": "2"}), request_id="k").result() == again
    assert sim.append(Event("Next")).event.seq_number == 1
    assert [event.message for event in sim.events()] == ["Boot", "Next"]
    assert sim.stats().duplicates == 2


def test_an_id_is_answered_from_rows_from_blocks_after_compaction_and_after_a_restart(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        first = sim.append(Event("Boot"), request_id="k").event
        sim.append_many([Event(f"{n}") for n in range(500)], request_id="many")
        sim.settle()
        assert sim.append(Event("Boot"), request_id="k").event == first
        sim.compact()
        assert sim.append(Event("Boot"), request_id="k").event == first
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim")
        assert sim.append(Event("Boot"), request_id="k").event == first
        counts = sim.append_many([Event(f"{n}") for n in range(501)], request_id="many")
        assert (counts.stored, counts.duplicates) == (1, 500)
        assert sim.stats().events == 502


@pytest.mark.parametrize(
    "other",
    [
        Event("boot"),
        Event("Boot", source="S"),
        Event("Boot", type=""),
        Event("Boot", generation_time=_NOW),
        Event("Boot", seq_number=0),
        Event("Boot", extra={"": ""}),
        Event("Boot", extensions=b"\xa2\x06\x00"),
    ],
)
def test_the_same_id_for_something_else_is_refused_and_stores_nothing(sim: Instance, other: Event) -> None:
    sim.append(Event("Boot"), request_id="k")
    with pytest.raises(RequestIdError, match="'k' was used for another event"):
        sim.append(other, request_id="k")
    assert sim.stats().events == 1
    sim.append(Event("Boot", reception_time=5), request_id="k")  # makes no other event of it
    assert sim.stats().events == 1


def test_each_user_has_ids_of_their_own(sim: Instance) -> None:
    for user in (None, "ada", "bob"):
        assert not sim.append(Event("Boot", created_by=user), request_id="k").duplicate
    assert sim.append(Event("Boot", created_by="bob"), request_id="k").event.seq_number == 2
    with pytest.raises(InvalidInputError, match="created_by"):
        sim.append(Event("Boot", created_by="u" * 256), request_id="k")


@pytest.mark.parametrize("bad", ["", "k" * 201, "é" * 101, "a\0b", "\ud800", 7, b"k"])
def test_a_value_that_cannot_be_an_id_is_refused_at_once(sim: Instance, bad: str) -> None:
    for call in (sim.append, sim.submit):
        with pytest.raises(InvalidInputError, match="request_id"):
            call(Event("m"), request_id=bad)
    with pytest.raises(InvalidInputError, match="request_id"):
        sim.append_many([], request_id=bad)
    assert sim.stats().events == 0


def test_a_refused_request_leaves_its_id_free(sim: Instance) -> None:
    sim.append(Event("a", source="S", generation_time=1, seq_number=1))
    with pytest.raises(ConflictError):
        sim.append(Event("b", source="S", generation_time=1, seq_number=1), request_id="k")
    assert kept(sim) == 0
    assert not sim.append(Event("c"), request_id="k").duplicate


def test_a_retry_of_an_event_that_has_a_number_keeps_its_id_too(sim: Instance) -> None:
    whole = Event("a", source="S", generation_time=1, seq_number=1)
    sim.append(whole)
    assert sim.append(whole, request_id="k").duplicate
    with pytest.raises(RequestIdError):
        sim.append(Event("other"), request_id="k")


def test_an_id_is_forgotten_after_a_day_and_not_before(sim: Instance, clock: Clock) -> None:
    sim.append(Event("a"), request_id="k")
    clock.now += REQUEST_AGE_US - 1
    sweep(sim, clock.now)
    assert sim.append(Event("a"), request_id="k").duplicate
    clock.now += 1
    assert not sim.append(Event("b"), request_id="k").duplicate  # it counts as unknown before it is deleted
    sim.append(Event("c"), request_id="young")
    clock.now += REQUEST_AGE_US
    sim.append(Event("d"), request_id="younger")
    for minutes in (0, 0, 10, 20):  # it continues where it stopped, and begins anew after a pause
        sweep(sim, clock.now + minutes * 60_000_000)
    assert kept(sim) == 1
    assert sim.append(Event("d"), request_id="younger").duplicate


def test_a_clock_that_was_set_back_forgets_nothing(sim: Instance, clock: Clock) -> None:
    sim.append(Event("a"), request_id="k")
    clock.now -= 10 * REQUEST_AGE_US
    sweep(sim, clock.now)
    assert sim.append(Event("a"), request_id="k").duplicate


def test_ids_from_a_clock_that_was_ahead_are_forgotten_a_day_after_it_was_set_back(
    sim: Instance, clock: Clock
) -> None:
    clock.now += 3_000 * REQUEST_AGE_US
    sim.append(Event("a"), request_id="k")
    for steady in (0, 0):  # a sweep to its end; the next one begins 10 minutes later, by another clock
        sweep(sim, steady)
    clock.now -= 3_000 * REQUEST_AGE_US
    assert sim.append(Event("a"), request_id="k").duplicate
    for minutes in (10, 10, 10):
        sweep(sim, minutes * 60_000_000)
    assert kept(sim) == 1
    assert sim.append(Event("a"), request_id="k").duplicate
    clock.now += REQUEST_AGE_US - 1
    assert sim.append(Event("a"), request_id="k").duplicate
    clock.now += 1
    sweep(sim, 20 * 60_000_000)
    assert kept(sim) == 0


def test_a_damaged_id_does_not_keep_others_from_being_forgotten(sim: Instance, clock: Clock) -> None:
    for n in range(5):
        sim.append(Event("a"), request_id=f"{n}")
    sim.settle()
    environment = sim._store._environment  # type: ignore[attr-defined]  # there is no public way to damage
    with environment.lmdb.begin(write=True, db=environment.databases["requests"]) as transaction:
        transaction.put(b"\0" + b"2", b"damaged")
    clock.now += REQUEST_AGE_US
    for steady in (0, 0):
        sweep(sim, steady)
    assert kept(sim) == 1


def test_beyond_the_bound_new_ids_are_refused_and_known_ones_answered(sim: Instance, clock: Clock) -> None:
    sim.append_many([Event("m")] * 999, request_id="many")
    with pytest.raises(RequestIdsFullError):
        sim.append_many([Event("m")] * 2, request_id="two")
    assert sim.stats().events == 999
    assert not sim.append(Event("last"), request_id="last").duplicate
    with pytest.raises(RequestIdsFullError):
        sim.append(Event("over"), request_id="over")
    assert sim.append(Event("last"), request_id="last").duplicate
    assert not sim.append(Event("without")).duplicate
    clock.now += REQUEST_AGE_US
    for _ in range(2):
        sweep(sim, clock.now)
    assert not sim.append(Event("over"), request_id="over").duplicate


def test_a_batch_that_broke_off_is_completed_and_one_that_differs_ends_there(sim: Instance) -> None:
    def broken() -> Iterator[Event]:
        yield from (Event(f"{n}") for n in range(300))
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        sim.append_many(broken(), request_id="b")
    counts = sim.append_many((Event(f"{n}") for n in range(400)), request_id="b")
    assert (counts.stored, counts.duplicates) == (100, 300)
    assert sorted(int(event.message) for event in sim.events()) == list(range(400))
    events = [Event("other" if n == 350 else f"{n}") for n in range(401)]
    with pytest.raises(RequestIdError) as caught:
        sim.append_many(events, request_id="b")
    assert caught.value.position == 350
    assert caught.value.counts.duplicates == 350
    assert sim.stats().events == 400


def test_conflicts_within_a_batch_keep_no_id_and_their_positions(sim: Instance) -> None:
    taken = Event("taken", source="S", generation_time=1, seq_number=1)
    sim.append(taken)
    events = [Event("a"), Event("b", source="S", generation_time=1, seq_number=1), Event("c")]
    for stored, duplicates in ((2, 0), (0, 2)):
        counts = sim.append_many(events, request_id="b")
        assert (counts.stored, counts.duplicates, counts.conflict_count) == (stored, duplicates, 1)
        assert [(each.position, each.stored.message) for each in counts.conflicts] == [(1, "taken")]
    assert kept(sim) == 2


def test_two_tries_at_once_store_one_event(sim: Instance) -> None:
    held = threading.Event()

    def wait(point: str) -> None:
        if point == "group-taken":
            held.wait(10)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(8) as pool:
        patch.setattr(failpoints, "on_point", wait)
        tries = [pool.submit(sim.append, Event("Boot"), request_id="k") for _ in range(8)]
        held.set()
        answers = [each.result() for each in tries]
    assert sorted(answer.duplicate for answer in answers) == [False] + [True] * 7
    assert len({answer.event.key for answer in answers}) == 1
    assert sim.stats().events == 1


def test_one_caller_s_used_id_does_not_fail_the_others_of_its_group(sim: Instance) -> None:
    sim.append(Event("first"), request_id="k")
    begun, held = threading.Event(), threading.Event()

    def wait(point: str) -> None:
        if point == "group-taken" and not begun.is_set():
            begun.set()
            held.wait(10)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failpoints, "on_point", wait)
        blocker = sim.submit(Event("blocker"))
        assert begun.wait(10)
        good = [sim.submit(Event("good"), request_id=f"good-{n}") for n in range(3)]
        bad = sim.submit(Event("second"), request_id="k")
        plain = sim.submit(Event("plain"))
        held.set()
        assert not blocker.result(10).duplicate
        assert [each.result(10).event.message for each in good] == ["good"] * 3
        assert plain.result(10).event.message == "plain"
        with pytest.raises(RequestIdError):
            bad.result(10)
    assert sim.stats().events == 6


def test_a_damaged_record_of_a_request_is_an_error_and_not_misread(sim: Instance) -> None:
    sim.append(Event("Boot"), request_id="k")
    sim.settle()
    environment = sim._store._environment  # type: ignore[attr-defined]
    with environment.lmdb.begin(write=True, db=environment.databases["requests"]) as transaction:
        value = bytearray(transaction.get(b"\0k"))
        value[-1] ^= 1
        transaction.put(b"\0k", bytes(value))
    with pytest.raises(DamagedError, match="requests"):
        sim.append(Event("Boot"), request_id="k")
    assert not sim.append(Event("Boot"), request_id="j").duplicate


@pytest.mark.parametrize("point", GROUP_COMMIT_POINTS)
def test_a_kill_leaves_the_event_with_its_id_or_neither(tmp_path: Path, point: str) -> None:
    printed = run_in_fork(
        """
        import os, signal
        from yamcs_archive.storage import failpoints
        sim = Archive.open(sys.argv[1]).instance("sim", create=True)
        def kill(point):
            if point == sys.argv[2]:
                os.kill(os.getpid(), signal.SIGKILL)
        failpoints.on_point = kill
        sim.append(Event("Boot"), request_id="k")
        """,
        tmp_path / "a",
        point,
        status=-signal.SIGKILL,
    )
    assert printed == ""
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim")
        before = sim.stats().events
        assert (
            kept(sim) == before == (point in ("log-written", "log-synced", "after-commit", "before-answer"))
        )
        answer = sim.append(Event("Boot"), request_id="k")
        assert answer.duplicate == bool(before)
        assert answer.event.key == EventKey(answer.event.generation_time or 0, "User", 0)
        assert sim.stats().events == 1


@pytest.mark.parametrize("point", ["task-before-commit", "task-after-commit"])
def test_a_failure_while_old_ids_are_deleted_leaves_all_of_them_or_none(
    sim: Instance, clock: Clock, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        sim.append(Event("Boot"), request_id=f"{n}")
    clock.now += REQUEST_AGE_US
    sim.append(Event("Boot"), request_id="young")
    sim.settle()

    def fail(reached: str) -> None:
        if reached == point:
            monkeypatch.setattr(failpoints, "on_point", None)
            raise MemoryError("stopped here")

    monkeypatch.setattr(failpoints, "on_point", fail)
    with pytest.raises(MemoryError, match="stopped here"):
        sweep(sim, clock.now)
    assert kept(sim) == (1 if point == "task-after-commit" else 4)
    assert sim.append(Event("Boot"), request_id="young").duplicate
    assert sim.append(Event("Boot"), request_id="0").event.seq_number == 4  # too old to be known
    for _ in range(2):  # a sweep that was at the end begins anew
        clock.now += 600_000_000
        sweep(sim, clock.now)
    assert kept(sim) == 2


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.booleans()), max_size=30))
def test_ids_behave_like_a_dictionary(steps: list[tuple[int, int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder, Archive.open(Path(folder) / "a") as archive:
        sim = archive.instance("sim", create=True)
        model: dict[int, tuple[int, EventKey]] = {}
        stored = 0
        for request, content, settle in steps:
            if settle:
                sim.settle()
            event = Event(f"m{content}")
            known = model.get(request)
            if known is not None and known[0] != content:
                with pytest.raises(RequestIdError):
                    sim.append(event, request_id=str(request))
                continue
            answer = sim.append(event, request_id=str(request))
            assert answer.duplicate == (known is not None)
            stored += not answer.duplicate
            assert model.setdefault(request, (content, answer.event.key))[1] == answer.event.key
        assert sim.stats().events == stored


def test_a_retry_of_an_event_that_was_pruned_since_is_expired(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        events = [Event(f"{n}", generation_time=n * 100) for n in range(20)]
        sim.append_many(events, request_id="b")
        environment = sim._store._environment  # type: ignore[attr-defined]
        facts = read_meta(environment)._replace(horizon=1000)
        with environment.lmdb.begin(write=True, db=environment.databases["meta"]) as transaction:
            for pair in encode_meta(facts):
                transaction.put(*pair)
    with Archive.open(tmp_path / "a") as archive:
        counts = archive.instance("sim").append_many(events, request_id="b")
        assert (counts.stored, counts.duplicates, counts.expired) == (0, 10, 10)


@pytest.mark.parametrize("form", ["list", "iterator", "columns"])
@pytest.mark.parametrize("place", [0, 1, 15, 16, 63, 64, CHUNK_EVENTS_MAX + 1])
def test_an_event_that_cannot_have_an_id_is_named_and_those_before_it_are_stored(
    tmp_path: Path, form: str, place: int
) -> None:
    """The user of an event may have any length, but the user of an id must fit into a key."""
    with Archive.open(tmp_path / "a") as archive:
        check_position(archive.instance("sim", create=True), form, place)


def check_position(sim: Instance, form: str, place: int) -> None:
    events = [Event(f"m{n}", generation_time=n, seq_number=n) for n in range(place + 3)]
    events[place] = replace(events[place], created_by="u" * 256)

    def append() -> AppendCounts:
        if form == "columns":
            return sim.append_columns([Columns.of(events)], request_id="r")
        return sim.append_many(events if form == "list" else iter(events), request_id="r")

    for stored in (place, 0):  # given again, those before it are found
        with pytest.raises(InvalidInputError, match="created_by") as caught:
            append()
        assert caught.value.position == place
        assert caught.value.counts.stored == stored
        assert caught.value.counts.duplicates == place - stored
        assert sim.stats().events == place
    events[place] = replace(events[place], created_by="u" * 255)
    assert append().stored == 3


def test_of_two_events_that_are_refused_the_first_is_named(sim: Instance) -> None:
    without_id, invalid = Event("a", created_by="u" * 256), Event("a", source="A\0B")
    for pair, field in (((without_id, invalid), "created_by"), ((invalid, without_id), "source")):
        with pytest.raises(InvalidInputError) as caught:
            sim.append_many([Event("good"), *pair], request_id=f"r {field}")
        assert (caught.value.field, caught.value.position, caught.value.counts.stored) == (field, 1, 1)

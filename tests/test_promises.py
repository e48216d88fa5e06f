"""The promises of an answer: events are stored as they were checked; of many, those before an error."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from threading import Event as Event_
from typing import Any

import pytest

from tests.child import run
from tests.storage.by_hand import change_meta
from yamcs_archive import Archive, Event, Instance, InvalidInputError, Options
from yamcs_archive.errors import NumbersExhaustedError
from yamcs_archive.limits import SEQ_NUMBER_MAX
from yamcs_archive.storage.format import meta
from yamcs_archive.storage.read.metadata import read_meta
from yamcs_archive.storage.write import writer


@pytest.fixture
def sim(tmp_path: Path) -> Any:
    with Archive.open(tmp_path / "promises") as archive:
        yield archive.instance("sim", create=True)


@pytest.mark.parametrize("count", [1, 20, 300])
def test_a_stored_event_does_not_change_with_the_caller_s_dict(sim: Instance, count: int) -> None:
    tags = {"pass": "1"}
    sim.append_many([Event(f"{n}", generation_time=n, seq_number=n, extra=tags) for n in range(count)])
    tags["pass"] = "2"
    tags[5] = None  # type: ignore[index,assignment]  # a caller's fault after the fact
    for read in (list(sim.events()), list(sim.events(descending=True))):
        for event in read:
            assert event.extra == {"pass": "1"}
            event.extra["pass"] = "3"
    sim.append_many([Event(f"{n}", generation_time=n, seq_number=n) for n in range(1000, 1300)])
    sim.settle()
    assert {tuple(event.extra.items()) for event in sim.events(stop=1000)} == {(("pass", "1"),)}


def exhausted(position: int) -> Event:
    return Event(f"e{position}", source="full", generation_time=position)


@pytest.mark.parametrize("bad", [[0], [5], [10_100], [5, 10_100], [10_100, 20_500], [29_999]])
@pytest.mark.parametrize("lazy", [False, True])
def test_of_many_events_those_before_the_error_are_stored(sim: Instance, bad: list[int], lazy: bool) -> None:
    sim.append(Event("the last number", source="full", generation_time=-1, seq_number=SEQ_NUMBER_MAX))
    events = [
        exhausted(n) if n in bad else Event(f"e{n}", generation_time=n, seq_number=n) for n in range(30_000)
    ]
    with pytest.raises(NumbersExhaustedError) as caught:
        sim.append_many(iter(events) if lazy else events)
    assert caught.value.position == bad[0]
    assert caught.value.counts is not None
    assert caught.value.counts.stored == bad[0]
    assert [event.message for event in sim.events(start=0)] == [f"e{n}" for n in range(bad[0])]


def test_an_error_in_an_earlier_chunk_comes_before_a_bad_event_in_a_later_one(sim: Instance) -> None:
    sim.append(Event("the last number", source="full", generation_time=-1, seq_number=SEQ_NUMBER_MAX))
    events = [Event(f"e{n}", generation_time=n, seq_number=n) for n in range(12_000)]
    events[7] = exhausted(7)
    events[11_000] = Event("bad", source="x" * 256)
    with pytest.raises(NumbersExhaustedError) as caught:
        sim.append_many(events)
    assert caught.value.position == 7
    assert len(list(sim.events(start=0))) == 7


class Text(str):
    """A subclass of str, like those of array libraries."""

    __slots__ = ()


def test_text_that_is_not_quite_text_is_stored_as_text_one_by_one_and_among_many(sim: Instance) -> None:
    for first, others in ((0, 0), (100, 30)):
        strange = Event(Text("m"), generation_time=first, seq_number=0)
        many = [Event(f"{n}", generation_time=first + n, seq_number=n) for n in range(1, 1 + others)]
        assert sim.append_many([strange, *many]).stored == 1 + others
        assert [type(event.message) for event in sim.events(start=first)] == [str] * (1 + others)


@pytest.mark.parametrize("many", [63, 64])
def test_expired_events_leave_their_source_without_a_number(tmp_path: Path, many: int) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        environment = sim._store._environment  # type: ignore[attr-defined]  # nothing prunes yet
        horizon = read_meta(environment)._replace(horizon=1000)
        with environment.lmdb.begin(write=True) as transaction:
            for pair in meta.encode_meta(horizon):
                transaction.put(*pair, db=environment.databases["meta"])
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim")
        old = [Event("old", source="S", generation_time=n, seq_number=n) for n in range(many - 1)]
        counts = sim.append_many([*old, Event("new", source="T", generation_time=5000, seq_number=0)])
        assert (counts.stored, counts.expired) == (1, many - 1)
        assert sim.append(Event("now", source="S")).event.seq_number == 0


@pytest.mark.parametrize("sources", [1, 2])
@pytest.mark.parametrize("many", [1, 63, 64, 65])
def test_a_source_of_which_all_has_expired_has_no_number_either(
    tmp_path: Path, many: int, sources: int
) -> None:
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True)
    change_meta(tmp_path / "a" / "sim", horizon=1000)
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim")
        old = [Event("old", source=f"S{n % sources}", generation_time=n, seq_number=n) for n in range(many)]
        assert sim.append_many(old).expired == many
        sim.append(Event("another"))  # whose commit writes the counts
        assert sim.sources() == ["User"]
    with Archive.open(tmp_path / "a") as archive:
        assert archive.instance("sim").append(Event("now", source="S0")).event.seq_number == 0


def test_one_settle_puts_all_events_into_blocks(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(Event("first", generation_time=n, seq_number=n) for n in range(300))
        for start in range(300, 20_300, 200):  # too few at a time to become blocks at once
            sim.append_many(
                [Event("then", generation_time=n, seq_number=n) for n in range(start, start + 200)]
            )
        sim.settle()
        environment = sim._store._environment  # type: ignore[attr-defined]  # below every public door
        with environment.read() as transaction:
            assert transaction.stat(environment.databases["rows"])["entries"] == 0
        assert [event.seq_number for event in sim.events()] == list(range(20_300))


_APPEND_AND_COMPACT = """
    with Archive.open(sys.argv[1]) as archive:
        sim = archive.instance("sim")
        sim.append(Event("by another process", generation_time=2, seq_number=2))
        sim.compact()
"""


def test_a_writer_opened_again_goes_on_where_another_process_left(tmp_path: Path) -> None:
    directory = tmp_path / "a"
    writer = Archive.open(directory)
    writer.instance("sim", create=True).append(Event("first", generation_time=1, seq_number=1))
    reader = Archive.open(directory, readonly=True)
    read = reader.instance("sim")
    assert [event.message for event in read.events()] == ["first"]
    writer.close()
    run(_APPEND_AND_COMPACT, directory)
    assert [event.message for event in read.events()] == ["first", "by another process"]
    with Archive.open(directory) as again:
        again.instance("sim").append(Event("third", generation_time=3, seq_number=3))
        assert len(list(read.events())) == 3
    reader.close()
    with Archive.open(directory) as afresh:
        assert [event.message for event in afresh.instance("sim").events()][-1] == "third"


@pytest.mark.parametrize("options", [{"block_text_bytes_max": 64 << 20}, {"block_events_max": 100_000}])
def test_options_with_which_unreadable_blocks_would_be_written_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="at most"):
        Options(**options)


def test_texts_of_replaced_blocks_do_not_accumulate(sim: Instance) -> None:
    for start in range(0, 25_000, 5_100):  # each append leaves a block that the next one fills up
        sim.append_many(
            [Event("m", type=f"T{n}", generation_time=n, seq_number=n) for n in range(start, start + 5_100)]
        )
    kept = sim._store._writer._state.cache._blocks.values()  # type: ignore[attr-defined]  # what it costs shows nowhere
    assert all(len(block.events.types.values) <= block.count for block in kept)
    assert any(block.count < 1_000 for block in kept)


def test_a_callback_may_submit_while_the_queue_is_full(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUEUED_BYTES_MAX", 10_000)
    followed: list[Future[Any]] = []
    futures = []
    for n in range(50):
        future = sim.submit(Event("m" * 1000, generation_time=n))
        future.add_done_callback(lambda _: followed.append(sim.submit(Event("f" * 20_000))))
        futures.append(future)
    assert [future.result(60).duplicate for future in futures] == [False] * 50
    sim.append(Event("after all callbacks"))
    assert [future.result(60).duplicate for future in followed] == [False] * 50


@pytest.mark.parametrize("fault", [SystemExit, KeyboardInterrupt, ValueError])
def test_an_error_of_a_callback_does_not_end_other_waits(
    sim: Instance, fault: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Future[Any]) -> None:
        raise fault

    hold = Event_()
    first = sim.submit(Event("holds the writer"))
    first.add_done_callback(lambda _: hold.wait(60))
    failing = sim.submit(Event("whose callback fails"))
    failing.add_done_callback(fail)
    later = sim.submit(Event("after it"))
    hold.set()
    assert later.result(60).event.message == "after it"
    assert failing.result(60).duplicate is False
    assert sim.append(Event("later")).duplicate is False
    assert any(fault.__name__ in record.message or record.exc_info for record in caplog.records)


_PEAK = """
    import resource
    with Archive.open(sys.argv[1], options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        {work}
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
_WORKS = {
    "extra": """
        large = [chr(65 + n) * 40_000 for n in range(26)]
        extras = ({"raw": large[n % 26] + "x"} for n in range(8_000))
        sim.append_many(Event("m", generation_time=n, extra=extra) for n, extra in enumerate(extras))
    """,
    "conflicts": """
        large = [Event(chr(65 + n % 26) * (1 << 20), generation_time=n, seq_number=n) for n in range(26)]
        sim.append_many(large)
        del large
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        keys = [(n % 26, n % 26) for n in range(10_000)]
        counts = sim.append_many(Event("other", generation_time=t, seq_number=n) for t, n in keys)
        assert counts.conflict_count == 10_000, counts
        assert [conflict.position for conflict in counts.conflicts] == list(range(7))
    """,
    "changes": """
        for n in range(300):
            sim.append(Event(chr(65 + n % 26) * (1 << 20), generation_time=n % 7 * 1000 + n, seq_number=n))
        sim.settle()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert [change.event.seq_number for change in sim.changes()] == list(range(300))
    """,
}


@pytest.mark.parametrize("work", _WORKS)
def test_memory_is_bounded_by_bytes_not_by_events(tmp_path: Path, work: str) -> None:
    code = _PEAK.replace("{work}", _WORKS[work].strip())
    assert int(run(code, tmp_path / "a")) < 150  # MiB, of 300 or more that pass through


def test_an_archive_at_rest_is_left_alone(tmp_path: Path) -> None:
    now = [10_000_000]
    options = Options(clock=lambda: now[0], block_events_max=64, table_events_max=10**6, maintenance=False)
    with Archive.open(tmp_path / "a", options=options) as archive:
        sim = archive.instance("sim", create=True)
        maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]  # its clock, not a wait
        environment: Any = sim._store._environment  # type: ignore[attr-defined]  # what it reads
        for n in range(100):
            sim.append(Event(f"{n}", generation_time=n))
        for _ in range(2):
            now[0] += 60_000_000
            maintenance.look(now[0])
        reads: list[int] = []
        read = environment.read

        def counted() -> Any:
            reads.append(1)
            return read()

        environment.read = counted
        for _ in range(100):
            now[0] += 1_000_000
            maintenance.look(now[0])
        assert reads == []
        sim.append(Event("one more"))
        now[0] += 60_000_000
        maintenance.look(now[0])
        maintenance.look(now[0] + 60_000_000)
        assert reads


def test_a_quiet_archive_does_not_write_its_last_block_anew_for_each_event(tmp_path: Path) -> None:
    now = [10_000_000]
    with Archive.open(tmp_path / "a", options=Options(clock=lambda: now[0], maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        maintenance: Any = sim._store._maintenance  # type: ignore[attr-defined]  # its clock, not a wait
        sim.append_many(Event(f"{n}", generation_time=n) for n in range(1000))
        rewritten = 0
        sim.settle()
        for n in range(1000, 2000):  # an event a second
            sim.append(Event(f"{n}", generation_time=n))
            now[0] += 1_000_000
            before = values(sim)
            maintenance.look(now[0])
            rewritten += values(sim) != before
        assert rewritten == 0
        now[0] += 60_000_000
        before = values(sim)
        maintenance.look(now[0])
        assert values(sim) != before
        before = values(sim)
        maintenance.look(now[0])
        assert values(sim) == before
        assert len(list(sim.events())) == sim.stats().events == 2000
        with environment_of(sim).read() as transaction:
            assert transaction.stat(environment_of(sim).databases["rows"])["entries"] == 0


def environment_of(sim: Instance) -> Any:
    return sim._store._environment  # type: ignore[attr-defined]  # there is no public way to look


def values(sim: Instance) -> list[bytes]:
    """The checksums of all blocks."""
    with environment_of(sim).read() as transaction:
        return [value[:8] for _, value in transaction.cursor(environment_of(sim).databases["blocks"])]

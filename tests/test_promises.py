"""What an answer promises: stored as it was checked, all of a prefix, nothing behind it, and in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.child import run
from yamcs_archive import Archive, Event, Instance, InvalidInputError, Options
from yamcs_archive.errors import NumbersExhaustedError
from yamcs_archive.limits import SEQ_NUMBER_MAX
from yamcs_archive.storage import meta
from yamcs_archive.storage.state import read_meta


@pytest.fixture
def sim(tmp_path: Path) -> Any:
    with Archive.open(tmp_path / "promises") as archive:
        yield archive.instance("sim", create=True)


@pytest.mark.parametrize("count", [1, 20, 300])
def test_what_was_stored_does_not_change_with_its_callers_dict(sim: Instance, count: int) -> None:
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
def test_what_is_stored_of_many_is_what_comes_before_the_error(
    sim: Instance, bad: list[int], lazy: bool
) -> None:
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
    """A subclass of str, as array libraries have them."""

    __slots__ = ()


def test_text_that_is_not_quite_text_is_refused_one_by_one_and_among_many(sim: Instance) -> None:
    strange = Event(Text("m"), generation_time=0, seq_number=0)
    for events in ([strange], [Event(f"{n}", seq_number=n) for n in range(30)] + [strange]):
        with pytest.raises(InvalidInputError, match="must be text"):
            sim.append_many(events)


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


def test_one_pass_settles_everything(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(Event("first", generation_time=n, seq_number=n) for n in range(300))
        for start in range(300, 20_300, 200):  # too few at a time to be blocks at once
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
def test_options_that_would_write_what_cannot_be_read_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="at most"):
        Options(**options)


def test_texts_of_events_that_are_gone_do_not_pile_up(sim: Instance) -> None:
    for start in range(0, 25_000, 5_100):  # each leaves a block that the next one fills up
        sim.append_many(
            [Event("m", type=f"T{n}", generation_time=n, seq_number=n) for n in range(start, start + 5_100)]
        )
    kept = sim._store._writer._kept._blocks.values()  # type: ignore[attr-defined]  # what it costs shows nowhere
    assert all(len(block.events.types.table) <= block.count for block in kept)
    assert any(block.count < 1_000 for block in kept)

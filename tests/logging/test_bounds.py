"""A full buffer, and places that cannot store: callers wait a bounded time, and losses are told."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tests.child import WAIT_S
from tests.logging.conftest import Make, logger_of, stored
from yamcs_archive import AppendCounts, Event, Instance, InvalidInputError, OutcomeUnknownError
from yamcs_archive.errors import OutOfSpaceError
from yamcs_archive.logging.buffer import SMALL_BYTES, Buffer


class Gate:
    """Holds an instance's appends, or makes them fail, as long as a test wants."""

    def __init__(self, sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.reached = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self._append_many = sim.append_many
        monkeypatch.setattr(sim, "append_many", self._append)

    def _append(self, events: Iterable[Event]) -> AppendCounts:
        self.reached.set()
        if self.error is not None:
            raise self.error
        assert self.open.wait(WAIT_S)
        return self._append_many(events)


@pytest.fixture
def gate(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(sim, monkeypatch)


def until(true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.002)


@pytest.mark.parametrize(
    ("records", "bytes_max", "size"),
    [
        (5, 1 << 30, 10),
        (100_000, 5 * SMALL_BYTES, 10),
        (100_000, 5 * SMALL_BYTES + 1, SMALL_BYTES),
        (100_000, 6 * SMALL_BYTES, SMALL_BYTES + 1),
        (5, 1 << 30, 1 << 20),
        (100_000, 5 << 20, 1 << 20),
    ],
)
def test_a_buffer_takes_as_much_as_it_may_and_a_large_record_alone(
    records: int, bytes_max: int, size: int
) -> None:
    buffer, item = Buffer(records, bytes_max, 0), (("a",), size)
    assert [buffer.put(item) for _ in range(6)] == 5 * [True] + [False]
    assert (buffer.waiting, buffer.dropped) == (5, 1)
    taken = buffer.take()
    assert taken == 5 * [item]
    assert not buffer.put(item)  # what was taken counts until it is done
    buffer.done(taken[:1])
    assert buffer.put(item)
    assert not buffer.put(item)
    full = buffer.is_full
    buffer.done(taken[1:])
    assert (full, buffer.is_full) == (True, False)
    buffer.done(buffer.take())
    assert buffer.put((("b",), 1 << 40))
    assert not buffer.put(item)
    assert (buffer.waiting, buffer.spells) == (1, 2)


def test_a_buffer_counts_right_while_many_threads_put_and_one_takes() -> None:
    buffer, kept = Buffer(50, 1 << 20, 0), [0] * 8
    taken: list[Any] = []

    def work(thread: int) -> None:
        for number in range(2_000):
            kept[thread] += buffer.put(((thread, number), SMALL_BYTES + (number % 3) * 10_000 - 5_000))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads) or buffer.waiting:
        found = buffer.take()
        taken += found
        buffer.done(found)
    assert len(taken) == sum(kept)
    assert sum(kept) + buffer.dropped == 16_000
    for thread in range(8):
        numbers = [number for (one, number), _ in taken if one == thread]
        assert numbers == sorted(numbers)
    buffer.take()
    assert [buffer.put((("a",), 10)) for _ in range(51)].count(True) == 50  # nothing is counted that is gone


def test_a_caller_waits_for_room_once_and_is_told_once(
    make: Make, sim: Instance, gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = make(sim, buffer_records=10, wait_s=0.15)
    log = logger_of(handler)
    begun_s = time.monotonic()
    for number in range(10):
        log.info("kept %d", number)
    log.info("dropped 0")
    waited_s = time.monotonic() - begun_s
    assert waited_s >= 0.15
    begun_s = time.monotonic()
    for number in range(1, 1_000):
        log.info("dropped %d", number)
    assert handler.dropped == 1_000
    assert time.monotonic() - begun_s < 0.15 * 999  # by far: none of them waits
    said = capsys.readouterr().err
    assert said == "yamcs_archive.logging: a record, and what follows, is dropped: its buffer is full\n"
    gate.open.set()
    assert handler.wait_until_stored(WAIT_S)
    log.info("kept 10")
    found = stored(handler, sim)
    assert [event.message for event in found if event.source != "yamcs_archive.logging"] == [
        f"kept {number}" for number in range(11)
    ]
    [notice] = [event for event in found if event.source == "yamcs_archive.logging"]
    assert notice.message == "1000 log records were dropped: there was no room for them"
    assert (notice.type, notice.severity.name) == ("RECORDS_DROPPED", "WARNING")
    assert notice.extra["dropped"] == "1000"
    assert notice.extra["dropped.first"] <= notice.extra["dropped.last"]


def test_a_caller_that_waits_gets_the_room_that_comes(make: Make, sim: Instance, gate: Gate) -> None:
    handler = make(sim, buffer_records=3, wait_s=WAIT_S)
    log = logger_of(handler)
    for number in range(3):
        log.info("%d", number)
    assert gate.reached.wait(WAIT_S)
    waiting = threading.Thread(target=log.info, args=("3",))
    waiting.start()
    gate.open.set()
    waiting.join(WAIT_S)
    assert [event.message for event in stored(handler, sim)] == ["0", "1", "2", "3"]
    assert handler.dropped == 0


def test_after_dropping_the_notice_comes_without_another_record(
    make: Make, sim: Instance, gate: Gate
) -> None:
    handler = make(sim, buffer_records=1, wait_s=0)
    log = logger_of(handler)
    log.info("kept")
    assert gate.reached.wait(WAIT_S)
    log.info("dropped")
    gate.open.set()
    until(lambda: sim.count() == 2)
    assert sorted(event.source for event in sim.events()) == sorted([log.name, "yamcs_archive.logging"])


def test_trouble_is_told_once_and_its_end_too_and_nothing_is_lost(
    make: Make, sim: Instance, gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = make(sim)
    log = logger_of(handler)
    gate.error = OutOfSpaceError("/data", "full")
    for number in range(50):
        log.info("%d", number)
    assert not handler.wait_until_stored(0.05)
    for _ in range(5):
        assert not handler.wait_until_stored(0.05)  # each makes it try again at once
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("yamcs_archive.logging: cannot store in sim: ")
    assert "records wait, and are tried again: no space for /data (full)" in said
    gate.error = None
    gate.open.set()
    assert [event.message for event in stored(handler, sim)] == [str(number) for number in range(50)]
    said = capsys.readouterr().err
    assert said.startswith("yamcs_archive.logging: stores again in sim, after ")
    assert said.endswith("; 0 records were dropped so far\n")


def test_trouble_goes_to_handle_error_and_can_be_silenced(
    make: Make, sim: Instance, gate: Gate, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = make(sim)
    gate.error = OutOfSpaceError("/data", "full")
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger_of(handler).info("a")
    for _ in range(3):  # it is trouble when it lasts
        assert not handler.wait_until_stored(0.05)
    assert capsys.readouterr().err == ""
    told: list[tuple[str, object]] = []
    monkeypatch.setattr(
        handler, "handleError", lambda record: told.append((record.getMessage(), sys.exc_info()[1]))
    )
    gate.error = None
    gate.open.set()
    assert handler.wait_until_stored(WAIT_S)
    until(lambda: bool(told))
    assert told[0][0].startswith("stores again")
    assert told[0][1] is None


def test_a_handle_error_that_fails_does_not_end_the_thread(
    make: Make, sim: Instance, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = make(sim)
    failed: list[str] = []

    def fails(record: logging.LogRecord) -> None:
        failed.append(record.getMessage())
        raise RuntimeError

    monkeypatch.setattr(handler, "handleError", fails)
    gate.error = OutOfSpaceError("/data", "full")
    logger_of(handler).info("a")
    for _ in range(3):
        assert not handler.wait_until_stored(0.05)
    gate.error = None
    gate.open.set()
    assert [event.message for event in stored(handler, sim)] == ["a"]
    assert failed


def test_a_commit_of_unknown_outcome_is_repeated_without_doubling(
    make: Make, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = make(sim)
    append_many, failures = sim.append_many, [True, False]

    def unknown(events: list[Event]) -> Any:
        """Store, or not, and say that it is not known, with the events as they were, or would be, stored."""
        if not failures:
            return append_many(events)
        if failures.pop(0):
            append_many(events)
        filled = [
            event if event.seq_number is not None else _numbered(event, n) for n, event in enumerate(events)
        ]
        raise OutcomeUnknownError(tuple(filled), "for a test")

    monkeypatch.setattr(sim, "append_many", unknown)
    log = logger_of(handler)
    log.info("a")
    log.info("b")
    assert [event.message for event in stored(handler, sim)] == ["a", "b"]
    assert failures == []
    assert sim.stats().duplicates > 0


def _numbered(event: Event, number: int) -> Event:
    return Event(**{name: getattr(event, name) for name in event.__struct_fields__} | {"seq_number": number})


def test_a_record_that_is_refused_for_its_own_sake_does_not_hold_up_the_others(
    make: Make, sim: Instance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = make(sim)
    append_many = sim.append_many

    def refuses(events: list[Event]) -> Any:
        for position, event in enumerate(events):
            if event.message == "poison":
                append_many(events[:position])
                error = InvalidInputError("message", event.message, "is poison")
                error.position = position
                raise error
        return append_many(events)

    monkeypatch.setattr(sim, "append_many", refuses)
    log = logger_of(handler)
    for message in ("a", "poison", "b", "poison"):
        log.info(message)
    assert handler.wait_until_stored(WAIT_S)
    until(lambda: sim.count() == 3)
    found = [event.message for event in sim.events()]
    assert [message for message in found if len(message) == 1] == ["a", "b"]
    assert handler.dropped == 2
    assert capsys.readouterr().err.count("a record was refused, and is dropped") == 2


def test_flush_and_close_end_in_time_and_say_what_is_not_stored(
    make: Make, sim: Instance, gate: Gate, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = make(sim, flush_s=0.1)
    gate.error = OutOfSpaceError("/data", "full")
    log = logger_of(handler)
    log.info("a")
    log.info("b")
    handler.flush()
    assert capsys.readouterr().err.endswith("2 records are not stored after 0.1 s\n")
    handler.close()
    assert capsys.readouterr().err.endswith("yamcs_archive.logging: 2 records could not be stored\n")
    log.info("late")
    log.info("later")
    assert capsys.readouterr().err == (
        "yamcs_archive.logging: a record, and what follows, is dropped: it is closed\n"
    )
    assert handler.dropped == 4


def test_close_stores_what_waits(make: Make, sim: Instance) -> None:
    handler = make(sim, gather_s=60)
    log = logger_of(handler)
    for number in range(100):
        log.info("%d", number)
    handler.close()
    assert sim.count() == 100


def test_an_archive_that_is_closed_first_is_said(
    make: Make, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from yamcs_archive import Archive  # noqa: PLC0415

    with Archive.open(tmp_path / "b") as archive:
        handler = make(archive.instance("sim", create=True), gather_s=60, flush_s=0.05)
        logger_of(handler).info("a")
    handler.close()
    assert "the archive is closed" in capsys.readouterr().err


def test_an_instance_that_was_deleted_is_made_anew(make: Make, tmp_path: Any) -> None:
    handler = make("sim", path=tmp_path / "b")
    log = logger_of(handler)
    log.info("a")
    assert handler.wait_until_stored(WAIT_S)
    archive = handler._place._archive  # type: ignore[attr-defined]
    archive.delete("sim", confirm="sim")
    log.info("b")
    while not handler.wait_until_stored(0.5):
        pass
    assert [event.message for event in archive.instance("sim").events()] == ["b"]

"""The writer's thread: what callbacks may do on it, and what its faults and its end leave of the callers."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType

import pytest

from tests.storage.test_interrupts import WAIT_S, ends, held_up
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.errors import ArchiveError, OutcomeUnknownError, UnavailableError
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.write import writer, writer_state


@pytest.mark.parametrize(
    "wait",
    [
        *("append", "append_many", "settle", "compact", "prune", "close", "set_aside", "rename", "delete"),
    ],
)
def test_a_callback_that_would_wait_for_a_commit_is_refused(
    archive: Archive, sim: Instance, wait: str
) -> None:
    acts: dict[str, Callable[[], object]] = {
        "append": lambda: sim.append(Event("y")),
        "append_many": lambda: sim.append_many([Event("y")]),
        "settle": sim.settle,
        "compact": sim.compact,
        "prune": lambda: sim.prune(before=0),
        "rename": lambda: archive.rename("sim", "bench"),
        "delete": lambda: archive.delete("sim", confirm="sim"),
        "close": archive.close,
        "set_aside": lambda: archive.set_aside("sim"),
    }
    errors: list[BaseException] = []
    called, submitted = threading.Event(), threading.Event()

    def callback(_: object) -> None:
        try:
            acts[wait]()
        except BaseException as error:
            errors.append(error)
        called.set()

    def wait_for_callback(_: str) -> None:
        submitted.wait(WAIT_S)

    failpoints.on_point = wait_for_callback
    try:
        sim.submit(Event("x")).add_done_callback(callback)
    finally:
        failpoints.on_point = None
        submitted.set()
    assert called.wait(WAIT_S)
    assert [(type(error), "call submit() instead" in str(error)) for error in errors] == [
        (RuntimeError, True)
    ]
    ends(lambda: sim.append(Event("z")))


@pytest.mark.parametrize("end", ["close", "set_aside"])
def test_a_callback_cannot_open_an_instance_while_a_close_waits_for_it(
    archive: Archive, sim: Instance, end: str
) -> None:
    acts = {"close": archive.close, "set_aside": lambda: archive.set_aside("sim")}
    said: list[str] = []

    def callback(_: object) -> None:
        while not archive._ending:
            time.sleep(0.001)
        for act in (lambda: archive.instance("other", create=True), archive.close):
            try:
                act()
            except RuntimeError as error:
                said.append(str(error))

    with held_up(sim):
        sim.submit(Event("x")).add_done_callback(callback)
    ends(acts[end])
    assert ["cannot open instance" in text for text in said] == [True, False]


@pytest.mark.parametrize("end", ["set_result", "cancel", "running"])
def test_a_future_that_somebody_else_ended_harms_nobody(sim: Instance, end: str) -> None:
    with held_up(sim):
        ended = sim.submit(Event("ended", source="S"))
        other = sim.submit(Event("other", source="S"))
        if end == "set_result":
            ended.set_result(None)  # type: ignore[arg-type]
        elif end == "cancel":
            ended.cancel()
        else:
            ended.set_running_or_notify_cancel()
    assert other.result(WAIT_S).event.seq_number == 0
    assert sim.append(Event("more", source="S")).event.seq_number == 1


def test_when_the_writer_s_thread_dies_all_waiting_callers_get_an_error(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sim.append(Event("before"))

    def die(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    errors: list[BaseException] = []

    def settle() -> None:
        try:
            sim.settle()
        except ArchiveError as error:
            errors.append(error)

    with held_up(sim) as go_on:
        taken = sim.submit(Event("taken"))
        thread = threading.Thread(target=settle)
        monkeypatch.setattr(writer, "commit_group", die)
        go_on()
        with pytest.raises(OutcomeUnknownError, match="a fault of ours"):
            taken.result(WAIT_S)
        thread.start()
        thread.join(WAIT_S)
    assert not thread.is_alive()
    assert [type(error) for error in errors] == [UnavailableError]
    monkeypatch.undo()
    for attempt in (
        archive.check_writable,
        lambda: sim.append(Event("x")),
        lambda: sim.submit(Event("x")).result(WAIT_S),
        sim.compact,
    ):
        with pytest.raises(UnavailableError, match=r"a fault of ours.*close the archive"):
            attempt()
    assert "the writer's thread ends" in caplog.text
    assert [event.message for event in sim.events()] == ["before"]
    ends(archive.close)
    with Archive.open(archive.path) as again:
        assert not again.instance("sim").append(Event("y")).duplicate


def _names(trace: TracebackType | None) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(trace)]


@pytest.mark.parametrize("crowd", [False, True])
def test_a_fault_of_ours_keeps_where_it_was(
    sim: Instance, monkeypatch: pytest.MonkeyPatch, crowd: bool
) -> None:
    def deep_inside(*_: object) -> None:
        try:
            raise KeyError("the cause")
        except KeyError as cause:
            raise ZeroDivisionError from cause

    monkeypatch.setattr(writer_state, "encode_payload", deep_inside)
    if crowd:
        with held_up(sim):
            futures = [sim.submit(Event("x")), sim.submit(Event("y"))]
        with pytest.raises(ZeroDivisionError) as caught:
            futures[1].result(WAIT_S)
    else:
        with pytest.raises(ZeroDivisionError) as caught:
            sim.append(Event("x"))
    assert "deep_inside" in _names(caught.value.__traceback__)
    assert isinstance(caught.value.__cause__, KeyError)

"""A child of a process with open archives gets an error at each call, whichever lock was held at the fork."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storage.test_interrupts import WAIT_S
from yamcs_archive import Archive, Event, EventKey, Instance
from yamcs_archive.errors import ForkedError
from yamcs_archive.storage.disk import writer_lock
from yamcs_archive.storage.interrupts import SafeFuture


def _in_child(act: Callable[[], object]) -> str:
    """Fork, run an action in the child, and return the name of the error that it raises."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            act()
            said = "no error"
        except BaseException as error:
            said = type(error).__name__
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    until_s = time.monotonic() + WAIT_S
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > until_s:
            os.kill(child, 9)
            os.waitpid(child, 0)
            break
        time.sleep(0.005)
    with os.fdopen(reading) as said_by_child:
        return said_by_child.read() or "hung"


@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # Python 3.12 warns of forks with threads
def test_a_child_forked_at_any_moment_is_told_and_does_not_hang(
    tmp_path: Path, archive: Archive, sim: Instance
) -> None:
    sim.append(Event("x", source="S", generation_time=0, seq_number=0))
    pending = SafeFuture[int]()
    store = sim._store
    acts: dict[str, Callable[[], object]] = {
        "append": lambda: sim.append(Event("y")),
        "append_many": lambda: sim.append_many([Event("y")]),
        "submit": lambda: sim.submit(Event("y")),
        "future": pending.result,
        "settle": sim.settle,
        "compact": sim.compact,
        "get": lambda: sim.get(EventKey(0, "S", 0)),
        "events": lambda: list(sim.events()),
        "changes": lambda: list(sim.changes()),
        "cursor": sim.cursor,
        "sources": sim.sources,
        "stats": sim.stats,
        "arrival": lambda: sim.arrival(sim.cursor()),
        "instance": lambda: archive.instance("new", create=True),
        "instances": archive.instances,
        "prune": lambda: sim.prune(before=0),
        "rename": lambda: archive.rename("sim", "bench"),
        "delete": lambda: archive.delete("sim", confirm="sim"),
        "set_aside": lambda: archive.set_aside("sim"),
    }
    locks = {
        "none": threading.Lock(),
        "the writer's": store._writer._lock,  # type: ignore[attr-defined]
        "maintenance": store._maintenance._lock,  # type: ignore[attr-defined]
        "the gate's": store._environment._gate._lock,  # type: ignore[attr-defined]
        "waiting": store._arrivals._starting,  # type: ignore[attr-defined]
        "opening": writer_lock._locks_guard,
        "the archive's": archive._guard,
        "renewing": store._renewing,  # type: ignore[attr-defined]
    }
    for lock in locks.values():
        with lock:
            found = _in_child(lambda: _all_of(acts))
        assert found == "no error"
        with lock:
            assert _in_child(lambda: Archive.open(tmp_path / "b").close()) == "no error"
        with lock:
            assert _in_child(archive.close) == "no error"
    assert sim.append(Event("z")).event.seq_number == 0


def _all_of(acts: dict[str, Callable[[], object]]) -> None:
    for act in acts.values():
        with pytest.raises(ForkedError):
            act()

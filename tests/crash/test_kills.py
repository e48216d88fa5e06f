"""Kills at any moment, in process and served; and every lie of an archive is told by the comparison."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from benchmarks import pieces
from benchmarks.crash.__main__ import histories
from benchmarks.crash.comparison import compare, compare_copy
from benchmarks.crash.ledger import Ledger
from benchmarks.crash.lives import POINTS, Plan
from benchmarks.crash.offers import (
    Answered,
    Checked,
    Copied,
    Copying,
    Note,
    Offer,
    Offered,
    Pruned,
    Pruning,
    Stored,
)
from benchmarks.crash.operations import AFTER_A_START, OPERATIONS
from benchmarks.crash.worker import Book, Worker
from benchmarks.pieces import Piece, State
from tests.child import ROOT, stopping
from tests.crash.labs import lab
from yamcs_archive import Event, Instance

WAIT_S = 240
US = 1_000_000
HORIZON = 1_700 * US + 2
"""Two of the five events that were told are before it."""


def counted(printed: str, group: str) -> dict[str, int]:
    """Return the numbers of a group in the lab's summary."""
    [line] = [line for line in printed.splitlines() if line.startswith(f"{group}: ")]
    pairs = re.findall(r"(\S[^,]*) (\d+)(?:,|$)", line.partition(": ")[2])
    return {name: int(number) for name, number in pairs}


def test_an_archive_that_is_killed_again_and_again_keeps_its_promises(tmp_path: Path) -> None:
    printed = lab("crash", "--cycles", 12, "--served", 3, "--seed", 3, "--scratch", tmp_path)
    assert counted(printed, "all").items() >= {"cycles in process": 9, "cycles of a server": 3}.items()
    assert sum(counted(printed, "killed").values()) == 12
    assert not any(tmp_path.iterdir())


@pytest.mark.long
def test_kills_at_length(tmp_path: Path) -> None:
    printed = lab("crash", "--cycles", 240, "--served", 40, "--seed", 500, "--scratch", tmp_path)
    killed = counted(printed, "killed")
    assert sum(killed.values()) == 240
    assert killed.keys() >= {"work", "opening"}
    assert len(killed.keys() & set(POINTS)) > 15
    assert counted(printed, "offered and done").keys() >= OPERATIONS.keys() - {"many", "large batch", "read"}


def offered(tag: int, **fields: object) -> Offer:
    return Offer(tag, "A", 0, 1_700 * US + tag, **fields)  # type: ignore[arg-type]


@dataclass
class Told:
    """An archive and what its clients were told, of five events and one request that has no answer."""

    sim: Instance
    ledger: Ledger
    copies: Path

    def note(self, *notes: Note) -> list[str]:
        return [fault for note in notes for fault in self.ledger.apply(note)]

    def tell(self, offer: Offer, event: Event, *, again: bool = False) -> list[str]:
        """Tell that an event was stored, or recognised when it was offered again."""
        request = self.ledger.new_request()
        return self.note(
            Offered(request, "single", (offer,), again=again),
            Answered(request, stored=(Stored.of(offer.tag, event),)),
        )

    def faults(self) -> tuple[str, ...]:
        return compare(self.sim, self.ledger, self.copies).faults


@pytest.fixture
def told(sim: Instance, tmp_path: Path) -> Told:
    found = Told(sim, Ledger(), tmp_path / "copies")
    for tag in found.ledger.new_tags(5):
        assert found.tell(offered(tag), sim.append(offered(tag).event()).event) == []
    return found


def test_an_archive_that_keeps_its_promises_has_no_fault(told: Told) -> None:
    assert told.faults() == ()


def test_an_acknowledged_event_that_is_not_there_is_lost(told: Told) -> None:
    told.tell(offered(5), Event("", source="A", generation_time=1_705 * US, seq_number=9, reception_time=0))
    [fault] = told.faults()
    assert fault.startswith("lost: Offer(tag=5")


def test_an_event_that_nobody_offered_is_a_phantom(told: Told) -> None:
    told.sim.append(Event("9:0 strange", source="A"))
    told.sim.append(Event("strange", source="A"))
    assert [fault[:8] for fault in told.faults()][:2] == ["phantom:", "phantom:"]


@pytest.mark.parametrize("changed", [{"message": "5:0 another"}, {"type": "T9"}, {"extra": {"a": "b"}}])
def test_an_event_that_is_not_as_it_was_offered_is_a_phantom(told: Told, changed: dict[str, str]) -> None:
    told.note(Offered(99, "single", (offered(5),)))
    told.sim.append(replace(offered(5).event(), **changed))
    assert told.faults()[0].startswith("phantom:")


def test_a_refused_event_that_is_stored_is_a_phantom(told: Told) -> None:
    told.note(Offered(99, "conflict", (offered(4, variant=1),), again=True), Answered(99, refused=True))
    told.sim.append(Offer(4, "A", 0, 1, variant=1).event())
    assert told.faults()[0].startswith("phantom:")


def test_an_event_that_was_gone_after_a_restart_and_comes_back_is_a_phantom(told: Told) -> None:
    told.note(Offered(99, "single", (offered(5),)), Checked((), (), 5))
    assert told.faults() == ()
    told.sim.append(offered(5).event())
    assert told.faults()[0].startswith("phantom:")


def test_an_event_that_is_stored_twice_is_doubled(told: Told) -> None:
    told.sim.append(Offer(3, "A", 0, 1_700 * US + 3, 77).event())
    assert told.faults()[0].startswith("doubled:")


@pytest.mark.parametrize(
    ("stored", "whole", "half"),
    [
        ((0, 1, 2), True, False),
        ((), True, False),
        ((0, 1), True, True),
        ((0, 1), False, False),
        ((1,), False, True),
    ],
)
def test_a_request_without_an_answer_is_whole_or_its_beginning(
    told: Told, stored: tuple[int, ...], whole: bool, half: bool
) -> None:
    offers = tuple(offered(tag) for tag in told.ledger.new_tags(3))
    told.note(Offered(99, "batch", offers, whole=whole))
    told.sim.append_many([offers[nth].event() for nth in stored])
    found = compare(told.sim, told.ledger, told.copies)
    assert [fault[:5] for fault in found.faults] == (["half:"] if half else [])
    assert len(found.found) == len(stored)
    told.note(found)
    assert len(list(told.ledger.due())) == 5 + len(stored)


def test_a_number_that_was_given_out_before_is_a_fault(told: Told) -> None:
    event = told.sim.append(offered(5).event()).event
    faults = told.tell(offered(5), replace(event, seq_number=2))
    assert len(faults) == 2
    assert "got before" in faults[0]
    assert "not above 4" in faults[1]


def test_an_answer_that_differs_from_an_earlier_one_is_a_fault(told: Told) -> None:
    event = next(told.sim.events())
    assert told.tell(offered(0), replace(event, reception_time=1), again=True) != []
    assert told.tell(offered(0), event, again=True) == []


def test_an_order_of_arrival_that_contradicts_the_answers_is_a_fault(sim: Instance, tmp_path: Path) -> None:
    found = Told(sim, Ledger(), tmp_path / "copies")
    tags = found.ledger.new_tags(2)
    events = [sim.append(offered(tag).event()).event for tag in tags]
    for tag, event in reversed([*zip(tags, events, strict=True)]):  # told the other way round
        found.tell(offered(tag), event)
    [fault] = found.faults()
    assert fault.startswith("changes:")


def test_an_acknowledged_event_that_is_before_the_horizon_is_not_lost(told: Told) -> None:
    told.note(Pruning(HORIZON))
    told.sim.prune(before=HORIZON)
    assert told.faults() == ()  # it was asked for, and may be there
    told.note(Pruned(HORIZON))
    assert told.faults() == ()
    assert [entry.offer.tag for entry in told.ledger.due()] == [2, 3, 4]


@pytest.mark.parametrize("acknowledged", [True, False])
def test_a_horizon_that_is_not_where_it_was_acknowledged_is_a_fault(told: Told, acknowledged: bool) -> None:
    told.note(Pruning(HORIZON), *[Pruned(HORIZON)] * acknowledged)
    assert [fault.partition(":")[0] for fault in told.faults()] == ["horizon"] * acknowledged
    told.sim.prune(before=HORIZON + 1)
    assert told.faults()[0].startswith("horizon: ")


def test_the_next_start_decides_whether_the_horizon_has_moved(told: Told) -> None:
    told.note(Pruning(HORIZON), compare(told.sim, told.ledger, told.copies))
    told.sim.prune(before=HORIZON)
    assert told.faults()[0].startswith("horizon: ")


@pytest.mark.parametrize(("expired", "right"), [(0, False), (1, False), (2, True), (3, True), (4, False)])
def test_so_many_events_are_expired_as_are_before_the_horizon(told: Told, expired: int, right: bool) -> None:
    told.note(Pruning(HORIZON), Pruned(HORIZON), Pruning(HORIZON + 1))
    offers = tuple(offered(tag, number=tag) for tag in range(5))
    faults = told.note(Offered(99, "batch", offers), Answered(99, expired=expired))
    assert bool(faults) is not right
    # One more than are before the known horizon: it has moved on.
    assert told.ledger.horizon == HORIZON + (expired == 3)


def test_a_pruned_event_that_is_read_is_a_phantom(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    events = list(told.sim.events())
    told.note(Pruning(HORIZON), Pruned(HORIZON))
    told.sim.prune(before=HORIZON)
    monkeypatch.setattr(type(told.sim), "events", lambda _: iter(events))
    assert [fault for fault in told.faults() if "is before the horizon" in fault]


def test_an_acknowledged_backup_that_is_not_there_or_is_damaged_is_a_fault(told: Told) -> None:
    done = told.sim.backup(told.copies)
    told.note(Copying(), Copied(done.manifest.commit))
    assert told.faults() == ()
    done.path.write_bytes(done.path.read_bytes()[:-1])
    assert [fault.partition(":")[0] for fault in told.faults()] == ["backup", "backup"]
    done.path.unlink()
    assert [fault.partition(":")[0] for fault in told.faults()] == ["backup"]


def test_a_copy_without_an_event_that_was_acknowledged_before_it_was_begun_is_a_fault(told: Told) -> None:
    events = list(told.sim.events())
    told.note(Copying())
    told.tell(offered(5), told.sim.append(offered(5).event()).event)
    told.note(Copied(told.sim.backup(told.copies).manifest.commit))
    assert list(compare_copy(told.sim, told.sim.events(), told.ledger)) == []
    assert list(compare_copy(told.sim, events, told.ledger)) == []  # the sixth may be in it or not
    [fault] = compare_copy(told.sim, events[:-1], told.ledger)
    assert fault.startswith("lost: Offer(tag=4")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.long] * (each.weight < 0.1)) for name, each in OPERATIONS.items()],
)
def test_every_operation_keeps_the_promises(sim: Instance, name: str, tmp_path: Path) -> None:
    book = Book(Ledger(), lambda _: None)
    worker = Worker(sim, book, Random(name), tmp_path / "copies")
    for operation in (
        *[OPERATIONS["stamped"].run] * 5,
        OPERATIONS["with id"].run,
        OPERATIONS["backup"].run,
        *[OPERATIONS[name].run] * 3,
    ):
        operation(worker)
    for operation in AFTER_A_START:
        operation(worker)
    assert book.faults == []
    assert compare(sim, book.ledger, tmp_path / "copies").faults == ()


@dataclass(frozen=True)
class Task:
    name: str
    size: int = 1
    command: str = "repeat me"


def run(tasks: list[Task], make: Callable[[Task, Path], Piece], folder: Path) -> int:
    parser = argparse.ArgumentParser()
    pieces.add_arguments(parser)
    options = parser.parse_args(["--state", str(folder / "state.json"), "--scratch", str(folder)])
    return pieces.run(tasks, make, options)


def good(task: Task, folder: Path) -> Piece:
    piece = Piece(task.size, task.command)
    piece.count("all", {"done": task.size})
    return piece


def bad(task: Task, folder: Path) -> Piece:
    (folder / "left").write_text("for a look")
    raise RuntimeError(f"{task.name} failed")


def test_a_run_resumes_and_adds_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([Task("1"), Task("2")], good, tmp_path) == 0
    assert "all: done 2" in capfd.readouterr().out
    assert run([Task("1"), Task("2"), Task("3", 2)], good, tmp_path) == 0
    assert "all: done 4" in capfd.readouterr().out
    assert sorted(State.read(tmp_path / "state.json").pieces) == ["1", "2", "3"]
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_a_fault_ends_with_1_tells_the_command_and_keeps_the_folder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([Task("1")], bad, tmp_path) == 1
    told = capfd.readouterr().out
    assert "1 failed" in told
    assert "repeat with: repeat me" in told
    assert len(list(tmp_path.glob("*/*/left"))) == 1
    assert run([Task("1")], good, tmp_path) == 0  # what failed is made again


def test_an_interrupted_run_keeps_what_is_done_and_ends_its_forks(tmp_path: Path) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "benchmarks.crash",
        "--cycles",
        "100",
        "--seed",
        "7",
        "--at-once",
        "2",
    ]
    files: list[str | Path] = ["--state", tmp_path / "state.json", "--scratch", tmp_path]
    with stopping(
        subprocess.Popen([*command, *files], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    ) as running:
        wait_until_s = time.monotonic() + WAIT_S
        while not list(tmp_path.glob("lab-*/piece-*/archive-0")):
            assert time.monotonic() < wait_until_s
            time.sleep(0.01)
        running.terminate()
        told, _ = running.communicate(timeout=WAIT_S)  # it waits for all that have its output, too
    assert running.returncode == 130
    assert "0 faults" in told
    assert [path.name for path in tmp_path.iterdir() if path.name != "state.json"] == []


def test_a_seed_gives_the_same_plan_and_the_same_histories() -> None:
    assert Plan.drawn("5/1") == Plan.drawn("5/1") != Plan.drawn("5/2")
    parts = histories(60, 10, 7)
    assert sum(each.size for each in parts) == 60
    again = histories(25, 0, 8)
    assert again[0] == parts[1]

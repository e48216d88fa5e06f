"""A checkpoint, closing a group and packing, interrupted at each pass of each failpoint: no event is lost or
doubled, queries that skip blocks find the same events as a scan, and the archive continues to work.
"""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.child import run_in_fork
from tests.storage.test_checkpoints import entries, whole
from yamcs_archive import Archive, Event, Instance, Options, Severity
from yamcs_archive.errors import ArchiveError
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.failpoints import CHECKPOINT_POINTS
from yamcs_archive.storage.maintain import groups
from yamcs_archive.storage.write import checkpoint

# Blocks of two events and groups of four blocks. One late event of a block goes into its late part, two are
# merged with the others; and each step of it is a transaction of its own.
_OPTIONS = Options(block_events_max=2, run_events_min=2, late_share=1, maintenance=False)
_LATER = 4_070_908_800_000_000


@dataclass
class Ready:
    """An archive with work of each kind to do, and the results of doing it undisturbed."""

    path: Path
    events: list[Event]
    changes: list[tuple[Event, str]]
    passed: list[str]
    at_rest: dict[str, int]

    def check(self, sim: Instance) -> None:
        """Check the stored events, and that every way to read them agrees."""
        whole(sim)
        found = list(sim.events())
        assert found[: len(self.events)] == self.events
        arrived = [(change.event, change.cursor) for change in sim.changes()]
        assert arrived[: len(self.changes)] == self.changes
        sources = Counter(event.source for event in found)
        assert {name: state.events for name, state in sim.stats().sources.items()} == sources
        for descending in (False, True):
            both = found[::-1] if descending else found
            for source in sources:
                asked = list(sim.events(sources=[source], descending=descending))
                assert asked == [event for event in both if event.source == source]
            severe = list(sim.events(min_severity=Severity.CRITICAL, descending=descending))
            assert severe == [event for event in both if event.severity >= Severity.CRITICAL]

    def goes_on(self, sim: Instance) -> None:
        """Append more events, refuse stored ones, and settle to the same form as an undisturbed archive."""
        sim.settle()
        self.check(sim)
        assert _at_rest(sim) == self.at_rest
        numbers = [event.seq_number for event in sim.events(sources=["Live"])]
        done = sim.append(Event("more", source="Live", generation_time=_LATER))
        assert done.event.seq_number == len(numbers)
        counts = sim.append_many([*self.events, done.event])
        assert (counts.stored, counts.conflict_count) == (0, 0)
        sim.append_many(Event("more", source="More", generation_time=_LATER + n) for n in range(9))
        sim.settle()
        self.check(sim)
        assert sim.stats().events == len(self.events) + 10
        assert entries(sim)["young"] == 0


def _at_rest(sim: Instance) -> dict[str, int]:
    environment = sim._store._environment  # type: ignore[attr-defined]  # the form at rest is no public thing
    with environment.read() as transaction:
        commits = transaction.stat(environment.databases["commits"])["entries"]
    return {**entries(sim), "commits": commits}


@pytest.fixture(scope="module", autouse=True)
def _small_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "GROUP_BLOCKS_MAX", 4)
        patch.setattr(checkpoint, "TOGETHER_BYTES", 1)
        yield


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    path = tmp_path_factory.mktemp("ready")
    with Archive.open(path / "a", options=_OPTIONS) as archive:
        sim = archive.instance("sim", create=True)

        def history(start: int, stop: int) -> None:
            sim.append_many(
                Event(
                    f"{n}",
                    source="Rare" if n % 14 == 3 else f"S{n // 10}",
                    severity=Severity.SEVERE if n % 12 == 5 else Severity.INFO,
                    generation_time=n * 10,
                )
                for n in range(start, stop)
            )

        history(0, 22)
        sim.settle()
        assert entries(sim) == {"young": 0, "blocks": 11, "summaries": 12}  # one group is closed
        history(22, 27)  # and one more can be
        for time in (5, 15, 21, 22):  # within a block, between two, and enough of them within one
            sim.append(Event("late", source=f"L{time}", severity=Severity.CRITICAL, generation_time=time))
        for n in range(3):
            sim.append(Event("live", source="Live", generation_time=2_000 + n))
        events = list(sim.events())
        changes = [(change.event, change.cursor) for change in sim.changes()]
    shutil.copytree(path / "a", path / "undisturbed")
    passed: list[str] = []
    with (
        Archive.open(path / "undisturbed", options=_OPTIONS) as archive,
        pytest.MonkeyPatch.context() as patch,
    ):
        sim = archive.instance("sim")
        patch.setattr(failpoints, "on_point", passed.append)
        sim.settle()
        at_rest = _at_rest(sim)
    return Ready(path / "a", list(events), list(changes), passed, at_rest)


def test_the_points_passed_are_the_points_listed(ready: Ready) -> None:
    assert tuple(dict.fromkeys(ready.passed)) == CHECKPOINT_POINTS
    assert ready.at_rest["summaries"] == ready.at_rest["blocks"] + 2
    assert ready.at_rest["young"] == 0
    # A checkpoint, a group, a pack, the text filters of blocks, and of each of two groups: each in a
    # transaction of its own.
    assert ready.passed.count("task-after-commit") == 6
    assert ready.at_rest["commits"] == 1


@pytest.mark.parametrize(
    ("point", "fault"),
    [
        pytest.param(point, fault, marks=[pytest.mark.long] if (turn + other) % 2 else [])
        for turn, point in enumerate(CHECKPOINT_POINTS)
        for other, fault in enumerate((ArchiveError, MemoryError))
    ],
)
def test_a_failure_at_a_point_loses_and_doubles_nothing_and_all_goes_on(
    tmp_path: Path, ready: Ready, point: str, fault: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    for passes in range(ready.passed.count(point)):
        left = passes

        def fail(reached: str) -> None:
            nonlocal left
            left -= reached == point
            if left < 0:
                monkeypatch.setattr(failpoints, "on_point", None)
                raise fault("stopped here")

        shutil.copytree(ready.path, tmp_path / f"{passes}")
        with Archive.open(tmp_path / f"{passes}", options=_OPTIONS) as archive:
            sim = archive.instance("sim")
            assert sim.append(ready.events[0]).duplicate  # refused: this count is in memory only
            monkeypatch.setattr(failpoints, "on_point", fail)
            with pytest.raises(fault, match="stopped here"):
                sim.settle()
            ready.check(sim)
            ready.goes_on(sim)
        with Archive.open(tmp_path / f"{passes}", options=_OPTIONS) as archive:
            ready.check(archive.instance("sim"))


_SETTLE_THEN_DIE = """
    from tests.dying import die_at
    from yamcs_archive.storage.maintain import groups
    from yamcs_archive.storage.write import checkpoint
    groups.GROUP_BLOCKS_MAX, checkpoint.TOGETHER_BYTES = 4, 1
    directory, point, passes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    options = Options(block_events_max=2, run_events_min=2, late_share=1, maintenance=False)
    sim = Archive.open(directory, options=options).instance("sim")

    die_at(point, passes)
    sim.settle()
"""


@pytest.mark.parametrize("point", CHECKPOINT_POINTS)
def test_a_kill_at_a_point_loses_and_doubles_nothing_and_all_goes_on(
    tmp_path: Path, ready: Ready, point: str
) -> None:
    for passes in range(ready.passed.count(point)):
        shutil.copytree(ready.path, tmp_path / f"{passes}")
        run_in_fork(_SETTLE_THEN_DIE, tmp_path / f"{passes}", point, passes, status=-signal.SIGKILL)
        with Archive.open(tmp_path / f"{passes}", options=_OPTIONS) as archive:
            sim = archive.instance("sim")
            ready.check(sim)
            ready.goes_on(sim)

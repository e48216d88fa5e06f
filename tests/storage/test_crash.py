"""Kills at every failpoint of a commit: acknowledged events are stored, other batches whole or not at all.

SIGKILL leaves the page cache alive, so this proves nothing about a power cut; for that, the archive relies on
LMDB's fsync before the answer.
"""

import signal
from pathlib import Path

import pytest

from tests.child import run, run_in_fork
from yamcs_archive import Archive, Event
from yamcs_archive.storage.failpoints import GROUP_COMMIT_POINTS

_APPEND_THEN_DIE = """
    from tests.dying import die_at
    directory, point, passes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sim = Archive.open(directory).instance("sim", create=True)

    die_at(point, passes)
    for group in range(5):
        sim.append_many(Event(f"{group}/{n}", source=f"S{n}", generation_time=n - group) for n in range(20))
        print(group, flush=True)
"""


@pytest.mark.parametrize(
    ("point", "passes"),
    [
        (point, passes)
        for point in GROUP_COMMIT_POINTS
        for passes in (0, 2)
        if point != "log-segment-made" or not passes
    ],
)
def test_a_kill_at_a_point_loses_nothing_acknowledged_and_halves_nothing(
    tmp_path: Path, point: str, passes: int
) -> None:
    printed = run_in_fork(_APPEND_THEN_DIE, tmp_path / "archive", point, passes, status=-signal.SIGKILL)
    acknowledged = len(printed.split())
    with Archive.open(tmp_path / "archive") as archive:
        sim = archive.instance("sim", create=True)
        events = list(sim.events())
        groups = {event.message.partition("/")[0] for event in events}
        assert acknowledged <= len(groups) <= acknowledged + 1  # at most the one in flight
        assert len(events) == 20 * len(groups)
        assert sorted(event.key for event in events) == sorted(change.event.key for change in sim.changes())
        assert sim.stats().events == len(events)
        for source, state in sim.stats().sources.items():
            assert state.greatest_number == len(groups) - 1, source
            assert sim.append(Event("next", source=source)).event.seq_number == len(groups)


def test_the_points_passed_are_the_points_listed(tmp_path: Path) -> None:
    printed = run(
        """
        from yamcs_archive.storage import failpoints
        sim = Archive.open(sys.argv[1]).instance("sim", create=True)
        failpoints.on_point = print
        sim.append(Event("a"))
        """,
        tmp_path / "archive",
    )
    assert tuple(printed.split()) == GROUP_COMMIT_POINTS


def test_a_crash_while_an_instance_is_made_leaves_none_and_the_next_try_succeeds(tmp_path: Path) -> None:
    directory = tmp_path / "archive"
    run(
        """
        import os
        from yamcs_archive.storage.disk import directory
        directory.write_durably = lambda *_: os._exit(9) if _[0].name == "CURRENT" else None
        Archive.open(sys.argv[1]).instance("sim", create=True)
        """,
        directory,
        status=9,
    )
    (directory / "ARCHIVE").unlink(missing_ok=True)
    for leftover in ("archive.lock",):
        (directory / leftover).unlink()
    (directory / ".sim.new").rename(tmp_path / "leftover")
    with Archive.open(directory) as archive:
        (tmp_path / "leftover").rename(directory / ".sim.new")
        assert archive.instances() == []
        sim = archive.instance("sim", create=True)
        assert sim.append(Event("a")).event.seq_number == 0
        assert archive.instances() == ["sim"]

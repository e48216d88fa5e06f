"""A small file system that is really full; at every point by ``python -m benchmarks.full_disk``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.full_disk import mounts
from benchmarks.pieces import State
from tests.child import ROOT, run_bare

# A compaction would find room where the log was.
_FEW = ("--kind", "tmpfs", "--step", "create", "--place", "alone", "--stride", "12")
_ALL = ("--stride", "24")


@pytest.mark.parametrize(
    ("arguments", "points", "refused"), [(_FEW, 6, 3), pytest.param(_ALL, 400, 60, marks=pytest.mark.long)]
)
def test_what_was_acknowledged_is_there_and_work_goes_on_once_there_is_room(
    arguments: tuple[str, ...], points: int, refused: int, tmp_path: Path
) -> None:
    for kind in mounts.KINDS if arguments == _ALL else mounts.KINDS[:1]:
        if reason := mounts.why_not(kind):
            pytest.skip(reason)
    state = tmp_path / "state.json"
    command = [sys.executable, "-m", "benchmarks.full_disk", *arguments, "--state", str(state)]
    ran = subprocess.run(
        [*command, "--scratch", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    made = State.read(state).pieces.values()
    assert all(piece.faults == [] for piece in made)
    counts = [piece.counts["all"] for piece in made]
    assert sum(count["points"] for count in counts) >= points
    assert sum(count.get("points at which something was refused", 0) for count in counts) >= refused
    assert sum(count.get("points at which all was done", 0) for count in counts) >= refused


@pytest.mark.parametrize("kind", mounts.KINDS)
def test_a_file_system_is_filled_but_for_some_blocks(kind: mounts.Kind, tmp_path: Path) -> None:
    if reason := mounts.why_not(kind):
        pytest.skip(reason)
    said = run_bare(
        """
        import os, sys
        from pathlib import Path
        from benchmarks.full_disk.filling import BLOCK_BYTES, fill, room_blocks
        from benchmarks.full_disk.mounts import enter, mount

        place = Path(sys.argv[1])
        enter()
        mount(sys.argv[2], place)
        for blocks in (0, 1, 7, 100):
            filler = fill(place, blocks)
            written, room = 0, room_blocks(place)
            with (place / "more").open("wb") as more:
                try:
                    while True:
                        written += os.write(more.fileno(), bytes(BLOCK_BYTES))
                except OSError as error:
                    print(blocks, room, written <= blocks * BLOCK_BYTES, error.strerror)
            for file in (more.name, filler):
                os.unlink(file)
        """,
        tmp_path,
        kind,
    )
    said_of = said.splitlines()
    assert said_of == [f"{blocks} {blocks} True No space left on device" for blocks in (0, 1, 7, 100)]


def test_a_death_by_a_signal_is_told() -> None:
    # In a process of its own: pytest's watchdog would keep a fork from having one.
    said = run_bare(
        """
        import os, signal
        from benchmarks.full_disk.point import forked

        print(forked(lambda: os.kill(os.getpid(), signal.SIGBUS) or b""))
        status, text = forked(lambda: bytes(1 // 0))
        print(status, text.decode().splitlines()[-1])
        """
    )
    assert said.splitlines() == ["(-7, b'')", "1 ZeroDivisionError: integer division or modulo by zero"]

"""Runs the lab of failing disks: ``python -m benchmarks.failing_disk --points N --seed S``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import pieces, processes
from benchmarks.failing_disk.worker import Found
from benchmarks.pieces import Piece
from benchmarks.power_cut.recording import compiler

SOURCE = Path(__file__).with_name("fail_writes.c")
POINTS_EACH = 50
"""Largest number of points of one seed."""
_RUN_S_MAX = 600


@dataclass(frozen=True)
class Points:
    """Some points of one seed."""

    seed: int
    size: int

    @property
    def name(self) -> str:
        """Its name in a state file."""
        return str(self.seed)

    @property
    def command(self) -> str:
        """The command that makes it again."""
        return f"python -m benchmarks.failing_disk --seed {self.seed} --points {self.size}"


def build(folder: Path) -> Path:
    """Compile the library into a folder; return its path."""
    library = folder / "fail_writes.so"
    options = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror")
    subprocess.run([compiler() or "cc", *options, "-o", library, SOURCE, "-ldl", "-lpthread"], check=True)
    return library


def make(points: Points, scratch: Path) -> Piece:
    """Try the points of one seed."""
    piece = Piece(points.size, points.command)
    root = scratch / "root"
    root.mkdir()
    environment = processes.environment() | {"LD_PRELOAD": str(build(scratch)), "FAIL_ROOT": str(root)}
    command = processes.command("benchmarks.failing_disk.worker", root, points.seed, points.size)
    ended = subprocess.run(
        command, env=environment, cwd=processes.ROOT, check=False, timeout=_RUN_S_MAX, stdout=subprocess.PIPE
    )
    if ended.returncode:
        piece.faults.append(f"the program ended with {ended.returncode}")
        return piece
    found = msgspec.json.decode(ended.stdout, type=Found)
    piece.faults = found.faults
    piece.count(
        "all",
        {"points": found.points, "failures": found.failures, "acknowledged events": found.acknowledged},
    )
    piece.count("points", found.by_error)
    piece.count("operations that raised", found.errors)
    return piece


def pieces_of(points: int, seed: int) -> list[Points]:
    """Return the pieces of a run.

    >>> [(each.name, each.size) for each in pieces_of(120, 7)]
    [('7', 50), ('8', 50), ('9', 20)]
    """
    starts = range(0, points, POINTS_EACH)
    return [Points(seed + nth, min(POINTS_EACH, points - start)) for nth, start in enumerate(starts)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the points that the state does not have yet, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.failing_disk",
        description="Let writes and syncs of an archive fail for a while, at any point of its work.",
    )
    parser.add_argument("--points", type=int, default=100, help="points to try (100)")
    pieces.add_arguments(parser)
    options = parser.parse_args(arguments)
    if compiler() is None:
        print("a C compiler is needed: cc, or the one that CC names", file=sys.stderr)
        return pieces.FAILED
    return pieces.run(pieces_of(options.points, options.seed), make, options)


if __name__ == "__main__":
    sys.exit(main())

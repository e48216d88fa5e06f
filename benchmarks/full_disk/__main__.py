"""Runs the lab of full disks: ``python -m benchmarks.full_disk --seed S``."""

from __future__ import annotations

import argparse
import gc
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import pieces
from benchmarks.full_disk import mounts
from benchmarks.full_disk.mounts import Kind
from benchmarks.full_disk.point import Point, Tried, forked, made_in
from benchmarks.full_disk.steps import STEPS
from benchmarks.pieces import Piece

_SATISFIED = 3
"""After so many points in a row at which a step was done, it has all the blocks that it needs."""
_LEAST_POINTS = 6
"""Points that each step gets at least."""


@dataclass(frozen=True)
class Steps:
    """One step, with no block free, one stride of blocks, and so on, until it has all that it needs."""

    kind: Kind
    step: str
    served: bool
    seed: int
    stride: int = 1
    size: int = 1

    @property
    def name(self) -> str:
        """Its name in a state file."""
        stride = "" if self.stride == 1 else f", every {self.stride} blocks"
        return f"{self.seed}: {self.step} on {self.kind}{', served' * self.served}{stride}"

    @property
    def command(self) -> str:
        """The command that makes it again."""
        place = "served" if self.served else "alone"
        return (
            f"python -m benchmarks.full_disk --seed {self.seed} --step {shlex.quote(self.step)}"
            f" --kind {self.kind} --place {place} --stride {self.stride}"
        )


def make(steps: Steps, scratch: Path) -> Piece:
    """Try the points of one step; stop at the first one with a fault."""
    piece = Piece(steps.size, steps.command)
    made = made_in(scratch / "made", f"full disk {steps.seed}")
    place = scratch / "small"
    place.mkdir()
    mounts.enter()
    mounts.mount(steps.kind, place)
    gc.collect()
    gc.freeze()  # a collection in a fork would touch, and so copy, all of the parent
    free = done = tries = 0
    while done < _SATISFIED or tries < _LEAST_POINTS:
        point = Point(place, made, steps.step, free)
        where = f"{free} blocks free, {steps.name}"
        status, text = forked(point.served if steps.served else point.alone)
        if status:
            piece.faults.append(f"{where}: the process ended with {status}: {text.decode()}")
            break
        tried = msgspec.json.decode(text, type=Tried)
        _count(piece, steps, tried)
        piece.faults += [f"{where}: {fault}" for fault in tried.faults]
        if piece.faults:
            break
        done = 0 if "the step" in tried.refused else done + 1
        tries, free = tries + 1, free + steps.stride
        _clear(place)
    return piece


def _count(piece: Piece, steps: Steps, tried: Tried) -> None:
    found = "points at which something was refused" if tried.refused else "points at which all was done"
    piece.count("all", {"points": 1, found: 1, "acknowledged events": tried.acknowledged})
    piece.count("refused with ENOSPC", tried.refused)
    if tried.refused:
        piece.count("points with ENOSPC by file system", {steps.kind: 1})
        piece.count("points with ENOSPC by place", {"served" if steps.served else "alone": 1})
        piece.count("points with ENOSPC by step", {steps.step: 1})


def _clear(place: Path) -> None:
    for entry in place.iterdir():
        if entry.name != "lost+found":
            shutil.rmtree(entry)


def pieces_of(
    seed: int, steps: Sequence[str], kinds: Sequence[Kind], places: Sequence[str], stride: int
) -> list[Steps]:
    """Return the pieces of a run.

    >>> [each.name for each in pieces_of(7, ["settle", "prune"], ["tmpfs"], ["alone", "served"], 1)]
    ['7: settle on tmpfs', '7: prune on tmpfs', '7: prune on tmpfs, served']
    """
    return [
        Steps(kind, step, place == "served", seed, stride)
        for kind in kinds
        for step in steps
        for place in places
        if place == "alone" or STEPS[step].served
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the points that the state does not have yet, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.full_disk",
        description="Ask an archive on a small file system for each kind of work: with no block free, with"
        " one, and so on, until it finds all that it needs.",
    )
    parser.add_argument("--step", action="append", choices=[*STEPS], help="a kind of work (all)")
    parser.add_argument("--kind", action="append", choices=mounts.KINDS, help="a file system (both)")
    parser.add_argument("--place", action="append", choices=("alone", "served"), help="where (both)")
    parser.add_argument("--stride", type=int, default=1, help="blocks between two points (1)")
    pieces.add_arguments(parser)
    options = parser.parse_args(arguments)
    kinds: Sequence[Kind] = options.kind or mounts.KINDS
    for kind in kinds:
        if reason := mounts.why_not(kind):
            print(reason, file=sys.stderr)
            return pieces.FAILED
    places = options.place or ("alone", "served")
    return pieces.run(
        pieces_of(options.seed, options.step or [*STEPS], kinds, places, options.stride), make, options
    )


if __name__ == "__main__":
    sys.exit(main())

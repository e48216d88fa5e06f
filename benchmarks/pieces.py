"""Long runs in independent pieces: a few at a time, each in a fork of this process, with sums in a file.

1. The process that forks has imported everything and opened nothing.
2. A piece is written to the file as soon as it is done: a run can be interrupted and resumed, and adds up.
3. A piece with a fault is told at once, with the command that repeats it; its folder is kept.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

import msgspec

from benchmarks.processes import ending_tidily

FAILED, INTERRUPTED = 1, 130


class Task(Protocol):
    """A piece to be made."""

    @property
    def name(self) -> str:
        """A name that no other piece of the same program has."""

    @property
    def size(self) -> int:
        """How much is to be done: cycles, states."""

    @property
    def command(self) -> str:
        """The command that makes this piece alone."""


T = TypeVar("T", bound=Task)


class Piece(msgspec.Struct):
    """What came of a piece."""

    size: int
    command: str
    counts: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """Numbers by name, in groups."""
    faults: list[str] = msgspec.field(default_factory=list)

    def count(self, group: str, numbers: dict[str, int]) -> None:
        """Add numbers to a group.

        >>> piece = Piece(1, "")
        >>> piece.count("killed", {"at work": 1})
        >>> piece.count("killed", {"at work": 2})
        >>> piece.counts
        {'killed': {'at work': 3}}
        """
        held = self.counts.setdefault(group, {})
        for name, number in numbers.items():
            held[name] = held.get(name, 0) + number


class State(msgspec.Struct):
    """The pieces that were made, by name."""

    pieces: dict[str, Piece] = msgspec.field(default_factory=dict)

    @staticmethod
    def read(path: Path | None) -> State:
        """Return the state in a file; an empty one if there is none."""
        if path is None or not path.exists():
            return State()
        return msgspec.json.decode(path.read_bytes(), type=State)

    def write(self, path: Path | None) -> None:
        """Replace the file, so that an interrupt leaves the old or the new one."""
        if path is not None:
            draft = path.with_name(f".{path.name}.new")
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
            os.replace(draft, path)

    def has(self, task: Task) -> bool:
        """Return whether a piece was made without a fault."""
        known = self.pieces.get(task.name)
        return known is not None and known.size == task.size and not known.faults

    def faulty(self) -> list[Piece]:
        """Return the pieces with faults."""
        return [piece for piece in self.pieces.values() if piece.faults]

    def summary(self) -> str:
        """Return the sums, a line for each group.

        >>> kills = [Piece(number, "", {"all": {"kills": number}}) for number in (1, 2)]
        >>> print(State(dict(zip("ab", kills))).summary())
        2 seeds, 0 faults
        all: kills 3
        """
        sums: dict[str, Counter[str]] = {}
        for piece in self.pieces.values():
            for group, numbers in piece.counts.items():
                sums.setdefault(group, Counter()).update(numbers)
        faults = sum(len(piece.faults) for piece in self.pieces.values())
        lines = [f"{len(self.pieces)} seeds, {faults} faults"]
        for group, counted in sums.items():
            lines.append(
                f"{group}: " + ", ".join(f"{name} {number}" for name, number in counted.most_common())
            )
        return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that every long run has."""
    parser.add_argument("--seed", type=int, default=1, help="the first seed (1); each piece has one")
    parser.add_argument(
        "--state", type=Path, help="file of what was done: it is not done again, and added to"
    )
    parser.add_argument("--minutes", type=float, help="begin no more pieces after so many minutes")
    parser.add_argument("--at-once", type=int, default=2, help="pieces at the same time (2)")
    parser.add_argument("--scratch", type=Path, help="folder for archives (the one of temporary files)")


def run(tasks: Sequence[T], make: Callable[[T, Path], Piece], options: argparse.Namespace) -> int:
    """Make the pieces that the state does not have; return 0, 1 if there are faults, 130 if some are left."""
    state = State.read(options.state)
    wanted = [task for task in tasks if not state.has(task)]
    scratch = Path(tempfile.mkdtemp(prefix="lab-", dir=options.scratch))
    until_s = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    left = len(wanted)
    with suppress(KeyboardInterrupt), ending_tidily():
        for task, piece in made(wanted, make, scratch, options.at_once, until_s):
            left -= 1
            state.pieces[task.name] = piece
            state.write(options.state)
            for fault in piece.faults:
                print(f"seed {task.name}: {fault}", flush=True)
    print(state.summary(), flush=True)
    faulty = state.faulty()
    if not faulty:
        shutil.rmtree(scratch, ignore_errors=True)
        return INTERRUPTED if left else 0
    print(f"what is left of them is in {scratch}")
    for piece in faulty:
        print(f"repeat with: {piece.command}")
    return FAILED


def made(
    tasks: Sequence[T],
    make: Callable[[T, Path], Piece],
    scratch: Path,
    at_once: int,
    until_s: float | None = None,
) -> Iterator[tuple[T, Piece]]:
    """Yield each task with its piece, as they end.

    ``make`` gets a task and an empty folder, which is removed afterwards unless there are faults. An
    exception of it is a fault. On an interrupt the forks are killed.
    """
    left = iter(tasks)
    running: dict[int, tuple[T, Path]] = {}
    try:
        while True:
            while len(running) < at_once and not (until_s is not None and time.monotonic() > until_s):
                task = next(left, None)
                if task is None:
                    break
                folder = Path(tempfile.mkdtemp(prefix="piece-", dir=scratch))
                child = os.fork()
                if not child:
                    _make(make, task, folder)
                running[child] = task, folder
                with suppress(
                    OSError
                ):  # of both processes the first does it, so that none is left after an interrupt
                    os.setpgid(child, child)
            if not running:
                return
            child, status = os.wait()
            task, folder = running.pop(child)
            yield task, _result(task, folder, status)
    finally:
        for child in running:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _result(task: Task, folder: Path, status: int) -> Piece:
    file = folder.with_suffix(".result")
    if not file.exists():
        return Piece(task.size, task.command, faults=[f"the process ended with {status}"])
    piece = msgspec.json.decode(file.read_bytes(), type=Piece)
    file.unlink()
    if not piece.faults:
        shutil.rmtree(folder, ignore_errors=True)
    return piece


def _make(make: Callable[[T, Path], Piece], task: T, folder: Path) -> NoReturn:
    """Make one piece, and end this process."""
    try:
        os.setpgid(0, 0)  # so that its own forks end with it; the parent does the same
        try:
            piece = make(task, folder)
        except Exception:
            piece = Piece(task.size, task.command, faults=[traceback.format_exc()])
        draft = folder.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode(piece))
        draft.rename(folder.with_suffix(".result"))
    finally:
        os._exit(0)

"""Runs the damage lab: ``python -m benchmarks.damage --pages N --seed S``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from benchmarks import pieces
from benchmarks.damage import log, pages, specimen, sqlite, values
from benchmarks.pieces import Piece, Task


def bits_of_the_specimen() -> int:
    """Return the number of bits of all keys and values."""
    with tempfile.TemporaryDirectory() as scratch:
        specimen.make(Path(scratch) / "whole")
        return sum(record.bits for record in specimen.records(Path(scratch) / "whole"))


class Flips(Task, Protocol):
    """A piece that knows how it is made."""

    def make(self, scratch: Path) -> Piece:
        """Flip its bits, in an empty folder."""


def make(task: Flips, scratch: Path) -> Piece:
    """Make a piece."""
    return task.make(scratch)


def main(arguments: Sequence[str] | None = None) -> int:
    """Flip the bits that the state does not have yet, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.damage",
        description="Flip single bits of a small archive, and look what is found, told and served.",
    )
    parser.add_argument("--bits", type=int, help="flip the bits of keys and values before this one (all)")
    parser.add_argument("--from-bit", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--pages", type=int, default=1_000, help="flips in LMDB's own pages (1,000)")
    parser.add_argument("--log", type=int, help="ways to damage the commit log, before this one (all)")
    parser.add_argument("--from-log", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--file", type=int, default=0, help="flips anywhere in the file (0)")
    parser.add_argument("--sqlite", type=int, default=0, help="flips of the same events in SQLite (0)")
    pieces.add_arguments(parser)
    options = parser.parse_args(arguments)
    stop = bits_of_the_specimen() if options.bits is None else options.bits
    log_stop = len(log.ways_of_the_specimen()) if options.log is None else options.log
    tasks: list[Flips] = [
        *log.pieces_of(options.from_log, log_stop),
        *values.pieces_of(options.from_bit, stop),
        *pages.pieces_of(options.pages, options.seed),
        *pages.pieces_of(options.file, options.seed, anywhere=True),
        *sqlite.pieces_of(options.sqlite, options.seed),
    ]
    return pieces.run(tasks, make, options)


if __name__ == "__main__":
    sys.exit(main())

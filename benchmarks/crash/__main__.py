"""Runs the crash lab: ``python -m benchmarks.crash --cycles N --seed S``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks import pieces
from benchmarks.crash.histories import History, make

CYCLES_EACH = 25
"""Largest number of cycles of one history."""


def histories(cycles: int, served: int, seed: int) -> list[History]:
    """Return the histories of a run: first those in process, then the served ones.

    >>> [(each.name, each.size) for each in histories(60, 10, 7)]
    [('7', 25), ('8', 25), ('served 7', 10)]
    """
    return [*_cut(cycles - served, seed, False), *_cut(served, seed, True)]


def _cut(cycles: int, seed: int, served: bool) -> list[History]:
    starts = range(0, cycles, CYCLES_EACH)
    return [History(seed + nth, min(CYCLES_EACH, cycles - start), served) for nth, start in enumerate(starts)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cycles that the state does not have yet, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.crash",
        description="Kill an archive at any moment, open it again, and compare it with what it acknowledged.",
    )
    parser.add_argument("--cycles", type=int, default=200, help="kills, all in all (200)")
    parser.add_argument("--served", type=int, default=0, help="of these, kills of a server (0)")
    pieces.add_arguments(parser)
    options = parser.parse_args(arguments)
    cycles = max(options.cycles, options.served)
    return pieces.run(histories(cycles, options.served, options.seed), make, options)


if __name__ == "__main__":
    sys.exit(main())

"""Runs the power-cut lab: ``python -m benchmarks.power_cut --states N --seed S``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks import pieces
from benchmarks.power_cut.recording import compiler
from benchmarks.power_cut.replay import Recorded, make

STATES_EACH = 200
"""Largest number of states of one record."""


def records(states: int, seed: int) -> list[Recorded]:
    """Return the records of a run.

    >>> [(each.name, each.size) for each in records(250, 7)]
    [('7', 200), ('8', 50)]
    """
    starts = range(0, states, STATES_EACH)
    return [Recorded(seed + nth, min(STATES_EACH, states - start)) for nth, start in enumerate(starts)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the states that are not in the state file yet, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.power_cut",
        description="Record what an archive writes, and open what a power cut may have left of it.",
    )
    parser.add_argument("--states", type=int, default=200, help="states to check (200)")
    pieces.add_arguments(parser)
    options = parser.parse_args(arguments)
    if compiler() is None:
        print("a C compiler is needed: cc, or the one that CC names", file=sys.stderr)
        return pieces.FAILED
    return pieces.run(records(options.states, options.seed), make, options)


if __name__ == "__main__":
    sys.exit(main())

"""``python -m benchmarks.fuzz``: feed every target, add up, and print the findings.

Rounds of each target come in turn, by their weights, until the number of inputs is reached; as many run at
once as there are processors. With --state the counts are kept in a file, and a later run goes on with the
next seeds: so a long run can be made in pieces.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path

import msgspec

from benchmarks.fuzz import http_targets, log_targets, storage_targets, wire_targets
from benchmarks.fuzz.runner import ROUND_INPUTS, Fault, Outcome, repeat, run_round
from benchmarks.fuzz.targets import Target

TARGETS = {
    target.name: target
    for module in (wire_targets, log_targets, storage_targets, http_targets)
    for target in module.TARGETS
}
"""All targets, by name."""
_TURNS = max(target.weight for target in TARGETS.values())


class Total(msgspec.Struct):
    """What was fed to a target so far."""

    next_seed: int = 0
    inputs: int = 0
    accepted: int = 0
    peak_mib: int = 0
    seconds: float = 0.0
    faults: list[str] = []


def options() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument(
        "--inputs", type=int, default=100_000, help="for all targets together; default: 100,000"
    )
    parser.add_argument(
        "--target", action="append", choices=sorted(TARGETS), help="may be repeated; default: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="the first round's; default: 0")
    parser.add_argument("--input", type=int, help="feed this input of the seed's round alone, and print it")
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="add up in this file, and go on after its seeds"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run, print a line for each target and each finding, and return 1 if there is one."""
    given = options().parse_args(arguments)
    targets = [TARGETS[name] for name in given.target or TARGETS]
    if given.input is not None:
        repeat(targets[0], given.seed, given.input)
        return 0
    totals = {target.name: Total(next_seed=given.seed) for target in targets}
    if given.state is not None and given.state.exists():
        totals |= msgspec.json.decode(given.state.read_bytes(), type=dict[str, Total])
    faults = _run(targets, totals, -(-given.inputs // ROUND_INPUTS))
    if given.state is not None:
        draft = given.state.with_name(given.state.name + ".new")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(totals)))
        draft.replace(given.state)
    for name, total in totals.items():
        if total.inputs:
            print(
                f"{name:13} {total.inputs:9} inputs, {total.accepted:9} accepted, {total.seconds:8.1f} s,"
                f" {total.peak_mib} MiB, {len(total.faults)} faults"
            )
    for fault in faults:
        print(f"\n{fault.command}\n{fault.text}")
    print(f"{sum(total.inputs for total in totals.values())} inputs")
    return 1 if faults else 0


def _run(targets: list[Target], totals: dict[str, Total], rounds: int) -> list[Fault]:
    """Run rounds of the targets in turn."""
    faults: list[Fault] = []
    context = get_context("fork")  # the processes have imported everything
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=context) as pool:
        waiting: list[tuple[str, Future[tuple[Outcome, float]]]] = []
        in_turn = cycle([target for turn in range(_TURNS) for target in targets if turn < target.weight])
        for _, target in zip(range(rounds), in_turn, strict=False):
            total = totals.setdefault(target.name, Total())
            waiting.append((target.name, pool.submit(_timed_round, target.name, total.next_seed)))
            total.next_seed += 1
        for name, future in waiting:
            outcome, seconds = future.result()
            total = totals[name]
            total.inputs += outcome.inputs
            total.accepted += outcome.accepted
            total.seconds += seconds
            total.peak_mib = max(total.peak_mib, outcome.peak_bytes >> 20)
            if outcome.fault is not None:
                total.faults.append(outcome.fault.command)
                faults.append(outcome.fault)
    return faults


def _timed_round(name: str, seed: int) -> tuple[Outcome, float]:
    begun_s = time.perf_counter()
    return run_round(TARGETS[name], seed, ROUND_INPUTS), time.perf_counter() - begun_s


if __name__ == "__main__":
    sys.exit(main())

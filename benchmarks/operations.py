"""``python -m benchmarks.operations``: how long verification, copies and pruning of a large archive take.

One run on one archive: verify, backup, verification of the copy, restore, and pruning of half of the events,
while another thread appends single events and notes how long each append waited.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import quantiles
from typing import TypeVar

from yamcs_archive import Archive, Event, Instance, Severity, verify_backup

T = TypeVar("T")
_BEGIN_US = 1_700_000_000_000_000
_STEP_US = 1_000
_SOURCES = 20
_SEVERITIES = tuple(Severity)


def events(count: int) -> Iterator[Event]:
    """Yield events of some 85 characters from 20 sources, in order."""
    for n in range(count):
        yield Event(
            f"Battery {n % 5} voltage is {n * 7 % 31} V at step {n}, limit 28 V, pass {n % 977}, orbit",
            source=f"S{n % _SOURCES}",
            severity=_SEVERITIES[n % len(_SEVERITIES)],
            type="Battery",
            generation_time=_BEGIN_US + n * _STEP_US,
            seq_number=n // _SOURCES,
        )


def timed(name: str, events: int, do: Callable[[], T]) -> T:
    """Do something and print how long it took."""
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    found = do()
    took_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - cpu_s
    rate = f"{events / took_s:12,.0f} events/s" if events else ""
    print(f"{name:24} {took_s:8.2f} s, {cpu_s:8.2f} s of processor {rate}", flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print a line for each operation, and return 1 if an answer is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operations", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="default: 1,000,000")
    parser.add_argument("--scratch", type=Path, help="folder for the archive (the one of temporary files)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="operations-", dir=options.scratch) as scratch:
        faults = _run(Path(scratch), options.events)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def _run(folder: Path, count: int) -> list[str]:
    faults = []
    with Archive.open(folder / "a") as archive, Archive.open(folder / "b") as other:
        sim = archive.instance("sim", create=True)
        timed("ingest", count, lambda: sim.append_many(events(count)))
        found = timed("verify", count, sim.verify)
        if found is None or found.faults:
            faults.append(f"verify: {found}")
        done = timed("backup", count, lambda: sim.backup(folder / "copies"))
        checks = timed("verify the copy", count, lambda: verify_backup(folder / "copies"))
        faults += [f"the copy: {check.fault}" for check in checks if check.fault is not None]
        [restored] = timed("restore", count, lambda: other.restore(folder / "copies"))
        if (restored.events, restored.content) != (count, done.manifest.content):
            faults.append(f"restored {restored.events} events with the hash {restored.content}")
        faults += _prune(sim, count)
    return faults


def _prune(sim: Instance, count: int) -> list[str]:
    """Prune half of the events while another thread appends; print the waits of its appends."""
    waits_s: list[float] = []
    ending = threading.Event()

    def append() -> None:
        n = count
        while not ending.is_set():
            begun_s = time.perf_counter()
            sim.append(Event("meanwhile", source="now", generation_time=_BEGIN_US + n * _STEP_US))
            waits_s.append(time.perf_counter() - begun_s)
            n += 1

    thread = threading.Thread(target=append)
    thread.start()
    try:
        time.sleep(1)
        before = len(waits_s)
        half = count // 2
        pruned = timed("prune half", half, lambda: sim.prune(before=_BEGIN_US + half * _STEP_US))
        during_s, alone_s = waits_s[before:], waits_s[:before]
    finally:
        ending.set()
        thread.join()
    for name, waits in (("appends before it", alone_s), ("appends during it", during_s)):
        if len(waits) > 1:
            p99_ms, longest_ms = quantiles(waits, n=100)[98] * 1e3, max(waits) * 1e3
            print(f"{name:24} {len(waits)}, 99th percentile {p99_ms:.1f} ms, longest {longest_ms:.1f} ms")
    return [] if pruned.events == half else [f"{pruned.events} events were pruned, not {half}"]


if __name__ == "__main__":
    sys.exit(main())

"""``python -m benchmarks.operations``: how long verification, copies and pruning of a large archive take.

One run on one archive: verify, backup, verification of the copy, restore, and pruning of half of the events,
while another thread appends single events and notes how long each append waited. With ``--sqlite`` the same
events are in a table of SQLite as well, and what comes nearest is done there.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from statistics import quantiles
from typing import TypeVar

from msgspec.structs import replace

from benchmarks.contenders.sqlite import Sqlite
from yamcs_archive import Archive, Event, Instance, Severity, verify_backup

T = TypeVar("T")
_BEGIN_US = 1_700_000_000_000_000
_STEP_US = 1_000
_SOURCES = 20
_BATCH_EVENTS = 10_000
_SEVERITIES = tuple(Severity)
ALONE_S = 1.0
"""Seconds for which events are appended before something is done beside that."""


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
    parser.add_argument("--sqlite", action="store_true", help="do it in SQLite too")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="operations-", dir=options.scratch) as scratch:
        faults = _run(Path(scratch), options.events)
        if options.sqlite:
            _run_sqlite(Path(scratch), options.events)
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
    half = count // 2
    pruned = _beside(
        "prune half",
        half,
        lambda: sim.prune(before=_BEGIN_US + half * _STEP_US),
        lambda n: sim.append(_meanwhile(count + n)),
    )
    return [] if pruned.events == half else [f"{pruned.events} events were pruned, not {half}"]


def _meanwhile(n: int) -> Event:
    return Event(
        "meanwhile",
        source="now",
        generation_time=_BEGIN_US + n * _STEP_US,
        seq_number=n,
        reception_time=_BEGIN_US,
    )


def _beside(name: str, count: int, do: Callable[[], T], append: Callable[[int], object]) -> T:
    """Do something while another thread appends one event after the other; print how long each waited."""
    waits_s: list[float] = []
    ending = threading.Event()

    def append_all() -> None:
        while not ending.is_set():
            begun_s = time.perf_counter()
            append(len(waits_s))
            waits_s.append(time.perf_counter() - begun_s)

    thread = threading.Thread(target=append_all)
    thread.start()
    try:
        time.sleep(ALONE_S)
        before = len(waits_s)
        found = timed(name, count, do)
    finally:
        ending.set()
        thread.join()
    for when, waits in (("before it", waits_s[:before]), ("during it", waits_s[before:])):
        if waits:
            p99_ms, longest_ms = quantiles([*waits, waits[-1]], n=100)[98] * 1e3, max(waits) * 1e3
            print(
                f"  appends {when:14} {len(waits)}, 99th percentile {p99_ms:.1f} ms,"
                f" longest {longest_ms:.1f} ms"
            )
    return found


def _run_sqlite(folder: Path, count: int) -> None:
    """Do in SQLite what comes nearest: its own checks, copies and deletion."""
    (folder / "s").mkdir()
    table, copy = Sqlite(folder / "s"), folder / "copy.sqlite"
    file = folder / "s" / "events.sqlite"

    def ingest() -> None:
        received = (replace(event, reception_time=_BEGIN_US) for event in events(count))
        while batch := list(islice(received, _BATCH_EVENTS)):
            table.append(batch)

    def run(statement: str, *given: object) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(file, isolation_level=None, timeout=600)) as connection:
            return connection.execute(statement, given).fetchall()

    timed("SQLite: ingest", count, ingest)
    print(
        "  integrity_check says",
        timed("SQLite: integrity_check", count, lambda: run("pragma integrity_check")),
    )
    timed("SQLite: VACUUM INTO", count, lambda: run("vacuum into ?", str(copy)))
    half = _BEGIN_US + count // 2 * _STEP_US
    _beside(
        "SQLite: delete half",
        count // 2,
        lambda: run("delete from events where generation_time < ?", half),
        lambda n: table.append_one([_meanwhile(count + n)]),
    )
    table.close()


if __name__ == "__main__":
    sys.exit(main())

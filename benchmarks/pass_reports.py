"""``python -m benchmarks.pass_reports``: what a report on a pass costs beside a scan of the same events.

1. An archive is filled with the workload in a process of its own: filling takes no part in the memory.
2. Scans to Event objects (``for event in instance.events(): pass``) and reports take turns, in one process
   that has opened the archive; the files are in the page cache. Processor time is what is compared, because
   others may use the machine.
3. The report must say what the workload is known to have: its events, no gap, and every late event.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TypeVar

from benchmarks import processes
from benchmarks.peak import Peak
from benchmarks.workload import Mix, Workload
from yamcs_archive import Archive, Instance, PassReport

T = TypeVar("T")
_MIB = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print a line for each mix, and return 1 if a report is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pass_reports", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="default: 1,000,000")
    parser.add_argument("--repeats", type=int, default=3, help="default: 3")
    parser.add_argument("--scratch", type=Path, help="folder for the archive (the one of temporary files)")
    parser.add_argument("--fill", nargs=2, metavar=("MIX", "DIR"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.fill:
        _fill(Path(options.fill[1]), Workload(options.events, Mix[options.fill[0]]))
        return 0
    faults = []
    for mix in (Mix.IN_ORDER, Mix.LATE):
        with tempfile.TemporaryDirectory(prefix="pass-reports-", dir=options.scratch) as scratch:
            module = processes.command("benchmarks.pass_reports")
            filling = [*module, "--events", str(options.events), "--fill", mix.name, scratch]
            subprocess.run(filling, cwd=processes.ROOT, env=processes.environment(), check=True)
            with Archive.open(Path(scratch) / "data", readonly=True) as archive:
                faults += _measure(archive.instance("sim"), mix, options.events, options.repeats)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def _fill(directory: Path, workload: Workload) -> None:
    with Archive.open(directory / "data") as archive:
        sim = archive.instance("sim", create=True)
        for slab in workload.slabs():
            sim.append_many(slab)
        sim.settle()


def _measure(sim: Instance, mix: Mix, events: int, repeats: int) -> list[str]:
    scans_s, reports_s = [], []
    found: PassReport | None = None
    with Peak() as scan_peak:
        _scan(sim)
    with Peak() as peak:
        for _ in range(repeats):
            scans_s.append(_timed(lambda: _scan(sim))[1])
            found, report_s = _timed(sim.report)
            reports_s.append(report_s)
    scan_s, report_s = median(scans_s), median(reports_s)
    print(
        f"{mix.value:9} scan {scan_s:7.2f} s {events / scan_s:11,.0f} events/s,"
        f" report {report_s:7.2f} s {events / report_s:11,.0f} events/s: {report_s / scan_s:.2f} x;"
        f" memory {scan_peak.peak_bytes / _MIB:.0f} MiB and {peak.peak_bytes / _MIB:.0f} MiB",
        flush=True,
    )
    if found is None or (found.events, found.gap_count, found.restart_count) != (events, 0, 0):
        return [f"{mix.value}: the report has {found and (found.events, found.gap_count)}"]
    if bool(found.late) != (mix is Mix.LATE):
        return [f"{mix.value}: {found.late} events are late"]
    return []


def _scan(sim: Instance) -> None:
    for _ in sim.events():
        pass


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    begun_s = time.process_time()
    found = call()
    return found, time.process_time() - begun_s


if __name__ == "__main__":
    with processes.ending_tidily():
        sys.exit(main())

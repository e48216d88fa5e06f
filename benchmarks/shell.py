"""``python -m benchmarks.shell``: the time of a whole command from the shell, in a process of its own.

``events log`` of the last ten of an archive at rest, as somebody types it; the archive's files are in the
page cache. Prints the least, the median and the greatest wall time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.contenders.archive import INSTANCE
from benchmarks.processes import ROOT
from benchmarks.workload import Workload
from yamcs_archive import Archive


def times_s(command: Sequence[str], runs: int) -> list[float]:
    """Return the wall time of each of so many runs of a command, in seconds.

    >>> len(times_s([sys.executable, "-c", ""], runs=2))
    2
    """
    found = []
    for _ in range(runs):
        begun_s = time.perf_counter()
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        found.append(time.perf_counter() - begun_s)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill an archive, run the command, and print its times."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shell", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="of the archive; default: 1,000,000")
    parser.add_argument("--runs", type=int, default=15, help="default: 15")
    parser.add_argument("--scratch", type=Path, help="folder for the archive (the one of temporary files)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="shell-", dir=options.scratch) as scratch:
        with Archive.open(scratch) as archive:
            sim = archive.instance(INSTANCE, create=True)
            for slab in Workload(options.events).slabs():
                sim.append_many(slab)
            sim.compact()
        command = [sys.executable, "-m", "yamcs_archive", "events", "log", "--data", scratch]
        found = times_s(command, options.runs)
    print(f"events log: {median(found):.3f} s ({min(found):.3f} to {max(found):.3f}), {len(found)} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())

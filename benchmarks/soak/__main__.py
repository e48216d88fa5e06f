"""``python -m benchmarks.soak --minutes N``: serve, load, watch, and fail on a trend.

Prints a line for each minute, and at the end what grew and what went wrong. Exits with 1 if anything did.
The thirds of a run are compared, so a run of less than three minutes says little.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

from benchmarks.processes import command, ending_tidily
from benchmarks.servers import running
from benchmarks.soak.load import INSTANCE, Load
from benchmarks.soak.samples import Sample, sample
from benchmarks.soak.trends import Bound, growth
from yamcs_archive import Archive

_SAMPLE_S = 1.0
_MIB = 1 << 20
_BOUNDS = {
    "memory_bytes": Bound(0.1, 16 * _MIB),
    "descriptors": Bound(0.1, 4),
    "threads": Bound(0.1, 4),
    "readers": Bound(0.1, 4),
    "file_bytes": Bound(0.3, 16 * _MIB),
}
_LATENCY = Bound(0.5, 0.005)
"""Of the median of each kind of request, in seconds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3, help="default: 3")
    parser.add_argument("--seed", type=int, default=1, help="of what the clients choose; default: 1")
    parser.add_argument("--scratch", type=Path, help="folder for the archive (the one of temporary files)")
    options = parser.parse_args(arguments)
    with ending_tidily(), tempfile.TemporaryDirectory(prefix="soak-", dir=options.scratch) as scratch:
        return _soak(Path(scratch), options.minutes, options.seed)


def _soak(folder: Path, minutes: float, seed: int) -> int:
    data = folder / "data"
    serve = command("yamcs_archive", "serve", "--data", data, "--port", 0, "--instance", INSTANCE)
    samples: list[Sample] = []
    with running([*serve, "--allow-operations"]) as server:
        begun_s = time.monotonic()
        load = Load(f"http://127.0.0.1:{server.port}", folder / "copies", seed)
        try:
            while (elapsed_s := time.monotonic() - begun_s) < 60 * minutes:
                samples.append(sample(server.pid, data, elapsed_s))
                if int(elapsed_s // 60) != int((elapsed_s + _SAMPLE_S) // 60):
                    print(_line(samples[-1], load, begun_s), flush=True)
                time.sleep(_SAMPLE_S)
        finally:
            load.end()
    faults = [*trends(samples, load, begun_s), *load.faults[:20], *_verified(data, load.acknowledged)]
    for fault in faults:
        print(fault)
    print(f"{minutes:g} minutes, seed {seed}: {load.acknowledged} events stored, {len(faults)} faults")
    return 1 if faults else 0


def trends(samples: Sequence[Sample], load: Load, begun_s: float) -> list[str]:
    """Return what grew."""
    found = []
    for name, bound in _BOUNDS.items():
        if said := growth([getattr(each, name) for each in samples], bound):
            found.append(f"{name}: {said}")
    for work in load.works.values():
        medians = [median(taken) for taken in work.by_minute(begun_s) if taken]
        if said := growth(medians, _LATENCY):
            found.append(f"median time of {work.name}, in seconds: {said}")
    return found


def _line(now: Sample, load: Load, begun_s: float) -> str:
    parts = [
        f"{now.seconds / 60:5.1f} min: {now.memory_bytes / _MIB:.0f} MiB, {now.descriptors} descriptors,"
        f" {now.threads} threads, {now.readers} readers, files {now.file_bytes / _MIB:.0f} MiB"
    ]
    for work in load.works.values():
        taken = work.by_minute(begun_s)[-1:]
        if taken and len(taken[0]) > 1:
            p99 = quantiles(taken[0], n=100)[98]
            parts.append(f"{work.name} {len(taken[0])} ({median(taken[0]) * 1e3:.1f}, {p99 * 1e3:.0f} ms)")
    return ", ".join(parts)


def _verified(data: Path, acknowledged: int) -> list[str]:
    """Return the faults of the archive after the server has ended."""
    with Archive.open(data, readonly=True) as archive:
        sim = archive.instance(INSTANCE)
        found = sim.verify()
        faults = [] if found is None else [f"verify: {fault}" for fault in found.faults]
        if not 0 < sim.count() <= acknowledged:
            faults.append(f"{sim.count()} events are there, and {acknowledged} were acknowledged")
    return faults


if __name__ == "__main__":
    sys.exit(main())

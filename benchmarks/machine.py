"""What the figures were taken on: processor, memory, kernel, file system, versions, and what a sync takes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from benchmarks.timing import percentile

_ROOT = Path(__file__).parent.parent
_PROBE_SYNCS = 200
_PROBE_BYTES = 4096


def describe(directory: Path) -> dict[str, str]:
    """Return the machine in words; ``directory`` is where the stores are made.

    >>> sorted(describe(Path(".")))[:2]
    ['cores', 'file system']
    """
    return {
        "processor": _first_value("/proc/cpuinfo", "model name")
        or platform.processor()
        or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": _memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _file_system(directory),
        "sync of one page": f"{sync_us(directory):.0f} us (median of {_PROBE_SYNCS})",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "revision": _revision(),
        "load at start": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
    }


def sync_us(directory: Path) -> float:
    """Return the median time that writing a page and syncing it takes, in microseconds.

    >>> sync_us(Path(".")) > 0
    True
    """
    probe = directory / f"sync-probe-{os.getpid()}"
    times = []
    descriptor = os.open(probe, os.O_RDWR | os.O_CREAT)
    sync = getattr(os, "fdatasync", os.fsync)
    try:
        for _ in range(_PROBE_SYNCS):
            start = perf_counter()
            os.pwrite(descriptor, b"x" * _PROBE_BYTES, 0)
            sync(descriptor)
            times.append(perf_counter() - start)
    finally:
        os.close(descriptor)
        probe.unlink()
    return percentile(times, 0.5) * 1e6


def _first_value(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")


def _memory() -> str:
    text = _first_value("/proc/meminfo", "MemTotal")
    return f"{int(text.split()[0]) / 2**20:.1f} GiB" if text else "unknown"


def _file_system(directory: Path) -> str:
    """Return type and options of the mount that holds the directory."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return f"unknown ({sys.platform})"
    place = str(directory.resolve())
    holding = [
        mount for mount in mounts if mount[1] == "/" or place == mount[1] or place.startswith(mount[1] + "/")
    ]
    best = max(holding, key=lambda mount: len(mount[1]), default=None)
    return f"{best[2]} ({best[3]})" if best else "unknown"


def _revision() -> str:
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # whichever git the user has
            cwd=_ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

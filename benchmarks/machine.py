"""The conditions of a measurement: processor, memory, kernel, file system, versions, time of a sync."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import sys
from contextlib import suppress
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

import yamcs_archive
from benchmarks.processes import ROOT
from benchmarks.timing import percentile

_PROBE_SYNCS = 200
_PROBE_BYTES = 4096
_PACKAGES = (
    *("duckdb", "lmdb", "msgpack", "msgspec", "numpy", "protobuf", "pyarrow", "rocksdict", "uvicorn"),
    "zstandard",
)
_SHOWING = {"__main__.py", "options.py", "page.py", "plots.py", "report.py", "targets.py"}
_LABS = {
    *("crash", "damage", "failing_disk", "full_disk", "fuzz", "power_cut", "soak"),
    *("attack.py", "forks.py", "logins.py", "operations.py", "pass_reports.py"),
    *("pieces.py", "shell.py"),
}
"""The modules of the harness that only show what was measured, and those that measure nothing."""
_IN_MEMORY = ("tmpfs", "ramfs")


def describe(directory: Path) -> dict[str, str]:
    """Return the machine and the versions of its software; ``directory`` is that of the stores.

    Figures may be compared if this is the same for both.

    >>> sorted(describe(Path(".")))[:2]
    ['code', 'cores']
    """
    return {
        "processor": _first_value("/proc/cpuinfo", "model name")
        or platform.processor()
        or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": _memory(),
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": _file_system(directory),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": _versions(),
        "code": _code(),
    }


def circumstances(directory: Path) -> dict[str, str]:
    """Return the conditions that differ between runs on the same machine.

    >>> sorted(circumstances(Path(".")))
    ['load at start', 'revision', 'sync of one page']
    """
    return {
        "sync of one page": f"{sync_us(directory):.0f} us (median of {_PROBE_SYNCS})",
        "load at start": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
        "revision": _revision(),
    }


def is_in_memory(directory: Path) -> bool:
    """Return whether a directory's files are in memory only, where a sync costs nothing.

    >>> is_in_memory(Path("/proc"))
    False
    """
    return _file_system(directory).startswith(_IN_MEMORY)


def sync_us(directory: Path) -> float:
    """Return the median time to write and sync a page, in microseconds.

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
    """Return type and options of the mount with the directory."""
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


def _versions() -> str:
    found = [f"SQLite {sqlite3.sqlite_version}"]
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def _code() -> str:
    """Return the version, and a digest of the package and of the measuring modules of the harness.

    A digest, not a revision: it distinguishes uncommitted changes, and needs no git.
    """
    total = blake2b(digest_size=5)
    package = Path(yamcs_archive.__file__).parent
    for folder, skipped in ((package, set[str]()), (Path(__file__).parent, _SHOWING | _LABS)):
        for path in sorted(folder.rglob("*.py")):
            name = path.relative_to(folder)
            if name.parts[0] not in skipped:
                total.update(f"{name}\0".encode() + path.read_bytes())
    return f"yamcs_archive {version('yamcs_archive')}, digest {total.hexdigest()}"


def _revision() -> str:
    """Return the commit of the checkout; "unknown" if git cannot tell."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # the user's git
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

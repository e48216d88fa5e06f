"""The peak memory of a process without mapped file pages, sampled from outside it.

The kernel has a high-water mark only for all resident pages, file pages included; for anonymous memory
(RssAnon) it shows only the present value. A thread of the measured process could not sample it: it would wait
for the interpreter lock, and so never run during the long calls that matter.

Run as ``python -m benchmarks.peak PID``: it prints ``ready``, samples until its standard input closes, then
prints the peak in bytes.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from types import TracebackType
from typing import Self

from benchmarks import processes

_INTERVAL_S = 0.004


def anonymous_bytes(pid: int) -> int:
    """Return the anonymous resident memory of a process in bytes; 0 if the system does not show it.

    >>> anonymous_bytes(os.getpid()) > 0 or sys.platform != "linux"
    True
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


class Peak:
    """Watches a process, by default this one; afterwards ``peak_bytes`` is its peak.

    >>> with Peak() as peak:
    ...     block = bytearray(1 << 20)
    >>> peak.peak_bytes >= peak.start_bytes
    True
    """

    def __init__(self, pid: int | None = None) -> None:
        self._pid = os.getpid() if pid is None else pid
        self.start_bytes = self.peak_bytes = 0
        self._watcher: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._watcher = subprocess.Popen(
            processes.command("benchmarks.peak", self._pid),
            cwd=processes.ROOT,
            env=processes.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._watcher.stdout is not None
        self._watcher.stdout.readline()
        self.start_bytes = anonymous_bytes(self._pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._watcher is not None
        printed, _ = self._watcher.communicate()
        self.peak_bytes = max(self.start_bytes, int(printed))


def _watch(pid: int) -> int:
    print("ready", flush=True)
    peak = 0
    while not select.select([sys.stdin], [], [], _INTERVAL_S)[0]:
        peak = max(peak, anonymous_bytes(pid))
    return peak


if __name__ == "__main__":
    print(_watch(int(sys.argv[1])))

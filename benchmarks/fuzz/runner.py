"""Feeds a target inputs in a process of its own, and says what went wrong with which input.

1. The process is a fork of one that has imported everything, so that a round begins within milliseconds.
2. Before each input its number is written to memory that both processes see: if the process dies or hangs,
   that input is the finding.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import resource
import signal
import struct
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks.fuzz.mutation import inputs
from benchmarks.fuzz.targets import Target

ROUND_INPUTS = 1000
"""Inputs of a round, which have one seed."""
_INPUT_S_MAX = 10
"""Seconds for one input, after which it counts as a hang."""
_MEMORY_BYTES_MAX = 2 << 30
"""Bytes of address space that a process may add to those it begins with."""
_SHARED = struct.Struct("=QQQQ")
"""Inputs begun, inputs accepted, peak of resident memory in KiB, bytes of the fault's text."""
_TEXT_BYTES_MAX = 1 << 16


class Fault(NamedTuple):
    """What went wrong."""

    target: str
    seed: int
    number: int
    """Of the input in its round, from 0."""
    text: str

    @property
    def command(self) -> str:
        """The command that feeds the same input again."""
        return f"python -m benchmarks.fuzz --target '{self.target}' --seed {self.seed} --input {self.number}"


class Outcome(NamedTuple):
    """The outcome of a round."""

    inputs: int
    accepted: int
    peak_bytes: int
    fault: Fault | None


class HangError(Exception):
    """An input took too long."""


@contextmanager
def bounded() -> Iterator[None]:
    """Bound the time of each input (:func:`begin_input`), and the memory of this process from now on."""

    def on_alarm(_signal: int, _frame: object) -> None:
        raise HangError(f"it took more than {_INPUT_S_MAX} s")

    signal.signal(signal.SIGALRM, on_alarm)
    with open("/proc/self/statm", encoding="ascii") as statm:
        used_bytes = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used_bytes + _MEMORY_BYTES_MAX,) * 2)
    try:
        yield
    finally:
        signal.alarm(0)


def begin_input() -> None:
    """Begin to measure the time of an input."""
    signal.alarm(_INPUT_S_MAX)


def run_round(target: Target, seed: int, count: int = ROUND_INPUTS) -> Outcome:
    """Feed one round in a process of its own, whose temporary files are removed after it."""
    shared = mmap.mmap(-1, _SHARED.size + _TEXT_BYTES_MAX)
    with tempfile.TemporaryDirectory(prefix="yamcs-archive-fuzz-") as scratch:
        child = os.fork()
        if child == 0:
            status = 1
            tempfile.tempdir = scratch
            try:
                status = _feed(target, seed, count, shared)
            finally:
                os._exit(status)
        _, ended = os.waitpid(child, 0)
    begun, accepted, peak_kib, text_bytes = _SHARED.unpack_from(shared)
    text = shared[_SHARED.size : _SHARED.size + text_bytes].decode("utf-8", "replace")
    fault = None
    if ended != 0:
        text = text or f"the process ended with {os.waitstatus_to_exitcode(ended)}"
        fault = Fault(target.name, seed, max(begun - 1, 0), text)
    shared.close()
    return Outcome(begun, accepted, peak_kib << 10, fault)


def _feed(target: Target, seed: int, count: int, shared: mmap.mmap) -> int:
    """Feed a round in this process; return its exit status: 0 if nothing went wrong."""
    begun = accepted = 0
    text = b""
    status = 1
    faulthandler.enable(2)  # the real stderr
    try:
        with bounded():
            take = target.start()
            for one in inputs(target.name, seed, count, target.valid, target.tokens):
                begun += 1
                _SHARED.pack_into(shared, 0, begun, accepted, 0, 0)
                begin_input()
                accepted += take(one)
        status = 0
    except BaseException:
        text = traceback.format_exc().encode("utf-8", "replace")[-_TEXT_BYTES_MAX:]
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shared[_SHARED.size : _SHARED.size + len(text)] = text
    _SHARED.pack_into(shared, 0, begun, accepted, peak_kib, len(text))
    return status


def repeat(target: Target, seed: int, number: int) -> None:
    """Print one input and feed it again in this process; raises what it raises."""
    take = target.start()
    *_, one = inputs(target.name, seed, number + 1, target.valid, target.tokens)
    print(repr(one), flush=True)
    begun_s = time.perf_counter()
    accepted = take(one)
    print(f"{'accepted' if accepted else 'refused'}, {time.perf_counter() - begun_s:.3f} s")

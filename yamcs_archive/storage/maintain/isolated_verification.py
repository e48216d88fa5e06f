"""Verification in a process of its own: what damage in LMDB's own pages ends is that process.

LMDB reads its file through memory. A page of its own that is damaged may lead it anywhere, and a page that
the medium does not give is a SIGBUS. The process is a fresh interpreter: a fork of a process with threads
could wait for ever for a lock that one of them held.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from yamcs_archive.errors import ArchiveError, DamagedError, UnavailableError
from yamcs_archive.results import Fault, Verification
from yamcs_archive.storage.disk.environments import acquire, release
from yamcs_archive.storage.maintain.verification import verify, verify_quickly
from yamcs_archive.storage.read.metadata import read_meta

_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from yamcs_archive.storage.maintain.isolated_verification import run
run(sys.argv[2])
"""
_LOOK_S = 0.1
"""Time between two looks whether the verification is cancelled, in seconds."""
_TELL_EVENTS = 50_000
"""Events after which the process tells how far it is."""
_PIPE_BYTES = 1 << 16
DAMAGE_SIGNALS = (signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT)
"""What ends a process that reads damaged pages."""


class _Wanted(msgspec.Struct):
    """What the process is to do."""

    instance: str
    map_bytes: int
    events_max: int
    quick: bool


class _Told(msgspec.Struct, omit_defaults=True):
    """A line that the process writes: how far it is, or what came of it."""

    progress: tuple[int, int] | None = None
    found: Verification | None = None
    damage: tuple[str, str] | None = None
    error: str | None = None


def verify_isolated(
    instance: Path,
    *,
    map_bytes: int,
    events_max: int,
    quick: bool,
    progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> Verification | None:
    """Verify an instance in a process of its own; None if it was cancelled.

    If that process is ended by damage, this is the one fault that is found. Raises DamagedError if the
    instance cannot be opened, UnavailableError if no process can be started, or if it fails.
    """
    wanted = msgspec.json.encode(_Wanted(os.fspath(instance), map_bytes, events_max, quick)).decode()
    paths = msgspec.json.encode(sys.path).decode()
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, paths, wanted],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise UnavailableError(f"{instance}: no process to verify it can be started: {error}") from error
    with child:
        try:
            last = _follow(child, progress, cancelled)
        except BaseException:
            child.kill()
            raise
        if last is None:
            child.kill()
            return None
    return _result(last, child.returncode, instance)


def _follow(
    child: subprocess.Popen[bytes], progress: Callable[[int, int], None], cancelled: Callable[[], bool]
) -> _Told | None:
    """Return the last line that a process writes; None once the verification is cancelled."""
    if child.stdout is None:
        raise AssertionError("the process has no pipe")
    pipe = child.stdout.fileno()
    decoder = msgspec.json.Decoder(_Told)
    last, rest = _Told(), b""
    while not cancelled():
        ready, _, _ = select.select([pipe], [], [], _LOOK_S)
        if not ready:
            continue
        more = os.read(pipe, _PIPE_BYTES)
        if not more:
            return last
        *lines, rest = (rest + more).split(b"\n")
        for line in lines:
            last = decoder.decode(line)
            if last.progress is not None:
                progress(*last.progress)
    return None


def _result(last: _Told, status: int, instance: Path) -> Verification:
    if last.found is not None:
        return last.found
    if last.damage is not None:
        raise DamagedError(*last.damage)
    if -status in DAMAGE_SIGNALS:
        name = signal.Signals(-status).name
        fault = Fault("data.mdb", f"LMDB's own pages are damaged, or its file is cut short: {name}")
        return Verification(0, 0, 0, 0, 0, 0.0, 1, (fault,))
    raise UnavailableError(last.error or f"{instance}: the process that verifies it ended with {status}")


def run(wanted: str) -> None:
    """Verify, and write lines to stdout; in the process that :func:`verify_isolated` starts."""
    do = msgspec.json.decode(wanted, type=_Wanted)
    told = _Told()
    try:
        told.found = _found(do)
    except DamagedError as error:
        told.damage = error.where, error.reason
    except ArchiveError as error:
        told.error = str(error)
    _tell(told)


def _found(do: _Wanted) -> Verification | None:
    environment = acquire(Path(do.instance), readonly=True, map_bytes=do.map_bytes)
    try:
        if do.quick:
            return verify_quickly(environment)
        reached = 0

        def progress(read: int, all_: int) -> None:
            nonlocal reached
            if read >= reached:
                reached = read + _TELL_EVENTS
                _tell(_Told(progress=(read, all_)))

        return verify(environment, partial(read_meta, environment), do.events_max, progress, lambda: False)
    finally:
        release(environment, readonly=True)


def _tell(told: _Told) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()

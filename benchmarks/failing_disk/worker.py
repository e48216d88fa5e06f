"""The program whose disk fails: one fork for each point, all under the interposed library.

python -m benchmarks.failing_disk.worker FOLDER SEED POINTS
"""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import os
import shutil
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from benchmarks.crash.comparison import compare, copies_of
from benchmarks.crash.ledger import Ledger
from benchmarks.crash.lives import INSTANCE
from benchmarks.crash.offers import Checked
from benchmarks.crash.operations import AFTER_A_START
from benchmarks.crash.work import one
from benchmarks.crash.worker import Book, Worker
from yamcs_archive import Archive, Instance, Options
from yamcs_archive.errors import ArchiveError, OutcomeUnknownError, OutOfSpaceError, UnavailableError

WRITES, SYNCS = 1, 2
_OPERATIONS = 12
_HANGS_S = 60
_SPELLS = (1, 1, 3, -1)
"""So many actions fail at a point; -1: all, until the disk has room again."""
_EXPECTED = {
    errno.ENOSPC: (OutOfSpaceError, OutcomeUnknownError),
    errno.EIO: (OutOfSpaceError, OutcomeUnknownError, UnavailableError),
}
_library: Any = ctypes.CDLL(None)


class Found(msgspec.Struct):
    """What came of the points."""

    points: int = 0
    failures: int = 0
    """Writes and syncs that failed."""
    by_error: dict[str, int] = msgspec.field(default_factory=dict)
    """Points at which some failed, by the error, and the others."""
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    """Operations that raised, by error."""
    acknowledged: int = 0
    faults: list[str] = msgspec.field(default_factory=list)


@dataclass(frozen=True)
class Point:
    """Where and how the disk fails."""

    nth: int
    spell: int
    kinds: int
    error: int
    seed: str

    @property
    def name(self) -> str:
        """The error's name, as ENOSPC.

        >>> Point(3, 1, WRITES, errno.EIO, "").name
        'EIO'
        """
        return errno.errorcode[self.error]

    @staticmethod
    def drawn(rng: Random, actions: int, seed: str) -> Point:
        """Return a point among so many actions."""
        error = rng.choice((errno.ENOSPC, errno.ENOSPC, errno.EIO))
        kinds = WRITES if error == errno.ENOSPC else rng.choice((WRITES, SYNCS, WRITES | SYNCS))
        return Point(rng.randrange(actions), rng.choice(_SPELLS), kinds, error, seed)


class Run:
    """One archive, whose disk fails at one point."""

    def __init__(self, folder: Path, point: Point | None) -> None:
        self._folder, self._point = folder, point
        self._rng = Random("failing disk" if point is None else point.seed)
        self._book = Book(Ledger(), lambda _: None)
        self.errors: dict[str, int] = {}
        self.failures = 0

    @property
    def acknowledged(self) -> int:
        """Number of events whose storage was acknowledged."""
        return self._book.ledger.acknowledged

    def run(self) -> list[str]:
        """Work before, while and after the disk fails; return what is wrong."""
        options = Options(block_events_max=64, run_events_min=16, maintenance=False, map_bytes=1 << 20)
        with Archive.open(self._folder, options=options) as archive:
            sim = archive.instance(INSTANCE, create=True)
            worker = Worker(sim, self._book, self._rng, copies_of(self._folder))
            for _ in range(_OPERATIONS):
                one(worker, maintains=self._rng.random() < 0.2)
            self._let_it_fail(sim, worker)
            self._compared(sim)  # without a restart
            for operation in AFTER_A_START:
                operation(worker)
        with Archive.open(self._folder, options=options) as archive:
            self._compared(archive.instance(INSTANCE))
        return self._book.faults

    def _let_it_fail(self, sim: Instance, worker: Worker) -> None:
        point = self._point
        if point is None:  # only the actions are counted
            _library.fail_from(WRITES | SYNCS, 1 << 40, 0, 0)
        else:
            _library.fail_from(point.kinds, point.nth, point.spell, point.error)
        try:
            for _ in range(_OPERATIONS):
                self._one(worker)
            list(sim.events(limit=20, descending=True))  # what is stored stays readable
        finally:
            self.failures = int(_library.fail_failed())
            self.actions = int(_library.fail_counted())
            _library.fail_from(0, 0, 0, 0)

    def _one(self, worker: Worker) -> None:
        try:
            one(worker, maintains=self._rng.random() < 0.2)
        except ArchiveError as error:
            name = type(error).__name__
            self.errors[name] = self.errors.get(name, 0) + 1
            expected = _EXPECTED[self._point.error] if self._point is not None else ()
            if not isinstance(error, expected):
                worker.wrong(f"unexpected: {error!r}")

    def _compared(self, sim: Instance) -> None:
        found: Checked = compare(sim, self._book.ledger, copies_of(self._folder))
        self._book.note(found)


def _point(folder: Path, point: Point | None) -> tuple[Run, list[str]]:
    run = Run(folder, point)
    try:
        faults = run.run()
    except BaseException:
        faults = [traceback.format_exc()]
    return run, [f"{point}: {fault}" for fault in faults]


def main(folder: str, seed: str, points: str) -> None:
    """Try some points, each in a fork, and print what came of them as JSON."""
    root = Path(folder)
    found = Found()
    run, found.faults = _point(root / "counted", None)
    rng = Random(f"failing disk {seed}")
    for nth in range(int(points) if not found.faults else 0):
        point = Point.drawn(rng, max(run.actions, 1), f"{seed}/{nth}")
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            faulthandler.dump_traceback_later(_HANGS_S, exit=True)
            tried, faults = _point(root / str(nth), point)
            by_error = {point.name if tried.failures else f"{point.name}, nothing failed": 1}
            told = Found(1, tried.failures, by_error, tried.errors, tried.acknowledged, faults)
            os.write(writing, msgspec.json.encode(told)[: 1 << 16])
            os._exit(0)
        os.close(writing)
        with open(reading, "rb") as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        if status or not text:
            found.faults.append(f"{point}: the process ended with {status}")
        else:
            _add(found, msgspec.json.decode(text, type=Found))
        if found.faults:
            break
        shutil.rmtree(root / str(nth))
    sys.stdout.write(msgspec.json.encode(found).decode())


def _add(total: Found, one_more: Found) -> None:
    total.points += one_more.points
    total.failures += one_more.failures
    total.acknowledged += one_more.acknowledged
    total.faults += one_more.faults
    for sums, counts in ((total.errors, one_more.errors), (total.by_error, one_more.by_error)):
        for name, count in counts.items():
            sums[name] = sums.get(name, 0) + count


if __name__ == "__main__":
    main(*sys.argv[1:])

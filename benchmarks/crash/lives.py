"""One life of a process: it opens the archive, checks it, works on it, and is killed.

1. The process is a fork of one that has imported everything and opened nothing: no environment, no lock, no
   thread and no socket goes from one life to the next.
2. It dies by SIGKILL in one of three ways: at a random moment of its work, from outside; just after it has
   reached a failpoint, by its own hand; or at a random moment of its opening and its check.
3. The parent opens nothing either: what it knows are the notes that come through a pipe.
"""

from __future__ import annotations

import os
import select
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NoReturn

from benchmarks.crash.comparison import compare, copies_of
from benchmarks.crash.ledger import Ledger
from benchmarks.crash.offers import Checked, Done, Note, Offered, Reached, Serves, Wrong, framed, unframed
from benchmarks.crash.operations import AFTER_A_START
from benchmarks.crash.work import Hands
from benchmarks.crash.worker import Book, Worker
from yamcs_archive import Archive, Instance, Options
from yamcs_archive.storage import failpoints
from yamcs_archive.storage import lmdb_store as _loaded_before_the_fork  # noqa: F401

INSTANCE = "sim"
STARTED = "started"
"""Noted when the archive is checked and has done what every reopened archive must do."""
_START_S_MAX, _END_S_MAX = 120.0, 60.0
"""Longest time for opening and checking, and for the end after the kill: beyond that something hangs."""
_WORK_S, _WORK_S_MAX = 0.03, 0.2
"""Mean time of work until a kill, and the longest."""
_OPENING_S_MAX, _POINT_S_MAX = 0.05, 1.0
"""Longest time until a kill in the opening, and the time after which a failpoint is no longer waited for."""
_CONNECTS_S = 0.03
"""Time that clients get to reach a server, before that of their work."""
_OPENING_SHARE, _POINT_SHARE = 0.1, 0.4
"""Shares of lives that are killed in the opening and at a failpoint."""
_PASSES_MAX = 3
SERVED_POINTS = (
    *failpoints.GROUP_COMMIT_POINTS,
    *failpoints.CHECKPOINT_POINTS,
    *failpoints.COMPACT_POINTS,
    *failpoints.PRUNE_POINTS,
)
POINTS = (*SERVED_POINTS, *failpoints.BACKUP_POINTS, *failpoints.RESTORE_POINTS)


@dataclass(frozen=True)
class Plan:
    """What a life does, and how it ends; all of it follows from a seed."""

    seed: str
    appending: int
    """Threads that append."""
    maintaining: bool
    options: Options
    work_s: float
    """When the parent kills it, after the start; or after the fork, if ``in_opening``."""
    in_opening: bool = False
    point: str | None = None
    """The failpoint at which it kills itself, unless it is killed before."""
    passes: int = 0

    @staticmethod
    def drawn(seed: str, points: Sequence[str] = POINTS) -> Plan:
        """Return the plan of a seed; ``points`` are the failpoints that it may reach.

        >>> Plan.drawn("7/1") == Plan.drawn("7/1")
        True
        """
        rng = Random(seed)
        options = Options(
            block_events_max=rng.choice((2, 16, 256, 5_000)),
            run_events_min=rng.choice((2, 8, 256)),
            late_share=rng.choice((1, 8)),
            group_events_max=rng.choice((5, 20_000)),
            map_bytes=rng.choice((1 << 20, 1 << 30)),
            maintenance=False,
        )
        how = rng.random()
        to_point, in_opening = how > 1 - _POINT_SHARE, how < _OPENING_SHARE
        work_s = min(rng.expovariate(1 / _WORK_S), _WORK_S_MAX)
        return Plan(
            seed,
            rng.choice((1, 1, 2, 3)),
            to_point or rng.random() < 0.7,
            options,
            _POINT_S_MAX if to_point else rng.random() * _OPENING_S_MAX if in_opening else work_s,
            in_opening=in_opening,
            point=rng.choice(points) if to_point else None,
            passes=rng.randrange(_PASSES_MAX),
        )


@dataclass
class Ended:
    """How a life ended."""

    faults: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    """Numbers of requests by kind, and of other things that were noted."""
    killed: str = ""
    """In which of the three ways it was killed."""


Work = Callable[[Archive, Instance, Book, Plan, Path], None]
"""What a life does once it has started; it does not return."""


Serving = Callable[[int, Ledger], Callable[[], Ended]]
"""Starts the clients of a server at a port; what it returns waits for their end, after the server's."""


def work(_: Archive, sim: Instance, book: Book, plan: Plan, copies: Path) -> None:
    """Work on the archive itself."""
    hands = Hands(sim, book, plan.seed, copies)
    hands.begin(plan.appending, maintaining=plan.maintaining)
    hands.wait()


def live(
    directory: Path,
    ledger: Ledger,
    plan: Plan,
    work: Work = work,
    serves: Serving | None = None,
) -> Ended:
    """Live through one life; the ledger learns what was acknowledged.

    ``serves`` starts the clients of a life that serves.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _live(directory, ledger, plan, work, writing)
    os.close(writing)
    try:
        return _Watch(child, reading, ledger, plan, serves).until_dead()
    finally:
        os.close(reading)


def _live(directory: Path, ledger: Ledger, plan: Plan, work: Work, writing: int) -> NoReturn:
    def send(note: Note) -> None:
        rest = memoryview(framed(note))
        while rest:
            rest = rest[os.write(writing, rest) :]

    book, copies = Book(ledger, send), copies_of(directory)
    try:
        archive = Archive.open(directory, options=plan.options)
        sim = archive.instance(INSTANCE, create=True)
        book.note(compare(sim, ledger, copies))
        worker = Worker(sim, book, Random(f"{plan.seed}/start"), copies)
        for operation in AFTER_A_START:
            operation(worker)
        book.done(STARTED)
        if plan.point is not None:
            _die_at(plan.point, plan.passes, book)
        work(archive, sim, book, plan, copies)
    except BaseException:
        book.note(Wrong(traceback.format_exc()))
    os._exit(1)


def _die_at(point: str, passes: int, book: Book) -> None:
    """Kill this process when it reaches a failpoint after having passed it ``passes`` times."""
    left = passes

    def die(reached: str) -> None:
        nonlocal left
        left -= reached == point
        if left < 0:
            book.note(Reached(point))
            os.kill(os.getpid(), signal.SIGKILL)

    failpoints.on_point = die


class _Watch:
    """Reads the notes of a process, kills it in time, and waits for its end."""

    def __init__(
        self,
        child: int,
        reading: int,
        ledger: Ledger,
        plan: Plan,
        serves: Serving | None,
    ) -> None:
        self._child, self._reading, self._ledger, self._plan = child, reading, ledger, plan
        self._serves = serves
        self._ended: Callable[[], Ended] = Ended
        self._held = bytearray()
        self._found = Ended()
        self._started = False
        self._reached: str | None = None
        self._kill_at_s = time.monotonic() + (plan.work_s if plan.in_opening else _START_S_MAX)

    def until_dead(self) -> Ended:
        found = self._found
        signalled = False
        try:
            while True:
                wait_s = max(0.0, self._kill_at_s - time.monotonic())
                if select.select([self._reading], [], [], wait_s)[0]:
                    if not self._read():
                        break
                elif signalled:
                    raise TimeoutError(f"process {self._child} does not end")
                else:
                    os.kill(self._child, signal.SIGKILL)
                    signalled = True
                    self._kill_at_s = time.monotonic() + _END_S_MAX
        finally:
            if not signalled:
                os.kill(self._child, signal.SIGKILL)  # it is not reaped, so that this reaches nobody else
            _, status = os.waitpid(self._child, 0)
            clients = self._ended()
            found.faults += clients.faults
            found.kinds += clients.kinds
        died = os.waitstatus_to_exitcode(status)
        if died != -signal.SIGKILL and not found.faults:
            found.faults.append(f"the process ended with {died}")
        if not self._started and not self._plan.in_opening and not found.faults:
            found.faults.append(f"it was not open and checked after {_START_S_MAX:g} s")
        where = "opening" if self._plan.in_opening and not self._started else "work"
        found.killed = where if self._reached is None else self._reached
        return found

    def _read(self) -> bool:
        """Read some notes; return False at their end."""
        piece = os.read(self._reading, 1 << 16)
        self._held += piece
        for note in unframed(self._held):
            self._found.faults += self._ledger.apply(note)
            match note:
                case Done(kind) if kind == STARTED:
                    self._started = True
                    if not self._plan.in_opening and self._serves is None:
                        self._kill_at_s = time.monotonic() + self._plan.work_s
                case Serves(port) if self._serves is not None:
                    self._kill_at_s = time.monotonic() + self._plan.work_s + _CONNECTS_S
                    self._ended = self._serves(port, self._ledger)
                case Reached(point):
                    self._reached = point
                case Offered():
                    self._found.kinds[note.kind] += 1
                case Checked():
                    self._found.kinds["checks"] += 1
                case Done(kind):
                    self._found.kinds[kind] += 1
        return bool(piece)

"""Histories: cycles of life and death over one archive, driven by one seed.

The archive goes on through all cycles of its history, unless it has grown so much that its checks would take
most of the time: then it is begun anew.
"""

from __future__ import annotations

import gc
import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.crash import lives, served
from benchmarks.crash.comparison import copies_of
from benchmarks.crash.ledger import Ledger
from benchmarks.pieces import Piece

EVENTS_MAX = 3_000
"""Number of offered events at which an archive is begun anew."""


@dataclass(frozen=True)
class History:
    """One history to be made."""

    seed: int
    size: int
    """Number of its cycles."""
    served: bool = False

    @property
    def name(self) -> str:
        """Its name in a state file."""
        return f"{'served ' if self.served else ''}{self.seed}"

    @property
    def command(self) -> str:
        """The command that makes it again."""
        more = f" --served {self.size}" if self.served else ""
        return f"python -m benchmarks.crash --seed {self.seed} --cycles {self.size}{more}"


def make(history: History, scratch: Path) -> Piece:
    """Make a history in an empty folder; stop at the first cycle with a fault, and leave its archive."""
    piece = Piece(history.size, history.command)
    ledger, directory = Ledger(), scratch
    gc.collect()
    gc.freeze()  # a collection in a fork would touch, and so copy, all of the parent
    for cycle in range(history.size):
        if not cycle or len(ledger.entries) > EVENTS_MAX:
            for folder in (directory, copies_of(directory)):
                shutil.rmtree(folder, ignore_errors=True)
            directory, ledger = scratch / f"archive-{cycle}", Ledger()
            piece.count("all", {"archives": 1})
        before = ledger.acknowledged
        seed = f"{history.name}/{cycle}"
        if history.served:
            plan = lives.Plan.drawn(seed, lives.SERVED_POINTS)
            ended = lives.live(
                directory, ledger, plan, served.serve, served.clients(plan, copies_of(directory))
            )
        else:
            plan = lives.Plan.drawn(seed)
            ended = lives.live(directory, ledger, plan)
        kind = "cycles of a server" if history.served else "cycles in process"
        piece.count("all", {kind: 1, "events acknowledged": ledger.acknowledged - before})
        piece.count("killed", {ended.killed: 1})
        piece.count("offered and done", ended.kinds)
        if ended.faults:
            piece.faults = [f"cycle {cycle}, {plan}: {fault}" for fault in ended.faults]
            break
    return piece

"""The program whose writes are recorded: one life of an archive, whose notes are marks in the record.

python -m benchmarks.power_cut.worker ROOT LOG SEED LIFE OPERATIONS
"""

from __future__ import annotations

import faulthandler
import os
import sys
import traceback
from pathlib import Path
from random import Random

from benchmarks.crash.comparison import compare, copies_of
from benchmarks.crash.ledger import Ledger
from benchmarks.crash.lives import INSTANCE, Plan
from benchmarks.crash.offers import Note, Wrong, framed, unframed
from benchmarks.crash.operations import AFTER_A_START
from benchmarks.crash.work import Hands, one
from benchmarks.crash.worker import Book, Worker
from benchmarks.power_cut.recording import HANGS_S, MARKS, entries
from yamcs_archive import Archive

_MAINTAINS_SHARE = 0.2
ARCHIVE = "archive"
"""The archive's directory, below the recorded folder."""


def main(root: str, log: str, seed: str, life: str, operations: str) -> None:
    """Open the archive, check it, and run some operations on it."""
    ledger = Ledger()
    held = bytearray().join(entry.text for entry in entries(Path(log)) if entry.op == "M")
    for note in unframed(held):
        ledger.apply(note)
    marks = os.open(os.path.join(root, MARKS), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def send(note: Note) -> None:
        os.write(marks, framed(note))

    book = Book(ledger, send)
    plan = Plan.drawn(f"power {seed}/{life}")
    directory = Path(root, ARCHIVE)
    copies = copies_of(directory)
    try:
        with Archive.open(directory, options=plan.options) as archive:
            sim = archive.instance(INSTANCE, create=True)
            book.note(compare(sim, ledger, copies))
            worker = Worker(sim, book, Random(plan.seed), copies)
            for operation in AFTER_A_START:
                operation(worker)
            beside = Hands(sim, book, plan.seed, copies)
            beside.begin(0, maintaining=plan.appending > 1)
            for _ in range(int(operations)):
                maintains = plan.appending == 1 and worker.rng.random() < _MAINTAINS_SHARE
                one(worker, maintains=maintains)
            beside.join(60)
    except Exception:
        book.note(Wrong(traceback.format_exc()))
        raise


if __name__ == "__main__":
    faulthandler.dump_traceback_later(HANGS_S)
    main(*sys.argv[1:])

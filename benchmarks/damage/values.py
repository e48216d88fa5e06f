"""Flips of single bits of keys and values: each must be found, by reading or by ``verify``, and named."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from benchmarks.damage import specimen
from benchmarks.damage.probes import Whole, verified
from benchmarks.damage.specimen import Record
from benchmarks.pieces import Piece
from yamcs_archive.errors import ArchiveDataError
from yamcs_archive.results import Fault

FAULTS_MAX = 20
BITS_EACH = 2_000
"""Largest number of bits of one piece."""


@dataclass(frozen=True)
class Bits:
    """Some bits of the specimen's keys and values, from a number on."""

    first: int
    size: int

    @property
    def name(self) -> str:
        """Its name in a state file."""
        return f"bits {self.first}"

    @property
    def command(self) -> str:
        """The command that makes it again."""
        stop = self.first + self.size
        return f"python -m benchmarks.damage --from-bit {self.first} --bits {stop} --pages 0"

    def make(self, scratch: Path) -> Piece:
        """Flip each bit."""
        piece = Piece(self.size, self.command)
        specimen.make(scratch / "whole")
        whole = Whole(scratch / "whole")
        found = specimen.records(scratch / "whole")
        starts = list(accumulate((record.bits for record in found), initial=0))
        for at, record in enumerate(found):
            low, high = max(self.first, starts[at]), min(self.first + self.size, starts[at + 1])
            for bit in range(low - starts[at], high - starts[at]):
                faults = _flip(whole, record, bit, scratch, piece)
                where = f"{record.database} {record.key.hex()}, bit {bit}"
                piece.faults += [f"{where}: {fault}" for fault in faults]
                if len(piece.faults) >= FAULTS_MAX:
                    return piece
        return piece


def _flip(whole: Whole, record: Record, bit: int, scratch: Path, piece: Piece) -> list[str]:
    """Flip a bit of a copy of the specimen; return what is wrong with how the copy behaves."""
    directory = scratch / "flipped"
    shutil.copytree(scratch / "whole", directory)
    key, value = record.flipped(bit)
    try:
        specimen.put(directory, record, key, value)
        answers = whole.ask(directory)
        told = verified(directory)
    finally:
        shutil.rmtree(directory)
    named = not isinstance(told, ArchiveDataError) and any(_names(fault, record, key) for fault in told)
    piece.count("all", {"flips of a bit": 1})
    piece.count("flips of a bit", {record.database: 1})
    piece.count(
        "flips of a bit were told",
        {"by reading": bool(answers.refused), "by verify": bool(told), "with their events": named},
    )
    faults = [f"served: {each}" for each in answers.served]
    if not told:
        faults.append(f"not found by verify; {answers.refused} refused, these differ: {answers.differ}")
    elif record.first is not None and not named:
        faults.append(f"its events are not named: {told}")
    return faults


def _names(fault: Fault, record: Record, key: bytes) -> bool:
    """Return whether a fault names the events of a record.

    Their span is within that of the fault. Of a damaged key nobody knows what it was: it is named as it is.
    """
    if key != record.key and key.hex() in fault.where:
        return True
    if record.first is None or record.last is None or fault.first is None or fault.last is None:
        return False
    return fault.first <= record.first and record.last <= fault.last


def pieces_of(first: int, stop: int) -> list[Bits]:
    """Return the pieces that flip some bits.

    >>> [(each.first, each.size) for each in pieces_of(0, 2_100)]
    [(0, 2000), (2000, 100)]
    """
    return [Bits(at, min(BITS_EACH, stop - at)) for at in range(first, stop, BITS_EACH)]

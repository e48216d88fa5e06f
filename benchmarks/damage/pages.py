"""Flips of single bits of LMDB's own pages: what they break is found by ``verify``, or is nothing.

1. Three places are drawn from: the heads of pages and their lists of nodes; the rest of the file without the
   keys and values; the two pages with the heads of the file.
2. A damaged archive is verified in one fork, and read in another one: either may be ended by a signal, which
   is found where ``verify`` reads in a process of its own. That process is started for some of them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.damage import specimen
from benchmarks.damage.probes import Found, Whole, flip, verified
from benchmarks.forks import Died, Raised, in_fork
from benchmarks.pieces import Piece
from yamcs_archive.errors import ArchiveDataError
from yamcs_archive.storage.disk import lmdb_pages
from yamcs_archive.storage.maintain.isolated_verification import DAMAGE_SIGNALS

FAULTS_MAX = 20
FLIPS_EACH = 500
"""Largest number of flips of one piece."""
_ISOLATED_EVERY = 25
_WAIT_S = 60.0


@dataclass(frozen=True)
class Flips:
    """Some flips of one seed."""

    seed: int
    size: int
    anywhere: bool = False
    """In the whole file, as they are in a file of SQLite."""

    @property
    def name(self) -> str:
        """Its name in a state file."""
        return f"{'file' if self.anywhere else 'pages'} {self.seed}"

    @property
    def command(self) -> str:
        """The command that makes it again."""
        flips = f"--pages 0 --file {self.size}" if self.anywhere else f"--pages {self.size}"
        return f"python -m benchmarks.damage --bits 0 {flips} --seed {self.seed}"

    def make(self, scratch: Path) -> Piece:
        """Flip bits, each in a fresh copy."""
        piece = Piece(self.size, self.command)
        specimen.make(scratch / "whole")
        whole = Whole(scratch / "whole")
        places = Places(specimen.data_file(scratch / "whole"))
        rng = Random(self.name)
        group = "flips anywhere in the file" if self.anywhere else "flips in pages"
        for nth in range(self.size):
            where, offset = places.anywhere(rng) if self.anywhere else places.drawn(rng)
            bit = rng.randrange(8)
            piece.count("all", {group: 1})
            piece.count(group, {f"in {where}": 1})
            counts, faults = _flip(whole, offset, bit, scratch, isolated=nth % _ISOLATED_EVERY == 0)
            piece.count(group, counts)
            piece.faults += [f"{where}, byte {offset}, bit {bit}: {fault}" for fault in faults]
            if len(piece.faults) >= FAULTS_MAX:
                return piece
        return piece


class Places:
    """The bytes of a file of LMDB, by what they are for."""

    def __init__(self, data: Path) -> None:
        structure: set[int] = set()
        ours: set[int] = set()
        with lmdb_pages.PageFile(data) as file:
            size, heads = file.page_bytes, 2 * file.page_bytes
            for number in range(2, file.pages):
                page, begin = file.page(number), number * size
                kind = lmdb_pages.kind_of(page) if lmdb_pages.number_of(page) == number else 0
                structure.update(range(begin, begin + lmdb_pages.HEAD_BYTES))
                for node in lmdb_pages.nodes(page, kind) if kind else ():
                    if node is None:
                        continue
                    key = node.at - len(node.key)
                    structure.update(range(begin + key - lmdb_pages.NODE_HEAD_BYTES, begin + key))
                    here = node.size_bytes if node.at + node.size_bytes <= size else 0
                    # A large value begins on another page; its number here is LMDB's own.
                    ours.update(range(begin + key, begin + node.at + here))
                    if not here and node.size_bytes:
                        ours.update(_overflow(page, node, size))
                if kind:
                    slots = sum(1 for _ in lmdb_pages.nodes(page, kind))
                    structure.update(
                        range(begin + lmdb_pages.HEAD_BYTES, begin + lmdb_pages.HEAD_BYTES + 2 * slots)
                    )
            self._bytes = file.pages * size
            everything = set(range(heads, self._bytes))
        self._places = {
            "structure": sorted(structure - ours),
            "the rest": sorted(everything - structure - ours),
            "heads of the file": [
                begin + at for begin in (0, size) for at in range(lmdb_pages.HEAD_BYTES + 136)
            ],
        }

    def drawn(self, rng: Random) -> tuple[str, int]:
        """Return what a byte is for, and its offset."""
        where = rng.choices(list(self._places), (8, 1, 2))[0]
        return where, rng.choice(self._places[where])

    def anywhere(self, rng: Random) -> tuple[str, int]:
        """Return an offset of any byte of the file."""
        return "any byte", rng.randrange(self._bytes)


def _overflow(page: bytes, node: lmdb_pages.Node, size: int) -> range:
    first = int.from_bytes(page[node.at : node.at + 8], "little")
    begin = first * size + lmdb_pages.HEAD_BYTES
    return range(begin, begin + node.size_bytes)


def _flip(
    whole: Whole, offset: int, bit: int, scratch: Path, *, isolated: bool
) -> tuple[dict[str, int], list[str]]:
    """Flip a bit of a copy; return what came of it, to be counted, and what is wrong with that."""
    directory = scratch / "flipped"
    shutil.copytree(scratch / "whole", directory)
    try:
        flip(specimen.data_file(directory), offset, bit)
        told = in_fork(lambda: _told(directory, isolated=False), bool, _WAIT_S)
        answers = in_fork(lambda: whole.ask(directory), Found, _WAIT_S)
        alone = in_fork(lambda: _told(directory, isolated=True), bool, _WAIT_S) if isolated else None
    finally:
        shutil.rmtree(directory)
    faults = [_told_of(each) for each in (told, answers, alone)]
    faults = [fault for fault in faults if fault]
    if faults or isinstance(told, Raised) or isinstance(answers, Raised):
        return {}, faults
    is_found = isinstance(told, Died) or told is True
    differs = isinstance(answers, Died) or bool(answers.differ or answers.refused)
    counts = {
        "found by verify": is_found,
        "ended a process that verified": isinstance(told, Died),
        "ended a process that read": isinstance(answers, Died),
        "changed nothing": not is_found and not differs,
    }
    if isinstance(answers, Found):
        faults += [f"served: {each}" for each in answers.served]
    if differs and not is_found:
        faults.append(f"verify finds nothing, and reading is not as before: {answers}")
    if alone is not None and alone is not True and is_found:
        faults.append(f"verify finds it here and not in a process of its own: {alone}")
    return dict(counts), faults


def _told(directory: Path, *, isolated: bool) -> bool:
    found = verified(directory, isolated=isolated)
    return isinstance(found, ArchiveDataError) or bool(found)


def _told_of(result: object) -> str:
    """Return what is wrong with how a fork ended; nothing if it answered, or was ended by damage."""
    if isinstance(result, Raised):
        return result.trace
    if isinstance(result, Died) and (result.status is None or -result.status not in DAMAGE_SIGNALS):
        return str(result)
    return ""


def pieces_of(flips: int, seed: int, *, anywhere: bool = False) -> list[Flips]:
    """Return the pieces of a run.

    >>> [(each.name, each.size) for each in pieces_of(700, 7)]
    [('pages 7', 500), ('pages 8', 200)]
    """
    starts = range(0, flips, FLIPS_EACH)
    return [Flips(seed + nth, min(FLIPS_EACH, flips - start), anywhere) for nth, start in enumerate(starts)]

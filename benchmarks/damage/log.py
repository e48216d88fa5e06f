"""Damage of the commit log: flips, tears, and segments that are missing, older, or of another archive.

1. Each way is tried twice: with the acknowledged end (``log.end``), and without it, as a power cut may leave
   it.
2. With the end, ``verify`` must find everything but a flip in the zeros between two records, which nobody
   reads. Without it, what concerns the last record of the last segment alone reads as a torn end, and a last
   segment that is missing, or an older one, as a log that was shorter.
3. In any case nothing is read that was not stored.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.damage import specimen
from benchmarks.damage.probes import Whole, flip, verified
from benchmarks.pieces import Piece
from yamcs_archive.storage.format.log_segments import (
    FRAME_BYTES,
    HEADER_BYTES,
    decode_header,
    records_from,
)

FAULTS_MAX = 20
WAYS_EACH = 1_000
"""Largest number of ways of one piece."""
FLIPPED, TORN, CUT, MISSING, FOREIGN, OLDER = "flipped", "torn", "cut", "missing", "foreign", "older"
_OFFSETS = 5
"""A segment of another archive, and an older one, are put there whole and cut at some places."""


@dataclass(frozen=True)
class Way:
    """One way to damage the log."""

    kind: str
    segment: str
    place: int
    is_end_known: bool
    must_be_found: bool

    def __str__(self) -> str:
        known = "" if self.is_end_known else ", no acknowledged end"
        return f"{self.segment} {self.kind} at {self.place}{known}"


@dataclass(frozen=True)
class Ways:
    """Some ways, from a number on."""

    first: int
    size: int

    @property
    def name(self) -> str:
        """Its name in a state file."""
        return f"log {self.first}"

    @property
    def command(self) -> str:
        """The command that makes it again."""
        stop = self.first + self.size
        return f"python -m benchmarks.damage --bits 0 --pages 0 --from-log {self.first} --log {stop}"

    def make(self, scratch: Path) -> Piece:
        """Damage the log in each of them."""
        piece = Piece(self.size, self.command)
        specimen.make(scratch / "whole")
        specimen.make(scratch / "other")
        whole = Whole(scratch / "whole")
        for way in list(_ways(scratch / "whole"))[self.first : self.first + self.size]:
            piece.faults += [f"{way}: {fault}" for fault in _try(whole, way, scratch, piece)]
            if len(piece.faults) >= FAULTS_MAX:
                break
        return piece


def _try(whole: Whole, way: Way, scratch: Path, piece: Piece) -> list[str]:
    """Damage a copy of the specimen; return what is wrong with how the copy behaves."""
    directory = scratch / "damaged"
    shutil.copytree(scratch / "whole", directory)
    try:
        _damage(directory, way, scratch)
        answers = whole.ask(directory)
        told = verified(directory)
    finally:
        shutil.rmtree(directory)
    piece.count("all", {"ways to damage the log": 1})
    piece.count("ways to damage the log", {way.kind: 1})
    piece.count(
        "damage of the log was told",
        {
            "by reading": bool(answers.refused),
            "by verify": bool(told),
            "not, as it is a torn end": not told and not way.must_be_found and bool(answers.differ),
            "not, as nobody reads it": not told and not answers.differ,
        },
    )
    faults = [f"served: {each}" for each in answers.served]
    if way.must_be_found and not told:
        faults.append(f"not found by verify; {answers.refused} refused, these differ: {answers.differ}")
    if answers.refused and not told:
        faults.append(f"{answers.refused} refused, and verify finds nothing")
    return faults


def _damage(directory: Path, way: Way, scratch: Path) -> None:
    folder = specimen.generation(directory)
    path = folder / way.segment
    whole = path.read_bytes()
    if not way.is_end_known:
        (folder / "log.end").unlink()
    if way.kind == FLIPPED:
        flip(path, way.place, way.place % 8)
    elif way.kind == TORN:
        path.write_bytes(whole[: way.place] + bytes(len(whole) - way.place))
    elif way.kind == CUT:
        path.write_bytes(whole[: way.place])
    elif way.kind == MISSING:
        path.unlink()
    elif way.kind == FOREIGN:
        other = specimen.generation(scratch / "other") / way.segment
        path.write_bytes(other.read_bytes()[: way.place])
    else:  # an older copy: its later records were not written yet
        path.write_bytes(whole[: way.place] + bytes(512))


def ways_of_the_specimen() -> list[Way]:
    """Return all ways to damage the log of the specimen."""
    with tempfile.TemporaryDirectory() as scratch:
        specimen.make(Path(scratch) / "whole")
        return list(_ways(Path(scratch) / "whole"))


def _ways(directory: Path) -> Iterator[Way]:
    paths = specimen.segments(directory)
    for nth, path in enumerate(paths):
        data = memoryview(path.read_bytes())
        header = decode_header(data, int(path.name.removeprefix("log-")))
        if header is None:
            raise AssertionError(f"{path} has no header")
        found = list(records_from(data, header.begin, header.first, len(data)))
        end, last = found[-1].after.offset, found[-1].before.offset
        padding = {
            place
            for each in found
            for place in range(each.before.offset + FRAME_BYTES + len(each.payload), each.after.offset)
        }
        used = end - len(padding & set(range(last, end)))
        for known in (True, False):
            # Without the acknowledged end, what is behind the last whole record may never have been told.
            firm = known or nth + 1 < len(paths)
            for place in range(end):
                yield Way(FLIPPED, path.name, place, known, place not in padding and (firm or place < last))
            for kind in (TORN, CUT):
                for place in range(0, end, 1 if kind == TORN else 8):
                    yield Way(kind, path.name, place, known, firm and place < used)
            yield Way(MISSING, path.name, 0, known, firm)
            for place in {end, *range(HEADER_BYTES, end, max(1, end // _OFFSETS))}:
                yield Way(FOREIGN, path.name, place, known, True)
            for each in found[:-1]:
                yield Way(OLDER, path.name, each.after.offset, known, firm)


def pieces_of(first: int, stop: int) -> list[Ways]:
    """Return the pieces that damage the log in some ways.

    >>> [(each.first, each.size) for each in pieces_of(0, 1_100)]
    [(0, 1000), (1000, 100)]
    """
    return [Ways(at, min(WAYS_EACH, stop - at)) for at in range(first, stop, WAYS_EACH)]

"""The same events in SQLite, whose pages have no checksums: what flips of bits anywhere in the file do there.

For the page about reliability; a fault of SQLite is no fault of the lab.
"""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.contenders.sqlite import Sqlite
from benchmarks.damage import specimen
from benchmarks.damage.probes import flip
from benchmarks.forks import Died, Raised, in_fork
from benchmarks.pieces import Piece
from yamcs_archive import Archive

FLIPS_EACH = 500
_WAIT_S = 60.0


@dataclass(frozen=True)
class SqliteFlips:
    """Some flips of one seed."""

    seed: int
    size: int

    @property
    def name(self) -> str:
        """Its name in a state file."""
        return f"sqlite {self.seed}"

    @property
    def command(self) -> str:
        """The command that makes it again."""
        return f"python -m benchmarks.damage --bits 0 --pages 0 --sqlite {self.size} --seed {self.seed}"

    def make(self, scratch: Path) -> Piece:
        """Flip bits, each in a fresh copy."""
        piece = Piece(self.size, self.command)
        whole = _made(scratch)
        rows = _rows(whole)
        rng = Random(f"sqlite {self.seed}")
        for _ in range(self.size):
            copy = scratch / "flipped.sqlite"
            shutil.copyfile(whole, copy)
            flip(copy, rng.randrange(whole.stat().st_size), rng.randrange(8))
            found = in_fork(lambda: _what(copy, rows), str, _WAIT_S)  # noqa: B023  # it is called at once
            name = "ended the process" if isinstance(found, Died | Raised) else found
            piece.count("all", {"flips anywhere in a file of SQLite": 1})
            piece.count("flips anywhere in a file of SQLite", {name: 1})
        return piece


def _made(scratch: Path) -> Path:
    """Return a database with the specimen's events, in one file."""
    specimen.make(scratch / "whole")
    with Archive.open(scratch / "whole", readonly=True, options=specimen.OPTIONS) as archive:
        events = list(archive.instance(specimen.INSTANCE).events())
    (scratch / "sqlite").mkdir()
    contender = Sqlite(scratch / "sqlite")
    contender.append([*events])
    contender.rest()
    contender.close()
    whole = scratch / "whole.sqlite"
    (scratch / "sqlite" / "events.sqlite").rename(whole)
    return whole


def _rows(path: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("select * from events").fetchall()
    finally:
        connection.close()


def _what(path: Path, rows: list[tuple[object, ...]]) -> str:
    """Return what became of a flip."""
    try:
        connection = sqlite3.connect(path)
        is_sound = connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        found = connection.execute("select * from events").fetchall()
    except (sqlite3.Error, OverflowError, UnicodeDecodeError):
        return "refused"
    if found == rows:
        return "changed nothing" if is_sound else "found by integrity_check, and read as before"
    if is_sound:
        return "read as another event, or none, and integrity_check says ok"
    return "found by integrity_check, and read as another event, or none"


def pieces_of(flips: int, seed: int) -> list[SqliteFlips]:
    """Return the pieces of a run.

    >>> [(each.name, each.size) for each in pieces_of(700, 7)]
    [('sqlite 7', 500), ('sqlite 8', 200)]
    """
    starts = range(0, flips, FLIPS_EACH)
    return [SqliteFlips(seed + nth, min(FLIPS_EACH, flips - start)) for nth, start in enumerate(starts)]

"""The archive that is damaged: some 4 KiB of keys and values of every kind, and a commit log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from string import ascii_letters
from typing import Any
from unittest.mock import patch

import lmdb

from yamcs_archive import Archive, Event, EventKey, Options, Severity
from yamcs_archive.storage.disk.lmdb_open import DATA, DATABASES, TEXTS
from yamcs_archive.storage.disk.log_files import segment_numbers
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.maintain import groups

INSTANCE = "sim"
_NOW = 1_800_000_000_000_000
OPTIONS = Options(block_events_max=4, run_events_min=4, maintenance=False, clock=lambda: _NOW)
_OVERFLOW_CHARACTERS = 2_800
"""Length of a message that LMDB puts into pages of its own, though it is compressed."""
_NAMES = (*DATABASES, TEXTS)


@dataclass(frozen=True)
class Record:
    """A key and its value, with the span of the events that they hold, if they hold any."""

    database: str
    key: bytes
    value: bytes
    first: EventKey | None = None
    last: EventKey | None = None

    @property
    def bits(self) -> int:
        """The number of bits of both."""
        return 8 * (len(self.key) + len(self.value))

    def flipped(self, bit: int) -> tuple[bytes, bytes]:
        """Return both with one bit flipped.

        >>> Record("blocks", b"ab", b"c").flipped(16)
        (b'ab', b'b')
        """
        both = bytearray(self.key + self.value)
        both[bit // 8] ^= 1 << bit % 8
        return bytes(both[: len(self.key)]), bytes(both[len(self.key) :])


def _numbered(source: str, first_us: int, numbers: range) -> list[Event]:
    return [
        Event(
            f"m{n}",
            source,
            severity=Severity.WATCH if n % 5 == 0 else Severity.INFO,
            generation_time=first_us + 10 * n,
            seq_number=n,
        )
        for n in numbers
    ]


def make(directory: Path) -> None:
    """Make the archive: full, late and open blocks, a closed group, packed commits, ids, a horizon.

    Its log has two segments: a late event that is carried, and young events of two lives of a writer.
    """
    with Archive.open(directory, options=OPTIONS) as archive, patch.object(groups, "GROUP_BLOCKS_MAX", 2):
        sim = archive.instance(INSTANCE, create=True)
        sim.append_many(_numbered("A", 0, range(12)))
        sim.append(Event("late", "L", generation_time=15, seq_number=0, type="T"))
        for n in range(3):
            sim.append(Event("single", "S", generation_time=200 + n))
        sim.settle()
        sim.prune(before=1)
        sim.append_many(_numbered("B", 1_000, range(6)), request_id="one")
        letters = Random(1).choices(ascii_letters, k=_OVERFLOW_CHARACTERS)
        sim.append(Event(f"long {''.join(letters)}", "C", generation_time=5_000, seq_number=2))
        sim.settle()
    with Archive.open(directory, options=replace(OPTIONS, late_share=2)) as archive:
        sim = archive.instance(INSTANCE)
        late = Event("carried", "C", generation_time=55, seq_number=1, created_by="me", extra={"k": "v"})
        sim.append(late, request_id="two")
        store: Any = sim._store  # below every public door: a checkpoint with a late event to carry
        store._writer.checkpoint_all(1)
        sim.append_many(_numbered("D", 6_000, range(3)), request_id="three")
        sim.append(Event("young", "E", generation_time=6_015))
    with Archive.open(directory, options=OPTIONS) as archive:
        sim = archive.instance(INSTANCE)
        sim.append_many(_numbered("D", 7_000, range(10, 13)))
        sim.append(Event("the last", "E", generation_time=7_500, type="T"))


def generation(directory: Path) -> Path:
    """Return the folder of LMDB's files."""
    [found] = (directory / INSTANCE).glob("gen-*")
    return found


def records(directory: Path) -> list[Record]:
    """Return all keys and values of a closed archive."""
    with lmdb.open(str(generation(directory)), max_dbs=len(_NAMES), readonly=True) as environment:
        return [record for name in _NAMES for record in _records(environment, name)]


def _records(environment: lmdb.Environment, name: str) -> Iterator[Record]:
    with environment.begin(db=environment.open_db(name.encode(), create=False)) as transaction:
        for key, value in transaction.cursor():
            first = last = None
            if name == "blocks":
                events = Block(key, value).events
                first, last = EventKey(*events.key(0)), EventKey(*events.key(-1))
            yield Record(name, key, value, first, last)


def put(directory: Path, record: Record, key: bytes, value: bytes) -> None:
    """Replace a record of a closed archive."""
    with lmdb.open(str(generation(directory)), max_dbs=len(_NAMES), sync=False) as environment:
        database = environment.open_db(record.database.encode(), create=False)
        with environment.begin(write=True, db=database) as transaction:
            transaction.delete(record.key)
            transaction.put(key, value)


def segments(directory: Path) -> list[Path]:
    """Return the segments of the log, in order."""
    folder = generation(directory)
    return [folder / f"log-{number}" for number in segment_numbers(folder)]


def data_file(directory: Path) -> Path:
    """Return LMDB's file."""
    return generation(directory) / DATA

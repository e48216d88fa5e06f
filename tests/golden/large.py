"""The golden archive with frames above 16 MiB: python -m tests.golden.large. Never edited.

Until the commit before the one that added this archive, the package wrote such blocks and could not read
them: late events of a block were bounded only by their number. It no longer writes any, so this script must
be run in a checkout of that time (3a88924). The content is not stored with the archive: it is that of
:func:`events`.

Each message repeats one character, so that the archive is small.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

import lmdb

from yamcs_archive import Archive, Event, Options
from yamcs_archive.storage.format import messages

DIRECTORY = Path(__file__).parent / "v1" / "large" / "archive"
INSTANCES = ("extra", "messages", "stretches")
IN_ORDER = 100
"""Events of each instance that came in order, at 0, 10 and so on; the late ones lie between these."""
CHUNK_MESSAGES = 4
"""Messages in a chunk: few, so that the large chunk may be a second one."""
_LARGE = "\x01" * (1 << 20)
"""A message of which each character takes six bytes in a chunk: three of them are above 16 MiB."""


def in_order() -> list[Event]:
    """Return the events that came first."""
    return [
        Event(f"m{n}", source="S", generation_time=n * 10, seq_number=n, reception_time=n * 10 + 1)
        for n in range(IN_ORDER)
    ]


def late(instance: str) -> list[Event]:
    """Return the events that came late."""
    if instance == "extra":
        return [_late(n, "m", {"dump": "x" * 250_000}) for n in range(70)]
    small = 0 if instance == "messages" else CHUNK_MESSAGES
    return [_late(n, "small" if n < small else _LARGE, {}) for n in range(small + 3)]


def _late(n: int, message: str, extra: dict[str, str]) -> Event:
    time = n * 10 + 5
    return Event(
        message, source="Late", generation_time=time, seq_number=n, reception_time=time + 1, extra=extra
    )


def events(instance: str) -> list[Event]:
    """Return all events of an instance of the archive, in key order."""
    return sorted([*in_order(), *late(instance)], key=lambda event: event.key)


def fill(directory: Path) -> None:
    """Write the archive: in each instance one block of two parts, of which the second has a large frame."""
    clock = itertools.count(1_767_225_600_000_000, 1_000)
    options = Options(run_events_min=16, late_share=1, maintenance=False, clock=lambda: next(clock))
    with (
        patch.object(messages, "CHUNK_MESSAGES", CHUNK_MESSAGES),
        Archive.open(directory, options=options) as archive,
    ):
        for name in INSTANCES:
            instance = archive.instance(name, create=True)
            instance.append_many(in_order())
            instance.append_many(late(name))
            instance.settle()
    for name in INSTANCES:
        _make_dense(directory / name / "gen-1")


def _make_dense(generation: Path) -> None:
    """Remove the free pages by LMDB, because the package's own compaction refused one of these archives."""
    with tempfile.TemporaryDirectory() as folder:
        with lmdb.open(str(generation), readonly=True, lock=False) as environment:
            environment.copy(folder, compact=True)
        shutil.copy(Path(folder) / "data.mdb", generation / "data.mdb")


def main() -> None:
    """Write the archive if it does not exist yet."""
    if DIRECTORY.exists():
        raise SystemExit(f"{DIRECTORY} is there: golden archives are added, never changed")
    fill(DIRECTORY)
    for lock in DIRECTORY.rglob("*lock*"):
        lock.unlink()


if __name__ == "__main__":
    main()

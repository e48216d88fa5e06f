"""Shared by the tests of compaction: a store with records of every kind, and the contents of its folder."""

from __future__ import annotations

import os
from pathlib import Path

from tests.storage.test_checkpoints import events
from yamcs_archive import Event, Instance
from yamcs_archive.storage.failpoints import COMPACT_POINTS

HELD = COMPACT_POINTS[COMPACT_POINTS.index("compact-held") : COMPACT_POINTS.index("compact-in-use") + 1]
"""The failpoints between which nobody commits; an append at one of them waits until the last is passed."""


def folder(instance: Path) -> tuple[str, list[str]]:
    """The generation in use, and all names in the instance's folder except ``CURRENT``."""
    return (instance / "CURRENT").read_text().strip(), sorted(set(os.listdir(instance)) - {"CURRENT"})


def only(number: int) -> tuple[str, list[str]]:
    return f"gen-{number}", [f"gen-{number}"]


def mixed(sim: Instance) -> None:
    """Store 160 events: in order, late ones as rows, and a refused one of each kind."""
    sim.append_many(events(100))
    for n in range(60):
        sim.append(Event("late", source=f"L{n % 7}", generation_time=n * 7, seq_number=n))
    counts = sim.append_many([events(1)[0], Event("other", source="S", generation_time=0, seq_number=0)])
    assert (counts.stored, counts.conflict_count) == (1, 1)  # the first has no number: it is a new event

"""Adds a golden archive for the format version at hand: python -m tests.golden.make. Never edits one."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

from tests.golden.reader import read
from yamcs_archive import Archive, Event, Options, Severity
from yamcs_archive.storage import messages
from yamcs_archive.storage.meta import FORMAT_VERSION

HERE = Path(__file__).parent


def fill(directory: Path) -> None:
    """Write rows, full and partial blocks, late events, every field and several commits."""
    clock = itertools.count(1_767_225_600_000_000, 1_000)
    options = Options(
        block_events_max=64,
        run_events_min=16,
        maintenance=False,
        map_bytes=1 << 20,
        clock=lambda: next(clock),
    )
    with Archive.open(directory, options=options) as archive:
        sim = archive.instance("sim", create=True)
        severities = tuple(Severity)
        sim.append_many(
            Event(
                f"Battery {n % 5} voltage is {n * 7 % 31} V" if n % 11 else "é\U0001f680\0",
                source=f"S{n % 7}",
                severity=severities[n % 7],
                type=("", "Test", None)[n % 3],
                generation_time=(n - 20) * 1_000_003,
                reception_time=(n - 20) * 1_000_003 + n % 9,
                extensions=bytes.fromhex("a00601") if n == 100 else b"",
                extra={"unit": "V", "": ""} if n == 101 else {},
                created_by="operator" if n == 102 else None,
            )
            for n in range(200)
        )
        for n in range(20):
            sim.append(Event(f"late {n}", source="L", generation_time=n * 5_000_000, seq_number=-n))
        sim.settle()  # merged with the blocks, for they are many
        for n in range(3):
            sim.append(Event(f"later {n}", source="L", generation_time=n * 40_000_000 + 7, seq_number=n))
        sim.settle()  # put beside them, for they are few
        sim.append(Event("a row", source="R", generation_time=-(2**55), severity=Severity.ERROR))
        sim.append(
            Event("a full row", source="R", type="T", generation_time=1, created_by="me", extra={"a": "b"})
        )


def main() -> None:
    """Write the archive and its content as JSON."""
    messages.STRETCH_MESSAGES = 20  # several in a block of 64
    target = HERE / f"v{FORMAT_VERSION}"
    if target.exists():
        raise SystemExit(f"{target} is there: golden archives are added, never changed")
    fill(target / "archive")
    for lock in (target / "archive").rglob("*lock*"):
        lock.unlink()
    (target / "content.json").write_text(
        json.dumps(read(target / "archive" / "sim"), indent=1, default=lambda value: value.hex()) + "\n"
    )
    shutil.rmtree(target / "__pycache__", ignore_errors=True)


if __name__ == "__main__":
    main()

"""Adds golden archives for the format version at hand: python -m tests.golden.make. Never edits one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.golden import every_form
from tests.golden.reader import instances, read
from tests.golden.values import Met
from yamcs_archive import Archive, Event, Options, Severity
from yamcs_archive.storage.format import messages
from yamcs_archive.storage.format.meta import FORMAT_VERSION
from yamcs_archive.storage.write import commit_log

HERE = Path(__file__).parent


def fill(directory: Path) -> None:
    """Write an ordinary archive: young events, full and partial blocks, late events, several commits."""
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
        next(clock)  # opening asked the clock once when the archive was written
        severities = tuple(Severity)
        events = [  # a list: of a generator each event would ask the clock
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
        ]
        sim.append_many(events)
        for n in range(20):
            sim.append(Event(f"late {n}", source="L", generation_time=n * 5_000_000, seq_number=-n))
        sim.settle()  # many, so they are merged with the blocks
        for n in range(3):
            sim.append(Event(f"later {n}", source="L", generation_time=n * 40_000_000 + 7, seq_number=n))
        sim.settle()  # few, so they stay in late parts
        sim.append(Event("young", source="R", generation_time=-(2**55), severity=Severity.ERROR))
        sim.append(
            Event(
                "young, with more", source="R", type="T", generation_time=1, created_by="me", extra={"a": "b"}
            )
        )


@contextmanager
def before_a_start() -> Iterator[None]:
    """Let acknowledged ends be of another start of the machine than any in which they are read."""
    with patch.object(commit_log, "this_boot", lambda: 1):
        yield


def contents(archive: Path, met: Met | None = None) -> dict[str, Any]:
    """Return the content that the second reader finds in each instance of an archive, as JSON."""
    return {instance.name: plain(read(instance, met)) for instance in instances(archive, met)}


def plain(value: Any) -> Any:
    """Convert a value of the second reader to JSON: bytes become hexadecimal text, and tuples lists."""
    return json.loads(json.dumps(value, default=lambda part: part.hex()))


def _as_lines(value: Any, depth: int) -> str:
    """Return JSON with a line of its own for each value down to this depth."""
    if not depth or not value or not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[\n" + ",\n".join(_as_lines(each, depth - 1) for each in value) + "\n]"
    parts = (f"{json.dumps(name)}: {_as_lines(each, depth - 1)}" for name, each in value.items())
    return "{\n" + ",\n".join(parts) + "\n}"


def main() -> None:
    """Write the archives of this version that do not exist yet, and their contents as JSON."""
    version = HERE / f"v{FORMAT_VERSION}"
    added = 0
    for target, write, chunk_messages in (
        (version, fill, 20),  # several in a block of 64
        (version / "forms", every_form.fill, messages.CHUNK_MESSAGES),
    ):
        if (target / "archive").exists():
            continue
        with patch.object(messages, "CHUNK_MESSAGES", chunk_messages), before_a_start():
            write(target / "archive")
        for lock in (target / "archive").rglob("*lock*"):
            lock.unlink()
        (target / "content.json").write_text(_as_lines(contents(target / "archive"), 3) + "\n")
        added += 1
    if not added:
        raise SystemExit(f"{version} is whole: golden archives are added, never changed")


if __name__ == "__main__":
    main()

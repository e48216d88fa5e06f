"""What a damaged archive answers, beside what it answered before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.damage.specimen import INSTANCE, OPTIONS
from yamcs_archive import Archive, Event, Instance, Severity, Verification
from yamcs_archive.errors import ArchiveDataError, DamagedError
from yamcs_archive.results import Fault


def _ignore(_error: DamagedError) -> None:
    pass


PROBES: Mapping[str, Callable[[Instance], Any]] = {
    "events": lambda sim: list(sim.events()),
    "events, newest first": lambda sim: list(sim.events(descending=True)),
    "events of a time": lambda sim: list(sim.events(start=20, stop=1_030)),
    "events of a source": lambda sim: list(sim.events(sources=["A", "L"])),
    "events of a severity": lambda sim: list(sim.events(min_severity=Severity.WATCH)),
    "events with a text": lambda sim: list(sim.events(text="long")),
    "events of a filter": lambda sim: list(sim.events(filter='source="B"')),
    "events that can be read": lambda sim: list(sim.events(skip_damaged=_ignore)),
    "changes that can be read": lambda sim: [change.event for change in sim.changes(skip_damaged=_ignore)],
    "changes": lambda sim: [change.event for change in sim.changes()],
    "commits": lambda sim: [(commit.time, commit.events) for commit in sim.commits()],
    "count": lambda sim: sim.count(),
    "count of a time": lambda sim: sim.count(start=30),
    "sources": lambda sim: sim.sources(),
    "histogram": lambda sim: list(sim.histogram(pause_us=100)),
    "statistics": lambda sim: vars(sim.stats()) | {"allocated_bytes": 0},
}
"""What is asked, by name."""


class Found(msgspec.Struct):
    """How a damaged archive answered."""

    refused: int = 0
    """Number of questions to which reading raised."""
    differ: list[str] = msgspec.field(default_factory=list)
    """Questions whose answers are not what they were."""
    served: list[str] = msgspec.field(default_factory=list)
    """Events that were read and are not as they were stored."""


class Whole:
    """The answers of the archive before it is damaged."""

    def __init__(self, directory: Path) -> None:
        with Archive.open(directory, readonly=True, options=OPTIONS) as archive:
            sim = archive.instance(INSTANCE)
            self._answers = {name: ask(sim) for name, ask in PROBES.items()}
        self._events = {event.key: event for event in self._answers["events"]}

    def ask(self, directory: Path) -> Found:
        """Ask a damaged archive everything."""
        found = Found()
        try:
            with Archive.open(directory, readonly=True, options=OPTIONS) as archive:
                sim = archive.instance(INSTANCE)
                for name, ask in PROBES.items():
                    self._compare(name, sim, ask, found)
                for event in self._events.values():
                    self._compare_one(sim, event, found)
        except ArchiveDataError:
            found.refused += 1
        return found

    def _compare(self, name: str, sim: Instance, ask: Callable[[Instance], Any], found: Found) -> None:
        try:
            answer = ask(sim)
        except ArchiveDataError:
            found.refused += 1
            return
        if answer != self._answers[name]:
            found.differ.append(name)
        found.served += [f"{name}: {event!r}" for event in _events_in(answer) if not self._knows(event)]

    def _compare_one(self, sim: Instance, event: Event, found: Found) -> None:
        try:
            answer = sim.get(event.key)
        except ArchiveDataError:
            found.refused += 1
            return
        if answer is None:
            found.differ.append(f"event {event.key}")
        elif answer != event:
            found.served.append(f"event {event.key}: {answer!r}")

    def _knows(self, event: Event) -> bool:
        return self._events.get(event.key) == event


def _events_in(answer: object) -> Iterator[Event]:
    if isinstance(answer, Event):
        yield answer
    elif isinstance(answer, list | tuple):
        for part in answer:
            yield from _events_in(part)


def flip(file: Path, offset: int, bit: int) -> None:
    """Flip a bit of a file.

    >>> _ = (directory / "file").write_bytes(b"abc")
    >>> flip(directory / "file", 1, 0)
    >>> (directory / "file").read_bytes()
    b'acc'
    """
    with file.open("r+b") as opened:
        opened.seek(offset)
        [byte] = opened.read(1)
        opened.seek(offset)
        opened.write(bytes([byte ^ 1 << bit]))


def verified(directory: Path, *, isolated: bool = False) -> Sequence[Fault] | ArchiveDataError:
    """Verify an archive; return the faults, or the error if it cannot be opened."""
    try:
        with Archive.open(directory, readonly=True, options=OPTIONS) as archive:
            found: Verification | None = archive.instance(INSTANCE).verify(isolated=isolated)
    except ArchiveDataError as error:
        return error
    assert found is not None
    return found.faults

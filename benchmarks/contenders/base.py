"""What an embedded contender can do. Each does it as well as a competent user of its package would."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Generic, Protocol, Self, TypeVar

from yamcs_archive import Event, Severity

Batch = TypeVar("Batch")
"""What :meth:`Contender.append` takes: the events themselves, but for the limit."""


class Questioned(Protocol):
    """What can be asked: of a contender, and of the reference that knows the right answers."""

    def scan(self) -> Iterator[Event]:
        """Return an iterator over all events in key order."""

    def newest(
        self, limit: int, *, source: str | None = None, min_severity: Severity | None = None
    ) -> list[Event]:
        """Return the newest events, the newest first."""

    def find_text(self, text: str) -> list[Event]:
        """Return the events whose message holds ``text``, in any letter case, in key order."""


class Contender(ABC, Generic[Batch]):
    """A store of events in one directory. Its methods may be called from many threads at once."""

    durability: ClassVar[str]
    """What has happened when an append returns, in a few words for the report."""

    def __init__(self, directory: Path) -> None:
        """Open the store in ``directory``, made when absent."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Return the versions of what does the work."""

    @abstractmethod
    def ready(self, events: list[Event]) -> Batch:
        """Return a batch that :meth:`append` takes; this is done before the clock starts."""

    @abstractmethod
    def append(self, batch: Batch) -> None:
        """Store a batch in one transaction; on return it is synced. Keys that are there already stay."""

    def append_one(self, batch: Batch) -> None:
        """Store a batch of one event by the call that is meant for a single one; as durable as any."""
        self.append(batch)

    def append_stream(self, batches: Sequence[Batch]) -> None:
        """Store many batches, each synced, in the way that suits the contender best."""
        for batch in batches:
            self.append(batch)

    def settle(self) -> None:
        """Bring what was appended into the form in which it is meant to be kept; counted in every rate."""

    def rest(self) -> None:
        """Bring the files to the least size that the contender's own tools can; not counted in rates."""

    @abstractmethod
    def scan(self) -> Iterator[Event]:
        """Return an iterator over all events in key order."""

    @abstractmethod
    def newest(
        self, limit: int, *, source: str | None = None, min_severity: Severity | None = None
    ) -> list[Event]:
        """Return the newest events, the newest first."""

    @abstractmethod
    def find_text(self, text: str) -> list[Event]:
        """Return the events whose message holds ``text``, in any letter case, in key order."""

    @abstractmethod
    def close(self) -> None:
        """Close the store; what was appended stays."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def allocated_bytes(directory: Path) -> int:
    """Return what the files below a directory take on the medium (not their apparent size).

    >>> allocated_bytes(Path(os.devnull).parent / "nosuch")
    0
    """
    return sum(
        os.lstat(os.path.join(folder, name)).st_blocks * 512
        for folder, _, names in os.walk(directory)
        for name in names
    )

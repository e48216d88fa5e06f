"""The interface of embedded contenders. Each does what a competent user of its package would do."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from yamcs_archive import Event, Severity

Batch = TypeVar("Batch")
"""The argument of :meth:`Contender.append`: the events themselves, except for raw LMDB."""


class Questioned(Protocol):
    """The queries of a contender, and of the reference with the right answers."""

    def scan(self) -> Iterator[Event]:
        """Return an iterator over all events in key order."""

    def newest(
        self, limit: int, *, source: str | None = None, min_severity: Severity | None = None
    ) -> list[Event]:
        """Return the newest events, the newest first."""

    def find_text(self, text: str) -> list[Event]:
        """Return the events whose message contains ``text``, in any letter case, in key order."""


class Tabular(Protocol):
    """The answers of a contender that are tables: of pyarrow, or of pandas where it has no Arrow."""

    def table(self, *, in_order: bool = True) -> Any:
        """Return all columns of all events, in the order of keys, or in any order where that is faster."""

    def frame(self, source: str, min_severity: Severity) -> Any:
        """Return all columns of the events of a source, of that severity and above, as a frame of pandas."""


class Contender(ABC, Generic[Batch]):
    """A store of events in one directory. Its methods may be called from many threads at once."""

    durability: ClassVar[str]
    """The durability of an append when it returns, in a few words for the report."""

    def __init__(self, directory: Path) -> None:
        """Open the store in ``directory``; create it if it is missing."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that it uses."""

    @abstractmethod
    def ready(self, events: list[Event]) -> Batch:
        """Return a batch for :meth:`append`; this is done before the clock starts."""

    @abstractmethod
    def append(self, batch: Batch) -> None:
        """Store a batch in one transaction, synced on return. Stored keys are not overwritten."""

    def append_one(self, batch: Batch) -> None:
        """Store a batch of one event by the call for single events, with the same durability."""
        self.append(batch)

    def append_stream(self, batches: Sequence[Batch]) -> None:
        """Store many batches, each synced, in the contender's best way."""
        for batch in batches:
            self.append(batch)

    def settle(self) -> None:
        """Bring the events into their final stored form; this time counts in every rate."""

    def rest(self) -> None:
        """Shrink the files as far as the contender's own tools can; this time counts in no rate."""

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
        """Return the events whose message contains ``text``, in any letter case, in key order."""

    @abstractmethod
    def close(self) -> None:
        """Close the store."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def allocated_bytes(directory: Path) -> int:
    """Return the bytes that are allocated for the files below a directory (not their apparent size).

    >>> allocated_bytes(Path(os.devnull).parent / "nosuch")
    0
    """
    return sum(
        os.lstat(os.path.join(folder, name)).st_blocks * 512
        for folder, _, names in os.walk(directory)
        for name in names
    )

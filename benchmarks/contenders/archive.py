"""This archive, used through its public methods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from inspect import signature
from itertools import chain
from pathlib import Path
from typing import Any

import yamcs_archive.storage.lmdb_store  # noqa: F401  # or the first opening would be timed with its import
from benchmarks.contenders.base import Contender
from yamcs_archive import Archive, Event, Severity

INSTANCE = "bench"


class ArchiveContender(Contender[list[Event]]):
    """An instance of an archive."""

    durability = "LMDB commit, fdatasync"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._archive = Archive.open(directory / "archive")
        self._instance = self._archive.instance(INSTANCE, create=True)

    def versions(self) -> dict[str, str]:
        """See the base class."""
        return {name: version(name) for name in ("yamcs_archive", "lmdb", "msgpack", "msgspec")}

    def ready(self, events: list[Event]) -> list[Event]:
        """Return the events unchanged."""
        return events

    def append(self, batch: list[Event]) -> None:
        """Append a batch in one call, even a batch of one."""
        self._instance.append_many(batch)

    def append_one(self, batch: list[Event]) -> None:
        """Append the event."""
        self._instance.append(batch[0])

    def append_stream(self, batches: Sequence[list[Event]]) -> None:
        """Append everything in one call, as a user with a long stream would."""
        self._instance.append_many(chain.from_iterable(batches))

    def settle(self) -> None:
        """Wait until nothing is left to be put into blocks."""
        self._instance.settle()

    def rest(self) -> None:
        """Compact the instance, so that its file has no free pages."""
        self._instance.compact()

    def scan(self) -> Iterator[Event]:
        """See the base class."""
        return self._instance.events()

    def newest(
        self, limit: int, *, source: str | None = None, min_severity: Severity | None = None
    ) -> list[Event]:
        """See the base class."""
        sources = None if source is None else [source]
        return list(
            self._instance.events(sources=sources, min_severity=min_severity, descending=True, limit=limit)
        )

    def find_text(self, text: str) -> list[Event]:
        """Search for the text; search the messages of a scan in versions without text search."""
        if "text" in signature(self._instance.events).parameters:
            question: dict[str, Any] = {"text": text}
            return list(self._instance.events(**question))
        wanted = text.casefold()
        return [event for event in self._instance.events() if wanted in event.message.casefold()]

    def table(self, *, in_order: bool = True) -> Any:  # noqa: ARG002  # it has one order
        """See :class:`~benchmarks.contenders.base.Tabular`; the order is always that of keys."""
        return self._instance.table().to_arrow()

    def frame(self, source: str, min_severity: Severity) -> Any:
        """See :class:`~benchmarks.contenders.base.Tabular`."""
        return self._instance.table(sources=[source], min_severity=min_severity).to_pandas()

    def stream(self) -> Iterator[Any]:
        """Return an iterator over all events in record batches."""
        return self._instance.table().batches()

    def to_parquet(self, path: Path) -> int:
        """Write all events to a Parquet file."""
        return self._instance.table().to_parquet(path)

    def close(self) -> None:
        """See the base class."""
        self._archive.close()

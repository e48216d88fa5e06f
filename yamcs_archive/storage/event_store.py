"""EventStore: what the library asks of a storage engine.

The protocol promises only what an embedded store and a cluster can both keep: automatic numbers
increase, events come in strict key order, arrival order is total within the store. Its tests are written
against it (``tests/storage``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from yamcs_archive.columns import Columns
from yamcs_archive.event import Event, EventKey
from yamcs_archive.storage.format.meta import Mirrored
from yamcs_archive.storage.format.requests import RequestIds
from yamcs_archive.storage.format.source_states import SourceState
from yamcs_archive.storage.format.vectors import Vectors
from yamcs_archive.storage.maintain.compaction import Compaction
from yamcs_archive.storage.maintain.verification import Verified
from yamcs_archive.storage.read.histogram import Histogram
from yamcs_archive.storage.read.query import Query
from yamcs_archive.storage.write.outcomes import Outcome

T = TypeVar("T")


@dataclass(frozen=True)
class Summary:
    """What a store holds. Times are microseconds since 1970; sizes are bytes."""

    created: int
    first: Event | None
    last: Event | None
    sources: dict[str, SourceState]
    allocated_bytes: int


class EventStore(Protocol):
    """One instance's events, keyed by time, source and number; append-only, first write wins."""

    def append(
        self, columns: Columns[int], answer: Callable[[Outcome], T], asked: RequestIds | None = None
    ) -> Future[T]:
        """Store prepared events; the future is done when they are durable.

        ``asked`` has the ids of the requests that bring them, if they have any.
        """

    def append_now(
        self, columns: Columns[int], answer: Callable[[Outcome], T], asked: RequestIds | None = None
    ) -> T:
        """Store prepared events and wait until they are durable."""

    def check_writable(self) -> None:
        """Raise what an append would meet now, as far as that can be told without one."""

    def scan(self, query: Query) -> Iterator[Event]:
        """Yield events in strict key order, holding no transaction between two of them."""

    def scan_vectors(self, query: Query) -> Iterator[Vectors]:
        """Yield the same as vectors of bounded size, none of them empty; the query's limit does not count."""

    def histogram(self, query: Query, pause_us: int) -> Histogram:
        """Return the stretches of each source's events; of a query, times and sources count."""

    def count(self, query: Query) -> int:
        """Return the number of events that match a query; its limit is ignored."""

    def get(self, key: EventKey) -> Event | None:
        """Return the event of that key, or None."""

    def sources(self) -> list[str]:
        """Return the sources that ever had an event, by name."""

    def summary(self) -> Summary:
        """Return what the store holds."""

    def changes(self, after: str | None) -> Iterator[tuple[Event, str]]:
        """Yield events in arrival order behind a cursor, each with the cursor behind it."""

    def commits(self, after: str | None) -> Iterator[tuple[int, list[Event], str]]:
        """Yield commits in their order behind a cursor: time, events, the cursor behind them."""

    @property
    def mirrored(self) -> Mirrored | None:
        """What this is a copy of, and how far it has come; None for an archive of its own."""

    def take_over(self, commits: Iterable[tuple[int, Sequence[Event]]], mirrored: Mirrored) -> None:
        """Store commits of another archive durably, and how far this one has come with them."""

    def cursor(self) -> str:
        """Return the cursor behind the newest event."""

    def renewed(self, cursor: str) -> str:
        """Return a cursor of the same place with a fingerprint, for one without."""

    def arrival(self, after: str, timeout_s: float | None) -> Future[None]:
        """Return a future that is done once an event lies behind a cursor, after a time, or at close."""

    def settle(self) -> None:
        """Bring everything that is stored into its form at rest."""

    def compact(self) -> Compaction:
        """Give space that is no longer used back to the file system."""

    def verify(
        self, progress: Callable[[int, int], None], cancelled: Callable[[], bool], *, quick: bool = False
    ) -> Verified | None:
        """Read everything that is stored and compare its parts; None once ``cancelled`` returns True.

        ``progress`` is called with the number of events read so far, and with that of all. ``quick``: only
        the first and the last values are read.
        """

    def close(self) -> None:
        """Commit what was submitted and let go of everything; idempotent."""

    def refuse_within_callback(self) -> None:
        """Raise RuntimeError in a callback of an append's future: no commit can be waited for there."""

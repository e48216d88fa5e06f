"""EventStore: the protocol of a storage engine, as the library uses it.

It promises only what an embedded store and a cluster can both keep: automatic numbers increase, events come
in strict key order, arrival order is total within the store. Its tests (``tests/storage``) use it alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from yamcs_archive.activity import InstanceActivity, InstanceUsage
from yamcs_archive.columns import Columns
from yamcs_archive.errors import DamagedError
from yamcs_archive.event import Event, EventKey
from yamcs_archive.event_vectors import StoredVectors, Vectors
from yamcs_archive.results import (
    Change,
    Commit,
    CompactionResult,
    MirrorState,
    PruningResult,
    StoredForms,
    Verification,
)
from yamcs_archive.storage.format.requests import RequestIds
from yamcs_archive.storage.format.source_states import SourceState
from yamcs_archive.storage.maintain.retention import Rule
from yamcs_archive.storage.read.query import Query
from yamcs_archive.storage.read.source_stretches import Histogram
from yamcs_archive.storage.write.outcomes import Outcome

T = TypeVar("T")


@dataclass(frozen=True)
class StoreStats:
    """The extent of a store. Times are microseconds since 1970; sizes are bytes."""

    created: int
    first: Event | None
    last: Event | None
    sources: dict[str, SourceState]
    allocated_bytes: int
    commit: int
    """The number of the newest commit."""
    commit_time: int | None
    """When it was made; None before the first, and if its record is damaged."""
    horizon: int | None
    writing: bool
    """Whether this process writes to it."""


class EventStore(Protocol):
    """One instance's events, keyed by time, source and number; append-only, first write wins."""

    def append(
        self, columns: Columns[int], answer: Callable[[Outcome], T], asked: RequestIds | None = None
    ) -> Future[T]:
        """Store prepared events; the future is done when they are durable.

        ``asked`` has the ids of the events' requests, if they have any.
        """

    def append_if_room(
        self, columns: Columns[int], answer: Callable[[Outcome], T], asked: RequestIds | None = None
    ) -> Future[T] | None:
        """Do what :meth:`append` does, or return None at once while the queue is full."""

    def append_now(
        self, columns: Columns[int], answer: Callable[[Outcome], T], asked: RequestIds | None = None
    ) -> T:
        """Store prepared events and wait until they are durable."""

    def check_writable(self) -> None:
        """Raise the error that an append would raise now, as far as it can be known without one."""

    @property
    def writer_ended(self) -> bool:
        """Whether nothing can be stored until the store is opened again, by a fault of the program."""

    def scan(self, query: Query) -> Iterator[Event]:
        """Yield events in strict key order, holding no transaction between two of them."""

    def scan_vectors(self, query: Query) -> Iterator[StoredVectors]:
        """Yield the same as vectors of bounded size, none of them empty; the query's limit is ignored."""

    def scan_lazily(self, query: Query) -> Iterator[Vectors]:
        """Yield the same as vectors that are decoded one by one, when each is asked for."""

    def histogram(self, query: Query, pause_us: int) -> Histogram:
        """Return the stretches of each source's events; of the query only times and sources count."""

    def count(self, query: Query) -> int:
        """Return the number of events that match a query; its limit is ignored."""

    def get(self, key: EventKey) -> Event | None:
        """Return the event of that key, or None."""

    def sources(self) -> list[str]:
        """Return the sources that ever had an event, by name."""

    def stats(self) -> StoreStats:
        """Return the extent of the store."""

    def activity(self) -> InstanceActivity:
        """Return what was appended since this process opened the store; it reads nothing."""

    def stored_forms(self) -> StoredForms:
        """Return in which forms the instance is stored; it reads every block's header."""

    def usage(self) -> InstanceUsage:
        """Return what the store holds and uses now, in a time that does not depend on how much it is."""

    def changes(
        self, after: str | None, skipped: Callable[[DamagedError], None] | None = None
    ) -> Iterator[Change]:
        """Yield the events after a cursor in arrival order, each with the cursor after it.

        ``skipped`` is called for what is damaged, which is then left out.
        """

    def commits(self, after: str | None) -> Iterator[Commit]:
        """Yield the commits after a cursor in their order: time, events, the cursor after them."""

    @property
    def mirrored(self) -> MirrorState | None:
        """The source of this mirror, and how far the mirror has followed it; None if this is no mirror."""

    def take_over(self, commits: Iterable[tuple[int, Sequence[Event]]], mirrored: MirrorState) -> None:
        """Store commits of a mirror's source durably, and how far the mirror has followed it with them."""

    def cursor(self) -> str:
        """Return the cursor after the newest event."""

    def renewed(self, cursor: str) -> str:
        """Return the same cursor with a fingerprint; one that has a fingerprint is returned unchecked."""

    def arrival(self, after: str, timeout_s: float | None) -> Future[None]:
        """Return a future that is done once an event is after the cursor, after a time, or at close."""

    def settle(self) -> None:
        """Put all stored events into the form in which they stay."""

    def compact(self) -> CompactionResult:
        """Give unused space back to the file system."""

    def prune(self, rule: Rule, *, dry_run: bool = False) -> PruningResult:
        """Remove the oldest events by a rule, for good; with ``dry_run``, only say which."""

    def verify(
        self,
        progress: Callable[[int, int], None],
        cancelled: Callable[[], bool],
        *,
        quick: bool = False,
        isolated: bool = False,
    ) -> Verification | None:
        """Read everything that is stored and compare its parts; None once ``cancelled`` returns True.

        ``progress`` is called with the number of events read so far, and with that of all. ``quick``: only
        the first and the last values are read. ``isolated``: whatever is stored, it cannot end this process.
        """

    def backup(
        self, after: str | None, progress: Callable[[int, int], None], cancelled: Callable[[], bool]
    ) -> Iterator[bytes]:
        """Yield a backup: of everything, or of what was stored after the cursor of another backup.

        It has what is stored at its beginning. ``progress`` and ``cancelled`` are as for :meth:`verify`; a
        backup that is cancelled ends with ClosedError.
        """

    def promote(self) -> MirrorState:
        """Make a mirror an archive of its own, durably; return what it was a mirror of."""

    def close(self) -> None:
        """Commit everything that was submitted, and release the store; idempotent."""

    def refuse_within_callback(self) -> None:
        """Raise RuntimeError in a callback of an append's future, which must not wait for a commit."""

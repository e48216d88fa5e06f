"""LmdbStore: the event store on LMDB, made of the folders below.

It is an :class:`~yamcs_archive.storage.event_store.EventStore`.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

from yamcs_archive.activity import InstanceActivity, InstanceUsage
from yamcs_archive.columns import Columns
from yamcs_archive.errors import (
    ArchiveError,
    ClosedError,
    DamagedError,
    ForkedError,
    MirrorError,
    NotAMirrorError,
    ReadOnlyError,
    UnavailableError,
)
from yamcs_archive.event import Event, EventKey, StoredEvent
from yamcs_archive.event_vectors import StoredVectors, Vectors
from yamcs_archive.options import Options
from yamcs_archive.results import (
    Change,
    Commit,
    CompactionResult,
    MirrorState,
    PruningResult,
    StoredForms,
    Verification,
)
from yamcs_archive.storage.backup.decoder import BackupReader
from yamcs_archive.storage.backup.encoder import BackupScope, backup_stream
from yamcs_archive.storage.backup.restorer import Restorer, RestoreTotal
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.environments import acquire, release
from yamcs_archive.storage.disk.file_system import check_room
from yamcs_archive.storage.disk.generations import Generations
from yamcs_archive.storage.disk.usage import ReaderWatch, usage
from yamcs_archive.storage.event_store import StoreStats
from yamcs_archive.storage.format.commits import LINEAGE_BYTES, encode_cursor
from yamcs_archive.storage.format.meta import NEW_CHECKPOINT, Meta, encode_mirrored
from yamcs_archive.storage.format.requests import RequestIds
from yamcs_archive.storage.interrupts import Signal, uninterrupted
from yamcs_archive.storage.maintain.isolated_verification import verify_isolated
from yamcs_archive.storage.maintain.pruning import Pruning
from yamcs_archive.storage.maintain.retention import Reading, Rule, newest_commit_time
from yamcs_archive.storage.maintain.scheduler import Maintenance
from yamcs_archive.storage.maintain.stored_forms import stored_forms
from yamcs_archive.storage.maintain.verification import verify, verify_quickly
from yamcs_archive.storage.read.block_cache import BlockCache
from yamcs_archive.storage.read.changes import (
    changes,
    commits,
    has_event_after,
    head_cursor,
    renewed,
    start_cursor,
)
from yamcs_archive.storage.read.commit_watch import LOOK_S, CommitWatch
from yamcs_archive.storage.read.event_count import Counter
from yamcs_archive.storage.read.few_found import FewFound
from yamcs_archive.storage.read.metadata import (
    fill_new,
    head_commit,
    newest_key,
    read_meta,
    read_sources,
    source_names,
    stored_meta,
)
from yamcs_archive.storage.read.query import Query, count, get, scan, scan_lazily, scan_vectors
from yamcs_archive.storage.read.source_stretches import Histogram
from yamcs_archive.storage.write.outcomes import Outcome
from yamcs_archive.storage.write.validation import prepare
from yamcs_archive.storage.write.writer import Writer

T = TypeVar("T")


class LmdbStore:
    """The embedded store: one LMDB environment, and a writer thread unless it is open read-only."""

    def __init__(
        self,
        instance: Path,
        *,
        readonly: bool,
        options: Options,
        held: Callable[[], None] | None = None,
    ) -> None:
        """``held`` raises when the writer's lock is lost; it is called before each commit."""
        self._options = options
        self._pid = os.getpid()
        self._folder = instance
        self._renewing = threading.Lock()  # guards the facts as well
        # The opening and the transaction at which a reader last looked at the horizon.
        self._looked_at = (0, 0)
        self._horizon_stored: bytes | None = None  # what it found
        if not readonly:
            Generations(instance).clear()
        self._environment = acquire(instance, readonly=readonly, map_bytes=options.map_bytes, held=held)
        try:
            self._openings = self._environment.openings
            # The writer reads the log, once: then the facts are read again.
            self._meta = (read_meta if readonly else stored_meta)(self._environment)
            self._counter = Counter(self._environment)
            self._blocks = BlockCache()
            self._few_found = FewFound()
            self._arrivals = CommitWatch(self._head, LOOK_S if readonly else None)
            self._writer: Writer | None = None
            self._maintenance: Maintenance | None = None
            self._readers = ReaderWatch()
            if not readonly:
                self._start(instance)
        except BaseException:
            release(self._environment, readonly=readonly)
            raise
        self._closed = False

    def _start(self, instance: Path) -> None:
        """Start the writer's threads."""
        try:
            due = Signal()
            self._writer = Writer(
                self._environment, self._options, instance.name, self._arrivals.notify, due.tell
            )
            self._meta = read_meta(self._environment)  # the log may have a newer fact
            self._maintenance = Maintenance(
                self._environment,
                self._writer,
                self._options,
                instance.name,
                horizon_moved=self._horizon_moved,
                due=due,
            )
            self._readers = self._maintenance.readers
        except BaseException as error:
            if self._writer is not None:
                self._writer.close()
            if isinstance(error, RuntimeError):  # Python's error when the system refuses a thread
                raise UnavailableError(
                    f"{instance}: {error}; raise the limits of threads and memory (ulimit -u, ulimit -v)"
                ) from error
            raise

    @staticmethod
    def create(instance: Path, name: str, options: Options) -> None:
        """Write a new, empty store into an instance's folder."""
        environment = acquire(instance, readonly=False, map_bytes=options.map_bytes)
        try:
            lineage = secrets.token_bytes(LINEAGE_BYTES)
            fill_new(environment, Meta(name, lineage, options.clock(), checkpoint=NEW_CHECKPOINT))
        finally:
            release(environment, readonly=False)

    def append(
        self, columns: Columns[int], answer: Callable[[Outcome], T], asked: RequestIds | None = None
    ) -> Future[T]:
        """See :class:`EventStore`. Raises ReadOnlyError, MirrorError, ClosedError and ForkedError at once."""
        return self._appending().submit(columns, answer, asked)

    def append_if_room(
        self, columns: Columns[int], answer: Callable[[Outcome], T], asked: RequestIds | None = None
    ) -> Future[T] | None:
        """See :class:`EventStore`. Raises as :meth:`append` does."""
        return self._appending().submit_if_room(columns, answer, asked)

    def _appending(self) -> Writer:
        if self._writer is None:
            raise ReadOnlyError("append")
        if self._meta.mirrored is not None:
            raise MirrorError(self._meta.mirrored.url)
        return self._writer

    @property
    def mirrored(self) -> MirrorState | None:
        """See :class:`EventStore`.

        If another process writes, this is read anew each time: it changes with each page.
        """
        return (self._meta if self._writer is not None else read_meta(self._here())).mirrored

    def take_over(self, commits: Iterable[tuple[int, Sequence[Event]]], mirrored: MirrorState) -> None:
        """See :class:`EventStore`. It is one transaction; from then on nothing else may be appended.

        Raises ConflictError (nothing is stored), InvalidInputError for an event that breaks a rule,
        ReadOnlyError, ClosedError, OutOfSpaceError.
        """
        if self._writer is None:
            raise ReadOnlyError("mirror")
        prepared = [(time_us, prepare(events, self._options.clock)) for time_us, events in commits]
        try:
            self._writer.take_over(prepared, encode_mirrored(mirrored))
        except BaseException:
            # It may be stored all the same, and then this is a copy now, to which nothing may be appended.
            with suppress(ArchiveError), self._renewing:
                self._meta = read_meta(self._environment)
            raise
        with self._renewing:
            self._meta = self._meta._replace(mirrored=mirrored)

    def _horizon_moved(self) -> None:
        """Read the facts again."""
        with self._renewing:
            self._meta = read_meta(self._environment)

    def append_now(
        self, columns: Columns[int], answer: Callable[[Outcome], T], asked: RequestIds | None = None
    ) -> T:
        """See :class:`EventStore`. Raises as :meth:`append` does, and what ``answer`` raises."""
        return self._appending().append_now(columns, answer, asked)

    def check_writable(self) -> None:
        """See :class:`EventStore`."""
        self._appending().check_goes_on()
        self._environment.check_usable()
        self._environment.begin_writing()
        self._environment.files.check()
        check_room(self._environment.files.file)

    @property
    def writer_ended(self) -> bool:
        """See :class:`EventStore`."""
        return self._writer is not None and self._writer.broken

    def _here(self) -> Environment:
        """Return the environment to read in; if another process writes, of the instance that is there now.

        The instance may have been set aside and made anew, and its facts with it. Raises GoneError if there
        is none, ClosedError, ForkedError.
        """
        if self._writer is None and (self._environment.left or self._environment.openings != self._openings):
            if os.getpid() != self._pid:
                raise ForkedError
            uninterrupted(self._renew)
        self._environment.check_usable()
        if self._writer is None:
            self._look_at_horizon()
        return self._environment

    def _facts(self) -> Meta:
        """Return the facts as they are now."""
        if self._writer is None:
            self._look_at_horizon()
        return self._meta

    def _look_at_horizon(self) -> None:
        """Read the facts again if others have moved the prune horizon; without a commit that takes 5 us."""
        environment = self._environment
        with environment.read() as transaction:
            looked_at = environment.openings, transaction.id()
            if looked_at == self._looked_at:
                return
            stored = transaction.get(b"horizon", db=environment.databases["meta"])
        if stored != self._horizon_stored:
            with self._renewing:
                if environment is not self._environment:
                    return
                self._meta = read_meta(environment)
            self._horizon_stored = stored
        self._looked_at = looked_at

    def _renew(self) -> None:
        with self._renewing:
            before = self._environment
            if self._closed:
                return
            if before.left:
                found = acquire(self._folder, readonly=True, map_bytes=self._options.map_bytes)
                try:
                    meta = read_meta(found)
                except BaseException:
                    release(found, readonly=True)
                    raise
                self._environment, self._meta, self._openings = found, meta, found.openings
                self._looked_at, self._horizon_stored = (0, 0), None
                self._counter = Counter(found)
                arrivals, self._arrivals = self._arrivals, CommitWatch(self._head, LOOK_S)
                arrivals.close()  # its waiters look, and find that their cursors are of another history
                before.end_unless_written()
                release(before, readonly=True)
            else:
                openings = before.openings
                self._meta, self._openings = read_meta(before), openings

    def scan(self, query: Query) -> Iterator[Event]:
        """See :class:`EventStore`."""
        horizon, events_max = self._meta.horizon, self._options.read_events_max
        return scan(self._here(), query, horizon, events_max, cache=self._blocks, few=self._few_found)

    def scan_vectors(self, query: Query) -> Iterator[StoredVectors]:
        """See :class:`EventStore`."""
        return scan_vectors(self._here(), query, self._meta.horizon, self._options.read_events_max)

    def scan_lazily(self, query: Query) -> Iterator[Vectors]:
        """See :class:`EventStore`."""
        return scan_lazily(self._here(), query, self._meta.horizon, self._options.read_events_max)

    def histogram(self, query: Query, pause_us: int) -> Histogram:
        """See :class:`EventStore`."""
        return Histogram(self._here(), query, self._meta.horizon, self._options.read_events_max, pause_us)

    def count(self, query: Query) -> int:
        """See :class:`EventStore`."""
        environment = self._here()
        if query._replace(sources=None, cancelled=None, skipped=None) != Query() or query.skipped is not None:
            return count(environment, query, self._meta.horizon, self._options.read_events_max)
        return self._counter.all() if query.sources is None else self._counter.of(query.sources)

    def get(self, key: EventKey) -> Event | None:
        """See :class:`EventStore`."""
        # While this process writes, nothing is checked before: that would take 5 % of this call's time.
        environment = self._here() if self._writer is None else self._environment
        return get(environment, key, self._meta.horizon, self._blocks)

    def sources(self) -> list[str]:
        """See :class:`EventStore`."""
        return source_names(self._here())

    def stats(self) -> StoreStats:
        """See :class:`EventStore`."""
        states = read_sources(self._here())
        if self._writer is not None:
            states.update(
                (name, state) for name, state in self._writer.unsaved_sources().items() if name in states
            )
        return StoreStats(
            created=self._meta.created,
            first=next(self.scan(Query(limit=1)), None),
            last=next(self.scan(Query(limit=1, descending=True)), None),
            sources=states,
            allocated_bytes=self._environment.allocated_bytes(),
            commit=self._head(),
            commit_time=newest_commit_time(self._environment),
            horizon=self._facts().horizon,
            writing=self._writer is not None,
        )

    def activity(self) -> InstanceActivity:
        """See :class:`EventStore`."""
        cleared = self._readers.cleared
        if self._writer is None:
            return InstanceActivity(stale_readers_cleared=cleared)
        return self._writer.counts.activity(cleared)

    def stored_forms(self) -> StoredForms:
        """See :class:`EventStore`."""
        return stored_forms(self._here())

    def usage(self) -> InstanceUsage:
        """See :class:`EventStore`. Raises GoneError, ClosedError, UnavailableError."""
        found = usage(self._here(), self._readers, time.monotonic())
        backlog_us = (
            0 if self._maintenance is None else self._maintenance.backlog_us(time.monotonic_ns() // 1_000)
        )
        return InstanceUsage(
            found.young,
            found.blocks,
            found.map_bytes,
            found.used_bytes,
            found.file_bytes,
            found.readers,
            found.oldest_reader_s,
            backlog_us / 1_000_000,
        )

    def changes(
        self, after: str | None, skipped: Callable[[DamagedError], None] | None = None
    ) -> Iterator[Change]:
        """See :class:`EventStore`."""
        environment = self._here()
        begin = start_cursor(environment, self._meta, after, skipped)
        found = changes(environment, self._facts, begin, self._options.read_events_max, skipped)
        return (Change(cast(StoredEvent, event), encode_cursor(cursor)) for event, cursor in found)

    def commits(self, after: str | None) -> Iterator[Commit]:
        """See :class:`EventStore`."""
        environment = self._here()
        begin = start_cursor(environment, self._meta, after)
        found = commits(environment, self._facts, begin, self._options.read_events_max)
        return (
            Commit(time, cast(tuple[StoredEvent, ...], tuple(events)), encode_cursor(cursor))
            for time, events, cursor in found
        )

    def cursor(self) -> str:
        """See :class:`EventStore`."""
        return encode_cursor(head_cursor(self._here(), self._meta))

    def renewed(self, cursor: str) -> str:
        """See :class:`EventStore`. Raises as :meth:`changes` does."""
        return renewed(self._here(), self._meta, cursor)

    def arrival(self, after: str, timeout_s: float | None) -> Future[None]:
        """See :class:`EventStore`. Raises as :meth:`changes` does, and ClosedError, ForkedError."""
        environment = self._here()
        known = self._head()
        cursor = start_cursor(environment, self._meta, after)
        if has_event_after(environment, self._meta, cursor):
            done: Future[None] = Future()
            done.set_result(None)
            return done
        return self._arrivals.after(max(known, cursor.commit), timeout_s)

    def _head(self) -> int:
        """Return the number of the newest commit."""
        if self._writer is not None:
            return self._writer.head
        with self._environment.snapshot() as snapshot:
            try:
                newest = head_commit(self._environment, snapshot)
            except DamagedError:
                # It is at most the newest commit and below the next one: enough to wait for that.
                return newest_key(self._environment, snapshot)
        return newest.last if newest else 0

    def settle(self) -> None:
        """See :class:`EventStore`. Raises ReadOnlyError, ClosedError."""
        if self._maintenance is None:
            raise ReadOnlyError("settle")
        self._environment.check_usable()
        self._maintenance.settle()

    def compact(self) -> CompactionResult:
        """See :class:`EventStore`. Raises ReadOnlyError, ClosedError, ForkedError, OutOfSpaceError."""
        if self._maintenance is None:
            raise ReadOnlyError("compact")
        self._environment.check_usable()
        return self._maintenance.compact()

    def prune(self, rule: Rule, *, dry_run: bool = False) -> PruningResult:
        """See :class:`EventStore`. Raises InvalidInputError, ReadOnlyError, ClosedError, ForkedError."""
        environment = self._here()
        if dry_run:
            began_s = time.monotonic()
            reading = Reading(environment, self._options.read_events_max, environment.check_usable)
            pruning = Pruning(reading, self._facts(), rule, self._options.clock())
            pruning.look(self._head())
            return pruning.result(time.monotonic() - began_s)
        if self._maintenance is None:
            raise ReadOnlyError("prune")
        return self._maintenance.prune(rule)

    def verify(
        self,
        progress: Callable[[int, int], None],
        cancelled: Callable[[], bool],
        *,
        quick: bool = False,
        isolated: bool = False,
    ) -> Verification | None:
        """See :class:`EventStore`. Raises ClosedError, ForkedError, DamagedError, UnavailableError."""
        if isolated:  # no page of LMDB is read here: it may be damaged
            self._environment.check_usable()
            return verify_isolated(
                self._folder,
                map_bytes=self._options.map_bytes,
                events_max=self._options.read_events_max,
                quick=quick,
                progress=progress,
                cancelled=cancelled,
            )
        environment = self._here()
        environment.check_usable()
        if quick:
            return verify_quickly(environment)
        return verify(environment, self._facts, self._options.read_events_max, progress, cancelled)

    def backup(
        self, after: str | None, progress: Callable[[int, int], None], cancelled: Callable[[], bool]
    ) -> Iterator[bytes]:
        """See :class:`EventStore`. Raises BadCursorError, OtherHistoryError, DamagedError, ForkedError."""
        environment = self._here()
        unsaved = dict if self._writer is None else self._writer.unsaved_sources

        def go_on() -> None:
            if cancelled():
                raise ClosedError

        scope = BackupScope(environment, self._folder.name, self._options, unsaved, go_on, progress)
        return backup_stream(scope, after)

    @staticmethod
    def restore(
        instance: Path,
        name: str,
        backups: Iterable[BackupReader],
        options: Options,
        go_on: Callable[[], None],
    ) -> RestoreTotal:
        """Write backups that continue one another into a new, empty store in an instance's folder.

        Raises BackupError, OutOfSpaceError, and what ``go_on`` raises, which is called now and then.
        """
        quiet = replace(options, maintenance=False)

        def settle() -> None:
            store = LmdbStore(instance, readonly=False, options=quiet)
            try:
                store.settle()
            finally:
                store.close()

        environment = acquire(instance, readonly=False, map_bytes=options.map_bytes)
        try:
            restorer = Restorer(environment, name, secrets.token_bytes(LINEAGE_BYTES), settle, go_on)
            for backup in backups:
                restorer.add(backup)
            restorer.finish()
        finally:
            release(environment, readonly=False)
        return restorer.total

    def promote(self) -> MirrorState:
        """See :class:`EventStore`. Raises NotAMirrorError, ReadOnlyError, ClosedError, OutOfSpaceError."""
        if self._writer is None:
            raise ReadOnlyError("promote")
        was = self._meta.mirrored
        if was is None:
            raise NotAMirrorError(self._folder.name)
        try:
            self._writer.run_with_everything(lambda stored: stored.delete_fact("mirrored"))
        except BaseException:
            with suppress(ArchiveError):  # it may be done all the same
                self._meta = read_meta(self._environment)
            raise
        self._meta = self._meta._replace(mirrored=None)
        return was

    def close(self) -> None:
        """See :class:`EventStore`. In a forked child only the child's handles are closed."""
        if self._closed:
            return
        if os.getpid() == self._pid:
            if self._writer is not None and self._maintenance is not None:
                self._maintenance.close()
                self._writer.close()
            self._arrivals.close()
        else:  # another thread of the parent's may have been renewing at the moment of the fork
            self._renewing = threading.Lock()
        with self._renewing:
            release(self._environment, readonly=self._writer is None)
            self._closed = True

    def refuse_within_callback(self) -> None:
        """See :class:`EventStore`."""
        if self._writer is not None:
            self._writer.refuse_within_callback()

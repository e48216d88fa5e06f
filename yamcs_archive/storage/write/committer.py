"""The commits of an instance's one writer, and the facts that it carries from one to the next.

1. Only one thread at a time uses it: :mod:`writer` sees to that.
2. A group is committed by one record of the commit log: events, source states and request ids together, so a
   crash leaves all of the group or nothing. Large runs in order are put into blocks at once, by one LMDB
   transaction; a record of the log carries the late events among them, and that transaction names it.
3. LMDB has what the records up to the checkpoint say, and the log what follows. A transaction that changes
   events, commits or source states takes the memory tables along, and moves the checkpoint to the newest
   record.
4. The carried facts (head, source states, tables) change only after the record was synced.
5. Out of space: nothing is stored, and the next group is tried afresh. After any other failure, of a commit
   or of a step that follows it, the outcome is unknown: the environment is opened anew, the log is recovered,
   and the facts are read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from functools import partial
from time import monotonic, perf_counter
from typing import NamedTuple

import lmdb
import msgspec

from yamcs_archive.columns import Columns
from yamcs_archive.errors import (
    ArchiveError,
    ConflictError,
    DamagedError,
    OutcomeUnknownError,
    OutOfSpaceError,
    UnavailableError,
)
from yamcs_archive.event import Event
from yamcs_archive.limits import LATE_BYTES_MAX
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.environment import Environment, LazyRead
from yamcs_archive.storage.disk.file_system import in_our_words
from yamcs_archive.storage.disk.lmdb_open import archive_error, nearly_full, no_memory
from yamcs_archive.storage.disk.log_files import remove_segments
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.log_records import Carried, LoggedCommit, LogRecord, encode_payload
from yamcs_archive.storage.format.meta import NO_CHECKPOINT, Checkpoint, encode_checkpoint, encode_horizon
from yamcs_archive.storage.format.requests import RequestIds
from yamcs_archive.storage.format.source_states import SourceState, encode_source
from yamcs_archive.storage.read.metadata import head_number, read_meta
from yamcs_archive.storage.write.bulk import divided, large_runs, put_bulk
from yamcs_archive.storage.write.checkpoint import KnownBlocks, TableImage, made_from, put
from yamcs_archive.storage.write.commit_log import CommitLog, LogWriteError
from yamcs_archive.storage.write.damage_log import Damage
from yamcs_archive.storage.write.idempotency import IdempotencyKeys
from yamcs_archive.storage.write.key_lookup import NewRun
from yamcs_archive.storage.write.outcomes import Group, Outcome, decide, update_sources
from yamcs_archive.storage.write.plain_append import PLAIN_EVENTS_MAX, Plain, plain_append
from yamcs_archive.storage.write.rows_of_version_1 import move_rows
from yamcs_archive.storage.write.stored_events import StoredEvents
from yamcs_archive.storage.write.submissions import copied
from yamcs_archive.storage.write.transaction import WriteTransaction
from yamcs_archive.storage.write.write_counts import WriteCounts, late_in
from yamcs_archive.storage.write.writer_cache import WriterCache
from yamcs_archive.storage.young.budget import BUDGET
from yamcs_archive.storage.young.memory_table import MemoryTable, is_full
from yamcs_archive.storage.young.views import MemoryTables

_SOURCES_CACHED_MAX = 65_536
"""Source states in memory, some 15 MB. Beyond it those that are on the medium are dropped, and read again
when needed. If as many are ahead of the medium, by counts of refusals, these are written without an event."""
_TRY_AGAIN_S = 1.0
"""After full tables could not be put into LMDB, for how long appends are refused without another try."""


class Batch(NamedTuple):
    """Events that become one commit."""

    submitted: Sequence[Columns[int]]
    """Those of each caller."""
    asked: Sequence[RequestIds | None] = ()
    """The ids of each caller's requests; empty if none has an id."""
    time: int | None = None
    """When another archive committed them, microseconds since 1970. None: they are committed here, now."""
    exact: bool = True
    """With a time: an event that is stored already must be the same in every field."""


class HorizonMove(NamedTuple):
    """What changes when the prune horizon moves, beside the horizon itself."""

    commit: int
    """The greatest number of a commit of the events that are before the horizon."""
    pruned: Mapping[str, int]
    """The number of events of each source that are before it now, and were not before."""


class HandOver(Exception):  # noqa: N818  # a message to the writer, never seen outside
    """Nothing was stored, and more than one transaction is needed: the writer's own thread must do it."""


class CommitFailed(Exception):  # noqa: N818  # likewise
    """The commit of groups, from that number on, or a step after it raised: the facts may no longer hold."""

    def __init__(self, groups: Sequence[Group], number: int, error: Exception) -> None:
        self.groups, self.number, self.error = groups, number, error


class Prepared(NamedTuple):
    """The commits of a group of batches, decided and not stored."""

    groups: list[Group]
    commits: list[LoggedCommit]
    changed: dict[str, SourceState]
    """The states of the sources that change, by name."""
    requests: list[Pair]
    refusing: bool
    """True if an event was refused."""


class Committer:
    """Commits groups, and runs other transactions of the writer's."""

    def __init__(
        self,
        environment: Environment,
        options: Options,
        stored: Callable[[], None],
        full: Callable[[], None] = lambda: None,
    ) -> None:
        """``stored`` is called after each commit that stored something, ``full`` when a table is to be put
        into LMDB; both must return at once."""
        self._environment = environment
        self._tell_stored, self._tell_full = stored, full
        self._options = options
        self._horizon: int | None = None
        self._sources: dict[str, SourceState] = {}
        self._unsaved: set[str] = set()  # sources whose "seen" counts are ahead of the medium
        self._stale = False  # after a failure: the environment must be opened anew first
        self._is_absent = False  # after a failure: readers were shown that the record in doubt is not there
        self._attempting = False  # stays True after an interrupt, which may come between any two steps
        self._no_room: tuple[float, ArchiveError] | None = None  # when the tables could not be put, and why
        self._cache = WriterCache()
        self._log = CommitLog(environment.path)
        self.tables = MemoryTables(NO_CHECKPOINT)
        self._checkpoint = NO_CHECKPOINT
        self._damage = Damage()
        self.counts = WriteCounts()
        try:
            self._load()
            self._move_rows()
        except BaseException:
            self.close_files()
            raise

    def close_files(self) -> None:
        """Close the log, and nothing else."""
        self._log.close()

    @property
    def head(self) -> int:
        """The number of the newest commit."""
        return self._head

    @property
    def is_full(self) -> bool:
        """True if tables must be put into LMDB before the next commit."""
        return self.tables.are_full(self._options.table_events_max)

    def unsaved_sources(self) -> dict[str, SourceState]:
        """Return the states whose counts of refused events are ahead of the medium. For any thread."""
        states = {source: self._sources.get(source) for source in tuple(self._unsaved)}
        return {source: state for source, state in states.items() if state is not None}

    def invalidate(self) -> None:
        """Read all facts back, because a failure may have come at any moment.

        At once: until then readers would get a head and counts that the medium is past.
        """
        self._stale = True
        try:
            self._refresh()
        except Exception:  # the next transaction tries again, and says what is wrong
            self._is_absent = True

    def save_counts(self) -> None:
        """Commit the counts of refused events that are ahead of the medium, if there are any."""
        if self._unsaved:
            self.commit(Batch(()))

    def close(self) -> None:
        """Save the counts of refused events, put a table that is not small into LMDB, and close the log.

        Raises :class:`ArchiveError`; then nothing is lost that was acknowledged.
        """
        try:
            self._refresh()
            if self._unsaved and not self.tables.any:  # no segment is made for counts alone
                self.run_in_transaction(self._put_counts)
            self.save_counts()
            if not self.tables.few:
                with self._memory_lacked():
                    self.checkpoint_all()
            self._log.cut()
        finally:
            self._log.close()

    def _put_counts(self, stored: WriteTransaction) -> None:
        states = self.unsaved_sources()
        stored.put_pairs("sources", [encode_source(name, state) for name, state in states.items()])
        self._unsaved.clear()

    def commit(self, batch: Batch, *, alone: bool = False) -> list[Outcome]:
        """Commit a group; return the outcome of each submission, in their order.

        Raises OutOfSpaceError, OutcomeUnknownError, and any other :class:`ArchiveError` of reading.
        With ``alone``, for a thread that may be interrupted at any step, it writes one record, or makes one
        transaction, and does nothing else: it raises HandOver where nothing is stored, and CommitFailed for
        :meth:`outcome_after`.
        """
        if alone and (self._stale or self._attempting):
            raise HandOver
        try:
            self._refresh()
            self._make_room(alone=alone)
        except MemoryError as error:
            raise no_memory(self._environment.path) from error
        try:
            return self._attempt((batch,), alone=alone)[0].outcomes
        except CommitFailed as failure:
            if alone:
                raise
            raise self.outcome_after(failure) from failure.error
        except lmdb.Error as error:
            raise archive_error(error, self._environment.path) from error

    @contextmanager
    def _memory_lacked(self) -> Iterator[None]:
        """Raise OutOfSpaceError where there is no memory for what precedes a commit: nothing of it is
        stored.
        """
        try:
            yield
        except MemoryError as error:
            raise no_memory(self._environment.path) from error

    def take_over(self, batches: Sequence[Batch], noted: Pair | None) -> None:
        """Store commits of another archive, each with its time, and a fact of ``meta`` with them, if any."""
        with self._memory_lacked():
            self._refresh()
            self._make_room()
        try:
            self._attempt(batches, noted)
        except CommitFailed as failure:
            self.invalidate()
            raise failure.error from failure.error.__cause__
        except BaseException:
            self.invalidate()
            raise

    def run_in_transaction(self, run: Callable[[WriteTransaction], bool | None]) -> bool:
        """Run something in a transaction, which is aborted when it returns False or raises; False if aborted.

        It may put events in another form, but store none, so that the head and the source states hold.
        """
        self._refresh()
        while True:
            with suppress(lmdb.MapFullError), ExitStack() as undo:
                undo.callback(self._cache.forget)
                transaction = self._environment.lmdb.begin(write=True)
                undo.callback(transaction.abort)
                if run(WriteTransaction(self._environment, transaction, self._cache)) is False:
                    return False
                failpoint("task-before-commit")
                transaction.commit()
                failpoint("task-after-commit")
                undo.pop_all()
                return True
            self._environment.grow()

    def freeze(self) -> MemoryTable | None:
        """Let the growing table be put into LMDB; return the table to put, or None if nothing is young."""
        self._refresh()
        return self._frozen()

    def _frozen(self) -> MemoryTable | None:
        if self.tables.frozen is None:
            self._freeze()
        return self.tables.frozen

    def _freeze(self) -> None:
        growing = self.tables.growing
        if growing.last > growing.after:
            earlier = {number for table in self.tables.before_growing for number in table.segments}
            growing.segments = [number for number in self._log.roll() if number not in earlier]
            self.tables.freeze()

    def put_table(self, table: MemoryTable, image: TableImage) -> bool:
        """Put the frozen table, and the events that were carried, into LMDB.

        False if it must be planned anew, or is there already.
        """
        self._refresh()
        if self.tables.frozen is not table:
            return False
        return self._put_image(image)

    def checkpoint_all(self, left_max: int = 0) -> None:
        """Put all young events into LMDB, now, but for ``left_max`` late ones, and those that damage keeps
        out.
        """
        self._refresh()
        if not self.tables.any:
            return
        self._freeze()
        last = self.tables.growing.after
        with LazyRead(self._environment) as read:
            blocks = self._stored(read).blocks
            tables = self.tables.before_growing
            known = KnownBlocks(blocks.index, blocks.value)
            image = made_from(tables, last, known, self._options, left_max=left_max)
        if not self._put_image(image):
            raise AssertionError("blocks have changed while the writer had its turn")

    def _put_image(self, image: TableImage) -> bool:
        """Store what tables have; then remove the segments that they were in."""
        try:
            carried = self._carry(image)
            newest = image.commits[-1].last if image.commits else self._checkpoint.commit
            checkpoint = Checkpoint(image.last, 0 if carried is None else carried.last, newest)
            self.tables.about_to_store(checkpoint, carried)
            if not self.run_in_transaction(lambda stored: put(image, checkpoint, stored)):
                return False
            self._checkpoint = checkpoint
        except OutOfSpaceError:  # the transaction was not committed: all is as it was
            raise
        except BaseException as error:
            self.invalidate()  # it may be stored
            if isinstance(error, LogWriteError):  # nothing of a caller's was in that record
                raise in_our_words(error.reason, self._environment.path) from error
            raise
        self._drop(image.last, carried)
        self._damage.meet_all(image.damaged)
        return True

    def _carry(self, image: TableImage) -> MemoryTable | None:
        """Have the log carry what is left of tables."""
        if image.left is None:
            return None
        record = LogRecord(self._log.sequence + 1, (), carried=image.left.events)
        self._log.append(image.left.payload)
        self.tables.growing.add(record)
        failpoint("checkpoint-carried")
        return MemoryTable.of_carried(record.sequence, image.left.events, image.left.memory_bytes)

    def _drop(self, last: int, carried: MemoryTable | None) -> None:
        """Drop what LMDB has, up to a record."""
        segments = [number for table in self.tables.stored(last, carried) for number in table.segments]
        self._log.forget(segments)
        failpoint("checkpoint-stored")
        with suppress(OSError):  # the next opening removes them
            remove_segments(self._environment.path, segments)

    def _make_room(self, *, alone: bool = False) -> None:
        """Put tables into LMDB, if both are full: whoever should have done it was too slow, or is not
        there. While that fails, nothing is appended: memory is bounded.
        """
        if not self.is_full:
            return
        if alone:
            raise HandOver
        if self._no_room is not None and monotonic() < self._no_room[0] + _TRY_AGAIN_S:
            raise copied(self._no_room[1])
        try:
            self.checkpoint_all(self._options.late_events_max)
        except (lmdb.Error, MemoryError, ArchiveError) as error:
            path = self._environment.path
            if isinstance(error, ArchiveError):
                reason = error
            else:
                reason = archive_error(error, path) if isinstance(error, lmdb.Error) else no_memory(path)
            self._no_room = monotonic(), copy(reason)  # without its frames, which hold the image
            raise reason from error

    def run_with_everything(self, run: Callable[[WriteTransaction], bool | None]) -> bool:
        """Run something in a transaction after all that is young was put into LMDB; see
        :meth:`run_in_transaction`.
        """
        self.checkpoint_all()
        return self.run_in_transaction(run)

    def move_horizon(self, horizon: int, measure: Callable[[int], HorizonMove]) -> None:
        """Move the prune horizon; ``measure`` is called with the head, and no commit is made after that."""
        self._refresh()
        self.checkpoint_all()
        move = measure(self._head)
        while True:
            try:
                with suppress(lmdb.MapFullError):
                    self._put_horizon(horizon, move)
                    return
            except BaseException:
                self.invalidate()  # it may have moved
                raise
            self._environment.grow()

    def _put_horizon(self, horizon: int, move: HorizonMove) -> None:
        databases = self._environment.databases
        with LazyRead(self._environment) as read:
            stored = self._stored(read)
            changed: dict[str, SourceState] = {}
            for source, pruned in move.pruned.items():
                with suppress(DamagedError):  # of a damaged state nothing is known
                    state = self._state(stored, changed, source)
                    if state.greatest_number is not None:
                        events = max(0, state.events - pruned)
                        changed[source] = msgspec.structs.replace(state, events=events)
        transaction = self._environment.lmdb.begin(write=True)
        try:
            saved = self._unsaved | changed.keys()
            pairs = [encode_source(name, changed.get(name) or self._sources[name]) for name in saved]
            transaction.cursor(databases["sources"]).putmulti(pairs)
            for pair in encode_horizon(horizon, move.commit):
                transaction.put(*pair, db=databases["meta"])
            failpoint("prune-before-horizon")
            transaction.commit()
            failpoint("prune-after-horizon")
        finally:
            transaction.abort()  # does nothing after a commit
        self._horizon = horizon
        self._note(self._head, changed)

    def run_exclusively(self, run: Callable[[], None]) -> None:
        """Run something after which the facts hold as before; when it raises, they are read back.

        Nothing is young meanwhile: all is in LMDB.
        """
        self._refresh()
        try:
            self.save_counts()  # opening anew would forget them
            self.checkpoint_all()
            before = self._environment.path
            run()
            if self._environment.path != before:
                self._load()
        except BaseException:
            self.invalidate()
            raise

    def _refresh(self) -> None:
        self._environment.begin_writing()
        if self._stale or self._attempting:
            self._stale = True
            self._environment.reopen()
            self._load()
            self._stale = self._attempting = False

    def _load(self) -> None:
        environment = self._environment
        self._log.close()
        with environment.read() as transaction:
            self._checkpoint = checkpoint = environment.checkpoint(transaction) or NO_CHECKPOINT
            archive = environment.archive(transaction)
        self._log = CommitLog(environment.path, archive)
        tables = MemoryTables(checkpoint, self._log.recover(checkpoint.last, drop_doubtful=self._is_absent))
        self._is_absent = False
        BUDGET.enter(tables)
        self.tables = environment.young = tables
        self._horizon = read_meta(environment).horizon
        with environment.snapshot(lambda _: None) as snapshot:  # a row that is damaged is told as it is moved
            self._head = head_number(environment, snapshot)
        self._tell_stored()  # after a failed commit it may be found stored
        self._sources.clear()
        self._unsaved.clear()
        self._cache.forget()

    def _move_rows(self) -> None:
        """Put the rows of an earlier version, if there are any, into blocks."""
        with self._environment.read() as transaction:
            rows = transaction.stat(self._environment.databases["rows"])["entries"]
            checkpoint = transaction.get(b"checkpoint", db=self._environment.databases["meta"])
        if rows or checkpoint is None:
            try:
                move_rows(self._environment, self._options, self.run_in_transaction, self._damage.meet)
            except lmdb.Error as error:
                raise archive_error(error, self._environment.path) from error
            self._damage.log()

    def _attempt(
        self, batches: Sequence[Batch], noted: Pair | None = None, *, alone: bool = False
    ) -> list[Group]:
        self._attempting = True
        try:
            groups = self._store(batches, noted, alone=alone)
        except CommitFailed:
            self._stale = True
            raise
        except (Exception, HandOver):  # nothing is stored, and the facts hold
            self._attempting = False
            raise
        self._attempting = False
        return groups

    def _store(self, batches: Sequence[Batch], noted: Pair | None, *, alone: bool) -> list[Group]:
        """Make a commit of each batch that has something new, all of them by one record or transaction."""
        begun_s = perf_counter()
        number = self._head + 1
        large: list[NewRun] = []
        plain = self._plain(batches[0]) if len(batches) == 1 and noted is None else None
        if plain is not None:
            columns, changed = plain
            size = len(columns.message)
            groups, refusing = [Group([Outcome(columns)], columns, [NewRun(0, size, alone=True)])], False
            commits = [LoggedCommit(number, self._options.clock(), columns, ((0, size - 1),))]
            record = LogRecord(self._log.sequence + 1, commits, list(changed.items()))
            failpoint("outcomes-known")
        else:
            with LazyRead(self._environment) as read:
                prepared = self._prepared(batches, self._stored(read))
                groups, commits, changed, requests, refusing = prepared
                nothing_new = not commits and not requests and noted is None
                if nothing_new and batches[0].submitted and len(self._unsaved) <= _SOURCES_CACHED_MAX:
                    # The stored events of duplicates and conflicts were synced by their own commits.
                    self._environment.files.check_unless_recent()
                    self._remember(changed)
                    self.counts.refused(groups)
                    return groups
                stored = self._stored(read)
                ahead = self._unsaved - changed.keys()
                sources = [*changed.items(), *((name, self._state(stored, changed, name)) for name in ahead)]
                large = large_runs(groups[0], stored, self._options) if len(commits) == 1 else []
            facts = () if noted is None else (noted,)
            record = LogRecord(self._log.sequence + 1, commits, sources, requests, facts)
        failpoint("before-commit")
        if large:
            self._put_bulk(groups, record, large, alone=alone)
        else:
            self._log_record(groups, number, record)
        try:
            late = sum([late_in(commit.events, commit.time) for commit in commits])
            self._note(self._head + len(commits), changed)
            self.counts.committed(groups, late, perf_counter() - begun_s)
            if refusing:
                self.counts.refused(groups)
            if is_full(self.tables.growing, self._options.table_events_max) and self._frozen() is not None:
                self._tell_full()
        except Exception as error:
            raise CommitFailed(groups, number, error) from error
        return groups

    def _log_record(self, groups: list[Group], number: int, record: LogRecord) -> None:
        payload = encode_payload(record)
        try:
            self._log.append(payload)
            if record.carried is None:
                failpoint("after-commit")
                self._environment.files.check_unless_recent()
            self.tables.growing.add(record)
        except UnavailableError as error:
            unknown = isinstance(error, LogWriteError)
            if unknown or self._log.sequence == record.sequence:  # it is written, and a later step failed
                raise CommitFailed(groups, number, error) from error
            raise
        except Exception as error:
            # The error itself would mean that nothing was stored: the caller would append the events again.
            raise CommitFailed(groups, number, error) from error

    def _put_bulk(
        self, groups: list[Group], record: LogRecord, large: Sequence[NewRun], *, alone: bool
    ) -> None:
        """Put large runs into blocks at once; the log carries the other events of the commit.

        What is young goes into blocks first: LMDB has no commit without those before it."""
        [commit] = record.commits
        runs, late = divided(commit, large)
        self._make_room_for_bulk(0 if late is None else late.size, alone=alone)
        carried: Carried | None = None
        if late is not None:
            before = self.tables.carried
            carried = Carried(late, late.commits.tolist(), 0 if before is None else before.last)
            record = record._replace(sequence=self._log.sequence + 1)
            self._log_record(groups, commit.number, LogRecord(record.sequence, (), carried=carried))
            failpoint("bulk-carried")
        named = self._checkpoint.carried if carried is None else record.sequence
        checkpoint = self._checkpoint._replace(carried=named, commit=commit.number)
        while True:
            transaction = self._environment.lmdb.begin(write=True)
            try:
                stored = WriteTransaction(self._environment, transaction, self._cache)
                put_bulk(record, runs, stored, self._options)
                stored.put_pairs("meta", [encode_checkpoint(checkpoint)])
                failpoint("bulk-before-commit")
                transaction.commit()
            except lmdb.MapFullError:
                self._cache.forget()
                if alone:
                    raise HandOver from None
            except lmdb.Error as error:
                raise CommitFailed(groups, commit.number, error) from error
            except BaseException:
                self._cache.forget()  # it may have blocks that this transaction put and lost
                raise
            else:
                break
            finally:
                transaction.abort()  # does nothing after a commit
            self._environment.grow()
        self._checkpoint = checkpoint
        try:
            failpoint("after-commit")
            if carried is not None:
                self.tables.carry(record.sequence, carried)
            self._environment.files.check_unless_recent()
        except Exception as error:
            raise CommitFailed(groups, commit.number, error) from error

    def _make_room_for_bulk(self, late: int, *, alone: bool) -> None:
        """Put what is young into LMDB, but for late events, and more of these if they become too many."""
        tables, most = self.tables, self._options.late_events_max
        held = tables.carried
        if held is not None and late:
            if held.size_bytes > LATE_BYTES_MAX:
                most = 0
            elif held.events + late > most:
                most = min(most // 2, most - late)
        if most == self._options.late_events_max and tables.frozen is None and tables.growing.is_empty:
            return
        if alone:
            raise HandOver
        self.checkpoint_all(most)

    def _stored(self, read: LazyRead) -> StoredEvents:
        return StoredEvents(self.tables.all, self._environment, read, self._cache)

    def _plain(self, batch: Batch) -> Plain | None:
        """Decide a batch that needs no look-up; None if it needs one."""
        greatest = self._cache.greatest
        if (
            greatest is None
            or len(batch.submitted) != 1
            or batch.asked
            or batch.time is not None
            or self._unsaved
            or not 0
            < len(batch.submitted[0].message)
            <= min(PLAIN_EVENTS_MAX, self._options.run_events_min - 1)
        ):
            return None
        for table in self.tables.all:
            above = table.greatest
            if above is not None and above > greatest:
                greatest = above
        return plain_append(batch.submitted[0], self._known_state, greatest, self._horizon)

    def _known_state(self, source: str) -> SourceState:
        """Return the present state of a source."""
        known = self._sources.get(source)
        if known is None:
            with LazyRead(self._environment) as read:
                known = self._sources[source] = self._stored(read).source(source)
        return known

    def _prepared(self, batches: Sequence[Batch], stored: StoredEvents) -> Prepared:
        """Decide the outcomes of batches, each as if those before it were stored."""
        changed: dict[str, SourceState] = {}
        state = partial(self._state, stored, changed)
        groups: list[Group] = []
        commits: list[LoggedCommit] = []
        requests: list[Pair] = []
        refusing = False
        scratch: MemoryTable | None = None
        for batch in batches:
            if commits and scratch is None:
                scratch = MemoryTable(0)
                stored.tables = (*stored.tables, scratch)
            if scratch is not None and scratch.last < len(commits):
                scratch.add(LogRecord(scratch.last + 1, commits[-1:]))
            group = self._decided(batch, stored, state, requests)
            groups.append(group)
            if refused := update_sources(group, state, changed):
                self._unsaved |= refused
                refusing = True
            if group.new_runs:
                time = self._options.clock() if batch.time is None else batch.time
                runs = [(start, stop - 1) for start, stop, _ in group.new_runs]
                commits.append(LoggedCommit(self._head + 1 + len(commits), time, group.events, runs))
        return Prepared(groups, commits, changed, requests, refusing)

    def _decided(
        self,
        batch: Batch,
        stored: StoredEvents,
        state: Callable[[str], SourceState],
        requests: list[Pair],
    ) -> Group:
        """Return the outcomes of a batch; the records of its requests are added to ``requests``."""

        exact = batch.time is not None and batch.exact

        def decided(submitted: Sequence[Columns[int]]) -> Group:
            return decide(
                submitted,
                stored,
                lambda source: state(source).greatest_number,
                self._horizon,
                exact=exact,
            )

        if batch.asked:
            keys = IdempotencyKeys(stored, self._horizon, self._options)
            group, pairs = keys.decided(list(zip(batch.submitted, batch.asked, strict=True)), decided)
            requests += pairs
        else:
            group = decided(batch.submitted)
        if exact:
            _refuse_differences(group)
        failpoint("outcomes-known")
        return group

    def _note(self, head: int, changed: dict[str, SourceState]) -> None:
        """Change the carried facts after a commit."""
        if head > self._head:
            self._head = head
            self._tell_stored()
        self._unsaved.clear()
        self._remember(changed)

    def _remember(self, changed: dict[str, SourceState]) -> None:
        """Cache the changed states, up to the bound; those ahead of the medium stay in any case."""
        self._sources.update(changed)
        if len(self._sources) > _SOURCES_CACHED_MAX:
            ahead = self._unsaved & self._sources.keys()
            self._sources = {source: self._sources[source] for source in ahead}

    def _state(self, stored: StoredEvents, changed: dict[str, SourceState], source: str) -> SourceState:
        known = changed.get(source) or self._sources.get(source)
        if known is None:
            known = self._sources[source] = stored.source(source)
        return known

    def outcome_after(self, failure: CommitFailed) -> ArchiveError:
        """Open the environment anew, and return the error for the callers that wait for the commit."""
        path = self._environment.path
        events: tuple[Event, ...] = tuple(
            event
            for group in failure.groups
            for outcome in group.outcomes
            for event in outcome.columns.events()
        )
        reason = str(failure.error) or repr(failure.error)
        self._stale = True
        try:
            self._refresh()
        except (ArchiveError, MemoryError) as error:
            self._is_absent = True
            return OutcomeUnknownError(events, f"{reason}; then {str(error) or repr(error)}")
        # The log was recovered: what it has is durable, and what it does not have can never come back.
        if self._head < failure.number:
            if isinstance(failure.error, MemoryError):
                return no_memory(path)
            if isinstance(failure.error, lmdb.DiskError) or nearly_full(path):
                return OutOfSpaceError(str(path), reason)
        return OutcomeUnknownError(events, reason)


def _refuse_differences(group: Group) -> None:
    """Raise ConflictError for the first conflict."""
    for outcome in group.outcomes:
        for conflict in outcome.conflicts.first:
            raise ConflictError(conflict.stored, conflict.offered)

"""The transactions of an instance's one writer, and the facts that it carries from one to the next.

1. Only one thread at a time uses it: :mod:`writer` sees to that.
2. A group is committed in one LMDB transaction: events, source states and the commit's record together, so a
   crash leaves all of the group or nothing.
3. The carried facts (head, source states) change only after the transaction was committed.
4. Out of space: nothing is stored, and the next group is tried afresh. After any other failure, of a commit
   or of a step that follows it, the outcome is unknown: the environment is opened anew and the facts are
   read back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from time import perf_counter
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
)
from yamcs_archive.event import Event
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.lmdb_open import archive_error, nearly_full
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.commits import CommitRecord
from yamcs_archive.storage.format.meta import encode_horizon
from yamcs_archive.storage.format.requests import RequestIds
from yamcs_archive.storage.format.source_states import SourceState, decode_source, encode_source
from yamcs_archive.storage.read.metadata import head_number, read_meta
from yamcs_archive.storage.write.idempotency import IdempotencyKeys
from yamcs_archive.storage.write.outcomes import Group, Outcome, decide, update_sources
from yamcs_archive.storage.write.placement import write_events
from yamcs_archive.storage.write.transaction import WriteTransaction
from yamcs_archive.storage.write.write_counts import WriteCounts, late_in
from yamcs_archive.storage.write.writer_cache import WriterCache

_SOURCES_CACHED_MAX = 65_536
"""Source states in memory, some 15 MB. Beyond it those that are on the medium are dropped, and read again
when needed. If as many are ahead of the medium, by counts of refusals, these are written without an event."""


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


class Committer:
    """Commits groups, and runs other transactions of the writer's."""

    def __init__(self, environment: Environment, options: Options, stored: Callable[[], None]) -> None:
        """``stored`` is called after each commit that stored something; it must return at once."""
        self._environment = environment
        self._tell_stored = stored
        self._options = options
        self._horizon: int | None = None
        self._sources: dict[str, SourceState] = {}
        self._unsaved: set[str] = set()  # sources whose "seen" counts are ahead of the medium
        self._stale = False  # after a failure: the environment must be opened anew first
        self._attempting = False  # stays True after an interrupt, which may come between any two steps
        self._cache = WriterCache()
        self.counts = WriteCounts()
        self._load()

    @property
    def head(self) -> int:
        """The number of the newest commit."""
        return self._head

    def unsaved_sources(self) -> dict[str, SourceState]:
        """Return the states whose counts of refused events are ahead of the medium. For any thread."""
        states = {source: self._sources.get(source) for source in tuple(self._unsaved)}
        return {source: state for source, state in states.items() if state is not None}

    def invalidate(self) -> None:
        """Read all facts back, because a failure may have come at any moment.

        At once: until then readers would get a head and counts that the medium is past.
        """
        self._stale = True
        with suppress(Exception):  # the next transaction tries again, and says what is wrong
            self._refresh()

    def save_counts(self) -> None:
        """Commit the counts of refused events that are ahead of the medium, if there are any."""
        if self._unsaved:
            self.commit(Batch(()))

    def commit(self, batch: Batch, *, alone: bool = False) -> list[Outcome]:
        """Commit a group; return the outcome of each submission, in their order.

        Raises OutOfSpaceError, OutcomeUnknownError, and any other :class:`ArchiveError` of reading.
        With ``alone``, for a thread that may be interrupted at any step, it makes one transaction and nothing
        else: it raises HandOver where nothing is stored, and CommitFailed for :meth:`outcome_after`.
        """
        if alone and (self._stale or self._attempting):
            raise HandOver
        self._refresh()
        while True:
            try:
                return self._attempt((batch,))[0].outcomes
            except lmdb.MapFullError:
                if alone:
                    raise HandOver from None
            except CommitFailed as failure:
                if alone:
                    raise
                raise self.outcome_after(failure) from failure.error
            except lmdb.Error as error:
                raise archive_error(error, self._environment.path) from error
            self._environment.grow()

    def take_over(self, batches: Sequence[Batch], noted: Pair | None) -> None:
        """Store commits of another archive, each with its time, and a fact of ``meta`` with them, if any."""
        self._refresh()
        while True:
            try:
                self._attempt(batches, noted)
                return
            except lmdb.MapFullError:
                pass
            except CommitFailed as failure:
                self.invalidate()
                raise failure.error from failure.error.__cause__
            except BaseException:
                self.invalidate()
                raise
            self._environment.grow()

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

    def move_horizon(self, horizon: int, measure: Callable[[int], HorizonMove]) -> None:
        """Move the prune horizon; ``measure`` is called with the head, and no commit is made after that."""
        self._refresh()
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
        transaction = self._environment.lmdb.begin(write=True)
        try:
            changed: dict[str, SourceState] = {}
            for source, pruned in move.pruned.items():
                with suppress(DamagedError):  # of a damaged state nothing is known
                    state = self._state(transaction, changed, source)
                    if state.greatest_number is not None:
                        events = max(0, state.events - pruned)
                        changed[source] = msgspec.structs.replace(state, events=events)
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
        """Run something after which the facts hold as before; when it raises, they are read back."""
        self._refresh()
        try:
            self.save_counts()  # opening anew would forget them
            run()
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
        self._horizon = read_meta(self._environment).horizon
        with self._environment.read() as transaction:
            self._head = head_number(self._environment, transaction)
        self._tell_stored()  # after a failed commit it may be found stored
        self._sources.clear()
        self._unsaved.clear()
        self._cache.forget()

    def _attempt(self, batches: Sequence[Batch], noted: Pair | None = None) -> list[Group]:
        self._attempting = True
        try:
            groups = self._transact(batches, noted)
        except CommitFailed as failure:
            self._stale = True
            if isinstance(failure.error, lmdb.MapFullError):  # as when the map is full before the commit
                raise failure.error from None
            raise
        except Exception:  # nothing is stored, and the facts hold
            self._attempting = False
            raise
        self._attempting = False
        return groups

    def _transact(self, batches: Sequence[Batch], noted: Pair | None) -> list[Group]:
        """Make a commit of each batch that has something new, all of them in one transaction."""
        databases, head = self._environment.databases, self._head
        begun_s, late, refusing = perf_counter(), 0, False
        transaction = self._environment.lmdb.begin(write=True)
        try:
            stored = WriteTransaction(self._environment, transaction, self._cache)
            changed: dict[str, SourceState] = {}
            state = partial(self._state, transaction, changed)
            groups: list[Group] = []
            requests: list[Pair] = []
            for batch in batches:
                group = self._decided(batch, transaction, stored, state, requests)
                groups.append(group)
                if refused := update_sources(group, state, changed):
                    self._unsaved |= refused
                    refusing = True
                if group.new_runs:
                    head += 1
                    late += self._put(stored, group, head, batch.time)
            nothing_new = head == self._head and not requests and noted is None
            if nothing_new and batches[0].submitted and len(self._unsaved) <= _SOURCES_CACHED_MAX:
                # The stored events of duplicates and conflicts were fsynced by their own commits.
                self._environment.files.check_unless_recent()
                self._remember(changed)
                self.counts.refused(groups)
                return groups
            saved = self._unsaved | changed.keys()
            pairs = [encode_source(source, changed.get(source) or state(source)) for source in saved]
            transaction.cursor(databases["sources"]).putmulti(pairs)
            if requests:
                transaction.cursor(databases["requests"]).putmulti(requests)
            if noted is not None:
                transaction.put(*noted, db=databases["meta"])
            failpoint("before-commit")

            def count() -> None:
                self.counts.committed(groups, late, perf_counter() - begun_s)
                if refusing:
                    self.counts.refused(groups)

            self._commit(transaction, groups, head, changed, count)
        except BaseException:
            self._cache.forget()  # it may have blocks that this transaction put and lost
            raise
        finally:
            transaction.abort()  # does nothing after a commit
        return groups

    def _decided(
        self,
        batch: Batch,
        transaction: lmdb.Transaction[bytes],
        stored: WriteTransaction,
        state: Callable[[str], SourceState],
        requests: list[Pair],
    ) -> Group:
        """Return the outcomes of a batch; the records of its requests are added to ``requests``."""

        def decided(submitted: Sequence[Columns[int]]) -> Group:
            return decide(submitted, stored, lambda source: state(source).greatest_number, self._horizon)

        if batch.asked:
            database = self._environment.databases["requests"]
            keys = IdempotencyKeys(transaction, database, stored, self._horizon, self._options)
            group, pairs = keys.decided(list(zip(batch.submitted, batch.asked, strict=True)), decided)
            requests += pairs
        else:
            group = decided(batch.submitted)
        if batch.time is not None and batch.exact:
            _refuse_differences(group)
        failpoint("outcomes-known")
        return group

    def _put(self, stored: WriteTransaction, group: Group, number: int, time: int | None) -> int:
        """Put the new events of a group; return how many of them are late."""
        write_events(group, stored, number, self._options)
        time = self._options.clock() if time is None else time
        stored.put_commits(CommitRecord(number, (time,), (group.events.size,), group.runs))
        self._cache.met(group.events.key(-1))
        return late_in(group, time)

    def _commit(
        self,
        transaction: lmdb.Transaction[bytes],
        groups: list[Group],
        head: int,
        changed: dict[str, SourceState],
        count: Callable[[], None],
    ) -> None:
        number = self._head + 1
        try:
            transaction.commit()
            failpoint("after-commit")
            self._environment.files.check_unless_recent()
            self._note(head, changed)
            count()  # here, because an error of it must not look as if nothing were stored
        except Exception as error:
            # The error itself would mean that nothing was stored: the caller would append the events again.
            raise CommitFailed(groups, number, error) from error

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

    def _state(
        self, transaction: lmdb.Transaction[bytes], changed: dict[str, SourceState], source: str
    ) -> SourceState:
        known = changed.get(source) or self._sources.get(source)
        if known is None:
            value = transaction.get(source.encode(), db=self._environment.databases["sources"])
            known = SourceState() if value is None else decode_source(source.encode(), value)[1]
            self._sources[source] = known
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
        except ArchiveError as error:
            return OutcomeUnknownError(events, f"{reason}; then {error}")
        # LMDB writes its meta page last. Where even the page cache shows the old one, the new one was
        # never written, so nothing of this commit can come back.
        if self._head < failure.number and (isinstance(failure.error, lmdb.DiskError) or nearly_full(path)):
            return OutOfSpaceError(str(path), reason)
        return OutcomeUnknownError(events, reason)


def _refuse_differences(group: Group) -> None:
    """Raise ConflictError for an event that is stored already and differs in any field."""
    for outcome in group.outcomes:
        for conflict in outcome.conflicts.first:
            raise ConflictError(conflict.stored, conflict.offered)
        for position, stored in outcome.duplicates:
            offered = outcome.columns.event(position)
            if stored != offered:
                raise ConflictError(stored, offered)

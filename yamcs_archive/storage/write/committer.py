"""The commits of an instance's one writer: the order of their steps, and what a failure of one means.

1. Only one thread at a time uses it: :mod:`writer` sees to that.
2. A group is committed by one record of the commit log: events, source states and request ids together, so a
   crash leaves all of the group or nothing. Large runs in order are put into blocks at once, by one LMDB
   transaction (:mod:`~yamcs_archive.storage.write.bulk_commit`).
3. The outcomes are decided first (:mod:`~yamcs_archive.storage.write.preparation`), and the facts change
   last, after the record was synced.
4. Out of space: nothing is stored, and the next group is tried afresh. After any other failure, of a commit
   or of a step that follows it, the outcome is unknown: the environment is opened anew, the log is recovered,
   and the facts are read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

import lmdb

from yamcs_archive.errors import ArchiveError, OutcomeUnknownError, OutOfSpaceError
from yamcs_archive.storage.disk.environment import LazyRead
from yamcs_archive.storage.disk.lmdb_open import archive_error, nearly_full, no_memory
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.log_records import LoggedCommit, LogRecord
from yamcs_archive.storage.format.source_states import encode_source
from yamcs_archive.storage.write.bulk import large_runs
from yamcs_archive.storage.write.bulk_commit import commit_bulk
from yamcs_archive.storage.write.checkpointer import Checkpointer
from yamcs_archive.storage.write.commit_messages import Batch, CommitFailed, HandOver
from yamcs_archive.storage.write.key_lookup import NewRun
from yamcs_archive.storage.write.outcomes import Group, Outcome
from yamcs_archive.storage.write.preparation import prepared, prepared_without_look_up
from yamcs_archive.storage.write.transaction import WriteTransaction
from yamcs_archive.storage.write.write_counts import WriteCounts, late_in
from yamcs_archive.storage.write.writer_state import WriterState
from yamcs_archive.storage.young.memory_table import is_full


class Committer:
    """Commits groups of batches."""

    def __init__(self, state: WriterState, checkpointer: Checkpointer, tell_full: Callable[[], None]) -> None:
        """``tell_full`` is called when a table is to be put into LMDB; it must return at once."""
        self._state = state
        self._checkpointer = checkpointer
        self._options = state.options
        self._tell_full = tell_full
        self.counts = WriteCounts()

    def commit(self, batch: Batch, *, alone: bool = False) -> list[Outcome]:
        """Commit a group; return the outcome of each submission, in their order.

        Raises OutOfSpaceError, OutcomeUnknownError, and any other :class:`ArchiveError` of reading.
        With ``alone``, for a thread that may be interrupted at any step, it writes one record, or makes one
        transaction, and does nothing else: it raises HandOver where nothing is stored, and CommitFailed for
        :meth:`outcome_after`.
        """
        state = self._state
        if alone and (state.stale or state.attempting):
            raise HandOver
        try:  # as _memory_lacked() does: a context manager takes a microsecond or two of each append
            state.refresh()
            self._checkpointer.make_room(alone=alone)
        except MemoryError as error:
            raise no_memory(state.environment.path) from error
        try:
            return self._attempt((batch,), alone=alone)[0].outcomes
        except CommitFailed as failure:
            if alone:
                raise
            raise self.outcome_after(failure) from failure.error
        except lmdb.Error as error:
            raise archive_error(error, state.environment.path) from error

    @contextmanager
    def _memory_lacked(self) -> Iterator[None]:
        """Raise OutOfSpaceError where there is no memory for what precedes a commit: nothing of it is
        stored.
        """
        try:
            yield
        except MemoryError as error:
            raise no_memory(self._state.environment.path) from error

    def take_over(self, batches: Sequence[Batch], noted: Pair | None) -> None:
        """Store commits of another archive, each with its time, and a fact of ``meta`` with them, if any."""
        with self._memory_lacked():
            self._state.refresh()
            self._checkpointer.make_room()
        try:
            self._attempt(batches, noted)
        except CommitFailed as failure:
            self._state.invalidate()
            raise failure.error from failure.error.__cause__
        except BaseException:
            self._state.invalidate()
            raise

    def save_counts(self) -> None:
        """Commit the counts of refused events that are ahead of the medium, if there are any."""
        if self._state.sources.unsaved:
            self.commit(Batch(()))

    def run_exclusively(self, run: Callable[[], None]) -> None:
        """Run something after which the facts hold as before; when it raises, they are read back.

        Nothing is young meanwhile: all is in LMDB.
        """
        state = self._state
        state.refresh()
        try:
            self.save_counts()  # opening anew would forget them
            self._checkpointer.checkpoint_all()
            before = state.environment.path
            run()
            if state.environment.path != before:
                state.load()
        except BaseException:
            state.invalidate()
            raise

    def close(self) -> None:
        """Save the counts of refused events, put a table that is not small into LMDB, and close the log.

        Raises :class:`ArchiveError`; then nothing is lost that was acknowledged.
        """
        state = self._state
        try:
            state.refresh()
            if state.sources.unsaved and not state.tables.any:  # no segment is made for counts alone
                state.run_in_transaction(self._put_counts)
            self.save_counts()
            if not state.tables.few:
                with self._memory_lacked():
                    self._checkpointer.checkpoint_all()
            state.log.cut()
        finally:
            state.log.close()

    def _put_counts(self, stored: WriteTransaction) -> None:
        sources = self._state.sources
        states = sources.unsaved_states()
        stored.put_pairs("sources", [encode_source(name, state) for name, state in states.items()])
        sources.unsaved.clear()

    def _attempt(
        self, batches: Sequence[Batch], noted: Pair | None = None, *, alone: bool = False
    ) -> list[Group]:
        state = self._state
        state.attempting = True
        try:
            groups = self._store(batches, noted, alone=alone)
        except CommitFailed:
            state.stale = True
            raise
        except (Exception, HandOver):  # nothing is stored, and the facts hold
            state.attempting = False
            raise
        state.attempting = False
        return groups

    def _store(self, batches: Sequence[Batch], noted: Pair | None, *, alone: bool) -> list[Group]:
        """Make a commit of each batch that has something new, all of them by one record or transaction."""
        begun_s = perf_counter()
        state, options = self._state, self._options
        sources = state.sources
        number = state.head + 1
        large: list[NewRun] = []
        plain = None
        if len(batches) == 1 and noted is None and not sources.unsaved:
            plain = prepared_without_look_up(
                batches[0],
                state.tables,
                state.cache.greatest,
                state.source,
                horizon=state.horizon,
                options=options,
            )
        if plain is not None:
            columns, changed = plain
            size = len(columns.message)
            groups, refusing = [Group([Outcome(columns)], columns, [NewRun(0, size, alone=True)])], False
            commits = [LoggedCommit(number, options.clock(), columns, ((0, size - 1),))]
            record = LogRecord(state.log.sequence + 1, commits, list(changed.items()))
            failpoint("outcomes-known")
        else:
            with LazyRead(state.environment) as read:
                groups, commits, changed, requests, refusing = prepared(
                    batches,
                    state.stored(read),
                    sources,
                    head=state.head,
                    horizon=state.horizon,
                    options=options,
                )
                nothing_new = not commits and not requests and noted is None
                if nothing_new and batches[0].submitted and not sources.must_be_saved:
                    # The stored events of duplicates and conflicts were synced by their own commits.
                    state.environment.files.check_unless_recent()
                    sources.remember(changed)
                    self.counts.refused(groups)
                    return groups
                stored = state.stored(read)
                ahead = sources.unsaved - changed.keys()
                saved = [*changed.items(), *((name, sources.state(stored, changed, name)) for name in ahead)]
                large = large_runs(groups[0], stored, options) if len(commits) == 1 else []
            facts = () if noted is None else (noted,)
            record = LogRecord(state.log.sequence + 1, commits, saved, requests, facts)
        failpoint("before-commit")
        if large:
            commit_bulk(state, self._checkpointer, groups, record, large, alone=alone)
        else:
            state.log_record(groups, number, record)
        try:
            late = sum([late_in(commit.events, commit.time) for commit in commits])
            state.note(state.head + len(commits), changed)
            self.counts.committed(groups, late, perf_counter() - begun_s)
            if refusing:
                self.counts.refused(groups)
            full = is_full(state.tables.growing, options.table_events_max)
            if full and self._checkpointer.frozen() is not None:
                self._tell_full()
        except Exception as error:
            raise CommitFailed(groups, number, error) from error
        return groups

    def outcome_after(self, failure: CommitFailed) -> ArchiveError:
        """Open the environment anew, and return the error for the callers that wait for the commit."""
        state = self._state
        path = state.environment.path
        events, reason = failure.events, failure.reason
        state.stale = True
        try:
            state.refresh()
        except (ArchiveError, MemoryError) as error:
            state.is_absent = True
            return OutcomeUnknownError(events, f"{reason}; then {str(error) or repr(error)}")
        # The log was recovered: what it has is durable, and what it does not have can never come back.
        if state.head < failure.number:
            if isinstance(failure.error, MemoryError):
                return no_memory(path)
            if isinstance(failure.error, lmdb.DiskError) or nearly_full(path):
                return OutOfSpaceError(str(path), reason)
        return OutcomeUnknownError(events, reason)

"""What the writer has from one commit to the next: the open log and environment, and facts about them.

1. LMDB has what the records up to the checkpoint say, and the log what follows; the memory tables have the
   same as the log.
2. The facts (head, horizon, source states, tables) change only after a record was synced, or a transaction
   committed.
3. After a failure that leaves in doubt what is stored, the facts are *stale*: :meth:`WriterState.refresh`
   opens the environment anew, recovers the log and reads the facts back, before anything else is stored.
4. Only one thread at a time uses it. Others may read the tables, the head and the unsaved states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress

import lmdb

from yamcs_archive.errors import UnavailableError
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.environment import Environment, LazyRead
from yamcs_archive.storage.disk.lmdb_open import archive_error
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.log_records import LogRecord, encode_payload
from yamcs_archive.storage.format.meta import NO_CHECKPOINT
from yamcs_archive.storage.format.source_states import SourceState
from yamcs_archive.storage.read.metadata import head_number, read_meta
from yamcs_archive.storage.write.commit_log import CommitLog, LogWriteError
from yamcs_archive.storage.write.commit_messages import CommitFailed
from yamcs_archive.storage.write.damage_log import Damage
from yamcs_archive.storage.write.outcomes import Group
from yamcs_archive.storage.write.rows_of_version_1 import move_rows
from yamcs_archive.storage.write.source_cache import SourceCache
from yamcs_archive.storage.write.stored_events import StoredEvents
from yamcs_archive.storage.write.transaction import WriteTransaction
from yamcs_archive.storage.write.writer_cache import WriterCache
from yamcs_archive.storage.young.budget import BUDGET
from yamcs_archive.storage.young.views import MemoryTables


class WriterState:
    """The state of one writer. It is read when this is made, and rows of an earlier version are moved."""

    def __init__(self, environment: Environment, options: Options, tell_stored: Callable[[], None]) -> None:
        """``tell_stored`` is called after each commit that stored something; it must return at once."""
        self.environment = environment
        self.options = options
        self.log = CommitLog(environment.path)
        self.tables = MemoryTables(NO_CHECKPOINT)
        self.checkpoint = NO_CHECKPOINT
        """What LMDB has."""
        self.head = 0
        """The number of the newest commit."""
        self.horizon: int | None = None
        """The prune horizon: events before it are expired."""
        self.sources = SourceCache()
        self.cache = WriterCache()
        self.damage = Damage()
        self.stale = False
        """True after a failure: the environment must be opened anew first."""
        self.is_absent = False
        """True after a failure, if readers were shown that the record in doubt is not there."""
        self.attempting = False
        """True during a commit, and after an interrupt of it, which may come between any two steps."""
        self._tell_stored = tell_stored
        try:
            self.load()
            self._move_rows()
        except BaseException:
            self.close_files()
            raise

    def close_files(self) -> None:
        """Close the log, and nothing else."""
        self.log.close()

    def refresh(self) -> None:
        """Make sure that something may be stored, and that the facts hold.

        Raises :class:`ArchiveError` where that cannot be; then they are as doubtful as before.
        """
        self.environment.begin_writing()
        if self.stale or self.attempting:
            self.stale = True
            self.environment.reopen()
            self.load()
            self.stale = self.attempting = False

    def invalidate(self) -> None:
        """Read all facts back, because a failure may have come at any moment.

        At once: until then readers would get a head and counts that the medium is past.
        """
        self.stale = True
        try:
            self.refresh()
        except Exception:  # the next transaction tries again, and says what is wrong
            self.is_absent = True

    def load(self) -> None:
        """Recover the log of the environment as it is now open, and read the facts."""
        environment = self.environment
        self.log.close()
        with environment.read() as transaction:
            self.checkpoint = checkpoint = environment.checkpoint(transaction) or NO_CHECKPOINT
            archive = environment.archive(transaction)
        self.log = CommitLog(environment.path, archive)
        tables = MemoryTables(checkpoint, self.log.recover(checkpoint.last, drop_doubtful=self.is_absent))
        self.is_absent = False
        BUDGET.enter(tables)
        self.tables = environment.young = tables
        self.horizon = read_meta(environment).horizon
        with environment.snapshot(lambda _: None) as snapshot:  # a row that is damaged is told as it is moved
            self.head = head_number(environment, snapshot)
        self._tell_stored()  # after a failed commit it may be found stored
        self.sources.clear()
        self.cache.forget()

    def _move_rows(self) -> None:
        """Put the rows of an earlier version, if there are any, into blocks."""
        with self.environment.read() as transaction:
            rows = transaction.stat(self.environment.databases["rows"])["entries"]
            checkpoint = transaction.get(b"checkpoint", db=self.environment.databases["meta"])
        if rows or checkpoint is None:
            try:
                move_rows(self.environment, self.options, self.run_in_transaction, self.damage.meet)
            except lmdb.Error as error:
                raise archive_error(error, self.environment.path) from error
            self.damage.log()

    def stored(self, read: LazyRead) -> StoredEvents:
        """Return the stored events, for look-ups."""
        return StoredEvents(self.tables.all, self.environment, read, self.cache)

    def source(self, source: str) -> SourceState:
        """Return the present state of a source."""
        known = self.sources.states.get(source)
        if known is None:
            with LazyRead(self.environment) as read:
                known = self.sources.states[source] = self.stored(read).source(source)
        return known

    def run_in_transaction(self, run: Callable[[WriteTransaction], bool | None]) -> bool:
        """Run something in a transaction, which is aborted when it returns False or raises; False if aborted.

        It may put events in another form, but store none, so that the head and the source states hold.
        """
        self.refresh()
        while True:
            with suppress(lmdb.MapFullError), ExitStack() as undo:
                undo.callback(self.cache.forget)
                transaction = self.environment.lmdb.begin(write=True)
                undo.callback(transaction.abort)
                if run(WriteTransaction(self.environment, transaction, self.cache)) is False:
                    return False
                failpoint("task-before-commit")
                transaction.commit()
                failpoint("task-after-commit")
                undo.pop_all()
                return True
            self.environment.grow()

    def log_record(self, groups: list[Group], number: int, record: LogRecord) -> None:
        """Write the record of the commit of groups, ``number``, to the log, and add it to the tables.

        Raises OutOfSpaceError, or another UnavailableError, if nothing was written, and CommitFailed if that
        is not known.
        """
        payload = encode_payload(record)
        try:
            self.log.append(payload)
            if record.carried is None:
                failpoint("after-commit")
                self.environment.files.check_unless_recent()
            self.tables.growing.add(record)
        except UnavailableError as error:
            unknown = isinstance(error, LogWriteError)
            if unknown or self.log.sequence == record.sequence:  # it is written, and a later step failed
                raise CommitFailed(groups, number, error) from error
            raise
        except Exception as error:
            # The error itself would mean that nothing was stored: the caller would append the events again.
            raise CommitFailed(groups, number, error) from error

    def note(self, head: int, changed: Mapping[str, SourceState]) -> None:
        """Change the facts after a commit, which saved the states of all sources."""
        if head > self.head:
            self.head = head
            self._tell_stored()
        self.sources.unsaved.clear()
        self.sources.remember(changed)

"""The transactions of an instance's one writer, and what it knows of the store from one to the next.

1. Nothing here is for more than one thread at a time: :mod:`writer` sees to that.
2. A group is committed in one LMDB transaction: events, source states and the commit's record together, so a
   crash leaves all of the group or nothing.
3. What is known (head, source states) changes only after the transaction was committed.
4. Out of space: nothing is stored, the next group is tried afresh. Any other failure, of a commit or of what
   follows it: its outcome is unknown; the environment is opened anew and what is known is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import lmdb

from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError, ConflictError, OutcomeUnknownError, OutOfSpaceError
from yamcs_archive.event import Event
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.lmdb_open import archive_error, nearly_full
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.commits import CommitRecord
from yamcs_archive.storage.format.sources import SourceState, decode_source, encode_source
from yamcs_archive.storage.read.metadata import head_number, read_meta
from yamcs_archive.storage.write.accounts import account
from yamcs_archive.storage.write.cache import WriterCache
from yamcs_archive.storage.write.idempotency import IdempotencyKeys
from yamcs_archive.storage.write.outcomes import Group, Outcome, decide
from yamcs_archive.storage.write.placement import write_events
from yamcs_archive.storage.write.submissions import Submission
from yamcs_archive.storage.write.transaction import WriteTransaction

_SOURCES_CACHED_MAX = 65_536
"""Source states kept in memory, some 15 MB. Beyond it those that are on the medium are dropped, and read
again when needed. If as many are ahead of it, by counts of refusals, these are written without an event."""


class HandOver(Exception):  # noqa: N818  # a message to the writer, never seen outside
    """Nothing was stored, and more than one transaction is needed: the writer's own thread must do it."""


class CommitFailed(Exception):  # noqa: N818  # likewise
    """The commit of that number raised, or what follows it: what is on the medium is not what is known."""

    def __init__(self, group: Group, number: int, error: Exception) -> None:
        self.group, self.number, self.error = group, number, error


class Committer:
    """Commits groups, and runs other transactions of the writer's."""

    def __init__(self, environment: Environment, options: Options, stored: Callable[[], None]) -> None:
        """``stored`` is called after each commit that stored something; it must return at once."""
        self._environment = environment
        self._tell_stored = stored
        self._options = options
        self._sources: dict[str, SourceState] = {}
        self._unsaved: set[str] = set()  # sources whose "seen" counts are ahead of the medium
        self._stale = False  # after a failure: the environment must be opened anew first
        self._attempting = False  # stays True after an interrupt, which may come between any two steps
        self._kept = WriterCache()
        self._load()

    @property
    def head(self) -> int:
        """The number of the newest commit."""
        return self._head

    def unsaved_sources(self) -> dict[str, SourceState]:
        """Return the states whose counts of refused events are ahead of the medium; on any thread."""
        states = {source: self._sources.get(source) for source in tuple(self._unsaved)}
        return {source: state for source, state in states.items() if state is not None}

    def invalidate(self) -> bool:
        """Read all that is known anew, for a failure may have come at any moment; return True.

        At once: until then those who read would be told of a head and of counts that the medium is past.
        """
        self._stale = True
        with suppress(Exception):  # the next transaction tries again, and says what is wrong
            self._refresh()
        return True

    def save_counts(self) -> None:
        """Commit the counts of refused events that are ahead of the medium, if there are any."""
        if self._unsaved:
            self.commit([])

    def commit(self, submissions: Sequence[Submission], *, alone: bool = False) -> list[Outcome]:
        """Commit a group; return what became of each submission, in their order.

        Raises OutOfSpaceError, OutcomeUnknownError, and what else of :class:`ArchiveError` reading may raise.
        ``alone``, on a thread that may be interrupted at any step, it makes one transaction and nothing else:
        it raises HandOver where nothing is stored, and CommitFailed for :meth:`settled`.
        """
        if alone and (self._stale or self._attempting):
            raise HandOver
        self._refresh()
        while True:
            try:
                return self._attempt(submissions).outcomes
            except lmdb.MapFullError:
                if alone:
                    raise HandOver from None
                self._environment.grow()
            except CommitFailed as failure:
                if not isinstance(failure.error, lmdb.MapFullError):
                    if alone:
                        raise
                    raise self.settled(failure) from failure.error
                if alone:
                    raise HandOver from None
                self._environment.grow()
            except lmdb.Error as error:
                raise archive_error(error, self._environment.path) from error

    def run_in_transaction(self, run: Callable[[WriteTransaction], bool]) -> bool:
        """Run something in a transaction; nothing is kept when it returns False or raises.

        It may put events in another form, but store none, so that the head and the source states hold.
        """
        self._refresh()
        while True:
            transaction = self._environment.lmdb.begin(write=True)
            try:
                kept = run(WriteTransaction(self._environment, transaction, self._kept))
                if kept:
                    failpoint("task-before-commit")
                    transaction.commit()
                    failpoint("task-after-commit")
                else:
                    self._kept.forget()
                return kept
            except lmdb.MapFullError:
                self._kept.forget()
            except BaseException:
                self._kept.forget()
                raise
            finally:
                transaction.abort()
            self._environment.grow()

    def take_over(self, commits: Sequence[tuple[int, Columns[int]]], noted: Pair) -> bool:
        """Store commits of another archive, each with its time, and a fact of ``meta`` with them."""
        self._refresh()
        while True:
            try:
                self._attempt_taken_over(commits, noted)
                return True
            except lmdb.MapFullError:
                self._environment.grow()
            except BaseException:
                self.invalidate()  # it may have come behind the commit
                raise

    def run_exclusively(self, run: Callable[[], None]) -> bool:
        """Run something that leaves the store as it is known; when it raises, all is read anew."""
        self._refresh()
        try:
            self.save_counts()  # opening anew would forget them
            run()
        except BaseException:
            self.invalidate()
            raise
        return True

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
        self._kept.forget()

    def _attempt(self, submissions: Sequence[Submission]) -> Group:
        self._attempting = True
        try:
            group = self._transact(submissions)
        except CommitFailed:
            self._stale = True
            raise
        except Exception:  # nothing is stored, and what is known stays true
            self._attempting = False
            raise
        self._attempting = False
        return group

    def _transact(self, submissions: Sequence[Submission]) -> Group:
        databases, number = self._environment.databases, self._head + 1
        transaction = self._environment.lmdb.begin(write=True)
        try:
            stored = WriteTransaction(self._environment, transaction, self._kept)
            changed: dict[str, SourceState] = {}

            state = partial(self._state, transaction, changed)

            def decided(submitted: Sequence[Columns[int]]) -> Group:
                return decide(submitted, stored, lambda source: state(source).greatest_number, self._horizon)

            kept: list[Pair] = []
            if any(submission.asked is not None for submission in submissions):
                replays = IdempotencyKeys(
                    transaction, databases["requests"], stored, self._horizon, self._options
                )
                group, kept = replays.decided(
                    [(submission.columns, submission.asked) for submission in submissions], decided
                )
            else:
                group = decided([submission.columns for submission in submissions])
            failpoint("outcomes-known")
            for source in account(group, state, changed):
                self._unsaved.add(source)
            if not group.stretches and not kept and submissions and len(self._unsaved) <= _SOURCES_CACHED_MAX:
                # Nothing new: what the duplicates and conflicts met was fsynced by its own commit.
                self._environment.place.check_unless_recent()
                self._remember(changed)
                return group
            if group.stretches:
                self._put(stored, group, number)
            saved = self._unsaved | changed.keys()
            pairs = [encode_source(source, changed.get(source) or state(source)) for source in saved]
            transaction.cursor(databases["sources"]).putmulti(pairs)
            if kept:
                transaction.cursor(databases["requests"]).putmulti(kept)
            failpoint("before-commit")
            try:
                transaction.commit()
                failpoint("after-commit")
                self._environment.place.check_unless_recent()
                self._note(group, number, changed)
            except Exception as error:
                # Not as it came: whoever asked would try again, and have what is stored here twice.
                raise CommitFailed(group, number, error) from error
        except BaseException:
            self._kept.forget()  # blocks may be kept that this transaction put and lost
            raise
        finally:
            transaction.abort()  # does nothing after a commit
        return group

    def _note(self, group: Group, number: int, changed: dict[str, SourceState]) -> None:
        """Know what was committed."""
        if group.stretches:
            self._head = number
            self._tell_stored()
            self._kept.met(group.events.key(-1))
        self._unsaved.clear()
        self._remember(changed)

    def _remember(self, changed: dict[str, SourceState]) -> None:
        """Keep the changed states, up to the bound; those ahead of the medium are kept in any case."""
        self._sources.update(changed)
        if len(self._sources) > _SOURCES_CACHED_MAX:
            ahead = self._unsaved & self._sources.keys()
            self._sources = {source: self._sources[source] for source in ahead}

    def _put(self, stored: WriteTransaction, group: Group, number: int) -> None:
        write_events(group, stored, number, self._options)
        stored_at, events = self._options.clock(), group.events.size
        stored.put_commits(CommitRecord(number, (stored_at,), (events,), group.runs))

    def _attempt_taken_over(self, commits: Sequence[tuple[int, Columns[int]]], noted: Pair) -> None:
        databases, head = self._environment.databases, self._head
        transaction = self._environment.lmdb.begin(write=True)
        try:
            stored = WriteTransaction(self._environment, transaction, self._kept)
            changed: dict[str, SourceState] = {}
            state = partial(self._state, transaction, changed)
            for time_us, columns in commits:
                group = decide([columns], stored, lambda source: state(source).greatest_number, self._horizon)
                _refuse_differences(group)
                account(group, state, changed)
                if group.stretches:
                    head += 1
                    write_events(group, stored, head, self._options)
                    stored.put_commits(CommitRecord(head, (time_us,), (group.events.size,), group.runs))
                    self._kept.met(group.events.key(-1))
            transaction.cursor(databases["sources"]).putmulti(
                [encode_source(source, known) for source, known in changed.items()]
            )
            transaction.put(*noted, db=databases["meta"])
            failpoint("before-commit")
            transaction.commit()
        except BaseException:
            self._kept.forget()
            raise
        finally:
            transaction.abort()  # does nothing after a commit
        failpoint("after-commit")
        self._environment.place.check_unless_recent()
        self._head = head
        self._unsaved.difference_update(changed)
        self._remember(changed)
        self._tell_stored()

    def _state(
        self, transaction: lmdb.Transaction[bytes], changed: dict[str, SourceState], source: str
    ) -> SourceState:
        known = changed.get(source) or self._sources.get(source)
        if known is None:
            value = transaction.get(source.encode(), db=self._environment.databases["sources"])
            known = SourceState() if value is None else decode_source(source.encode(), value)[1]
            self._sources[source] = known
        return known

    def settled(self, failure: CommitFailed) -> ArchiveError:
        """Open the environment anew and say what those who wait shall be told."""
        path = self._environment.path
        events: tuple[Event, ...] = tuple(
            event for outcome in failure.group.outcomes for event in outcome.columns.events()
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
        for refused in outcome.conflicts.first:
            raise ConflictError(refused.stored, refused.offered)
        for position, stored in outcome.duplicates:
            offered = outcome.columns.event(position)
            if stored != offered:
                raise ConflictError(stored, offered)

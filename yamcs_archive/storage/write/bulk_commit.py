"""The commit of large runs in order: blocks at once, and a record of the log for the other events.

1. What is young goes into blocks first: LMDB has no commit without those before it. Late events may stay in
   the log, up to a bound.
2. The other events of the commit, which are late ones, are in a record of the log before the one transaction
   that has all else: the runs, the commit, source states, request ids, and the checkpoint, which names that
   record. A crash between the two leaves a record that nothing names, and none of the commit.
"""

from __future__ import annotations

from collections.abc import Sequence

import lmdb

from yamcs_archive.limits import LATE_BYTES_MAX
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.log_records import Carried, LogRecord
from yamcs_archive.storage.format.meta import encode_checkpoint
from yamcs_archive.storage.write.bulk import divided, put_bulk
from yamcs_archive.storage.write.checkpointer import Checkpointer
from yamcs_archive.storage.write.commit_messages import CommitFailed, HandOver
from yamcs_archive.storage.write.key_lookup import NewRun
from yamcs_archive.storage.write.outcomes import Group
from yamcs_archive.storage.write.transaction import WriteTransaction
from yamcs_archive.storage.write.writer_state import WriterState


def commit_bulk(
    state: WriterState,
    checkpointer: Checkpointer,
    groups: list[Group],
    record: LogRecord,
    large: Sequence[NewRun],
    *,
    alone: bool,
) -> None:
    """Put large runs of a record's one commit into blocks at once; the log carries its other events.

    With ``alone``, raises HandOver where that takes more than one transaction. Raises CommitFailed where it
    is not known what is stored, and any other error where nothing is.
    """
    [commit] = record.commits
    runs, late = divided(commit, large)
    _make_room(state, checkpointer, 0 if late is None else late.size, alone=alone)
    carried: Carried | None = None
    if late is not None:
        before = state.tables.carried
        carried = Carried(late, late.commits.tolist(), 0 if before is None else before.last)
        record = record._replace(sequence=state.log.sequence + 1)
        state.log_record(groups, commit.number, LogRecord(record.sequence, (), carried=carried))
        failpoint("bulk-carried")
    named = state.checkpoint.carried if carried is None else record.sequence
    checkpoint = state.checkpoint._replace(carried=named, commit=commit.number)
    while True:
        transaction = state.environment.lmdb.begin(write=True)
        try:
            stored = WriteTransaction(state.environment, transaction, state.cache)
            put_bulk(record, runs, stored, state.options)
            stored.put_pairs("meta", [encode_checkpoint(checkpoint)])
            failpoint("bulk-before-commit")
            transaction.commit()
        except lmdb.MapFullError:
            state.cache.forget()
            if alone:
                raise HandOver from None
        except lmdb.Error as error:
            raise CommitFailed(groups, commit.number, error) from error
        except BaseException:
            state.cache.forget()  # it may have blocks that this transaction put and lost
            raise
        else:
            break
        finally:
            transaction.abort()  # does nothing after a commit
        state.environment.grow()
    state.checkpoint = checkpoint
    try:
        failpoint("after-commit")
        if carried is not None:
            state.tables.carry(record.sequence, carried)
        state.environment.files.check_unless_recent()
    except Exception as error:
        raise CommitFailed(groups, commit.number, error) from error


def _make_room(state: WriterState, checkpointer: Checkpointer, late: int, *, alone: bool) -> None:
    """Put what is young into LMDB, but for late events, and more of these if they become too many."""
    tables, most = state.tables, state.options.late_events_max
    held = tables.carried
    if held is not None and late:
        if held.size_bytes > LATE_BYTES_MAX:
            most = 0
        elif held.events + late > most:
            most = min(most // 2, most - late)
    if most == state.options.late_events_max and tables.frozen is None and tables.growing.is_empty:
        return
    if alone:
        raise HandOver
    checkpointer.checkpoint_all(most)

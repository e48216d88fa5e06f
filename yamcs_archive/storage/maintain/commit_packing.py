"""Packing: the records of many small commits are merged into one.

1. The record of a commit of one event takes more space than the event does in a block. Up to a thousand
   neighbouring records are packed into one, and their runs are joined if no other event is between them.
2. Records never change after they are written, so the writer finds the same ones as an earlier read
   transaction. A pack is stored in one transaction: the records are deleted, and the packed one is put under
   the key of the first.
3. A reader of a pack holds all its events in memory, so their number is bounded, and large commits are not
   packed.
4. A damaged record is left as it is; the records before and after it are packed without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from yamcs_archive.errors import DamagedError
from yamcs_archive.limits import PACK_COMMITS_MAX, PACK_EVENTS_MAX
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.commits import CommitRecord, Run, commit_key, commit_number, decode_commit
from yamcs_archive.storage.read.pairs import first_pairs
from yamcs_archive.storage.write.transaction import WriteTransaction

_RECORDS_READ_MAX = 1_000
PACK_RECORDS_MIN = 32
"""Fewest records for which a transaction is worth its cost, unless the archive rests."""


class Pack(NamedTuple):
    """Neighbouring commits whose records can be merged."""

    first: int
    last: int
    records: int
    open: bool
    """True if the pack may have room for the commits that follow."""


def packs(
    environment: Environment, begin: int, upto: int, damaged: Callable[[DamagedError], None]
) -> Iterator[Pack]:
    """Yield packs of the commits from ``begin`` to ``upto``.

    ``begin`` must be the first commit of a record. ``damaged`` is called with the error of each record that
    cannot be read; such a record is in no pack.
    """
    first, last, records, commits, events = begin, begin - 1, 0, 0, 0
    for record in _records(environment, begin, upto, damaged):
        own_commits, own_events = len(record.times), sum(record.events)
        full = commits + own_commits > PACK_COMMITS_MAX or events + own_events > PACK_EVENTS_MAX
        if records and (full or record.first != last + 1):
            yield Pack(first, last, records, open=False)
            records = commits = events = 0
        if not records:
            first = record.first
        last, records = record.last, records + 1
        commits, events = commits + own_commits, events + own_events
    if records:
        yield Pack(first, last, records, open=True)


def _records(
    environment: Environment, begin: int, upto: int, damaged: Callable[[DamagedError], None]
) -> Iterator[CommitRecord]:
    """Yield the records of the commits from ``begin`` to ``upto``, read in short transactions."""
    more = True
    while more:
        with environment.read() as transaction:
            cursor = transaction.cursor(environment.databases["commits"])
            bounds = commit_key(begin), commit_key(upto + 1)
            pairs, more = first_pairs(cursor, *bounds, _RECORDS_READ_MAX)
        for key, value in pairs:
            begin = commit_number(key) + 1
            try:
                record = decode_commit(key, value)
            except DamagedError as error:
                damaged(error)
                continue
            if record.last > upto:
                return
            yield record
            begin = record.last + 1


def put_pack(first: int, last: int, stored: WriteTransaction) -> None:
    """Merge the records from ``first`` to ``last``, in the writer's transaction."""
    records = stored.pop_commits(first, last)
    failpoint("pack-records-deleted")
    stored.put_commits(
        CommitRecord(
            first,
            tuple(time for record in records for time in record.times),
            tuple(events for record in records for events in record.events),
            _merged_runs(sorted(run for record in records for run in record.runs), stored),
        )
    )
    failpoint("pack-put")


def _follows(stored: WriteTransaction, before: bytes, after: bytes) -> bool:
    try:
        return stored.follows(before, after)
    except DamagedError:  # two runs instead of one are also correct, only longer
        return False


def _merged_runs(runs: list[Run], stored: WriteTransaction) -> tuple[Run, ...]:
    """Return runs in key order, joined where no other event is between them."""
    found = runs[:1]
    for run in runs[1:]:
        before = found[-1]
        if run.first <= before.last or _follows(stored, before.last, run.first):
            found[-1] = Run(before.first, max(before.last, run.last))
        else:
            found.append(run)
    return tuple(found)

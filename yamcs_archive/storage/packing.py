"""Packing: the records of many small commits become one.

1. A commit of one event has a record of its own, which costs more than the event does in a block. Up to
   a thousand neighbours are packed into one record, their runs joined where nothing else lies between.
2. Records do not change once written, so what is found in a read transaction holds in the writer's. A
   pack is put in one transaction: the records deleted, the packed one put under the first one's key.
3. Whoever walks a pack holds its events, so there is a bound on them, and large commits stay alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from yamcs_archive.limits import PACK_COMMITS_MAX, PACK_EVENTS_MAX
from yamcs_archive.storage.commits import CommitRecord, Run, commit_key, decode_commit
from yamcs_archive.storage.environment import Environment
from yamcs_archive.storage.points import reach
from yamcs_archive.storage.stored import Stored

_RECORDS_READ_MAX = 1_000
PACK_RECORDS_MIN = 32
"""Fewer records than this are not worth a transaction, unless all is to be at rest."""


def packs(environment: Environment, begin: int, upto: int, records_min: int) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of neighbouring commits from ``begin`` to ``upto`` whose records can be one.

    ``begin`` must be the first commit of a record.
    """
    found: list[CommitRecord] = []
    for record in _records(environment, begin, upto):
        commits = sum(len(other.times) for other in found) + len(record.times)
        events = sum(sum(other.events) for other in found) + sum(record.events)
        if found and (commits > PACK_COMMITS_MAX or events > PACK_EVENTS_MAX):
            if len(found) >= records_min:
                yield found[0].first, found[-1].last
            found = []
        found.append(record)
    if len(found) >= records_min:
        yield found[0].first, found[-1].last


def _records(environment: Environment, begin: int, upto: int) -> Iterator[CommitRecord]:
    """Yield the records of the commits from ``begin`` to ``upto``, a short transaction at a time."""
    while begin <= upto:
        with environment.read() as transaction:
            cursor = transaction.cursor(environment.databases["commits"])
            pairs = []
            if cursor.set_range(commit_key(begin)):
                for pair in cursor.iternext():
                    pairs.append(pair)
                    if len(pairs) == _RECORDS_READ_MAX:
                        break
        if not pairs:
            return
        for key, value in pairs:
            record = decode_commit(key, value)
            if record.last > upto:
                return
            yield record
        begin = record.last + 1


def put_pack(first: int, last: int, stored: Stored) -> bool:
    """Make one record of those from ``first`` to ``last``, in the writer's transaction."""
    records = stored.take_commits(first, last)
    reach("pack-records-deleted")
    stored.put_commits(
        CommitRecord(
            first,
            tuple(time for record in records for time in record.times),
            tuple(events for record in records for events in record.events),
            _joined(sorted(run for record in records for run in record.runs), stored),
        )
    )
    reach("pack-put")
    return True


def _joined(runs: list[Run], stored: Stored) -> tuple[Run, ...]:
    """Return runs in key order as few as they can be."""
    found = runs[:1]
    for run in runs[1:]:
        before = found[-1]
        if run.first <= before.last or stored.follows(before.last, run.first):
            found[-1] = Run(before.first, max(before.last, run.last))
        else:
            found.append(run)
    return tuple(found)

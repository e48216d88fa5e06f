"""The check of what is young: the commit log, record by record, and rows that version 1 left.

1. The log is read from its files, also where this process writes it and has its events in memory.
2. What is read must be the log as a reader finds it. If it is not, each damage is noted: the segment, the
   place in bytes, the records that are lost, and the numbers of their commits as far as others tell them.
3. A writer may be at work: what lies beyond the acknowledged end is not looked at, and where a checkpoint
   came meanwhile, the log is read again.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from yamcs_archive.errors import DamagedError
from yamcs_archive.results import Fault
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.file_system import os_errors_translated
from yamcs_archive.storage.disk.log_chain import read_log
from yamcs_archive.storage.disk.log_readable import LogDamage, foreign_segments, readable_log
from yamcs_archive.storage.format.commits import commit_number, decode_commit
from yamcs_archive.storage.format.log_records import decode_payload
from yamcs_archive.storage.format.meta import Checkpoint
from yamcs_archive.storage.format.rows import decode_row
from yamcs_archive.storage.maintain.faults import Faults, key_or_none
from yamcs_archive.storage.young.views import MemoryTables

_TRIES = 3
"""Times that a damaged log is read: a writer may have changed it meanwhile."""


class _Stored(NamedTuple):
    """What LMDB says of the log."""

    folder: Path
    checkpoint: Checkpoint
    archive: bytes
    head: int
    """The number of the newest commit."""


def check_young(environment: Environment, faults: Faults) -> None:
    """Read the log, and rows, and note what is damaged."""
    stored = _stored(environment)
    if stored is None:  # of version 1: rows are its young events
        with environment.snapshot(faults.leave_out):
            return
    _check_rows_left(environment, faults)
    tries_left = _TRIES
    while True:
        error = _first_damage(stored)
        if error is None:
            return
        before, stored = stored, _stored(environment) or stored
        if stored == before:
            tries_left -= 1
        if not tries_left:
            break
    with os_errors_translated(stored.folder):
        found = readable_log(stored.folder, stored.checkpoint, stored.archive, acknowledged=True)
        foreign = foreign_segments(stored.folder, stored.archive)
    told = {each.where for each in found.damage}
    every = [*found.damage, *(each for each in foreign if each.where not in told)]
    for damage in every or [LogDamage(error.where, error.reason)]:
        lost = found.commits_of(damage, stored.head)
        faults.are_events_missing = True
        if lost is not None:
            faults.lost_commits.append(lost)
        faults.add(Fault(damage.where, damage.reason + _told(lost)))


def _told(lost: tuple[int, int | None] | None) -> str:
    if lost is None:
        return ""
    first, last = lost
    if last is None:
        return f"; commits from {first} on may be lost"
    return f"; commit {first} is lost" if first == last else f"; commits {first} to {last} are lost"


def _stored(environment: Environment) -> _Stored | None:
    with environment.read() as transaction:
        checkpoint = environment.checkpoint(transaction)
        if checkpoint is None:
            return None
        cursor = transaction.cursor(environment.databases["commits"])
        head = 0
        if cursor.last():
            head = commit_number(cursor.key())
            with suppress(DamagedError):  # noted with the other records
                head = decode_commit(*cursor.item()).last
        return _Stored(environment.path, checkpoint, environment.archive(transaction), head)


def _first_damage(stored: _Stored) -> DamagedError | None:
    """Read the log as a reader does; return what it would raise."""
    folder, checkpoint, archive, _ = stored
    try:
        with os_errors_translated(folder):
            for foreign in foreign_segments(folder, archive):
                return foreign.error
            found = read_log(folder, checkpoint.last, archive, acknowledged=True)
        records = (decode_payload(record.sequence, record.payload) for record in found.records)
        MemoryTables(checkpoint, records)
    except DamagedError as error:
        return error
    return None


def _check_rows_left(environment: Environment, faults: Faults) -> None:
    """Note the rows that could not be put into blocks: nobody reads them."""
    with environment.read() as transaction:
        pairs = list(transaction.cursor(environment.databases["rows"]))
    for key, value in pairs:
        try:
            decode_row(key, value)
        except DamagedError as error:
            faults.lose_row(error, key)
        else:
            faults.are_events_missing = True
            at = key_or_none(key)
            reason = (
                "it is a row of format version 1 beside a damaged block, or stored twice: salvage saves it"
            )
            faults.add(Fault(f"rows {key.hex()}", reason, at, at, 1))

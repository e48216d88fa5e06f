"""Batches become commits: what happens to each of their events is decided, and nothing is stored.

1. Events are looked up, sources are read, and numbers are taken from what is passed in. The one thing that
   changes are the source states in memory: those that were read are cached, and sources whose events are
   refused are noted as unsaved.
2. Each batch is decided as if those before it were stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from yamcs_archive.columns import Columns
from yamcs_archive.errors import ConflictError
from yamcs_archive.options import Options
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.keys import Key
from yamcs_archive.storage.format.log_records import LoggedCommit, LogRecord
from yamcs_archive.storage.format.source_states import SourceState
from yamcs_archive.storage.write.commit_messages import Batch
from yamcs_archive.storage.write.idempotency import IdempotencyKeys
from yamcs_archive.storage.write.outcomes import Group, decide, update_sources
from yamcs_archive.storage.write.plain_append import PLAIN_EVENTS_MAX, Plain, plain_append
from yamcs_archive.storage.write.source_cache import SourceCache
from yamcs_archive.storage.write.stored_events import StoredEvents
from yamcs_archive.storage.young.memory_table import MemoryTable
from yamcs_archive.storage.young.views import MemoryTables


class Prepared(NamedTuple):
    """The commits of a group of batches, decided and not stored."""

    groups: list[Group]
    commits: list[LoggedCommit]
    changed: dict[str, SourceState]
    """The states of the sources that change, by name."""
    requests: list[Pair]
    refusing: bool
    """True if an event was refused."""


def prepared_without_look_up(
    batch: Batch,
    tables: MemoryTables,
    greatest: Key | None,
    state: Callable[[str], SourceState],
    *,
    horizon: int | None,
    options: Options,
) -> Plain | None:
    """Decide a batch that needs no look-up, of which no source is unsaved; None if it needs one.

    ``greatest`` is the greatest key in a block, if that is known; ``state`` returns the state of a source.
    """
    if (
        greatest is None
        or len(batch.submitted) != 1
        or batch.asked
        or batch.time is not None
        or not 0 < len(batch.submitted[0].message) <= min(PLAIN_EVENTS_MAX, options.run_events_min - 1)
    ):
        return None
    for table in tables.all:
        above = table.greatest
        if above is not None and above > greatest:
            greatest = above
    return plain_append(batch.submitted[0], state, greatest, horizon)


def prepared(
    batches: Sequence[Batch],
    stored: StoredEvents,
    sources: SourceCache,
    *,
    head: int,
    horizon: int | None,
    options: Options,
) -> Prepared:
    """Decide the outcomes of batches that come after the commit ``head``.

    Raises ConflictError for a batch of another archive that must be the same, and DamagedError.
    """
    changed: dict[str, SourceState] = {}
    state = partial(sources.state, stored, changed)
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
        group = _decided(batch, stored, state, requests, horizon=horizon, options=options)
        groups.append(group)
        if refused := update_sources(group, state, changed):
            sources.unsaved |= refused
            refusing = True
        if group.new_runs:
            time = options.clock() if batch.time is None else batch.time
            runs = [(start, stop - 1) for start, stop, _ in group.new_runs]
            commits.append(LoggedCommit(head + 1 + len(commits), time, group.events, runs))
    return Prepared(groups, commits, changed, requests, refusing)


def _decided(
    batch: Batch,
    stored: StoredEvents,
    state: Callable[[str], SourceState],
    requests: list[Pair],
    *,
    horizon: int | None,
    options: Options,
) -> Group:
    """Return the outcomes of a batch; the records of its requests are added to ``requests``."""

    exact = batch.time is not None and batch.exact

    def decided(submitted: Sequence[Columns[int]]) -> Group:
        return decide(submitted, stored, lambda source: state(source).greatest_number, horizon, exact=exact)

    if batch.asked:
        keys = IdempotencyKeys(stored, horizon, options)
        group, pairs = keys.decided(list(zip(batch.submitted, batch.asked, strict=True)), decided)
        requests += pairs
    else:
        group = decided(batch.submitted)
    if exact:
        _refuse_differences(group)
    failpoint("outcomes-known")
    return group


def _refuse_differences(group: Group) -> None:
    """Raise ConflictError for the first conflict."""
    for outcome in group.outcomes:
        for conflict in outcome.conflicts.first:
            raise ConflictError(conflict.stored, conflict.offered)

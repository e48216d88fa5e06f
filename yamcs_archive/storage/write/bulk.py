"""Commits with large runs in order: these become blocks at once, and the log carries the other events.

1. A run is large by the option's number of events. It lies between two blocks, and no stored event is between
   its own ones.
2. The other events are at most half of the commit, and nearly always late ones: each by itself would rewrite
   a block.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.options import Options
from yamcs_archive.storage.format.keys import encode_key
from yamcs_archive.storage.format.log_records import LoggedCommit, LogRecord
from yamcs_archive.storage.format.source_states import encode_source
from yamcs_archive.storage.write.block_steps import encoded, put_steps
from yamcs_archive.storage.write.key_lookup import NewRun
from yamcs_archive.storage.write.outcomes import Group
from yamcs_archive.storage.write.placement import place, put_run
from yamcs_archive.storage.write.stored_events import StoredEvents
from yamcs_archive.storage.write.transaction import WriteTransaction


def large_runs(group: Group, stored: StoredEvents, options: Options) -> list[NewRun]:
    """Return the runs of a group that become blocks at once.

    None do if the other events would be more than half of the group, or more than may be carried.
    """
    size, least = group.events.size, options.run_events_min
    if size < least:
        return []
    found = [
        run
        for run in group.new_runs
        if run.alone
        and run.stop - run.start >= least
        and stored.blocks.index.around(encode_key(*group.events.key(run.start))) is None
    ]
    others = size - sum([run.stop - run.start for run in found])
    return found if others <= min(size // 2, options.late_events_max) else []


def divided(
    commit: LoggedCommit, large: Sequence[NewRun]
) -> tuple[list[StoredVectors], StoredVectors | None]:
    """Return the events of each large run of a commit, and its other events, if there are any."""
    events = commit.events
    if not isinstance(events, StoredVectors):
        events = StoredVectors.of(events, commit.number)
    events = events.stored_by(commit.number)
    runs = [events.cut(run.start, run.stop) for run in large]
    if sum([run.size for run in runs]) == events.size:
        return runs, None
    others = np.ones(events.size, bool)
    for run in large:
        others[run.start : run.stop] = False
    return runs, events.take(np.flatnonzero(others))


def put_bulk(
    record: LogRecord, runs: Sequence[StoredVectors], stored: WriteTransaction, options: Options
) -> None:
    """Put the runs of a commit into blocks, and all else that its record has. Raises DamagedError."""
    for run in runs:
        if stored.index.around(encode_key(*run.key(0))) is None:
            put_run(run, stored, options)
            continue
        # Young events around them have become one block.
        placed = place(run, stored.index, stored.value, options)
        if placed.damaged:
            raise placed.damaged[0]
        put_steps(encoded(placed.plans), stored)
    for commit in record.commits:
        stored.put_commits(commit.record)
    stored.put_pairs("sources", [encode_source(*pair) for pair in record.sources])
    stored.put_pairs("requests", record.requests)
    stored.put_pairs("meta", record.facts)

"""The prune horizon moves: from then on the events before it are expired, though they are deleted later.

1. All that is young is in LMDB before, and no commit is made meanwhile, so what is pruned can be counted.
2. One transaction puts the horizon and the counts of sources. After a failure it may be committed, so the
   facts are read back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

import lmdb
import msgspec

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.environment import LazyRead
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.meta import encode_horizon
from yamcs_archive.storage.format.source_states import SourceState, encode_source
from yamcs_archive.storage.write.checkpointer import Checkpointer
from yamcs_archive.storage.write.writer_state import WriterState


class HorizonMove(NamedTuple):
    """What changes when the prune horizon moves, beside the horizon itself."""

    commit: int
    """The greatest number of a commit of the events that are before the horizon."""
    pruned: Mapping[str, int]
    """The number of events of each source that are before it now, and were not before."""


def move_horizon(
    state: WriterState, checkpointer: Checkpointer, horizon: int, measure: Callable[[int], HorizonMove]
) -> None:
    """Move the prune horizon; ``measure`` is called with the head, and no commit is made after that."""
    state.refresh()
    checkpointer.checkpoint_all()
    move = measure(state.head)
    while True:
        try:
            with suppress(lmdb.MapFullError):
                _put_horizon(state, horizon, move)
                return
        except BaseException:
            state.invalidate()  # it may have moved
            raise
        state.environment.grow()


def _put_horizon(state: WriterState, horizon: int, move: HorizonMove) -> None:
    databases = state.environment.databases
    sources = state.sources
    with LazyRead(state.environment) as read:
        stored = state.stored(read)
        changed: dict[str, SourceState] = {}
        for source, pruned in move.pruned.items():
            with suppress(DamagedError):  # of a damaged state nothing is known
                old = sources.state(stored, changed, source)
                if old.greatest_number is not None:
                    events = max(0, old.events - pruned)
                    changed[source] = msgspec.structs.replace(old, events=events)
    transaction = state.environment.lmdb.begin(write=True)
    try:
        saved = sources.unsaved | changed.keys()
        pairs = [encode_source(name, changed.get(name) or sources.states[name]) for name in saved]
        transaction.cursor(databases["sources"]).putmulti(pairs)
        for pair in encode_horizon(horizon, move.commit):
            transaction.put(*pair, db=databases["meta"])
        failpoint("prune-before-horizon")
        transaction.commit()
        failpoint("prune-after-horizon")
    finally:
        transaction.abort()  # does nothing after a commit
    state.horizon = horizon
    state.note(state.head, changed)

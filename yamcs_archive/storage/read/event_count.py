"""The number of events of an instance, without reading any: from the states of sources, and from commits.

0. Young events are counted by their tables; what follows is about those in LMDB.
1. The state of a source has its number of events, without those before the horizon. Adding up a hundred
   thousand states takes a tenth of a second, so the sum is kept with the number of its commit, and the events
   of later commits are added.
2. A sum of another history than the one that is stored now, or from before the horizon moved, is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import lmdb

from yamcs_archive.limits import SOURCE_BYTES_MAX
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.commits import decode_commit, fingerprint
from yamcs_archive.storage.format.source_states import decode_source
from yamcs_archive.storage.read.metadata import seek_commit

_SOURCES_FEW = 500
"""Most sources whose states are added up each time, which takes half a millisecond."""
_RECORDS_MAX = 500
"""Most commit records whose events are added to a known sum; after more, all states are added up."""


class _Sum(NamedTuple):
    commit: int
    fingerprint: int
    horizon: bytes | None
    """As it is stored."""
    events: int


class Counter:
    """Counts the events of one instance. Safe to use from many threads."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._known: _Sum | None = None  # replaced, never changed

    def all(self) -> int:
        """Return the number of events that are not pruned."""
        with self._environment.snapshot() as (transaction, young):
            sources = self._environment.databases["sources"]
            if transaction.stat(sources)["entries"] <= _SOURCES_FEW:
                return _added_up(transaction.cursor(sources)) + young.uncounted
            horizon = transaction.get(b"horizon", db=self._environment.databases["meta"])
            found = self._continued(transaction, horizon) or self._summed(transaction, sources, horizon)
        self._known = found
        return found.events + young.uncounted

    def of(self, names: Iterable[str]) -> int:
        """Return the number of events of these sources that are not pruned."""
        with self._environment.snapshot() as (transaction, young):
            sources = self._environment.databases["sources"]
            # LMDB refuses keys that no source can have.
            keys = [key for name in names if 0 < len(key := name.encode()) <= SOURCE_BYTES_MAX]
            changed = young.sources()
            known = [changed[name] for key in keys if (name := key.decode()) in changed]
            pairs = [
                (key, value)
                for key in keys
                if key.decode() not in changed and (value := transaction.get(key, db=sources)) is not None
            ]
        return _added_up(pairs) + sum([state.events for state in known])

    def _continued(self, transaction: lmdb.Transaction[bytes], horizon: bytes | None) -> _Sum | None:
        """Return the known sum with the events of later commits; None if it cannot be used."""
        known = self._known
        if known is None or known.horizon != horizon:
            return None
        cursor = transaction.cursor(self._environment.databases["commits"])
        seek_commit(cursor, known.commit)
        events = known.events
        for records, pair in enumerate(cursor.iternext()):
            record = decode_commit(*pair)
            if records == 0:
                at = known.commit - record.first
                held = 0 <= at < len(record.times)
                if not held or known.fingerprint != record.fingerprint(known.commit):
                    return None
                events += sum(record.events[at + 1 :])
            elif records < _RECORDS_MAX:
                events += sum(record.events)
            else:
                return None
            last = record
        return _Sum(last.last, last.fingerprint(last.last), horizon, events)

    def _summed(
        self, transaction: lmdb.Transaction[bytes], sources: lmdb._Database, horizon: bytes | None
    ) -> _Sum:
        """Return the sum over all sources."""
        events = _added_up(transaction.cursor(sources))
        cursor = transaction.cursor(self._environment.databases["commits"])
        if not cursor.last():
            return _Sum(0, fingerprint(0, 0, 0), horizon, events)
        head = decode_commit(*cursor.item())
        return _Sum(head.last, head.fingerprint(head.last), horizon, events)


def _added_up(pairs: Iterable[Pair]) -> int:
    return sum([decode_source(key, value)[1].events for key, value in pairs])

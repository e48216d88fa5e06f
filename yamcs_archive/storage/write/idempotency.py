"""Retries of requests that have an id: found, answered as the first time, kept with the events' own commit.

1. What is kept of a request goes into the transaction of its events: either both are there or neither.
2. A request that stored nothing new is kept as well when it was a retry of a stored event. One that was
   refused (conflict, expired) is not: it may be tried again, with the same id and another content too.
3. A retry is given to the writer as the event that its first try stored. So it is found to be a duplicate
   like any other, and takes no number.
4. An id is kept for a day, and a million of them at most. Older ones count as unknown and are deleted by and
   by; at the bound new ones are refused rather than old ones forgotten before their time.
5. The age of ids is measured by the archive's clock, the only one that goes on while nothing is open. If it
   was ahead and is set back, ids seem to come from the future. They get the time of the sweep that meets
   them; otherwise they would be kept for as long as the clock was ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

import lmdb
from msgspec.structs import replace

from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError, DamagedError, RequestIdError, RequestIdsFullError
from yamcs_archive.event import Event, EventKey
from yamcs_archive.limits import REQUEST_AGE_US, REQUESTS_SWEPT_MAX
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.keys import decode_key, encode_key
from yamcs_archive.storage.format.requests import (
    DIGEST_BYTES,
    RequestIds,
    RequestRecord,
    decode_record,
    encode_record,
    is_digest_of,
)
from yamcs_archive.storage.write.key_lookup import Existing
from yamcs_archive.storage.write.outcomes import Group, Outcome

"""A key and its value."""
Change = tuple[bytes, bytes, bytes | None]
"""A key, its value, and the new value; None deletes."""
_SWEEP_US = 600_000_000
"""A sweep that has seen every id begins anew after 10 minutes."""


class IdempotencyKeys:
    """The ids of one group's submissions, within the transaction that commits it."""

    def __init__(
        self,
        transaction: lmdb.Transaction[bytes],
        database: lmdb._Database,
        existing: Existing,
        horizon: int | None,
        options: Options,
    ) -> None:
        self._transaction, self._database, self._existing = transaction, database, existing
        self._now, self._horizon = options.clock(), horizon
        self._room = options.request_ids_max - transaction.stat(database)["entries"]
        self._known: set[bytes] = set()

    def decided(
        self,
        submitted: Sequence[tuple[Columns[int], RequestIds | None]],
        decide: Callable[[Sequence[Columns[int]]], Group],
    ) -> tuple[Group, list[Pair]]:
        """Return what ``decide`` makes of the group, retries replaced, and the pairs to put for its ids.

        A caller whose ids cannot be taken gets its error as its outcome; the others go on.
        """
        refused: dict[int, ArchiveError] = {}
        offered: list[Columns[int]] = []
        for place, (columns, asked) in enumerate(submitted):
            try:
                offered.append(columns if asked is None else self._offered(columns, asked))
            except (RequestIdError, RequestIdsFullError) as error:
                refused[place] = error
        group = decide(offered)
        taken = iter(group.outcomes)
        group.outcomes = [
            Outcome(columns, error=refused[place]) if place in refused else next(taken)
            for place, (columns, _) in enumerate(submitted)
        ]
        pairs: list[Pair] = []
        for outcome, (_, asked) in zip(group.outcomes, submitted, strict=True):
            if asked is not None and outcome.error is None:
                pairs += self._pairs(outcome, asked)
        return group, pairs

    def _offered(self, columns: Columns[int], asked: RequestIds) -> Columns[int]:
        """Return the events to be appended: a stored one in the place of each that is a retry.

        Raises RequestIdError, with the position, for an id that was used for something else, and
        RequestIdsFullError when there is no room to keep the new ones.
        """
        retries: dict[int, EventKey] = {}
        fresh = 0
        for position, (key, digest) in enumerate(zip(*asked, strict=True)):
            value = self._transaction.get(key, db=self._database)
            kept = None if value is None else decode_record(key, value)
            if kept is None or kept.time <= self._now - REQUEST_AGE_US:
                fresh += kept is None
                continue
            if not is_digest_of(kept.digest, digest):
                error = RequestIdError(key.partition(b"\0")[2].decode())
                error.position = position
                raise error
            self._known.add(key)
            retries[position] = decode_key(kept.events[0])
        if fresh > self._room:
            raise RequestIdsFullError
        self._room -= fresh
        return _with(columns, dict(self._first_answers(retries, columns))) if retries else columns

    def _first_answers(
        self, retries: dict[int, EventKey], columns: Columns[int]
    ) -> Iterator[tuple[int, Event]]:
        """Yield the stored event for each position; where it was pruned since, one that is found expired."""
        stored: dict[int, EventKey] = {}
        for position, key in sorted(retries.items(), key=itemgetter(1)):
            if self._horizon is not None and key.generation_time < self._horizon:
                yield position, replace(columns.event(position), **key._asdict())
            else:
                stored[position] = key
        yield from zip(stored, self._existing.events(list(stored.values())), strict=True)

    def _pairs(self, outcome: Outcome, asked: RequestIds) -> list[Pair]:
        """Return what is to be kept of a submission: of each event that is stored, now or before."""
        refused = {*outcome.conflicts.positions, *outcome.expired}
        return [
            encode_record(
                key,
                RequestRecord(
                    self._now, digest[:DIGEST_BYTES], (encode_key(*outcome.columns.key(position)),)
                ),
            )
            for position, (key, digest) in enumerate(zip(*asked, strict=True))
            if position not in refused and key not in self._known
        ]


def _with(columns: Columns[int], events: dict[int, Event]) -> Columns[int]:
    parts: list[Any] = [list(column) for column in columns]
    for position, event in events.items():
        for part, name in zip(parts, Columns._fields, strict=True):
            part[position] = getattr(event, name)
    return Columns(*parts)


class RequestExpiry:
    """Finds ids that are a day old, looking at a bounded number of them at a time."""

    def __init__(self, environment: Environment, damaged: Callable[[DamagedError], None]) -> None:
        """``damaged`` is called with the error of each record that cannot be read."""
        self._environment = environment
        self._damaged = damaged
        self._behind = b""
        self._next: int | None = None

    def step(self, now: int, steady: int) -> list[Change]:
        """Look at some ids at ``now``, microseconds since 1970; return what to delete or replace.

        ``steady``, in microseconds of a clock that never goes back, says when the next sweep begins.
        """
        if self._next is not None and steady < self._next:
            return []
        with self._environment.read() as transaction:
            found = list(self._pairs(transaction.cursor(self._environment.databases["requests"])))
        self._behind = found[-1][0] if found else b""
        self._next = None if found else steady + _SWEEP_US
        return [change for pair in found for change in self._changes(*pair, now)]

    def _changes(self, key: bytes, value: bytes, now: int) -> Iterator[Change]:
        try:
            kept = decode_record(key, value)
        except DamagedError as error:
            self._damaged(error)
            return
        if kept.time <= now - REQUEST_AGE_US:
            yield key, value, None
        elif kept.time > now:
            yield key, value, encode_record(key, kept._replace(time=now))[1]

    def _pairs(self, cursor: lmdb.Cursor[bytes]) -> Iterator[Pair]:
        placed = cursor.set_range(self._behind + b"\0") if self._behind else cursor.first()
        return islice(cursor.iternext(), REQUESTS_SWEPT_MAX) if placed else iter(())

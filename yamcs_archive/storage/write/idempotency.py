"""Idempotency keys: a retry of a request with an id gets the same answer as its first attempt.

1. The record of a request is stored in the same record of the log as its events: either both are stored or
   neither.
2. A record is also stored if the event is a duplicate of a stored one. None is stored for a refused event
   (conflict or expired), which may be sent again with the same id, even with other content.
3. The event of a retry is replaced by the event that the first attempt stored. So it is found to be a
   duplicate like any other, and gets no new number.
4. An id is valid for a day, and a million ids are stored at most. Older ones count as unknown and are deleted
   gradually. At the bound new ids are refused, because no id may be deleted before its time.
5. The age of ids is measured by the archive's clock, the only one that goes on while nothing is open. If that
   clock was ahead and is set back, some ids have times in the future. A sweep gives them the present time;
   otherwise they would be valid for as long as the clock was ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, Protocol

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

Change = tuple[bytes, bytes, bytes | None]
"""A key, its value, and the new value, or None to delete the key."""
_SWEEP_US = 600_000_000
"""Microseconds between the end of one sweep over all ids and the beginning of the next."""


class ExistingRequests(Existing, Protocol):
    """The stored events, and the requests that stored them."""

    def request(self, key: bytes) -> bytes | None:
        """Return the record of a request's id, as it is stored."""

    def requests(self) -> int:
        """Return about how many ids are stored."""


class IdempotencyKeys:
    """The ids of one group's submissions."""

    def __init__(self, existing: ExistingRequests, horizon: int | None, options: Options) -> None:
        self._existing = existing
        self._now, self._horizon = options.clock(), horizon
        self._room = options.request_ids_max - existing.requests()
        self._known: set[bytes] = set()

    def decided(
        self,
        submitted: Sequence[tuple[Columns[int], RequestIds | None]],
        decide: Callable[[Sequence[Columns[int]]], Group],
    ) -> tuple[Group, list[Pair]]:
        """Call ``decide`` with the group, retries replaced; return its result and the records to put.

        If a submission's ids are refused, its outcome is that error; the others are decided as usual.
        """
        refused: dict[int, ArchiveError] = {}
        offered: list[Columns[int]] = []
        for index, (columns, asked) in enumerate(submitted):
            try:
                offered.append(columns if asked is None else self._offered(columns, asked))
            except (RequestIdError, RequestIdsFullError) as error:
                refused[index] = error
        group = decide(offered)
        decided = iter(group.outcomes)
        group.outcomes = [
            Outcome(columns, error=refused[index]) if index in refused else next(decided)
            for index, (columns, _) in enumerate(submitted)
        ]
        pairs: list[Pair] = []
        for outcome, (_, asked) in zip(group.outcomes, submitted, strict=True):
            if asked is not None and outcome.error is None:
                pairs += self._pairs(outcome, asked)
        return group, pairs

    def _offered(self, columns: Columns[int], asked: RequestIds) -> Columns[int]:
        """Return the events to be appended: each retry is replaced by the event that is stored.

        Raises RequestIdError, with the position, for an id that was used with other content, and
        RequestIdsFullError if the bound leaves too few ids for the new ones.
        """
        retries: dict[int, EventKey] = {}
        fresh = 0
        for position, (key, digest) in enumerate(zip(*asked, strict=True)):
            value = self._existing.request(key)
            record = None if value is None else decode_record(key, value)
            if record is None or record.time <= self._now - REQUEST_AGE_US:
                fresh += record is None
                continue
            if not is_digest_of(record.digest, digest):
                error = RequestIdError(key.partition(b"\0")[2].decode())
                error.position = position
                raise error
            self._known.add(key)
            retries[position] = decode_key(record.events[0])
        if fresh > self._room:
            raise RequestIdsFullError
        self._room -= fresh
        return _with(columns, dict(self._first_answers(retries, columns))) if retries else columns

    def _first_answers(
        self, retries: dict[int, EventKey], columns: Columns[int]
    ) -> Iterator[tuple[int, Event]]:
        """Yield the stored event of each retry, or one that will be found expired if it has been pruned."""
        stored: dict[int, EventKey] = {}
        for position, key in sorted(retries.items(), key=itemgetter(1)):
            if self._horizon is not None and key.generation_time < self._horizon:
                yield position, replace(columns.event(position), **key._asdict())
            else:
                stored[position] = key
        yield from zip(stored, self._existing.events(list(stored.values())), strict=True)

    def _pairs(self, outcome: Outcome, asked: RequestIds) -> list[Pair]:
        """Return the records of a submission: one for each event that is stored now, or was before."""
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
    """Finds ids that are a day old; each step reads a bounded number of them."""

    def __init__(self, environment: Environment, damaged: Callable[[DamagedError], None]) -> None:
        """``damaged`` is called with the error of each record that cannot be read."""
        self._environment = environment
        self._damaged = damaged
        self._after = b""
        self._next: int | None = None

    def step(self, now: int, steady: int) -> list[Change]:
        """Read the next ids at ``now``, microseconds since 1970; return the records to delete or replace.

        ``steady``, in microseconds of a clock that never goes back, decides when the next sweep begins.
        """
        if self._next is not None and steady < self._next:
            return []
        with self._environment.read() as transaction:
            cursor = transaction.cursor(self._environment.databases["requests"])
            pairs = cursor.iternext() if cursor.set_range(self._after + b"\0") else iter(())
            found = list(islice(pairs, REQUESTS_SWEPT_MAX))
        self._after = found[-1][0] if found else b""
        self._next = None if found else steady + _SWEEP_US
        return [change for pair in found for change in self._changes(*pair, now)]

    def _changes(self, key: bytes, value: bytes, now: int) -> Iterator[Change]:
        try:
            record = decode_record(key, value)
        except DamagedError as error:
            self._damaged(error)
            return
        if record.time <= now - REQUEST_AGE_US:
            yield key, value, None
        elif record.time > now:
            yield key, value, encode_record(key, record._replace(time=now))[1]

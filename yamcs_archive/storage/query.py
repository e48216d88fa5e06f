"""Reading in key order: batches under short read transactions, decoded outside of them.

1. A read transaction lives while one batch is fetched, never across a ``yield``.
2. The next batch goes on by seeking beyond the last key, so the output is strictly monotonic by key:
   no event comes twice, and whatever is stored throughout the scan comes once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import lmdb

from yamcs_archive.event import Event, EventKey, Severity
from yamcs_archive.limits import READ_BYTES_MAX
from yamcs_archive.storage.environment import Environment
from yamcs_archive.storage.keys import encode_key, time_bound
from yamcs_archive.storage.rows import Row, decode_row

_FIRST_BATCH_EVENTS = 64
"""The first batch is small, so that a page of a few events costs little; each one doubles it."""
_BEFORE_ALL, _BEYOND_ALL = b"\0", b"\xff" * 9


class Query(NamedTuple):
    """Which events, in which order. Times are int microseconds since 1970."""

    start: int | None = None
    """The least generation time, included."""
    stop: int | None = None
    """The first generation time that is not wanted."""
    sources: frozenset[str] | None = None
    min_severity: Severity | None = None
    descending: bool = False
    limit: int | None = None
    after_key: EventKey | None = None
    """Go on behind this key, in the direction of the scan."""

    def bounds(self, horizon: int | None) -> tuple[bytes, bytes]:
        """Return the least key that may be wanted, and the first one beyond."""
        lower = _BEFORE_ALL if self.start is None else time_bound(self.start)
        upper = _BEYOND_ALL if self.stop is None else time_bound(self.stop)
        if horizon is not None:
            lower = max(lower, time_bound(horizon))
        if self.after_key is not None:
            key = encode_key(*self.after_key)
            lower, upper = (lower, min(upper, key)) if self.descending else (max(lower, key + b"\0"), upper)
        return lower, upper

    def wants(self, event: Event) -> bool:
        """Say whether an event within the bounds is wanted."""
        return (self.sources is None or event.source in self.sources) and (
            self.min_severity is None or event.severity >= self.min_severity
        )


def scan(
    environment: Environment, query: Query, horizon: int | None, batch_events_max: int
) -> Iterator[Event]:
    """Yield the events that a query wants, in its order."""
    lower, upper = query.bounds(horizon)
    found = (row.event for row in scan_rows(environment, lower, upper, query.descending, batch_events_max))
    return islice(filter(query.wants, found), query.limit)


def scan_rows(
    environment: Environment, lower: bytes, upper: bytes, descending: bool, batch_events_max: int
) -> Iterator[Row]:
    """Yield the rows with ``lower <= key < upper``, decoded."""
    batch_events = min(_FIRST_BATCH_EVENTS, batch_events_max)
    while lower < upper:
        with environment.read() as transaction:
            cursor = transaction.cursor(environment.databases["rows"])
            pairs, more = _fetch(cursor, lower, upper, descending, batch_events)
        for key, value in pairs:
            yield decode_row(key, value)
        if not more:
            return
        if descending:
            upper = pairs[-1][0]
        else:
            lower = pairs[-1][0] + b"\0"
        batch_events = min(2 * batch_events, batch_events_max)


def _fetch(
    cursor: lmdb.Cursor[bytes], lower: bytes, upper: bytes, descending: bool, events_max: int
) -> tuple[list[tuple[bytes, bytes]], bool]:
    """Return the pairs of one batch, and whether there may be more."""
    if descending:
        placed = cursor.prev() if cursor.set_range(upper) else cursor.last()
        pairs = cursor.iterprev() if placed else iter(())
    else:
        pairs = cursor.iternext() if cursor.set_range(lower) else iter(())
    fetched: list[tuple[bytes, bytes]] = []
    size_bytes = 0
    for key, value in pairs:
        if key < lower if descending else key >= upper:
            return fetched, False
        fetched.append((key, value))
        size_bytes += len(value)
        if len(fetched) >= events_max or size_bytes >= READ_BYTES_MAX:
            return fetched, True
    return fetched, False


def get(environment: Environment, key: EventKey, horizon: int | None) -> Event | None:
    """Return the event of that key, or None."""
    if horizon is not None and key.generation_time < horizon:
        return None
    encoded = encode_key(*key)
    with environment.read() as transaction:
        value = transaction.get(encoded, db=environment.databases["rows"])
    return None if value is None else decode_row(encoded, value).event

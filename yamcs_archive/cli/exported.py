"""The events of an instance, here or served, in batches for an export: in order of time, or of arrival."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from yamcs_archive.cli.event_query import LogRequest
from yamcs_archive.cli.target import Target
from yamcs_archive.columns import Columns
from yamcs_archive.event import Event, EventKey, event_bytes
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.files.export import Batch

_EVENTS, _BYTES = 5_000, 1 << 20
"""Events, and their bytes, from which on commits are written as a batch."""


def in_order_of_time(target: Target, chosen: Mapping[str, Any], after: Any) -> Iterator[Batch]:
    """Yield the events after a key, each batch with the key of its last event.

    ``chosen`` are the arguments of the instance's reading methods that choose events; ``after`` is a list of
    time, source and number, or None for all.
    """
    after_key = None if after is None else EventKey(*after)  # which the method checks
    for events in target.event_vectors(**chosen, after_key=after_key):
        yield Batch(events, list(events.key(events.size - 1)))


def in_order_of_arrival(target: Target, wanted: LogRequest | None, after: str | None) -> Iterator[Batch]:
    """Yield the events after a cursor, each batch with the cursor after it; ``wanted`` None: all events.

    Commits of which no event is wanted move the cursor of the batch after them.
    """
    held: list[Event] = []
    size_bytes = 0
    for commit in target.commits(after):
        more = commit.events if wanted is None else tuple(filter(wanted.fits, commit.events))
        held += more
        size_bytes += sum(map(event_bytes, more))
        if len(held) >= _EVENTS or size_bytes >= _BYTES:
            yield Batch(StoredVectors.of(Columns.of(held), commit=0), commit.cursor)
            held, size_bytes = [], 0
    if held:
        yield Batch(StoredVectors.of(Columns.of(held), commit=0), commit.cursor)

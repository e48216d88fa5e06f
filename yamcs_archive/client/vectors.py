"""Events of a served instance, many at once and with all their fields: a stream in msgpack.

Other streams show an event as a Yamcs server does, ERROR as SEVERE. This one loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress, count

from yamcs_archive.client.event_streams import continued, event_stream
from yamcs_archive.client.queries import Query
from yamcs_archive.client.transport import MSGPACK, Transport
from yamcs_archive.columns import Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import AnySeverity, EventKey
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.times import Time
from yamcs_archive.wire.batch import from_msgpack


class RemoteVectors:
    """Reads them; for :class:`~yamcs_archive.client.instance.RemoteInstance`."""

    name: str
    _transport: Transport

    def event_vectors(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,  # as the API calls it
        after_key: EventKey | None = None,
        skip_damaged: bool = False,
    ) -> Iterator[StoredVectors]:
        """Return an iterator over events, many at once, in key order: see :meth:`Instance.event_vectors`.

        Here ERROR stays ERROR. If the stream breaks off, the next one begins after the last event. The
        commits of the events are not known: their numbers are 0. ServerRefusedError if the server is of a
        version that has no such stream.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n, seq_number=n) for n in range(5))
        >>> [events.messages for events in sim.event_vectors(stop=2)]
        [['Step 0', 'Step 1']]
        """
        query = Query.of(
            *(start, stop, sources, min_severity, text, filter),
            after_key=after_key,
            skip_damaged=skip_damaged,
        )
        if query.is_empty:
            return iter(())
        return continued(query, self._columns, lambda columns: columns.event(columns.size - 1).key, _chosen)

    def _columns(self, query: Query) -> Iterator[Columns[int]]:
        with event_stream(self._transport, self.name, query, MSGPACK) as pieces:
            for part in from_msgpack(pieces, own=True):
                events = part.events
                complete = (events.generation_time, events.seq_number, events.reception_time)
                if any(None in column for column in complete if type(column) is list):
                    raise InvalidInputError("event", None, "has no number, or no time")
                yield events  # type: ignore[misc]  # no time of it is None


def _chosen(query: Query, columns: Columns[int]) -> StoredVectors | None:
    if not query.is_exact:
        fits = map(query.fits, columns.events())
        columns = columns.take(list(compress(count(), fits)))
    return StoredVectors.of(columns, commit=0) if columns.size else None

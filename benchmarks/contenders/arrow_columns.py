"""Events as an Arrow table, and back, as a user of pyarrow writes it: a list for each column.

Columnar stores take batches in this form; it is not that of the archive's own frames, so that no contender
leans on the archive's code.
"""

from __future__ import annotations

from operator import attrgetter

import pyarrow as pa

from yamcs_archive import Event
from yamcs_archive.event import SEVERITIES

KEY = ("generation_time", "source", "seq_number")
_PLAIN = ("generation_time", "source", "seq_number", "reception_time", "type", "message", "created_by")
SCHEMA = pa.schema(
    [
        ("generation_time", pa.int64()),
        ("source", pa.string()),
        ("seq_number", pa.int32()),
        ("reception_time", pa.int64()),
        ("type", pa.string()),
        ("message", pa.string()),
        ("created_by", pa.string()),
        ("severity", pa.uint8()),
        ("extensions", pa.binary()),
        ("extra", pa.map_(pa.string(), pa.string())),
    ]
)


def table_of(events: list[Event]) -> pa.Table:
    """Return the events as a table with the columns of :data:`SCHEMA`.

    >>> table_of([Event("Wheel", generation_time=1, seq_number=2, reception_time=3)]).num_rows
    1
    """
    columns = [list(map(attrgetter(name), events)) for name in _PLAIN]
    columns.append([event.severity.value for event in events])
    columns.append([event.extensions or None for event in events])
    columns.append([list(event.extra.items()) or None for event in events])
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def events_of(batch: pa.RecordBatch | pa.Table) -> list[Event]:
    """Return the events of a table.

    >>> event = Event("Wheel", generation_time=1, seq_number=2, reception_time=3, extra={"a": "b"})
    >>> events_of(table_of([event])) == [event]
    True
    """
    columns = [batch.column(name).to_pylist() for name in SCHEMA.names]
    return [
        Event(message, source, SEVERITIES[severity], kind, time, number, received, user,
              extensions or b"", dict(extra) if extra else {})
        for time, source, number, received, kind, message, user, severity, extensions, extra
        in zip(*columns, strict=True)
    ]  # fmt: skip


class ArrivalOrder:
    """Notes whether events have come in the order of their keys, each key once.

    >>> order = ArrivalOrder()
    >>> for time in (1, 2, 2):
    ...     order.note([Event("Wheel", generation_time=time, seq_number=0)])
    >>> order.rises
    False
    """

    def __init__(self) -> None:
        self.rises = True
        self._greatest = (-(2**63), "", 0)

    def note(self, events: list[Event]) -> None:
        """Take events that have come after all before."""
        keys = [(event.generation_time or 0, event.source, event.seq_number or 0) for event in events]
        for before, key in zip([self._greatest, *keys], keys, strict=False):
            if key <= before:
                self.rises = False
        self._greatest = max(self._greatest, *keys)

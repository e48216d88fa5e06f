"""The Arrow types of the columns, and the schema of a choice of them.

1. Null is only what is None in an :class:`~yamcs_archive.event.Event`: an absent type or user. An event
   without extensions has empty bytes, one without extra an empty map; an extra column is null without its
   key.
2. Times are ``timestamp[us, UTC]``. ``severity`` is a dictionary in the order of severities, ERROR last; its
   rank is in ``level``. Sources, types and users are dictionary-encoded, because few are distinct.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yamcs_archive.event import SEVERITIES
from yamcs_archive.frames.columns import Selection
from yamcs_archive.frames.library import load

if TYPE_CHECKING:
    import pyarrow

NULLABLE = ("type", "created_by")
SEVERITY_NAMES = tuple(severity.name for severity in SEVERITIES)


def schema_of(selection: Selection) -> pyarrow.Schema:
    """Return the schema of a table with these columns.

    >>> print(schema_of(Selection.of(["time", "level"], ["torque"])))
    time: timestamp[us, tz=UTC] not null
    level: int8 not null
    torque: string
    """
    pa = load()
    texts = pa.dictionary(pa.int32(), pa.string())
    time = pa.timestamp("us", "UTC")
    types = {
        "time": time,
        "source": texts,
        "seq_number": pa.int32(),
        "severity": pa.dictionary(pa.int8(), pa.string(), ordered=True),
        "level": pa.int8(),
        "message": pa.string(),
        "type": texts,
        "reception_time": time,
        "created_by": texts,
        "extensions": pa.binary(),
        "extra": pa.map_(pa.string(), pa.string()),
        "commit": pa.int64(),
    }
    fields = [pa.field(name, types[name], nullable=name in NULLABLE) for name in selection.columns]
    return pa.schema(fields + [pa.field(key, pa.string()) for key in selection.extra])

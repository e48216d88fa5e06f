"""The columns of ``events log``: their names, and their values as JSON and as text. Pure: an event to values.

1. Names are those of the columns of Arrow tables (``frames/columns.py``), so that what is learnt here holds
   there. ``extra.KEY`` is the value of one key of ``extra``.
2. A severity is shown as today's API shows it, ERROR as SEVERE: a URL and its directory give the same output.
"""

from __future__ import annotations

import argparse
import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from yamcs_archive.event import Event
from yamcs_archive.frames.columns import COMMIT, EVENT_COLUMNS, nearest
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.api_generations import SHOWN_TODAY

_EXTRA = "extra."
_SHOWN: dict[str, Callable[[Event], Any]] = {
    "time": lambda event: format_rfc3339(event.generation_time or 0),
    "source": lambda event: event.source,
    "seq_number": lambda event: event.seq_number,
    "severity": lambda event: SHOWN_TODAY[event.severity],
    "level": lambda event: event.severity.rank,
    "message": lambda event: event.message,
    "type": lambda event: event.type,
    "reception_time": lambda event: format_rfc3339(event.reception_time or 0),
    "created_by": lambda event: event.created_by,
    "extensions": lambda event: base64.b64encode(event.extensions).decode(),
    # A server's answers have them in any order.
    "extra": lambda event: dict(sorted(event.extra.items())),
}
TIMES = ("time", "reception_time")
ALL = EVENT_COLUMNS
TABLE = ("severity", "time", "message", "source", "type")
"""The columns of a table for which none were chosen."""


def parse_columns(text: str) -> tuple[str, ...]:
    """Return the names in a text, separated by commas; for argparse, whose ArgumentTypeError it raises.

    >>> parse_columns("time,message,extra.torque")
    ('time', 'message', 'extra.torque')
    >>> parse_columns("time,mesage")
    Traceback (most recent call last):
      ...
    argparse.ArgumentTypeError: 'mesage' is no column; did you mean 'message'?
    """
    names = tuple(name.strip() for name in text.split(","))
    for at, name in enumerate(names):
        if name not in ALL and not extra_key(name):
            raise argparse.ArgumentTypeError(f"{name!r} is no column; {_nearest(name)}")
        if name in names[:at]:
            raise argparse.ArgumentTypeError(f"{name!r} is there twice")
    return names


def _nearest(name: str) -> str:
    if name == COMMIT:
        return "it is only in tables and exported files"
    found = nearest(name)
    return found if "?" in found else f"there are {', '.join(ALL)} and extra.KEY"


def extra_key(column: str) -> str | None:
    """Return the key of an ``extra.KEY``, None of another column.

    >>> extra_key("extra.torque"), extra_key("extra")
    ('torque', None)
    """
    return column.removeprefix(_EXTRA) if column.startswith(_EXTRA) else None


def value(event: Event, column: str) -> Any:
    """Return an event's value as JSON has it; None if it is absent.

    >>> event = Event("a", generation_time=0, seq_number=1, extra={"unit": "rpm"})
    >>> [value(event, column) for column in ("time", "type", "extra.unit")]
    ['1970-01-01T00:00:00Z', None, 'rpm']
    """
    key = extra_key(column)
    return _SHOWN[column](event) if key is None else event.extra.get(key)


def text(event: Event, column: str, *, local: bool) -> str | None:
    """Return an event's value as text; None if it is absent. ``local``: times are local, with their offset.

    >>> text(Event("a", extra={"unit": "rpm"}), "extra", local=False)
    '{"unit":"rpm"}'
    """
    found = value(event, column)
    if local and column in TIMES:
        return _local(found)
    if isinstance(found, (int, dict)):
        return msgspec.json.encode(found).decode()
    return None if found is None else str(found)


def _local(time: str) -> str:
    try:
        return datetime.fromisoformat(time).astimezone().isoformat(" ")
    except (OverflowError, ValueError):  # within a day of the years 0001 and 9999 there is no local time
        return time


def chosen(columns: Sequence[str] | None, default: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that were chosen, else the default ones."""
    return tuple(default if columns is None else columns)

"""Faults and losses as lines of text."""

from __future__ import annotations

from yamcs_archive.event import EventKey
from yamcs_archive.results import Fault
from yamcs_archive.times import format_rfc3339


def fault_line(fault: Fault) -> str:
    """Return a fault as a line.

    >>> first, last = EventKey(0, "AOCS", 1), EventKey(1_000_000, "AOCS", 2)
    >>> fault_line(Fault("blocks 80", "the checksum is wrong", first, last, 2))
    'blocks 80: the checksum is wrong (2 events, 1970-01-01T00:00:00Z AOCS 1 to 1970-01-01T00:00:01Z AOCS 2)'
    """
    keys = [key_text(key) for key in dict.fromkeys((fault.first, fault.last)) if key is not None]
    about = [] if fault.events is None else [f"{fault.events} event{'' if fault.events == 1 else 's'}"]
    about += [" to ".join(keys)] if keys else []
    return f"{fault.where}: {fault.reason}" + (f" ({', '.join(about)})" if about else "")


def key_text(key: EventKey) -> str:
    """Return an event's key as text: time, source, number.

    >>> key_text(EventKey(0, "AOCS", 1))
    '1970-01-01T00:00:00Z AOCS 1'
    """
    return f"{format_rfc3339(key.generation_time)} {key.source} {key.seq_number}"

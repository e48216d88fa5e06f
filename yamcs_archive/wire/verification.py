"""Verifications <-> JSON: their numbers and faults, with the keys of the events concerned; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yamcs_archive.event import EventKey
from yamcs_archive.results import Fault, Verification
from yamcs_archive.times import format_rfc3339, parse_rfc3339


def key_fields(key: EventKey) -> dict[str, Any]:
    """Return an event's key as the fields that answers in today's form have for it.

    >>> key_fields(EventKey(0, "AOCS", 15))
    {'generationTime': '1970-01-01T00:00:00Z', 'source': 'AOCS', 'seqNumber': 15}
    """
    return {
        "generationTime": format_rfc3339(key.generation_time),
        "source": key.source,
        "seqNumber": key.seq_number,
    }


def key_of(fields: Mapping[str, Any]) -> EventKey:
    """Return the key of such fields. Raises KeyError, TypeError and ValueError.

    >>> key_of(key_fields(EventKey(5, "AOCS", 15)))
    EventKey(generation_time=5, source='AOCS', seq_number=15)
    """
    time = parse_rfc3339(str(fields["generationTime"]), "generationTime")
    return EventKey(time, str(fields["source"]), int(fields["seqNumber"]))


def verification_fields(found: Verification) -> dict[str, Any]:
    """Return a verification as JSON has it; what a fault does not know is left out.

    >>> found = Verification(2, 1, 0, 1, 1, 0.5, 1, (Fault("blocks 80", "the checksum is wrong", events=1),))
    >>> verification_fields(found)["faults"]
    [{'where': 'blocks 80', 'reason': 'the checksum is wrong', 'events': 1}]
    """
    return {
        "events": found.events,
        "youngEvents": found.young_events,
        "blocks": found.blocks,
        "commits": found.commits,
        "sources": found.sources,
        "seconds": found.seconds,
        "faultCount": found.fault_count,
        "faults": [_fault_fields(fault) for fault in found.faults],
    }


def _fault_fields(fault: Fault) -> dict[str, Any]:
    fields: dict[str, Any] = {"where": fault.where, "reason": fault.reason}
    for name, key in (("first", fault.first), ("last", fault.last)):
        if key is not None:
            fields[name] = key_fields(key)
    if fault.events is not None:
        fields["events"] = fault.events
    return fields


def verification_of(fields: Mapping[str, Any]) -> Verification:
    """Return the verification of such fields. Raises KeyError, TypeError and ValueError.

    >>> fault = Fault("blocks 80", "the checksum is wrong", EventKey(5, "A", 1), EventKey(6, "A", 2), 2)
    >>> found = Verification(2, 1, 0, 1, 1, 0.5, 1, (fault,))
    >>> verification_of(verification_fields(found)) == found
    True
    """
    return Verification(
        int(fields["events"]),
        int(fields["youngEvents"]),
        int(fields["blocks"]),
        int(fields["commits"]),
        int(fields["sources"]),
        float(fields["seconds"]),
        int(fields["faultCount"]),
        tuple(_fault_of(fault) for fault in fields["faults"]),
    )


def _fault_of(fields: Mapping[str, Any]) -> Fault:
    first, last = (key_of(fields[name]) if name in fields else None for name in ("first", "last"))
    events = int(fields["events"]) if "events" in fields else None
    return Fault(str(fields["where"]), str(fields["reason"]), first, last, events)

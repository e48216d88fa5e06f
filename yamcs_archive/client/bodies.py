"""Events -> the bodies of requests that store them, and the sums of their outcomes; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import msgspec

from yamcs_archive import arguments
from yamcs_archive.coercion import validated
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import AS_SHOWN, Event, Severity
from yamcs_archive.limits import CHUNK_BYTES_MAX, CHUNK_EVENTS_MAX, REQUEST_ID_BYTES_MAX
from yamcs_archive.results import AppendCounts, first_conflicts
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.json import sent

_encode = msgspec.json.encode


def checked_id(request_id: str | None) -> str | None:
    """Return the id of a request if it can be sent over HTTP; InvalidInputError otherwise.

    >>> checked_id("boot-17")
    'boot-17'
    """
    if request_id is None:
        return None
    found = arguments.text("request_id", request_id)
    if not (found.isascii() and found.isprintable() and 1 <= len(found) <= REQUEST_ID_BYTES_MAX):
        rule = f"must be 1 to {REQUEST_ID_BYTES_MAX} printable characters of ASCII, to be sent over HTTP"
        raise InvalidInputError("request_id", request_id, rule)
    return found


def body_of(event: Event) -> bytes:
    """Return the JSON object that stores an event; InvalidInputError for one that breaks a rule.

    It has the fields of a request; or those of an answer, if the event has a field that only answers have (a
    reception time, extensions, a user beside a time), or was read from one, where SEVERE may mean ERROR.

    >>> body_of(Event("a", generation_time=0))
    b'{"message":"a","source":"User","severity":"INFO","time":"1970-01-01T00:00:00Z"}'
    """
    event = validated(event)
    of_user = event.created_by is not None and event.generation_time is not None
    shown = event.reception_time is not None or event.extensions or of_user
    if not shown and not (event.severity is AS_SHOWN[event.severity] and event.severity >= Severity.SEVERE):
        fields: dict[str, Any] = {
            "message": event.message,
            "source": event.source,
            "severity": event.severity.name,
            "type": event.type,
            "time": None if event.generation_time is None else format_rfc3339(event.generation_time),
            "sequenceNumber": event.seq_number,
            "extra": event.extra or None,
        }
    else:
        fields = sent(event)
        if event.generation_time is None:
            del fields["generationTime"]
            if event.reception_time is None:
                rule = "cannot be sent without a time: give it a generation_time"
                raise InvalidInputError("extensions", event.extensions, rule)
    return _encode({name: value for name, value in fields.items() if value is not None})


def batches(events: Iterable[Event]) -> Iterator[list[bytes]]:
    """Yield the lines of each request; an error, of an event or of ``events``, after the lines before it."""
    lines: list[bytes] = []
    size_bytes = 0
    try:
        for event in events:
            lines.append(body_of(event))
            size_bytes += len(lines[-1])
            if len(lines) >= CHUNK_EVENTS_MAX or size_bytes >= CHUNK_BYTES_MAX:
                yield lines
                lines, size_bytes = [], 0
    except Exception:
        if lines:
            yield lines
        raise
    if lines:
        yield lines


def summed(one: AppendCounts, more: AppendCounts, position: int) -> AppendCounts:
    """Return the sums of the outcomes of some events, and of those from ``position`` on."""
    moved = (replace(each, position=position + each.position) for each in more.conflicts)
    return AppendCounts(
        one.stored + more.stored,
        one.duplicates + more.duplicates,
        one.expired + more.expired,
        one.conflict_count + more.conflict_count,
        tuple(first_conflicts([*one.conflicts, *moved])),
    )

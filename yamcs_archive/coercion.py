"""Converts events and keys from callers to exact types, and checks them; pure.

1. Fields that plainly are ints, texts or severities (:mod:`~yamcs_archive.scalars`) are accepted as such, by
   every way in and in batches of any size.
2. Nearly all events have fields of exact types, and are checked as they are. Only refused ones are converted.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Any

from msgspec.structs import replace

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import SEVERITIES, SEVERITY_RULE, Event, EventKey, Severity, validate
from yamcs_archive.scalars import plain_int, plain_text

_PLAIN_FIELDS: tuple[tuple[Callable[[object], object], tuple[str, ...]], ...] = (
    (plain_text, ("message", "source", "type", "created_by")),
    (plain_int, ("generation_time", "seq_number", "reception_time")),
)


def plain_severity(value: object, field: str = "severity") -> Severity:
    """Return the severity for a severity, its number or its name; an error names ``field``.

    >>> plain_severity(2), plain_severity(Severity.INFO), plain_severity("watch")
    (<Severity.WARNING: 2>, <Severity.INFO: 0>, <Severity.WATCH: 1>)
    """
    if type(value) is Severity:
        return value
    if isinstance(plain_text(value), str):
        return Severity.parse(value, field)  # type: ignore[arg-type]  # it is a text
    number = plain_int(value)
    if type(number) is not int or not 0 <= number < len(SEVERITIES):
        raise InvalidInputError(field, value, SEVERITY_RULE)
    return SEVERITIES[number]


def plain_event(event: Event) -> Event:
    """Return the event with an exact int, str or Severity for each field that plainly is one; checks nothing.

    >>> from enum import StrEnum
    >>> class Unit(StrEnum):
    ...     AOCS = "AOCS"
    >>> type(plain_event(Event("Boot", source=Unit.AOCS)).source)
    <class 'str'>
    """
    if type(event) is not Event:
        return event
    found: dict[str, Any] = {}
    for plain, names in _PLAIN_FIELDS:
        for name in names:
            value = getattr(event, name)
            if (exact := plain(value)) is not value:
                found[name] = exact
    if type(event.severity) is not Severity:
        with suppress(InvalidInputError):  # the check that follows reports it, with the value that was given
            found["severity"] = plain_severity(event.severity)
    if type(event.extra) is dict and set(map(type, chain(event.extra, event.extra.values()))) - {str}:
        found["extra"] = {plain_text(name): plain_text(value) for name, value in event.extra.items()}
    return replace(event, **found) if found else event


def validated(event: Event) -> Event:
    """Return the event as it will be stored, except its times and number; raises as :func:`validate` does.

    >>> validated(Event("Boot", severity=2)).severity
    <Severity.WARNING: 2>
    """
    try:
        validate(event)
    except InvalidInputError:
        exact = plain_event(event)
        if exact is event:
            raise
        validate(exact)
        return exact
    return event


def validate_key(key: EventKey) -> EventKey:
    """Return ``key`` with exact types if an event could have it; raises as :func:`validate` does.

    >>> validate_key(EventKey(0, "AOCS", 1))
    EventKey(generation_time=0, source='AOCS', seq_number=1)
    """
    if not isinstance(key, tuple) or len(key) != len(EventKey._fields) or any(part is None for part in key):
        raise InvalidInputError("key", key, "must be an EventKey: generation_time, source, seq_number")
    checked = validated(Event("", source=key[1], generation_time=key[0], seq_number=key[2]))
    if not checked.source:
        raise InvalidInputError("source", key[1], "must not be empty in a key")
    return checked.key

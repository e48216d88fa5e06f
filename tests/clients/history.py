"""The history that clients read: sources and severities of all kinds, and many events of one time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from yamcs_archive import Event, Severity

HISTORY = "history"
INSTANCES = [f"empty{number}" for number in range(24)]
ORIGIN = "http://localhost:9000"
"""The origin of the development server of Open MCT."""

SOURCES = ("AOCS", "EPS", "Procedure 1", "gnc")
SEVERITIES = tuple(severity for severity in Severity if severity is not Severity.ERROR)
TYPES = (None, "FDIR", "LOW_BATTERY", "")
SAME_TIME = 60
"""Number of events with the same generation time: more than fit a page of the tests."""
START = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def _made(number: int) -> Event:
    moment = START + timedelta(seconds=number // SAME_TIME)
    return Event.at(
        moment,
        f"Wheel {number % 7} at {number * 13 % 1000} rpm",
        source=SOURCES[number % len(SOURCES)],
        severity=SEVERITIES[number * 7 // 5 % len(SEVERITIES)],
        type=TYPES[number * 3 // 2 % len(TYPES)],
        seq_number=number - 600,
        reception_time=int(moment.timestamp() * 1_000_000) + number,
        extra={"unit": "rpm", "number": str(number)} if number % 5 == 0 else {},
    )


EVENTS = sorted((_made(number) for number in range(1_260)), key=lambda event: event.key)
"""In key order: time, source by name, number."""


def after(seconds: float) -> datetime:
    """Return a moment of the history."""
    return START + timedelta(seconds=seconds)


def time_of(event: Event) -> datetime:
    """Return when an event of the history was generated."""
    moment = event.time
    assert moment is not None
    return moment


def matching(wanted: Callable[[Event], bool]) -> list[Event]:
    """Return the events that match; there must be some, and not all."""
    found = [event for event in EVENTS if wanted(event)]
    assert 0 < len(found) < len(EVENTS)
    return found

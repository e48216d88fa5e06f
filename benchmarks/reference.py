"""The right answers, computed from all events; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from yamcs_archive import Event, Severity


class Reference:
    """All events in memory, in key order; of several with one key, the first counts.

    >>> Reference([Event("b", generation_time=1, seq_number=0)]).newest(1)[0].message
    'b'
    """

    def __init__(self, events: Iterable[Event]) -> None:
        first_of_key = {event.key: event for event in reversed(list(events))}
        self._events = [event for _, event in sorted(first_of_key.items())]

    def scan(self) -> Iterator[Event]:
        """Return an iterator over all events."""
        return iter(self._events)

    def newest(
        self, limit: int, *, source: str | None = None, min_severity: Severity | None = None
    ) -> list[Event]:
        """Return the newest events, the newest first."""
        matching = [
            event
            for event in self._events
            if source in (None, event.source) and (min_severity is None or event.severity >= min_severity)
        ]
        return matching[::-1][:limit]

    def find_text(self, text: str) -> list[Event]:
        """Return the events whose message contains the text, in any letter case."""
        return [event for event in self._events if text.casefold() in event.message.casefold()]

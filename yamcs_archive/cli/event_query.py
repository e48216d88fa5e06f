"""The query of ``events log``, for an instance in a directory or at a URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from yamcs_archive.cli.target import Target
from yamcs_archive.errors import DamagedError
from yamcs_archive.event import Event, EventKey, Severity, event_bytes
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.instance import Instance

_HELD_EVENTS_MAX, _HELD_BYTES_MAX = 1_000, 4 << 20
"""Largest number of events, and of bytes, that are reversed in memory; more are read again, oldest first."""


@dataclass(frozen=True, kw_only=True)
class LogRequest:
    """Asks for the newest ``lines`` events that match (None: all), oldest first unless ``reverse``.

    ``first`` asks for that number of the oldest events instead; ``lines`` is then None, and ``reverse``
    False. ``start`` (inclusive) and ``stop`` (exclusive) are microseconds since 1970; None means no bound.

    >>> LogRequest(lines=10).reverse
    False
    """

    lines: int | None
    first: int | None = None
    start: int | None = None
    stop: int | None = None
    sources: Sequence[str] | None = None
    min_severity: Severity | None = None
    filter: Filter | None = None
    reverse: bool = False
    skip_damaged: Callable[[DamagedError], None] | None = None
    """Called for what is damaged in a directory, and left out; a server logs it. None: it is an error."""

    def read(self, target: Target) -> Iterator[Event]:
        """Yield the events as they are read. Memory is bounded, however many there are."""
        if self.reverse:
            return target.events(**self._bounds(target), descending=True, limit=self.lines)
        if self.lines is None:
            return target.events(**self._bounds(target), limit=self.first)
        return self._newest(target)

    def _newest(self, target: Target) -> Iterator[Event]:
        """Yield the newest ``lines``, oldest first."""
        held: list[Event] = []
        held_bytes = 0
        newest: EventKey | None = None
        for event in target.events(**self._bounds(target), descending=True, limit=self.lines):
            newest, oldest = newest or event.key, event.key
            held_bytes += event_bytes(event)
            if len(held) < _HELD_EVENTS_MAX and held_bytes <= _HELD_BYTES_MAX:
                held.append(event)
            else:
                held_bytes = _HELD_BYTES_MAX + 1
                held.clear()
        if newest is None or held:
            yield from reversed(held)
            return
        for event in target.events(**self._bounds(target) | {"start": oldest.generation_time}):
            if event.key > newest:
                return  # stored after the descending read began
            if event.key >= oldest:
                yield event

    def _bounds(self, target: Target) -> dict[str, Any]:
        return {
            "start": self.start,
            "stop": self.stop,
            "sources": self.sources,
            "min_severity": self.min_severity,
            "filter": self.filter,
        } | self._skipping(target)

    def _skipping(self, target: Target) -> dict[str, Any]:
        if self.skip_damaged is None:
            return {}
        return {"skip_damaged": self.skip_damaged if isinstance(target, Instance) else True}

    def fits(self, event: Event) -> bool:
        """Return whether a stored event matches.

        >>> stored = Event("a", generation_time=0, seq_number=0)
        >>> LogRequest(lines=None, min_severity=Severity.WATCH).fits(stored)
        False
        """
        time = event.key.generation_time
        return (
            (self.start is None or time >= self.start)
            and (self.stop is None or time < self.stop)
            and (self.sources is None or event.source in self.sources)
            and (self.min_severity is None or event.severity >= self.min_severity)
            and (self.filter is None or self.filter.matches(event))
        )


def narrowed(expression: Filter | None, types: Sequence[str]) -> Filter | None:
    """Return a filter for events that match the expression and have one of the types, in any letter case.

    >>> narrowed(Filter("a OR b"), ["x"]).matches(Event("a", type="X"))
    True
    """
    if not types:
        return expression
    either = " OR ".join(f"type={_quoted(kind)}" for kind in types)
    # The expression may end in a comment; the line break closes it.
    everything = expression is None or expression.matches is Filter("").matches
    whole = "" if expression is None or everything else f"({expression.text}\n) AND "
    return Filter(f"{whole}({either})")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

"""A query for events -> the body of a request, and the rest of it, which the client checks itself; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from yamcs_archive import arguments
from yamcs_archive.coercion import plain_severity, validate_key
from yamcs_archive.event import AnySeverity, Event, EventKey, Severity
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.limits import PATTERN_CHARACTERS_MAX, TIME_MAX_US
from yamcs_archive.times import Time, format_rfc3339, to_us
from yamcs_archive.wire.api_generations import SHOWN_TODAY


@dataclass(frozen=True, kw_only=True)
class Query:
    """The events that a caller wants; times are microseconds since 1970, and None is no bound."""

    start: int | None
    stop: int | None
    sources: frozenset[str] | None
    min_severity: Severity | None
    text: str | None
    filter: Filter | None
    after_key: EventKey | None = None
    descending: bool = False
    skip_damaged: bool = False

    @classmethod
    def of(  # noqa: PLR0917  # in the order of Instance.events
        cls,
        start: Time | None,
        stop: Time | None,
        sources: Iterable[str] | None,
        min_severity: AnySeverity | None,
        text: str | None,
        filter: str | Filter | None,
        *,
        after_key: EventKey | None = None,
        descending: bool = False,
        skip_damaged: bool = False,
    ) -> Query:
        """Return the query of arguments as users give them; raises as :meth:`Instance.events` does.

        >>> Query.of("1970-01-01T00:00:01Z", None, ["EPS"], Severity.WATCH, None, None).body()
        {'start': '1970-01-01T00:00:01Z', 'source': ['EPS'], 'severity': 'watch'}
        """
        return cls(
            start=None if start is None else to_us(start, "start"),
            stop=None if stop is None else to_us(stop, "stop"),
            sources=None if sources is None else arguments.names("sources", sources) - {""},
            min_severity=None if min_severity is None else plain_severity(min_severity, "min_severity"),
            text=None if text is None else arguments.text("text", text).casefold(),
            filter=filter if filter is None or isinstance(filter, Filter) else Filter(filter),
            after_key=None if after_key is None else validate_key(after_key),
            descending=arguments.flag("descending", descending),
            skip_damaged=arguments.flag("skip_damaged", skip_damaged),
        )

    @property
    def parameters(self) -> str:
        """What follows the path of a request that has a body."""
        return "?skip_damaged=true" if self.skip_damaged else ""

    @property
    def is_empty(self) -> bool:
        """Whether no event can be one of these. (For the API an empty list of sources means all.)"""
        start, stop = self._bounds()
        return self.sources == frozenset() or (start is not None and stop is not None and start >= stop)

    @property
    def is_exact(self) -> bool:
        """Whether the server finds just these events: ``%`` and ``?`` in a text are wildcards to it."""
        text = self.text or ""
        plain = len(text) <= PATTERN_CHARACTERS_MAX and "%" not in text and "?" not in text
        return plain and self.after_key is None

    def body(self) -> dict[str, Any]:
        """Return the body of a request for these events; unless the query is exact, it finds some more."""
        start, stop = self._bounds()
        body: dict[str, Any] = {}
        if start is not None:
            body["start"] = format_rfc3339(start)
        if stop is not None:
            body["stop"] = format_rfc3339(stop)
        if self.sources is not None:
            body["source"] = sorted(self.sources)
        if self.min_severity is not None:
            body["severity"] = SHOWN_TODAY[self.min_severity].lower()
        if self.text:
            body["q"] = self.text[:PATTERN_CHARACTERS_MAX]
        if self.filter is not None:
            body["filter"] = self.filter.text
        return body

    def fits(self, event: Event) -> bool:
        """Say whether an event that the server found is one of these."""
        if self.after_key is not None:
            key = event.key
            if key >= self.after_key if self.descending else key <= self.after_key:
                return False
        return self.is_exact or self.text is None or self.text in event.message.casefold()

    def _bounds(self) -> tuple[int | None, int | None]:
        """Return ``start`` and ``stop``, narrowed to what can come after the key."""
        start, stop = self.start, self.stop
        if self.after_key is not None:
            time = self.after_key.generation_time
            if not self.descending:
                start = time if start is None else max(start, time)
            elif time < TIME_MAX_US:
                stop = time + 1 if stop is None else min(stop, time + 1)
        return start, stop

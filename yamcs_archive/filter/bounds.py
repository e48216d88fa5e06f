"""Bounds of a filter: conditions that every matching event meets, so that storage can skip other events.

1. Bounds are conservative: an event that matches always meets them, an event that meets them need not match.
2. Bounds are combined without events: :func:`every` for terms that must all hold, :func:`some` for
   alternatives.
3. They concern stored events, whose times and numbers are filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from yamcs_archive.event import SEVERITIES, Event, Severity

_T = TypeVar("_T")

_TEXTS_MAX = 16
"""Largest number of texts in the bounds. Each is searched for in every block, and a few suffice."""


@dataclass(frozen=True, slots=True)
class FilterBounds:
    """Conditions that a stored event meets if a filter matches it. None is no condition, nor are empty texts.

    >>> FilterBounds(severities=frozenset({Severity.SEVERE, Severity.ERROR})).min_severity
    <Severity.SEVERE: 5>
    """

    severities: frozenset[Severity] | None = None
    """The event has one of these."""
    sources: frozenset[str] | None = None
    """The event's source, case-folded, is one of these; :meth:`may_be_from` also applies ``source_test``."""
    start_us: int | None = None
    """The least generation time that can match, in microseconds since 1970 (UTC)."""
    stop_us: int | None = None
    """The first later generation time that cannot match, in microseconds since 1970 (UTC)."""
    texts: frozenset[str] = frozenset()
    """The message, case-folded, contains each of these case-folded texts."""
    words: frozenset[str] = frozenset()
    """Each of these case-folded texts is in the message, source or type, case-folded."""
    source_test: Callable[[str], bool] | None = field(default=None, repr=False, compare=False)
    """Returns whether an event of a source can match."""

    @property
    def min_severity(self) -> Severity | None:
        """The least severity that can match; None if INFO can, or if nothing can."""
        least = min(self.severities or (), default=Severity.INFO)
        return least if least > Severity.INFO else None

    @property
    def impossible(self) -> bool:
        """Whether no event can match, as for ``severity=info severity=severe``."""
        return (
            self.severities == frozenset()
            or self.sources == frozenset()
            or (self.start_us is not None and self.stop_us is not None and self.start_us >= self.stop_us)
        )

    def may_be_from(self, source: str) -> bool:
        """Return whether an event of this source can match, judged by its source alone.

        >>> FilterBounds(sources=frozenset({"gnc"})).may_be_from("GNC")
        True
        """
        if self.sources is not None and source.casefold() not in self.sources:
            return False
        return self.source_test is None or self.source_test(source)

    def admits(self, event: Event) -> bool:
        """Return whether an event meets these bounds. This defines their meaning.

        >>> FilterBounds(start_us=5).admits(Event("a", generation_time=4))
        False
        """
        time = event.generation_time
        message = event.message.casefold()
        everywhere = (message, event.source.casefold(), (event.type or "").casefold())
        return (
            (self.severities is None or event.severity in self.severities)
            and self.may_be_from(event.source)
            and (time is None or self.start_us is None or time >= self.start_us)
            and (time is None or self.stop_us is None or time < self.stop_us)
            and all(text in message for text in self.texts)
            and all(any(word in part for part in everywhere) for word in self.words)
        )


ANYTHING = FilterBounds()
"""The bounds that every event meets."""


def every(parts: Sequence[FilterBounds]) -> FilterBounds:
    """Return bounds that an event meets if it meets all of these.

    >>> every([FilterBounds(start_us=1), FilterBounds(start_us=3, stop_us=9)])
    FilterBounds(severities=None, sources=None, start_us=3, stop_us=9, texts=frozenset(), words=frozenset())
    """
    tests = [part.source_test for part in parts if part.source_test is not None]
    return FilterBounds(
        severities=_common(part.severities for part in parts),
        sources=_common(part.sources for part in parts),
        start_us=max((part.start_us for part in parts if part.start_us is not None), default=None),
        stop_us=min((part.stop_us for part in parts if part.stop_us is not None), default=None),
        texts=_longest(frozenset[str]().union(*(part.texts for part in parts))),
        words=_longest(frozenset[str]().union(*(part.words for part in parts))),
        source_test=(lambda source: all(test(source) for test in tests)) if tests else None,
    )


def some(parts: Sequence[FilterBounds]) -> FilterBounds:
    """Return bounds that an event meets if it meets at least one of these.

    >>> either = some([FilterBounds(start_us=1), FilterBounds(start_us=3, stop_us=9)])
    >>> either.start_us, either.stop_us
    (1, None)
    """
    possible = [part for part in parts if not part.impossible] or list(parts[:1])
    starts = [part.start_us for part in possible]
    stops = [part.stop_us for part in possible]
    severities = _union([part.severities for part in possible])
    return FilterBounds(
        severities=None if severities == frozenset(SEVERITIES) else severities,
        sources=_union([part.sources for part in possible]),
        start_us=min((start for start in starts if start is not None), default=None)
        if None not in starts
        else None,
        stop_us=max((stop for stop in stops if stop is not None), default=None)
        if None not in stops
        else None,
        texts=_shared([part.texts for part in possible]),
        words=_shared([part.words | part.texts for part in possible]),
        source_test=_some_source(possible),
    )


def _some_source(parts: list[FilterBounds]) -> Callable[[str], bool] | None:
    if any(part.sources is None and part.source_test is None for part in parts):
        return None
    if all(part.source_test is None for part in parts):
        return None  # the union of the sources suffices
    return lambda source: any(part.may_be_from(source) for part in parts)


def _common(sets: Iterable[frozenset[_T] | None]) -> frozenset[_T] | None:
    asked = [one for one in sets if one is not None]
    return asked[0].intersection(*asked[1:]) if asked else None


def _union(sets: list[frozenset[_T] | None]) -> frozenset[_T] | None:
    asked = [one for one in sets if one is not None]
    return asked[0].union(*asked[1:]) if len(asked) == len(sets) else None


def _longest(texts: frozenset[str]) -> frozenset[str]:
    return texts if len(texts) <= _TEXTS_MAX else frozenset(sorted(texts, key=len)[-_TEXTS_MAX:])


def _shared(sets: list[frozenset[str]]) -> frozenset[str]:
    """Return the texts that are part of a text of every set."""
    shared = sets[0]
    for texts in sets[1:]:
        if not shared:
            break
        shared = _within(shared, texts) | _within(texts, shared)
    return _longest(shared)


def _within(texts: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    return frozenset(text for text in texts if any(text in other for other in others))

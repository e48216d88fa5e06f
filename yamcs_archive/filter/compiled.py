"""The public interface of the filter language: turns a text into a predicate and bounds."""

from __future__ import annotations

from typing import Any, Final

from yamcs_archive.event import Event
from yamcs_archive.filter.bounds import ANYTHING, FilterBounds
from yamcs_archive.filter.condition_tree import bounds, predicate
from yamcs_archive.filter.conditions import Predicate
from yamcs_archive.filter.grammar import parse
from yamcs_archive.scalars import plain_text


class Filter:
    """A filter expression, parsed once and compiled to a function; ``docs/filter.md`` describes the language.

    Filters are immutable. Any number of threads may use one at once. They compare by their text, and can be
    pickled.

    Raises :class:`~yamcs_archive.errors.FilterError`, with line and column, for a text that is not a filter.

    >>> wanted = Filter('severity>=watch source=gnc "over speed"')
    >>> wanted.matches(Event("Wheel 3 over speed", source="GNC", severity=Severity.WARNING))
    True
    >>> wanted.bounds.min_severity, wanted.bounds.sources
    (<Severity.WATCH: 1>, frozenset({'gnc'}))
    """

    __slots__ = ("bounds", "matches", "text")

    text: Final[str]
    """The expression as given."""
    matches: Final[Predicate]
    """``matches(event)`` returns whether the filter matches an event. It never raises for an :class:`Event`
    whose fields are of their types, stored or not. (This is the compiled function itself: a method around it
    would cost as much as a simple comparison.)"""
    bounds: Final[FilterBounds]
    """Conditions that every matching stored event meets, so that storage can skip other events."""

    def __init__(self, text: str) -> None:
        exact: Any = plain_text(text)
        node = parse(exact)
        self.text = exact
        self.matches = _everything if node is None else predicate(node)
        self.bounds = ANYTHING if node is None else bounds(node)

    def __repr__(self) -> str:
        return f"Filter({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Filter) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Filter, (self.text,))


def _everything(event: Event) -> bool:  # noqa: ARG001  # the signature of a predicate
    return True

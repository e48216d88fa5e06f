"""A filter as a tree of conditions, ``Every`` and ``Some``. Negation is applied to the conditions themselves.

1. A node is never of its parent's kind, and has at least two parts: parentheses leave no trace.
2. A tree is at most twice as deep as the filter's parentheses, so recursion over it is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from yamcs_archive.event import Event
from yamcs_archive.filter.bounds import FilterBounds, every, some
from yamcs_archive.filter.conditions import Condition, Predicate


@dataclass(frozen=True, slots=True)
class Every:
    """All parts hold."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part holds."""

    parts: tuple[Node, ...]


Node = Condition | Every | Some


def merged(kind: type[Every] | type[Some], parts: Iterable[Node]) -> Node:
    """Return one node for several; parts of its own kind are merged into it.

    >>> from yamcs_archive.filter.conditions import contains
    >>> a, b, c = (contains(word) for word in "abc")
    >>> merged(Every, [a, merged(Every, [b, c])]) == Every((a, b, c))
    True
    """
    flat: list[Node] = []
    for part in parts:
        if isinstance(part, Every | Some) and isinstance(part, kind):
            flat += part.parts
        else:
            flat.append(part)
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def negated(node: Node) -> Node:
    """Return the negation: ``Every`` becomes ``Some`` of the negated parts, and the other way round."""
    if isinstance(node, Condition):
        return node.negation()
    kind = Some if isinstance(node, Every) else Every
    return merged(kind, [negated(part) for part in node.parts])


def predicate(node: Node) -> Predicate:
    """Compile a tree to one function."""
    if isinstance(node, Condition):
        return node.matches
    parts = [predicate(part) for part in node.parts]
    combined = _both if isinstance(node, Every) else _either
    return combined(*parts) if len(parts) == 2 else _many(tuple(parts), until=isinstance(node, Some))


def _both(one: Predicate, other: Predicate) -> Predicate:
    return lambda event: one(event) and other(event)


def _either(one: Predicate, other: Predicate) -> Predicate:
    return lambda event: one(event) or other(event)


def _many(parts: tuple[Predicate, ...], *, until: bool) -> Predicate:
    """Return a predicate that tries the parts until one returns ``until``."""

    def matches(event: Event) -> bool:
        for part in parts:
            if part(event) is until:
                return until
        return not until

    return matches


def bounds(node: Node) -> FilterBounds:
    """Return bounds that every event meets if the tree matches it."""
    if isinstance(node, Condition):
        return node.bounds
    combine: Callable[[list[FilterBounds]], FilterBounds] = every if isinstance(node, Every) else some
    return combine([bounds(part) for part in node.parts])

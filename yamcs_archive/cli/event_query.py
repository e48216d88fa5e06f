"""What ``events log`` asks a place for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yamcs_archive.event import Event, Severity
from yamcs_archive.filter.compiled import Filter


@dataclass(frozen=True, kw_only=True)
class LogRequest:
    """The newest ``lines`` (None: all) of the events that fit, oldest of them first unless ``reverse``.

    ``first`` asks for that number of the oldest instead; then ``lines`` is None and ``reverse`` False.
    ``start`` (inclusive) and ``stop`` (exclusive) are microseconds since 1970; None is no bound.

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

    def fits(self, event: Event) -> bool:
        """Say whether a stored event is one of those that are wanted.

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
    """Return the filter of an expression and of types, in any letter case as the language has it.

    >>> narrowed(Filter("a OR b"), ["x"]).matches(Event("a", type="X"))
    True
    """
    if not types:
        return expression
    either = " OR ".join(f"type={_quoted(kind)}" for kind in types)
    # The expression may end in a comment, which a line's end ends.
    everything = expression is None or expression.matches is Filter("").matches
    whole = "" if expression is None or everything else f"({expression.text}\n) AND "
    return Filter(f"{whole}({either})")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

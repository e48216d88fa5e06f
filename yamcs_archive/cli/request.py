"""What ``events log`` asks a place for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yamcs_archive.event import Severity


@dataclass(frozen=True, kw_only=True)
class LogRequest:
    """The newest ``lines`` (None: all) of the events that fit, oldest of them first unless ``reverse``.

    ``start`` (inclusive) and ``stop`` (exclusive) are microseconds since 1970; None is no bound.

    >>> LogRequest(lines=10).reverse
    False
    """

    lines: int | None
    start: int | None = None
    stop: int | None = None
    sources: Sequence[str] | None = None
    min_severity: Severity | None = None
    reverse: bool = False

"""What a comparison of two passes says: plain frozen values, without numpy."""

from __future__ import annotations

from dataclasses import dataclass

from yamcs_archive.pass_report.findings import Instant, MessageTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one pass has of one source, or of all."""

    events: int
    events_per_s: float | None
    """By the time from the first to the last event of the pass."""
    severities: dict[str, int]
    gaps: int | None
    missing: int | None
    restarts: int | None
    late: int
    median_delay_us: int | None
    """None for all sources together."""
    overtaken: int
    jumps: int | None
    bursts: int
    silences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedSides:
    """A source in both passes; None: it has no event there."""

    source: str
    a: Side | None
    b: Side | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPass:
    """One of two passes that are compared."""

    name: str
    """As the caller calls it."""
    instance: str
    start: Instant | None
    stop: Instant | None
    first_time: Instant | None
    last_time: Instant | None
    template_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedFindings:
    """What :class:`~yamcs_archive.ReportComparison` says; the passes are ``a`` and ``b``."""

    a: ComparedPass
    b: ComparedPass
    total_a: Side
    total_b: Side
    """All sources together."""
    sources: tuple[ComparedSides, ...]
    """By name; every source of either pass."""
    only_a: tuple[MessageTemplate, ...]
    only_b: tuple[MessageTemplate, ...]
    """Templates that only one pass has, the most frequent first."""
    notes: tuple[str, ...]

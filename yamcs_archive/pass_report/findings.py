"""What a report of a pass says: plain frozen values, without numpy. docs/report.md defines every measure.

1. Instants are microseconds since 1970 (:data:`Instant`); durations, also in microseconds, end in ``_us``.
2. What was not looked at is None, and ``notes`` says why; what was not found is 0 or empty.
3. Lists are bounded and have the most telling first; the number of all is beside each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

INSTANT = "instant"
Instant = Annotated[int, INSTANT]
"""Microseconds since 1970, which JSON has as RFC 3339."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How long after their generation events were received; an event received before it counts as 0."""

    median_us: int
    p95_us: int
    p99_us: int
    """Nearest ranks, rounded down to six significant bits: at most 3.2 % less than the delay itself."""
    longest_us: int
    """Exact."""
    longest_time: Instant
    longest_number: int
    """Time and number of the event with the longest delay, of several the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The second or the minute with the most events, of several the first."""

    time: Instant
    """Its beginning."""
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What the sequence numbers of one source show."""

    kind: str
    """``counting``; or why nothing is said of gaps and jumps: ``scattered`` (more than half of the numbers
    follow no other), ``too many gaps``, ``too many restarts``."""
    least: int
    greatest: int
    gaps: int | None
    missing: int | None
    """Numbers in the gaps together."""
    restarts: int
    outside: int
    """Numbers that only events shortly before or after the window have: they are not missing."""
    repeated: int
    """Events whose number the source had used before, since its last restart."""
    jumps_back: int | None
    jumps_forth: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """One source."""

    source: str
    events: int
    first_time: Instant
    last_time: Instant
    severities: dict[str, int]
    """Events by severity; those without an event are left out."""
    duplicates: int
    conflicts: int
    expired: int
    """Events of this source that the archive ever refused, in the window or not."""
    delays: Delays
    late: int
    """Events received later after their generation than ``late_after_us``."""
    ahead: int
    """Events generated more than a second after they were received: the clock was ahead."""
    overtaken: int
    """Events stored by a later commit than an event of this source that was generated later."""
    numbers: Numbers | None
    """None if only some of the events were read, by severity, text or filter."""
    usual_per_minute: int
    """The median of the minutes that have events."""
    peak_minute: Peak
    bursts: int
    """Minutes with more than ten times the usual number of events, and more than 20."""
    usual_pause_us: int | None
    """Nine of ten pauses between neighbouring events are no longer; None for a single event."""
    longest_pause_us: int | None
    silences: int
    """Pauses of more than ten times the usual one and more than 10 s, also the one up to the window's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Numbers that no event of the window has, between two that some have."""

    source: str
    first: int
    last: int
    """The first and the last of the missing numbers."""
    missing: int
    after: Instant
    before: Instant
    """Times of the events with the number before the gap, and with the one after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """A source that began to count anew, at 0, 1 or the least int32."""

    source: str
    time: Instant
    number: int
    previous: int
    """The number of the event before it; where a counter wrapped, its greatest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """A clock that was set: times step, and reception times do not."""

    source: str
    number: int
    """The first number after the step."""
    before: Instant
    time: Instant
    """Times of the events before and after the step."""
    received: Instant
    """When the event after it was received."""
    step_us: int
    """Negative: back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """A source's minute with the most events, where that is a burst."""

    source: str
    time: Instant
    events: int
    usual: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A source's longest pause, where that is a silence."""

    source: str
    since: Instant
    until: Instant
    pause_us: int
    usual_us: int
    at_end: bool
    """The source sent nothing more up to the end of the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTemplate:
    """Messages that differ only in what varies: numbers, times, addresses and the like."""

    text: str
    events: int
    first_time: Instant
    last_time: Instant
    source: str
    severity: str
    example: str
    """Source, severity and message of its first event in the window; a message of more than 500 characters
    is cut, and ends in an ellipsis and its length."""
    new: bool | None
    """No earlier event has it: it was first seen at or after ``new_since``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What :class:`~yamcs_archive.PassReport` says."""

    instance: str
    made: Instant
    """When the report was begun, by the archive's clock."""
    seconds: float
    """How long it took."""
    start: Instant | None
    stop: Instant | None
    only_sources: tuple[str, ...] | None
    min_severity: str | None
    text: str | None
    filter: str | None
    """What was asked for; None: no bound."""
    events: int
    first_time: Instant | None
    last_time: Instant | None
    severities: dict[str, int]
    duplicates: int
    conflicts: int
    expired: int
    """Events of the sources below that the archive ever refused, in the window or not."""
    events_per_s: float | None
    """Events by the time from the first to the last; None if there is none."""
    peak_second: Peak | None
    peak_minute: Peak | None
    late_after_us: int
    late: int
    ahead: int
    overtaken: int
    gap_count: int | None
    missing: int | None
    restart_count: int | None
    jump_count: int | None
    sources: tuple[SourceReport, ...]
    """By name."""
    other_sources: int
    """Sources beyond the 5,000 that are told one by one."""
    other_events: int
    """Their events; they count above where nothing else is said."""
    gaps: tuple[Gap, ...]
    """The largest."""
    restarts: tuple[Restart, ...]
    """The first."""
    jumps: tuple[Jump, ...]
    """The largest."""
    bursts: tuple[Burst, ...]
    """Those that exceed the usual most, one of each source."""
    silences: tuple[Silence, ...]
    """Those that exceed the usual most, one of each source."""
    new_since: Instant | None
    """None: it was not asked which templates are new, because the window has no beginning."""
    history_since: Instant | None
    """Earlier events were not looked at; None: all that are stored were."""
    template_count: int
    new_count: int | None
    templates: tuple[MessageTemplate, ...]
    """The rarest first, of equals the one seen first; at most 10,000."""
    new_templates: tuple[MessageTemplate, ...]
    """The first, by their first event."""
    rarest: tuple[MessageTemplate, ...]
    """The first ten of ``templates``."""
    untold_events: int
    """Events whose template is not in any list, because there were too many."""
    notes: tuple[str, ...]
    """What this report does not say, and why."""

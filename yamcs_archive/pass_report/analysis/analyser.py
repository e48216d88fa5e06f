"""Stored events, in the order of their keys -> the report of a pass; pure, in one reading.

1. Messages are masked as they come; the other columns are gathered to windows, which every measure reads.
   Where a window ends changes no result.
2. Memory is bounded by the limits of ``limits.py``, whatever the number of events. Whatever is left out for
   that is in the report's notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yamcs_archive.event import SEVERITIES
from yamcs_archive.event_vectors import Vectors
from yamcs_archive.pass_report.analysis.arrival import Arrivals, Overtaking
from yamcs_archive.pass_report.analysis.grouping import Grouped
from yamcs_archive.pass_report.analysis.numbering import COUNTING, Numbering
from yamcs_archive.pass_report.analysis.pace import MINUTE_US, SECOND_US, Pauses, Rates
from yamcs_archive.pass_report.analysis.rounded_counts import with_rows
from yamcs_archive.pass_report.analysis.template_counts import TemplateCounts
from yamcs_archive.pass_report.findings import Burst, Silence, SourceReport
from yamcs_archive.pass_report.limits import RAREST, SOURCES_MAX, TEMPLATES_LISTED_MAX, WINDOW_EVENTS
from yamcs_archive.pass_report.report import PassReport
from yamcs_archive.results import SourceStats

_LEVELS = len(SEVERITIES)
_NOTHING_REFUSED = SourceStats(0, 0, 0, 0, 0, 0)


class Asked(NamedTuple):
    """What a report was asked for."""

    start: int | None
    stop: int | None
    sources: tuple[str, ...] | None
    min_severity: str | None
    text: str | None
    filter: str | None
    new_since: int | None
    history_since: int | None
    late_after_us: int
    top: int

    @property
    def every_event(self) -> bool:
        """Whether all events of the sources are read, so that their numbers can be followed."""
        return (self.min_severity, self.text, self.filter) == (None, None, None)


class Bounds(NamedTuple):
    """How much is analysed together, and for how many sources."""

    window_events: int = WINDOW_EVENTS
    sources: int = SOURCES_MAX
    templates_listed: int = TEMPLATES_LISTED_MAX


class Analysis:
    """Takes events with :meth:`add_history`, then with :meth:`add`; :meth:`report` tells what they show."""

    def __init__(
        self, asked: Asked, bounds: Bounds | None = None, templates: TemplateCounts | None = None
    ) -> None:
        self._asked, self._bounds = asked, bounds or Bounds()
        self._templates = TemplateCounts(asked.new_since) if templates is None else templates
        self._rows: dict[str, int] = {}
        self._gathered: list[tuple[npt.NDArray[Any], ...]] = []
        self._gathered_events = 0
        self._others: set[int] = set()
        self._events = self._other_events = 0
        self._first: int | None = None
        self._last = 0
        self._severities: npt.NDArray[np.int64] = np.zeros(_LEVELS, np.int64)
        self._by_source: npt.NDArray[np.int64] = np.zeros((0, _LEVELS + 2), np.int64)
        """Of each source: events by severity, and its first and last time."""
        self._seconds, self._minutes = Rates(SECOND_US), Rates(MINUTE_US)
        self._minutes_of, self._pauses = Rates(MINUTE_US), Pauses()
        self._arrivals, self._overtaking = Arrivals(asked.late_after_us), Overtaking()
        self._numbering = Numbering(asked.late_after_us, asked.top)

    def add_history(self, events: Vectors) -> None:
        """Read events before the window: what they say is not new."""
        self._templates.add_history(events)

    def add(self, events: Vectors) -> None:
        """Read events of the window, after those that were read before."""
        self._templates.add(events)
        sources = events.sources.used()  # those of a block may have no event among these
        known = list(map(self._rows.get, sources.values))
        if None in known:
            known = [self._row(name) for name in sources.values]
        codes = np.array(known, np.int32)
        rows = codes[sources.codes]
        numeric = (events.times, events.numbers, events.received, events.commits, events.severities)
        self._gathered.append((rows, *numeric))
        self._gathered_events += events.size
        if self._gathered_events >= self._bounds.window_events:
            self._analyse()

    @property
    def has_gaps(self) -> bool:
        """Whether numbers seem to be missing, of those that were read."""
        self._analyse()
        return self._asked.every_event and self._numbering.has_gaps

    def add_outside(self, events: Vectors) -> None:
        """Read events shortly before or after the window, after all others: only for their numbers."""
        codes = np.array([self._rows.get(name, -1) for name in events.sources.values], np.int32)
        rows = codes[events.sources.codes]
        numeric = (events.times, events.numbers, events.received, events.commits, events.severities)
        told = rows >= 0
        if told.any():
            self._numbering.fill(Grouped.of(rows[told], *(column[told] for column in numeric)))

    def _row(self, name: str) -> int:
        """Return the row of a source, -1 if there are too many."""
        row = self._rows.get(name)
        if row is None:
            if len(self._rows) >= self._bounds.sources:
                # A hash is enough to count them: names would take memory without end.
                if len(self._others) < _OTHERS_MAX:
                    self._others.add(hash(name))
                return -1
            row = self._rows[name] = len(self._rows)
        return row

    def _analyse(self) -> None:
        if not self._gathered:
            return
        columns = [np.concatenate(column) for column in zip(*self._gathered, strict=True)]
        self._gathered, self._gathered_events = [], 0
        rows, times, *_, severities = columns
        self._events += len(rows)
        self._first = int(times[0]) if self._first is None else self._first
        self._last = int(times[-1])
        self._severities += np.bincount(severities, minlength=_LEVELS)
        everything = Grouped.of(np.zeros_like(rows), *columns[1:])
        self._seconds.add(everything)
        self._minutes.add(everything)
        told = rows >= 0
        if not told.all():
            self._other_events += int(np.count_nonzero(~told))
            columns = [column[told] for column in columns]
        if len(columns[0]):
            self._by_sources(Grouped.of(*columns))

    def _by_sources(self, events: Grouped) -> None:
        groups = events.groups
        self._by_source = with_rows(self._by_source, int(groups.max()) + 1)
        seen = self._by_source[groups, :_LEVELS].any(axis=1)
        self._by_source[groups[~seen], _LEVELS] = events.times[events.starts[~seen]]
        self._by_source[groups, _LEVELS + 1] = events.times[events.lasts]
        cells = np.bincount(
            events.rows * _LEVELS + events.severities, minlength=len(self._by_source) * _LEVELS
        )
        self._by_source[:, :_LEVELS] += cells.reshape(-1, _LEVELS)
        self._minutes_of.add(events)
        self._pauses.add(events)
        self._arrivals.add(events)
        self._overtaking.add(events)
        if self._asked.every_event:
            self._numbering.add(events, list(self._rows))

    def report(
        self, instance: str, refused: Mapping[str, SourceStats], *, made: int, seconds: float
    ) -> PassReport:
        """Return what was found; ``refused`` has what the archive knows of each source. Call it once."""
        self._analyse()
        for rates in (self._seconds, self._minutes, self._minutes_of):
            rates.finish()
        self._numbering.finish()
        asked, templates = self._asked, self._templates
        stop = self._last if asked.stop is None else asked.stop
        end = max(self._last, min(stop, made))  # nothing is silent in the future
        sources = tuple(
            self._source(name, row, refused.get(name, _NOTHING_REFUSED), end)
            for name, row in sorted(self._rows.items())
        )
        numbers = [source.numbers for source in sources if source.numbers is not None]
        counting = [found for found in numbers if found.kind == COUNTING]
        followed = asked.every_event
        listed = templates.rarest(self._bounds.templates_listed)
        span_us = 0 if self._first is None else self._last - self._first
        return PassReport(
            instance=instance,
            made=made,
            seconds=seconds,
            start=asked.start,
            stop=asked.stop,
            only_sources=asked.sources,
            min_severity=asked.min_severity,
            text=asked.text,
            filter=asked.filter,
            events=self._events,
            first_time=self._first,
            last_time=self._last if self._events else None,
            severities=_by_name(self._severities),
            duplicates=sum(source.duplicates for source in sources),
            conflicts=sum(source.conflicts for source in sources),
            expired=sum(source.expired for source in sources),
            events_per_s=self._events * SECOND_US / span_us if span_us else None,
            peak_second=self._seconds.peak(0) if self._events else None,
            peak_minute=self._minutes.peak(0) if self._events else None,
            late_after_us=asked.late_after_us,
            late=sum(source.late for source in sources),
            ahead=sum(source.ahead for source in sources),
            overtaken=sum(source.overtaken for source in sources),
            gap_count=sum(found.gaps or 0 for found in counting) if followed else None,
            missing=sum(found.missing or 0 for found in counting) if followed else None,
            restart_count=sum(found.restarts for found in numbers) if followed else None,
            jump_count=sum((found.jumps_back or 0) + (found.jumps_forth or 0) for found in counting)
            if followed
            else None,
            sources=sources,
            other_sources=len(self._others),
            other_events=self._other_events,
            gaps=tuple(self._numbering.gaps()),
            restarts=tuple(self._numbering.restarts()),
            jumps=tuple(self._numbering.jumps()),
            bursts=self._bursts(),
            silences=self._silences(end),
            new_since=asked.new_since,
            history_since=asked.history_since,
            template_count=templates.count,
            new_count=None if asked.new_since is None else templates.new_count,
            templates=tuple(listed),
            new_templates=() if asked.new_since is None else tuple(templates.new(asked.top)),
            rarest=tuple(listed[:RAREST]),
            untold_events=templates.untold,
            notes=tuple(self._notes(sources)),
        )

    def _source(self, name: str, row: int, refused: SourceStats, end: int) -> SourceReport:
        *severities, first, last = self._by_source[row].tolist()
        return SourceReport(
            source=name,
            events=sum(severities),
            first_time=first,
            last_time=last,
            severities=_by_name(severities),
            duplicates=refused.duplicates,
            conflicts=refused.conflicts,
            expired=refused.expired,
            delays=self._arrivals.delays(row),
            late=self._arrivals.late(row),
            ahead=self._arrivals.ahead(row),
            overtaken=self._overtaking.count(row),
            numbers=self._numbering.of(row) if self._asked.every_event else None,
            usual_per_minute=self._minutes_of.usual(row),
            peak_minute=self._minutes_of.peak(row),
            bursts=self._minutes_of.bursts(row),
            usual_pause_us=self._pauses.usual_us(row),
            longest_pause_us=self._pauses.longest_us(row),
            silences=self._pauses.silences(row, end),
        )

    def _bursts(self) -> tuple[Burst, ...]:
        found = (self._minutes_of.greatest_burst(row, name) for name, row in self._rows.items())
        bursts = [burst for burst in found if burst is not None]
        bursts.sort(key=lambda burst: (-burst.events / max(burst.usual, 1), burst.source))
        return tuple(bursts[: self._asked.top])

    def _silences(self, end: int) -> tuple[Silence, ...]:
        found = (self._pauses.longest_silence(row, name, end) for name, row in self._rows.items())
        silences = [silence for silence in found if silence is not None]
        silences.sort(key=lambda silence: (-silence.pause_us / max(silence.usual_us, 1), silence.source))
        return tuple(silences[: self._asked.top])

    def _notes(self, sources: tuple[SourceReport, ...]) -> list[str]:
        """Return what the report does not say, and why."""
        notes = []
        if not self._asked.every_event:
            notes.append(
                "gaps, restarts and jumps are not told: only some of the events were read, and a number that"
                " is missing among these may be in the archive"
            )
        for source in sources:
            if source.numbers is not None and source.numbers.kind != COUNTING:
                notes.append(f"{source.source}: gaps and jumps are not told: {_WHY[source.numbers.kind]}")
        if self._others:
            notes.append(
                f"{self._other_events} events are of {len(self._others)} further sources, of which nothing is"
                f" told one by one: the limit is {self._bounds.sources}"
            )
        if self._templates.is_full:
            notes.append(
                "there are too many templates: those of some events are not told"
                f" ({self._templates.untold} in the window), so others may be rarer, and new"
            )
        if self._templates.count > self._bounds.templates_listed:
            notes.append(
                f"the {self._bounds.templates_listed} rarest of {self._templates.count} templates are listed"
            )
        return notes


_OTHERS_MAX = 1_000_000
"""Sources beyond the limit that are counted."""
_WHY = {
    "scattered": "more than half of its numbers follow no other",
    "too many gaps": "there are too many of them",
    "too many restarts": "it begins to count anew all the time",
}


def _by_name(counts: Any) -> dict[str, int]:
    return {severity.name: int(count) for severity, count in zip(SEVERITIES, counts, strict=True) if count}

"""The method of an instance that reports on a pass, or on any other window of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from yamcs_archive import arguments
from yamcs_archive.coercion import plain_severity
from yamcs_archive.event import AnySeverity
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.instance.base import SkipDamaged
from yamcs_archive.instance.reading import Reading, range_query
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.pass_report.limits import (
    LATE_AFTER_S_DEFAULT,
    LATE_AFTER_S_MAX,
    OUTSIDE_US,
    TOP_DEFAULT,
    TOP_MAX,
)
from yamcs_archive.storage.read.query import Query
from yamcs_archive.times import Time, to_us

if TYPE_CHECKING:
    from yamcs_archive.pass_report.analysis.analyser import Asked
    from yamcs_archive.pass_report.report import PassReport


class Reporting(Reading):
    """Reports on a pass."""

    def report(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,  # as the API calls it
        new_since: Time | None = None,
        history_since: Time | None = None,
        late_after_s: float = LATE_AFTER_S_DEFAULT,
        top: int = TOP_DEFAULT,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        skip_damaged: SkipDamaged = False,
    ) -> PassReport | None:
        """Return what an operator wants to know of the events with ``start <= generation_time < stop``.

        Gaps in the numbers, late arrivals, clock jumps, rates, bursts, silences, new message templates, the
        rarest messages; docs/report.md defines each. ``print()`` shows it. Events are read once, oldest
        first; memory is bounded, and what is left out for that is in ``notes``.

        The first eight arguments say which events, as for :meth:`events`. With ``min_severity``, ``text`` or
        ``filter`` the numbers are not followed. Numbers that seem to be missing are looked for up to an hour
        before and after the window. A template is new if no event before ``new_since`` has it
        (default: ``start``); for that the events of these sources before the window are read too, all of
        them or those from ``history_since`` on. An event is late if it was received more than
        ``late_after_s`` seconds after it was generated. ``top`` is the greatest length of each list of
        findings.

        ``progress`` is called from time to time with the number of events read so far, and with that of all
        (0 with ``text`` or ``filter``, where nobody knows it). Once ``cancelled`` returns True, reading ends
        and the result is None.

        Raises the errors of :meth:`events`; all of bad arguments at once.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n, seq_number=n) for n in (0, 1, 2, 5))
        >>> found = sim.report()
        >>> found.events, found.gap_count, found.missing, found.rarest[0].text
        (4, 1, 2, 'Step <n>')
        """
        from yamcs_archive.pass_report.analysis.analyser import Analysis, Asked  # noqa: PLC0415  # compiles masks

        asked = Asked(
            start=None if start is None else to_us(start, "start"),
            stop=None if stop is None else to_us(stop, "stop"),
            sources=None if sources is None else tuple(sorted(arguments.names("sources", sources))),
            min_severity=None if min_severity is None else plain_severity(min_severity, "min_severity").name,
            text=None if text is None else arguments.text("text", text),
            filter=None
            if filter is None
            else (filter if isinstance(filter, Filter) else Filter(filter)).text,
            new_since=_new_since(start, new_since),
            history_since=None if history_since is None else to_us(history_since, "history_since"),
            late_after_us=round(arguments.seconds("late_after_s", late_after_s, LATE_AFTER_S_MAX) * 1e6),
            top=arguments.whole("top", top, 1, TOP_MAX),
        )
        progress = arguments.callback("progress", progress)
        window = self._query(
            range_query(asked.start, asked.stop, asked.sources, cancelled, skip_damaged),
            min_severity,
            text,
            filter,
        )
        history = self._history(asked, cancelled, skip_damaged)
        made, begun_s = self._options.clock(), time.monotonic()
        analysis = Analysis(asked)
        whole = 0 if progress is None else self._whole(history, window)
        read = 0
        for query, take in ((history, analysis.add_history), (window, analysis.add)):
            for events in () if query is None else self._store.scan_lazily(query):
                take(events)
                read += events.size
                if progress is not None:
                    progress(read, whole and max(read, whole))
        if analysis.has_gaps:
            for low, high in _outside(asked):
                query = range_query(low, high, asked.sources, cancelled, skip_damaged)
                for events in self._store.scan_lazily(query):
                    analysis.add_outside(events)
        if cancelled is not None and cancelled():
            return None
        refused = self.stats().sources
        return analysis.report(self.name, refused, made=made, seconds=time.monotonic() - begun_s)

    def _whole(self, *queries: Query | None) -> int:
        """Return the number of events that will be read; 0 if to count them would take as long."""
        asked = [query for query in queries if query is not None]
        if any(query.matches is not None or query.text is not None for query in asked):
            return 0
        return sum(map(self._store.count, asked))

    @staticmethod
    def _history(
        asked: Asked, cancelled: Callable[[], bool] | None, skip_damaged: SkipDamaged
    ) -> Query | None:
        """Return the query for the events before the window whose templates are not new."""
        if asked.start is None or asked.new_since is None:
            return None
        stop = min(asked.start, asked.new_since)
        return range_query(asked.history_since, stop, asked.sources, cancelled, skip_damaged)


def _outside(asked: Asked) -> Iterator[tuple[int, int]]:
    """Yield the times shortly before and after the window."""
    if asked.start is not None:
        yield max(TIME_MIN_US, asked.start - OUTSIDE_US), asked.start
    if asked.stop is not None:
        yield asked.stop, min(TIME_MAX_US, asked.stop + OUTSIDE_US)


def _new_since(start: Time | None, new_since: Time | None) -> int | None:
    if new_since is not None:
        return to_us(new_since, "new_since")
    return None if start is None else to_us(start, "start")

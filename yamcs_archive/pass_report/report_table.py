"""A report as text for people: first the verdict in lines, then a table for each finding; pure.

A table that shows some only says how many there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter

from yamcs_archive.pass_report.findings import Findings, MessageTemplate, SourceReport
from yamcs_archive.pass_report.text_table import (
    counted,
    heading,
    shown_name,
    shown_number,
    shown_span,
    shown_text,
    table,
)
from yamcs_archive.printable import printable
from yamcs_archive.times import format_rfc3339

SHOWN_MAX = 20
"""Sources, and templates of only one pass, that are shown."""


def report_lines(report: Findings, *, sources_max: int | None = SHOWN_MAX) -> Iterator[str]:
    """Yield the lines of a report; ``sources_max`` is the number of sources that are shown (None: all)."""
    yield from _verdict(report)
    yield from _sources(report, sources_max)
    yield from _numbers(report)
    yield from _arrivals(report)
    yield from _pace(report)
    yield from _templates(report)
    if report.notes:
        yield from ("", "NOT TOLD", *(f"  {printable(note)}" for note in report.notes))


def _verdict(report: Findings) -> Iterator[str]:
    of = f" of {counted(len(report.sources) + report.other_sources, 'source')}"
    yield f"{printable(report.instance)}: {_window(report.start, report.stop)}"
    if (asked := _asked(report)) != "":
        yield f"  only {asked}"
    if report.first_time is None or report.last_time is None:
        yield "no events"
        return
    first, last = report.first_time, report.last_time
    yield (
        f"{counted(report.events, 'event')}{of}, from {format_rfc3339(first)} to {format_rfc3339(last)}"
        f" ({shown_span(last - first)})"
    )
    yield "  " + ", ".join(f"{count:,} {name}" for name, count in report.severities.items())
    second, minute = report.peak_second, report.peak_minute
    if second is not None and minute is not None:
        mean = "" if report.events_per_s is None else f"{report.events_per_s:,.2f} events/s; "
        yield (
            f"  {mean}most in a second {second.events:,}, at {format_rfc3339(second.time)},"
            f" in a minute {minute.events:,}, at {format_rfc3339(minute.time)}"
        )
    if report.gap_count is not None:
        lost = f": {counted(report.missing or 0, 'number')} missing" if report.gap_count else ""
        restarts = counted(report.restart_count or 0, "restart")
        yield f"{counted(report.gap_count, 'gap')} in the numbers{lost}; {restarts}"
    yield (
        f"{report.late:,} late, by more than {shown_span(report.late_after_us)};"
        f" {report.overtaken:,} stored after later ones of their source"
    )
    jumps = "" if report.jump_count is None else f"{counted(report.jump_count, 'clock jump')}; "
    yield f"{jumps}{report.ahead:,} generated after they were received"
    bursts, silences = (sum(map(attrgetter(name), report.sources)) for name in ("bursts", "silences"))
    yield f"{counted(bursts, 'burst')}, {counted(silences, 'silence')}"
    new = "" if report.new_count is None else f", {report.new_count:,} of them new{_since(report)}"
    yield f"{counted(report.template_count, 'message template')}{new}"
    yield (
        f"ever refused: {counted(report.duplicates, 'duplicate')}, {counted(report.conflicts, 'conflict')},"
        f" {report.expired:,} expired"
    )


def _since(report: Findings) -> str:
    since = "" if report.new_since is None else f" since {format_rfc3339(report.new_since)}"
    if report.history_since is not None:
        since += f" (compared with those from {format_rfc3339(report.history_since)} on)"
    return since


def _asked(report: Findings) -> str:
    asked = []
    if report.only_sources is not None:
        asked.append("of " + (", ".join(shown_name(name) for name in report.only_sources) or "no source"))
    if report.min_severity is not None:
        asked.append(f"from {report.min_severity} on")
    if report.text is not None:
        asked.append(f"with the text {shown_text(report.text)!r}")
    if report.filter is not None:
        asked.append(f"that match {shown_text(report.filter)}")
    return ", ".join(asked)


def _window(start: int | None, stop: int | None) -> str:
    if start is None and stop is None:
        return "all events"
    if stop is None:
        return f"from {format_rfc3339(start or 0)} on"
    return f"{'up' if start is None else f'from {format_rfc3339(start)}'} to {format_rfc3339(stop)}"


def _sources(report: Findings, sources_max: int | None) -> Iterator[str]:
    if not report.sources:
        return
    shown = sorted(report.sources, key=lambda source: (-source.events, source.source))[:sources_max]
    yield from heading("SOURCES", len(shown), len(report.sources), "with most events")
    yield from table(
        *(
            "<SOURCE",
            ">EVENTS",
            ">A MINUTE",
            ">AT MOST",
            ">GAPS",
            ">MISSING",
            ">RESTARTS",
            ">LATE",
            ">MEDIAN DELAY",
        ),
        *(">99 %", ">LONGEST", ">OVERTAKEN", ">JUMPS", ">BURSTS", ">SILENCES", ">DUPLICATES", ">CONFLICTS"),
        rows=map(_source_row, shown),
    )


def _source_row(source: SourceReport) -> tuple[str, ...]:
    numbers, delays = source.numbers, source.delays
    gaps = missing = restarts = jumps = "-"
    if numbers is not None:
        gaps, missing, restarts = (
            shown_number(numbers.gaps),
            shown_number(numbers.missing),
            shown_number(numbers.restarts),
        )
        if numbers.jumps_back is not None and numbers.jumps_forth is not None:
            jumps = shown_number(numbers.jumps_back + numbers.jumps_forth)
    return (
        shown_name(source.source),
        shown_number(source.events),
        shown_number(source.usual_per_minute),
        shown_number(source.peak_minute.events),
        *(gaps, missing, restarts, shown_number(source.late)),
        *map(shown_span, (delays.median_us, delays.p99_us, delays.longest_us)),
        *(shown_number(source.overtaken), jumps, shown_number(source.bursts), shown_number(source.silences)),
        *(shown_number(source.duplicates), shown_number(source.conflicts)),
    )


def _numbers(report: Findings) -> Iterator[str]:
    if report.gaps:
        yield from heading("GAPS IN NUMBERS", len(report.gaps), report.gap_count, "largest")
        yield from table(
            *("<SOURCE", ">MISSING", ">FROM", ">TO", "<AFTER", "<BEFORE"),
            rows=(
                (
                    *(shown_name(gap.source), shown_number(gap.missing), str(gap.first), str(gap.last)),
                    *map(format_rfc3339, (gap.after, gap.before)),
                )
                for gap in report.gaps
            ),
        )
    if report.restarts:
        yield from heading("RESTARTS OF NUMBERS", len(report.restarts), report.restart_count, "first")
        yield from table(
            *("<SOURCE", "<TIME", ">NUMBER", ">AFTER"),
            rows=(
                (shown_name(each.source), format_rfc3339(each.time), str(each.number), str(each.previous))
                for each in report.restarts
            ),
        )
    if report.jumps:
        yield from heading("CLOCK JUMPS", len(report.jumps), report.jump_count, "largest")
        yield from table(
            *("<SOURCE", "<STEP", "<FROM", "<TO", "<RECEIVED", ">NUMBER"),
            rows=(
                (
                    shown_name(jump.source),
                    f"{'back' if jump.step_us < 0 else 'forth'} {shown_span(abs(jump.step_us))}",
                    *map(format_rfc3339, (jump.before, jump.time, jump.received)),
                    str(jump.number),
                )
                for jump in report.jumps
            ),
        )


def _arrivals(report: Findings) -> Iterator[str]:
    late = sorted(
        (source for source in report.sources if source.late),
        key=lambda source: (-source.delays.longest_us, source.source),
    )
    if late:
        shown = late[:SHOWN_MAX]
        yield from heading("LATE ARRIVALS", len(shown), len(late), "sources with the longest delays")
        yield from table(
            *("<SOURCE", ">LATE", ">95 %", ">99 %", ">LONGEST", "<GENERATED", ">NUMBER"),
            rows=(
                (
                    *(shown_name(source.source), shown_number(source.late)),
                    *map(shown_span, (source.delays.p95_us, source.delays.p99_us, source.delays.longest_us)),
                    format_rfc3339(source.delays.longest_time),
                    str(source.delays.longest_number),
                )
                for source in shown
            ),
        )


def _pace(report: Findings) -> Iterator[str]:
    bursts, silences = (
        sum(1 for source in report.sources if getattr(source, name)) for name in ("bursts", "silences")
    )
    if report.bursts:
        yield from heading("BURSTS", len(report.bursts), bursts, "greatest, one of each source")
        yield from table(
            *("<SOURCE", "<MINUTE", ">EVENTS", ">USUALLY"),
            rows=(
                (
                    shown_name(burst.source),
                    format_rfc3339(burst.time),
                    shown_number(burst.events),
                    shown_number(burst.usual),
                )
                for burst in report.bursts
            ),
        )
    if report.silences:
        yield from heading("SILENCES", len(report.silences), silences, "longest, one of each source")
        yield from table(
            *("<SOURCE", ">FOR", ">USUALLY", "<SINCE", "<UNTIL"),
            rows=(
                (
                    *(
                        shown_name(each.source),
                        shown_span(each.pause_us),
                        shown_span(each.usual_us),
                        format_rfc3339(each.since),
                    ),
                    "the end" if each.at_end else format_rfc3339(each.until),
                )
                for each in report.silences
            ),
        )


def _templates(report: Findings) -> Iterator[str]:
    if report.new_templates:
        yield from heading("NEW MESSAGE TEMPLATES", len(report.new_templates), report.new_count, "first")
        yield from template_table(report.new_templates)
    if report.rarest:
        yield from heading("RAREST MESSAGES", len(report.rarest), report.template_count, "rarest")
        yield from template_table(report.rarest, examples=True)


def template_table(templates: Sequence[MessageTemplate], *, examples: bool = False) -> Iterator[str]:
    """Yield the table of some templates."""
    yield from table(
        *(">EVENTS", "<FIRST", "<SEVERITY", "<SOURCE", "<MESSAGE" if examples else "<TEMPLATE"),
        rows=(
            (
                *(
                    shown_number(each.events),
                    format_rfc3339(each.first_time),
                    each.severity,
                    shown_name(each.source),
                ),
                shown_text(each.example if examples else each.text),
            )
            for each in templates
        ),
    )

"""The report of a pass, and two of them side by side, as users hold them."""

from __future__ import annotations

from dataclasses import dataclass

from yamcs_archive.pass_report.compared import ComparedFindings, ComparedPass, ComparedSides, Side
from yamcs_archive.pass_report.comparison_table import comparison_lines
from yamcs_archive.pass_report.findings import Findings, MessageTemplate, SourceReport
from yamcs_archive.pass_report.report_table import report_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class PassReport(Findings):
    """A pass, or any other window of an instance, as an operator asks for it afterwards.

    ``print(report)`` shows it as ``yamcs-archive report`` does. Get one from
    :meth:`Instance.report <yamcs_archive.Instance.report>`.
    """

    def __str__(self) -> str:
        return "\n".join(report_lines(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportComparison(ComparedFindings):
    """Two passes side by side. ``print(comparison)`` shows it as ``yamcs-archive report --compare`` does.

    Get one from :func:`compare_reports`.
    """

    def __str__(self) -> str:
        return "\n".join(comparison_lines(self))


def compare_reports(a: PassReport, b: PassReport, *, names: tuple[str, str] = ("A", "B")) -> ReportComparison:
    """Return two reports side by side; ``names`` are what the passes are called.

    Sources are told in numbers of each pass: rates by the length of the pass, so that a pass of ten minutes
    and one of twelve can be compared. Templates that only one pass has are known for sure only as far as both
    reports list all of theirs; otherwise ``notes`` says so.

    >>> report = sim.report()
    >>> compare_reports(report, report).only_a
    ()
    """
    sides_a, sides_b = _sides(a), _sides(b)
    texts_a, texts_b = ({template.text for template in report.templates} for report in (a, b))
    notes = []
    for name, report in zip(names, (a, b), strict=True):
        if len(report.templates) < report.template_count or report.untold_events:
            notes.append(f"not all templates of {name} are known: some may be in both passes")
        notes.extend(f"{name}: {note}" for note in report.notes)
    return ReportComparison(
        a=_compared(names[0], a),
        b=_compared(names[1], b),
        total_a=_total(a),
        total_b=_total(b),
        sources=tuple(
            ComparedSides(source=name, a=sides_a.get(name), b=sides_b.get(name))
            for name in sorted({*sides_a, *sides_b})
        ),
        only_a=_only(a, texts_b),
        only_b=_only(b, texts_a),
        notes=tuple(notes),
    )


def _compared(name: str, report: PassReport) -> ComparedPass:
    return ComparedPass(
        name=name,
        instance=report.instance,
        start=report.start,
        stop=report.stop,
        first_time=report.first_time,
        last_time=report.last_time,
        template_count=report.template_count,
    )


def _only(report: PassReport, others: set[str]) -> tuple[MessageTemplate, ...]:
    found = [template for template in report.templates if template.text not in others]
    return tuple(sorted(found, key=lambda template: (-template.events, template.text)))


def _sides(report: PassReport) -> dict[str, Side]:
    return {source.source: _side(source, _span_us(report)) for source in report.sources}


def _span_us(report: PassReport) -> int:
    if report.first_time is None or report.last_time is None:
        return 0
    return report.last_time - report.first_time


def _rate(events: int, span_us: int) -> float | None:
    return events * 1e6 / span_us if span_us else None


def _side(source: SourceReport, span_us: int) -> Side:
    numbers = source.numbers
    back, forth = (None, None) if numbers is None else (numbers.jumps_back, numbers.jumps_forth)
    return Side(
        events=source.events,
        events_per_s=_rate(source.events, span_us),
        severities=source.severities,
        gaps=None if numbers is None else numbers.gaps,
        missing=None if numbers is None else numbers.missing,
        restarts=None if numbers is None else numbers.restarts,
        late=source.late,
        median_delay_us=source.delays.median_us,
        overtaken=source.overtaken,
        jumps=None if back is None or forth is None else back + forth,
        bursts=source.bursts,
        silences=source.silences,
    )


def _total(report: PassReport) -> Side:
    return Side(
        events=report.events,
        events_per_s=report.events_per_s,
        severities=report.severities,
        gaps=report.gap_count,
        missing=report.missing,
        restarts=report.restart_count,
        late=report.late,
        median_delay_us=None,
        overtaken=report.overtaken,
        jumps=report.jump_count,
        bursts=sum(source.bursts for source in report.sources),
        silences=sum(source.silences for source in report.sources),
    )

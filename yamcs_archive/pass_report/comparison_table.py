"""The comparison of two passes as text for people: passes, totals, sources, templates of only one; pure."""

from __future__ import annotations

from collections.abc import Iterator

from yamcs_archive.event import SEVERITIES
from yamcs_archive.pass_report.compared import ComparedFindings, ComparedPass, ComparedSides, Side
from yamcs_archive.pass_report.report_table import SHOWN_MAX, template_table
from yamcs_archive.pass_report.text_table import heading, shown_name, shown_number, shown_span, table
from yamcs_archive.printable import printable
from yamcs_archive.times import format_rfc3339

_COUNTS = ("gaps", "missing", "restarts", "late", "overtaken", "jumps", "bursts", "silences")


def comparison_lines(found: ComparedFindings, *, shown_max: int | None = SHOWN_MAX) -> Iterator[str]:
    """Yield the lines of a comparison, with at most ``shown_max`` sources and templates (None: all)."""
    yield from map(_pass, (found.a, found.b))
    yield ""
    a, b = printable(found.a.name), printable(found.b.name)
    yield from table("<", f">{a}", f">{b}", ">DIFFERENCE", rows=_total_rows(found.total_a, found.total_b))
    shown = sorted(found.sources, key=lambda each: (-_difference(each), each.source))[:shown_max]
    if shown:
        yield from heading("SOURCES", len(shown), len(found.sources), "with the greatest difference in rate")
        yield from table(
            *("<SOURCE", f">EVENTS {a}", f">{b}", f">A MINUTE {a}", f">{b}", f">GAPS {a}", f">{b}"),
            *(f">MISSING {a}", f">{b}", f">LATE {a}", f">{b}", "<SEVERITIES"),
            rows=map(_source_row, shown),
        )
    for name, templates in ((a, found.only_a), (b, found.only_b)):
        if templates:
            some = templates[:shown_max]
            yield from heading(f"ONLY IN {name}", len(some), len(templates), "most frequent templates")
            yield from template_table(some)
    if not (found.only_a or found.only_b):
        yield from ("", "both have the same message templates")
    if found.notes:
        yield from ("", "NOT TOLD", *(f"  {printable(note)}" for note in found.notes))


def _pass(compared: ComparedPass) -> str:
    found = "no events"
    if compared.first_time is not None and compared.last_time is not None:
        first, last = format_rfc3339(compared.first_time), format_rfc3339(compared.last_time)
        found = f"{first} to {last} ({shown_span(compared.last_time - compared.first_time)})"
    return f"{printable(compared.name)}: {printable(compared.instance)}, {found}"


def _total_rows(a: Side, b: Side) -> Iterator[tuple[str, ...]]:
    rows: list[tuple[str, float | None, float | None]] = [("events", a.events, b.events)]
    rows += [
        (f"  {severity.name}", a.severities.get(severity.name, 0), b.severities.get(severity.name, 0))
        for severity in SEVERITIES
        if severity.name in a.severities or severity.name in b.severities
    ]
    rows.append(("events/s", a.events_per_s, b.events_per_s))
    rows += [(name, getattr(a, name), getattr(b, name)) for name in _COUNTS]
    for name, one, other in rows:
        yield name, _figure(one), _figure(other), _difference_of(one, other)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def _difference_of(one: float | None, other: float | None) -> str:
    if one is None or other is None:
        return "-"
    value = other - one
    return f"{value:+,.2f}" if isinstance(value, float) else f"{value:+,}"


def _source_row(found: ComparedSides) -> tuple[str, ...]:
    cells = []
    for name in ("events", "events_per_s", "gaps", "missing", "late"):
        for side in (found.a, found.b):
            value = None if side is None else getattr(side, name)
            if name == "events_per_s":
                cells.append("-" if value is None else f"{60 * value:,.1f}")
            else:
                cells.append(shown_number(value))
    before, after = ({} if side is None else side.severities for side in (found.a, found.b))
    changed = [
        f"{severity.name} {before.get(severity.name, 0):,} to {after.get(severity.name, 0):,}"
        for severity in SEVERITIES
        if before.get(severity.name, 0) != after.get(severity.name, 0)
    ]
    return shown_name(found.source), *cells, ", ".join(changed) or "-"


def _difference(found: ComparedSides) -> float:
    """Return by how much the rates of a source differ."""
    a, b = (0.0 if side is None else side.events_per_s or 0.0 for side in (found.a, found.b))
    return abs(a - b)

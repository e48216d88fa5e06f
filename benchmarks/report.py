"""Turns results into JSON and tables of text; pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import msgspec

from benchmarks.jobs import Result
from benchmarks.runner import by_measure
from benchmarks.targets import Standing, standings

_SHOWN: dict[str, dict[str, str]] = {
    "ingest": {
        "events_per_s": "events/s, durable",
        "latency_us_p50": "time of one append in us, median",
        "latency_us_p99": "time of one append in us, 99th percentile",
        "bytes_per_event": "bytes per event, allocated at rest",
    },
    "queries": {
        "scan_events_per_s": "full scan to Event objects, events/s",
        "newest_100_ms": "newest 100, ms",
        "rare_source_ms": "rare source, newest 100, ms",
        "rare_source_once_ms": "rare source, for the first time, ms",
        "rare_severity_ms": "rare severity, newest 100, ms",
        "rare_severity_once_ms": "rare severity, for the first time, ms",
        "absent_source_ms": "source that does not exist, ms",
        "absent_text_events_per_s": "text that matches nothing, events/s",
        "open_ms": "open until the newest event is there, ms",
    },
    "memory": {"peak_mib": "peak of anonymous memory, MiB", "before_mib": "before the first event, MiB"},
    "serving": {
        "peak_mib": "the greatest peak of anonymous memory, MiB",
        "page_mib": "one page, MiB",
        "stream_mib": "one stream, MiB",
        "pages_16_mib": "16 pages at once, MiB",
        "streams_8_mib": "8 streams at once, MiB",
        "changes_16_mib": "16 pages of changes at once, MiB",
        "batches_30_mib": "30 batches at once, MiB",
        "posts_64_mib": "64 connections that post, MiB",
        "together_mib": "16 pages, 8 streams and 30 batches at once, MiB",
    },
    "http": {
        "requests_per_s": "requests/s, durable",
        "events_per_s": "events/s, durable",
        "latency_us_p50": "latency in us, median",
        "latency_us_p99": "latency in us, 99th percentile",
        "bytes_per_event": "bytes per event, allocated after the server's own compaction",
    },
    "reading": {
        "stream_json_events_per_s": "stream of JSON, events/s",
        "stream_protobuf_events_per_s": "stream of protobuf, events/s",
        "csv_events_per_s": "CSV, events/s",
        "page_json_ms": "page of the newest 100 in JSON, ms",
        "page_protobuf_ms": "page of the newest 100 in protobuf, ms",
        "rare_source_ms": "rare source, newest 100, ms",
        "absent_text_ms": "text that matches nothing, ms",
    },
    "tables": {
        "scan_events_per_s": "full scan to Event objects, events/s",
        "table_events_per_s": "all columns in key order to Arrow (SQLite: to pandas, from_records), events/s",
        "any_order_events_per_s": "the same in any order, events/s",
        "frame_events_per_s": "filter on source and severity to pandas, events searched/s",
    },
    "table_memory": {
        "stream_mib": "peak while all batches are read, MiB",
        "parquet_mib": "peak while a Parquet file is written, MiB",
        "before_mib": "before the first batch, MiB",
        "stream_events_per_s": "all batches, events/s",
        "parquet_events_per_s": "to Parquet, events/s",
        "parquet_bytes_per_event": "bytes per event of the Parquet file",
    },
    "logging": {
        "call_us_mean": "a call in us, mean",
        "call_us_p50": "a call in us, median",
        "call_us_p99": "a call in us, 99th percentile",
        "cpu_us": "processor time of the calling thread in us, each call",
        "flush_s": "until all is stored, after the last call, s",
    },
    "files": {
        "export_events_per_s": "export, events/s",
        "import_events_per_s": "import into a new archive, events/s, durable",
        "bytes_per_event": "bytes per event of the file",
        "export_mib": "peak of the export, MiB",
        "import_mib": "peak of the import, MiB",
    },
    "scale": {
        "events_per_s": "the last million, events/s",
        "last_to_second": "the last million / the 2nd",
        "ingest_s": "ingest in all, s",
        "newest_100_ms": "newest 100, ms",
        "first_newest_100_ms": "the same at 1 million, ms",
        "rare_source_ms": "rare source, newest 100, ms",
        "rare_source_once_ms": "rare source, for the first time, ms",
        "rare_severity_ms": "rare severity, newest 100, ms",
        "rare_severity_once_ms": "rare severity, for the first time, ms",
        "absent_source_ms": "source that does not exist, ms",
        "open_ms": "open until the newest event is there, ms",
        "bytes_per_event": "bytes per event, allocated",
        "peak_mib": "peak of anonymous memory, MiB",
    },
}  # fmt: skip


class Run(msgspec.Struct, frozen=True):
    """One run of the harness."""

    taken: str
    """The time of its start, RFC 3339."""
    command: str
    circumstances: dict[str, str] = {}
    """Conditions that may differ between runs whose results are in one document."""


class Document(msgspec.Struct, frozen=True):
    """All results of one machine with one version."""

    machine: dict[str, str]
    sizes: dict[str, int]
    """The sizes of the cases, by the names of :class:`benchmarks.plan.Sizes`."""
    runs: list[Run]
    results: list[Result]


def to_json(document: Document) -> bytes:
    """Return the document as indented JSON; :func:`from_json` reads it back.

    >>> from_json(to_json(Document({}, {}, [], []))) == Document({}, {}, [], [])
    True
    """
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def from_json(text: bytes) -> Document:
    """Read a document from its JSON; msgspec.DecodeError for other text."""
    return msgspec.json.decode(text, type=Document)


def to_text(document: Document) -> str:
    """Return the machine, a table for each figure of each measure, and the verdicts on the targets."""
    facts = [*document.machine.items()]
    for run in document.runs:
        facts += [("run of", run.taken), *run.circumstances.items()]
    lines = [f"{name:<18}{text}" for name, text in facts]
    for measure, results in by_measure(document.results).items():
        for figure, title in _SHOWN[measure].items():
            rows = _rows(results, figure)
            if len(rows) > 1:
                lines += ["", f"{measure}: {title}", *_aligned(rows)]
    lines += ["", "contenders", *_notes(document.results)]
    lines += ["", "to reach", *_aligned(_target_rows(_concerned(document.results)))]
    lines += ["", *_faults(document.results)]
    return "\n".join(lines) + "\n"


def shown(values: Sequence[float]) -> str:
    """Return the median, with half of the spread in percent if there are several values.

    >>> shown([2.0]), shown([90.0, 100.0, 120.0]), shown([1234567.0])
    ('2.00', '100 ±15%', '1,234,567')
    """
    if not values:
        return "-"
    middle = median(values)
    text = f"{middle:,.0f}" if abs(middle) >= 100 else f"{middle:.3g}" if abs(middle) < 1 else f"{middle:.2f}"
    if len(values) > 1 and middle:
        text += f" ±{(max(values) - min(values)) / 2 / middle:.0%}"
    return text


def _faults(results: Sequence[Result]) -> list[str]:
    failed = [f"FAILED: {result.job.label()}: {result.failure}" for result in results if result.failure]
    wrong = [result.job.label() for result in results if not (result.right or result.failure)]
    if wrong:
        failed.append(f"WRONG ANSWERS: {'; '.join(wrong)}")
    return failed or ["All runs gave the right answers."]


def _rows(results: Sequence[Result], figure: str) -> list[list[str]]:
    """Return a header, and a row for each case that has the figure."""
    contenders = list(dict.fromkeys(result.job.contender for result in results))
    cells = {(result.job.case, result.job.contender): result.values(figure) for result in results}
    rows = [["", *contenders]]
    for case in dict.fromkeys(result.job.case for result in results):
        values = [cells.get((case, contender), []) for contender in contenders]
        if any(values):
            rows.append([case, *map(shown, values)])
    return rows


def _concerned(results: Sequence[Result]) -> list[Standing]:
    """Return the targets of the measures in the results."""
    measures = {result.job.measure for result in results}
    return [standing for standing in standings(results) if standing.target.figure.measure in measures]


def _target_rows(found: Sequence[Standing]) -> list[list[str]]:
    rows = [["", "measured", "at least", "aim", ""]]
    for standing in found:
        target = standing.target
        bound = "<= " if target.less_is_better else ""
        rows.append(
            [
                target.what,
                "-" if standing.value is None else f"{standing.value:.3g} {target.unit}",
                f"{bound}{target.at_least:.3g} {target.unit}",
                f"{bound}{target.aim:.3g} {target.unit}",
                standing.verdict,
            ]
        )
    return rows


def _notes(results: Sequence[Result]) -> list[str]:
    """Return versions and durability of each contender; equal notes only once."""
    found: dict[str, dict[str, str]] = {}
    for result in results:
        for outcome in result.outcomes[:1]:
            found.setdefault(result.job.contender, {}).update(outcome.notes)
    return [
        f"  {contender:<18}{', '.join(f'{name} {text}' for name, text in notes.items())}"
        for contender, notes in found.items()
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines, with the first column left-aligned and the others right-aligned.

    >>> _aligned([["a", "bcd"], ["ef", "g"]])
    ['  a   bcd', '  ef    g']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  "
        + "  ".join(
            [
                row[0].ljust(widths[0]),
                *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]

"""The targets: ratios of medians within one run, each with a bound that must hold and one to aim at; pure.

The names of cases are those of :mod:`benchmarks.plan`. A target without figures is left open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from benchmarks.jobs import Result
from benchmarks.measures.logging import PACED

Verdict = Literal["not met", "met", "aim met", "open"]


@dataclass(frozen=True)
class Figure:
    """A figure of the results: the median over the runs of one job."""

    measure: str
    case: str
    contender: str
    name: str


@dataclass(frozen=True)
class Target:
    """A figure, its divisor (None: the figure itself counts), and the two bounds."""

    what: str
    figure: Figure
    base: Figure | None
    at_least: float
    aim: float
    less_is_better: bool = False
    unit: str = "x"
    is_difference: bool = False
    """The base is subtracted, instead of divided by."""


@dataclass(frozen=True)
class Standing:
    """A target and its measured value; None if a figure is missing."""

    target: Target
    value: float | None

    @property
    def verdict(self) -> Verdict:
        """The value, compared with the target's bounds."""
        if self.value is None:
            return "open"
        sign = -1 if self.target.less_is_better else 1
        if sign * self.value >= sign * self.target.aim:
            return "aim met"
        return "met" if sign * self.value >= sign * self.target.at_least else "not met"


_BULK = "in order, batches of 10,000"
_LATE, _SHUFFLED = "late and retried, batches of 10,000", "shuffled, batches of 10,000"
_ONE, _MANY = "single append", "single append, 32 threads"
_OWN_COMMITS = "each event its own commit"
_POST, _POST_WSGI = "POST, 32 connections", "POST under WSGI, 32 connections"
_ROWS = "batch, rows"
_REST = "at rest"
_HUGE = "100 million"
_STREAMED = "streamed"


def _rate(case: str, contender: str = "archive") -> Figure:
    return Figure("ingest", case, contender, "events_per_s")


def _size(case: str, contender: str = "archive") -> Figure:
    return Figure("ingest", case, contender, "bytes_per_event")


def _asked(name: str, contender: str = "archive") -> Figure:
    return Figure("queries", _REST, contender, name)


def _posted(case: str, name: str, contender: str = "archive") -> Figure:
    return Figure("http", case, contender, name)


def _read(name: str, contender: str = "archive") -> Figure:
    return Figure("reading", "over HTTP", contender, name)


def _table(name: str, contender: str = "archive") -> Figure:
    return Figure("tables", _REST, contender, name)


def _streamed(name: str) -> Figure:
    return Figure("table_memory", _STREAMED, "archive", name)


def _file(case: str, name: str) -> Figure:
    return Figure("files", case, "archive", name)


def _huge(name: str) -> Figure:
    return Figure("scale", _HUGE, "archive", name)


def _called(case: str, contender: str, name: str = "call_us_mean") -> Figure:
    return Figure("logging", case, contender, name)


def _over_null(what: str, case: str, name: str = "call_us_mean") -> Target:
    """Return the target of a logging call that is stored: what it takes beyond one that is not."""
    figure, base = _called(case, "archive", name), _called(case, "null", name)
    return Target(what, figure, base, 10, 4, less_is_better=True, unit="us", is_difference=True)


def _at_most(what: str, figure: Figure, at_least: float, aim: float, unit: str) -> Target:
    return Target(what, figure, None, at_least, aim, less_is_better=True, unit=unit)


def _smaller(what: str, figure: Figure, base: Figure, at_least: float, aim: float) -> Target:
    return Target(what, figure, base, at_least, aim, less_is_better=True)


_YAMCS_SIZE = Figure("http", _ROWS, "yamcs", "bytes_per_event")

TARGETS: tuple[Target, ...] = (
    Target("ingest, batches of 10,000 / SQLite", _rate(_BULK), _rate(_BULK, "sqlite"), 2, 4),
    Target("ingest / SQLite with indexes", _rate(_BULK), _rate(_BULK, "sqlite indexed"), 3.5, 7),
    Target("ingest / rocksdict", _rate(_BULK), _rate(_BULK, "rocksdb"), 1.6, 3),
    Target("ingest / raw LMDB", _rate(_BULK), _rate(_BULK, "raw lmdb"), 0.5, 1),
    Target("1 % late, 0.1 % retries / in order", _rate(_LATE), _rate(_BULK), 0.7, 0.9),
    Target("fully shuffled / SQLite", _rate(_SHUFFLED), _rate(_SHUFFLED, "sqlite"), 1, 2),
    Target("single append / LMDB put and commit", _rate(_ONE), _rate(_ONE, "raw lmdb"), 0.7, 0.9),
    Target("single append, 32 threads / one", _rate(_MANY), _rate(_ONE), 5, 10),
    Target(
        "HTTP POST, 32 connections / Yamcs",
        _posted(_POST, "requests_per_s"),
        _posted(_POST, "requests_per_s", "yamcs"),
        1.3,
        2,
    ),
    Target(
        "HTTP POST under WSGI, 32 connections / Yamcs",
        _posted(_POST_WSGI, "requests_per_s"),
        _posted(_POST, "requests_per_s", "yamcs"),
        1.3,
        2,
    ),
    _smaller(
        "HTTP POST, p99 / Yamcs",
        _posted(_POST, "latency_us_p99"),
        _posted(_POST, "latency_us_p99", "yamcs"),
        1 / 3,
        0.1,
    ),
    _smaller(
        "HTTP POST under WSGI, p99 / Yamcs",
        _posted(_POST_WSGI, "latency_us_p99"),
        _posted(_POST, "latency_us_p99", "yamcs"),
        1 / 3,
        0.1,
    ),
    Target(
        "HTTP batch, ndjson / append_many", _posted("batch, ndjson", "events_per_s"), _rate(_BULK), 0.3, 0.5
    ),
    Target(
        "HTTP batch, msgpack / append_many", _posted("batch, msgpack", "events_per_s"), _rate(_BULK), 0.3, 0.5
    ),
    Target(
        "HTTP batch, protobuf / append_many",
        _posted("batch, protobuf", "events_per_s"),
        _rate(_BULK),
        0.2,
        0.5,
    ),
    *(
        Target(
            f"HTTP batch, {encoding} / Yamcs writeRows",
            _posted(f"batch, {encoding}", "events_per_s"),
            _posted(_ROWS, "events_per_s", "yamcs"),
            2,
            4,
        )
        for encoding in ("ndjson", "msgpack", "protobuf")
    ),
    *(
        Target(f"{what} / Yamcs", _read(name), _read(name, "yamcs"), at_least, aim)
        for what, name, at_least, aim in (
            ("stream of protobuf", "stream_protobuf_events_per_s", 1.5, 2),
            ("stream of JSON", "stream_json_events_per_s", 5, 7),
            ("CSV", "csv_events_per_s", 4, 6),
        )
    ),
    *(
        _smaller(f"{what} / Yamcs", _read(name), _read(name, "yamcs"), at_least, aim)
        for what, name, at_least, aim in (
            ("page of the newest 100, JSON", "page_json_ms", 1, 0.5),
            ("page of the newest 100, protobuf", "page_protobuf_ms", 1, 0.5),
            ("rare source over HTTP", "rare_source_ms", 1 / 100, 1 / 1000),
            ("text that matches nothing over HTTP", "absent_text_ms", 1 / 20, 1 / 50),
        )
    ),
    Target(
        "full scan to events / SQLite",
        _asked("scan_events_per_s"),
        _asked("scan_events_per_s", "sqlite"),
        3,
        5,
    ),
    Target(
        "text that matches nothing / SQLite LIKE",
        _asked("absent_text_events_per_s"),
        _asked("absent_text_events_per_s", "sqlite"),
        1.5,
        5,
    ),
    _at_most("rare source, newest 100", _asked("rare_source_ms"), 20, 2, "ms"),
    _at_most("rare severity, newest 100", _asked("rare_severity_ms"), 20, 2, "ms"),
    _at_most("rare source, at 100 million", _huge("rare_source_ms"), 50, 5, "ms"),
    _at_most("rare severity, at 100 million", _huge("rare_severity_ms"), 50, 5, "ms"),
    _at_most("source that does not exist, at 100 million", _huge("absent_source_ms"), 50, 5, "ms"),
    _smaller("bytes per event / SQLite", _size(_BULK), _size(_BULK, "sqlite"), 0.15, 0.075),
    _smaller("bytes per event / rocksdict", _size(_BULK), _size(_BULK, "rocksdb"), 0.6, 0.3),
    _smaller("bytes per event / Yamcs, compacted", _size(_BULK), _YAMCS_SIZE, 0.5, 0.25),
    _smaller(
        "bytes per event, own commits / SQLite", _size(_OWN_COMMITS), _size(_OWN_COMMITS, "sqlite"), 0.2, 0.15
    ),
    Target("rate of the 100th million / the 2nd", _huge("last_to_second"), None, 0.9, 1),
    _smaller(
        "newest 100, at 100 / at 1 million", _huge("newest_100_ms"), _huge("first_newest_100_ms"), 1.5, 1
    ),
    _at_most(
        "peak memory, messages of 1 MiB",
        Figure("memory", "messages of 1 MiB", "archive", "peak_mib"),
        286,
        95,
        "MiB",
    ),
    _at_most(
        "peak memory, served, messages of 1 MiB",
        Figure("serving", "messages of 1 MiB", "archive", "peak_mib"),
        286,
        95,
        "MiB",
    ),
    _at_most("peak memory, at 100 million", _huge("peak_mib"), 286, 95, "MiB"),
    _over_null("logging call - NullHandler's, mean, without a pause", "without a pause"),
    _over_null("logging call - NullHandler's, processor time of the caller", "without a pause", "cpu_us"),
    _over_null("logging call - NullHandler's, median, 1,000 a second", PACED, "call_us_p50"),
    _at_most("open, at 100 million", _huge("open_ms"), 100, 10, "ms"),
    Target(
        "all events to Arrow / event scan", _table("table_events_per_s"), _table("scan_events_per_s"), 2, 4
    ),
    Target(
        "all events to Arrow in key order / DuckDB",
        _table("table_events_per_s"),
        _table("table_events_per_s", "duckdb"),
        0.8,
        1.5,
    ),
    Target(
        "all events to Arrow / sqlite3 and from_records",
        _table("table_events_per_s"),
        _table("table_events_per_s", "sqlite"),
        10,
        30,
    ),
    Target(
        "filter on source and severity to pandas / SQLite",
        _table("frame_events_per_s"),
        _table("frame_events_per_s", "sqlite"),
        0.8,
        2,
    ),
    Target("export to JSON lines", _file("jsonl", "export_events_per_s"), None, 4e5, 8e5, unit="events/s"),
    Target("import of JSON lines", _file("jsonl", "import_events_per_s"), None, 2.5e5, 5e5, unit="events/s"),
    Target("export to Parquet", _file("parquet", "export_events_per_s"), None, 5e5, 1e6, unit="events/s"),
    Target("import of Parquet", _file("parquet", "import_events_per_s"), None, 5e5, 1e6, unit="events/s"),
    _smaller("bytes per event / Parquet (zstd)", _size(_BULK), _file("parquet", "bytes_per_event"), 1, 0.7),
    *(
        _at_most(
            f"peak of memory, 10 million events, {what} of {end}",
            _file(f"{end}, large", name),
            381,
            143,
            "MiB",
        )
        for end in ("jsonl", "parquet")
        for what, name in (("export", "export_mib"), ("import", "import_mib"))
    ),
    *(
        _at_most(f"peak of memory, 10 million events {what}", _streamed(name), 381, 143, "MiB")
        for what, name in (("in batches", "stream_mib"), ("to Parquet", "parquet_mib"))
    ),
)
"""The targets, in the order of their table. 300 and 100 MB are 286 and 95 MiB, 400 and 150 are 381
and 143."""


def standings(results: Sequence[Result]) -> list[Standing]:
    """Return each target with its value.

    >>> {standing.verdict for standing in standings([])}
    {'open'}
    """
    return [Standing(target, _value(target, results)) for target in TARGETS]


def _value(target: Target, results: Sequence[Result]) -> float | None:
    value = _median(target.figure, results)
    if value is None or target.base is None:
        return value
    base = _median(target.base, results)
    if base is None:
        return None
    return value - base if target.is_difference else value / base


def _median(figure: Figure, results: Sequence[Result]) -> float | None:
    for result in results:
        job = result.job
        if (job.measure, job.case, job.contender) == (figure.measure, figure.case, figure.contender):
            values = result.values(figure.name)
            return median(values) if values else None
    return None

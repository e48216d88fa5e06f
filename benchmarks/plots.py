"""Draws results as PNG files. Needs matplotlib (the extra ``bench``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.jobs import Result
from benchmarks.report import Document

_COLOURS = {
    "archive": "#0b6fb8",
    "raw lmdb": "#9aa3ab",
    "raw lmdb append": "#c4cad0",
    "sqlite": "#d9822b",
    "sqlite indexed": "#efb778",
    "rocksdb": "#4c9a61",
    "duckdb": "#c9b400",
    "parquet": "#6d5fa8",
    "yamcs": "#a5487f",
}


class _Bars(NamedTuple):
    """A figure as bars. Only jobs of one batch size share an axis, so that small values stay visible."""

    measure: str
    batch_events: int
    figure: str
    title: str
    file: str


_BARS = (
    _Bars("ingest", 10_000, "events_per_s", "Ingest in batches of 10,000, events/s", "ingest-10000"),
    _Bars("ingest", 100, "events_per_s", "Ingest in batches of 100, events/s", "ingest-100"),
    _Bars("ingest", 1, "events_per_s", "Ingest one by one, events/s", "ingest-1"),
    _Bars("ingest", 10_000, "bytes_per_event", "Bytes per event, allocated at rest", "size"),
    _Bars("queries", 10_000, "scan_events_per_s", "Full scan to Event objects, events/s", "scan"),
    _Bars("http", 1, "requests_per_s", "HTTP POST, requests/s", "http"),
    _Bars("http", 1, "latency_us_p99", "HTTP POST, latency in µs, 99th percentile", "http-p99"),
)
_LINES = (
    ("rate_millions", "events_per_s", "Rate of each million, events/s"),
    ("mark_millions", "newest_100_ms", "Newest 100, ms"),
    ("mark_millions", "rare_source_ms", "Rare source, newest 100, ms"),
    ("mark_millions", "open_ms", "Open until the newest event is there, ms"),
)


def draw(document: Document, directory: Path) -> list[Path]:
    """Write a plot for each figure that the document has; return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        for bars in _BARS:
            results = [result for result in document.results if _belongs(result, bars)]
            if results:
                figure = _bars(results, bars.figure, bars.title)
                drawn.append(_saved(figure, directory / f"{bars.file}.png"))
        scaled = [result for result in document.results if result.job.measure == "scale"]
        if scaled:
            drawn.append(_saved(_lines(scaled), directory / "scale.png"))
    return drawn


def _belongs(result: Result, bars: _Bars) -> bool:
    job = result.job
    return (job.measure, job.batch_events) == (bars.measure, bars.batch_events) and bool(
        result.values(bars.figure)
    )


def _bars(results: Sequence[Result], name: str, title: str) -> Figure:
    """Return horizontal bars, a group for each case, with the spread of the runs."""
    cases = list(dict.fromkeys(result.job.case for result in results))
    contenders = list(dict.fromkeys(result.job.contender for result in results))
    height = 0.8 / len(contenders)
    figure = Figure(figsize=(8, 1 + 0.26 * len(contenders) * len(cases)), layout="constrained")
    axes: Axes = figure.subplots()
    for place, contender in enumerate(contenders):
        mine = {
            result.job.case: result.values(name) for result in results if result.job.contender == contender
        }
        rows = [row for row, case in enumerate(cases) if mine.get(case)]
        values = [mine[cases[row]] for row in rows]
        middles = [median(each) for each in values]
        spread = [
            [middle - min(each) for middle, each in zip(middles, values, strict=True)],
            [max(each) - middle for middle, each in zip(middles, values, strict=True)],
        ]
        axes.barh(
            [row + place * height for row in rows], middles, height, xerr=spread,
            label=contender, color=_COLOURS.get(contender), error_kw={"lw": 0.8},
        )  # fmt: skip
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(cases))], cases)
    axes.set_ylim(len(cases) - 0.1, -0.3)  # the first case on top
    axes.set_title(title, loc="left")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _lines(results: Sequence[Result]) -> Figure:
    """Return a panel for each figure of the growing archive."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    for panel, (along, name, title) in zip(figure.subplots(2, 2).flat, _LINES, strict=True):
        for result in results:
            series = result.outcomes[0].series
            panel.plot(
                series[along], series[name], marker="." if len(series[along]) < 20 else "",
                label=f"{result.job.contender}, {result.job.case}", color=_COLOURS.get(result.job.contender),
            )  # fmt: skip
        panel.set_ylim(bottom=0)
        panel.set_title(title, loc="left")
        panel.set_xlabel("million events")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    return path

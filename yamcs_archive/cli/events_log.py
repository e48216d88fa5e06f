"""``events log``: show events."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice
from typing import Any

import msgspec

from yamcs_archive.cli.dates import FORMS, parse_date
from yamcs_archive.cli.places import add_place_options, place
from yamcs_archive.event import Severity
from yamcs_archive.wire.json import encode

EPILOG = """examples:
  yamcs-archive events log --data ops-data                     the newest 10, oldest of them first
  yamcs-archive events log --data ops-data -s yesterday -u today --severity watch
  yamcs-archive events log --url http://127.0.0.1:8090 -n 100 --format jsonl
"""
LINES_DEFAULT = 10
_COLUMNS = ("SEVERITY", "TIME", "MESSAGE", "SOURCE", "TYPE")
_MEASURED_ROWS = 1_000
"""Rows that a table looks at before it sets its widths; a longer one goes on with those."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "log",
        help="show events",
        description="Show events, oldest first. Reads beside a running server on the same directory.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_place_options(parser)
    parser.add_argument(
        "-n",
        "--lines",
        type=_lines,
        metavar="N",
        help=f"how many of the newest, or all; default: {LINES_DEFAULT}, or all with --since or --until"
        " (over a URL at most 1000)",
    )
    parser.add_argument("-s", "--since", type=parse_date, metavar="DATE", help=f"from then on: {FORMS}")
    parser.add_argument("-u", "--until", type=parse_date, metavar="DATE", help="before then")
    parser.add_argument("--source", action="append", metavar="NAME", help="of this source only; repeatable")
    parser.add_argument(
        "--severity",
        choices=[name.lower() for name in Severity.__members__],
        type=str.lower,
        help="of this severity and above",
    )
    parser.add_argument(
        "--format", choices=("table", "json", "jsonl"), default="table", help="default: table"
    )
    parser.add_argument("--reverse", action="store_true", help="newest first")
    zone = parser.add_mutually_exclusive_group()
    zone.add_argument("--utc", action="store_true", help="times of the table in UTC (the default)")
    zone.add_argument("--local", action="store_true", help="times of the table in local time")
    parser.set_defaults(run=run)


def _lines(text: str) -> int | None:
    if text == "all":
        return -1  # argparse cannot tell None from "not given"
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor all")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Print the events that the options ask for, as they are read."""
    lines = options.lines
    if lines is None:
        ranged = options.since is not None or options.until is not None
        lines = -1 if ranged else LINES_DEFAULT
        if ranged and (options.url is not None and options.data is None):
            lines = 1_000
    with place(options, readonly=True) as opened:
        events = opened.log(
            start=options.since,
            stop=options.until,
            sources=options.source,
            severity=None if options.severity is None else Severity.parse(options.severity),
            lines=None if lines == -1 else lines,
            reverse=options.reverse,
        )
        for line in _FORMATS[options.format](events, options.local):
            print(line)
    return 0


def _table(events: Iterator[dict[str, Any]], local: bool) -> Iterator[str]:
    """Yield the lines of a table; its widths fit the first 1,000 rows."""
    rows = (_row(event, local) for event in events)
    first = list(islice(rows, _MEASURED_ROWS))
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *first, strict=True)]
    for row in chain([_COLUMNS], first, rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(event: dict[str, Any], local: bool) -> tuple[str, ...]:
    time = event["generationTime"]
    if local:
        time = str(datetime.fromisoformat(time).astimezone())
    cells = (event["severity"], time, event["message"], event["source"], event.get("type"))
    return tuple(_printable(cell) if cell else "-" for cell in cells)


def _printable(text: str) -> str:
    """Return text without line breaks and control characters, which could rewrite the user's terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _json(events: Iterable[dict[str, Any]], _: bool) -> Iterator[str]:
    """Yield one JSON array, an event at a time."""
    opening = "["
    for event in events:
        yield opening + "\n" + "\n".join("  " + line for line in encode(event).decode().splitlines())
        opening = ","
    yield "[]" if opening == "[" else "]"


def _jsonl(events: Iterable[dict[str, Any]], _: bool) -> Iterator[str]:
    """Yield a line of JSON for each event."""
    for event in events:
        yield msgspec.json.encode(event).decode()


_FORMATS = {"table": _table, "json": _json, "jsonl": _jsonl}

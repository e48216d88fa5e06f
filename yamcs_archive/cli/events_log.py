"""``events log``: show events."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from yamcs_archive.cli.dates import FORMS, parse_date
from yamcs_archive.cli.places import add_place_options, opened
from yamcs_archive.cli.request import LogRequest
from yamcs_archive.cli.table import table
from yamcs_archive.event import Severity
from yamcs_archive.wire.json import encode

EPILOG = """examples:
  yamcs-archive events log --data ops-data                     the newest 10, oldest of them first
  yamcs-archive events log --data ops-data -s yesterday -u today --severity watch
  yamcs-archive events log --url http://127.0.0.1:8090 -n 100 --format jsonl
"""
LINES_DEFAULT = 10
_ALL = "all"


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
        help=f"how many of the newest, or {_ALL}; default: {LINES_DEFAULT}, or {_ALL} with --since or --until"
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
        "--format", choices=tuple(_FORMATS), default="table", help="default: %(default)s; times are UTC"
    )
    parser.add_argument("--reverse", action="store_true", help="newest first")
    zone = parser.add_mutually_exclusive_group()
    zone.add_argument("--utc", action="store_true", help="times of the table in UTC (the default)")
    zone.add_argument("--local", action="store_true", help="times of the table in local time")
    parser.set_defaults(run=run)


def _lines(text: str) -> int | str:
    if text == _ALL:
        return text
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor {_ALL}")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Print the events that the options ask for, as they are read."""
    lines = options.lines
    if lines is None:
        lines = LINES_DEFAULT if options.since is None and options.until is None else _ALL
    wanted = LogRequest(
        lines=None if lines == _ALL else lines,
        start=options.since,
        stop=options.until,
        sources=options.source,
        min_severity=None if options.severity is None else Severity.parse(options.severity),
        reverse=options.reverse,
    )
    with opened(options, readonly=True) as place:
        for line in _FORMATS[options.format](place.log(wanted), options.local):
            print(line)
    return 0


def _table(events: Iterator[Mapping[str, Any]], local: bool) -> Iterator[str]:
    return table(events, local=local)


def _json(events: Iterator[Mapping[str, Any]], _: bool) -> Iterator[str]:
    """Yield the lines of one JSON array, two spaces deep; an element is held until its comma is known."""
    held: list[str] = []
    for event in events:
        if held:
            yield from held[:-1]
            yield held[-1] + ","
        else:
            yield "["
        held = ["  " + line for line in encode(event).decode().split("\n")]
    yield from (*held, "]") if held else ("[]",)


def _jsonl(events: Iterator[Mapping[str, Any]], _: bool) -> Iterator[str]:
    """Yield a line of JSON for each event."""
    for event in events:
        yield msgspec.json.encode(event).decode()


_FORMATS = {"table": _table, "json": _json, "jsonl": _jsonl}

"""``events log``: show events."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import msgspec

from yamcs_archive.cli.arguments import whole
from yamcs_archive.cli.dates import FORMS, parse_date
from yamcs_archive.cli.event_query import LogRequest, narrowed
from yamcs_archive.cli.fault_lines import fault_line
from yamcs_archive.cli.follow import Tail
from yamcs_archive.cli.printer import Printer
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.table import table
from yamcs_archive.cli.target import add_target_options, open_target
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.errors import DamagedError, FilterError
from yamcs_archive.event import Event, Severity
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.results import Fault
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.json import encode, shown

EPILOG = """examples:
  yamcs-archive events log --data ops-data                     the newest 10 events, in order of time
  yamcs-archive events log --data ops-data -s yesterday -u today --severity watch
  yamcs-archive events log --data ops-data -s 1h30m              of the last 90 minutes
  yamcs-archive events log --data ops-data -s 2026-11-23 --first 5
  yamcs-archive events log --url http://127.0.0.1:8090 -n 100 --format jsonl
  yamcs-archive events log --data ops-data -f --filter 'source=AOCS wheel'
  yamcs-archive events log --data ops-data --after-cursor CURSOR --show-cursor   what came since, once
"""
LINES_DEFAULT = 10
LINES_MAX = 2**63 - 1
"""Largest number of lines: that of a signed 64-bit counter."""
_ALL = "all"


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Show events, oldest first. A server may run on the same directory meanwhile. With"
        " --after-cursor, and while --follow waits for new events, events come in the order in which they"
        " were stored, not in that of their times."
    )
    parser.epilog = EPILOG
    add_target_options(parser)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        "-n",
        "--lines",
        type=_lines,
        metavar="N",
        help=f"number of events, the newest ones, or {_ALL}; default: {LINES_DEFAULT}, or {_ALL} with --since"
        " or --until",
    )
    amount.add_argument(
        "--first",
        type=whole(0, LINES_MAX),
        metavar="N",
        help="number of events, the oldest ones from --since on",
    )
    parser.add_argument(
        "-s", "--since", type=parse_date, metavar="DATE", help=f"events from this time on: {FORMS}"
    )
    parser.add_argument("-u", "--until", type=parse_date, metavar="DATE", help="events before this time")
    parser.add_argument("--source", action="append", metavar="NAME", help="events of this source; repeatable")
    parser.add_argument(
        "--severity",
        choices=[name.lower() for name in Severity.__members__],
        type=str.lower,
        help="events of this severity and above",
    )
    parser.add_argument("--type", action="append", metavar="TEXT", help="events of this type; repeatable")
    parser.add_argument(
        "--filter", type=_filter, metavar="EXPR", help="an expression of the filter language (docs/filter.md)"
    )
    _add_following(parser)
    parser.add_argument(
        "--skip-damaged",
        action="store_true",
        help="go round damaged blocks and events, with a line on stderr for each (with --url in the server's"
        " log); not with --follow and cursors",
    )
    parser.add_argument(
        "--format", choices=tuple(_FORMATS), default="table", help="default: %(default)s; times are UTC"
    )
    parser.add_argument("--reverse", action="store_true", help="newest first")
    zone = parser.add_mutually_exclusive_group()
    zone.add_argument("--utc", action="store_true", help="times of the table in UTC (the default)")
    zone.add_argument("--local", action="store_true", help="times of the table in local time")
    parser.set_defaults(run=run)


def _add_following(parser: argparse.ArgumentParser) -> None:
    """Add the options that show events in the order in which they were stored."""
    parser.add_argument("-f", "--follow", action="store_true", help="then wait for new events and show them")
    parser.add_argument(
        "--after-cursor", metavar="CURSOR", help="all events stored after this cursor, in that order"
    )
    parser.add_argument(
        "--show-cursor",
        action="store_true",
        help='print "-- cursor: CURSOR" at the end, to resume with --after-cursor. The cursor is after all'
        " events stored when the command began; with --after-cursor or --follow it is after the last event"
        " shown. On stderr if the format is not table",
    )


def _lines(text: str) -> int | str:
    if text == _ALL:
        return text
    try:
        return whole(0, LINES_MAX)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or {_ALL}") from None


def _filter(text: str) -> Filter:
    try:
        return Filter(text)
    except FilterError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("filter, ")) from None


def _is_given(options: argparse.Namespace, name: str) -> bool:
    value = getattr(options, name)
    return (
        value is not None and value is not False
    )  # by identity: 0 is a valid number of lines, and a valid instant


def _refuse_what_does_not_go_together(options: argparse.Namespace) -> None:
    for one, others in (
        ("follow", ("reverse", "until", "first")),
        ("after_cursor", ("reverse", "lines", "first")),
        ("first", ("reverse", "show_cursor")),
        ("skip_damaged", ("follow", "after_cursor", "show_cursor")),
    ):
        for other in others:
            if _is_given(options, one) and _is_given(options, other):
                names = (f"--{name.replace('_', '-')}" for name in (one, other))
                raise UsageError(f"{' and '.join(names)} do not go together")
    if options.follow and options.format == "json":
        raise UsageError("an array never ends with --follow: give --format jsonl")


def run(options: argparse.Namespace) -> int:
    """Print the events that the options ask for, as they are read."""
    _refuse_what_does_not_go_together(options)
    lines = options.lines
    if lines is None:
        bounded = (options.since, options.until, options.first)
        lines = LINES_DEFAULT if bounded == (None, None, None) else _ALL
    wanted = LogRequest(
        lines=None if lines == _ALL else lines,
        first=options.first,
        start=options.since,
        stop=options.until,
        sources=options.source,
        min_severity=None if options.severity is None else Severity.parse(options.severity),
        filter=narrowed(options.filter, options.type or ()),
        reverse=options.reverse,
        skip_damaged=_Skipped() if options.skip_damaged else None,
    )
    with open_target(options, readonly=True) as target:
        if options.follow or options.show_cursor or options.after_cursor is not None:
            _print_tail(options, Tail(target, wanted, options.after_cursor))
        else:
            Printer(_FORMATS[options.format](_shown(wanted.read(target)), options.local, None)).run(
                flush=False
            )
    return 0


class _Skipped:
    """Says on stderr what is left out, each once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, error: DamagedError) -> None:
        if error.where in self._told:
            return
        self._told.add(error.where)
        complain(
            "left out: " + fault_line(Fault(error.where, error.reason, error.first, error.last, error.events))
        )


def _print_tail(options: argparse.Namespace, tail: Tail) -> None:
    before = tail.history(follow=options.follow) if options.after_cursor is None else tail.stored()
    following = _shown(tail.arrivals()) if options.follow else None
    printer = Printer(_FORMATS[options.format](_shown(before), options.local, following))
    whole = False
    try:
        printer.run(flush=options.follow)
        whole = True
    finally:
        # Ctrl-C ends --follow. If it leaves rows that were read and not printed, no cursor is right. Read the
        # cursor before all_printed: it may move at this moment, with its rows not yet printed.
        cursor = tail.cursor
        if options.show_cursor and (whole or (tail.following and printer.all_printed)):
            stream = sys.stdout if options.format == "table" else sys.stderr
            print(f"-- cursor: {cursor}", file=stream, flush=True)


Shown = Iterator[Mapping[str, Any]]
"""Events in today's form of JSON, so that a directory and a URL give the same output."""


def _shown(events: Iterator[Event]) -> Shown:
    return (shown(event, Form.TODAY) for event in events)


def _table(events: Shown, local: bool, following: Shown | None) -> Iterator[str]:
    return table(events, local=local, following=following)


def _json(events: Shown, _: bool, __: Shown | None) -> Iterator[str]:
    """Yield the lines of one JSON array, indented by two spaces.

    An element is held back until it is known whether a comma follows it.
    """
    held: list[str] = []
    for event in events:
        if held:
            yield from held[:-1]
            yield held[-1] + ","
        else:
            yield "["
        held = ["  " + line for line in encode(event).decode().split("\n")]
    yield from (*held, "]") if held else ("[]",)


def _jsonl(events: Shown, _: bool, following: Shown | None) -> Iterator[str]:
    """Yield one line of JSON for each event."""
    for event in chain(events, following or ()):
        yield msgspec.json.encode(event).decode()


_FORMATS = {"table": _table, "json": _json, "jsonl": _jsonl}

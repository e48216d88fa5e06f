"""``events log``: show events."""

from __future__ import annotations

import argparse
import sys

from yamcs_archive.cli.arguments import whole
from yamcs_archive.cli.colours import WHEN, palette
from yamcs_archive.cli.event_query import LogRequest
from yamcs_archive.cli.follow import Tail
from yamcs_archive.cli.log_columns import ALL, parse_columns
from yamcs_archive.cli.log_formats import FORMATS, Shape, lines_of
from yamcs_archive.cli.pager import paged
from yamcs_archive.cli.printer import Printer
from yamcs_archive.cli.query_options import Skipped, add_query_options, min_severity, wanted_filter
from yamcs_archive.cli.target import add_target_options, open_target
from yamcs_archive.cli.usage_error import UsageError

EPILOG = """examples:
  yamcs-archive events log --data ops-data                     the newest 10 events, in order of time
  yamcs-archive events log --data ops-data -s yesterday -u today --severity watch
  yamcs-archive events log --data ops-data -s 1h30m              of the last 90 minutes
  yamcs-archive events log --data ops-data -s 2026-11-23 --first 5
  yamcs-archive events log --url http://127.0.0.1:8090 -n 100 --format jsonl
  yamcs-archive events log --data ops-data -s 1d --format csv --columns time,source,message,extra.unit
  yamcs-archive events log --data ops-data -f --filter 'source=AOCS wheel'
  yamcs-archive events log --data ops-data --after-cursor CURSOR --show-cursor   what came since, once
"""
LINES_DEFAULT = 10
LINES_MAX = 2**63 - 1
"""Largest number of lines: that of a signed 64-bit counter."""
_ALL = "all"
_ARROW = "arrow"
_FORMAT_HELP = (
    "how events are shown; arrow is an Arrow IPC stream, for a file or a pipe; default: %(default)s"
)


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
        help=f"how many of the newest events to show, or {_ALL}; default: {LINES_DEFAULT}, or {_ALL} with"
        " --since or --until",
    )
    amount.add_argument(
        "--first",
        type=whole(0, LINES_MAX),
        metavar="N",
        help="how many of the oldest events to show, from --since on",
    )
    add_query_options(parser, beside_skipping="; not with --follow and cursors")
    _add_following(parser)
    _add_appearance(parser)
    parser.set_defaults(run=run)


def _add_following(parser: argparse.ArgumentParser) -> None:
    """Add the options that show events in the order in which they were stored."""
    parser.add_argument("-f", "--follow", action="store_true", help="then wait for new events and show them")
    parser.add_argument(
        "--after-cursor", metavar="CURSOR", help="show all events stored after this cursor, in that order"
    )
    parser.add_argument(
        "--show-cursor",
        action="store_true",
        help='print "-- cursor: CURSOR" at the end, to resume with --after-cursor. The cursor is after all'
        " events stored when the command began; with --after-cursor or --follow it is after the last event"
        " shown. On stderr if the format is not table",
    )


def _add_appearance(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how events are shown."""
    parser.add_argument("--format", choices=(*FORMATS, _ARROW), default="table", help=_FORMAT_HELP)
    parser.add_argument(
        "--columns",
        type=parse_columns,
        metavar="NAMES",
        help=f"the columns to show, separated by commas: {', '.join(ALL)}, extra.KEY; default: the most"
        " telling ones in a table, all in csv, tsv and arrow, the form of the API in json and jsonl",
    )
    parser.add_argument("--reverse", action="store_true", help="show the newest event first")
    zone = parser.add_mutually_exclusive_group()
    zone.add_argument("--utc", action="store_true", help="show times in UTC (the default)")
    zone.add_argument(
        "--local",
        action="store_true",
        help="show the times of table, csv and tsv in local time, with its offset from UTC",
    )
    parser.add_argument(
        "--color",
        choices=WHEN,
        default="auto",
        help="colour the severities in the table; auto: on a terminal, unless NO_COLOR is set; default:"
        " %(default)s",
    )
    parser.add_argument(
        "--no-pager",
        action="store_true",
        help="on a terminal, do not pass what is longer than the screen to a pager: less, or the command in"
        " YAMCS_ARCHIVE_PAGER or PAGER",
    )


def _lines(text: str) -> int | str:
    if text == _ALL:
        return text
    try:
        return whole(0, LINES_MAX)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or {_ALL}") from None


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
    if options.follow and options.format == _ARROW:
        raise UsageError("--follow shows events one by one, a stream of batches cannot: give --format jsonl")


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
        min_severity=min_severity(options),
        filter=wanted_filter(options),
        reverse=options.reverse,
        skip_damaged=Skipped() if options.skip_damaged else None,
    )
    if options.format == _ARROW:
        return _write_arrow(options, wanted)
    shape = Shape(
        columns=options.columns,
        local=options.local,
        colours=palette(options.color),
        on_terminal=sys.stdout.isatty(),
    )
    with (
        open_target(options, readonly=True) as target,
        paged(wanted=not (options.no_pager or options.follow)),
    ):
        if options.follow or options.show_cursor or options.after_cursor is not None:
            _print_tail(options, shape, Tail(target, wanted, options.after_cursor))
        else:
            Printer(lines_of(options.format, wanted.read(target), shape)).run(flush=False)
    return 0


def _write_arrow(options: argparse.Namespace, wanted: LogRequest) -> int:
    """Write the events as an Arrow stream, the cursor to stderr."""
    from yamcs_archive.cli.arrow_output import selection_of, write_stream  # noqa: PLC0415  # loads numpy

    selection = selection_of(options.columns)
    with open_target(options, readonly=True) as target:
        if not options.show_cursor and options.after_cursor is None:
            write_stream(wanted.read(target), selection)
            return 0
        tail = Tail(target, wanted, options.after_cursor)
        is_after = options.after_cursor is not None
        write_stream(tail.stored() if is_after else tail.history(follow=False), selection)
        if options.show_cursor:
            print(f"-- cursor: {tail.cursor}", file=sys.stderr, flush=True)
    return 0


def _print_tail(options: argparse.Namespace, shape: Shape, tail: Tail) -> None:
    before = tail.history(follow=options.follow) if options.after_cursor is None else tail.stored()
    following = tail.arrivals() if options.follow else None
    printer = Printer(lines_of(options.format, before, shape, following))
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

"""``report``: what an operator wants to know after a pass; or two passes side by side."""

from __future__ import annotations

import argparse
import re
from argparse import ArgumentTypeError
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from yamcs_archive.cli import arguments
from yamcs_archive.cli.credential_options import refuse_credentials
from yamcs_archive.cli.dates import FORMS, parse_date
from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.query_options import add_query_options, chosen_events
from yamcs_archive.cli.target import Target, add_target_options, chosen_target, open_target
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.errors import shown
from yamcs_archive.pass_report.comparison_table import comparison_lines
from yamcs_archive.pass_report.limits import LATE_AFTER_S_DEFAULT, LATE_AFTER_S_MAX, TOP_DEFAULT, TOP_MAX
from yamcs_archive.pass_report.report import PassReport, compare_reports
from yamcs_archive.pass_report.report_table import SHOWN_MAX, report_lines
from yamcs_archive.printable import visible
from yamcs_archive.times import to_us
from yamcs_archive.wire.plain_values import fields_of, value_of

EPILOG = """examples:
  yamcs-archive report --data ops-data -s 2026-11-30T10:00:00Z -u 2026-11-30T10:12:00Z
  yamcs-archive report --url http://127.0.0.1:8090 -s 1h --source AOCS
  yamcs-archive report --data ops-data -s today --new-since yesterday --format json > pass.json
  yamcs-archive report --data ops-data --compare 2026-11-30T10:00:00Z/+12m 2026-11-30T11:37:00Z/+12m
  yamcs-archive report --compare yesterday.json today.json       two reports in JSON; no archive is read
  yamcs-archive report --data ops-data -s today --compare simulator flight      two instances
"""
_AFTER = re.compile(r"\+(?=\d)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII)
_AFTER_S = (86_400, 3600, 60, 1)


class Window(NamedTuple):
    """A pass as ``START/STOP``; None is no bound."""

    start: int | None
    stop: int | None


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Tell what an operator wants to know after a pass: gaps in the numbers, late arrivals, clock jumps,"
        " rates, bursts, silences, new message templates and the rarest messages, with a verdict first"
        " (docs/report.md defines each). With --compare, two passes side by side: each of A and B is"
        " START/STOP, a file that report --format json has made, or an instance."
    )
    parser.epilog = EPILOG
    add_target_options(parser)
    add_query_options(parser)
    parser.add_argument(
        "--new-since",
        type=parse_date,
        metavar="DATE",
        help="templates are new if no event before this time has them; default: --since",
    )
    parser.add_argument(
        "--history-since",
        type=parse_date,
        metavar="DATE",
        help="look for earlier events with a template only from this time on; default: among all",
    )
    parser.add_argument(
        "--late-after",
        type=_seconds,
        metavar="SECONDS",
        default=LATE_AFTER_S_DEFAULT,
        help="events received so much later than generated are late; default: %(default)g",
    )
    parser.add_argument(
        "--top",
        type=arguments.whole(1, TOP_MAX),
        metavar="N",
        default=TOP_DEFAULT,
        help="greatest length of each list of findings; default: %(default)s",
    )
    parser.add_argument(
        "--all-sources",
        action="store_true",
        help=f"show every source in the table, not only {SHOWN_MAX}; of a comparison every template too",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="show two passes side by side: START/STOP, FILE or NAME",
    )
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="default: %(default)s; times are UTC"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print a report, or a comparison of two."""
    shown_max = None if options.all_sources else SHOWN_MAX
    if options.compare is None:
        with open_target(options, readonly=True) as target:
            report = _report_of(target, _asked(options, target))
        _print(options, report, report_lines(report, sources_max=shown_max))
        return 0
    sides = [_side(text) for text in options.compare]
    for name, value in (("--new-since", options.new_since), ("--history-since", options.history_since)):
        if value is not None:
            raise UsageError(f"{name} and --compare do not go together")
    comparison = compare_reports(*(_reports(options, sides)))
    _print(options, comparison, comparison_lines(comparison, shown_max=shown_max))
    return 0


def _print(options: argparse.Namespace, found: Any, lines: Iterable[str]) -> None:
    if options.format == "json":
        print(visible(msgspec.json.format(msgspec.json.encode(fields_of(found)), indent=2).decode()))
        return
    for line in lines:
        print(line)


def _asked(options: argparse.Namespace, target: Target) -> dict[str, Any]:
    return chosen_events(options, target) | {
        "new_since": options.new_since,
        "history_since": options.history_since,
        "late_after_s": options.late_after,
        "top": options.top,
    }


def _report_of(target: Target, asked: dict[str, Any]) -> PassReport:
    with Progress(target.name, kept="nothing was changed") as progress:
        found = target.report(**asked, progress=progress)
    if found is None:  # it was cancelled, which nobody does here
        raise KeyboardInterrupt
    return found


def _reports(options: argparse.Namespace, sides: list[Path | Window | str]) -> list[PassReport]:
    """Return the reports of the two passes; an archive is opened only if one of them is in it."""
    if all(isinstance(side, Path) for side in sides):
        if options.data is not None or options.url is not None:
            raise UsageError("two files are compared without --data and --url")
        refuse_credentials(options)
    elif any(isinstance(side, Window) for side in sides) and (options.since, options.until) != (None, None):
        raise UsageError("START/STOP of --compare does not go together with --since and --until")
    return [_saved(side) if isinstance(side, Path) else _read(options, side) for side in sides]


def _read(options: argparse.Namespace, side: Window | str) -> PassReport:
    """Return the report of a window, or of an instance."""
    chosen_target(options)
    if isinstance(side, str):
        options = argparse.Namespace(**vars(options) | {"instance": side})
    with open_target(options, readonly=True) as target:
        asked = _asked(options, target)
        if isinstance(side, Window):
            asked |= side._asdict()
        # Which templates are new is not compared: no history need be read for it.
        return _report_of(target, asked | {"history_since": asked["start"]})


def _saved(path: Path) -> PassReport:
    """Return the report in a file."""
    try:
        return value_of(PassReport, msgspec.json.decode(path.read_bytes()))
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: it is no report of report --format json: {error!r}") from None


def _side(text: str) -> Path | Window | str:
    """Return which pass is meant: a file that is there, START/STOP, or an instance."""
    path = Path(text)
    if path.is_file():
        return path
    start, slash, stop = text.partition("/")
    if not slash:
        return text
    try:
        return window_of(start, stop)
    except ArgumentTypeError as error:
        raise UsageError(f"--compare {shown(text)}: there is no such file, and {error}") from None


def window_of(start: str, stop: str) -> Window:
    """Return the window between two dates; the second may be a time after the first, as ``+12m``.

    >>> window_of("@0", "+1h30m"), window_of("", "@5")
    (Window(start=0, stop=5400000000), Window(start=None, stop=5000000))
    """
    first = parse_date(start) if start else None
    if first is not None and (after := _AFTER.fullmatch(stop)):
        counts = zip(after.groups(), _AFTER_S, strict=True)
        return Window(
            first, to_us(first + sum(int(count or 0) * unit_s for count, unit_s in counts) * 1_000_000)
        )
    last = parse_date(stop) if stop else None
    if first is None and last is None:
        raise ArgumentTypeError(f"START/STOP has neither: give {FORMS}")
    return Window(first, last)


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= LATE_AFTER_S_MAX:
        raise ArgumentTypeError(f"{shown(text)}: must be seconds, 0 to {LATE_AFTER_S_MAX:g}")
    return found

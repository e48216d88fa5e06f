"""The options that choose events, of ``events log``, ``count`` and ``sources``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from yamcs_archive.cli.dates import FORMS, parse_date
from yamcs_archive.cli.event_query import narrowed
from yamcs_archive.cli.fault_lines import fault_line
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.target import Target
from yamcs_archive.errors import DamagedError, FilterError
from yamcs_archive.event import Severity
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.instance import Instance
from yamcs_archive.results import Fault


def add_query_options(parser: argparse.ArgumentParser, *, beside_skipping: str = "") -> None:
    """Add the options that choose events; ``beside_skipping`` ends the help of ``--skip-damaged``."""
    parser.add_argument(
        "-s", "--since", type=parse_date, metavar="DATE", help=f"only events from this time on: {FORMS}"
    )
    parser.add_argument("-u", "--until", type=parse_date, metavar="DATE", help="only events before this time")
    parser.add_argument(
        "--source", action="append", metavar="NAME", help="only events of this source; repeatable"
    )
    parser.add_argument(
        "--severity",
        choices=[name.lower() for name in Severity.__members__],
        type=str.lower,
        help="only events of this severity and above",
    )
    parser.add_argument(
        "--type", action="append", metavar="TEXT", help="only events of this type; repeatable"
    )
    parser.add_argument(
        "--filter",
        type=_filter,
        metavar="EXPR",
        help="only events that match this expression (docs/filter.md)",
    )
    parser.add_argument(
        "--skip-damaged",
        action="store_true",
        help="go round damaged blocks and events, with a line on stderr for each (with --url in the server's"
        f" log){beside_skipping}",
    )


def _filter(text: str) -> Filter:
    try:
        return Filter(text)
    except FilterError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("filter, ")) from None


def min_severity(options: argparse.Namespace) -> Severity | None:
    """Return the severity of ``--severity``."""
    return None if options.severity is None else Severity.parse(options.severity)


def wanted_filter(options: argparse.Namespace) -> Filter | None:
    """Return what ``--filter`` and ``--type`` ask for."""
    return narrowed(options.filter, options.type or ())


def skipping(options: argparse.Namespace, target: Target) -> dict[str, Any]:
    """Return the argument of the library for ``--skip-damaged``."""
    if not options.skip_damaged:
        return {}
    return {"skip_damaged": Skipped() if isinstance(target, Instance) else True}


def chosen_events(options: argparse.Namespace, target: Target) -> dict[str, Any]:
    """Return the arguments with which ``events`` and ``count`` of an instance choose events."""
    return {
        "start": options.since,
        "stop": options.until,
        "sources": options.source,
        "min_severity": min_severity(options),
        "filter": wanted_filter(options),
    } | skipping(options, target)


class Skipped:
    """Says on stderr what is left out, each once."""

    def __init__(self, say: Callable[[str], None] = complain) -> None:
        self._say = say
        self._told: set[str] = set()

    def __call__(self, error: DamagedError) -> None:
        """Say what is damaged, unless it was said before."""
        if error.where in self._told:
            return
        self._told.add(error.where)
        fault = Fault(error.where, error.reason, error.first, error.last, error.events)
        self._say(f"left out: {fault_line(fault)}")

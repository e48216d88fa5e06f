"""``events sources``: the sources of events, and how many events each has."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import msgspec

from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.query_options import add_query_options, chosen_events
from yamcs_archive.cli.target import Target, add_target_options, open_target
from yamcs_archive.printable import printable, visible

EPILOG = """examples:
  yamcs-archive events sources --data ops-data
  yamcs-archive events sources --data ops-data --since 1d --severity warning
  yamcs-archive events sources --url http://127.0.0.1:8090 --format json
"""
_CHOOSING = ("since", "until", "source", "severity", "type", "filter")
"""Options that leave out events."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "List the sources, sorted, each with the number of its events. Options choose the events that count;"
        " then a source without any is left out. Without them a source whose events are all pruned has 0."
    )
    parser.epilog = EPILOG
    add_target_options(parser)
    add_query_options(parser)
    parser.add_argument(
        "--format",
        choices=("table", "json", "names"),
        default="table",
        help="how the sources are shown; names: one name on each line, and nothing is counted unless events"
        " are chosen; default: %(default)s",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the sources."""
    is_choosing = any(getattr(options, name) is not None for name in _CHOOSING)
    with open_target(options, readonly=True) as target:
        names = target.sources()
        if options.source is not None:
            names = [name for name in names if name in options.source]
        counts: dict[str, int] = dict.fromkeys(names, 0)
        if is_choosing or options.format != "names":
            counts = _counted(options, target, names)
    if is_choosing:
        counts = {name: events for name, events in counts.items() if events}
    if options.format == "json":
        fields = [{"source": name, "events": events} for name, events in counts.items()]
        print(msgspec.json.format(msgspec.json.encode(fields), indent=2).decode())
    elif options.format == "names":
        for name in counts:
            print(visible(name).replace("\n", "\\u000a"))
    else:
        _print_table(counts)
    return 0


def _counted(options: argparse.Namespace, target: Target, names: Sequence[str]) -> dict[str, int]:
    """Count source by source: most archives have few, and blocks without the source are skipped."""
    counts = {}
    chosen = chosen_events(options, target)
    with Progress(target.name, "sources") as progress:
        for done, name in enumerate(names):
            counts[name] = target.count(**chosen | {"sources": [name]})
            progress(done + 1, len(names))
    return counts


def _print_table(counts: dict[str, int]) -> None:
    names = [printable(name) for name in counts]
    width = max(map(len, ("SOURCE", *names)))
    digits = max(map(len, ("EVENTS", *map(str, counts.values()))))
    print(f"{'SOURCE':<{width}}  {'EVENTS':>{digits}}")
    for name, events in zip(names, counts.values(), strict=True):
        print(f"{name:<{width}}  {events:>{digits}}")

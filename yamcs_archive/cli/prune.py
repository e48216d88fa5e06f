"""``prune``: remove the oldest events of an instance."""

from __future__ import annotations

import argparse

from yamcs_archive.cli.dates import FORMS, parse_date
from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.retention_options import add_retention
from yamcs_archive.cli.target import add_target_options, open_target
from yamcs_archive.cli.usage_error import UsageError

EPILOG = """examples:
  yamcs-archive prune --data ops-data --instance simulator --keep-days 365 --dry-run
  yamcs-archive prune --data ops-data --instance simulator --before 2026-01-01T00:00:00Z
  yamcs-archive prune --url http://127.0.0.1:8090 --instance simulator --max-events 10000000
"""
_KEPT = "if the pruning had begun, it goes on when the archive is next open"


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Remove the oldest events of an instance, for good, by their generation times. Prints what went,"
        " and names sources whose clocks were probably wrong: events more than a day in the future stay and"
        " are not counted. An event as old that comes later is refused. With several rules the one that"
        " removes most counts. The file keeps the space for later events until it is compacted. On a served"
        " archive this needs the permission ManageArchive; without users, serve --allow-operations."
    )
    parser.epilog = EPILOG
    add_target_options(parser)
    parser.add_argument(
        "--before",
        metavar="DATE",
        type=parse_date,
        help=f"remove events generated before this time, which must not be in the future: {FORMS}",
    )
    add_retention(parser, what="remove")
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and change nothing")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prune one instance."""
    rules = {name: getattr(options, name) for name in ("before", "keep_days", "max_bytes", "max_events")}
    if all(value is None for value in rules.values()):
        raise UsageError("nothing to remove: give --before, --keep-days, --max-bytes or --max-events")
    kept = "nothing was changed" if options.dry_run else _KEPT
    with (
        open_target(options, readonly=options.dry_run) as instance,
        Progress(f"{instance.name}: pruning", kept=kept),
    ):
        done = instance.prune(**rules, dry_run=options.dry_run)
    line = done.described(instance.name)
    print(line.replace(": pruned ", ": would prune ", 1) if options.dry_run else line)
    return 0

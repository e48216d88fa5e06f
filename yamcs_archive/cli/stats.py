"""``stats``: the numbers of each instance."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from yamcs_archive.cli.arguments import not_empty
from yamcs_archive.cli.credential_options import refuse_credentials
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.target import add_target_options, chosen_target, open_existing, served
from yamcs_archive.errors import ArchiveError
from yamcs_archive.reports import InstanceSummary
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.reports import summary_fields

EPILOG = """examples:
  yamcs-archive stats --data ops-data
  yamcs-archive stats --url http://127.0.0.1:8090 --instance simulator --format json
"""
AT_ONCE_MAX = 100
"""Largest number of instances that are opened at once: each takes some file descriptors."""
COLUMNS = (
    *("INSTANCE", "EVENTS", "SOURCES", "FIRST", "LAST", "YOUNG", "BLOCKS", "FILE BYTES"),
    *("DUPLICATES", "CONFLICTS", "EXPIRED"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Print the numbers of each instance: events, sources, the first and the last generation time,"
        " young events (which are not in blocks yet), blocks, bytes of its files, and how many events were"
        " refused as duplicates, conflicts or expired. As JSON also the newest commit, the map, readers and"
        " backlog, and of a served archive what was appended since it was opened. Exits with 1 if one"
        " cannot be read."
    )
    parser.epilog = EPILOG
    add_target_options(parser, instance=False)
    add_instances_and_format(parser)
    parser.set_defaults(run=run)


def add_instances_and_format(parser: argparse.ArgumentParser) -> None:
    """Add ``--instance``, which may be repeated, and ``--format``."""
    parser.add_argument(
        "--instance",
        metavar="NAME",
        type=not_empty,
        action="append",
        default=[],
        help="only this instance; repeatable; default: all",
    )
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="how it is shown; default: %(default)s"
    )


def run(options: argparse.Namespace) -> int:
    """Print the numbers, and a line on stderr for each instance that cannot be read."""
    where = chosen_target(options)
    failed: list[str] = []
    if isinstance(where, Path):
        refuse_credentials(options)
        found = list(_here(where, options.instance, failed))
    else:
        with served(options, where) as client:
            names = options.instance or client.instances()
            # An instance that is not there ends the command; one that cannot be read does not.
            asked = [(name, client.instance(name, check=bool(options.instance)).summary) for name in names]
            found = list(_read(asked, failed))
    if options.format == "json":
        fields = [summary_fields(summary) for summary in found]
        print(msgspec.json.format(msgspec.json.encode(fields), indent=2).decode())
    else:
        for line in _table(found):
            print(line)
    for line in failed:
        complain(line)
    return 1 if failed else 0


def _here(directory: Path, wanted: Sequence[str], failed: list[str]) -> Iterator[InstanceSummary]:
    for names in some_at_once(directory, wanted):
        with open_existing(directory, readonly=True) as archive:
            asked = [(name, lambda name=name: archive.instance(name).summary()) for name in names]
            yield from _read(asked, failed)


def some_at_once(directory: Path, wanted: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the names of instances, all or the wanted ones, as many as may be opened together.

    Raises UnknownInstanceError, NotAnArchiveError.
    """
    with open_existing(directory, readonly=True) as archive:
        known = archive.instances()
        for name in wanted:
            if name not in known:
                archive.instance(name)  # raises
    names = list(wanted) or known
    for start in range(0, len(names), AT_ONCE_MAX):
        yield names[start : start + AT_ONCE_MAX]


def _read(
    asked: Sequence[tuple[str, Callable[[], InstanceSummary]]], failed: list[str]
) -> Iterator[InstanceSummary]:
    for name, summarise in asked:
        try:
            yield summarise()
        except ArchiveError as error:
            failed.append(f"{name}: {error}")


def _table(found: Sequence[InstanceSummary]) -> Iterator[str]:
    rows = [COLUMNS, *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(
            # Numbers to the right; the name and the two times to the left.
            cell.ljust(width) if position in (0, 3, 4) else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


def _row(summary: InstanceSummary) -> tuple[str, ...]:
    times = (summary.first_time, summary.last_time)
    return (
        summary.name,
        str(summary.events),
        str(summary.sources),
        *("-" if time is None else format_rfc3339(time) for time in times),
        str(summary.usage.young_events),
        str(summary.usage.blocks),
        str(summary.usage.file_bytes),
        str(summary.duplicates),
        str(summary.conflicts),
        str(summary.expired),
    )

"""``restore``: make instances from backups."""

from __future__ import annotations

import argparse

from yamcs_archive.archive import Archive
from yamcs_archive.cli import arguments
from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.standard_streams import stdin_bytes
from yamcs_archive.cli.target import add_directory_option, chosen_directory

EPILOG = """examples:
  yamcs-archive restore /backups --data new-data
  yamcs-archive restore /backups --data ops-data --instance simulator
  yamcs-archive restore /backups/simulator.20261130T074651Z.3100.full.backup --data ops-data --instance before
  ssh vault cat simulator.backup | yamcs-archive restore - --data new-data
"""
_KEPT = "an instance is there as a whole, or not at all"


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Make instances from backups, in a new directory or beside other instances. COPY is a folder (the"
        " newest full backup of each instance, and the incremental ones after it), a file (and the ones that"
        " it continues, from its folder), or - for stdin. Everything is verified while it is read; an"
        " instance is there when it is complete. It answers as the original did, and has a history of its own"
        " from here on: cursors of the original are refused. Prints a line for each instance."
    )
    parser.epilog = EPILOG
    add_directory_option(
        parser,
        about="the archive's directory, created if missing",
        instead="a server restores nothing: restore to a directory, with --data DIR, and serve that",
    )
    parser.add_argument(
        "--instance",
        metavar="NAME",
        type=arguments.instance_name,
        help="only this instance; or the only one in COPY, under this name",
    )
    parser.add_argument("copy", metavar="COPY", type=arguments.not_empty, help="a folder, a file, or -")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Restore the instances."""
    directory = chosen_directory(options)
    with Progress("restore", "bytes", kept=_KEPT) as progress:

        def note(name: str, done: int, all_: int) -> None:
            progress.label = name
            progress(done, all_)

        read_bytes = 0

        def read(wanted: int) -> bytes:
            nonlocal read_bytes
            found = stdin_bytes(wanted)
            read_bytes += len(found)
            progress(read_bytes)
            return found

        with Archive.open(directory, holder="yamcs-archive restore") as archive:
            restored = archive.restore(
                read if options.copy == "-" else options.copy, instance=options.instance, progress=note
            )
    for done in restored:
        print(
            f"{done.instance}: {done.events} events, {done.commits} commits, from {done.backups}"
            f" backup{'' if done.backups == 1 else 's'}, content {done.content},"
            f" {done.seconds:.1f} s"
        )
    return 0

"""``compact``: return unused space to the file system."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from yamcs_archive.cli.credential_options import refuse_credentials
from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.target import Target, add_target_options, chosen_target, open_existing, served

EPILOG = """examples:
  yamcs-archive compact --data ops-data
  yamcs-archive compact --data ops-data simulator bench
  yamcs-archive compact --url http://127.0.0.1:8090
"""
_KEPT = "either the old files are in use or the new ones; no event is lost"


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Return unused space to the file system: put all events into blocks, then replace the files by a"
        " dense copy. Prints a line for each instance. With --data no other process may write to the"
        " directory meanwhile, but any may read; a served archive must allow it (the permission"
        " ManageArchive; without users, serve --allow-operations). The disk needs room for the copy."
    )
    parser.epilog = EPILOG
    add_target_options(parser, instance=False)
    parser.add_argument("instances", metavar="INSTANCE", nargs="*", help="an instance; default: all")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compact the instances one after the other, and stop at the first failure."""
    with _opened(options) as instances:
        for instance in instances:
            with Progress(f"{instance.name}: compacting", kept=_KEPT):
                done = instance.compact()
            print(
                f"{instance.name}: {done.before_bytes} bytes before, {done.after_bytes} after,"
                f" {done.seconds:.1f} s",
                flush=True,
            )
    return 0


@contextmanager
def _opened(options: argparse.Namespace) -> Iterator[list[Target]]:
    """Open all instances before the first copy is made, so that a misspelt last name shows at once."""
    where = chosen_target(options)
    if isinstance(where, Path):
        refuse_credentials(options)
        with open_existing(where, holder="yamcs-archive compact") as archive:
            yield [archive.instance(name) for name in options.instances or archive.instances()]
    else:
        with served(options, where) as client:
            yield [client.instance(name) for name in options.instances or client.instances()]

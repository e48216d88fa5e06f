"""``salvage``: write all that can be read of a damaged archive to a new one, and list what is lost."""

from __future__ import annotations

import argparse

from yamcs_archive.archive import Archive
from yamcs_archive.cli.arguments import data_directory
from yamcs_archive.cli.fault_lines import fault_line, key_text
from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.target import add_directory_option, chosen_directory
from yamcs_archive.results import Salvage

EPILOG = """examples:
  yamcs-archive salvage --data ops-data /backup/saved
  yamcs-archive salvage --data ops-data --keys /backup/saved simulator > lost.txt
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Write all that can be read of a damaged archive to a new one, and list what is lost: a line for each"
        " instance, and one for each loss. Exits with 1 if anything is lost. The damaged archive is not"
        " changed, and need not open. No process may write to it meanwhile. The new archive is verified"
        " before it can be opened."
    )
    parser.epilog = EPILOG
    add_directory_option(
        parser, instead="a server salvages nothing: stop it, and run this on its machine with --data DIR"
    )
    parser.add_argument(
        "--keys",
        action="store_true",
        help="list the key of each lost event, where it is known, after its loss",
    )
    parser.add_argument(
        "target",
        metavar="TARGET",
        type=data_directory,
        help="the new archive's directory: one that does not exist yet, or an empty one",
    )
    parser.add_argument(
        "instances", metavar="INSTANCE", nargs="*", help="an instance; default: all in the directory"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Salvage, and report."""
    with Progress("salvage", kept=f"delete {options.target} to salvage again") as progress:

        def note(name: str, done: int, all_: int) -> None:
            progress.label = name
            progress(done, all_)

        found = Archive.salvage(
            chosen_directory(options), options.target, instances=options.instances or None, progress=note
        )
    if found is None:  # it was cancelled, which nobody does here
        return 1
    for name, saved in found.items():
        _print_report(name, saved, keys=options.keys)
    return 1 if any(saved.losses for saved in found.values()) else 0


def _print_report(name: str, saved: Salvage, *, keys: bool) -> None:
    if not saved.losses:
        lost = "nothing lost"
    elif saved.lost_events is None:
        lost = "nobody knows how many lost"
    else:
        lost = f"{saved.lost_events} lost"
    print(
        f"{name}: {saved.events} event{'' if saved.events == 1 else 's'} saved, {lost}, {saved.seconds:.1f} s"
    )
    for loss in saved.losses:
        print(f"{name}: {fault_line(loss)}")
        if keys:
            for key in loss.keys:
                print(f"{name}:   {key_text(key)}")

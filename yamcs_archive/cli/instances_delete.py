"""``instances delete``: delete an instance and all of its events."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from yamcs_archive.cli.arguments import not_empty
from yamcs_archive.cli.credential_options import refuse_credentials
from yamcs_archive.cli.target import add_target_options, chosen_target, open_existing, served
from yamcs_archive.cli.usage_error import UsageError

EPILOG = """examples:
  yamcs-archive instances delete --data ops-data simulator
  yamcs-archive instances delete --url http://127.0.0.1:8090 simulator --confirm simulator
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Delete an instance and all of its events, for good. Its name must be typed again, at the prompt or"
        " with --confirm. A served archive must allow it (the permission ManageArchive; without users, serve"
        " --allow-operations)."
    )
    parser.epilog = EPILOG
    add_target_options(parser, instance=False)
    parser.add_argument("name", metavar="INSTANCE", type=not_empty, help="the name of the instance")
    parser.add_argument(
        "--confirm", metavar="NAME", help="the same name, typed once more, instead of the prompt"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Delete the instance, if its name was typed again."""
    where = chosen_target(options)
    if options.confirm is not None and options.confirm != options.name:
        raise UsageError(f"--confirm {options.confirm!r} is not the instance's name, {options.name!r}")
    if isinstance(where, Path):
        refuse_credentials(options)
        with open_existing(where, holder="yamcs-archive instances delete") as archive:
            archive.instance(options.name)  # before the question is asked
            archive.delete(options.name, confirm=options.confirm or _typed(options.name))
    else:
        with served(options, where) as client:
            client.instance(options.name)
            client.delete(options.name, confirm=options.confirm or _typed(options.name))
    return 0


def _typed(name: str) -> str:
    """Ask for the name, and return it; UsageError for another one, and if nobody can be asked."""
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at: give --confirm NAME")
    print(f"This deletes instance {name} and all of its events. Type its name: ", end="", file=sys.stderr)
    sys.stderr.flush()
    typed = sys.stdin.readline().rstrip("\n")
    if typed != name:
        raise UsageError(f"{typed!r} is not the instance's name: nothing was deleted")
    return typed

"""The command ``yamcs-archive``: its commands, and what every one of them does with errors.

Data goes to stdout, everything else to stderr. Exit status 0: done; 1: it failed, and one line says
why; 2: the command line is wrong.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from yamcs_archive.cli import events_create, events_log, instances, serve
from yamcs_archive.errors import ArchiveError

_INTERRUPTED = 130  # as a shell reports Ctrl-C


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    >>> parser().prog
    'yamcs-archive'
    """
    top = argparse.ArgumentParser(
        prog="yamcs-archive",
        description="An embedded, append-only event archive with a Yamcs events API.",
        epilog="yamcs-archive COMMAND -h shows a command's options and examples.",
    )
    top.add_argument("--version", action="version", version=f"yamcs-archive {_version()}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    serve.add(commands)
    events = commands.add_parser("events", help="store and show events", description="Store and show events.")
    actions = events.add_subparsers(metavar="ACTION", required=True)
    events_create.add(actions)
    events_log.add(actions)
    instances.add(commands)
    return top


def _version() -> str:
    try:
        return version("yamcs_archive")
    except PackageNotFoundError:
        return "(not installed)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except (ArchiveError, argparse.ArgumentTypeError) as error:
        print(f"yamcs-archive: {error}", file=sys.stderr)
        return 1
    except (OSError, subprocess.CalledProcessError) as error:
        if isinstance(error, BrokenPipeError):
            # Whoever read our output has seen enough. The interpreter would complain at its end, when
            # it flushes into the closed pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        print(f"yamcs-archive: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status

"""The command ``yamcs-archive``: its commands, and what every one of them does with errors.

Data goes to stdout, in UTF-8, everything else to stderr; there are no colours. Exit status 0: done;
1: it failed, and one line says why; 2: the command line is wrong or does not say enough.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from yamcs_archive.cli import (
    bench,
    compact,
    events_create,
    events_import,
    events_import_file,
    events_log,
    instances,
    mirror,
    serve,
)
from yamcs_archive.cli.errors import UsageError
from yamcs_archive.errors import ArchiveError

_FAILED, _MISUSED = 1, 2
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
    events_import_file.add(actions)
    events_import.add(actions)
    instances.add(commands)
    compact.add(commands)
    mirror.add(commands)
    bench.add(commands)
    return top


_TWO_WORDS = ["events", "import", "yamcs"]


def spelt(arguments: Sequence[str]) -> list[str]:
    """Return the arguments, with the name of two words as one: ``import`` alone is another command.

    >>> spelt(["events", "import", "yamcs", "http://ops:8090"])
    ['events', 'import yamcs', 'http://ops:8090']
    """
    given = list(arguments)
    return [given[0], " ".join(given[1:3]), *given[3:]] if given[:3] == _TWO_WORDS else given


def _version() -> str:
    try:
        return version("yamcs_archive")
    except PackageNotFoundError:
        return "(not installed)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; argparse's own exits are SystemExit."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # JSON is, and a message may have any character
    try:
        options = parser().parse_args(spelt(sys.argv[1:] if arguments is None else arguments))
        status: int = options.run(options)
        sys.stdout.flush()
    except UsageError as error:
        return _complain(error, _MISUSED)
    except BrokenPipeError:
        # Whoever read our output has seen enough. The interpreter would complain at its end, when it
        # flushes what is left into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except (ArchiveError, OSError, subprocess.CalledProcessError) as error:
        return _complain(error, _FAILED)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


def _complain(error: Exception, status: int) -> int:
    text = " ".join(str(error).splitlines())  # one line, whatever the error quotes
    print(f"yamcs-archive: {text}", file=sys.stderr)
    return status

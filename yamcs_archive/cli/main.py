"""The command ``yamcs-archive``: its commands, and what every one of them does with errors.

Data goes to stdout, in UTF-8, everything else to stderr; there are no colours. Exit status 0: done;
1: it failed, and one line says why; 2: the command line is wrong or does not say enough.
"""

from __future__ import annotations

import argparse
import os
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
from yamcs_archive.cli.arguments import Parser
from yamcs_archive.cli.errors import UsageError
from yamcs_archive.cli.standard_streams import complain, leave_stdout, prepare
from yamcs_archive.errors import ArchiveError

_FAILED, _MISUSED = 1, 2
_INTERRUPTED = 130  # as a shell reports Ctrl-C


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    >>> parser().prog
    'yamcs-archive'
    """
    top: argparse.ArgumentParser = Parser(
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
    """Return the arguments, with a name of two words as one: ``import`` alone is another command.

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


def main(arguments: Sequence[str | os.PathLike[str]] | None = None) -> int:
    """Run the command line and return its exit status; argparse's own exits are SystemExit."""
    prepare()
    try:
        given = sys.argv[1:] if arguments is None else [os.fspath(argument) for argument in arguments]
        options = parser().parse_args(spelt(given))
        status: int = options.run(options)
        sys.stdout.flush()
    except UsageError as error:
        return _complain(error, _MISUSED)
    except BrokenPipeError:
        leave_stdout()  # the reader of our output has seen enough
        return _FAILED
    except OSError as error:
        whole = error.strerror is not None and error.filename is not None
        return _complain(f"{error.filename}: {error.strerror}" if whole else error, _FAILED)
    except ArchiveError as error:
        return _complain(error, _FAILED)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


def _complain(error: Exception | str, status: int) -> int:
    complain(" ".join(str(error).splitlines()))  # one line, whatever the error quotes
    return status

"""The command ``yamcs-archive``: its subcommands, and how all of them report errors.

Data goes to stdout, in UTF-8, everything else to stderr. Exit status 0: the command succeeded; 1: it failed,
and one line says why; 2: the command line is wrong or incomplete; 130: Ctrl-C.

Only the module of the chosen command is loaded; help and version need none.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from yamcs_archive.cli.name_scripts import VARIABLE
from yamcs_archive.cli.standard_streams import complain, leave_stdout, prepare
from yamcs_archive.cli.strict_parser import Parser
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.errors import ArchiveError

PROGRAM = "yamcs-archive"


class Command(NamedTuple):
    """A command: its group ("" if it has none), its name, its line of help and its module."""

    group: str
    name: str
    help: str
    module: str


GROUPS = {
    "": "",
    "events": "store and show events",
    "instances": "list, create, rename or delete instances",
    "users": "say who may use a served archive, and for what",
    "config": "check or show the configuration of serve",
    "service": "let systemd run serve",
}
"""The groups of commands, each with its line of help."""
COMMANDS = (
    Command("", "serve", "serve an archive over HTTP", "serve"),
    Command("events", "create", "store one event", "events_create"),
    Command("events", "log", "show events", "events_log"),
    Command("events", "count", "say how many events there are", "events_count"),
    Command("events", "sources", "list the sources of events", "events_sources"),
    Command("events", "export", "write events to a file", "events_export"),
    Command("events", "import", "store the events of a file", "events_import_file"),
    Command("events", "import yamcs", "import the history of a live Yamcs server", "events_import_yamcs"),
    Command("instances", "list", "list the instances", "instances_list"),
    Command("instances", "create", "create an instance", "instances_create"),
    Command("instances", "rename", "give an instance another name", "instances_rename"),
    Command("instances", "delete", "delete an instance and its events", "instances_delete"),
    Command("users", "add", "add a user", "users_add"),
    Command("users", "list", "show the users", "users_list"),
    Command("users", "permit", "set what a user may do", "users_permit"),
    Command("users", "passwd", "set the password of a user", "users_passwd"),
    Command("users", "token", "make or revoke a token of a user", "users_token"),
    Command("users", "remove", "remove a user", "users_remove"),
    Command("users", "rotate-key", "sign logins with a new key", "users_rotate_key"),
    Command("config", "check", "say what is wrong with a configuration file", "config_check"),
    Command("config", "show", "show every setting of serve, and where it comes from", "config_show"),
    Command("config", "schema", "print the JSON Schema of a configuration file", "config_schema"),
    Command("service", "install", "write the units of systemd", "service_install"),
    Command("service", "uninstall", "remove the units of systemd", "service_uninstall"),
    Command("", "health", "say whether a served archive is ready, for health checks", "health"),
    Command("", "upgrade", "say what another version has written, and bring it forward", "upgrade"),
    Command("", "prune", "remove the oldest events", "prune"),
    Command("", "compact", "return unused space to the file system", "compact"),
    Command("", "stats", "show the numbers of each instance", "stats"),
    Command("", "report", "tell what a pass shows: gaps, late events, new messages", "report"),
    Command("", "doctor", "examine an archive, and say what to do", "doctor"),
    Command("", "verify", "read everything that is stored, and say what is wrong", "verify"),
    Command("", "salvage", "write what can be read of a damaged archive to a new one", "salvage"),
    Command("", "backup", "copy instances to files, or to stdout", "backup"),
    Command("", "backup list", "show the manifests of backups", "backup_list"),
    Command("", "restore", "make instances from backups", "restore"),
    Command("", "mirror", "keep a copy of a served instance", "mirror"),
    Command("", "mirror promote", "let a copy take events, because its source is gone", "mirror_promote"),
    Command("", "completion", "print a script that completes commands in a shell", "completion"),
)
"""All commands, in the order of the help."""
_TWO_WORDS = (["events", "import", "yamcs"], ["backup", "list"], ["mirror", "promote"])
"""Commands of which the last two words are one for argparse: the first of the two is another command."""
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
"""The environment variables for the number of OpenBLAS's threads; the first that is set counts."""
_FAILED, _MISUSED = 1, 2
_INTERRUPTED = 130  # as a shell reports Ctrl-C


def parser(program: str = PROGRAM) -> argparse.ArgumentParser:
    """Return the parser of the whole command line; ``program`` is what is typed to start it.

    >>> parser().prog
    'yamcs-archive'
    """
    top = Parser(
        prog=program,
        description="An embedded, append-only event archive with a Yamcs events API.",
        epilog=f"{program} COMMAND -h shows a command's options and examples.",
    )
    top.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        default=argparse.SUPPRESS,
        help="show program's version number and exit",
    )
    groups = {"": top.add_subparsers(metavar="COMMAND", required=True)}
    for command in COMMANDS:
        if command.group not in groups:
            help_line = GROUPS[command.group]
            group = groups[""].add_parser(
                command.group, help=help_line, description=f"{help_line.capitalize()}."
            )
            groups[command.group] = group.add_subparsers(metavar="ACTION", required=True)
        groups[command.group].add_parser(command.name, help=command.help, module=command.module)
    return top


class _Version(argparse.Action):
    """``--version``: looks up the installed version only when it is used."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  # takes 20 ms

        try:
            installed = version("yamcs_archive")
        except PackageNotFoundError:
            installed = "(not installed)"
        parser._print_message(f"yamcs-archive {installed}\n", sys.stdout)
        parser.exit()


def spelt(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with ``import yamcs`` as one word, because ``import`` alone is another command.

    >>> spelt(["events", "import", "yamcs", "http://ops:8090"])
    ['events', 'import yamcs', 'http://ops:8090']
    >>> spelt(["mirror", "promote", "--data", "copy"])
    ['mirror promote', '--data', 'copy']
    """
    given = list(arguments)
    for words in _TWO_WORDS:
        if given[: len(words)] == words:
            return [*words[:-2], " ".join(words[-2:]), *given[len(words) :]]
    return given


def main(arguments: Sequence[str | os.PathLike[str]] | None = None, *, program: str = PROGRAM) -> int:
    """Run the command line and return its exit status. argparse raises SystemExit for its own exits."""
    prepare()
    _use_one_blas_thread()
    if VARIABLE in os.environ and arguments is None:
        from yamcs_archive.cli.name_completion import complete  # noqa: PLC0415  # only for shells

        return complete()
    if arguments is None:
        # At its end the interpreter collects garbage once more, among all objects of all modules: a fifth of
        # the time of a short command, for nothing.
        atexit.register(gc.freeze)
    try:
        given = sys.argv[1:] if arguments is None else [os.fspath(argument) for argument in arguments]
        options = parser(program).parse_args(spelt(given))
        status: int = options.run(options)
        sys.stdout.flush()
    except UsageError as error:
        return _complain(error, _MISUSED)
    except BrokenPipeError:
        leave_stdout()  # the reader of stdout is gone
        return _FAILED
    except OSError as error:
        whole = error.strerror is not None and error.filename is not None
        return _complain(f"{error.filename}: {error.strerror}" if whole else error, _FAILED)
    except ArchiveError as error:
        return _complain(error, _FAILED)
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


def _use_one_blas_thread() -> None:
    """Keep numpy from starting threads for linear algebra: no command uses them, and they cost time.

    Only for the command's own process: a library must not choose for the program that imports it. Does
    nothing if numpy is loaded already, or if the user has set one of the variables.
    """
    if "numpy" not in sys.modules and not any(name in os.environ for name in _BLAS_THREADS):
        os.environ[_BLAS_THREADS[0]] = "1"


def _complain(error: Exception | str, status: int) -> int:
    complain(" ".join(str(error).splitlines()))  # one line, even if the error quotes several
    return status

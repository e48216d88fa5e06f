"""``yamcs archive …``: all commands below the command line of Yamcs (entry points ``yamcs.cli.subcommands``).

1. ``yamcs`` loads this module at each start, so it imports next to nothing, and a fault in it would break
   every command there.
2. What ``yamcs`` knows is a default here: its ``--instance``, and the server, instance and login of its
   configuration. Options, and the environment of ``yamcs-archive``, come first.
3. A login is sent to the server that it is of, and to no other: only commands that ask one archive get it,
   and only if nothing on their command line or in the environment names another.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

COMMAND = "archive"
_HELP = "Keep and read an event archive (yamcs-archive)"
_FOLDER = Path("~/.config/yamcs-cli")
_WITH_LOGIN = frozenset(("events", "instances", "stats", "doctor", "verify", "prune", "compact", "backup"))
"""Commands that ask one archive."""
_TARGETS = ("YAMCS_ARCHIVE_DATA", "YAMCS_ARCHIVE_URL")


class ArchiveCommand:
    """The subcommand ``archive``. ``yamcs`` makes one at each start."""

    def __init__(self, subparsers: Any) -> None:
        """Add the subcommand to those of ``yamcs``, unless it has one of that name."""
        if COMMAND in subparsers.choices:
            return
        parser = subparsers.add_parser(COMMAND, help=_HELP, add_help=False)
        # All arguments are for our own command line, with its own help: argparse.REMAINDER would leave out
        # a first one that is an option.
        parser.parse_known_args = self._taken

    def _taken(self, arguments: Sequence[str], _: object = None) -> tuple[argparse.Namespace, list[str]]:
        return argparse.Namespace(arguments=list(arguments), func=self.run), []

    def run(self, options: argparse.Namespace) -> NoReturn:
        """Run the command, and exit with its status."""
        from yamcs_archive.cli.main import main  # noqa: PLC0415  # only if it is this command

        os.environ.update(defaults(options.arguments, options.instance))
        sys.exit(main(options.arguments, program=f"yamcs {COMMAND}"))


def defaults(arguments: list[str], instance: str | None) -> dict[str, str]:
    """Return the variables that say what ``yamcs`` knows; none that are set.

    ``instance`` is that of ``yamcs --instance``, which comes before the environment.
    """
    core, found = _core(), dict[str, str]()
    if instance or "YAMCS_ARCHIVE_INSTANCE" not in os.environ:
        found["YAMCS_ARCHIVE_INSTANCE"] = instance or core.get("instance", "")
    if not any(map(os.environ.get, _TARGETS)) and (url := core.get("url")):
        found["YAMCS_ARCHIVE_URL"] = url
        names_another = any(word.startswith(("--url", "--data")) or "://" in word for word in arguments)
        if arguments[:1] and arguments[0] in _WITH_LOGIN and not names_another:
            found |= _login()
    return {name: value for name, value in found.items() if value}


def _core() -> dict[str, str]:
    """Return the section ``core`` of the configuration of ``yamcs``; what cannot be read says nothing."""
    parser = ConfigParser(interpolation=None)
    with suppress(OSError, UnicodeDecodeError, ConfigError):
        parser.read(_FOLDER.expanduser() / "config", encoding="utf-8")
        if parser.has_section("core"):
            return dict(parser["core"])
    return {}


def _login() -> dict[str, str]:
    """Return the token of ``yamcs login`` as a variable, unless another login is given or it has expired."""
    if os.environ.get("YAMCS_ARCHIVE_TOKEN"):
        return {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((_FOLDER.expanduser() / "credentials").read_text(encoding="utf-8"))
        expiry = found.get("expiry")
        if expiry is None or datetime.fromisoformat(expiry) > datetime.now(UTC):
            return {"YAMCS_ARCHIVE_TOKEN": str(found["access_token"])}
    return {}

"""The options of ``serve`` and ``config show``, made from the settings of a serving process."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from yamcs_archive.cli.arguments import not_empty
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.server.configuration import FILE_VARIABLE, Configuration, resolve
from yamcs_archive.server.setting_kinds import Choice, Kind, Switch, told
from yamcs_archive.server.setting_table import Setting
from yamcs_archive.server.settings import SETTINGS


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add ``--config``, and an option for each setting. An option that is not given is absent afterwards."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=not_empty,
        help=f"a TOML file with the settings that no option and no variable gives (or {FILE_VARIABLE})",
    )
    for each in SETTINGS:
        _add(parser, each)


def configuration(options: argparse.Namespace) -> Configuration:
    """Return the configuration that the options, the environment and the file give.

    Raises :class:`~yamcs_archive.server.configuration.ConfigurationError`, with every fault.
    """
    given = {each.name: getattr(options, each.name) for each in SETTINGS if hasattr(options, each.name)}
    file = options.config or os.environ.get(FILE_VARIABLE)
    return resolve(given, os.environ, Path(file).expanduser() if file else None)


def _add(parser: argparse.ArgumentParser, setting: Setting) -> None:
    kind = setting.kind
    facts: dict[str, Any] = {"dest": setting.name, "default": argparse.SUPPRESS, "help": _help(setting)}
    if isinstance(kind, Switch):
        parser.add_argument(setting.flag, action=argparse.BooleanOptionalAction, **facts)
        return
    if isinstance(kind, Choice):
        facts["choices"] = kind.words
    if kind.one is not None:
        facts |= {"action": "extend", "nargs": "+"} if setting.several else {"action": "append"}
    parser.add_argument(setting.flag, metavar=setting.metavar, type=_reader(kind.one or kind), **facts)


def _help(setting: Setting) -> str:
    ends = [setting.help]
    if setting.name == "data":  # the other commands say so too
        ends[0] += f" (or {setting.variable})"
    if setting.kind.one is not None:
        ends.append("repeatable")
    if setting.default not in (MISSING, None, (), False):
        ends.append(f"default: {setting.default}")
    return "; ".join(ends)


def _reader(kind: Kind) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return kind.of_text(text)
        except InvalidInputError as error:
            raise argparse.ArgumentTypeError(told(error)) from None

    return read

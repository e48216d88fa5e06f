"""``completion``: print a script with which a shell completes commands, options and their values."""

from __future__ import annotations

import argparse

from yamcs_archive.cli.name_scripts import completion_of_names
from yamcs_archive.cli.strict_parser import Parser

SHELLS = ("bash", "zsh", "fish")
EPILOG = """examples:
  yamcs-archive completion bash > ~/.local/share/bash-completion/completions/yamcs-archive
  yamcs-archive completion zsh > "${fpath[1]}/_yamcs-archive"
  yamcs-archive completion fish > ~/.config/fish/completions/yamcs-archive.fish
"""
_FOLDERS, _FILES = frozenset(("DIR",)), frozenset(("COPY", "FILE", "TARGET"))
"""Metavars of values that are paths of folders, and of files."""
_INSTANCES, _INSTANCES_OR_FILES = frozenset(("INSTANCE", "OLD")), frozenset(("INSTANCE|COPY",))
"""Metavars of arguments that are names of instances, or either."""
_OF_OPTIONS = {"--instance": "instances", "--source": "sources"}
"""What the values of options are names of."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Print a script with which a shell completes commands, options, and values that are words or"
        " paths. Put it where the shell looks for such scripts, once after each upgrade. The script starts"
        " the command only for names of instances and sources, which it asks of the archive that the line or"
        " the environment names, for two seconds at most."
    )
    parser.epilog = EPILOG
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    import shtab  # noqa: PLC0415  # only this command needs it

    from yamcs_archive.cli.main import parser  # noqa: PLC0415  # which loads this module

    top = parser()
    _load(top, nests=options.shell != "zsh")
    print(shtab.complete(top, shell=options.shell))
    return 0


def _load(parser: argparse.ArgumentParser, *, nests: bool) -> None:
    """Load a command and those below it, and put them into the form that shtab reads.

    ``nests``: the shell completes a command that has both arguments and commands below it.
    """
    import shtab  # noqa: PLC0415  # only this command needs it

    if isinstance(parser, Parser):
        parser.load()
    for action in list(parser._actions):
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _load(command, nests=nests)
            for listed in action._choices_actions:
                action.choices[listed.dest].description = listed.help  # a shell has one line for each
            for name in [name for name in action.choices if " " in name]:
                _split(action, name, nests=nests)
            continue
        names = [_OF_OPTIONS[name] for name in action.option_strings if name in _OF_OPTIONS]
        complete: object = None
        if action.metavar in _FOLDERS:
            complete = shtab.DIRECTORY
        elif action.metavar in _FILES:
            complete = shtab.FILE
        elif names or action.metavar in _INSTANCES:
            complete = completion_of_names(names[0] if names else "instances")
        elif action.metavar in _INSTANCES_OR_FILES:
            complete = completion_of_names("instances", files=True)
        if complete is not None:
            action.complete = complete  # type: ignore[attr-defined]  # as shtab reads it


def _split(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, *, nests: bool) -> None:
    """Take a command of two words, as ``import yamcs``, from a list, and put it below that of its first word.

    If the shell cannot complete that, the first command gets its options: rather too many than none.
    """
    first, second = name.split()
    above, moved = commands.choices[first], commands.choices[name]
    listed = next(each for each in commands._choices_actions if each.dest == name)
    del commands._name_parser_map[name]
    commands._choices_actions.remove(listed)
    if nests:
        below = above.add_subparsers(metavar="ACTION")
        above._actions.remove(below)
        above._actions.insert(0, below)  # before the positional argument that may stand in its place
        below.add_parser(second, help=listed.help)
        below._name_parser_map[second] = moved
        return
    for action in moved._actions:
        if action.option_strings and not set(action.option_strings) & set(above._option_string_actions):
            above._add_action(action)

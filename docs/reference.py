"""Write the reference of the command line from the commands themselves: ``docs/cli.md``, ``docs/man/``.

    python docs/reference.py            # write
    python docs/reference.py --check    # exit 1 when writing would change something

It is made from the parsers, because the layout of their help texts differs between versions of Python.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

from man_pages import PROGRAM, command_page, page_name, program_page

from yamcs_archive.cli.main import parser
from yamcs_archive.cli.strict_parser import Parser

PAGE = Path(__file__).parent / "cli.md"
MAN = Path(__file__).parent / "man"
_WIDTH = 119
"""Characters of a line of prose; tests/test_docs.py holds 120."""

_HEAD = """# The command line

`python docs/reference.py` writes this page, and the manual pages that a wheel installs (`man yamcs-archive`,
`man yamcs-archive-events-log`), from the commands themselves; a test checks that they are up to date.

"""
_RULES = """\
Data goes to stdout, in UTF-8, everything else to stderr. Exit status: 0 the command succeeded; 1 it failed,
and one line says why; 2 the command line is wrong or incomplete; 130 Ctrl-C interrupted it. If stdout is
closed, or its reader is gone, a command that has something to print ends with 1, silently.
`python -m yamcs_archive` is the same command.

On a terminal `events log` colours severities, unless `NO_COLOR` is set, and passes what is longer than the
screen to `less`, or to the command in `YAMCS_ARCHIVE_PAGER` or `PAGER`; `cat` means none. Quitting it is no
error. The colours are chosen so that people who lack one kind of cones tell them apart, and the word is
always there. Control characters of an event never reach a terminal as they are.

Long work shows on a terminal how far it is: what is done, its rate, and the time that is left where that is
known. The line is on stderr and gone at the end; where stderr is no terminal there is none. After Ctrl-C one
line on stderr says what is done, and what that leaves.

Options have the names below and no abbreviations. A value may begin with a dash, as in `--filter -wheel`. If
it is also the name of an option of the command, write `--filter=-f`.

A command works on `--data DIR` or `--url URL`. Without either, it uses `YAMCS_ARCHIVE_DATA`, else
`YAMCS_ARCHIVE_URL`. A leading `~` is the home directory.

A URL that contains a user or a password is refused. If a server, or a proxy in front of it, requires HTTP
Basic, give `--user NAME`. The password comes from `YAMCS_ARCHIVE_PASSWORD`; without that variable the
command asks for it on the terminal. The password stays in memory for that run, and is never printed or
stored. It is sent only to the scheme, host and port of that URL; a redirect to another one is an error. It is
sent over plain HTTP to another machine too, with a warning on stderr.

| DATE | meaning |
|---|---|
| `2026-11-23T12:00:00Z`, `2026-11-23T14:00:00.5+02:00` | that instant |
| `2026-327T12:00:00Z` | the same with the day of the year |
| `2026-11-23T12:00`, `2026-11-23`, `2026-327` | local time; a day is its first instant |
| `1h`, `30m`, `2d`, `1w`, `45s`, `1h30m` | that long ago; a day is 24 hours |
| `1795435200`, `1795435200.25`, `@0` | Unix seconds: 10 digits, or any number after `@` |
| `1795435200123`, `1795435200123456` | 13 digits: milliseconds, 16: microseconds; others are refused |
| `now`, `today`, `yesterday`, `tomorrow` | this instant; the first instant of that local day |
| `today UTC`, `yesterday UTC`, `tomorrow UTC` | midnight of that day in UTC |
"""


def page() -> str:
    """Return the page."""
    sections = (section for command in _commands(parser()) for section in _section(command))
    return "\n".join([_HEAD + _RULES, *sections])


def man_pages() -> dict[str, str]:
    """Return the manual pages, by the names of their files."""
    top = parser()
    commands = list(_commands(top))
    pages = {PROGRAM: program_page(top, commands, _RULES)}
    for command in commands:
        group = command.prog.split()[1]
        beside = [one for one in commands if one.prog.split()[1] == group]
        pages[page_name(command)] = command_page(command, beside)
    return {f"{name}.1": text for name, text in pages.items()}


def _commands(group: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the commands themselves, not the groups that contain them."""
    for action in group._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _commands(inner)
            return
    if isinstance(group, Parser):
        group.load()
    yield group


def _section(command: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {command.prog}\n"
    lines = wrap(str(command.description), _WIDTH, break_long_words=False, break_on_hyphens=False)
    yield "\n".join(lines) + "\n"
    yield "| option | |\n|---|---|"
    for action in command._actions:
        if not isinstance(action, argparse._HelpAction) and action.help != argparse.SUPPRESS:
            yield f"| {_option(action)} | {_help(action)} |"
    yield ""
    title, _, examples = (command.epilog or "").partition("\n")
    yield f"{title.strip().capitalize()}\n\n```console"
    yield from ("$ " + line.strip() for line in examples.splitlines())
    yield "```\n"


def _option(action: argparse.Action) -> str:
    value = str(action.metavar or ("" if action.nargs == 0 else action.dest.upper()))
    if action.choices is not None:
        value = "{" + ",".join(map(str, action.choices)) + "}"
    if action.nargs in ("+", "*"):
        value = f"{value} …"
    shown = [f"{name} {value}".strip() for name in action.option_strings] or [value]
    return ", ".join(f"`{text}`" for text in shown)


def _help(action: argparse.Action) -> str:
    text = (action.help or "") % vars(action)
    return text.replace("|", "\\|")


def main() -> None:
    """Write, or with ``--check`` compare."""
    wanted = {PAGE: page()} | {MAN / name: text for name, text in man_pages().items()}
    found = {path: path.read_text(encoding="utf-8") for path in (PAGE, *MAN.glob("*")) if path.is_file()}
    if "--check" not in sys.argv[1:]:
        MAN.mkdir(exist_ok=True)
        for path in found.keys() - wanted.keys():
            path.unlink()
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")
    elif stale := sorted(path.name for path in {*found, *wanted} if found.get(path) != wanted.get(path)):
        raise SystemExit(f"{', '.join(stale)}: stale; run python docs/reference.py")


if __name__ == "__main__":
    main()

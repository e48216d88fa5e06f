"""Manual pages in roff, from the parsers of the command line: one for the program, one for each command.

``python docs/reference.py`` writes them to ``docs/man/``. A wheel installs them in ``share/man/man1``: there
``man`` finds them, beside any ``bin`` in the PATH. Pure: parsers and Markdown to text.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence

PROGRAM = "yamcs-archive"
_TITLE = "yamcs_archive"
_EXIT = (
    ("0", "The command succeeded."),
    (
        "1",
        "It failed, and one line on stderr says why; or it found what it was asked to look for, as a fault.",
    ),
    ("2", "The command line is wrong or incomplete. Nothing was done."),
    ("130", "Ctrl-C interrupted it."),
)
_OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
_CODE = re.compile(r"`([^`]+)`")


def program_page(
    top: argparse.ArgumentParser, commands: Sequence[argparse.ArgumentParser], rules: str
) -> str:
    """Return the page of the program. ``rules`` is what holds for all commands, in Markdown."""
    lines = [
        *_head(PROGRAM, str(top.description)),
        *(".SH SYNOPSIS", f".B {_literal(PROGRAM)}", r"\fICOMMAND\fR [\fIOPTION\fR]..."),
        *(".SH DESCRIPTION", *_markdown(rules)),
        ".SH COMMANDS",
    ]
    for command in commands:
        lines += [".TP", rf"\fB{_literal(page_name(command))}\fR(1)", *_text(_first_sentence(command))]
    return "\n".join([*lines, *_exit_status()]) + "\n"


def command_page(command: argparse.ArgumentParser, beside: Sequence[argparse.ArgumentParser]) -> str:
    """Return the page of a command, whose module is loaded; ``beside`` are the others of its group."""
    shown = [
        action
        for action in command._actions
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._HelpAction)
    ]
    arguments = [action for action in shown if not action.option_strings]
    options = [action for action in shown if action.option_strings]
    synopsis = " ".join(["[\\fIOPTION\\fR]..."] * bool(options) + [_argument(one) for one in arguments])
    lines = [
        *_head(page_name(command), _first_sentence(command)),
        *(".SH SYNOPSIS", f".B {_literal(command.prog)}", synopsis),
        *(".SH DESCRIPTION", *_text(str(command.description))),
    ]
    for heading, actions in (("ARGUMENTS", arguments), ("OPTIONS", options)):
        if actions:
            lines.append(f".SH {heading}")
        for action in actions:
            lines += [".TP", _names(action), *_text((action.help or "") % vars(action))]
    examples = (command.epilog or "").partition("\n")[2].splitlines()
    lines += [".SH EXAMPLES", ".EX", *(_literal(line) for line in examples), ".EE", *_exit_status()]
    others = [PROGRAM, *(page_name(one) for one in beside if one is not command)]
    lines += [".SH SEE ALSO", ",\n".join(rf"\fB{_literal(name)}\fR(1)" for name in others)]
    return "\n".join(lines) + "\n"


def page_name(command: argparse.ArgumentParser) -> str:
    """Return the name of a command's page, its words joined.

    >>> page_name(argparse.ArgumentParser(prog="yamcs-archive events log"))
    'yamcs-archive-events-log'
    """
    return command.prog.replace(" ", "-")


def _first_sentence(command: argparse.ArgumentParser) -> str:
    return re.split(r"(?<=\.)\s|:\s", str(command.description))[0].rstrip(".")


def _head(name: str, what: str) -> Iterator[str]:
    yield r".\" python docs/reference.py writes this page."
    yield f'.TH "{name.upper()}" 1 "" "{_TITLE}" "{_TITLE}"'
    yield from (".nh", ".ad l")  # words are not divided, nor blanks put between them: they are copied
    yield from (".SH NAME", rf"{_literal(name)} \- {_escaped(what.rstrip('.'))}")


def _exit_status() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for status, meaning in _EXIT:
        yield from (".TP", status, *_text(meaning))


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        return "{" + r",\:".join(rf"\fB{_literal(str(choice))}\fR" for choice in action.choices) + "}"
    value = str(action.metavar or ("" if action.nargs == 0 else action.dest.upper()))
    return rf"\fI{_literal(value)}\fR" if value else ""


def _names(action: argparse.Action) -> str:
    value = _value(action) + "..." * (action.nargs in ("+", "*"))
    if not action.option_strings:
        return value
    names = [rf"\fB{_literal(name)}\fR" for name in action.option_strings]
    return ", ".join(f"{name} {value}".strip() for name in names)


def _argument(action: argparse.Action) -> str:
    value = _value(action)
    shown = {"*": f"[{value}...]", "+": f"{value}...", "?": f"[{value}]"}
    return shown.get(str(action.nargs), value)


def _markdown(text: str) -> Iterator[str]:
    """Yield paragraphs and tables of two columns; other forms of Markdown are not needed."""
    for block in text.strip().split("\n\n"):
        if block.startswith("|"):
            heading = block.split("|")[1].strip()
            yield from (".PP", rf"\fI{_literal(heading)}\fR may be:")
            for row in block.splitlines()[2:]:
                left, right = (cell.strip() for cell in row.strip("|").split("|"))
                yield from (".TP", _inline(left), *_guarded(_inline(right)))
        else:
            yield from (".PP", *_guarded(_inline(" ".join(block.splitlines()))))


def _inline(text: str) -> str:
    parts = _CODE.split(text)  # every second one is code
    return "".join(
        rf"\fB{_literal(part)}\fR" if position % 2 else _escaped(part) for position, part in enumerate(parts)
    )


def _text(text: str) -> Iterator[str]:
    yield from _guarded(_escaped(text))


def _guarded(text: str) -> Iterator[str]:
    """Yield a paragraph, one sentence on a line, none of which looks like a request of roff."""
    for line in re.split(r"(?<=[.:;]) +(?=[A-Z\\])", text):
        yield rf"\&{line}" if line[:1] in (".", "'") else line


def _escaped(text: str) -> str:
    """Return text as roff has it: signs beyond ASCII by their numbers, hyphens of options as they are typed.

    >>> _escaped("a\\\\b … c")
    'a\\\\eb \\\\[u2026] c'
    """
    text = text.replace("\\", r"\e")
    text = _OPTION.sub(lambda found: found[0].replace("-", r"\-"), text)
    return "".join(sign if sign.isascii() else rf"\[u{ord(sign):04X}]" for sign in text)


def _literal(text: str) -> str:
    """Return what is typed: a hyphen stays one, as a quote does.

    >>> _literal("--data 'a'")
    '\\\\-\\\\-data \\\\(aqa\\\\(aq'
    """
    literal = re.sub(r"(?<!\\)-", r"\-", _escaped(text)).replace("'", r"\(aq").replace("`", r"\(ga")
    return literal.replace("~", r"\(ti").replace("^", r"\(ha")

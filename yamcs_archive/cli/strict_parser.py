"""The parser of the command line: argparse with strict names, and values that may begin with a dash.

1. An option has the names that the reference lists, and no abbreviations: they would become API unnoticed.
2. A text may begin with a dash (``--filter -wheel``), unless it is the name of an option of the command.
3. An error names the option, the value and the rule. It shows nothing that comes before an ``@`` of a URL.
4. This module imports next to nothing but argparse: a command's module is loaded when the command is chosen.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

_TEXTS = frozenset(("TEXT", "EXPR", "NAME", "KEY=VALUE", "DATE", "CURSOR"))
"""Metavars of options whose value may begin with a dash: a message, a negated word, an old cursor."""
_USERINFO = re.compile(r"(?:(?<=//).*|[^\s'\":]+:(?!//)\S*)@")
"""A user and a password in an argument, in a URL or as for ``curl -u``; errors do not show them."""


class HelpFormatter(argparse.HelpFormatter):
    """Wraps descriptions, and leaves texts of several lines, which are examples, as they are.

    Words with a hyphen, as the names of options, stay whole.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text.strip():
            return "".join(f"{indent}{line}" for line in text.splitlines(keepends=True))
        return "\n".join(indent + line for line in self._split_lines(text, width - len(indent)))

    def _split_lines(self, text: str, width: int) -> list[str]:
        from textwrap import wrap  # noqa: PLC0415  # only for help

        return wrap(" ".join(text.split()), width, break_on_hyphens=False)


class Parser(argparse.ArgumentParser):
    """Reads a command line by the rules above.

    ``module`` is the name of a command's module, below ``yamcs_archive.cli``. Its ``configure(parser)`` sets
    the description, the examples (the epilog), the options, and the default ``run``: the command's function.

    >>> parser = Parser()
    >>> _ = parser.add_argument("--filter", metavar="EXPR")
    >>> parser.parse_args(["--filter", "-wheel"]).filter
    '-wheel'
    >>> Parser(module="compact").parse_args(["simulator"]).instances
    ['simulator']
    """

    def __init__(self, *, module: str | None = None, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=HelpFormatter, **options)
        self._module = module

    def load(self) -> None:
        """Let the command's module configure this parser; idempotent."""
        if self._module is not None:
            import_module(f"yamcs_archive.cli.{self._module}").configure(self)
            self._module = None

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Load the command, apply rule 2, and let argparse read the arguments."""
        self.load()
        return super().parse_known_args(
            self._with_attached_texts(sys.argv[1:] if args is None else args), namespace
        )

    def _with_attached_texts(self, arguments: Sequence[str]) -> list[str]:
        """Return the arguments, with each text that begins with a dash attached to its option."""
        attached: list[str] = []
        left = list(arguments)
        while left:
            name = left.pop(0)
            if name == "--":
                return [*attached, name, *left]
            long = self._long_name_of_text(name)
            if long is not None and left and left[0].startswith("-") and not self._is_option(left[0]):
                name = f"{long}={left.pop(0)}"
            attached.append(name)
        return attached

    def _long_name_of_text(self, name: str) -> str | None:
        action = self._option_string_actions.get(name)
        if action is None or action.nargs is not None or action.metavar not in _TEXTS:
            return None
        return next(name for name in action.option_strings if name.startswith("--"))

    def _is_option(self, text: str) -> bool:
        name = text.partition("=")[0] if text.startswith("--") else text
        return name in self._option_string_actions or text in ("-", "--")

    def error(self, message: str) -> NoReturn:
        """Print the error, and exit with status 2."""
        fault = sys.exc_info()[1]
        if isinstance(fault, argparse.ArgumentError) and isinstance(
            fault.__context__, argparse.ArgumentTypeError
        ):
            message = f"{fault.argument_name} {fault.message}"
        super().error(_USERINFO.sub("…@", message))

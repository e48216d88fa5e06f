"""How the command line is read: argparse with strict names, and texts that may begin with a dash.

1. An option has the names that the reference lists, and no abbreviations: they would become API unnoticed.
2. A text is taken as it is, ``--filter -wheel`` too, unless it is the name of an option of the command.
3. An error names the option, the value and the rule; nothing before an ``@`` of a URL is shown.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from yamcs_archive.archive import check_instance_name
from yamcs_archive.credentials import check_url
from yamcs_archive.errors import InvalidInputError, shown
from yamcs_archive.paths import given_path
from yamcs_archive.server.settings import check_allowed_host, check_origin

T = TypeVar("T")

_TEXTS = frozenset(("TEXT", "EXPR", "NAME", "KEY=VALUE", "DATE", "CURSOR"))
"""Metavars of options whose value may begin with a dash: a message, a negated word, one cursor in 64."""
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_USERINFO = re.compile(r"(?:(?<=//).*|[^\s'\":]+:(?!//)\S*)@")
"""A user and password in an argument that is shown: those of a URL, or of ``curl -u``."""


class Parser(argparse.ArgumentParser):
    """Reads a command line by the rules above.

    >>> parser = Parser()
    >>> _ = parser.add_argument("--filter", metavar="EXPR")
    >>> parser.parse_args(["--filter", "-wheel"]).filter
    '-wheel'
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Read as argparse does, after rule 2."""
        return super().parse_known_args(self._joined(sys.argv[1:] if args is None else args), namespace)

    def _joined(self, arguments: Sequence[str]) -> list[str]:
        """Return the arguments, with each text that begins with a dash joined to its option."""
        joined: list[str] = []
        left = list(arguments)
        while left:
            name = left.pop(0)
            if name == "--":
                return [*joined, name, *left]
            long = self._long_name_of_text(name)
            if long is not None and left and left[0].startswith("-") and not self._is_option(left[0]):
                name = f"{long}={left.pop(0)}"
            joined.append(name)
        return joined

    def _long_name_of_text(self, name: str) -> str | None:
        action = self._option_string_actions.get(name)
        if action is None or action.nargs is not None or action.metavar not in _TEXTS:
            return None
        return next(name for name in action.option_strings if name.startswith("--"))

    def _is_option(self, text: str) -> bool:
        name = text.partition("=")[0] if text.startswith("--") else text
        return name in self._option_string_actions or text in ("-", "--")

    def error(self, message: str) -> NoReturn:
        """Print the fault, and end with 2."""
        fault = sys.exc_info()[1]
        if isinstance(fault, argparse.ArgumentError) and isinstance(
            fault.__context__, argparse.ArgumentTypeError
        ):
            message = f"{fault.argument_name} {fault.message}"
        super().error(_USERINFO.sub("…@", message))


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a function that reads a whole number in digits, from ``least`` to ``most``, both included.

    >>> whole(0, 65535)("8090")
    8090
    >>> whole(0, 65535)("99999")
    Traceback (most recent call last):
      ...
    argparse.ArgumentTypeError: 99999: must be 0 to 65535
    """

    def read(text: str) -> int:
        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        if re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII) is None:
            raise argparse.ArgumentTypeError(f"{shown(text)}: must be a whole number, {bounds}")
        if not _NUMBER.fullmatch(text) or int(text) < least or (most is not None and int(text) > most):
            raise argparse.ArgumentTypeError(f"{text[:40]}: must be {bounds}")
        return int(text)

    return read


def not_empty(text: str) -> str:
    """Return a name; for argparse. An empty one is refused: it is likely a variable that is not set."""
    if not text:
        raise argparse.ArgumentTypeError("'': must not be empty")
    return text


def data_directory(text: str) -> Path:
    """Return the path that ``text`` is, with a leading ``~`` expanded; for argparse.

    >>> data_directory("~/data").is_absolute()
    True
    """
    return _checked(given_path, text)


def instance_name(text: str) -> str:
    """Return a name that an instance can have; for argparse."""
    return _checked(check_instance_name, text)


def origin(text: str) -> str:
    """Return an origin, as ``https://ops.example``; for argparse."""
    return _checked(check_origin, text)


def allowed_host(text: str) -> str:
    """Return a name by which clients know a server, or ``.suffix``; for argparse."""
    return _checked(check_allowed_host, text)


def _checked(check: Callable[[str], T], text: str) -> T:
    try:
        return check(text)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(f"{shown(error.value)}: {error.rule}") from None


def url(text: str) -> str:
    """Return the URL that ``text`` is; for argparse, whose ArgumentTypeError it raises.

    >>> url("http://127.0.0.1:8090")
    'http://127.0.0.1:8090'
    """
    try:
        return check_url(text)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(f"{shown(error.value)} {error.rule}") from None

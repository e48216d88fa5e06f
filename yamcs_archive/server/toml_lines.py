"""Reads TOML, and says on which line each key is. The standard ``tomllib`` reads it, and knows no lines.

1. A text is scanned only after ``tomllib`` has accepted it. So the scanner needs to know only where a
   statement ends: at the end of a line that is in no string and in no bracket.
2. Each statement is then read by ``tomllib`` alone, which gives its keys: dots and quotes in them are not
   interpreted here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str, ...]
"""The keys that lead to a value, from the outermost table on."""

_TOKEN = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""+'''  # ends with the last of up to five quotes
    r"""|'{3}.*?'{3}'*"""
    r'''|"(?:[^"\\\n]|\\.)*"'''
    r"""|'[^'\n]*'"""
    r"""|\#[^\n]*"""
    r"""|[\[\]{}\n]""",
    re.DOTALL,
)
_OPEN, _CLOSE = frozenset("[{"), frozenset("]}")
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class NotTomlError(ValueError):
    """The text is no TOML: ``line``, from 1, and ``reason``."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line, self.reason = line, reason


def read_toml(text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """Return what a text says, and the line of each key, from 1: that of its first statement.

    Raises :class:`NotTomlError`.

    >>> read_toml("[server]\\nport = 1")
    ({'server': {'port': 1}}, {('server',): 1, ('server', 'port'): 2})
    """
    text = text.replace("\r\n", "\n")
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
        place = _PLACE.search(reason)
        line = int(place[1]) if place and place[1] else text.rstrip("\n").count("\n") + 1
        raise NotTomlError(line, _PLACE.sub("", reason)) from None
    except RecursionError:
        raise NotTomlError(1, "is nested too deeply") from None
    lines: dict[Path, int] = {}
    table: Path = ()
    for line, statement in _statements(text):
        keys = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = ()
            while keys:
                [(name, inner)] = keys.items()
                table = (*table, name)
                lines.setdefault(table, line)
                keys = inner[0] if isinstance(inner, list) else inner
        else:
            for path in _paths(keys, table):
                lines.setdefault(path, line)
    return found, lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each statement of a valid text with its line, from 1."""
    depth, begin, line = 0, 0, 1
    for token in _TOKEN.finditer(text + "\n"):
        first = token[0][0]
        if first in _OPEN:
            depth += 1
        elif first in _CLOSE:
            depth -= 1
        elif token[0] == "\n" and not depth:
            statement = text[begin : token.start()]
            if _says_something(statement):
                yield line, statement
            line += statement.count("\n") + 1
            begin = token.end()


def _says_something(statement: str) -> bool:
    return bool(statement.strip()) and not statement.lstrip().startswith("#")


def _paths(keys: Mapping[str, Any], above: Path) -> Iterator[Path]:
    for name, value in keys.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from _paths(value, (*above, name))

"""Functions with which argparse reads the values of options. The error for a bad value names the rule."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from yamcs_archive.archive import check_instance_name
from yamcs_archive.credentials import check_url
from yamcs_archive.errors import InvalidInputError, shown
from yamcs_archive.user_paths import given_path

T = TypeVar("T")

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)


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
    """Return a name; for argparse. An empty one is refused: a variable in the command is probably not set."""
    if not text:
        raise argparse.ArgumentTypeError("'': must not be empty")
    return text


def data_directory(text: str) -> Path:
    """Read a path, and expand a leading ``~``; for argparse.

    >>> data_directory("~/data").is_absolute()
    True
    """
    return checked(given_path, text)


def instance_name(text: str) -> str:
    """Check that an instance can have this name, and return it; for argparse."""
    return checked(check_instance_name, text)


def checked(check: Callable[[str], T], text: str) -> T:
    """Return what ``check`` returns; its InvalidInputError becomes argparse's ArgumentTypeError."""
    try:
        return check(text)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(f"{shown(error.value)}: {error.rule}") from None


def url(text: str) -> str:
    """Check a URL, and return it; for argparse, whose ArgumentTypeError it raises.

    >>> url("http://127.0.0.1:8090")
    'http://127.0.0.1:8090'
    """
    try:
        return check_url(text)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(f"{shown(error.value)} {error.rule}") from None

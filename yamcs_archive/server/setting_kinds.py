"""The kinds of values that settings have: how each is read from a text and from TOML, and checked.

1. A kind checks a value once, wherever it comes from: an option, a variable, a file or a program.
2. A fault is an InvalidInputError whose rule says which values are valid. It shows no value of a wrong type,
   and nothing that may be a password.
3. ``none`` stands for no value where a setting may have none: TOML has no such value, and an option or a
   variable must be able to undo what a file says.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from yamcs_archive.errors import InvalidInputError, shown
from yamcs_archive.scalars import plain_int, plain_text
from yamcs_archive.user_paths import given_path

_NONE = "none"
_DIGITS = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DIGITS_MAX = 20
_YES, _NO = frozenset(("true", "yes", "on", "1")), frozenset(("false", "no", "off", "0"))
_BETWEEN = re.compile(r"[,\s]+")
_KINDS_OF_TOML = {bool: "true or false", int: "a number", float: "a number with a point", str: "a text"} | {
    list: "a list",
    dict: "a table",
}


class Kind(Protocol):
    """A kind of values. ``one`` is that of the elements of a list; None: the value is no list."""

    @property
    def one(self) -> Kind | None: ...  # noqa: D102
    def check(self, value: object) -> Any:
        """Return the value with its exact type; otherwise raise InvalidInputError."""

    def of_text(self, text: str) -> Any:
        """Read the text of an option or of a variable."""

    def of_toml(self, value: object, folder: Path) -> Any:
        """Take a value of a TOML file in ``folder``."""

    def toml(self, value: Any) -> str:
        """Return a valid value as it is written in a TOML file."""

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a value of a TOML file."""


def _refused(value: object, rule: str) -> InvalidInputError:
    return InvalidInputError("value", value, rule)


def _typed(value: object, rule: str) -> InvalidInputError:
    """A fault of a value of the wrong type, by the name of its type: the value itself may be a secret."""
    name = _KINDS_OF_TOML.get(type(value), type(value).__name__)
    return InvalidInputError("value", _Unshown(name), rule)


class _Unshown:
    """A value that is shown by the name of its type alone."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"({self._name})"


@dataclass(frozen=True)
class Whole:
    """A whole number, from ``least`` to ``most``, both included.

    >>> Whole(0, 65535).of_text("8090")
    8090
    >>> Whole(0, 65535).check(99999)
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: value 99999: must be 0 to 65535
    """

    least: int
    most: int
    one: None = None

    def check(self, value: object) -> int:
        """Return the number."""
        exact = plain_int(value)
        if type(exact) is not int:
            raise _typed(value, f"must be a whole number, {self.least} to {self.most}")
        if not self.least <= exact <= self.most:
            raise _refused(exact, f"must be {self.least} to {self.most}")
        return exact

    def of_text(self, text: str) -> int:
        """Read digits, with a sign if there is one."""
        if _DIGITS.fullmatch(text) is None:
            raise _refused(text, f"must be a whole number, {self.least} to {self.most}")
        if len(text) > _DIGITS_MAX:
            raise _refused(text, f"must be {self.least} to {self.most}")
        return self.check(int(text))

    def of_toml(self, value: object, folder: Path) -> int:  # noqa: ARG002
        """Take a number."""
        return self.check(value)

    def toml(self, value: int) -> str:
        """Return the digits."""
        return str(value)

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True)
class Switch:
    """True or false.

    >>> Switch().of_text("yes"), Switch().of_text("off")
    (True, False)
    """

    one: None = None

    def check(self, value: object) -> bool:
        """Return the value."""
        if not isinstance(value, bool):
            raise _typed(value, "must be true or false")
        return value

    def of_text(self, text: str) -> bool:
        """Read true, yes, on, 1, or false, no, off, 0."""
        if (word := text.lower()) in _YES | _NO:
            return word in _YES
        raise _refused(text, "must be true or false")

    def of_toml(self, value: object, folder: Path) -> bool:  # noqa: ARG002
        """Take true or false."""
        return self.check(value)

    def toml(self, value: bool) -> str:
        """Return true or false."""
        return "true" if value else "false"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "boolean"}


class _Quoted(ABC):
    """A value that is a text, which a file has in quotes."""

    @abstractmethod
    def check(self, value: object) -> str:
        """Return the value."""

    def of_text(self, text: str) -> str:
        """Take a text."""
        return self.check(text)

    def of_toml(self, value: object, folder: Path) -> str:  # noqa: ARG002
        """Take a text."""
        return self.check(value)

    def toml(self, value: str) -> str:
        """Return it in quotes."""
        return _quoted(value)


@dataclass(frozen=True)
class Text(_Quoted):
    """A text that ``checked`` returns; it raises InvalidInputError for others.

    >>> Text().check("")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: value '': must not be empty
    """

    checked: Callable[[str], str] | None = None
    one: None = None

    def check(self, value: object) -> str:
        """Return the text."""
        exact = plain_text(value)
        if type(exact) is not str:
            raise _typed(value, "must be a text")
        if self.checked is not None:
            return self.checked(exact)
        if not exact:
            raise _refused(exact, "must not be empty")
        return exact

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class Choice(_Quoted):
    """One of some words.

    >>> Choice(("text", "json")).of_text("xml")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: value 'xml': must be text or json
    """

    words: tuple[str, ...]
    one: None = None

    def check(self, value: object) -> str:
        """Return the word."""
        rule = "must be " + " or ".join(
            [", ".join(self.words[:-1]), self.words[-1]] if self.words[1:] else self.words
        )
        exact = plain_text(value)
        if type(exact) is not str:
            raise _typed(value, rule)
        if exact not in self.words:
            raise _refused(exact, rule)
        return exact

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class FilePath:
    """A path, made absolute: in a file from the folder of the file, elsewhere from the current directory.

    >>> FilePath().of_toml("users.toml", Path("/etc/archive"))
    PosixPath('/etc/archive/users.toml')
    """

    one: None = None

    def check(self, value: object) -> Path:
        """Return the path; a leading ``~`` is the home directory."""
        try:
            return given_path(value)  # type: ignore[arg-type]  # which checks the type
        except InvalidInputError as error:
            if isinstance(value, str | Path):
                raise
            raise _typed(value, error.rule) from None

    def of_text(self, text: str) -> Path:
        """Take a path."""
        return self.check(text)

    def of_toml(self, value: object, folder: Path) -> Path:
        """Take a path that is relative to the folder."""
        if not isinstance(value, str):
            raise _typed(value, "must be a path, as a text")
        return self.check(value) if not value or value.startswith("~") else self.check(folder / value)

    def toml(self, value: Path) -> str:
        """Return the path in quotes."""
        return _quoted(str(value))

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "string", "minLength": 1}


@dataclass(frozen=True)
class Many:
    """Several values of one kind. In a variable, they are separated by commas or spaces.

    >>> Many(Text()).of_text("sim, bench")
    ('sim', 'bench')
    """

    one: Kind

    def check(self, value: object) -> tuple[Any, ...]:
        """Return the values."""
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise _typed(value, "must be a list")
        return tuple(self.one.check(each) for each in value)

    def of_text(self, text: str) -> tuple[Any, ...]:
        """Read the values between commas and spaces."""
        return tuple(self.one.of_text(each) for each in _BETWEEN.split(text) if each)

    def of_toml(self, value: object, folder: Path) -> tuple[Any, ...]:
        """Take a list."""
        if not isinstance(value, list):
            raise _typed(value, "must be a list, as [" + '"…"]')
        return tuple(self.one.of_toml(each, folder) for each in value)

    def toml(self, value: Sequence[Any]) -> str:
        """Return the list."""
        return f"[{', '.join(map(self.one.toml, value))}]"

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"type": "array", "items": self.one.schema()}


@dataclass(frozen=True)
class OrNone:
    """A value of a kind, or none: the word ``none``.

    >>> OrNone(Whole(1, 9)).of_text("none"), OrNone(Whole(1, 9)).of_text("7")
    (None, 7)
    """

    kind: Kind
    one: None = None

    def check(self, value: object) -> Any:
        """Return the value, or None."""
        return None if value is None else self.kind.check(value)

    def of_text(self, text: str) -> Any:
        """Read the value, or the word."""
        return None if text == _NONE else self.kind.of_text(text)

    def of_toml(self, value: object, folder: Path) -> Any:
        """Take the value, or the word."""
        return None if value == _NONE else self.kind.of_toml(value, folder)

    def toml(self, value: Any) -> str:
        """Return the value, or the word in quotes."""
        return _quoted(_NONE) if value is None else self.kind.toml(value)

    def schema(self) -> dict[str, Any]:
        """Return its JSON Schema."""
        return {"anyOf": [self.kind.schema(), {"const": _NONE}]}


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    # A path may have bytes that are no UTF-8. TOML cannot say them, so they are shown, and refused if read.
    return quoted.encode("utf-8", "backslashreplace").decode()


def told(error: InvalidInputError) -> str:
    """Return the value and the rule of a fault.

    >>> told(InvalidInputError("port", 99999, "must be 0 to 65535"))
    '99999: must be 0 to 65535'
    """
    return f"{shown(error.value)}: {error.rule}"

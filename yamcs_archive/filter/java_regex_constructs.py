"""Translates the constructs of Java's regular expressions to RE2's syntax: escapes, properties, classes.

1. Each function reads one construct from a scanner, and returns its translation.
2. A construct that is in no table here is refused by name, with
   :class:`~yamcs_archive.filter.comparison_errors.BadPatternError`.
"""

from __future__ import annotations

import re

from yamcs_archive.filter.comparison_errors import BadPatternError

LINE_ENDS = r"\n\r\x{85}\x{2028}\x{2029}"
"""The characters that Java's dot does not match, as written between brackets."""
AT_END = rf"(?:(?:\r\n|[{LINE_ENDS}])?\z)"
"""``$`` and ``\\Z``: the end, or before a last line end. RE2 has no look-ahead, so the line end is
consumed."""
_HORIZONTAL = r"\x{09}\x{20}\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}"
_VERTICAL = rf"\x{{0B}}\x{{0C}}{LINE_ENDS}"
_SPACES = r"\x{09}-\x{0D}\x{20}"

ESCAPED_CLASSES = {
    "d": "0-9",
    "w": "0-9A-Z_a-z",
    "s": _SPACES,
    "h": _HORIZONTAL,
    "v": _VERTICAL,
}
"""The classes of letters after a backslash, as written between brackets. Capitals are their complements."""
_COMPLEMENTS_IN_BRACKETS = {"D": r"\D", "W": r"\W", "S": r"\x{00}-\x{08}\x{0E}-\x{1F}\x{21}-\x{10FFFF}"}
ANCHORS = {"A": r"\A", "z": r"\z", "Z": AT_END, "b": r"\b", "B": r"\B", "R": rf"(?:\r\n|[{_VERTICAL}])"}
"""The translations of letters after a backslash that are no classes, and allowed outside of brackets only."""
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "a": "\a", "e": "\x1b"}
_ASCII_PROPERTIES = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "ASCII": r"\x{00}-\x{7F}",
    "Alpha": "A-Za-z",
    "Digit": "0-9",
    "Alnum": "0-9A-Za-z",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": r"\x{09} ",
    "Cntrl": r"\x{00}-\x{1F}\x{7F}",
    "XDigit": "0-9A-Fa-f",
    "Space": _SPACES,
}
_REFUSED_ESCAPES = {
    "G": r"\G, the end of the previous match,",
    "k": r"back-reference \k<…>",
    "X": r"grapheme \X",
    "N": r"character name \N{…}",
}

_PROPERTY = re.compile(r"\{(?:(?:gc|general_category|sc|script)=)?(\w+)\}|([A-Z])", re.ASCII)
_CODES = re.compile(
    r"x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|0([0-3][0-7]{2}|[0-7]{1,2})", re.ASCII
)
_LOW_SURROGATE = re.compile(r"\\u(D[C-Fc-f][0-9A-Fa-f]{2})")
_NEVER_CLOSED = r"a class [ is never closed; the character itself is \["


class Scanner:
    """A text, and the position up to which it was read.

    >>> scanner = Scanner("abc")
    >>> scanner.read(2), scanner.sees("c"), scanner.next, scanner.read(2), scanner.ended
    ('ab', True, 'c', 'c', True)
    """

    def __init__(self, source: str) -> None:
        self.source, self.offset = source, 0

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self.offset >= len(self.source)

    @property
    def next(self) -> str:
        """The next character, without moving past it; "" at the end."""
        return self.source[self.offset : self.offset + 1]

    def sees(self, text: str) -> bool:
        """Return whether this text comes next."""
        return self.source.startswith(text, self.offset)

    def read(self, length: int = 1) -> str:
        """Return the next characters, fewer at the end, and move past them."""
        found = self.source[self.offset : self.offset + length]
        self.offset += len(found)
        return found


def literal(character: str) -> str:
    r"""Write a character so that it means itself, within brackets and outside of them.

    >>> literal("a"), literal("."), literal("é")
    ('a', '\\x{2E}', 'é')
    """
    if 0xD800 <= ord(character) < 0xE000:
        raise BadPatternError("a lone surrogate is no character")
    if character.isalnum() or ord(character) > 0x7F or character in ' _"':
        return character
    return rf"\x{{{ord(character):02X}}}"


def escaped_character(scanner: Scanner) -> str:
    """Read an escape after its backslash, and return the one character that it means.

    >>> escaped_character(Scanner("x{416}")), escaped_character(Scanner("."))
    ('Ж', '.')
    """
    code = _CODES.match(scanner.source, scanner.offset)
    if code:
        scanner.offset = code.end()
        digits = next(group for group in code.groups() if group is not None)
        number = int(digits, 8 if code.group(4) is not None else 16)
        low = _LOW_SURROGATE.match(scanner.source, scanner.offset)
        if 0xD800 <= number < 0xDC00 and low:
            scanner.offset = low.end()
            number = 0x10000 + ((number - 0xD800) << 10) + int(low.group(1), 16) - 0xDC00
        if number > 0x10FFFF:
            raise BadPatternError(rf"\x{{{digits}}} is no character")
        return chr(number)
    letter = scanner.read()
    if letter in _CONTROLS:
        return _CONTROLS[letter]
    if letter == "c" and not scanner.ended:
        control = scanner.read()
        if control.isascii():
            return chr(ord(control) ^ 64)
    if not letter:
        raise BadPatternError(r"\ at the end; the character itself is \\")
    if letter in _REFUSED_ESCAPES:
        raise BadPatternError(f"{_REFUSED_ESCAPES[letter]} is not supported")
    if letter in "123456789":
        raise BadPatternError(rf"back-reference \{letter} is not supported")
    if letter.isascii() and letter.isalnum():
        raise BadPatternError(rf"escape \{letter} is not supported")
    return letter


def property_class(scanner: Scanner, *, negated: bool, bare: bool) -> str:
    r"""Read a property after ``\p`` or ``\P``, and return its class; with ``bare``, for use between brackets.

    >>> property_class(Scanner("{IsGreek}"), negated=True, bare=False)
    '\\P{Greek}'
    """
    match = _PROPERTY.match(scanner.source, scanner.offset)
    if match is None:
        raise BadPatternError(r"\p needs the name of a property, as \p{Lu}")
    scanner.offset = match.end()
    name = match.group(1) or match.group(2)
    if name in _ASCII_PROPERTIES:
        if not bare:
            return f"[{'^' if negated else ''}{_ASCII_PROPERTIES[name]}]"
        if negated:
            raise BadPatternError(rf"\P{{{name}}} within [ ] is not supported")
        return _ASCII_PROPERTIES[name]
    short = name.removeprefix("Is")
    if len(short) > 2:
        if not match.group().startswith(("{Is", "{script=", "{sc=")):
            raise BadPatternError(rf"property \p{{{name}}} is not supported")
        short = "_".join(part.capitalize() for part in short.split("_"))
    return rf"\{'P' if negated else 'p'}{{{short}}}"


def brackets(scanner: Scanner) -> str:
    r"""Read a class after its opening bracket, and return the translation of its content.

    >>> brackets(Scanner("^a-c.]"))
    '^a-c\\x{2E}'
    """
    out = ["^"] if scanner.sees("^") else []
    scanner.offset += len(out)
    start: str | None = None  # a character that may begin a range
    first = True
    while True:
        if scanner.ended:
            raise BadPatternError(_NEVER_CLOSED)
        if scanner.sees("&&"):
            raise BadPatternError("intersection of classes && is not supported")
        character = scanner.read()
        if character == "[":
            raise BadPatternError(r"class within a class is not supported; the character itself is \[")
        if character == "]" and not first:
            return "".join(out)
        first = False
        if character == "-" and start is not None and not scanner.sees("]"):
            out.append(_range_end(scanner, start))
            start = None
        elif character == "\\":
            start = _escaped_in_brackets(scanner, out)
        else:
            out.append(literal(character))
            start = character


def _escaped_in_brackets(scanner: Scanner, out: list[str]) -> str | None:
    letter = scanner.next
    if letter in ESCAPED_CLASSES:
        scanner.read()
        out.append(ESCAPED_CLASSES[letter])
        return None
    if letter in _COMPLEMENTS_IN_BRACKETS:
        scanner.read()
        out.append(_COMPLEMENTS_IN_BRACKETS[letter])
        return None
    if letter in ("p", "P"):
        scanner.read()
        out.append(property_class(scanner, negated=letter == "P", bare=True))
        return None
    if letter == "Q":
        raise BadPatternError(r"\Q within [ ] is not supported")
    character = escaped_character(scanner)
    out.append(literal(character))
    return character


def _range_end(scanner: Scanner, start: str) -> str:
    end = scanner.read()
    if not end:
        raise BadPatternError(_NEVER_CLOSED)
    if end == "[":
        raise BadPatternError(r"class within a class is not supported; the character itself is \[")
    if end == "\\":
        end = escaped_character(scanner)
    if end < start:
        raise BadPatternError(f"range {ascii(start)[1:-1]}-{ascii(end)[1:-1]} runs backwards")
    return "-" + literal(end)

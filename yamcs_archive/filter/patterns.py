"""Regular expressions as Java writes them -> the same in RE2's syntax, construct by construct.

A Yamcs server takes ``java.util.regex``. What of it can be matched in one pass over the text is rewritten
here so that it means the same; what cannot (look-around, back-references, possessive and atomic groups),
and what the two engines would read differently, is refused by name.

1. Nothing reaches the engine that was not understood here: every construct is in one of the tables.
2. One pass from left to right with a stack of flags: no pattern is too deep or too long to be judged.
3. No engine and no event is known here; :mod:`yamcs_archive.filter.regex` has the engine.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from yamcs_archive.filter.faults import BadPatternError

_LINE_ENDS = r"\n\r\x{85}\x{2028}\x{2029}"
_AT_END = rf"(?:(?:\r\n|[{_LINE_ENDS}])?\z)"
_HORIZONTAL = r"\x{09}\x{20}\x{A0}\x{1680}\x{180E}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}"
_VERTICAL = rf"\x{{0B}}\x{{0C}}{_LINE_ENDS}"
_SPACES = r"\x{09}-\x{0D}\x{20}"

_ESCAPED_CLASSES = {
    "d": "0-9",
    "w": "0-9A-Z_a-z",
    "s": _SPACES,
    "h": _HORIZONTAL,
    "v": _VERTICAL,
}
"""Of a letter behind a backslash: what stands between the brackets. Capitals are the complements."""
_COMPLEMENTS_IN_BRACKETS = {"D": r"\D", "W": r"\W", "S": r"\x{00}-\x{08}\x{0E}-\x{1F}\x{21}-\x{10FFFF}"}
_ANCHORS = {"A": r"\A", "z": r"\z", "Z": _AT_END, "b": r"\b", "B": r"\B", "R": rf"(?:\r\n|[{_VERTICAL}])"}
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
_REFUSED_GROUPS = {
    "?=": "look-ahead (?=…)",
    "?!": "look-ahead (?!…)",
    "?<=": "look-behind (?<=…)",
    "?<!": "look-behind (?<!…)",
    "?>": "atomic group (?>…)",
}
_REFUSED_ESCAPES = {
    "G": r"\G, the end of the previous match,",
    "k": r"back-reference \k<…>",
    "X": r"grapheme \X",
    "N": r"character name \N{…}",
}

_NEVER_CLOSED = r"a class [ is never closed; the character itself is \["
_COUNT_MAX = 1000
"""The engine's own; it reads a number far beyond as plain text."""
_QUANTIFIER = re.compile(r"[*+?]|\{\d+(?:,\d*)?\}", re.ASCII)
_GROUP_FLAGS = re.compile(r"\?([A-Za-z]*)(?:-([A-Za-z]*))?([:)])")
_GROUP_NAME = re.compile(r"\?<[A-Za-z][A-Za-z0-9]*>")
_PROPERTY = re.compile(r"\{(?:(?:gc|general_category|sc|script)=)?(\w+)\}|([A-Z])", re.ASCII)
_CODES = re.compile(
    r"x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|0([0-3][0-7]{2}|[0-7]{1,2})", re.ASCII
)


class Flags(NamedTuple):
    """The flags that are on: letter case, the dot, the anchors."""

    i: bool = False
    s: bool = False
    m: bool = False


class Translation(NamedTuple):
    """A pattern in RE2's syntax, and case-folded texts that lie in all that it matches, when case-folded."""

    pattern: str
    texts: frozenset[str]


def translate(pattern: str) -> Translation:
    """Return the pattern in RE2's syntax.

    Raises :class:`~yamcs_archive.filter.faults.BadPatternError` that names the construct which is not
    supported or not understood.

    >>> translate("^Wheel [0-9]+$").pattern == r"\\A" + "Wheel [0-9]+" + _AT_END
    True
    >>> sorted(translate("Wheel [0-9]+ over").texts)
    [' over', 'wheel ']
    """
    return _Translator(pattern).run()


class _Translator:
    """One pass over a pattern."""

    def __init__(self, pattern: str) -> None:
        self._source, self._place = pattern, 0
        self._out: list[str] = []
        self._flags = Flags()
        self._outer: list[Flags] = []
        self._repeatable = self._repeated = False
        # Literal characters of the outermost sequence, for Translation.texts.
        self._run: list[str] = []
        self._texts: list[str] = []
        self._alternatives = False

    def run(self) -> Translation:
        while self._place < len(self._source):
            self._step()
        if self._outer:
            raise BadPatternError("a group ( is never closed")
        self._end_run()
        texts = frozenset() if self._alternatives else frozenset(self._texts)
        return Translation("".join(self._out), texts)

    def _step(self) -> None:
        quantifier = _QUANTIFIER.match(self._source, self._place)
        if quantifier:
            self._quantify(quantifier.group())
            return
        character = self._take()
        if character == "\\":
            self._escape()
        elif character == "[":
            self._atom("[" + self._brackets() + "]")
        elif character == "(":
            self._open()
        elif character == ")":
            self._close()
        elif character == "|":
            self._alternatives |= not self._outer
            self._end_run()
            self._emit("|", repeatable=False)
        elif character == ".":
            self._atom("(?s:.)" if self._flags.s else f"[^{_LINE_ENDS}]")
        elif character == "^":
            self._atom("(?m:^)" if self._flags.m else r"\A")
        elif character == "$":
            self._atom("(?m:$)" if self._flags.m else _AT_END)
        elif character == "{":
            raise BadPatternError(r"{ begins no repetition; the character itself is \{")
        else:
            self._literal(character)

    def _take(self, length: int = 1) -> str:
        taken = self._source[self._place : self._place + length]
        self._place += length
        return taken

    def _emit(self, piece: str, *, repeatable: bool) -> None:
        self._out.append(piece)
        self._repeatable, self._repeated = repeatable, False

    def _atom(self, piece: str) -> None:
        self._end_run()
        self._emit(piece, repeatable=True)

    def _literal(self, character: str) -> None:
        self._emit(literal(character), repeatable=True)
        if self._outer or (self._flags.i and not character.isascii()):
            self._end_run()
        else:
            self._run.append(character)

    def _end_run(self) -> None:
        if self._run:
            self._texts.append("".join(self._run).casefold())
            self._run = []

    def _quantify(self, quantifier: str) -> None:
        if any(int(count[:9]) > _COUNT_MAX for count in re.findall(r"\d+", quantifier)):
            raise BadPatternError(f"{quantifier[:20]} repeats more than {_COUNT_MAX} times")
        if not self._repeatable:
            raise BadPatternError(f"{quantifier} repeats nothing")
        if self._repeated:
            raise BadPatternError(f"{quantifier} stands behind another repetition; put that one into (?:…)")
        if self._run:
            self._run.pop()  # it may come no time at all
        self._end_run()
        self._place += len(quantifier)
        if self._source.startswith("+", self._place):
            raise BadPatternError(f"possessive repetition {quantifier}+ is not supported")
        self._out.append(quantifier)
        if self._source.startswith("?", self._place):
            self._out.append(self._take())  # reluctant: finds the same events
        self._repeated = True

    def _open(self) -> None:
        self._end_run()
        inner = self._flags
        name = _GROUP_NAME.match(self._source, self._place)
        flags = _GROUP_FLAGS.match(self._source, self._place)
        if name:
            self._place = name.end()
        elif flags:
            self._place = flags.end()
            inner = self._changed(flags.group(1), flags.group(2) or "")
            if flags.group(3) == ")":  # from here to the end of the group around it
                self._emit(_case(inner), repeatable=False)
                self._flags = inner
                return
        elif self._source.startswith("?", self._place):
            starts = [start for start in _REFUSED_GROUPS if self._source.startswith(start, self._place)]
            named = _REFUSED_GROUPS[starts[0]] if starts else f"group ({self._take(2)}…)"
            raise BadPatternError(f"{named} is not supported")
        self._outer.append(self._flags)
        self._flags = inner
        self._emit("(?:" + _case(inner), repeatable=False)

    def _changed(self, on: str, off: str) -> Flags:
        unknown = (set(on) | set(off)) - set("ismu")
        if unknown:
            raise BadPatternError(f"flag (?{min(unknown)}) is not supported; i, s, m and u are")
        known = {letter: letter in on for letter in "ism" if letter in on or letter in off}
        return self._flags._replace(**{letter: on and letter not in off for letter, on in known.items()})

    def _close(self) -> None:
        if not self._outer:
            raise BadPatternError(r") closes no group; the character itself is \)")
        self._flags = self._outer.pop()
        self._atom(")")

    def _escape(self) -> None:
        letter = self._source[self._place : self._place + 1]
        if letter in _ANCHORS and letter:
            self._atom(_ANCHORS[self._take()])
        elif letter == "Q":
            self._take()
            for character in self._quoted():
                self._literal(character)
        elif letter in ("p", "P"):
            self._take()
            self._atom(self._property(negated=letter == "P", bare=False))
        elif letter.lower() in _ESCAPED_CLASSES and letter:
            self._take()
            self._atom(f"[{'^' if letter.isupper() else ''}{_ESCAPED_CLASSES[letter.lower()]}]")
        else:
            self._literal(self._escaped_character())

    def _quoted(self) -> str:
        end = self._source.find("\\E", self._place)
        text = self._take((len(self._source) if end < 0 else end) - self._place)
        self._place += 2
        return text

    def _escaped_character(self) -> str:
        code = _CODES.match(self._source, self._place)
        if code:
            self._place = code.end()
            digits = next(group for group in code.groups() if group is not None)
            number = int(digits, 8 if code.group(4) is not None else 16)
            low = re.compile(r"\\u(D[C-Fc-f][0-9A-Fa-f]{2})").match(self._source, self._place)
            if 0xD800 <= number < 0xDC00 and low:
                self._place = low.end()
                number = 0x10000 + ((number - 0xD800) << 10) + int(low.group(1), 16) - 0xDC00
            if number > 0x10FFFF:
                raise BadPatternError(rf"\x{{{digits}}} is no character")
            return chr(number)
        letter = self._take()
        if letter in _CONTROLS and letter:
            return _CONTROLS[letter]
        if letter == "c" and self._place < len(self._source):
            control = self._take()
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

    def _property(self, *, negated: bool, bare: bool) -> str:
        r"""Return a class for ``\p…``; ``bare``: what stands for it between brackets."""
        match = _PROPERTY.match(self._source, self._place)
        if match is None:
            raise BadPatternError(r"\p needs the name of a property, as \p{Lu}")
        self._place = match.end()
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

    def _brackets(self) -> str:
        """Return what stands between brackets, the closing one consumed."""
        out = ["^"] if self._source.startswith("^", self._place) else []
        self._place += len(out)
        start: str | None = None  # a character that may begin a range
        first = True
        while True:
            if self._place >= len(self._source):
                raise BadPatternError(_NEVER_CLOSED)
            if self._source.startswith("&&", self._place):
                raise BadPatternError("intersection of classes && is not supported")
            character = self._take()
            if character == "[":
                raise BadPatternError(r"class within a class is not supported; the character itself is \[")
            if character == "]" and not first:
                return "".join(out)
            first = False
            if character == "-" and start is not None and self._source[self._place : self._place + 1] != "]":
                out.append(self._range_end(start))
                start = None
            elif character == "\\":
                start = self._escaped_in_brackets(out)
            else:
                out.append(literal(character))
                start = character

    def _escaped_in_brackets(self, out: list[str]) -> str | None:
        letter = self._source[self._place : self._place + 1]
        if letter in _ESCAPED_CLASSES and letter:
            self._take()
            out.append(_ESCAPED_CLASSES[letter])
            return None
        if letter in _COMPLEMENTS_IN_BRACKETS and letter:
            self._take()
            out.append(_COMPLEMENTS_IN_BRACKETS[letter])
            return None
        if letter in ("p", "P"):
            self._take()
            out.append(self._property(negated=letter == "P", bare=True))
            return None
        if letter == "Q":
            raise BadPatternError(r"\Q within [ ] is not supported")
        character = self._escaped_character()
        out.append(literal(character))
        return character

    def _range_end(self, start: str) -> str:
        end = self._take()
        if not end:
            raise BadPatternError(_NEVER_CLOSED)
        if end == "[":
            raise BadPatternError(r"class within a class is not supported; the character itself is \[")
        if end == "\\":
            end = self._escaped_character()
        if end < start:
            raise BadPatternError(f"range {ascii(start)[1:-1]}-{ascii(end)[1:-1]} runs backwards")
        return "-" + literal(end)


def literal(character: str) -> str:
    r"""Return one character as it stands for itself, within brackets and without.

    >>> literal("a"), literal("."), literal("é")
    ('a', '\\x{2E}', 'é')
    """
    if 0xD800 <= ord(character) < 0xE000:
        raise BadPatternError("a lone surrogate is no character")
    if character.isalnum() or ord(character) > 0x7F or character in ' _"':
        return character
    return rf"\x{{{ord(character):02X}}}"


def _case(flags: Flags) -> str:
    return "(?i)" if flags.i else "(?-i)"

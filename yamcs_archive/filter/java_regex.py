"""Translates regular expressions from Java's syntax to RE2's, construct by construct.

A Yamcs server accepts ``java.util.regex``. Constructs that can be matched in one pass over the text are
rewritten with the same meaning. Constructs that cannot (look-around, back-references, possessive and atomic
groups), and those that the two engines would read differently, are refused by name.

1. Every construct is in one of the tables; nothing else reaches the engine.
2. A pattern is translated in one pass from left to right with a stack of flags, however deep or long it is.
3. This module imports no engine and no events; :mod:`yamcs_archive.filter.regex` has the engine.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from yamcs_archive.filter.comparison_errors import BadPatternError
from yamcs_archive.filter.java_regex_constructs import (
    ANCHORS,
    AT_END,
    ESCAPED_CLASSES,
    LINE_ENDS,
    Scanner,
    brackets,
    escaped_character,
    literal,
    property_class,
)

_REFUSED_GROUPS = {
    "?=": "look-ahead (?=…)",
    "?!": "look-ahead (?!…)",
    "?<=": "look-behind (?<=…)",
    "?<!": "look-behind (?<!…)",
    "?>": "atomic group (?>…)",
}
_COUNT_MAX = 1000
"""Largest number of repetitions: the engine's own limit. It reads a much larger number as plain text."""
_QUANTIFIER = re.compile(r"[*+?]|\{\d+(?:,\d*)?\}", re.ASCII)
_GROUP_FLAGS = re.compile(r"\?([A-Za-z]*)(?:-([A-Za-z]*))?([:)])")
_GROUP_NAME = re.compile(r"\?<[A-Za-z][A-Za-z0-9]*>")


class Flags(NamedTuple):
    """The flags that are set: ignore case (i), the dot matches line ends (s), anchors match at lines (m)."""

    i: bool = False
    s: bool = False
    m: bool = False


class Translation(NamedTuple):
    """A pattern in RE2's syntax, and case-folded texts, each of which every case-folded match contains."""

    pattern: str
    texts: frozenset[str]


def translate(pattern: str) -> Translation:
    """Return the pattern in RE2's syntax.

    Raises :class:`~yamcs_archive.filter.comparison_errors.BadPatternError`, which names the construct that is
    not supported or not understood.

    >>> translate("^Wheel [0-9]+$").pattern == r"\\A" + "Wheel [0-9]+" + AT_END
    True
    >>> sorted(translate("Wheel [0-9]+ over").texts)
    [' over', 'wheel ']
    """
    return _Translator(pattern).run()


class _Translator:
    """One pass over a pattern."""

    def __init__(self, pattern: str) -> None:
        self._scanner = Scanner(pattern)
        self._out: list[str] = []
        self._flags = Flags()
        self._outer: list[Flags] = []
        self._repeatable = self._repeated = False
        # Literal characters of the outermost sequence, for Translation.texts.
        self._run: list[str] = []
        self._texts: list[str] = []
        self._alternatives = False

    def run(self) -> Translation:
        while not self._scanner.ended:
            self._step()
        if self._outer:
            raise BadPatternError("a group ( is never closed")
        self._end_run()
        texts = frozenset() if self._alternatives else frozenset(self._texts)
        return Translation("".join(self._out), texts)

    def _step(self) -> None:
        quantifier = _QUANTIFIER.match(self._scanner.source, self._scanner.offset)
        if quantifier:
            self._quantify(quantifier.group())
            return
        character = self._scanner.read()
        if character == "\\":
            self._escape()
        elif character == "[":
            self._atom("[" + brackets(self._scanner) + "]")
        elif character == "(":
            self._open()
        elif character == ")":
            self._close()
        elif character == "|":
            self._alternatives |= not self._outer
            self._end_run()
            self._emit("|", repeatable=False)
        elif character == ".":
            self._atom("(?s:.)" if self._flags.s else f"[^{LINE_ENDS}]")
        elif character == "^":
            self._atom("(?m:^)" if self._flags.m else r"\A")
        elif character == "$":
            self._atom("(?m:$)" if self._flags.m else AT_END)
        elif character == "{":
            raise BadPatternError(r"{ begins no repetition; the character itself is \{")
        else:
            self._literal(character)

    def _emit(self, piece: str, *, repeatable: bool) -> None:
        self._out.append(piece)
        self._repeatable, self._repeated = repeatable, False

    def _atom(self, piece: str) -> None:
        self._end_run()
        self._emit(piece, repeatable=True)

    def _literal(self, character: str) -> None:
        self._emit(literal(character), repeatable=True)
        # Beyond ASCII, the engine's letter case and Python's may come from different versions of Unicode.
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
            raise BadPatternError(f"{quantifier} follows another repetition; put that one into (?:…)")
        if self._run:
            self._run.pop()  # it may occur zero times
        self._end_run()
        self._scanner.offset += len(quantifier)
        if self._scanner.sees("+"):
            raise BadPatternError(f"possessive repetition {quantifier}+ is not supported")
        self._out.append(quantifier)
        if self._scanner.sees("?"):
            self._out.append(self._scanner.read())  # reluctant: matches the same events
        self._repeated = True

    def _open(self) -> None:
        self._end_run()
        inner = self._flags
        name = _GROUP_NAME.match(self._scanner.source, self._scanner.offset)
        flags = _GROUP_FLAGS.match(self._scanner.source, self._scanner.offset)
        if name:
            self._scanner.offset = name.end()
        elif flags:
            self._scanner.offset = flags.end()
            inner = self._changed(flags.group(1), flags.group(2) or "")
            if flags.group(3) == ")":  # from here to the end of the group around it
                self._emit(_case(inner), repeatable=False)
                self._flags = inner
                return
        elif self._scanner.sees("?"):
            starts = [start for start in _REFUSED_GROUPS if self._scanner.sees(start)]
            named = _REFUSED_GROUPS[starts[0]] if starts else f"group ({self._scanner.read(2)}…)"
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
        letter = self._scanner.next
        if letter in ANCHORS:
            self._atom(ANCHORS[self._scanner.read()])
        elif letter == "Q":
            self._scanner.read()
            for character in self._quoted():
                self._literal(character)
        elif letter in ("p", "P"):
            self._scanner.read()
            self._atom(property_class(self._scanner, negated=letter == "P", bare=False))
        elif letter.lower() in ESCAPED_CLASSES:
            self._scanner.read()
            self._atom(f"[{'^' if letter.isupper() else ''}{ESCAPED_CLASSES[letter.lower()]}]")
        else:
            self._literal(escaped_character(self._scanner))

    def _quoted(self) -> str:
        end = self._scanner.source.find("\\E", self._scanner.offset)
        text = self._scanner.read((len(self._scanner.source) if end < 0 else end) - self._scanner.offset)
        self._scanner.offset += 2
        return text


def _case(flags: Flags) -> str:
    return "(?i)" if flags.i else "(?-i)"
